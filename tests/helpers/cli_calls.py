"""Run `lenet` in its own process; options and helpers for training runs in tests."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import lenet

EPOCHS = 40
QUICK = ["--batch-size", "16", "--lr", "0.1", "--validation", "0.2", "--no-distort"]
COLUMNS = ["epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "images_per_second", "seconds"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def environment():
    known = {**os.environ, "LENET_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return {name: value for name, value in known.items() if name not in {"PYTHONUNBUFFERED", "COLUMNS", "NO_COLOR"}}


def command(*arguments, cwd=None, **options):
    """Run the command in its own process."""
    whole = [sys.executable, "-m", "lenet", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    return subprocess.run(whole, cwd=cwd, text=True, timeout=120, check=False, **options)


def one_error(done):
    """The one-line message of a command that failed as expected."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("lenet: error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def tree(folder):
    """Every path below a folder, with the content of the files."""
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def write_some(path):
    data = lenet.data.load_digits()
    np.savez(path, X_train=data.X_train[:400], y_train=data.y_train[:400], X_test=data.X_test[:150],
             y_test=data.y_test[:150])  # fmt: skip
