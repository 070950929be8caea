"""Parse HTTP/1.1, and reject requests that are ambiguous or disproportionately slow to parse."""

import re

import h11

from lenet.errors import InputError

MAX_HEAD_BYTES = 16 * 2**10
MAX_HEADERS = 100
# Each chunk of a body takes about 10 µs, however small it is.
MAX_SMALL_CHUNKS = 64
BYTES_PER_CHUNK = 512  # on average, beyond the small ones
_LAST_CHUNK = re.compile(rb"(\r\n)?0+[;\r]")  # after the end of the one before


class StrictConnection(h11.Connection):
    """A server-side h11 connection that is stricter than h11.

    Attributes
    ----------
    refusal : str or None
        The reason for the last RemoteProtocolError, for the client; None if h11 raised it.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.refusal: str | None = None
        self._chunked = self._in_chunk = self._in_trailer = False
        self._chunks = self._bytes = 0  # of the current body

    @property
    def is_receiving_sized_body(self) -> bool:
        """Whether a body with a Content-Length is incomplete: it takes no time to parse."""
        return self.their_state is h11.SEND_BODY and not self._chunked

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event, as h11 does."""
        try:
            self._check_next()
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._chunked, self._in_chunk, self._in_trailer = _is_chunked(event), False, False
                self._chunks = self._bytes = 0
            elif isinstance(event, h11.Data):
                self._count(event)
        except InputError as error:
            self.refusal = str(error)
            raise h11.RemoteProtocolError(self.refusal) from None
        return event

    def _check_next(self) -> None:
        """Check a header, or the trailer of a chunked body, before h11 parses it."""
        if self.their_state is h11.IDLE:
            _check_lines(self.trailing_data[0])
        elif self.their_state is h11.SEND_BODY and self._chunked and not self._in_chunk:
            received = self.trailing_data[0]
            self._in_trailer = self._in_trailer or _LAST_CHUNK.match(received) is not None
            if self._in_trailer:
                _check_lines(received)

    def _count(self, data: h11.Data) -> None:
        self._in_chunk = not data.chunk_end
        self._chunks += data.chunk_start
        self._bytes += len(data.data)
        if self._chunks > MAX_SMALL_CHUNKS + self._bytes // BYTES_PER_CHUNK:
            raise InputError(
                f"The body has {self._chunks} chunks in its first {self._bytes} bytes; expected at least "
                f"{BYTES_PER_CHUNK} bytes per chunk after {MAX_SMALL_CHUNKS} chunks. Send larger chunks."
            )


def _check_lines(received: bytes) -> None:
    """Reject a header that is too large, or has lines that do not end with CR LF."""
    end = received.find(b"\r\n\r\n")
    head = received if end < 0 else received[:end]
    lines = head.count(b"\n")
    if lines > MAX_HEADERS or len(head) > MAX_HEAD_BYTES:
        raise InputError(
            f"The header of the request has {lines + 1} lines and {len(head)} bytes; expected at most {MAX_HEADERS} "
            f"lines and {MAX_HEAD_BYTES} bytes. Send fewer headers."
        )
    if lines != head.count(b"\r\n"):
        raise InputError("The header has a line that ends with LF only; expected CR LF. Use an HTTP client.")


def _is_chunked(request: h11.Request) -> bool:
    """Return whether the body is chunked; reject a request that two servers could read differently."""
    if request.http_version not in (b"1.0", b"1.1"):
        version = request.http_version.decode("ascii", "replace")
        raise InputError(f"The request has version HTTP/{version}; expected HTTP/1.1.")
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" not in names:
        return False
    if b"content-length" in names:
        raise InputError("The request has both Content-Length and Transfer-Encoding; expected one of them.")
    return True
