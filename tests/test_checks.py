"""Checked arrays: the shapes, dtypes and values that are accepted and rejected, and how they are cast."""

import numpy as np
import pytest

from lenet import _checks
from lenet.errors import InputError, InputTypeError, WeightsError

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def accepts(check, *arguments):
    try:
        check(*arguments)
    except (InputError, InputTypeError):
        return False
    return True


# ---- arrays --------------------------------------------------------------------------------------------


class Converts:
    """An object that NumPy converts to an array by its own method."""

    def __init__(self, result):
        self.result = result

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Special(np.ndarray):
    """A subclass, whose operations might differ."""


def test_a_subclass_becomes_a_plain_array():
    assert type(_checks.array(np.zeros(2).view(Special), "x", "expected numbers")) is np.ndarray


@pytest.mark.parametrize(
    "x",
    [
        np.ma.array([1]),
        [np.ma.array([1])],
        ((0, np.ma.array([1])),),
        Converts(np.ma.array([1, 2], mask=[0, 1])),
    ],
)
def test_masks_are_rejected_at_any_depth(x):
    with pytest.raises(InputTypeError, match=r"^it is a masked array. Fill it first, for example with it.filled\(0\)"):
        _checks.array(x, "it", "expected numbers")


@pytest.mark.parametrize("number", [float, np.float64])
def test_masks_are_not_searched_for_in_each_number(monkeypatch, number):
    visited = []
    reject = _checks._reject_masks
    monkeypatch.setattr(_checks, "_reject_masks", lambda x, name: visited.append(type(x)) or reject(x, name))
    _checks.array([[number(0)] * 784] * 3, "it", "expected numbers")
    assert visited == [list, list, list, list, np.ndarray]


def test_a_failed_conversion_is_a_type_error_and_a_full_memory_is_itself():
    with pytest.raises(InputTypeError, match=r"^it cannot be converted to an array \(RuntimeError: no\); expected 5"):
        _checks.array(Converts(RuntimeError("no")), "it", "expected 5")
    with pytest.raises(MemoryError, match=r"^full$"):
        _checks.array(Converts(MemoryError("full")), "it", "expected 5")


@pytest.mark.parametrize("error", [InputError, WeightsError])
def test_ragged_lists_raise_the_given_error(error):
    with pytest.raises(error, match=r"^it is not a rectangular array \(.*\); expected 5\.$"):
        _checks.array([[1, 2], [3]], "it", "expected 5", error)


# ---- images --------------------------------------------------------------------------------------------

NUMBERED = np.arange(2 * 784).astype(np.uint8)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 28, 28), (2, 784)])
@pytest.mark.parametrize("cast", [np.asarray, lambda x: (x / 255).astype(np.float32), lambda x: x / 255])
def test_images_of_each_shape_are_views(shape, cast):
    given = cast(NUMBERED.reshape(shape))
    found = _checks.images(given)
    np.testing.assert_array_equal(found, cast(NUMBERED).reshape(2, 28, 28))
    assert np.shares_memory(found, given)


def test_images_may_be_lists():
    np.testing.assert_array_equal(_checks.images([[0.25] * 784]), np.full((1, 28, 28), 0.25))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((28, 28), (1, 28, 28)), ((1, 784), (1, 28, 28)), ((0, 784), (0, 28, 28)), ((0, 1, 28, 28), (0, 28, 28)),
     ((0, 28, 28), (0, 28, 28))],
)  # fmt: skip
def test_the_shape_of_one_image_and_of_none(shape, expected):
    assert _checks.images(np.zeros(shape)).shape == expected


@pytest.mark.parametrize(
    "shape",
    [(784,), (1, 28), (28,), (2, 28, 27), (2, 27, 28), (28, 27), (2, 3, 28, 28), (2, 1, 1, 28, 28), (784, 1), ()],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_other_shapes_are_no_images(shape, dtype):
    with pytest.raises(InputError, match=r"^x has shape .*, or \(28, 28\) for one image\. Convert pictures with"):
        _checks.images(np.zeros(shape, dtype))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, bool, complex])
