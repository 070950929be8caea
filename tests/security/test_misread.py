"""An array of any kind is interpreted exactly, or rejected with an exception of lenet.

`array_takers` names the functions and their arrays, `array_kinds` the kinds that are made of each.
"""

import functools

import numpy as np
import pytest
from array_kinds import KINDS, MUST_BE_TAKEN
from array_takers import ANY_LABELS, BYTES, CLASSIFIERS_Y, FUNCTIONS, LABELS, SKLEARN, TABLE, UNDECIDED

from lenet.data import load_npz
from lenet.errors import DataError, InputError, LenetError
from lenet.layers import Linear
from lenet.reading.pictures import as_grey


def bits(result):
    """Return the result of a function in a form that is equal only to the same bits."""
    if isinstance(result, np.ndarray):
        return result.dtype.str, result.shape, result.tobytes()
    if isinstance(result, dict):
        return {name: bits(value) for name, value in result.items()}
    return [bits(each) for each in result] if isinstance(result, list | tuple) else repr(result)


@functools.cache
def bits_of_plain(name):
    """Return the result of a function for its plain array, which most kinds of arrays stand for."""
    function, plain = FUNCTIONS[name]
    return bits(function(plain))


def fault(name, kind):
    """Return how a function's result for an array of that kind is wrong, or None if it is right."""
    function, plain = FUNCTIONS[name]
    errors = (ValueError, TypeError) if name.startswith(SKLEARN) else LenetError
    given, meaning = KINDS[kind](plain)
    if name in CLASSIFIERS_Y and kind in ANY_LABELS:
        meaning = plain
    if given is None and (name.endswith(" w") or kind != "nothing"):
        return None  # this kind of the array does not exist; or there are no weights, which is valid
    try:
        found = bits(function(given))
    except errors as error:
        return f"refused: {error}" if kind in MUST_BE_TAKEN else None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if meaning is None:
        return "taken, and it should have been refused"
    expected = bits_of_plain(name) if meaning is plain else bits(function(meaning))
    return None if found == expected else "taken for something else"


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
@pytest.mark.filterwarnings("ignore:The network has hardly begun", "ignore:X has feature names")
@pytest.mark.filterwarnings("ignore:Support for labels represented as bytes")  # by scikit-learn 1.6
@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_array_of_any_kind_is_interpreted_exactly_or_refused(name):
    kinds = [kind for kind in KINDS if (name, kind) not in UNDECIDED]
    assert {kind: found for kind in kinds if (found := fault(name, kind)) is not None} == {}


# ---- values --------------------------------------------------------------------------------------------

LONG = np.longdouble
NEXT_LONG = pytest.param(
    LONG(1) + LONG(2) ** -60,
    marks=pytest.mark.skipif(np.finfo(LONG).nmant <= 52, reason="this platform's longdouble is a double"),
)
REALS_OF = [name for name in FUNCTIONS if name.endswith((" reals", " float32")) and not name.startswith("distort")]
TINY = np.nextafter(0, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -TINY, np.nextafter(1, 2), 255, NEXT_LONG])
@pytest.mark.parametrize("name", REALS_OF)
def test_one_pixel_outside_0_to_1_is_refused(name, value):
    function, plain = FUNCTIONS[name]
    x = plain.astype(np.longdouble)
    x[-1, -1] = value
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        function(x)


@pytest.mark.parametrize("value", [-0.0, TINY])
@pytest.mark.parametrize("name", ["logits of reals", "logits of float32", "train X of reals", "prepare reals"])
def test_zeros_of_either_sign_and_the_least_number_are_background(name, value):
    function, plain = FUNCTIONS[name]
    x = plain.astype(np.float64)
    x[x < 0.1] = 0
    zeros, given = function(x), function(np.where(x == 0, value, x))
    np.testing.assert_equal(given, zeros)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if not name.startswith(SKLEARN)])
def test_impossible_sizes_are_refused_immediately(name):
    """2**48 rows of the same numbers, as np.broadcast_to makes them of one: more bytes than there are addresses."""
    function, plain = FUNCTIONS[name]
    with pytest.raises((MemoryError, LenetError)):
        function(np.broadcast_to(plain[:1], (2**48, *plain.shape[1:])))


def test_numbers_that_overflow_the_layer_are_refused_and_infinite_ones_are_not():
    layer = Linear(1, 1)
    for x in ([[1e39]], np.array([[1e39]], np.longdouble)):
        with pytest.raises(InputError, match="too large for float32"):
            layer(x)
    assert np.isinf(layer(np.array([[np.inf]]))).all()


# ---- files of arrays -----------------------------------------------------------------------------------


def loaded(path, images, labels):
    np.savez(path, X=images, y=labels)
    return bits(load_npz(path))


@pytest.mark.parametrize("kind", ["big-endian", "Fortran order"])
def test_npz_files_of_any_layout(tmp_path, kind):
    images, labels = np.tile(BYTES, (7, 1)), np.tile(LABELS, 7)
    plain = loaded(tmp_path / "plain.npz", images, labels)
    assert loaded(tmp_path / "a.npz", KINDS[kind](images)[0], KINDS[kind](labels)[0]) == plain
    assert loaded(tmp_path / "b.npz", KINDS[kind](images / 255)[0], labels) == plain


@pytest.mark.parametrize("kind", ["bool", "object", "complex", "datetime64", "timedelta64", "text", "structured"])
def test_npz_files_without_numbers(tmp_path, kind):
    for images, labels in ((KINDS[kind](TABLE)[0], LABELS), (TABLE, KINDS[kind](LABELS)[0])):
        with pytest.raises(DataError):
            loaded(tmp_path / "a.npz", images, labels)


def test_every_pixel_of_float16_becomes_the_nearest_level(tmp_path):
    """A product of float16 is rounded before it is a level: 129.49 would become 130."""
    pixels = np.arange(0, 0x3C01, dtype=np.uint16).view(np.float16)  # all from 0 to 1
    images = np.resize(pixels, (20, 784))
    np.savez(tmp_path / "a.npz", X_train=images, y_train=np.arange(20) % 2, X_test=images, y_test=np.arange(20) % 2)
    expected = np.rint(images.astype(np.float64) * 255).reshape(-1, 28, 28)
    np.testing.assert_array_equal(load_npz(tmp_path / "a.npz").X_train, expected)
    np.testing.assert_array_equal(as_grey(images), expected.reshape(20, 784))
