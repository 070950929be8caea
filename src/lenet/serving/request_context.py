"""The state of one request in progress, shared by the application, the handlers and the log."""

import functools
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,100}")
_TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True)
class ServerState:
    """The state of a server that its requests depend on."""

    is_draining: bool = False  # whether it is shutting down: it is not ready, and each response closes its connection


@dataclass(slots=True)
class RequestContext:
    """A request in progress."""

    method: str
    path: str
    headers: dict[bytes, bytes]  # with names in lower case
    server: ServerState = field(default_factory=ServerState)
    peer: str | None = None  # the address of the client, or of a proxy
    request: str = ""  # the request id: that of X-Request-Id if it is valid, otherwise a generated one
    parts: list[bytes] = field(default_factory=list)  # of the body, decompressed, as they arrived
    buffered: int = 0  # bytes of the body in memory, compressed and decompressed
    received: int = 0  # bytes of the body as it was sent
    traceparent: str | None = None  # the client's W3C trace context, if it is valid; the response repeats it
    operation: str = "none"  # the name of the handler
    model: str | None = None
    batch: int | None = None  # the number of images
    status: int = 499  # of the response; 499 if the client disconnects before it is sent
    error: str | None = None  # the message sent to the client
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        given, trace = self.headers.get(b"x-request-id", b""), self.headers.get(b"traceparent", b"")
        self.request = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.traceparent = trace.decode() if _TRACEPARENT.fullmatch(trace) else None

    def has_token(self, token: bytes) -> bool:
        """Return whether the request has a token as `Authorization: Bearer`."""
        scheme, _, given = self.headers.get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(given.strip(), token) and scheme.lower() == b"bearer"

    @property
    def size(self) -> int:
        """Number of bytes of the body."""
        return sum(map(len, self.parts))

    def body(self) -> bytes:
        """Return the body, and keep it as one part; a large one takes milliseconds to join."""
        parts = self.parts  # in a thread, as the event loop may release the body at any time
        body = b"".join(parts)
        parts[:] = [body]
        return body

    @property
    def seconds(self) -> float:
        """Time since the request started."""
        return time.perf_counter() - self.started

    @property
    def level(self) -> str:
        """The level of the request in the log."""
        return "info" if self.status < 500 else "error" if self.status == 500 else "warning"

    def log_line(self) -> bytes:
        """Return the request as a line of JSON."""
        entry: dict[str, Any] = {
            "time": iso_time(time.time()), "level": self.level, "pid": os.getpid(), "request": self.request,
            "peer": self.peer, "method": self.method, "path": self.path, "traceparent": self.traceparent,
            "model": self.model, "batch": self.batch, "bytes": self.received, "ms": round(1000 * self.seconds, 3),
            "status": self.status, "error": self.error,
        }  # fmt: skip
        for name in ("traceparent", "model", "batch", "error"):
            if entry[name] is None:
                del entry[name]
        return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)

    def complete(self, response: Response) -> None:
        """Record the status of a response, and add the headers of every response."""
        self.status, headers = response.status_code, response.raw_headers
        headers += NO_SNIFFING, (b"x-request-id", self.request.encode())
        if self.traceparent is not None:
            headers.append((b"traceparent", self.traceparent.encode()))
        if self.server.is_draining:
            headers.append((b"connection", b"close"))
        if self.method != "POST" and b"cache-control" not in dict(headers):  # POST is never cached
            headers.append((b"cache-control", b"no-store"))


OnRequest = Callable[[RequestContext], None]


def context_of(request: Request) -> RequestContext:
    """Return the context of a request."""
    context: RequestContext = request.scope["lenet.request"]
    return context


class BytesResponse(Response):
    """A successful response of bytes whose headers are already encoded, which saves time."""

    def __init__(self, body: bytes, *headers: tuple[bytes, bytes]):
        self.status_code, self.body, self.background = 200, body, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), *headers]


def iso_time(seconds: float) -> str:
    """Return seconds since 1970 as an ISO 8601 time in UTC, with milliseconds.

    Examples
    --------
    >>> iso_time(1.5)
    '1970-01-01T00:00:01.500Z'
    """
    return f"{_iso_seconds(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@functools.lru_cache(1)
def _iso_seconds(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
