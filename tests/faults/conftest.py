"""The server that forks the processes to kill, and their training set."""

import sys

import pytest
from toolchain import makes_programs_for_this_machine

from tests.faults import disk
from tests.faults.forks import Forks
from tests.faults.trainings import make_data


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    if sys.platform != "linux" or not makes_programs_for_this_machine("gcc"):
        pytest.skip("needs Linux, and gcc for this machine")
    for needed in ("sklearn", "matplotlib"):
        pytest.importorskip(needed)
    server = Forks(disk.build(tmp_path_factory.mktemp("library")), tmp_path_factory.mktemp("said"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A file with a small data set."""
    return make_data(tmp_path_factory.mktemp("data"))
