"""A training run whose disk fails or fills up can be resumed, with bit-identical results."""

import re

import pytest

from tests.faults.disk import FAULTS, is_harmless
from tests.faults.trainings import begin, check_whole, command, resumed, weights

TRAIN = command(epochs=2, batch_size=32)  # a step an epoch


@pytest.fixture(scope="module")
def whole(forks, data, tmp_path_factory):
    """The weights of an undisturbed training run, and the log of its disk."""
    folder = begin(tmp_path_factory.mktemp("whole"), data)
    child = forks.run("command", *TRAIN, cwd=folder)
    assert (child.code, child.err) == (0, "")
    check_whole(folder)
    return weights(folder), child.disk


def check_told(child, folder):
    """Check that a process did its work or reported one error; no file is torn and none left over."""
    said = re.sub("^lenet: note: .*\n", "", child.err, flags=re.MULTILINE)  # that the run is complete
    if child.code:
        assert child.code == 1
        assert said.startswith("lenet: error: ")
    assert said.count("\n") == child.code
    check_whole(folder)


@pytest.mark.parametrize("share", [40, pytest.param(3, marks=pytest.mark.release)])
@pytest.mark.timeout(7200)
def test_each_call_fails_in_turn(forks, data, whole, tmp_path, share, request):
    """One call in three fails in a run, and then in the resumed run; every call with --exhaustive."""
    expected, disk = whole
    share = 1 if share == 3 and request.config.getoption("--exhaustive") else share
    for at in range(1, len(disk["log"]) + 1, share):
        folder = begin(tmp_path / str(at), data)
        faults = FAULTS[disk["log"][at - 1]]
        fault, error = faults[at % len(faults)]
        child = forks.run("command", *TRAIN, cwd=folder, at=at, fault=fault, error=error)
        check_told(child, folder)
        assert child.code == 1 or is_harmless(disk["log"], at, fault, error)
        child = resumed(forks, folder, "command", TRAIN, at=1 + at % 30, fault=fault, error=error)
        check_told(child, folder)
        assert resumed(forks, folder, "command", TRAIN).code == 0
        check_whole(folder)
        assert weights(folder) == expected


@pytest.mark.parametrize("sizes", [3, pytest.param(30, marks=pytest.mark.release)])
def test_the_disk_fills_up(forks, data, whole, tmp_path, sizes):
    expected, disk = whole
    for number in range(sizes):
        folder = begin(tmp_path / str(number), data)
        child = forks.run("command", *TRAIN, cwd=folder, room=disk["written"] * number // sizes)
        assert child.code == 1
        assert "No space left on device" in child.err
        check_told(child, folder)
        assert resumed(forks, folder, "command", TRAIN).code == 0
        assert weights(folder) == expected
