"""What the tests share: the builds of the kernels, MNIST, and the option that runs the long ones."""

import importlib
import os
import signal

import pytest
from guarded import Arrays

from lenet._fused import dispatch

BUILDS = {**dispatch.available(), "float64": "lenet5_f64"}

# A shell's background job ignores Ctrl-C, and nohup's SIGHUP, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--exhaustive", action="store_true", help="1,000 kills, every number of bytes: for a release")


def pytest_collection_modifyitems(config, items):
    if not (config.getoption("--slow") or config.getoption("--exhaustive")):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long: give --slow"))


@pytest.fixture(params=BUILDS)
def build(request):
    """The module of each build of the fused network that this CPU runs."""
    return importlib.import_module(f"lenet._fused.{BUILDS[request.param]}")


@pytest.fixture
def arrays(build):
    """Arrays of the build's type between guards, which are checked at the end."""
    made = Arrays(f"f{build.build()['itemsize']}")
    yield made
    made.check_guards()


@pytest.fixture(scope="session")
def mnist():
    """MNIST from the folder in LENET_DATA: X_train, y_train, X_test, y_test."""
    if not os.environ.get("LENET_DATA"):
        pytest.skip("needs MNIST: set LENET_DATA to a folder of its IDX files")
    from lenet.data import load_mnist

    return load_mnist()
