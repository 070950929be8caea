"""Every refusal leaves things as they were."""

import copy
import sys
import warnings

import numpy as np
import pytest

import lenet
from lenet import _extras, cli
from lenet.errors import DataError, DivergedError, InputError, InputTypeError, MissingExtraError, SaveError
from lenet.training import RECIPES

X = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
Y = np.arange(30) % 10
QUICK = RECIPES["default"].with_changes(epochs=4, batch_size=10, validation=0.0)


def snapshot(model):
    return model.parameters.flat.tobytes(), model.mean, model.std, dict(model.metadata)


def test_a_training_that_diverges_at_once_changes_nothing():
    model = lenet.LeNet5(seed=0)
    model.metadata["origin"] = "mine"
    model.mean = 0.5
    before = snapshot(model)
    with pytest.raises(DivergedError, match="weights are those from before the training"):
        lenet.train(model, X, Y, QUICK.with_changes(lr=1e38, momentum=0.9))
    assert snapshot(model) == before


def test_a_training_that_diverges_later_keeps_the_best_epoch():
    model = lenet.LeNet5(seed=0)
    best = []

    def break_after_two(state):
        best[:] = [state.best_parameters.copy(), state.best_epoch]
        if state.epoch == 2:
            model.parameters["c1.weight"][...] = np.nan

    with pytest.raises(DivergedError) as caught:
        lenet.train(model, X, Y, QUICK.with_changes(lr=0.01), on_epoch=break_after_two)
    assert f"weights are those of epoch {best[1]}" in str(caught.value)
    np.testing.assert_array_equal(model.parameters.flat, best[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"sample_weight": -np.ones(30)},
        {"seed": -1},
        {"n_jobs": 0},
        {"state": 3},
        {"recipe": []},
        {"on_epoch": 3},
        {"y": np.arange(30)},
        {"X": X.astype(int)},
        {"X": X[:20]},
    ],
)
def test_a_training_that_is_refused_changes_nothing(arguments):
    model = copy.deepcopy(lenet.load_pretrained("mnist"))
    before = snapshot(model)
    with pytest.raises((InputError, InputTypeError)):
        lenet.train(model, **({"X": X, "y": Y, "recipe": QUICK} | arguments))
    assert snapshot(model) == before


@pytest.mark.parametrize("name", ["distort", "vary", "standardise"])
def test_switches_of_a_recipe_are_true_or_false(name):
    with pytest.raises(InputTypeError, match=f"{name} is 'no'; expected True or False."):
        QUICK.with_changes(**{name: "no"})


@pytest.mark.parametrize("value", [1e308, 101, -1, float("nan")])
def test_non_digits_have_a_limit(value):
    with pytest.raises(InputError, match=r"non_digits is .*; expected a number from 0 to 100\."):
        QUICK.with_changes(non_digits=value)


@pytest.mark.parametrize(("name", "value"), [("lr", np.nan), ("lr", -1.0), ("momentum", 1.0), ("weight_decay", np.inf)])
def test_settings_of_sgd_are_checked_when_they_are_used(name, value):
    model = lenet.LeNet5(seed=0)
    sgd = lenet.training.SGD(model, 0.1)
    setattr(sgd, name, value)
    before = snapshot(model)
    _, gradients = model.loss_and_gradients(X, Y)
    with pytest.raises(InputError, match=f"{name} is {value}; expected at least 0"):
        sgd.step(gradients)
    assert snapshot(model) == before


@pytest.mark.parametrize("rate", [np.nan, -0.1, 1.1])
def test_a_rate_is_from_0_to_1(rate):
    with pytest.raises(InputError, match=r"rate is .*; expected a number from 0 to 1\."):
        lenet.evaluation.threshold(np.array([[0.5, 0.5]]), np.array([0]), rate)


def test_half_is_true_or_false(tmp_path):
    with pytest.raises(InputTypeError, match="half is 'no'; expected True or False"):
        lenet.LeNet5(seed=0).save(tmp_path / "a.safetensors", half="no")
    assert not list(tmp_path.iterdir())


def test_a_seed_is_at_least_0():
    with pytest.raises(InputError, match=r"seed is -1; expected at least 0\."):
        lenet.LeNet5(seed=-1)


def test_evaluate_takes_models_only():
    with pytest.raises(InputTypeError, match="model is"):
        lenet.evaluation.evaluate(None, X, Y)


def test_extreme_logits_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extreme = np.array([[3e38, -3e38]], np.float32)
        np.testing.assert_array_equal(lenet.losses.softmax(extreme), [[1, 0]])


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_is_no_name_of_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaveError, match="expected a file name, not a folder"):
        lenet.LeNet5(seed=0).save(name)
    assert not list(tmp_path.iterdir())


def test_integer_pixels_of_0_and_1_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", X=np.tile((X > 127).astype(np.uint8), (3, 1, 1)), y=np.tile(Y, 3))
    with pytest.raises(DataError, match=r"integer pixels of 0 and 1 only; expected 0 to 255\. Multiply them by 255\."):
        lenet.data.load_npz(tmp_path / "mine.npz")


def test_an_extra_that_cannot_be_imported_is_reported(tmp_path, monkeypatch):
    (tmp_path / "cv3.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"installed but cannot be imported \(libGL\.so\.1: cannot open"):
        _extras.require("cv3", "vision")
    sys.modules.pop("cv3", None)


def fails(capsys, *arguments):
    assert cli.main(list(arguments)) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["info", "--figure", "photo.png"], "photo.png"),
        (["export", "mnist", "notes.c"], "notes.c"),
        (["page", "page.html"], "page.html"),
    ],
)
def test_a_file_that_lenet_did_not_write_is_never_replaced(tmp_path, monkeypatch, capsys, arguments, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    assert f"{name} exists and was not written by lenet" in fails(capsys, *arguments)
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 0  # its own file is replaced


def test_a_header_that_lenet_did_not_write_keeps_the_source_from_being_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.h").write_text("mine")
    assert "notes.h exists and was not written by lenet" in fails(capsys, "export", "mnist", "notes.c")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.h"]


@pytest.mark.landing
def test_an_onnx_file_that_lenet_did_not_write_is_never_replaced(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_text("mine")
    assert "model.onnx exists and was not written by lenet" in fails(capsys, "export", "mnist", "model.onnx")
    (tmp_path / "model.onnx").unlink()
    assert cli.main(["export", "mnist", "model.onnx"]) == 0
    assert cli.main(["export", "mnist", "model.onnx"]) == 0


def test_an_empty_name_of_a_run_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "has no args.json; expected a run folder" in fails(capsys, "train", "--resume", "")


def test_a_figure_needs_the_name_of_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert ". is a folder; expected a file name." in fails(capsys, "info", "--figure", ".")
