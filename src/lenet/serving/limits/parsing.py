"""Parse HTTP/1.1, and reject requests that are ambiguous or disproportionately slow to parse."""

import enum

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lenet.errors import InputError

MAX_HEAD_BYTES = 16 * 2**10
MAX_HEADERS = 100
MAX_PIPELINED = 16  # requests that wait on a connection for the response to an earlier one
# Each chunk of a body takes time, however small it is.
MAX_SMALL_CHUNKS = 64
BYTES_PER_CHUNK = 512  # on average, beyond the small ones
_CHUNK_FRAMING = 16  # bytes of a chunk's size and line ends
# In a trailer, these could change how other servers, or the parser, interpret this request or the next one.
_HEADER_ONLY = (b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade")


class Part(enum.Enum):
    """The part of a request that arrives next."""

    BEGINNING = enum.auto()  # no byte of it has arrived
    HEAD = enum.auto()
    BODY = enum.auto()


class StrictProtocol(HttpToolsProtocol):
    """A connection of uvicorn that is stricter than uvicorn and httptools.

    httptools already rejects lines that do not end with CR LF, and requests with Content-Length and Transfer-Encoding.
    """

    part = Part.BEGINNING
    # Bytes of the current part, without body data and without the piece in which the previous part ended.
    _framing = 0
    # Of the current request: the header and the trailer, and the body.
    _lines: int
    _head_bytes: int
    _chunks: int
    _body_bytes: int
    _is_chunked: bool

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Like uvicorn, ignore data after a request that closes the connection, rather than reject that request.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def feed(self, data: bytes) -> None:
        """Parse data, and handle the requests in it; raise InputError if it is not valid HTTP/1.1, or too large."""
        while data:
            # httptools reports a header only when it is complete, so its size is checked after each piece.
            size = len(data) if self.part is Part.BODY and not self._is_chunked else MAX_HEAD_BYTES
            piece, data = data[:size], data[size:]
            self._framing += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + piece[upgrade.args[0] :] + data
                self.parser = self._new_parser()  # the previous one may accept no further request
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, InputError | MemoryError):  # from the methods below
                    raise error.__context__ from None
                raise InputError(f"The request is not valid HTTP/1.1: {error}. Use an HTTP client.") from None
            if self.part is not Part.BEGINNING and self._framing > MAX_HEAD_BYTES + _CHUNK_FRAMING * self._chunks:
                raise self._too_large(self._framing)

    def _head_without_upgrade(self) -> bytes:
        """Return the header without Upgrade, which no route supports; httptools would not parse the body."""
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(headers))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.part = Part.HEAD
        self._lines, self._head_bytes = 1, 0
        self._chunks = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Receive the target of a request, or a part of it."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header, or a line of a trailer, which is ignored."""
        self._lines += 1
        self._count(len(name) + len(value) + 4)
        if self.part is Part.HEAD:
            self.headers.append((name.lower(), value.rstrip(b" \t")))
        elif name.lower() in _HEADER_ONLY:
            raise InputError(f"The trailer has the field {name.decode()}; expected none that belongs in the header.")

    def _count(self, size: int) -> None:
        """Count bytes of the header or the trailer."""
        self._head_bytes += size
        if self._lines > MAX_HEADERS + 1 or self._head_bytes > MAX_HEAD_BYTES:
            raise self._too_large(self._head_bytes)

    def _too_large(self, size: int) -> InputError:
        return InputError(
            f"The header, trailer and chunk extensions of the request have {self._lines} lines and {size} bytes; "
            f"expected at most {MAX_HEADERS} lines and {MAX_HEAD_BYTES} bytes. Send fewer or shorter ones."
        )

    def on_headers_complete(self) -> None:
        """Check the header, and start to handle the request."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise InputError("The method is CONNECT; expected GET or POST. This server is not a proxy.")
            return
        self._check_headers(self.parser.get_http_version())
        self._check_target()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise InputError(
                f"The connection has more than {MAX_PIPELINED} requests waiting; expected at most {MAX_PIPELINED}. "
                "Wait for the responses."
            )
        super().on_headers_complete()
        self.part, self._framing = Part.BODY, 0

    def _check_target(self) -> None:
        """Reject a target that is not a path, or that a proxy could take for another one."""
        if b"#" in self.url:
            raise InputError(
                "The target of the request has a fragment (#...); expected a path. Send the part before it."
            )
        if self.url.startswith(b"/"):
            return
        try:
            path = httptools.parse_url(self.url).path
        except httptools.HttpParserInvalidURLError:
            raise InputError("The target of the request is not a valid URL; expected a path, such as /v2.") from None
        if path is None:
            raise InputError("The target of the request has no path; expected one, such as /v2.")

    def _check_headers(self, version: str) -> None:
        """Reject a request that two servers could read differently."""
        if version not in ("1.0", "1.1"):
            raise InputError(f"The request has version HTTP/{version}; expected HTTP/1.1.")
        hosts, encodings = 0, []
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                encodings.append(value.lower())
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
        if hosts != 1 and (version == "1.1" or hosts):
            raise InputError(f"The request has {hosts} Host headers; expected exactly one.")
        self._is_chunked = bool(encodings)
        if encodings and (encodings != [b"chunked"] or version != "1.1"):
            raise InputError(
                "The Transfer-Encoding is not chunked, or the request is HTTP/1.0; expected chunked in HTTP/1.1."
            )

    def on_chunk_header(self) -> None:
        """Count a chunk, and reject a body that has too many."""
        self._chunks += 1
        if self._chunks > MAX_SMALL_CHUNKS + 1 + self._body_bytes // BYTES_PER_CHUNK:
            raise InputError(
                f"The body has {self._chunks} chunks in its first {self._body_bytes} bytes; expected at least "
                f"{BYTES_PER_CHUNK} bytes per chunk after {MAX_SMALL_CHUNKS} chunks. Send larger chunks."
            )

    def on_body(self, body: bytes) -> None:
        """Receive a part of a body."""
        self._body_bytes += len(body)
        self._framing -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self.parser.should_upgrade():
            self.part, self._framing = Part.BEGINNING, 0
            super().on_message_complete()
