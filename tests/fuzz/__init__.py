"""Fuzzing: generated inputs for every parser, the server and the kernels.

A module each of `TARGETS` is named by what it feeds. Its `run(data)` makes an input of some bytes, hands it over and
returns if that was read right or refused as documented; it raises whatever else happens. One of `SEEDED` makes many
inputs, and returns how many. `seeds()` are bytes to begin with, by the names of their files in `corpus`, where findings
lie beside them; `mutate`, where there is one, changes bytes so that they stay readable for longer than by chance, and
raises anything where they are not readable.

    python -m tests.fuzz idx --seconds 60

docs/security/fuzzing.md tells the rest.
"""

import importlib
import os
import random
import tempfile
import time
from pathlib import Path

TARGETS = ("idx", "kernels", "weights", "http", "pictures", "reading", "onnx", "torch")
SEEDED = {"kernels"}  # whose bytes are the seed of many inputs
CORPUS = Path(__file__).parent / "corpus"
SECONDS = 1  # of the processor's time, more than which no input may take


class SlowError(Exception):
    """An input took too long."""


class MemoryFile:
    """A file whose content each input replaces; on Linux, it is in memory."""

    def __init__(self):
        if hasattr(os, "memfd_create"):
            self._path = Path(f"/proc/self/fd/{os.memfd_create('fuzz')}")
        else:
            self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self._path = Path(self._folder.name, "fuzz")

    def holding(self, content):
        """Replace the content and return the path."""
        self._path.write_bytes(content)
        return self._path


def target(name):
    """Return the module of a target."""
    return importlib.import_module(f"tests.fuzz.{name}")


def random_of(seed):
    """Return a source of choices that are the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - nothing secret comes of it


def timed(run):
    """Return a function that runs an input, and raises SlowError where that takes too long."""

    def run_timed(data):
        began = time.process_time()
        result = run(data)
        taken = time.process_time() - began
        if taken > SECONDS:
            raise SlowError(f"{taken:.1f} seconds of the processor for {len(data)} bytes.")
        return result

    return run_timed
