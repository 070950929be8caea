"""Python threads over kernels that release the GIL.

Threads start when they are first needed. A forked child replaces the pool, since its copy has no threads.
"""

import functools
import operator
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from sys import is_finalizing
from typing import Generic, TypeVar

from lenet._checks import short_repr
from lenet.errors import ConfigurationError, InputError, InputTypeError

T = TypeVar("T")


class _Pool:
    """Threads that wait for tasks.

    A ThreadPoolExecutor accepts no task after the main thread has ended, although other threads and atexit functions
    may still predict. It also hangs if a signal handler submits a task while the interrupted code does. These threads
    are daemons, so that the exit does not wait for them, and `offer` takes no lock.
    """

    MAX_THREADS = max(64, os.cpu_count() or 1)

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: deque[None] = deque()  # an item for each waiting thread; pop and append are atomic

    def offer(self, task: Callable[[], None]) -> bool:
        """Let a thread run a task, which must not raise; return False if no thread is available."""
        if is_finalizing():  # another thread would never run again
            return False
        try:
            self._idle.pop()
        except IndexError:
            if not self._start():
                return False
        self._tasks.put(task)
        return True

    def _start(self) -> bool:
        if len(self._threads) >= self.MAX_THREADS:
            return False
        thread = threading.Thread(target=self._serve, name="lenet", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is left or, since Python 3.12, the interpreter is shutting down
            return False
        self._threads.append(thread)
        return True

    def _serve(self) -> None:
        while True:
            self._tasks.get()()
            self._idle.append(None)


_pool = _Pool()


def _forget_pool() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count(setting: str) -> int:
    """Return the number in a setting, or 0 if it is not a number of at most 9 digits."""
    return int(setting) if setting.isdecimal() and len(setting) < 10 else 0


def _default_n_jobs() -> int:
    """Return LENET_NUM_THREADS, or else OMP_NUM_THREADS, or else the number of cores.

    joblib, Dask and others set OMP_NUM_THREADS in their workers so that, together, these do not oversubscribe the
    cores. It is not lenet's setting, so an invalid value is ignored.
    """
    setting = os.environ.get("LENET_NUM_THREADS")
    if not setting:
        outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # of the nesting levels
        return _count(outermost) or _cores()
    count = _count(setting)
    if not count:
        raise ConfigurationError(f"LENET_NUM_THREADS is {setting[:80]!r}; expected an integer of at least 1.")
    return count


def resolve_n_jobs(n_jobs: int | None, name: str = "n_jobs") -> int:
    """Return the number of threads: `n_jobs`, or the default for None, or the number of cores for -1."""
    if type(n_jobs) is int and n_jobs > 0:  # fast path
        return n_jobs
    if n_jobs is None:
        return _default_n_jobs()
    try:
        number = operator.index(n_jobs)
    except TypeError:  # also raised for most arrays, although all have __index__
        number = None
    if number is None or isinstance(n_jobs, bool):
        raise InputTypeError(f"{name} is {short_repr(n_jobs)}; expected an integer, or None for the default.")
    if number == -1:
        return _cores()
    if number < 1:
        raise InputError(f"{name} is {number}; expected at least 1, -1 for all cores, or None for the default.")
    return number


def n_jobs_per_process() -> int | None:
    """Return `n_jobs` for one of many processes: 1, unless the environment sets the number of threads."""
    return None if os.environ.get("LENET_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") else 1


class _Job(Generic[T]):
    """Chunks that the calling thread and its helpers process one by one until none is left."""

    def __init__(self, function: Callable[[slice], T], chunks: list[slice]):
        self._function = function
        self._todo = deque(enumerate(chunks))  # popleft is atomic
        self._turns: list[threading.RLock] = []  # of helpers, each held while its helper works
        self.results: dict[int, T] = {}
        self.errors: list[BaseException] = []  # of helpers

    def ask(self, helpers: int) -> None:
        """Ask up to `helpers` threads of the pool to help."""
        for _ in range(helpers):
            self._turns.append(threading.RLock())
            if not _pool.offer(functools.partial(self._help, self._turns[-1])):
                return

    def _help(self, turn: threading.RLock) -> None:
        if not turn.acquire(blocking=False):
            return
        try:
            self.work()
        except BaseException as error:
            self._todo.clear()
            self.errors.append(error)
        finally:
            turn.release()

    def work(self) -> None:
        """Process chunks until none is left."""
        while True:
            try:
                number, chunk = self._todo.popleft()
            except IndexError:
                return
            self.results[number] = self._function(chunk)

    def end(self) -> None:
        """Start no more chunks, and wait for the helpers to finish."""
        self._todo.clear()
        for turn in self._turns:
            turn.acquire()  # waits for a helper that has started; the others never will


def run_chunks(function: Callable[[slice], T], numbers: range, chunk: int, n_jobs: int | None) -> list[T]:
    """Return function(slice) for each chunk of a range, in order; the chunks run in up to n_jobs threads.

    The calling thread works too. After an exception, including KeyboardInterrupt, no further chunk starts.
    """
    chunks = [slice(start, min(start + chunk, numbers.stop)) for start in numbers[::chunk]]
    jobs = min(resolve_n_jobs(n_jobs), len(chunks))
    if jobs <= 1:
        return [function(each) for each in chunks]
    job = _Job(function, chunks)
    try:
        try:
            job.ask(jobs - 1)
            job.work()
        finally:
            job.end()
    finally:  # after this, no thread writes to the caller's arrays
        job.end()  # again, since Ctrl-C may have interrupted the first
    if job.errors:
        raise job.errors.pop()
    return [job.results[number] for number in range(len(chunks))]
