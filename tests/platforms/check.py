"""Predict and train; run by this machine's Python and by that of another platform, which have to agree.

python check.py > expected.json    # here
python check.py expected.json      # there
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import lenet
from lenet import cli
from lenet.training.recipes import Recipe


def results() -> dict[str, list]:
    """Return the labels by the shipped weights, and the losses of a short training."""
    data = lenet.data.load_digits()
    labels = lenet.load_pretrained("mnist").predict(data.X_test)
    assert np.mean(labels == data.y_test) > 0.9
    model = lenet.LeNet5(seed=0)
    recipe = Recipe("short", epochs=5, batch_size=16, lr=0.1)
    state = lenet.train(model, data.X_train[:640], data.y_train[:640], recipe, seed=0, n_jobs=1)
    return {"labels": labels.tolist(), "losses": [epoch.loss for epoch in state.history]}


def train_by_command() -> None:
    """Run `lenet train digits` in this process, as qemu cannot start another one."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        assert cli.main(["train", "digits", "--epochs", "2", "--json"]) == 0
        assert Path("runs/train-1/best.safetensors").stat().st_size > 240_000
        os.chdir("/")


def main() -> None:
    """Print the results, or compare them with those in a file."""
    found = results()
    if len(sys.argv) == 1:
        print(json.dumps(found))
        return
    expected = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    assert found["labels"] == expected["labels"]
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-5)
    train_by_command()
    lenet.show_config()


if __name__ == "__main__":
    main()
