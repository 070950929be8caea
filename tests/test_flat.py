"""Named arrays in one vector."""

import pickle

import numpy as np
import pytest

from lenet._flat import FlatDict
from lenet.errors import InputError, InputTypeError

SHAPES = {"weight": (2, 3), "bias": (2,), "scale": ()}


@pytest.fixture
def flat_dict():
    return FlatDict(SHAPES, np.float32, np.arange(9, dtype=np.float32))


def test_arrays_lie_one_after_the_other_in_the_given_vector(flat_dict):
    assert {name: value.tolist() for name, value in flat_dict.items()} == {
        "weight": [[0, 1, 2], [3, 4, 5]],
        "bias": [6, 7],
        "scale": 8,
    }
    flat_dict.flat *= 2
    assert flat_dict["bias"].tolist() == [12, 14]
    assert flat_dict.shapes == SHAPES


def test_the_vector_is_0_by_default():
    created = FlatDict(SHAPES, np.float64)
    assert (created.flat.dtype, created.flat.tolist()) == (np.float64, [0] * 9)
    assert FlatDict({}, np.float64).flat.shape == (0,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_array_begins_a_cache_line(dtype):
    created = [FlatDict({"first": (size,), "largest": (400, 3), "last": (2,)}, dtype) for size in range(40)]
    assert {each["largest"].ctypes.data % 64 for each in created} == {0}


def test_values_are_copied_into_the_views(flat_dict):
    flat_dict["bias"] = 5
    flat_dict["weight"] = [[1], [2]]
    flat_dict.update({"scale": 9})
    assert flat_dict.flat.tolist() == [1, 1, 1, 2, 2, 2, 5, 5, 9]
    same = flat_dict
    same |= {"bias": [3, 4]}
    assert same is flat_dict
    assert flat_dict.flat[6:8].tolist() == [3, 4]


def test_an_update_with_its_own_values_exchanges_them():
    pair = FlatDict({"a": (2,), "b": (2,)}, np.float32, np.arange(4, dtype=np.float32))
    pair.update(a=pair["b"], b=pair["a"])
    assert pair.flat.tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize("change", [{"weight": 7, "bias": [1, 2, 3]}, {"weight": 7, "other": 1}])
def test_an_update_changes_everything_or_nothing(flat_dict, change):
    with pytest.raises((InputError, KeyError)):
        flat_dict.update(change)
    assert flat_dict.flat.tolist() == list(range(9))


def test_no_name_is_added_or_removed(flat_dict):
    with pytest.raises(InputTypeError, match=r"^weight, bias, scale share one vector; no name can be added or removed"):
        del flat_dict["bias"]
    with pytest.raises(KeyError):
        flat_dict["other"] = 1
    assert list(flat_dict) == list(SHAPES)


def test_a_pickle_has_its_own_vector(flat_dict):
    twin = pickle.loads(pickle.dumps(flat_dict))  # noqa: S301  # written above # nosemgrep: no-pickles
    twin.flat[:] = 1
    assert twin["weight"].tolist() == [[1, 1, 1]] * 2
    assert flat_dict.flat.tolist() == list(range(9))