def test_pixels_are_bytes_or_floats(dtype):
    with pytest.raises(InputTypeError, match=r"^x has dtype .*; expected uint8 pixels from 0 to 255, or floats in"):
        _checks.images(np.zeros((2, 784), dtype))
    with pytest.raises(InputTypeError, match=r"^it has dtype .*; expected uint8 pixels from 0 to 255, or floats in"):
        _checks.image_form((2, 784), np.dtype(dtype), "it")


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_the_form_of_a_batch(dtype):
    for shape in ((0, 784), (2, 784), (2, 28, 28), (2, 1, 28, 28)):
        _checks.image_form(shape, np.dtype(dtype), "it")
    for shape in ((28, 28), (784,), (2, 785), (2, 28, 1), (2, 3, 28, 28)):
        with pytest.raises(InputError, match=r"^it has shape \(.*\); expected \(n, 1, 28, 28\), .* or \(n, 784\)\.$"):
            _checks.image_form(shape, np.dtype(dtype), "it")


def test_there_is_at_least_one_image():
    _checks.not_empty(np.zeros((1, 28, 28)))
    with pytest.raises(InputError, match=r"^There are no images"):
        _checks.not_empty(np.zeros((0, 28, 28)))


@pytest.mark.parametrize("value", [-1e-300, np.nextafter(1, 2), np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 5])
def test_one_pixel_outside_the_unit_interval_is_rejected(value, at):
    x = np.full((2, 3), 0.5)
    x.flat[at] = value
    with pytest.raises(
        InputError,
        match=r"^x has .*pixels (that are NaN|from .*); expected \[0, 1\]\. (Divide|Clip|Pass|Replace)",
    ):
        _checks.unit_floats(x)
    with pytest.raises(InputError):
        _checks.unit_floats(np.broadcast_to(x[:, np.newaxis], (2, 4, 3)))


def test_the_bounds_of_the_unit_interval_are_accepted():
    _checks.unit_floats(np.array([0.0, 1.0]))
    _checks.unit_floats(np.zeros((0, 784)))
    _checks.unit_floats(np.broadcast_to(np.array([0.0, 1.0]), (2**48, 2)))  # checks two numbers


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", ">f4"])
def test_the_unit_interval_is_exact_in_every_type(dtype):
    one, zero = np.ones(1, np.dtype(dtype).newbyteorder("=")), np.zeros(1, np.dtype(dtype).newbyteorder("="))
    for inside in (zero, -zero, one, np.nextafter(zero, one), np.nextafter(one, zero)):
        _checks.unit_floats(inside.astype(dtype))
    for outside in (
        np.nextafter(one, 2 * one),
        np.nextafter(zero, -one),
        one * np.nan,
        -one * np.nan,
        one * np.inf,
        -one,
    ):
        with pytest.raises(InputError, match=r"expected \[0, 1\]"):
            _checks.unit_floats(outside.astype(dtype))


def test_images_of_bytes_are_contiguous():
    images = np.arange(3 * 784).reshape(28, 28, 3).astype(np.uint8).T
    found = _checks.byte_images(images)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, images)
    with pytest.raises(InputTypeError, match=r"^images has dtype float64; expected uint8\.$"):
        _checks.byte_images(images / 1)
    for shape in ((784,), (3, 784), (3, 28, 27), (3, 1, 28, 28)):
        with pytest.raises(InputError, match=r"^images has shape \(.*\); expected \(n, 28, 28\)\.$"):
            _checks.byte_images(np.zeros(shape, np.uint8))


# ---- outputs -------------------------------------------------------------------------------------------


def test_an_output_is_created_or_checked():
    x = np.zeros((3, 784), np.uint8)
    created = _checks.output(None, (3, 2), SINGLE, x)
    assert (created.shape, created.dtype) == ((3, 2), SINGLE)
    assert _checks.output(created, (3, 2), SINGLE, x) is created


