"""Shared fixtures: builds of the kernels, guarded arrays and MNIST; and the tiers of the tests."""

import importlib.util
import os
import re
import signal

# Set before NumPy is imported: OpenBLAS's second thread busy-waits, which took up to a third of the CPU time of some
# test files.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from commands import without_figures
from guarded import Arrays

from lenet._fused import dispatch

BUILDS = dispatch.available()

# A shell's background job ignores Ctrl-C, and nohup's SIGHUP, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


QUICK = "not landing and not release"  # as in pyproject.toml


def pytest_addoption(parser):
    parser.addoption("--exhaustive", action="store_true", help="1,000 kills, every number of bytes: for a release")


def pytest_configure(config):
    """With -n, leave most tests of a file to one worker, because they share servers and trained models."""
    if getattr(config.option, "dist", None) == "load":
        config.option.dist = "worksteal"
    if importlib.util.find_spec("sklearn"):  # the filter in pyproject.toml would ignore these as well
        config.addinivalue_line("filterwarnings", "error::sklearn.exceptions.ConvergenceWarning")


def pytest_ignore_collect(collection_path, config):
    """In the quick tier, skip files that belong to another tier as a whole: their packages may be missing."""
    if config.option.markexpr != QUICK or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text("utf-8")
    return True if re.search(r"^pytestmark = .*\b(landing|release)\b", text, re.MULTILINE) else None


def pytest_collection_modifyitems(config, items):
    """Retry timing tests; with `-m landing`, drop the release tests of a landing file."""
    for item in items:
        if item.get_closest_marker("timing"):
            item.add_marker(pytest.mark.flaky(reruns=2))
    if config.option.markexpr == "landing":
        items[:] = [item for item in items if not item.get_closest_marker("release")]


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk():
    """Test files need not survive a power failure; a sync takes 30 ms, and a training run makes dozens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(params=BUILDS)
def build(request):
    """Each build of the fused network that this CPU runs."""
    return BUILDS[request.param]


@pytest.fixture
def arrays():
    """Arrays of the kernels' type between guards, which are checked at the end."""
    made = Arrays(np.float32)
    yield made
    made.check_guards()


@pytest.fixture
def cwd(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_figures():
    """Training runs in this process write empty figures."""
    with without_figures():
        yield


@pytest.fixture(scope="session")
def mnist():
    """MNIST from the folder in LENET_DATA: X_train, y_train, X_test, y_test."""
    if not os.environ.get("LENET_DATA"):
        pytest.skip("needs MNIST: set LENET_DATA to a folder of its IDX files")
    from lenet.data import load_mnist

    return load_mnist()
