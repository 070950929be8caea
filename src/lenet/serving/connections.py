"""HTTP connections with deadlines for slow clients, which uvicorn does not have."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from lenet.errors import InputError
from lenet.serving.asgi import Application
from lenet.serving.limits.capacity import OUT_OF_MEMORY
from lenet.serving.limits.parsing import Part, StrictProtocol
from lenet.serving.limits.settings import Limits
from lenet.serving.request_context import NO_SNIFFING, RequestContext
from lenet.serving.transport import BufferedTransport, LazyTimer, PipelineFlowControl

_MAX_DRAINED = 2**19  # bytes from a client after the end of its last response, before its connection is aborted
_READ_BYTES = 2**16  # at once from each connection: with asyncio's 256 KiB, the other connections would wait longer
_HEADER = object()  # while the header of a request is being received


def application_of(app: Any) -> Application | None:
    """Return the application of `create_app`, which uvicorn may have wrapped; None if it is another one."""
    while not isinstance(app, Application) and hasattr(app, "app"):
        app = app.app
    return app if isinstance(app, Application) else None


class TimedProtocol(StrictProtocol):
    """One connection.

    One timer runs from the start of the connection, or the first byte of a request, until the request is complete;
    another runs while the client does not read. When a timer expires, the connection is closed. When there are too many
    connections, the one that has waited longest for its client is closed.

    If the application is from `create_app`, directly or wrapped by uvicorn, its limits apply. Otherwise, as when it is
    mounted in another application, the default limits apply.
    """

    def __init__(self, *args: Any, **named: Any):
        super().__init__(*args, **named)
        self._application = application_of(self.app)
        self._limits = Limits() if self._application is None else self._application.limits
        # The connections that wait for their clients, the longest first.
        self._waiting: dict[TimedProtocol, None] = vars(self.server_state).setdefault("lenet_waiting", {})
        self._responding: RequestResponseCycle | None = None  # the last request whose response has begun
        self._receiving: object = None  # None, _HEADER, or the cycle whose body is incomplete
        self._refusal: HTTPException | None = None  # of a request that waits for earlier responses
        self._drained = 0  # bytes that arrived after the connection was closed
        self._idle_timer = LazyTimer(self.loop, self.timeout_keep_alive_handler)
        self._receive_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer, and close another connection if there are too many."""
        if hasattr(transport, "max_size"):  # asyncio's plain TCP transports only; TLS and uvloop keep their own size
            transport.max_size = _READ_BYTES
        unsent: list[BufferedTransport] = vars(self.server_state).setdefault("lenet_unsent", [])
        buffered = BufferedTransport(transport, self.loop, unsent, self._limits.receive_seconds)
        super().connection_made(buffered)  # type: ignore[arg-type]
        self.flow = PipelineFlowControl(self.transport, self.pipeline)
        self._set_receiving(_HEADER)
        if self._application is not None:
            self._application.metrics.connections.inc()
        if len(self.connections) > self._limits.connections:
            self._close_longest_waiting()

    def _close_longest_waiting(self) -> None:
        victim = next(iter(self._waiting))  # at least this connection is waiting
        del self._waiting[victim]  # now, since other connections may be made before it is lost
        self.connections.discard(victim)
        victim.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Receive data, and start or stop the timer."""
        if self.transport.is_closing():
            self._drained += len(data)
            if self._drained > _MAX_DRAINED:  # it could send megabytes, which take longer to read than to discard
                self.transport.abort()
            return
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        try:
            self.feed(data)
        except InputError as error:
            self._reject_in_order(HTTPException(400, str(error)))
        except MemoryError:
            if self._application is not None:
                self._application.metrics.rejected.labels("memory").inc()
            self._reject_in_order(HTTPException(503, OUT_OF_MEMORY, {"retry-after": "1"}))
        if not self.transport.is_closing():
            self._set_receiving(self._incomplete())

    def _reject_in_order(self, error: HTTPException) -> None:
        """Reject a request that cannot be received, after the responses to those before it."""
        if self.part is Part.BODY and self.pipeline:
            self.pipeline.popleft()  # this request
        elif self.part is Part.BODY or not self._is_responding():
            self._reject(error)
            return
        self._refusal, self.part = error, Part.BEGINNING
        self.flow.pause_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._responding = cycle
        super()._start_asgi_task(cycle, app)

    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        """Continue with the next request, which may have arrived in part."""
        self.server_state.total_requests += 1
        if self._refusal is not None and not self.pipeline:
            self._reject(self._refusal)
        elif self.transport.is_closing():
            self._waiting.setdefault(self)  # for the client to read the rest and close
        else:
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle_timer.start(self.timeout_keep_alive)
                self.timeout_keep_alive_task = self._idle_timer  # type: ignore[assignment]
            self.flow.resume_reading()
            self._set_receiving(self._incomplete())

    def _incomplete(self) -> object:
        """Return the cycle of an incomplete body, `_HEADER` for an incomplete header, or None."""
        if self.pipeline:
            return None
        if self.part is Part.BODY:
            return self.cycle
        is_expected = self.part is Part.HEAD or self.timeout_keep_alive_task is None
        return _HEADER if is_expected and not self._is_responding() else None

    def _set_receiving(self, receiving: object) -> None:
        """Set what is being received; its timer runs from the first byte of the header to the end of the body."""
        previous, self._receiving = self._receiving, receiving
        is_waiting = receiving is not None or self.timeout_keep_alive_task is not None
        if receiving is not previous or not is_waiting:  # progress moves it to the end of the order
            self._waiting.pop(self, None)
        if is_waiting:
            self._waiting.setdefault(self)
        if receiving is previous or (previous is _HEADER and receiving is not None):
            return
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None
        if receiving is not None:
            self._unset_keepalive_if_required()
            self._receive_timer = self.loop.call_later(self._limits.receive_seconds, self._on_receive_timeout)

    def _on_receive_timeout(self) -> None:
        self._receive_timer = None
        if self._receiving is _HEADER and self.part is Part.BEGINNING:
            # A browser may have connected in advance, and would take this as the response to its first request.
            self.transport.close()
        else:
            message = f"The request took longer than {self._limits.receive_seconds:g} s to arrive. Send it faster."
            self._reject(HTTPException(408, message))

    def _reject(self, error: HTTPException) -> None:
        """Respond with an error to an incomplete request, and close the connection."""
        peer = self.client[0] if self.client else None
        context = RequestContext("", "", {}, status=error.status_code, error=error.detail, peer=peer)
        has_started_response = self.part is Part.BODY and self.cycle.response_started
        if self.part is Part.BODY and not self.cycle.response_complete:
            scope: Any = self.cycle.scope
            context = scope.get("lenet.request", context)
            scope["lenet.refusal"] = error
            self.cycle.disconnected = True  # the application, which waits for the body, ends and records the request
            self.cycle.message_event.set()
        elif self._application is not None and not has_started_response:
            self._application.record(context)
        if not has_started_response and not self.transport.is_closing():
            self._send_error(error, context)
        self.transport.close()

    def _send_error(self, error: HTTPException, context: RequestContext) -> None:
        status, body = error.status_code, json.dumps({"error": error.detail}).encode()
        headers = [
            *self.server_state.default_headers, (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)), (b"connection", b"close"),
            (b"x-request-id", context.request.encode()), NO_SNIFFING,
            *((name.encode(), value.encode()) for name, value in (error.headers or {}).items()),
        ]  # fmt: skip
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode()), *map(b": ".join, headers)]
        self.transport.write(b"\r\n".join([*lines, b"", body]))

    def shutdown(self) -> None:
        """Close the connection after the response to a request that has begun, or at once if there is none."""
        if self._application is not None:
            self._application.state.is_draining = True
            if self._receiving is _HEADER and self.part is Part.HEAD:
                return  # the response closes the connection
        super().shutdown()

    def pause_writing(self) -> None:
        """Start the timer for the client to read."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._limits.receive_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer."""
        super().resume_writing()
        self._stop_send_timer()

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, which would keep the connection in memory, and the request in progress."""
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._responding is not None:  # uvicorn notifies only the last request that arrived
            self._responding.disconnected = True
            self._responding.message_event.set()
        self._unset_keepalive_if_required()
        self._idle_timer.stop()
        self._set_receiving(None)
        self._stop_send_timer()
        if self._application is not None:
            self._application.metrics.connections.dec()
        self.transport.lost()  # type: ignore[attr-defined]