READ_ONLY = np.zeros((3, 2), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "error", "says"),
    [
        ([[0.0, 0.0]] * 3, InputTypeError, "out is of type list; expected an ndarray of dtype float32"),
        (np.ma.zeros((3, 2), np.float32), InputTypeError, "out is of type MaskedArray; expected an ndarray"),
        (np.zeros((3, 2)), InputError, "out has dtype float64 and shape (3, 2); expected float32 and (3, 2)"),
        (np.zeros((3, 2), SINGLE.newbyteorder()), InputError, "and shape (3, 2); expected float32 and (3, 2)"),
        (np.zeros((2, 3), np.float32), InputError, "out has dtype float32 and shape (2, 3); expected float32 and"),
        (np.zeros((2, 3), np.float32).T, InputError, "C-contiguous, aligned and writable"),
        (READ_ONLY, InputError, "C-contiguous, aligned and writable"),
        (np.ndarray((3, 2), np.float32, bytearray(25), 1), InputError, "C-contiguous, aligned and writable"),
    ],
)
def test_an_output_that_does_not_fit_is_rejected(out, error, says):
    with pytest.raises(error) as caught:
        _checks.output(out, (3, 2), SINGLE, np.zeros((3, 784), np.uint8))
    assert says in str(caught.value)


def test_an_output_within_the_input_is_rejected():
    x = np.zeros((3, 28, 28), np.float32)
    with pytest.raises(InputError, match=r"^out shares memory with x"):
        _checks.output(x.reshape(-1)[:6].reshape(3, 2), (3, 2), SINGLE, x)


# ---- labels, targets and weights -----------------------------------------------------------------------


def test_labels_are_integers_within_their_bounds():
    found = _checks.labels([0, 2, 1], 3, 3)
    assert (found.dtype, found.tolist()) == (np.int64, [0, 2, 1])
    assert _checks.labels(np.array([-1, 2], np.int8), 2, 3, at_least=-1).tolist() == [-1, 2]
    assert _checks.labels([], 0, 3).tolist() == []


@pytest.mark.parametrize(
    ("y", "error", "says"),
    [
        ([0, 3], InputError, "y has labels from 0 to 3; expected 0 to 2 for 3 classes"),
        ([-1, 2], InputError, "y has labels from -1 to 2; expected 0 to 2 for 3 classes"),
        (np.array([0, 2**64 - 1], np.uint64), InputError, "to 18446744073709551615; expected 0 to 2"),
        ([0, 1, 2], InputError, "y has shape (3,); expected (2,), one label per image"),
        ([], InputError, "y has shape (0,); expected (2,)"),
        ([0.0, 1.0], InputTypeError, "y has dtype float64; expected integer labels from 0 to 2"),
        ([True, False], InputTypeError, "y has dtype bool; expected integer labels from 0 to 2"),
    ],
)
def test_other_labels_are_rejected(y, error, says):
    for check in (_checks.labels, lambda *given: _checks.targets(*given, SINGLE)):
        with pytest.raises(error) as caught:
            check(y, 2, 3)
        assert says in str(caught.value)


def test_targets_may_be_labels():
    assert _checks.targets([0, 2], 2, 3, SINGLE).tolist() == [0, 2]
    assert _checks.targets([-1, 2], 2, 3, SINGLE, at_least=-1).tolist() == [-1, 2]
    with pytest.raises(InputError, match="expected 0 to 2"):
        _checks.targets([-1, 2], 2, 3, SINGLE)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_targets_are_scaled_to_a_sum_of_one(dtype):
    found = _checks.targets([[0.25, 0.25, 0.5009], [0, 0.9991, 0]], 2, 3, dtype)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, [[0.25 / 1.0009, 0.25 / 1.0009, 0.5009 / 1.0009], [0, 1, 0]], rtol=1e-6)
    np.testing.assert_array_equal(_checks.targets(np.array([[0, 1], [1, 0], [0, 1]]), 3, 2, dtype)[:, 1], [1, 0, 1])


