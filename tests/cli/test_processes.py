"""Pictures that several processes share."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import programs
import pytest

import lenet
from lenet import cli
from lenet.cli import processes

NAMES = [str(number) for number in range(9)]


@pytest.fixture
def shared(monkeypatch):
    """Let processes share the work after the first picture, however short it is."""
    for limit in ("_WARM_UP", "_MIN_SECONDS"):
        monkeypatch.setattr(processes, limit, 0.0)


def names_and_processes(call, n_jobs):
    found = list(processes.results_of(call, NAMES, n_jobs))
    return [name for name, _ in found], [number for _, number in found]


def test_processes_share_long_work(shared):
    names, numbers = names_and_processes(programs.with_process, 2)
    assert names == NAMES
    assert numbers[0] == os.getpid()
    assert os.getpid() not in numbers[1:]


@pytest.mark.parametrize("reason", ["short", "one job", "frozen"])
def test_one_process_does_short_work(request, monkeypatch, reason):
    if reason != "short":
        request.getfixturevalue("shared")
    if reason == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    names, numbers = names_and_processes(programs.with_process, 1 if reason == "one job" else 2)
    assert (names, set(numbers)) == (NAMES, {os.getpid()})


def test_this_process_does_the_rest_if_another_dies(shared):
    names, numbers = names_and_processes(programs.fail_in_worker, 2)
    assert names == NAMES
    assert numbers[4:] == [os.getpid()] * 5


def test_this_process_does_all_if_others_cannot_be_started(shared, monkeypatch):
    def no_semaphores(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", no_semaphores)
    assert names_and_processes(programs.with_process, 2) == (NAMES, [os.getpid()] * 9)


def test_at_most_eight_processes_start_unless_more_are_requested(shared, monkeypatch):
    counts = []
    monkeypatch.setenv("LENET_NUM_THREADS", "64")
    monkeypatch.setattr(processes, "_results_of_workers", lambda call, names, count, size: counts.append(count) or ())
    for n_jobs, names in [(None, NAMES * 9), (64, NAMES * 9), (64, NAMES)]:
        list(processes.results_of(programs.with_process, names, n_jobs))
    assert counts == [8, 61, 8]  # the last has eight names left


@pytest.mark.parametrize("command", ["predict", "read"])
def test_folders_give_the_same_answers_with_more_processes(shared, cwd, capsys, command):
    image = pytest.importorskip("PIL.Image")
    digits = lenet.data.load_digits()
    for number in range(6):
        picture = np.pad(255 - digits.X_test[7 + number], 14, constant_values=255)
        image.fromarray(picture).resize((112, 112)).save(cwd / f"{number}.png")
    (cwd / "3.png").write_bytes(b"damaged")
    outputs = []
    for n_jobs in "12":
        assert cli.main([command, ".", "--n-jobs", n_jobs, "-q"]) == 1
        outputs.append(capsys.readouterr())
    assert outputs[0] == outputs[1]
    answers = [line.split()[:2] for line in outputs[0].out.splitlines()]
    assert answers == [[f"{n}.png:", str(digits.y_test[7 + n])] for n in (0, 1, 2, 4, 5)]


@pytest.mark.timing
@programs.SENDS_SIGNALS
@pytest.mark.parametrize(("interrupted", "names_before"), [(True, 1), (True, 4), (False, 4)])
def test_all_processes_end_with_the_first(interrupted, names_before):
    """Ctrl-C sends SIGINT to all of them, also while they start; a SIGKILL ends only the first one."""
    code = """
import sys, programs
from lenet.cli import processes
processes._WARM_UP = processes._MIN_SECONDS = 0
try:
    list(processes.results_of(programs.sleep, "a" * 100, 2))
except KeyboardInterrupt:
    sys.exit(130)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    for _ in range(names_before):  # the second comes from another process
        assert process.stdout.readline() == "a\n"
    time.sleep(0.1)
    if interrupted:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    out, err = process.communicate(timeout=30)  # until all processes have closed the output
    assert len(out) < 2 * 20
    if interrupted:
        assert (process.returncode, err) == (130, "")
