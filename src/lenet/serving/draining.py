"""uvicorn's server, which is not ready for some time before it stops, and returns after a signal."""

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from lenet.serving.connections import application_of
from lenet.serving.logs import WRITER


@contextlib.contextmanager
def restored_handlers(numbers: Iterable[int]) -> Iterator[None]:
    """Restore the handlers of signals at the end."""
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: it was not installed by Python
                signal.signal(number, handler)


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which is not ready for some time before it stops, and stops without tracebacks."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]):
        super().__init__(config)
        self._on_ready = on_ready

    def run_until_signal(self, listening: socket.socket) -> None:
        """Run until SIGTERM or Ctrl-C; uvicorn's own handlers would raise the signal again at the end."""
        with restored_handlers(HANDLED_SIGNALS):
            for number in HANDLED_SIGNALS:
                signal.signal(number, self.handle_exit)
            self.run(sockets=[listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and report it."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # excludes modules and models from garbage collection, which would delay requests by 50 ms
        self._on_ready()

    async def _wait_tasks_to_complete(self) -> None:
        """Wait for connections and requests; from Python 3.12.1 on, uvicorn's method ignores a second Ctrl-C."""
        while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:
            await asyncio.sleep(0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, unless after Ctrl-C, and stop."""
        application = application_of(self.config.loaded_app)
        if application is not None:
            application.state.is_draining = True
            end = time.monotonic() + application.limits.drain_seconds
            while time.monotonic() < end and signal.SIGINT not in self._captured_signals:
                await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()
        WRITER.flush()
        gc.unfreeze()
