"""The record that a file has of a classifier: what is stored, what is accepted, and the names of the classes."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")

from lenet import LeNet5
from lenet.errors import InputError, InputTypeError
from lenet.estimator.files import Record, names_of, sort_classes
from lenet.estimator.framing import Framing

VALID = {
    "labels": {"kind": "int64", "values": [3, 5]},
    "framing": {"height": 2, "width": 3, "low": 0, "high": 16.5, "whole": False},
    "n_features": 5,
    "feature_names": None,
    "parameters": {},
}


def read(**changes):
    return Record.from_text(json.dumps(VALID | changes), 2)


def framing(**changes):
    return {"framing": VALID["framing"] | changes}


def test_a_record_is_stored_as_json_and_read_again():
    parameters = {"alpha": np.float64(0.5), "n": np.int64(2), "shape": (2, 3), "none": None, "mode": "auto", "on": True}
    record = Record(np.array([3, 5]), Framing(2, 3, 0, 16.5), 5, list("abcde"), parameters)
    text = record.to_text()
    stored = {"alpha": 0.5, "n": 2, "shape": [2, 3], "none": None, "mode": "auto", "on": True}
    assert json.loads(text) == VALID | {"feature_names": list("abcde"), "parameters": stored}
    found = Record.from_text(text, 2)
    assert (found.labels.dtype, found.labels.tolist()) == (np.int64, [3, 5])
    assert (found.framing, found.n_features, found.feature_names) == (Framing(2, 3, 0, 16.5), 5, list("abcde"))
    assert found.parameters == stored | {"shape": (2, 3)}


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.array([False, True]), "bool"),
        (np.array([1, 2], np.uint8), "uint8"),
        (np.array([0.5, 2], np.float16), "float16"),
        (np.array(["a", "b"]), "str"),
        (np.array(["a", "b"], object), "object"),
    ],
)
def test_labels_keep_their_type(labels, kind):
    text = Record(labels, Framing(2, 3, 0, 1), 6, None, {}).to_text()
    assert json.loads(text)["labels"] == {"kind": kind, "values": labels.tolist()}
    found = Record.from_text(text, 2).labels
    assert (found.dtype, found.tolist()) == (labels.dtype, labels.tolist())


@pytest.mark.parametrize(
    "labels", [np.array([b"a", b"b"]), np.array(["a", 1], object), np.array([1, 2], object), np.array([1j, 2j])]
)
def test_labels_of_other_types_are_not_stored(labels):
    with pytest.raises(InputError, match=r"^The labels have dtype .*, which cannot be saved; expected booleans"):
        Record(labels, Framing(2, 3, 0, 1), 6, None, {}).to_text()


@pytest.mark.parametrize("value", [{}, b"a", 1j, np.random.default_rng(0), [1, {}]])
def test_objects_are_not_stored(value):
    with pytest.raises(InputError, match=r"^it is .*, which cannot be saved; expected a number, a string or None"):
        Record(np.array([1, 2]), Framing(2, 3, 0, 1), 6, None, {"it": value}).to_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"n_features": 1},
        {"n_features": 6},
        {"feature_names": ["a", "b", "c", "d", "e"]},
        {"labels": {"kind": "float64", "values": [-1.5, 2.0]}},
        {"labels": {"kind": "str", "values": ["", "a"]}},
        framing(height=28, width=28),
        framing(height=1, width=5),
        framing(height=5, width=1),
        framing(low=-1e300, high=1e300),
        framing(low=16.4),
        framing(whole=True),
    ],
)
def test_a_valid_record_is_accepted(changes):
    assert read(**changes).n_features == changes.get("n_features", 5)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"n_features": 0}, InputError, "n_features is 0; expected at least 1"),
        ({"n_features": 7}, InputError, "n_features is too large; expected at most 6"),
        ({"n_features": 5.0}, InputTypeError, "n_features is 5.0; expected an integer"),
        ({"feature_names": ["a", "b", "c", "d"]}, InputError, "feature_names is invalid"),
        ({"feature_names": ["a", "b", "c", "d", 5]}, InputError, "feature_names is invalid"),
        ({"feature_names": []}, InputError, "feature_names is invalid"),
        ({"parameters": [1]}, InputError, "parameters is invalid; expected a mapping of names to values"),
        ({"parameters": {"it": {}}}, InputError, "it is {}, which cannot be saved"),
        ({"labels": {"kind": "int64", "values": [1, 2, 3]}}, InputError, "labels has 3 values; expected 2, one for"),
        ({"labels": {"kind": "int64", "values": [5, 3]}}, InputError, "labels is [5, 3]; expected a sorted list of"),
        ({"labels": {"kind": "int64", "values": [3, 3]}}, InputError, "labels is [3, 3]; expected a sorted list of"),
        ({"labels": {"kind": "int64", "values": [3.5, 5]}}, InputError, "labels is [3.5, 5]; expected a sorted list"),
        ({"labels": {"kind": "str", "values": ["a", 5]}}, InputError, "labels has the kind 'str'; expected numbers or"),
        ({"labels": {"kind": "object", "values": [3, 5]}}, InputError, "labels has the kind 'object'; expected"),
        (
            {"labels": {"kind": "U999999999", "values": [3, 5]}},
            InputError,
            "labels has the kind 'U999999999'; expected",
        ),
        ({"labels": {"kind": "complex64", "values": [3, 5]}}, InputError, "labels has the kind 'complex64'"),
        (framing(height=0), InputError, "height is 0"),
        (framing(width=29), InputError, "width is too large; expected at most 28"),
        (framing(height=29), InputError, "height is too large; expected at most 28"),
        (framing(low=16.5), InputError, "framing ranges from 16.5 to 16.5; expected a finite range that is not empty"),
        (framing(low=20), InputError, "framing ranges from 20 to 16.5"),
        (framing(low=-1.7e308, high=1.7e308), InputError, "expected a finite range that is not empty"),
        (framing(high=float("inf")), InputError, "framing ranges from 0 to inf"),
        (framing(whole=1), InputError, "framing ranges from 0 to 16.5"),
        (framing(low="0"), InputTypeError, "framing is '0'; expected a number"),
        (framing(depth=1), TypeError, "depth"),
        ({"more": 1}, TypeError, "more"),
    ],
)
def test_an_invalid_record_is_rejected(changes, error, says):
    with pytest.raises(error) as caught:
        read(**changes)
    assert says in str(caught.value)


# ---- labels as names of classes ------------------------------------------------------------------------


def test_labels_that_are_no_names_are_numbered():
    assert names_of(np.array([3.5, 7.0])) == ("3.5", "7.0")
    for labels in (["", "a"], ["a", "b" * 101], ["a", "b\n"]):
        assert names_of(np.array(labels)) == ("0", "1")


def test_classes_are_sorted_with_their_outputs():
    model = LeNet5(seed=0, num_classes=3)
    assert sort_classes(model).tolist() == [0, 1, 2]
    model.parameters["output.bias"] = [1, 2, 3]
    rows = model.parameters["output.weight"].copy()
    model.classes = ("b", "c", "a")
    assert sort_classes(model).tolist() == ["a", "b", "c"]
    assert model.classes == ("a", "b", "c")
    assert model.parameters["output.bias"].tolist() == [3, 1, 2]
    np.testing.assert_array_equal(model.parameters["output.weight"], rows[[2, 0, 1]])