@pytest.mark.parametrize(
    "row",
    [[-0.0005, 1, 0.0005], [0, 1.0005, -0.0005], [0, 1.0005, 0], [0.4, 0.3, 0.3012], [0.4, 0.3, 0.2988],
     [0.5, 0.5, np.nan], [1, 1, 1], [0, 0, 0]],
)  # fmt: skip
def test_rows_that_are_not_probabilities_are_rejected(row):
    with pytest.raises(InputError, match=r"^y has probabilities from .* and rows that sum to .* to .*; expected prob"):
        _checks.targets([[0.5, 0.25, 0.25], row], 2, 3, DOUBLE)


def test_targets_of_another_shape_or_type_are_rejected():
    with pytest.raises(InputError, match=r"^y has shape \(2, 2\); expected probabilities of shape \(2, 3\), or labels"):
        _checks.targets([[0.5, 0.5], [1, 0]], 2, 3, SINGLE)
    with pytest.raises(InputError, match=r"^y has shape \(1, 3\)"):
        _checks.targets([[1, 0, 0]], 2, 3, SINGLE)
    for dtype in (bool, str, complex):
        with pytest.raises(InputTypeError, match=r"^y has dtype .*; expected probabilities or labels\.$"):
            _checks.targets(np.eye(2).astype(dtype), 2, 2, SINGLE)


def test_targets_are_converted_between_labels_and_probabilities():
    labels = np.array([2, -1, 0, 1])
    table = _checks.probabilities_of(labels, 3, SINGLE)
    assert table.dtype == SINGLE
    third = np.float32(1 / 3)
    assert table.tolist() == [[0, 0, 1], [third, third, third], [1, 0, 0], [0, 1, 0]]
    assert _checks.labels_of(table).tolist() == [2, 0, 0, 1]
    assert _checks.labels_of(labels) is labels


