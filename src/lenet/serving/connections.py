"""Connections that end in time: uvicorn's HTTP over h11, with the deadlines that it does not have."""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lenet.serving.calls import NO_SNIFFING, Call
from lenet.serving.guard import Guard
from lenet.serving.limits import Limits

_LINGER = 1.0  # seconds in which a client should take the rest of what is sent, before its connection is cut
_HEAD = object()  # what is being received, before it is known as a request


class TimedProtocol(H11Protocol):
    """One connection.

    A clock runs from its beginning, or the first byte of a request, until the request is there; another one while the
    client does not take what is sent. When one runs out, the connection is closed. When there are more connections
    than may be, the one that has waited longest for its client is closed.

    The limits are those of the application where that is what `create_app` returns, also if uvicorn has wrapped it;
    otherwise, as where it is mounted in another, the defaults.
    """

    def __init__(self, *args: Any, **named: Any):
        super().__init__(*args, **named)
        app: Any = self.app
        while not isinstance(app, Guard) and hasattr(app, "app"):
            app = app.app
        self._guard = app if isinstance(app, Guard) else None
        self._limits = Limits() if self._guard is None else self._guard.limits
        # All connections that wait for their clients, the longest first.
        self._waiting: dict[TimedProtocol, None] = vars(self.server_state).setdefault("lenet_waiting", {})
        self._received: object = None  # None, _HEAD, or the cycle whose body is not all there
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, and make room."""
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]
        self._receive(_HEAD)
        if len(self.connections) > self._limits.connections:
            self._close_one()

    def _close_one(self) -> None:
        victim = next(iter(self._waiting))  # there is one: this connection itself, if no other
        del self._waiting[victim]  # now, as others may come before it has ended
        self.connections.discard(victim)
        victim.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends, and see what is missing."""
        super().data_received(data)
        self._receive(self._incomplete())

    def on_response_complete(self) -> None:
        """Go on to the next request, a part of which may be there."""
        super().on_response_complete()
        self._receive(self._incomplete())

    def _incomplete(self) -> object:
        """Return what is not all there: the cycle of a request's body, the head of a request, or nothing."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.cycle
        return _HEAD if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0] else None

    def _receive(self, what: object) -> None:
        """Run the clock for what is being received: from its first byte, which is that of its head."""
        before, self._received = self._received, what
        self._wait_for_client(what is not None or self.timeout_keep_alive_task is not None, what is not before)
        if what is before or (before is _HEAD and what is not None):
            return
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None
        if what is not None:
            self._receiving = self.loop.call_later(self._limits.receive_seconds, self._too_slow)

    def _wait_for_client(self, waits: bool, anew: bool) -> None:
        """Note whether something is up to the client; those of whom most was seen lately come last."""
        if anew or not waits:
            self._waiting.pop(self, None)
        if waits:
            self._waiting.setdefault(self)

    def _too_slow(self) -> None:
        self._receiving = None
        if self._received is _HEAD and not self.conn.trailing_data[0]:
            # A browser may have connected in advance, and would take an answer for that to its first request.
            self.transport.close()
        else:
            self._refuse(408, f"The request took longer than {self._limits.receive_seconds:g} s to arrive.")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "This is no proper HTTP/1.1 request, or its head is too long.")

    def _refuse(self, status: int, message: str) -> None:
        """Answer a request that is not all there, and close."""
        call = Call("", "", {}, status=status, error=message)
        if self.cycle is not None and not self.cycle.response_complete:
            scope: Any = self.cycle.scope
            call = scope.get("lenet.call", call)
            self.cycle.disconnected = True  # the application, which waits for the body, ends and notes it
            self.cycle.message_event.set()
        elif self._guard is not None:
            self._guard.note(call)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            self._send_error(status, message, call)
        self.transport.close()

    def _send_error(self, status: int, message: str, call: Call) -> None:
        body = json.dumps({"error": message}).encode()
        headers = [
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close"),
            (b"x-request-id", call.request.encode()), NO_SNIFFING,
        ]  # fmt: skip
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: uvicorn would advise to install what would not help."""

    def pause_writing(self) -> None:
        """Give the client some time to take what was sent."""
        super().pause_writing()
        self._sending = self.loop.call_later(self._limits.receive_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it does."""
        super().resume_writing()
        self._stop_sending()

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, each of which keeps what a connection holds in memory."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._receive(None)
        self._waiting.pop(self, None)
        self._stop_sending()
        self.transport.lost()  # type: ignore[attr-defined]


class _Joining:
    """A transport that sends an answer's head and body together, and that closes in time.

    The parts that are written in one round of the event loop are sent by one call of the system.

    Parameters
    ----------
    transport : asyncio.Transport
        What all else is left to.
    loop : asyncio.AbstractEventLoop
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport, self._loop, self._parts = transport, loop, list[bytes]()
        self._lingering: asyncio.TimerHandle | None = None
        self.is_closing, self.abort = transport.is_closing, transport.abort
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        """Send what is left, and close; the client has a moment to take it."""
        self._flush()
        self._transport.close()
        if self._lingering is None:
            self._lingering = self._loop.call_later(_LINGER, self._transport.abort)

    def lost(self) -> None:
        """Stop the clock."""
        if self._lingering is not None:
            self._lingering.cancel()
