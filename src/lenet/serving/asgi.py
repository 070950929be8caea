"""The ASGI application: check the token, receive the body, call the handler, respond to errors, count and log."""

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router as Lifespans
from starlette.types import Lifespan, Receive, Scope, Send

from lenet.errors import LenetError, MissingExtraError, NotServedError
from lenet.serving.limits.bodies import RequestBodies
from lenet.serving.limits.capacity import OUT_OF_MEMORY, BusyError, ThreadPool
from lenet.serving.limits.settings import Limits
from lenet.serving.logs import LOG, WRITER
from lenet.serving.metrics import Metrics
from lenet.serving.request_context import OnRequest, RequestContext, ServerState
from lenet.serving.routing import Router

_REJECTED = {401: "token", 408: "slow", 413: "size"}  # the metrics' reason by status; BusyError has its own

_UNIQUE = (
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"inference-header-content-length",
)  # fmt: skip


class Application:
    """The ASGI application, which protects the handlers from untrusted clients.

    It receives the body of a POST request as a whole before it calls a handler, so that a slow client occupies only the
    memory of the bytes that it has sent. It ignores the bodies of other requests. Requests must send one of the tokens,
    if there are any, except to public paths.
    """

    def __init__(
        self,
        router: Router,
        limits: Limits,
        metrics: Metrics,
        pool: ThreadPool,
        on_request: OnRequest,
        tokens: Collection[str],
        lifespan: Lifespan[Any],
    ):
        self.limits, self.metrics, self.state = limits, metrics, ServerState()
        self._router, self._on_request, self._lifespans = router, on_request, Lifespans(lifespan=lifespan)
        self._bodies = RequestBodies(limits, pool)
        self._tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._lifespans(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else None
        context = RequestContext(scope["method"], _raw_path(scope), dict(scope["headers"]), self.state, peer)
        scope["lenet.request"] = context
        self.metrics.in_flight.inc()
        try:
            response = await self._response(scope, receive, context)
            context.complete(response)
            await response(scope, receive, send)
        except Exception as error:
            LOG.error("Request %s failed.", context.request, exc_info=error)
            raise
        finally:
            self._bodies.release(context)
            self.metrics.in_flight.dec()
            self.record(context)

    async def _response(self, scope: Scope, receive: Receive, context: RequestContext) -> Response:
        try:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            _check_unique(scope, context)
            self._check_token(path, context)
            handler, scope["path_params"] = self._router.find(context.method, path)
            context.operation = handler.__name__
            if context.method == "POST":  # no other route uses a body, and some need no token
                await self._bodies.receive(context, receive)
            return await handler(Request(scope, receive))
        except asyncio.CancelledError:
            if not self.state.is_draining:  # cancelled by an outer application, not by the shutdown
                raise
            return self._error_response(BusyError("The server is shutting down. Retry after 1 s.", "shutdown"), context)
        except Exception as error:
            # The connection may have sent an error already. A variable for it would form a cycle with its traceback.
            return self._error_response(scope.get("lenet.refusal", error), context)

    def record(self, context: RequestContext) -> None:
        """Count and log a request after its response."""
        self.metrics.count_request(context.operation, context.status, context.seconds)
        if context.status in _REJECTED:
            self.metrics.rejected.labels(_REJECTED[context.status]).inc()
        self._on_request(context)
        if WRITER.dropped:
            self.metrics.log_lines_dropped.inc(WRITER.take_dropped())

    def _check_token(self, path: str, context: RequestContext) -> None:
        if self._tokens and path not in self._router.public_paths and not any(map(context.has_token, self._tokens)):
            raise HTTPException(401, "The token is missing or wrong. Send it as Authorization: Bearer TOKEN.",
                                {"www-authenticate": "Bearer"})  # fmt: skip

    def _error_response(self, error: Exception, context: RequestContext) -> Response:
        http_error = self._http_error(error, context)
        context.error = http_error.detail
        return JSONResponse({"error": context.error}, http_error.status_code, dict(http_error.headers or {}))

    def _http_error(self, error: Exception, context: RequestContext) -> HTTPException:
        if isinstance(error, MemoryError):
            error = BusyError(OUT_OF_MEMORY, "memory")
        if isinstance(error, BusyError):
            self.metrics.rejected.labels(error.reason).inc()
            return HTTPException(503, str(error), {"retry-after": str(error.retry_after)})
        if isinstance(error, LenetError):
            return HTTPException({NotServedError: 404, MissingExtraError: 501}.get(type(error), 400), str(error))
        if not isinstance(error, HTTPException):
            LOG.error("Request %s failed.", context.request, exc_info=error)
            return HTTPException(500, "Internal server error. The server's log has the details.")
        return error


def _check_unique(scope: Scope, context: RequestContext) -> None:
    """Reject a repeated header that two servers could interpret differently."""
    if len(context.headers) != len(scope["headers"]):
        names = Counter(name for name, _ in scope["headers"])
        for name in _UNIQUE:
            if names[name] > 1:
                raise HTTPException(
                    400, f"The request has {names[name]} {name.decode()} headers; expected at most one."
                )


def _raw_path(scope: Scope) -> str:
    """Return the path as it was sent, escaped in ASCII, so that it can be logged."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"]) if raw is None else raw.decode("ascii", "backslashreplace")