def test_weights_are_scaled_to_a_mean_of_one():
    assert _checks.sample_weight(None, 3) is None
    found = _checks.sample_weight([1, 3, 0, 4], 4)
    assert (found.dtype, found.tolist()) == (np.float64, [0.5, 1.5, 0, 2])
    assert _checks.sample_weight([True, False, True, True], 4).tolist() == pytest.approx([4 / 3, 0, 4 / 3, 4 / 3])
    assert _checks.sample_weight([1.5e308, 0.5e308], 2).tolist() == pytest.approx([1.5, 0.5])  # whose sum overflows
    assert _checks.sample_weight([5e-324, 0], 2).tolist() == [2, 0]
    assert _checks.sample_weight(2.5, 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("weights", [0, -1, [0.0, 0], [1, -1e-300], [1, np.inf], [1, np.nan], [-np.inf, 1], [-1, -1]])
def test_weights_out_of_range_are_rejected(weights):
    with pytest.raises(InputError, match=r"^sample_weight has negative or non-finite weights, or only zeros; expected"):
        _checks.sample_weight(weights, 2)


# ---- tables of numbers ---------------------------------------------------------------------------------


def test_a_tensor_has_the_shape_that_is_asked_for():
    x = np.arange(6).reshape(2, 3)
    for shape in ((2, 3), (None, 3), (2, None), (None, None)):
        np.testing.assert_array_equal(_checks.tensor(x, SINGLE, shape), x)
    for shape, expected in (
        ((2, 2), "(2, 2)"),
        ((3, None), "(3, any length)"),
        ((2,), "(2,)"),
        ((2, 3, 1), "(2, 3, 1)"),
    ):
        with pytest.raises(InputError) as error:
            _checks.tensor(x, SINGLE, shape, "it")
        assert str(error.value) == f"it has shape (2, 3); expected {expected}."


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("given", ["i1", "u8", "f2", "f4", ">f4", "f8", ">f8"])
def test_numbers_become_floats_in_native_order(dtype, given):
    values = np.array([[1, 2], [3, 4]], given).T
    found = _checks.floats(values, dtype, "it")
    assert (found.dtype, found.dtype.isnative, found.flags.carray) == (dtype, True, True)
    assert found.tolist() == [[1, 3], [2, 4]]
    unaligned = np.ndarray((3,), dtype, bytearray(3 * dtype.itemsize + 1), 1)
    assert _checks.floats(unaligned, dtype, "it").flags.aligned


def test_floats_that_fit_are_not_copied():
    values = np.ones(3)
    assert np.shares_memory(_checks.floats(values, DOUBLE, "it"), values)


@pytest.mark.parametrize("dtype", [bool, complex, str, object, "M8[s]"])
def test_only_numbers_are_floats(dtype):
    with pytest.raises(InputTypeError, match=r"^it has dtype .*; expected numbers\.$"):
        _checks.floats(np.array([0, 1]).astype(dtype), SINGLE, "it")


def test_finite_numbers_that_overflow_are_rejected_and_infinite_ones_are_kept():
    largest = float(np.finfo(np.float32).max)
    assert _checks.floats([largest, -np.inf, np.nan], SINGLE, "it").tolist()[:2] == [largest, -np.inf]
    for values in ([1.0, 1e39], [-1e39, np.inf]):
        with pytest.raises(InputError, match=r"^it contains numbers too large for float32; expected at most 3.4e\+38"):
            _checks.floats(values, SINGLE, "it")
        assert _checks.floats(values, DOUBLE, "it").tolist() == values


def test_numbers_are_broadcast_to_a_shape():
    assert _checks.broadcast([1, 2], SINGLE, (3, 2), "it").tolist() == [[1, 2]] * 3
    with pytest.raises(InputError, match=r"^it has shape \(2,\); expected \(2, 3\), or one that broadcasts to it\.$"):
        _checks.broadcast([1, 2], SINGLE, (2, 3), "it")


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_rows_of_floats_are_not_copied(dtype):
    table = np.ones((2, 3), dtype)
    assert _checks.rows(table, "it") is table


@pytest.mark.parametrize(
    ("table", "dtype"),
    [
        ([[1, 2]], DOUBLE),
        (np.array([[1, 2]], np.float16), DOUBLE),
        (np.array([[1, 2]], ">f4"), SINGLE),
        (np.array([[1, 2]], ">f8"), DOUBLE),
        (np.array([[1, 0], [2, 0]], np.float32).T[:1], SINGLE),
        (np.array([[1.0, 2.0]]).view(Special), DOUBLE),
        (np.array([[1, 9, 2]], np.float32)[:, ::2], SINGLE),
    ],
)
def test_rows_of_other_numbers_are_converted(table, dtype):
    found = _checks.rows(table, "it")
    assert (type(found), found.dtype, found.flags.carray, found.tolist()) == (np.ndarray, dtype, True, [[1, 2]])


def test_rows_are_aligned():
    place = np.ndarray((1, 2), np.float32, bytearray(9), 1)
    place[...] = 1, 2
    found = _checks.rows(place, "it")
    assert (found.flags.aligned, found.tolist()) == (True, [[1, 2]])


@pytest.mark.parametrize("table", [np.ones(3), np.ones((1, 1, 1)), np.ones((2, 0)), 1.0])
def test_rows_are_a_table_with_at_least_one_column(table):
    with pytest.raises(InputError, match=r"^it has shape"):
        _checks.rows(table, "it")
    assert _checks.rows(np.ones((2, 1)), "it").shape == (2, 1)


@pytest.mark.parametrize(
    ("value", "accepted"), [(0.0, True), (1 + 9e-7, True), (1 + 1.1e-6, False), (-1e-300, False), (np.nan, False)]
)
def test_probabilities_are_from_0_to_1_within_rounding(value, accepted):
    assert accepts(_checks.probabilities, np.array([[0.5, value], [0.5, 0.5]])) == accepted
    assert _checks.probabilities(np.ones((0, 2))).shape == (0, 2)
