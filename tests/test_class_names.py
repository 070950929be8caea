"""The names of a model's classes."""

import pickle

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, InputTypeError
from lenet.training import RECIPES, transfer

NAMES = ("circle", "square", "Dreieck \u25b3")


def named():
    model = lenet.LeNet5(seed=0, num_classes=3)
    model.classes = NAMES
    return model


def test_without_names_classes_are_numbered():
    assert lenet.LeNet5(seed=0).classes == tuple("0123456789")


def test_names_are_saved_loaded_and_pickled(tmp_path):
    named().save(tmp_path / "model.safetensors")
    assert lenet.load(tmp_path / "model.safetensors").classes == NAMES
    assert pickle.loads(pickle.dumps(named())).classes == NAMES  # noqa: S301  # written above # nosemgrep: no-pickles


def test_names_are_normalised():
    """The two spellings of an accented letter are one name, also in models that were saved with the other one."""
    model = named()
    model.classes = ["e\u0301", "a", "b"]
    assert model.classes == ("\xe9", "a", "b")
    model.metadata["classes"] = '["e\u0301", "a", "b"]'
    assert model.classes == ("\xe9", "a", "b")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("abc", InputTypeError, "classes is 'abc'; expected a list of strings."),
        (["a", "b"], InputError, "classes has 2 names; expected 3, one for each output."),
        (["a", "b", 3], InputTypeError, "classes contains 3; expected strings."),
        (["a", "b", "a"], InputError, "classes contains 'a' twice; expected distinct names."),
        (["a", "b", "b"], InputError, "classes contains 'b' twice; expected distinct names."),
        (["a", "b", ""], InputError, "classes contains ''; expected 1 to 100 printable characters."),
        (["a", "b", "c\n"], InputError, "classes contains 'c\\n'; expected 1 to 100 printable characters."),
        (["a", "b", "c" * 101], InputError, "expected 1 to 100 printable characters."),
        (3, InputTypeError, "classes is 3; expected a list of strings."),
    ],
)
def test_bad_names_are_refused_and_change_nothing(names, error, message):
    model = named()
    with pytest.raises(error) as caught:
        model.classes = names
    assert message in str(caught.value)
    assert model.classes == NAMES


def test_names_of_1_to_100_characters_are_stored_as_they_are():
    model = named()
    model.classes = names = ("a", "b" * 100, "\u732b")
    assert model.classes == names
    assert model.metadata["classes"] == f'["a", "{"b" * 100}", "\u732b"]'


@pytest.mark.parametrize("text", ["[", '"abc"', '["a", "b"]', '["a", "b", 3]', "[" * 100_000, "null"])
def test_damaged_names_in_the_metadata_are_an_error(text):
    model = named()
    model.metadata["classes"] = text
    with pytest.raises(InputError, match="The model's classes are damaged"):
        _ = model.classes


def test_transfer_copies_all_but_the_output_layer():
    shipped = lenet.load_pretrained("mnist")
    model = transfer(shipped, NAMES, seed=1)
    assert model.classes == NAMES
    for name, value in model.parameters.items():
        if not name.startswith("output."):
            np.testing.assert_array_equal(value, shipped.parameters[name])
    fresh = lenet.LeNet5(seed=1, num_classes=3)
    np.testing.assert_array_equal(model.parameters["output.weight"], fresh.parameters["output.weight"])
    assert (model.mean, model.std) == (shipped.mean, shipped.std)
    assert "test_accuracy" not in model.metadata


def test_transfer_to_the_same_classes_copies_everything():
    shipped = lenet.load_pretrained("mnist")
    model = transfer(shipped, shipped.classes)
    x = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    np.testing.assert_array_equal(model.logits(x), shipped.logits(x))


@pytest.mark.landing
def test_transfer_learns_new_symbols_from_five_drawings_each():
    """From scratch, the same images and recipe stay on the plateau."""
    digits = lenet.data.load_digits()
    marks = np.ascontiguousarray(digits.X_train[:, ::-1].transpose(0, 2, 1))  # unlike any digit of MNIST
    few = np.concatenate([np.flatnonzero(digits.y_train == k)[:5] for k in range(10)])
    rest = np.setdiff1d(np.arange(len(marks)), few)
    accuracy = {}
    for name, model in {
        "transfer": transfer(lenet.load_pretrained("mnist"), [f"mark {k}" for k in range(10)], seed=0),
        "scratch": lenet.LeNet5(seed=0),
    }.items():
        lenet.train(model, marks[few], digits.y_train[few], RECIPES["small"].with_changes(validation=0.0))
        accuracy[name] = lenet.evaluation.evaluate(model, marks[rest], digits.y_train[rest])[1]
    assert accuracy["transfer"] > 0.8
    assert accuracy["scratch"] < 0.5
