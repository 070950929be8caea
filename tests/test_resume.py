"""A run that is killed at any moment and resumed ends in the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lenet
from lenet.runs import Run

EPOCHS = 40
ARGUMENTS = ["--batch-size", "16", "--lr", "0.1", "--epochs", str(EPOCHS), "--distort", "--validation", "0.2", "--json"]


def start(*arguments, cwd):
    command = [sys.executable, "-m", "lenet", "train", *map(str, arguments)]
    environment = {**os.environ, "LENET_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, env=environment)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def weights(folder):
    return {name: Path(folder, name).read_bytes() for name in ("best.safetensors", "last.safetensors")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A data set, an uninterrupted run over it, and how long its training took."""
    folder = tmp_path_factory.mktemp("whole")
    data = lenet.data.load_digits()
    np.savez(folder / "some.npz", X_train=data.X_train[:400], y_train=data.y_train[:400], X_test=data.X_test[:50],
             y_test=data.y_test[:50])  # fmt: skip
    process = start("some.npz", *ARGUMENTS, cwd=folder)
    process.stdout.readline()
    began = time.monotonic()
    last = [process.stdout.readline() for _ in range(EPOCHS)][-1]
    assert json.loads(last)["epoch"] == EPOCHS
    duration = time.monotonic() - began
    finish(process)
    return folder, duration


def test_killed_at_random_moments_it_ends_in_the_same_bits(reference, tmp_path, request):
    folder, duration = reference
    moments = random.Random(0)  # noqa: S311
    in_training = 0
    for number in range(50 if request.config.getoption("--slow") else 4):
        cwd = tmp_path / str(number)
        cwd.mkdir()
        process = start(folder / "some.npz", *ARGUMENTS, cwd=cwd)
        if number % 10 != 9:  # one in ten is killed while it starts
            process.stdout.readline()
        time.sleep(moments.uniform(0, duration))
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        finished = out.count('"event": "epoch"')
        run_folder = cwd / "runs" / "train-1"
        if not run_folder.exists():
            continue  # killed before anything was begun: nothing can be lost
        state = Run(run_folder).load_checkpoint(lenet.LeNet5())
        assert (len(state.history) if state else 0) >= finished  # what it had told of was safe
        in_training += 0 < finished < EPOCHS
        finish(start("--resume", run_folder, "--json", cwd=cwd))
        assert weights(run_folder) == weights(folder / "runs" / "train-1")
        assert not list(run_folder.glob("*.tmp"))
    assert in_training >= 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(reference, tmp_path, number, code):
    folder, _ = reference
    process = start(folder / "some.npz", *ARGUMENTS, cwd=tmp_path)
    while json.loads(process.stdout.readline())["event"] != "epoch":
        pass
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == ""
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "stopped"
    assert last["step"] > 0  # within an epoch, so none of it is lost
    assert last["resume"] == "lenet train --resume runs/train-1"
    finish(start("--resume", "runs/train-1", "--json", cwd=tmp_path))
    assert weights(tmp_path / "runs" / "train-1") == weights(folder / "runs" / "train-1")


def test_a_finished_run_resumed_only_reports_again(reference):
    folder, _ = reference
    before = weights(folder / "runs" / "train-1")
    events = finish(start("--resume", "runs/train-1", "--json", cwd=folder))
    assert [event["event"] for event in events] == ["start", "test"]
    assert weights(folder / "runs" / "train-1") == before


def test_other_images_are_noticed(reference, tmp_path):
    folder, _ = reference
    copied = tmp_path / "train-1"
    copied.mkdir()
    args = json.loads((folder / "runs/train-1/args.json").read_text())
    (copied / "args.json").write_text(json.dumps({**args, "data_sha256": "0" * 64}))
    process = start("--resume", copied, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("lenet: error: ")
    assert "holds other images now" in err
    assert err.count("\n") == 1
