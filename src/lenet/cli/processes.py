"""Share the pictures of a folder among processes; threads would mostly wait for Python's global interpreter lock."""

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")
_WARM_UP = 0.25  # seconds: the first pictures take longer, as they import OpenCV
_MIN_SECONDS = 2.0  # of the work that is left: processes take half a second to start
_SECONDS_OF_TASK = 0.1
_MAX_BY_DEFAULT, _MAX_PROCESSES = 8, 61  # each takes 100 to 200 MB; Windows allows no more
_call: Callable[[Any], Any]  # of a worker process


def results_of(call: Callable[[str], _T], names: Sequence[str], n_jobs: int | None) -> Generator[_T, None, None]:
    """Yield the result of a function for each name, in their order.

    If the first results show that the others will take long, `n_jobs` processes compute them. The function must be
    picklable, and should raise no errors. If processes cannot be started, or one dies, this process computes the rest.
    """
    from lenet._fused.threads import resolve_n_jobs

    processes = min(resolve_n_jobs(n_jobs), _MAX_BY_DEFAULT if n_jobs is None else _MAX_PROCESSES)
    done, start = 0, time.monotonic()
    while done < len(names):
        yield call(names[done])
        done += 1
        elapsed, left = time.monotonic() - start, len(names) - done
        is_long = elapsed >= _WARM_UP and elapsed / done * left >= _MIN_SECONDS
        if is_long and processes > 1 and not _is_frozen():
            size = max(1, round(_SECONDS_OF_TASK * done / elapsed))
            for result in _results_of_workers(call, names[done:], min(processes, left), size):
                yield result
                done += 1
            processes = 1


def _results_of_workers(call: Callable[[str], _T], names: Sequence[str], processes: int, size: int) -> Iterator[_T]:
    """Yield the results that worker processes compute, each in tasks of `size` names, until one fails."""
    import multiprocessing
    from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads as they are
    with (
        contextlib.suppress(BrokenExecutor, OSError, ImportError, NotImplementedError),
        ProcessPoolExecutor(processes, context, _start_worker, (call,)) as pool,
    ):
        with _ignored_interrupts():
            results = pool.map(_result, names, chunksize=size)
        yield from results  # if it is closed early, the tasks that are left are cancelled


def _is_frozen() -> bool:
    """Return whether a bundler such as PyInstaller made this program, which would run again in each process."""
    return bool(getattr(sys, "frozen", False))


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C, and let the processes that are started ignore it, too."""
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(call: Callable[[str], Any]) -> None:
    from lenet._extras import cv2

    global _call
    _call = call
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # not inherited on Windows
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    warnings.filterwarnings("ignore", module="PIL")
    cv2.setNumThreads(1)


def _exit_with_parent() -> None:
    """End a worker process when the main process has died."""
    from multiprocessing import connection, parent_process

    if (parent := parent_process()) is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _result(name: str) -> Any:
    return _call(name)
