"""Share the pictures of a folder among processes; threads would mostly wait for Python's global interpreter lock."""

import contextlib
import os
import pickle
import subprocess  # nosemgrep: no-processes - runs this Python, with a fixed program
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from lenet.cli.output import warn

_T = TypeVar("_T")
_WARM_UP = 0.25  # seconds of reading to measure, without the first picture, which imports OpenCV
_MIN_LEFT = 2.0  # seconds of work that remain: a process takes half a second to start
_TASK = 0.1  # seconds of work in a task
_MAX_BY_DEFAULT = 8  # each process takes 0.1 to 0.3 GB
_MAX_AHEAD = 4  # tasks per process whose results have not been taken, which limits memory
_PROGRAM = "import sys; sys.path[:] = {path!r}; from lenet.cli.processes import work; work()"
_READY = b"lenet is ready\n"  # after anything that Python's site files print


def results_of(call: Callable[[str], _T], names: Sequence[str], n_jobs: int | None) -> Generator[_T, None, None]:
    """Yield the result of a function for each name, in their order.

    If the first results show that the others would take more than two seconds, `n_jobs` processes compute them, at most
    one for each core. The function must be picklable, and must not raise errors. If processes cannot be started, or one
    dies, this process computes the rest.
    """
    from lenet._fused.threads import resolve_n_jobs

    processes = min(resolve_n_jobs(n_jobs), _MAX_BY_DEFAULT if n_jobs is None else resolve_n_jobs(-1))
    done, elapsed = 0, 0.0
    while done < len(names):
        start = time.monotonic()
        result = call(names[done])
        elapsed += time.monotonic() - start if done else 0.0
        yield result
        done += 1
        left = len(names) - done
        is_long = done > 1 and elapsed >= _WARM_UP and elapsed / (done - 1) * left >= _MIN_LEFT
        if is_long and left > 1 and processes > 1 and _is_python():
            size = max(1, round(_TASK * (done - 1) / elapsed))
            try:
                for result in _results_of_workers(call, names[done:], processes, size):
                    yield result
                    done += 1
            except (OSError, EOFError, pickle.UnpicklingError, RuntimeError):
                text = "A worker process died, so one process reads the rest."
                warn(f"{text} If memory ran out, pass a smaller --n-jobs.")
            processes = 1


def _is_python() -> bool:
    """Return whether this program is Python itself, rather than one that contains it, such as PyInstaller's."""
    return not getattr(sys, "frozen", False) and "python" in Path(sys.executable or "").name.lower()


def _results_of_workers(
    call: Callable[[str], _T], names: Sequence[str], processes: int, size: int
) -> Generator[_T, None, None]:
    """Yield the results that worker processes compute, each in tasks of `size` names.

    Raises OSError, EOFError or UnpicklingError if a process cannot be started, or dies, and RuntimeError if a thread
    cannot be started.
    """
    from concurrent.futures import Future, ThreadPoolExecutor
    from queue import SimpleQueue

    tasks = [names[first : first + size] for first in range(0, len(names), size)]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    pending: deque[Future[list[_T]]] = deque()

    def results(task: Sequence[str]) -> list[_T]:
        worker = idle.get()
        try:
            return worker.results(task)
        finally:
            idle.put(worker)

    with contextlib.ExitStack() as stack:  # ends the workers first, so that the threads that wait for them end, too
        pool = ThreadPoolExecutor(processes)
        stack.callback(pool.shutdown, cancel_futures=True)
        for _ in range(min(processes, len(tasks))):
            idle.put(stack.enter_context(contextlib.closing(_Worker(call))))
        for task in tasks:
            pending.append(pool.submit(results, task))
            if len(pending) == _MAX_AHEAD * processes:
                yield from pending.popleft().result()
        for future in pending:
            yield from future.result()


class _Worker:
    """A Python process that calls a function for the names of each task. It exits when its input is closed.

    Unlike a process of multiprocessing, it does not import the user's script.
    """

    def __init__(self, call: Callable[[str], Any]) -> None:
        self._messages: list[object] = [call]  # to send: the first one takes until the process has started
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program
            [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._input, self._output = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)

    def results(self, names: Sequence[str]) -> list[Any]:
        """Return the results for some names."""
        is_new = bool(self._messages)
        for message in (*self._messages, names):
            pickle.dump(message, self._input)
        self._messages.clear()
        self._input.flush()
        while is_new and self._output.readline() not in (_READY, b""):
            pass
        return cast("list[Any]", pickle.load(self._output))  # noqa: S301 # nosemgrep: no-pickles - from our process

    def close(self) -> None:
        """End the process at once, and close its pipes."""
        self._process.kill()
        self._process.wait()
        self._output.close()
        with contextlib.suppress(OSError):  # the process no longer reads what is left to send
            self._input.close()


def work() -> None:
    """Do the tasks of a worker process until its input is closed."""
    from lenet._extras import cv2

    messages, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what other libraries print
    results.write(b"\n" + _READY)
    warnings.filterwarnings("ignore", module="PIL")
    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, OSError):
        call = pickle.load(messages)  # noqa: S301 # nosemgrep: no-pickles - from the process that started this one
        while True:
            names = pickle.load(messages)  # noqa: S301 # nosemgrep: no-pickles - the same
            pickle.dump([call(name) for name in names], results)
            results.flush()
