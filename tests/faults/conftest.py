"""The server that forks the processes to kill, and their training set."""

import platform
import shutil
import subprocess
import sys

import pytest
from faults import disk
from faults.forks import Forks
from faults.trainings import make_data


def gcc_compiles_for_this_machine() -> bool:
    """Under qemu, gcc compiles for the machine that runs qemu."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        return False
    target = subprocess.run(["gcc", "-dumpmachine"], check=True, capture_output=True, text=True).stdout
    return target.partition("-")[0] == platform.machine()


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    if not gcc_compiles_for_this_machine():
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
