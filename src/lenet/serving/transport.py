"""The transport and the timers of a connection."""

import asyncio
from collections.abc import Callable, Sized
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

_LINGER = 1.0  # seconds for a client to close after it was sent everything, before its connection is aborted


class PipelineFlowControl(FlowControl):
    """Flow control that resumes reading only when no request waits for an earlier response, or memory would grow."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized):
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Resume unless requests wait."""
        if not self._pipeline:
            super().resume_reading()


class BufferedTransport:
    """A transport that joins the writes of one iteration of the event loop, and has a deadline for closing.

    A response's header and body are then sent by one system call. One callback sends all responses of an iteration,
    those of the transports in `unsent`. After `close`, it discards data from the client until the client closes, too:
    otherwise, the operating system would reset the connection, and the client could lose the response.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        unsent: list["BufferedTransport"],
        send_seconds: float = _LINGER,
    ):
        self._transport, self._loop, self._unsent, self._parts = transport, loop, unsent, list[bytes]()
        self._send_seconds = send_seconds
        self._close_timer: asyncio.TimerHandle | None = None
        self.abort = transport.abort
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data at the end of this iteration of the event loop."""
        if not self._parts:
            if not self._unsent:
                self._loop.call_soon(_flush_all, self._unsent)
            self._unsent.append(self)
        self._parts.append(data)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if not parts or self._close_timer is not None:
            return
        try:
            self._transport.write(b"".join(parts))
        except Exception:  # part of a response is worse than none, and other connections wait for theirs
            self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or is to be closed."""
        return self._close_timer is not None or self._transport.is_closing()

    def close(self) -> None:
        """Send the remaining data and close; abort after some seconds if the client does not read it."""
        if self._close_timer is not None:
            return
        self._flush()
        is_unsent = self._transport.get_write_buffer_size() > 0
        seconds = max(_LINGER, self._send_seconds) if is_unsent else _LINGER
        self._close_timer = self._loop.call_later(seconds, self._transport.abort)
        if not self._transport.can_write_eof():  # TLS
            self._transport.close()
            return
        self._transport.resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # the client has disconnected
            self._transport.abort()

    def lost(self) -> None:
        """Stop the timer."""
        if self._close_timer is not None:
            self._close_timer.cancel()


def _flush_all(unsent: list[BufferedTransport]) -> None:
    transports = unsent[:]
    unsent.clear()
    for transport in transports:
        transport._flush()


class LazyTimer:
    """A timer that is started for every request: it is not cancelled, but checked when it expires."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]):
        self._loop, self._callback = loop, callback
        self._expiry: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Schedule the callback in `seconds`, which must be the same on every call."""
        self._expiry = self._loop.time() + seconds
        if self._handle is None:
            self._handle = self._loop.call_at(self._expiry, self._check)

    def cancel(self) -> None:
        """Cancel the call."""
        self._expiry = None

    def stop(self) -> None:
        """Cancel the call, and release the event loop's timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        self._handle = None
        if self._expiry is None:
            return
        if self._loop.time() < self._expiry:
            self._handle = self._loop.call_at(self._expiry, self._check)
        else:
            self._callback()
