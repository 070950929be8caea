"""Measure the peak of a build: the multiply-adds that one core executes if it does nothing else."""

from collections.abc import Callable
from typing import Any

from lenet._fused.threads import run_chunks

MULTIPLY_ADDS = 416_520  # in a forward pass of LeNet-5
ROUNDS = 5_000_000  # loop iterations that measure the peak: long compared with the time that a thread takes to wake


def peak_work(kernels: Any, threads: int = 1) -> Callable[[], object]:
    """Return a function that executes only multiply-adds, on the given number of threads."""
    return lambda: run_chunks(lambda _: kernels.multiply_adds(ROUNDS), range(threads), 1, threads)


def gflops(kernels: Any, threads: int, seconds: float) -> float:
    """Return the GFLOP/s of a call of `peak_work` that took the given time."""
    return 2e-9 * threads * ROUNDS * int(kernels.multiply_adds(1)) / seconds
