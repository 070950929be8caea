"""Build the kernels in a copy of the tree, with changed sources or other flags.

Mutants are made so, and the faults that prove that a sanitizer sees them:

    copy = copy_tree(tmp_path / "copy")
    build(copy)                                              # the extension, as setup.py builds it
    with changed(copy, Change("_conv.pyx", "total / (KH * KW)", "total")):
        build(copy, flags=["-O1"])
    subprocess.run([...], cwd=copy, env=environment(copy))   # imports lenet from the copy
"""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".nox", ".*_cache", ".hypothesis", ".coverage*", "__pycache__", "*.so", "_*.c", "kernels.c",
    "*.egg-info", "build", "dist", "runs", "findings",
)  # fmt: skip


class Change(NamedTuple):
    """A text that occurs once in a file of src/lenet, and what is to stand there."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Return the file's text, changed."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times, and not once: {self.old}")
        return text.replace(self.old, self.new)


class BuildError(Exception):
    """The compiler's output: the change is none that it takes."""


def copy_tree(target: Path) -> Path:
    """Copy this tree, without what was built from it, and return the copy's folder."""
    return Path(shutil.copytree(ROOT, target, ignore=LEFT_OUT))


@contextmanager
def changed(root: Path, change: Change) -> Iterator[None]:
    """Make the change in the copy for a while; the extension does not change until `build`."""
    path = root / "src" / "lenet" / change.file
    text = path.read_text("utf-8")
    path.write_text(change.apply(text), "utf-8")
    try:
        yield
    finally:
        path.write_text(text, "utf-8")


def environment(root: Path, **more: str) -> dict[str, str]:
    """Return this process's environment with the copy's lenet to import, and `more`."""
    return os.environ | {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"} | more


def build(root: Path, flags: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
    """Build the extension in place.

    The compiler and the linker get the flags after those of setup.py, so that `-O1` replaces its `-O3`; setup.py
    itself gets the variables of `env`, such as LENET_BOUNDSCHECK or CC. Raises BuildError.
    """
    command = [sys.executable, __file__, *flags]
    done = subprocess.run(
        command, cwd=root, env=environment(root, **(env or {})), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(done.stdout + done.stderr)


def _run_setup(*flags: str) -> None:
    """Run the setup.py of the current folder, with more flags."""
    from Cython.Build import cythonize

    def flagged(extensions, **options):
        for each in extensions:
            each.extra_compile_args += flags
            each.extra_link_args += flags
        return cythonize(extensions, **options)

    with mock.patch("Cython.Build.cythonize", flagged), mock.patch("sys.argv", ["setup.py", "build_ext", "--inplace"]):
        runpy.run_path("setup.py", run_name="__main__")


if __name__ == "__main__":
    _run_setup(*sys.argv[1:])
