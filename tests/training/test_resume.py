"""A run stopped by a signal resumes bit-identically; faults/test_killed.py has the runs that are killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import SENDS_SIGNALS, finish

import lenet

pytestmark = pytest.mark.landing

EPOCHS = 20
ARGUMENTS = ["--batch-size", "16", "--lr", "0.1", "--epochs", str(EPOCHS), "--distort", "--validation", "0.2", "--json"]


def start(*arguments, cwd):
    command = [sys.executable, "-m", "lenet", "train", *map(str, arguments)]
    environment = {**os.environ, "LENET_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, env=environment)


def weights(folder):
    return {name: Path(folder, name).read_bytes() for name in ("best.safetensors", "last.safetensors")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a data set and of an uninterrupted run on it."""
    folder = tmp_path_factory.mktemp("whole")
    data = lenet.data.load_digits()
    np.savez(folder / "some.npz", X_train=data.X_train[:400], y_train=data.y_train[:400], X_test=data.X_test[:50],
             y_test=data.y_test[:50])  # fmt: skip
    finish(start("some.npz", *ARGUMENTS, cwd=folder))
    return folder


@SENDS_SIGNALS
def test_signals_save_and_print_how_to_resume(reference, tmp_path):
    arguments = [reference / "some.npz", *ARGUMENTS]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = start(*arguments, cwd=tmp_path)
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
        arguments = ["--resume", "runs/train-1", "--json"]
    finish(start(*arguments, cwd=tmp_path))
    assert weights(tmp_path / "runs" / "train-1") == weights(reference / "runs" / "train-1")


def test_a_finished_run_resumed_only_reports_again(reference):
    before = weights(reference / "runs" / "train-1")
    events = finish(start("--resume", "runs/train-1", "--json", cwd=reference))
    assert [event["event"] for event in events] == ["start", "test"]
    assert weights(reference / "runs" / "train-1") == before


def test_other_images_are_noticed(reference, tmp_path):
    copied = tmp_path / "train-1"
    copied.mkdir()
    args = json.loads((reference / "runs/train-1/args.json").read_text())
    (copied / "args.json").write_text(json.dumps({**args, "data_sha256": "0" * 64}))
    process = start("--resume", copied, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("lenet: error: ")
    assert "differs from the data that" in err
    assert err.count("\n") == 1
