"""Untrusted run folders: `lenet train --resume` prints one line, whatever the arguments and checkpoint contain."""

import json
import math
import shutil
import sys

import numpy as np
import pytest
from cli_calls import tree
from commands import fails, run, without_figures

import lenet
from lenet.weights import read_tensors, to_bytes

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)

DIGITS = 400  # more than a float holds
HUGE = 10**DIGITS
FORMULA = "=cmd|' /C calc'!A0"
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a small data set, and a two-epoch run that was stopped in the middle of the second epoch."""
    folder = tmp_path_factory.mktemp("begun")
    np.savez(folder / "small.npz", X=lenet.data.load_digits().X_train[:60], y=np.arange(60) % 3)
    arguments = ["--epochs", "1", "--validation", "0.2", "--batch-size", "8", "--runs", str(folder / "runs")]
    with without_figures():
        assert lenet.cli.main(["train", str(folder / "small.npz"), *arguments]) == 0
    return folder


@pytest.fixture
def folder(begun, tmp_path, monkeypatch):
    """A copy of the run."""
    monkeypatch.chdir(begun)
    shutil.copytree(begun / "runs" / "train-1", tmp_path / "run")
    return tmp_path / "run"


def refused(capsys, folder):
    """The one-line error of a run that cannot be resumed; nothing in its folder has changed."""
    before = tree(folder)
    message = fails(capsys, "train", "--resume", folder)
    assert tree(folder) == before
    return message


# ---- the arguments -------------------------------------------------------------------------------------


def change(folder, **changes):
    """Change arguments; ... removes one."""
    path = folder / "args.json"
    args = {**json.loads(path.read_bytes()), **changes}
    path.write_text(json.dumps({name: value for name, value in args.items() if value is not ...}))


@pytest.mark.parametrize("text", ["", "{", DEEP, "[]", "null", '"args"', "{}", "\xff", "9" * 5000, "NaN", " " * 2**21])
def test_invalid_arguments(capsys, folder, text):
    (folder / "args.json").write_bytes(text.encode("latin-1"))
    assert "args.json cannot be read" in refused(capsys, folder)


ANYTHING = [None, True, 1.5, [], {"a": 1}, -1, math.nan]
WRONG = {  # of each argument
    "lenet": [..., *ANYTHING],
    "data": [..., *ANYTHING, "x", "/dev/zero", "/", "/dev", "", "\0", "a\0.npz", "\udcff.npz", "x" * 5000, "\x1b[31m"],
    "data_sha256": [..., *ANYTHING, "x", "\x1b[31m"],
    "num_classes": [..., *ANYTHING, "x", "3", 1, 10**9, HUGE],
    "seed": [..., *ANYTHING, "x", "3"],
    "recipe": [..., *ANYTHING, "x", HUGE],
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_of_another_type_or_size(capsys, folder, name):
    for value in WRONG[name]:
        change(folder, **{name: value})
        refused(capsys, folder)


RECIPE = ("epochs", "batch_size", "lr", "momentum", "weight_decay", "schedule", "validation", "patience")


@pytest.mark.parametrize("name", RECIPE)
def test_invalid_recipes(capsys, folder, name):
    (folder / "checkpoint.safetensors").unlink()  # which would refuse each other recipe
    recipe = json.loads((folder / "args.json").read_bytes())["recipe"]
    for value in ("1", ["one_cycle"], {}, True, HUGE, math.nan, math.inf, -1, FORMULA):
        change(folder, recipe={**recipe, name: value})
        refused(capsys, folder)
    for changes in ({"dropout": 0.5}, {"epochs": 10**10}, {"__class__": "os"}, {"non_digits": HUGE}):
        change(folder, recipe={**recipe, **changes})
        refused(capsys, folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_a_run_whose_name_and_arguments_command_terminals_and_drawings(capsys, folder):
    """matplotlib would interpret text between two dollar signs as a formula."""
    strange = folder.rename(folder.with_name("a$\\frac$ <script>"))
    change(strange, cpu="\x1b[31m\nlenet: note: all is well", lenet="\x1b[31m")
    (strange / ".stray.tmp").mkdir()
    code, out, err = run(capsys, "train", "--resume", strange)  # which is finished, and only reported on again
    assert code == 0
    assert r"was started with the \x1b[31m\nlenet: note: all is well kernels." in err
    assert str(strange) in out


# ---- the checkpoint ------------------------------------------------------------------------------------


def rewrite(folder, change):
    """Change the state in a checkpoint in ways that do not happen by accident."""
    tensors, facts = read_tensors(folder / "checkpoint.safetensors")
    state = json.loads(facts["state"])
    change(state)
    (folder / "checkpoint.safetensors").write_bytes(to_bytes(tensors, {**facts, "state": json.dumps(state)}))


STATE = ["mean", "std", "step", "images", "loss_sum", "correct", "seconds", "best_epoch"]
EPOCH = ["epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "images_per_second", "seconds"]
VALUES = [FORMULA, "1", True, [], {}, math.nan, math.inf, HUGE]


@pytest.mark.parametrize("name", STATE)
def test_invalid_states(capsys, folder, name):
    for value in [*VALUES, None]:
        rewrite(folder, lambda state, value=value: state.update({name: value}))
        assert "is not a checkpoint of LeNet5" in refused(capsys, folder)


@pytest.mark.parametrize("name", EPOCH)
def test_invalid_histories(capsys, folder, name):
    """So results.csv, which is written from the history, contains only numbers and no formula."""
    for value in VALUES:
        rewrite(folder, lambda state, value=value: state["history"][0].update({name: value}))
        assert "is not a checkpoint of LeNet5" in refused(capsys, folder)
