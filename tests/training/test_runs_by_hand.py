"""Run folders: limits of their files, each argument, the initial model, and the metadata of the weights."""

import contextlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest

import lenet
from lenet._files import check_writable
from lenet.errors import InputError, InputTypeError, SaveError
from lenet.training import runs
from lenet.training.history import history_csv
from lenet.training.recipes import Recipe
from lenet.training.runs import Run
from lenet.training.state import Epoch

RECIPE = {"name": "mine", "epochs": 2, "batch_size": 8, "lr": 0.1}
ARGS = {
    "lenet": "0.1.0", "data": "/home/me/marks.npz", "data_sha256": "0" * 64, "num_classes": 3, "seed": 7,
    "recipe": RECIPE,
}  # fmt: skip
ROW = Epoch(1, 0.5, 2.25, 0.125, 1.5, 0.75, 1e5, 0.5)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, ARGS)


def with_args(run, **changes):
    (run.folder / "args.json").write_text(json.dumps({**run.args, **changes}))
    return Run(run.folder)


# ---- the arguments -------------------------------------------------------------------------------------


def test_arguments_are_indented_json_that_ends_with_a_line_break(run):
    assert (run.folder / "args.json").read_bytes() == (json.dumps(ARGS, indent=2) + "\n").encode()


def test_arguments_have_at_most_a_mebibyte(run):
    path = run.folder / "args.json"
    text = path.read_text()
    path.write_bytes(text.ljust(2**20).encode())
    assert Run(run.folder).args == ARGS
    path.write_bytes(text.ljust(2**20 + 1).encode())
    with pytest.raises(InputError, match=r"args\.json cannot be read \(it is larger than 1,048,576 bytes\)\. Restore"):
        Run(run.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "its seed is -1 and its num_classes is 3; expected a seed of at least 0, and 2 to 100,000"),
        ({"num_classes": 1}, "its seed is 7 and its num_classes is 1; expected a seed of at least 0, and 2 to 100,000"),
        ({"num_classes": 100_001}, "its seed is 7 and its num_classes is 100001; expected a seed of at least 0"),
        ({"seed": True}, "its seed is of type bool; expected int"),
        ({"num_classes": 2.0}, "its num_classes is of type float; expected int"),
        ({"lenet": None}, "its lenet is of type NoneType; expected str"),
        ({"recipe": False}, "its recipe is of type bool; expected object"),
        ({"network": "2098"}, "its network is '2098'; expected 1998"),
        ({"classes": ["a", "b"]}, "classes has 2 names; expected 3"),
        ({"classes": ["a", "b", "b"]}, "classes contains 'b' twice"),
    ],
)
def test_each_argument_is_validated_before_a_folder_is_created_and_when_it_is_read(run, tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        Run.create(tmp_path, {**ARGS, **changes})
    assert str(caught.value).startswith(f"args is invalid ({message}")
    assert [each.name for each in tmp_path.iterdir()] == ["train-1"]
    with pytest.raises(InputError) as caught:
        with_args(run, **changes)
    assert f"args.json cannot be read ({message}" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0},
        {"num_classes": 2},
        {"num_classes": 100_000},
        {"network": None},
        {"network": "1998", "num_classes": 10},
        {"classes": ["a", "b", "c"]},
        {"other": 1},
    ],
    ids=str,
)
def test_arguments_at_the_ends_of_their_ranges(tmp_path, changes):
    assert Run.create(tmp_path, {**ARGS, **changes}).args == {**ARGS, **changes}


@pytest.mark.parametrize("name", ARGS)
def test_every_argument_is_required(tmp_path, name):
    args = {key: value for key, value in ARGS.items() if key != name}
    with pytest.raises(InputError) as caught:
        Run.create(tmp_path, args)
    assert f"(it lacks {name})" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", [None, [], {**ARGS, "other": object()}, {**ARGS, 1.5j: 1}])
def test_arguments_are_a_mapping_of_json(tmp_path, args):
    with pytest.raises(InputError, match=r"^args is invalid \(.+\)\. Pass the arguments that `create` documents\.$"):
        Run.create(tmp_path, args)


def test_a_start_is_a_model(tmp_path):
    with pytest.raises(InputTypeError, match=r"^start is of type str; expected a LeNet5 or None\.$"):
        Run.create(tmp_path, ARGS, "mnist")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("is_folder", "state"), [(True, "has no args.json"), (False, "is not a folder")])
def test_a_path_that_is_no_run(tmp_path, is_folder, state):
    path = tmp_path / "x"
    path.mkdir() if is_folder else path.touch()
    with pytest.raises(InputError) as caught:
        Run(path)
    assert str(caught.value) == f"{path} {state}; expected a run folder, such as runs/train-1."


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(28, "No space left"), "No space left"), (SaveError("x is full."), "x is full."), (OSError("odd"), "odd")],
)
def test_the_error_for_a_folder_that_cannot_be_created_has_the_reason_of_the_system(
    tmp_path, monkeypatch, error, reason
):
    def fails(*_):
        raise error

    monkeypatch.setattr(runs, "atomic_write", fails)
    with pytest.raises(SaveError) as caught:
        Run.create(tmp_path, ARGS)
    assert str(caught.value) == (
        f"No run folder can be created in {tmp_path} ({reason}). Choose another folder with --runs."
    )


def test_the_cause_of_a_failed_save_is_the_reason(tmp_path, monkeypatch):
    def fails(*_):
        raise SaveError("args.json could not be written.") from OSError(28, "No space left")

    monkeypatch.setattr(runs, "atomic_write", fails)
    with pytest.raises(SaveError, match=r"\(No space left\)"):
        Run.create(tmp_path, ARGS)


