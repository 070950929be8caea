"""What stands before the application: who may ask, how much is taken, and what becomes of errors."""

import functools
import hmac
import logging
import time
import zlib
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lenet.errors import LenetError, MissingExtraError, NotServedError
from lenet.serving.calls import Call, OnRequest
from lenet.serving.limits import Limits
from lenet.serving.metrics import Metrics
from lenet.serving.work import BusyError, Work

LOG = logging.getLogger("lenet.serving")
_REJECTED = {401: "token", 408: "slow", 413: "size"}  # by status; of 503 there are several kinds
OPEN_PATHS = {"/", "/v2/health/live", "/v2/health/ready"}  # they tell nothing that a token should protect


class Guard:
    """ASGI middleware: a token, limits, answers to what is raised, metrics and the log.

    A body is received whole before the application is called, so that a slow client occupies nothing but the bytes it
    has sent.

    Parameters
    ----------
    app : ASGI application
        It finds the body in `call_of(request)`.
    limits : Limits
    metrics : Metrics
    work : Work
        Where bodies are decompressed.
    on_request : callable
        Is given each call when it has been answered.
    token : str, optional
        What `Authorization: Bearer` has to name; by default everybody may ask.

    Attributes
    ----------
    limits : Limits
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        work: Work,
        on_request: OnRequest,
        token: str | None = None,
    ):
        self.limits = limits
        self._app, self._metrics, self._work, self._on_request = app, metrics, work, on_request
        self._token = None if token is None else token.encode()
        self._held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = scope["lenet.call"] = Call(scope["method"], _target(scope), dict(scope["headers"]))
        scope.setdefault("app", self)  # or else Starlette answers 404 and 405 itself, as text
        send = call.sender(send)
        self._metrics.in_flight.inc()
        try:
            self._check_token(scope, call)
            await self._answer(scope, receive, send, call)
        except Exception as error:
            await self._refuse(error, scope, receive, send, call)
        finally:
            call.body = b""
            self._metrics.in_flight.dec()
            self.note(call)

    def note(self, call: Call) -> None:
        """Count and log a call that was answered."""
        self._metrics.note(call.operation, call.status, time.perf_counter() - call.began)
        if call.status in _REJECTED:
            self._metrics.rejected.labels(_REJECTED[call.status]).inc()
        self._on_request(call)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Call the application with the body, whose bytes count as held until it has answered."""
        declared = call.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self.limits.body:
            raise self._too_large()
        try:
            call.body = await self._receive(receive, call)
            if b"content-encoding" in call.headers:
                most = self.limits.body
                call.body = await self._work.run(functools.partial(_decompressed, call.body, call.headers, most))
                self._hold(call, len(call.body))
            await self._app(scope, receive, send)
        finally:
            self._held -= call.held

    async def _receive(self, receive: Receive, call: Call) -> bytes:
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HTTPException(408, "The request ended half way, or took too long.")
            parts.append(message.get("body", b""))
            self._hold(call, len(parts[-1]))
            if call.held > self.limits.body:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(parts)

    def _hold(self, call: Call, size: int) -> None:
        call.held += size
        self._held += size
        if self._held > self.limits.buffered:
            raise self._later("buffers", "Too many requests are being received: come again.")

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The body is larger than the {self.limits.body:,} bytes that are taken.")

    def _later(self, reason: str, message: str) -> HTTPException:
        self._metrics.rejected.labels(reason).inc()
        return HTTPException(503, message, {"retry-after": "1"})

    def _check_token(self, scope: Scope, call: Call) -> None:
        if self._token is None or scope["path"].removeprefix(scope.get("root_path", "")) in OPEN_PATHS:
            return
        scheme, _, given = call.headers.get(b"authorization", b"").partition(b" ")
        if not (hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"):
            raise HTTPException(401, "This server wants its token: send Authorization: Bearer and the token.",
                                {"www-authenticate": "Bearer"})  # fmt: skip

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Tell the client and the log what was wrong."""
        refusal = self._refusal(error, call)
        call.error = refusal.detail
        if call.status == 499:  # nothing was sent
            response = JSONResponse({"error": refusal.detail}, refusal.status_code, dict(refusal.headers or {}))
            await response(scope, receive, send)

    def _refusal(self, error: Exception, call: Call) -> HTTPException:
        if isinstance(error, TimeoutError):
            return self._later("deadline", f"The answer took longer than {self.limits.request_seconds:g} s.")
        if isinstance(error, BusyError):
            return self._later("busy", "As much is being computed, or waits, as may be: come again.")
        if isinstance(error, LenetError):
            return HTTPException({NotServedError: 404, MissingExtraError: 501}.get(type(error), 400), str(error))
        if not isinstance(error, HTTPException):
            LOG.error("request %s failed", call.request, exc_info=error)
            return HTTPException(500, "The server failed; its log tells why.")
        if error.status_code == 404:
            error.detail = "There is nothing under this path: /openapi.json tells what there is."
        elif error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            error.detail = f"{call.method[:20]} is not for this path, but {allowed} is."
        return error


def _target(scope: Scope) -> str:
    """Return the path as it was sent, in ASCII and escaped, so that a log can show it."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"]) if raw is None else raw.decode("ascii", "backslashreplace")


def _decompressed(body: bytes, headers: dict[bytes, bytes], most: int) -> bytes:
    """Return a compressed body as it was, and no more of it than may be.

    Raises
    ------
    HTTPException
    """
    encoding = headers[b"content-encoding"].lower()
    if encoding == b"identity":
        return body
    if encoding not in (b"gzip", b"deflate"):
        raise HTTPException(415, "Content-Encoding should be gzip, deflate or identity.")
    decompressor = zlib.decompressobj(wbits=31 if encoding == b"gzip" else 15)
    try:
        content = decompressor.decompress(body, most + 1)
    except zlib.error as error:
        raise HTTPException(400, f"The body is not {encoding.decode()} ({error}).") from None
    if len(content) > most:
        raise HTTPException(413, f"The body, decompressed, is larger than the {most:,} bytes that are taken.")
    if not decompressor.eof:
        raise HTTPException(400, f"The body is not {encoding.decode()} to its end.")
    return content
