"""Run `lenet` in this process, and check how it ends."""

import contextlib
import sys
from pathlib import Path

import pytest

from lenet import cli, plots


def run(capsys, *arguments):
    """Run the command; return its exit code, output and errors, which contain no invisible characters."""
    capsys.readouterr()
    try:
        code = cli.main([str(each) for each in arguments])
    except SystemExit as ended:  # a usage error; all else that is raised would be a traceback
        code = ended.code
    captured = capsys.readouterr()
    for text in captured:
        assert text.replace("\n", "").isprintable(), ascii(text)
    return code, captured.out, captured.err


def succeeds(capsys, *arguments):
    """Run a command that succeeds; return its output."""
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    return out


def fails(capsys, *arguments):
    """Run a command that fails as expected; return its one-line message."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("lenet: error: ")
    assert err.count("\n") == 1
    return err


def misused(capsys, *arguments):
    """Run a command with wrong arguments; return the last line of its errors."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: lenet")
    return err.splitlines()[-1]


@contextlib.contextmanager
def without_figures():
    """A context in which training runs write empty figures: drawing the four of a run takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("learning_curves", "filters", "confusion_matrix", "worst"):
            patch.setattr(plots, name, lambda *_: b"")
        yield


@contextlib.contextmanager
def little_memory(spare=2**29):
    """A context in which this process can allocate at most so many more bytes."""
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    import resource  # which Windows lacks

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + spare, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