def test_a_folder_that_cannot_be_renamed_is_an_error(tmp_path, monkeypatch):
    def fails(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "rename", fails)
    with pytest.raises(SaveError, match="Permission denied"):
        Run.create(tmp_path, ARGS)
    assert list(tmp_path.iterdir()) == []


def test_the_parent_is_synced_after_the_run_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(runs, "sync_folder", lambda path: synced.append((path, names(path))))
    Run.create(tmp_path, ARGS)
    assert synced == [(tmp_path, ["train-1"])]


# ---- recipe and model ----------------------------------------------------------------------------------


def test_the_recipe_is_that_of_the_arguments(run):
    assert run.recipe == Recipe("mine", 2, 8, 0.1)


@pytest.mark.parametrize("recipe", [None, [], {"name": "mine"}, {**RECIPE, "dropout": 0.5}])
def test_the_error_for_a_recipe_of_another_version_names_this_one(run, recipe):
    changed = with_args(run, recipe=recipe)
    with pytest.raises(InputError) as caught:
        _ = changed.recipe
    assert f"args.json has a recipe that lenet {lenet.__version__} does not know (" in str(caught.value)


def test_values_of_a_recipe_are_validated(run):
    with pytest.raises(InputTypeError, match=r"^name is 3; expected a string"):
        _ = with_args(run, recipe={**RECIPE, "name": 3}).recipe
    with pytest.raises(InputError, match=r"^lr is 0; expected"):
        _ = with_args(run, recipe={**RECIPE, "lr": 0}).recipe


def test_the_initial_model_has_the_seed_the_classes_and_the_network(run):
    model = run.initial_model()
    np.testing.assert_array_equal(model.parameters.flat, lenet.LeNet5(seed=7, num_classes=3).parameters.flat)
    assert (type(model), model.metadata) == (lenet.LeNet5, {})
    assert with_args(run, classes=["a", "b", "c"]).initial_model().classes == ("a", "b", "c")
    paper = with_args(run, network="1998", num_classes=10).initial_model()
    np.testing.assert_array_equal(paper.parameters.flat, lenet.LeNet1998(seed=7).parameters.flat)


def test_the_initial_model_of_a_run_from_weights_is_loaded(tmp_path):
    start = lenet.LeNet5(seed=1, num_classes=3)
    run = Run.create(tmp_path, {**ARGS, "from": "mnist"}, start)
    assert names(run.folder) == ["args.json", "start.safetensors"]
    np.testing.assert_array_equal(run.initial_model().parameters.flat, start.parameters.flat)


# ---- files ---------------------------------------------------------------------------------------------


def test_text_is_written_as_utf_8_and_bytes_as_they_are(run):
    for content, expected in (("Größe 7", "Größe 7".encode()), (b"\xff\0", b"\xff\0")):
        run.write("x", content)
        assert (run.folder / "x").read_bytes() == expected


def test_results_have_at_most_16_mebibytes(run):
    path = run.folder / "results.csv"
    path.touch()
    os.truncate(path, 2**24)
    with pytest.raises(InputError, match=r"results\.csv cannot be read \((field larger than|line contains NUL)"):
        run.history()
    os.truncate(path, 2**24 + 1)
    with pytest.raises(InputError, match=r"results\.csv cannot be read \(it is larger than 16,777,216 bytes\)"):
        run.history()


def test_the_rows_of_the_results_are_numbered(run):
    rows = [replace(ROW, epoch=number) for number in (1, 2, 3)]
    run.write("results.csv", history_csv(rows))
    assert run.history() == rows
    run.write("results.csv", history_csv([rows[0], rows[2]]))
    with pytest.raises(InputError, match="its row 2 is not that of epoch 2"):
        run.history()
    run.write("results.csv", history_csv([]))
    with pytest.raises(InputError, match="it has no epochs"):
        run.history()


METADATA = {
    "recipe": "mine", "data": "marks.npz", "seed": "7", "lenet": "0.1.0", "epoch": "1",
}  # fmt: skip


def test_the_metadata_has_the_results_and_no_path(run):
    assert run.metadata(ROW) == {**METADATA, "val_loss": "1.5", "val_accuracy": "0.75"}
    assert run.metadata(replace(ROW, val_loss=None, val_accuracy=None)) == METADATA
    assert run.metadata(replace(ROW, val_loss=0.0))["val_loss"] == "0.0"
    results = {**METADATA, "val_loss": "1.5", "val_accuracy": "0.75", "classes": '["ä", "b", "c"]'}
    assert with_args(run, classes=["ä", "b", "c"], raw=False).metadata(ROW) == results
    assert with_args(run, classes=["ä", "b", "c"], raw=True).metadata(ROW) == {**results, "raw": "True"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left"), "(No space left)."),
        (OSError("odd"), "(odd)."),
        (PermissionError(13, "Permission denied"), "(Permission denied). Make it writable."),
    ],
)
def test_the_error_for_a_folder_that_cannot_be_written_has_the_reason(run, monkeypatch, error, reason):
    def fails(**_):
        raise error

    monkeypatch.setattr("tempfile.TemporaryFile", fails)
    with pytest.raises(SaveError) as caught:
        check_writable(run.folder)
    assert str(caught.value) == f"{run.folder} cannot be written {reason}"


def test_a_file_system_without_locks_is_no_error(run, monkeypatch):
    def fails(file):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(runs, "lock", fails)
    monkeypatch.setattr(runs, "unlock", fails)
    entered = []
    with run.locked():
        entered.append(True)
    assert entered


def test_a_run_is_locked_while_the_context_is_open(run):
    with run.locked():
        with pytest.raises(InputError) as caught, Run(run.folder).locked():
            pass
        assert str(caught.value) == (
            f"{run.folder} is being trained by another process. Wait until it finishes, or start a new run."
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(Run(run.folder).locked())
