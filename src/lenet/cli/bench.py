"""Measure the speed of this installation in a few seconds, for `lenet info --bench` and bug reports."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from lenet._fused.dispatch import chosen, kernels
from lenet._fused.threads import run_chunks
from lenet.model import LeNet5

MULTIPLY_ADDS = 416_520  # in a forward pass of LeNet-5
ROUNDS = 5_000_000  # loop iterations that measure the peak: long compared with the time that a thread takes to wake
SECONDS = 5.0
IMAGES, CALLS = 64, 15  # together about as long as `peak_work`


def measure() -> dict[str, Any]:
    """Time predictions and the peak of this build alternately, on one thread; return the medians.

    Also compare the logits with those in float64.
    """
    build, model = kernels(), LeNet5(seed=0)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28), np.uint8)
    exact = LeNet5(seed=0, dtype=np.float64).logits(images)
    difference = np.abs(model.logits(images, n_jobs=1) - exact).max()
    peaks: list[float] = []
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        peak_work(build)()
        middle = time.perf_counter()
        for _ in range(CALLS):
            model.logits(images, n_jobs=1)
        times.append((time.perf_counter() - middle) / (CALLS * IMAGES))
        peaks.append(gflops(build, 1, middle - began))
    shares = [2e-9 * MULTIPLY_ADDS / seconds / peak for seconds, peak in zip(times, peaks, strict=True)]
    return {
        "build": chosen(),
        "microseconds": 1e6 * median(times),
        "peak_gflops": median(peaks),
        "share": median(shares),
        "difference": float(difference),
    }


def peak_work(build: Any, threads: int = 1) -> Callable[[], object]:
    """Return a function that executes only multiply-adds, on the given number of threads."""
    return lambda: run_chunks(lambda _: build.multiply_adds(ROUNDS), range(threads), 1, threads)


def gflops(build: Any, threads: int, seconds: float) -> float:
    """Return the GFLOP/s of a call of `peak_work` that took the given time."""
    return 2e-9 * threads * ROUNDS * int(build.multiply_adds(1)) / seconds


def report(measured: dict[str, Any]) -> str:
    """Return the result of `measure` as three lines below those of `show_config`."""
    return (
        f"bench    {measured['build']}: {measured['microseconds']:.1f} microseconds per image, {IMAGES} at a time on "
        f"one thread\n         {measured['share']:.0%} of this core's {measured['peak_gflops']:.0f} GFLOP/s, "
        "counted as plain loops\n"
        f"         logits within {measured['difference']:.0e} of those in float64"
    )
