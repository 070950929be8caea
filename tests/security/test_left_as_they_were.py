"""Rejected input leaves files and objects unchanged."""

import subprocess
import sys

import numpy as np
import pytest
from cli_calls import tree
from commands import fails

import lenet
from lenet import cli
from lenet.errors import InputError
from lenet.training import RECIPES

X = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
Y = np.arange(30) % 10
QUICK = RECIPES["default"].with_changes(epochs=4, batch_size=10, validation=0.0)


def snapshot(model):
    return model.parameters.flat.tobytes(), model.mean, model.std, dict(model.metadata)


@pytest.mark.parametrize(("name", "value"), [("lr", np.nan), ("lr", -1), ("momentum", 1), ("weight_decay", np.inf)])
def test_settings_of_sgd_are_checked_when_they_are_used(name, value):
    model = lenet.LeNet5(seed=0)
    sgd = lenet.training.SGD(model, 0.1)
    setattr(sgd, name, value)
    before = snapshot(model)
    _, gradients = model.loss_and_gradients(X, Y)
    with pytest.raises(InputError, match=f"{name} is {value}; expected a .*number of at least 0"):
        sgd.step(gradients)
    assert snapshot(model) == before


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["info", "--figure", "photo.png"], "photo.png"),
        (["export", "mnist", "notes.c"], "notes.c"),
        (["page", "page.html"], "page.html"),
    ],
)
def test_a_file_that_lenet_did_not_write_is_never_replaced(cwd, capsys, arguments, name):
    (cwd / name).write_text("mine")
    assert f"{name} exists and was not written by lenet" in fails(capsys, *arguments)
    assert (cwd / name).read_text() == "mine"
    (cwd / name).unlink()
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 0  # its own file is replaced


@pytest.mark.landing
def test_an_onnx_file_that_lenet_did_not_write_is_never_replaced(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_text("mine")
    assert "model.onnx exists and was not written by lenet" in fails(capsys, "export", "mnist", "model.onnx")
    (tmp_path / "model.onnx").unlink()
    assert cli.main(["export", "mnist", "model.onnx"]) == 0
    assert cli.main(["export", "mnist", "model.onnx"]) == 0


# ---- resuming ------------------------------------------------------------------------------------------


@pytest.fixture
def run_folder(cwd, capsys, no_figures):
    """The folder of a finished run, in the current folder."""
    np.savez("some.npz", X_train=X, y_train=Y, X_test=X[:10], y_test=Y[:10])
    assert cli.main(["train", "some.npz", "--epochs", "2", "--validation", "0", "--batch-size", "8"]) == 0
    capsys.readouterr()
    return lenet.training.Run("runs/train-1")


def test_a_run_is_trained_by_one_process_at_a_time(run_folder, capsys):
    before = tree(run_folder.folder)
    code = "import lenet, sys\nwith lenet.training.Run('runs/train-1').locked(): print('locked', flush=True), input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        assert "train-1 is being trained by another process." in fails(capsys, "train", "--resume", "runs/train-1")
        other.kill()
    assert tree(run_folder.folder) == before
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0  # the other one's end has released it


def test_a_state_that_the_run_cannot_produce_is_refused():
    state = lenet.train(lenet.LeNet5(seed=0), X, Y, QUICK, on_step=lambda state: state.step == 2)
    state.images = 15
    model = lenet.LeNet5(seed=1)
    before = snapshot(model)
    with pytest.raises(InputError, match="its step does not match"):
        lenet.train(model, X, Y, QUICK, state=state)
    assert snapshot(model) == before
