"""After SIGKILL at random moments, training resumes bit-identically and every file is complete.

The disk takes 0.5 ms for each 64 KiB, so that writing takes a while, and most runs write checkpoints after each step.
`pytest -s -m release --exhaustive tests/faults/test_killed.py` kills 1,000 training runs and prints the outcome.
"""

import collections
import json
import random
import shutil
import time

import pytest

import lenet
from lenet.errors import WeightsError
from lenet.training.runs import Run
from tests.faults.folders import hidden
from tests.faults.tasks import CLASSES
from tests.faults.trainings import begin, command, resumed, weights

TRAIN = command(epochs=3, batch_size=8)
PAUSE = 500


@pytest.fixture(scope="module")
def whole(forks, data, tmp_path_factory):
    """The weights of an undisturbed training run, and its duration in seconds."""
    folder = begin(tmp_path_factory.mktemp("whole"), data)
    began = time.monotonic()
    child = forks.run("command", *TRAIN, cwd=folder, pause=PAUSE)
    assert (child.code, child.err) == (0, "")
    return weights(folder), time.monotonic() - began


class Tally:
    """The outcomes of the kills."""

    def __init__(self):
        self.kills = self.in_mid_write = self.same_bits = 0
        self.lost = collections.Counter()  # by the reason

    def __str__(self):
        return (
            f"{self.kills} kills, {self.in_mid_write} in mid-write; {self.same_bits} trainings ended in the same bits, "
            f"{self.lost.total()} were lost {dict(self.lost) or ''}"
        )


def kill_and_resume(forks, folder, task, moment, whole, tally):
    """Kill one training run after so many seconds, and resume it."""
    child = forks.start(task, *TRAIN, cwd=folder, pause=PAUSE)
    time.sleep(moment)
    if not child.kill():
        return  # it had ended before
    tally.kills += 1
    tally.in_mid_write += bool(hidden(folder))
    run = folder / "runs/train-1"
    told = sum(json.loads(line)["event"] == "epoch" for line in child.out.split("\n")[:-1])
    saved = epochs_saved(run)
    child = resumed(forks, folder, task, TRAIN)
    if saved is None:
        tally.lost["a torn checkpoint"] += 1
    elif saved < told and task != "command_seldom":
        tally.lost["a reported epoch"] += 1
    elif child.code != 0:
        tally.lost[child.err.strip()] += 1
    elif weights(folder) != whole[0]:
        tally.lost["other bits"] += 1
    elif hidden(run):
        tally.lost["a file left over"] += 1
    else:
        tally.same_bits += 1


def epochs_saved(run):
    """The number of epochs that a run's checkpoint has, None if it is torn."""
    if not run.exists():
        return 0
    try:
        state = Run(run).load_checkpoint(lenet.LeNet5())
    except WeightsError:
        return None
    return len(state.history) if state else 0


def kill_trainings(forks, data, whole, task, kills, folder):
    moments, tally, number = random.Random(3), Tally(), 0  # noqa: S311
    while tally.kills < kills:
        number += 1
        place = begin(folder / str(number), data)
        kill_and_resume(forks, place, task, moments.uniform(0, whole[1]), whole, tally)
        shutil.rmtree(place)
    print(f"\n{task}: {tally}")
    return tally


@pytest.fixture(params=[1, pytest.param(40, marks=pytest.mark.release)])
def kills(request):
    """How many; 1,000 instead of 40 with --exhaustive."""
    return 1000 if request.param == 40 and request.config.getoption("--exhaustive") else request.param


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("task", ["command", "command_seldom"])
def test_killed_training_runs_resume_to_the_same_bits(forks, data, whole, task, kills, tmp_path):
    tally = kill_trainings(forks, data, whole, task, kills, tmp_path)
    assert (tally.same_bits, tally.lost) == (kills, {})
    assert tally.in_mid_write >= (0.1 if task == "command_seldom" else 0.3) * kills or kills < 40


@pytest.mark.release
def test_training_runs_that_write_in_place_are_lost(forks, data, whole, tmp_path):
    """The same harness detects lost runs."""
    tally = kill_trainings(forks, data, whole, "command_in_place", 20, tmp_path)
    assert tally.lost.total() >= 4


@pytest.mark.release
@pytest.mark.parametrize(
    "command", ["export MODEL digits.c", "export MODEL digits.onnx", "page digits.html --model MODEL"]
)
def test_exports_that_are_killed_leave_whole_files(forks, tmp_path, command):
    if "onnx" in command:
        pytest.importorskip("onnx")
    command = command.split()
    for classes in CLASSES:
        lenet.LeNet5(seed=classes, num_classes=classes).save(tmp_path / f"{classes}.safetensors")
    began = time.monotonic()
    outcomes = [exported(forks, tmp_path, command, classes) for classes in CLASSES]
    lasts = (time.monotonic() - began) / len(CLASSES)
    moments, in_mid_write = random.Random(1), 0  # noqa: S311
    for _ in range(20):
        child = forks.start("alternately", *command, cwd=tmp_path, pause=PAUSE)
        time.sleep(moments.uniform(lasts / 2, 3 * lasts))
        assert child.kill()
        in_mid_write += bool(hidden(tmp_path))
        for path in hidden(tmp_path):
            path.unlink()
        for name in outcomes[0]:
            assert (tmp_path / name).read_bytes() in [outcome[name] for outcome in outcomes]
    assert in_mid_write >= 4


def exported(forks, folder, command, classes):
    """The files that a command leaves, by name."""
    before = set(folder.iterdir())
    model = f"{classes}.safetensors"
    assert forks.run("command", *[each.replace("MODEL", model) for each in command], cwd=folder).code == 0
    return {path.name: path.read_bytes() for path in folder.iterdir() if path not in before or path.stem == "digits"}
