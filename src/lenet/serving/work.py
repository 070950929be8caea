"""Threads for what takes longer than the event loop should wait, and a bound on how much of it there is."""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lenet._fused.threads import resolve_n_jobs

T = TypeVar("T")


class BusyError(Exception):
    """As much work is in flight as may be."""


class Work:
    """Runs functions in threads, as many at a time as there are cores.

    Parameters
    ----------
    most : int
        Functions that run or wait. One counts until it has ended, also when nobody waits for it any more.
    seconds : float
        How long one is waited for.
    """

    def __init__(self, most: int, seconds: float):
        self._most, self._seconds = most, seconds
        self._pending = 0
        self._threads = ThreadPoolExecutor(resolve_n_jobs(None), thread_name_prefix="lenet-serve")

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns.

        Raises
        ------
        BusyError
            If there is too much already.
        TimeoutError
            If it takes too long. It is not begun then; or, if it has begun, ends for nobody.
        """
        if self._pending >= self._most:
            raise BusyError
        self._pending += 1
        future = self._threads.submit(function)
        future.add_done_callback(functools.partial(self._ended, asyncio.get_running_loop()))
        waiting = asyncio.wrap_future(future)
        del future, function  # what they hold would be kept by the traceback of an error, which they hold
        try:
            async with asyncio.timeout(self._seconds):
                return await waiting
        finally:
            del waiting

    def _ended(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        def count() -> None:
            self._pending -= 1

        with contextlib.suppress(RuntimeError):  # the loop has ended before the function did
            loop.call_soon_threadsafe(count)
