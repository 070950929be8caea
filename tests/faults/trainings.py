"""A small training run to kill: its data, its command, and its expected result."""

from pathlib import Path

import numpy as np

import lenet
from lenet.weights import read_tensors
from tests.faults.folders import hidden


def make_data(folder: Path) -> Path:
    """Write some digits into a file."""
    digits = lenet.data.load_digits()
    parts = {"X_train": digits.X_train[:40], "y_train": digits.y_train[:40]}
    labels, tested = np.unique(digits.y_test, return_index=True)
    np.savez(folder / "some.npz", **parts, X_test=digits.X_test[tested], y_test=labels)
    return folder / "some.npz"


def command(epochs: int, batch_size: int) -> list[str]:
    """Return the arguments of `lenet` that train on the file in the current folder."""
    options = {"--epochs": epochs, "--batch-size": batch_size, "--lr": 0.1, "--validation": 0.2}
    return ["train", "some.npz", "--json", *[str(each) for option in options.items() for each in option]]


def begin(folder: Path, data: Path) -> Path:
    """Create a folder with the data."""
    folder.mkdir(exist_ok=True)
    (folder / "some.npz").hardlink_to(data)
    return folder


def weights(folder: Path) -> dict[str, bytes]:
    """Return the result of a training run in a folder."""
    return {name: Path(folder, "runs/train-1", name).read_bytes() for name in ("best.safetensors", "last.safetensors")}


def resumed(forks, folder: Path, task: str, arguments: list[str], **faults: int):
    """Resume a training run, or start a new one if there is none; return the process."""
    run = folder / "runs/train-1"
    return forks.run(task, *(["train", "--resume", run, "--json"] if run.exists() else arguments), cwd=folder, **faults)


def check_whole(folder: Path) -> None:
    """Check that no file is torn, and none left over."""
    assert not hidden(folder)
    for path in folder.rglob("*.safetensors"):
        read_tensors(path)  # which compares the checksum
    for path in folder.rglob("results.csv"):
        lines = path.read_text().split("\n")
        assert {line.count(",") for line in lines[:-1]} == {7}
        assert lines[-1] == ""
