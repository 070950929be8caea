"""Measure the times of several functions in one run, and identify the CPU."""

import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from statistics import quantiles

import numpy as np

from lenet.cli.bench import MULTIPLY_ADDS

Function = Callable[[], object]

TRAIN_MULTIPLY_ADDS = 3 * MULTIPLY_ADDS - 117_600  # the gradient of the image is not needed


def interleaved(functions: dict[str, Function], repetitions: int, seconds: float = 0.05) -> dict[str, list[float]]:
    """Return the seconds per call of each function in each turn; a busy moment thus affects all functions.

    Each is called for `seconds` per turn, after a pause in which other libraries' threads fall asleep, and after three
    calls that bring its data back into the caches.
    """
    turns: dict[str, list[float]] = {name: [] for name in functions}
    calls = {name: max(1, round(seconds / _once(function))) for name, function in functions.items()}
    for _ in range(repetitions):
        for name, function in functions.items():
            time.sleep(0.03)
            for _ in range(3 if calls[name] > 1 else 0):
                function()
            began = time.perf_counter()
            for _ in range(calls[name]):
                function()
            turns[name].append((time.perf_counter() - began) / calls[name])
    return turns


def spread(turns: list[float]) -> float:
    """Return the interquartile range of the turns, as a fraction of their median."""
    low, middle, high = quantiles(turns, n=4, method="inclusive")
    return (high - low) / middle


def _once(function: Function) -> float:
    function()
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def cpu() -> str:
    """Return the CPU's name, with its family and model, since a virtual machine may hide the name."""
    facts = {}
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = (line.partition(":") for line in path.read_text().splitlines())
        facts = {key.strip(): value.strip() for key, _, value in lines}
    name = facts.get("model name") or platform.processor() or platform.machine()
    return f"{name} (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else name


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the installed distributions among these."""
    found = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    return {"python": platform.python_version(), "numpy": np.__version__} | {
        name: found[name] for name in names if name in found
    }
