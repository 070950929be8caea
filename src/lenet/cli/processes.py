"""Share the pictures of a folder among processes; threads would mostly wait for Python's global interpreter lock."""

import contextlib
import pickle
import subprocess  # nosemgrep: no-processes - runs this Python, with a fixed program
import sys
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, cast

_T = TypeVar("_T")
_WARM_UP = 0.25  # seconds: the first pictures take longer, as they import OpenCV
_MIN_SECONDS = 2.0  # of the work that is left: processes take half a second to start
_SECONDS_OF_TASK = 0.1
_MAX_BY_DEFAULT = 8  # each takes 100 to 200 MB
_PROGRAM = "import sys; sys.path[:] = {path!r}; from lenet.cli.processes import work; work()"


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
        elapsed += time.monotonic() - start
        yield result
        done += 1
        left = len(names) - done
        is_long = elapsed >= _WARM_UP and elapsed / done * left >= _MIN_SECONDS
        if is_long and left > 1 and processes > 1 and _is_python():
            size = max(1, round(_SECONDS_OF_TASK * done / elapsed))
            with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError, RuntimeError):
                for result in _results_of_workers(call, names[done:], processes, size):
                    yield result
                    done += 1
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
    from concurrent.futures import ThreadPoolExecutor
    from queue import SimpleQueue

    tasks = [names[first : first + size] for first in range(0, len(names), size)]
    workers = [_Worker(call) for _ in range(min(processes, len(tasks)))]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def results(task: Sequence[str]) -> list[_T]:
        worker = idle.get()
        try:
            return worker.results(task)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(len(workers))
    try:
        for found in pool.map(results, tasks):
            yield from found
    finally:  # also after Ctrl-C; the threads end with the processes that they wait for
        for worker in workers:
            worker.kill()
        pool.shutdown(cancel_futures=True)
        for worker in workers:
            worker.close()


class _Worker:
    """A process that calls a function for the names of each task. It ends with this process, whose pipe it reads.

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
        for message in (*self._messages, names):
            pickle.dump(message, self._input)
        self._messages.clear()
        self._input.flush()
        return cast("list[Any]", pickle.load(self._output))  # noqa: S301 # nosemgrep: no-pickles - from our process

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Release what is left of a process that ends."""
        self._output.close()
        with contextlib.suppress(OSError):  # what is left to send has no reader
            self._input.close()
        self._process.wait()


def work() -> None:
    """Do the tasks of a worker process until its input ends."""
    from lenet._extras import cv2

    messages, results = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    warnings.filterwarnings("ignore", module="PIL")
    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, OSError):
        call = pickle.load(messages)  # noqa: S301 # nosemgrep: no-pickles - from the process that started this one
        while True:
            names = pickle.load(messages)  # noqa: S301 # nosemgrep: no-pickles - the same
            pickle.dump([call(name) for name in names], results)
            results.flush()
