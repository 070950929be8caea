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
_JOINED = 2**16  # bytes that are sent without waiting for more
_CONTINUE = b"HTTP/1.1 100"


class TimedProtocol(H11Protocol):
    """One connection.

    A clock runs from its beginning, or the first byte of a request, until the request is there; another one while the
    client does not take what is sent. When one runs out, the connection is closed. When there are more connections
    than may be, the one whose clock would run out first is closed.

    The limits are those of the application where that is what `create_app` returns, also if uvicorn has wrapped it;
    otherwise, as where it is mounted in another, the defaults.
    """

    def __init__(self, *args: Any, **named: Any):
        super().__init__(*args, **named)
        app = getattr(self.app, "app", self.app)
        self._guard = app if isinstance(app, Guard) else None
        self._limits = Limits() if self._guard is None else self._guard.limits
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, and make room."""
        super().connection_made(_Joining(transport))  # type: ignore[arg-type]
        self._receiving = self.loop.call_later(self._limits.receive_seconds, self._too_slow)
        if len(self.connections) > self._limits.connections:
            self._close_one()

    def _close_one(self) -> None:
        clocks = {each: each.waits_until() for each in self.connections if isinstance(each, TimedProtocol)}
        waiting = {each: until for each, until in clocks.items() if until is not None and each is not self}
        (min(waiting, key=waiting.__getitem__) if waiting else self).end()

    def waits_until(self) -> float | None:
        """Return when the connection is closed if its client does nothing; None while a request is computed."""
        handle = self._receiving or self.timeout_keep_alive_task
        return None if handle is None else handle.when()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends, and see whether a request is complete."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_receiving()
        elif self._receiving is None:
            self._receiving = self.loop.call_later(self._limits.receive_seconds, self._too_slow)

    def _stop_receiving(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _too_slow(self) -> None:
        self._receiving = None
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application, which waits for the body, ends and notes it
            self.cycle.message_event.set()
        elif self.conn.trailing_data[0]:
            self._note(408, "The head of the request took too long.")
        else:  # a browser may have connected in advance, and would take an answer for that to its first request
            self.end()
            return
        self._answer(408, f"The request took longer than {self._limits.receive_seconds:g} s to arrive.")

    def on_response_complete(self) -> None:
        """Send what was joined."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        text = "This is no proper HTTP/1.1 request, or its head is too long."
        self._note(400, text)
        self._answer(400, text)

    def _answer(self, status: int, message: str) -> None:
        """Send an error, where one can be sent, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            body = json.dumps({"error": message}).encode()
            headers = [
                (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"), NO_SNIFFING,
            ]  # fmt: skip
            for event in (
                h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage(),
            ):  # fmt: skip
                self.transport.write(self.conn.send(event) or b"")
        self.end()

    def _note(self, status: int, error: str) -> None:
        if self._guard is not None:
            self._guard.note(Call("", "", {}, status=status, error=error))

    def end(self) -> None:
        """Close the connection; what was sent may still be taken for a moment."""
        self.transport.close()
        if self._lingering is None:
            self._lingering = self.loop.call_later(_LINGER, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which no further request comes."""
        super().timeout_keep_alive_handler()
        self.end()

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
        self._stop_receiving()
        self._stop_sending()
        if self._lingering is not None:
            self._lingering.cancel()


class _Joining:
    """A transport that sends an answer's head and body together: one call of the system instead of two.

    Parameters
    ----------
    transport : asyncio.Transport
        What all else is left to.
    """

    def __init__(self, transport: asyncio.Transport):
        self._transport, self._parts, self._length = transport, list[bytes](), 0
        self.is_closing, self.abort = transport.is_closing, transport.abort
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._length += len(data)
        if self._length > _JOINED or data.startswith(_CONTINUE):
            self.flush()

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()
            self._length = 0

    def close(self) -> None:
        self.flush()
        self._transport.close()
