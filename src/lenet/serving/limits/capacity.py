"""Bounds on the work in progress: in threads, and in the event loop."""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lenet._fused.threads import resolve_n_jobs

T = TypeVar("T")


class BusyError(Exception):
    """The server has too much to do for a request; `reason` is the label of the metric "lenet_rejected"."""

    def __init__(self, message: str = "The server is at capacity. Retry after 1 s.", reason: str = "busy"):
        super().__init__(message)
        self.reason = reason


class ThreadPool:
    """Runs functions in one thread per core.

    Parameters
    ----------
    max_pending : int
        Number of functions that run or wait. A function counts until it ends, even if its caller no longer waits.
    timeout : float
        How long a caller waits, in seconds.
    """

    def __init__(self, max_pending: int, timeout: float):
        self._max_pending, self._timeout = max_pending, timeout
        self._pending = 0
        self._threads = ThreadPoolExecutor(resolve_n_jobs(None), thread_name_prefix="lenet-serve")

    async def run(self, function: Callable[[], T]) -> T:
        """Return the function's result.

        Raises
        ------
        BusyError
            If `max_pending` functions are pending, or the function takes too long. In the latter case it is cancelled
            if it has not started, and otherwise runs to its end.
        """
        if self._pending >= self._max_pending:
            raise BusyError
        self._pending += 1
        future = self._threads.submit(function)
        future.add_done_callback(functools.partial(self._on_done, asyncio.get_running_loop()))
        awaitable = asyncio.wrap_future(future)
        del future, function  # the traceback of an error would keep them, and all that they hold, in memory
        try:
            async with asyncio.timeout(self._timeout) as timeout:
                return await awaitable
        except TimeoutError:
            if not timeout.expired():  # the function's own
                raise
            raise BusyError(
                f"The response took longer than {self._timeout:g} s to compute. Send less, or retry later.", "deadline"
            ) from None
        finally:
            del awaitable

    def _on_done(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        def decrement() -> None:
            self._pending -= 1

        with contextlib.suppress(RuntimeError):  # the loop was closed before the function ended
            loop.call_soon_threadsafe(decrement)


class EventLoopBudget:
    """Bounds the number of images per iteration of the event loop, so that no other request waits for long."""

    def __init__(self, max_images: int):
        self._max_images, self._spent = max_images, 0

    def spend(self, images: int) -> None:
        """Count images before they are computed; raise BusyError if there are too many in this iteration."""
        if self._spent + images > self._max_images:
            raise BusyError
        if self._spent == 0:
            asyncio.get_running_loop().call_soon(self._reset)
        self._spent += images

    def _reset(self) -> None:
        self._spent = 0
