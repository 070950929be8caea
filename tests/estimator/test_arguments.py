"""The tables, labels and classes that LeNetClassifier makes of its arguments."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from lenet.errors import InputError, InputTypeError
from lenet.estimator import LeNetClassifier
from lenet.estimator.inputs import as_labels, as_table, encode, validated


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 1, 3, 5), (2, 1, 1, 3), (0, 3, 5)])
def test_images_become_rows(shape):
    X = np.arange(np.prod(shape)).reshape(shape)
    table, found = as_table(X)
    assert found == shape[-2:]
    np.testing.assert_array_equal(table, X.reshape(shape[0], shape[-2] * shape[-1]))


def test_tables_and_other_objects_are_left_to_scikit_learn():
    for X in (np.zeros((2, 15)), np.zeros(3), np.zeros((1, 1, 1, 1, 1)), None):
        table, shape = as_table(X)
        assert table is X
        assert shape is None
    table, shape = as_table([[1, 2], [3, 4]])
    assert (table.tolist(), shape) == ([[1, 2], [3, 4]], None)
    assert as_table([[[1, 2], [3, 4]]])[0].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((2, 3, 5, 5), "Convert colours to grey"),
        ((2, 0, 5, 5), "Convert colours to grey"),
        ((2, 5, 5, 1), "Move the last axis to position 1"),
        ((2, 5, 5, 3), "Convert colours to grey"),
    ],
)
def test_images_with_several_channels_are_rejected(shape, advice):
    with pytest.raises(InputError) as error:
        as_table(np.zeros(shape))
    assert str(error.value) == f"X has shape {shape}; expected (2, 1, height, width), one channel. {advice}."


def test_masked_and_ragged_images_are_rejected():
    with pytest.raises(InputTypeError, match=r"^X is a masked array"):
        as_table(np.ma.zeros((2, 4)))
    with pytest.raises(InputError, match=r"^X is not a rectangular array .*; expected rows of equal length"):
        as_table([[1, 2], [3]])


def test_pixels_are_numbers():
    classifier, y = LeNetClassifier(), np.zeros(1)
    for dtype in (bool, np.int8, np.uint8, np.float16):
        assert validated(classifier, np.zeros((1, 4), dtype), reset=True).dtype == dtype
    for dtype in ("m8[s]", "M8[s]"):  # scikit-learn rejects others
        for labels in ((), (y,)):
            with pytest.raises(InputTypeError, match=r"^X has dtype .*; expected numbers\.$"):
                validated(classifier, np.zeros((1, 4), dtype), *labels, reset=True)


class Column:
    """A column of a data frame, which is no array but has a shape."""

    shape = (2,)


def test_labels_are_left_as_they_are_or_become_an_array():
    for y in (None, Column(), [1, "a"], (1, 2), np.array([1, 2])):
        assert as_labels(y, "y") is y
    assert type(as_labels(range(2), "y")) is np.ndarray
    assert type(as_labels(memoryview(b"ab"), "y")) is np.ndarray


@pytest.mark.parametrize("y", [np.ma.array([1, 2]), [np.ma.array([1])]])
def test_masked_labels_are_rejected(y):
    with pytest.raises(InputTypeError, match=r"^y is a masked array"):
        as_labels(y, "y")


def test_labels_become_the_numbers_of_their_classes():
    classes, labels = encode(np.array(["b", "a", "b", "c"]), None)
    assert (classes.tolist(), labels.tolist(), labels.dtype) == (["a", "b", "c"], [1, 0, 1, 2], np.int64)
    given = np.array([3, 5, 9])
    classes, labels = encode(np.array([9, 3]), given)
    assert classes is given
    assert (labels.tolist(), labels.dtype) == ([2, 0], np.int64)


@pytest.mark.parametrize(
    ("y", "classes", "reason"),
    [
        ([3, 4], [3, 5], ""),
        (["a", "b"], ["a", "c"], ""),
        (["3", "4"], [3, 4], " (text and numbers are different labels)"),
        ([3, 4], ["3", "4"], " (text and numbers are different labels)"),
        ([3, 4], [b"3", b"4"], " (text and numbers are different labels)"),
    ],
)
def test_unknown_labels_are_rejected_with_the_reason(y, classes, reason):
    with pytest.raises(InputError) as error:
        encode(np.array(y), np.array(classes))
    assert f"which are not among the classes {np.array(classes).tolist()}{reason}. Use a new" in str(error.value)
    assert str(error.value).endswith('or see "For classes of your own" in docs/interop.md.')


@pytest.mark.parametrize(("y", "classes"), [(["10", "2"], range(12)), (["3"], range(10)), ([3], list("0123456789"))])
def test_text_is_never_the_number_that_it_shows(y, classes):
    """NumPy compares text with numbers as text if there are many of them."""
    with pytest.raises(InputError, match="text and numbers are different labels"):
        encode(np.array(y), np.array(classes))
