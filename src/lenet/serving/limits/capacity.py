"""Bounds on the work in threads."""

import asyncio
import contextlib
import math
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from lenet._fused.threads import resolve_n_jobs

OUT_OF_MEMORY = "The server has too little memory for this request. Retry after 1 s."

T = TypeVar("T")
_working: set[int] = set()  # the threads that run a function
_OnDone = Callable[[asyncio.Future[Any], Any, BaseException | None], None]
# A future, its function until a thread takes it, and the callback for the result or the error, in the event loop.
_Tasks = queue.SimpleQueue[tuple[asyncio.Future[Any], list[Callable[[], Any]], _OnDone] | None]


class BusyError(Exception):
    """The server is too busy to handle a request; `reason` is the label of the metric "lenet_rejected"."""

    def __init__(self, message: str | None = None, reason: str = "busy", retry_after: int = 1):
        super().__init__(message or f"The server is at capacity. Retry after {retry_after} s.")
        self.reason, self.retry_after = reason, retry_after


class ThreadPool:
    """Runs functions in one thread per core, and rejects those that it probably could not complete in time.

    Its threads are daemons: a program can exit while a function runs.
    A caller waits for up to `timeout` seconds. Until it ends, a function counts as `pending`, even if its caller no
    longer waits; `on_change` is called with 1 or -1 when one is added or ends.
    """

    def __init__(self, max_pending: int, timeout: float, on_change: Callable[[int], None] = lambda change: None):
        self._on_change = on_change
        self._max_pending, self._timeout = max_pending, timeout
        self.pending = 0
        self._num_threads, self._num_started = resolve_n_jobs(None), 0
        self._tasks: _Tasks = queue.SimpleQueue()
        self._seconds = deque[float](maxlen=16)  # of the last functions
        weakref.finalize(self, _stop, self._tasks, self._num_threads)

    async def run(self, function: Callable[[], T]) -> T:
        """Return the function's result.

        Raises
        ------
        BusyError
            If `max_pending` functions are pending, or so many that this one would probably not end in time; if the
            system allows no thread; or if it does not end in time. In the last case, it is cancelled if it has not
            started; otherwise, it runs to its end.
        """
        expected = self._expected_seconds()
        if self.pending >= self._max_pending or expected > self._timeout:
            raise BusyError(retry_after=max(1, math.ceil(min(expected, self._timeout))))
        waiting = [function]  # until a thread takes it
        future = self._submit(waiting)
        del function  # the traceback of an error would keep it, and everything it refers to, in memory
        try:
            async with asyncio.timeout(self._timeout) as timeout:
                return await future
        except TimeoutError:
            if not timeout.expired():  # the function's own
                raise
            raise BusyError(
                f"The response was not ready within {self._timeout:g} s, including the time in the queue. "
                "Retry later or send a smaller request.",
                "deadline",
            ) from None
        finally:
            with contextlib.suppress(IndexError):  # a thread has taken the function, and `_on_done` counts its end
                waiting.pop()
                self._change(-1)
            del future  # an error in it refers to this frame

    def _expected_seconds(self) -> float:
        """Return how long another function would probably wait and run; 0 if a thread is free."""
        if self.pending < self._num_threads or not self._seconds:
            return 0.0
        durations = list(self._seconds)  # at once: the threads append to it
        return (self.pending / self._num_threads + 1) * sum(durations) / len(durations)

    def _submit(self, waiting: list[Callable[[], T]]) -> asyncio.Future[T]:
        if self._num_started < min(self.pending + 1, self._num_threads):
            arguments = (self._tasks, self._seconds)
            with contextlib.suppress(RuntimeError):  # the system allows no more threads now; running threads continue
                threading.Thread(target=_work, args=arguments, name="lenet-serve", daemon=True).start()
                self._num_started += 1
        if not self._num_started:
            raise BusyError
        self._change(1)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tasks.put((future, waiting, self._on_done))
        return future

    def _on_done(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        """Give the caller a result or an error, unless it no longer waits."""
        self._change(-1)
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _change(self, change: int) -> None:
        self.pending += change
        self._on_change(change)


def _work(tasks: _Tasks, seconds: deque[float]) -> None:
    """Run functions until None comes, and record how long each takes."""
    while (task := tasks.get()) is not None:
        _run(*task, seconds)
        del task  # it refers to a body


def _run(
    future: asyncio.Future[Any], waiting: list[Callable[[], Any]], on_done: _OnDone, seconds: deque[float]
) -> None:
    try:
        function = waiting.pop()
    except IndexError:  # its caller has taken it back
        return
    result = error = None
    started = time.perf_counter()
    _working.add(threading.get_ident())
    try:
        result = function()
    except BaseException as raised:  # for the caller
        error = raised
    _working.discard(threading.get_ident())
    seconds.append(time.perf_counter() - started)
    with contextlib.suppress(RuntimeError):  # the loop was closed before the function ended
        future.get_loop().call_soon_threadsafe(on_done, future, result, error)
    del function, future, error  # the traceback of the error refers to this frame


def any_thread_runs() -> bool:
    """Return whether a thread of any pool runs a function."""
    return bool(_working)


def exit_if_working() -> None:
    """Exit at once if a thread of any pool is working: within OpenCV, Python's own exit would abort."""
    if _working:
        os._exit(0)


def _stop(tasks: _Tasks, num_threads: int) -> None:
    for _ in range(num_threads):
        tasks.put(None)


class GilTurns:
    """Alternates between the event loop and threads that hold the GIL for milliseconds.

    The event loop must reacquire the GIL after each of the ten or so system calls of a request. If other threads held
    the GIL all the time, it would wait each time. So one thread at a time has a turn, as a context manager, and the
    next turn begins after a pause of the same duration.
    """

    def __init__(self) -> None:
        self._lock, self._next = threading.Lock(), 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        time.sleep(max(0.0, self._next - time.perf_counter()))
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        now = time.perf_counter()
        self._next = now + (now - self._began)
        self._lock.release()


GIL_TURNS = GilTurns()  # of this process
