"""Python threads over kernels that release the GIL.

The pool is made when it is first needed, and forgotten in a forked child, whose copy would have no threads.
"""

import functools
import operator
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from lenet.errors import ConfigurationError, InputError, InputTypeError

T = TypeVar("T")


class _Pool:
    """Threads that wait for tasks.

    A ThreadPoolExecutor takes no task once the main thread has come to its end, when other threads and the functions
    of atexit may still predict, and hangs where a signal handler submits a task while the code that it interrupts does.
    These threads are daemons, for which no exit waits, and `offer` holds no lock.
    """

    MOST = max(64, os.cpu_count() or 1)

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: deque[None] = deque()  # one for each thread that waits for a task; pop and append are atomic

    def offer(self, task: Callable[[], None]) -> bool:
        """Have a thread run a task, which may raise nothing; return False if no thread can be had."""
        try:
            self._idle.pop()
        except IndexError:
            if not self._start():
                return False
        self._tasks.put(task)
        return True

    def _start(self) -> bool:
        if len(self._threads) >= self.MOST:
            return False
        thread = threading.Thread(target=self._serve, name="lenet", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more, or, since Python 3.12, the interpreter is about to end
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
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count(setting: str) -> int:
    """Return the number that a text is, 0 if it is none; Python reads no more than some thousand digits."""
    return int(setting) if setting.isdecimal() and len(setting) < 10 else 0


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
            return _count(shared) or _cores()
        count = _count(setting)
        if not count:
            raise ConfigurationError(f"LENET_NUM_THREADS={setting[:80]} is no number of threads: set it to 1 or more.")
        return count
    try:
        number = operator.index(n_jobs)
    except TypeError:  # of NumPy's arrays, each has the method, and not each is a number
        number = None
    if number is None or isinstance(n_jobs, bool):
        raise InputTypeError(f"n_jobs is {n_jobs!r}: give a whole number of threads, or None for the default.")
    if number == -1:
        return _cores()
    if number < 1:
        raise InputError(f"n_jobs is {number}: give 1 or more threads, -1 for all cores, or None for the default.")
    return number


def n_jobs_beside_others() -> int | None:
    """Return what one of many processes gives for `n_jobs`: one thread, unless the environment says otherwise."""
    told = os.environ.get("LENET_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    return None if told else 1


class _Job(Generic[T]):
    """Chunks that the caller and its helpers take one after the other until none is left."""

    def __init__(self, function: Callable[[slice], T], chunks: list[slice]):
        self._function = function
        self._todo = deque(enumerate(chunks))  # popleft is atomic
        self._turns: list[threading.RLock] = []  # one for each helper, who holds it while working
        self.results: dict[int, T] = {}
        self.errors: list[BaseException] = []  # of helpers

    def ask(self, helpers: int) -> None:
        """Ask so many threads of the pool for help, or as many as can be had."""
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
        """Do chunks until none is left."""
        while True:
            try:
                number, chunk = self._todo.popleft()
            except IndexError:
                return
            self.results[number] = self._function(chunk)

    def end(self) -> None:
        """Begin no further chunk, and return when nobody works any more."""
        self._todo.clear()
        for turn in self._turns:
            turn.acquire()  # a helper who has not begun never will, and one who has is waited for


def run_chunks(function: Callable[[slice], T], numbers: range, chunk: int, n_jobs: int | None) -> list[T]:
    """Return function(slice) for each chunk of a range, in order; the chunks run in up to n_jobs threads.

    The calling thread works too. After an exception, KeyboardInterrupt among them, no further chunk is begun.
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
    finally:  # after this, no thread writes to what is the caller's
        job.end()  # once more, since Ctrl-C may have ended the first
    if job.errors:
        raise job.errors.pop()
    return [job.results[number] for number in range(len(chunks))]
