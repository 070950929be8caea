"""Python threads over kernels that release the GIL.

The pool is made when it is first needed, and forgotten in a forked child, whose copy would have no threads.
"""

import operator
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from lenet.errors import ConfigurationError, InputError, InputTypeError

T = TypeVar("T")
_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_n_jobs(n_jobs: int | None) -> int:
    """Return the number of threads: `n_jobs`, or LENET_NUM_THREADS, or OMP_NUM_THREADS, or the cores; -1 means those.

    OMP_NUM_THREADS is what joblib, Dask and others set in their workers, that together they do not use
    more cores than there are. It is no setting of ours, so one that is no number is passed over.
    """
    if type(n_jobs) is int and n_jobs > 0:  # the usual case, quickly
        return n_jobs
    if n_jobs is None:
        setting = os.environ.get("LENET_NUM_THREADS")
        if not setting:
            shared = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a number for each nesting level
            return int(shared) if shared.isdecimal() and int(shared) > 0 else _cores()
        if not (setting.isdecimal() and int(setting) > 0):
            raise ConfigurationError(f"LENET_NUM_THREADS={setting} is no number of threads: set it to 1 or more.")
        return int(setting)
    if isinstance(n_jobs, bool) or not hasattr(n_jobs, "__index__"):
        raise InputTypeError(f"n_jobs is {n_jobs!r}: give a whole number of threads, or None for the default.")
    n_jobs = operator.index(n_jobs)
    if n_jobs == -1:
        return _cores()
    if n_jobs < 1:
        raise InputError(f"n_jobs is {n_jobs}: give 1 or more threads, -1 for all cores, or None for the default.")
    return n_jobs


def run_chunks(function: Callable[[slice], T], numbers: range, chunk: int, n_jobs: int | None) -> list[T]:
    """Return function(slice) for each chunk of a range, in order; the chunks run in up to n_jobs threads.

    The calling thread works too. After an exception, KeyboardInterrupt among them, no further chunk is begun.
    """
    chunks = [slice(start, min(start + chunk, numbers.stop)) for start in numbers[::chunk]]
    jobs = min(resolve_n_jobs(n_jobs), len(chunks))
    if jobs <= 1:
        return [function(each) for each in chunks]
    results: dict[int, T] = {}
    todo = deque(enumerate(chunks))  # popleft is atomic

    def work() -> None:
        while True:
            try:
                number, each = todo.popleft()
            except IndexError:
                return
            try:
                results[number] = function(each)
            except BaseException:
                todo.clear()
                raise

    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(64, jobs), thread_name_prefix="lenet")
    futures: list[Future[None]] = []
    try:
        for _ in range(jobs - 1):
            futures.append(_pool.submit(work))
        work()
    finally:  # after this, no thread writes to what is the caller's
        todo.clear()
        futures = [future for future in futures if not future.cancel()]  # those that never began are not waited for
        wait(futures)
    for future in futures:
        future.result()
    return [results[number] for number in range(len(chunks))]
