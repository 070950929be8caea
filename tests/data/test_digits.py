"""scikit-learn's digits: the split, and how similar their framing is to MNIST's."""

import sys
import zlib

import numpy as np
import pytest

from lenet.data import load_digits
from lenet.data.box import fit_into_box
from lenet.errors import MissingExtraError

sklearn_datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_shapes_types_and_ranges(digits):
    assert digits.X_train.shape == (1438, 28, 28)
    assert digits.X_test.shape == (359, 28, 28)
    assert digits.X_train.dtype == digits.X_test.dtype == np.uint8
    assert digits.y_train.dtype == digits.y_test.dtype == np.int64
    assert digits.X_train.max() == 255
    assert digits.X_train.min() == 0


def test_a_fifth_of_each_class_is_held_out_and_nothing_is_lost(digits):
    all_counts = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])  # as scikit-learn documents the set
    test_counts = np.bincount(digits.y_test)
    assert (test_counts + np.bincount(digits.y_train)).tolist() == all_counts.tolist()
    np.testing.assert_array_equal(test_counts, np.round(all_counts / 5))
    images = np.concatenate([digits.X_train, digits.X_test]).reshape(-1, 784)
    assert len(np.unique(images, axis=0)) == len(np.unique(sklearn_datasets.load_digits().data, axis=0)) == 1797


def test_the_split_is_the_same_in_every_process(digits):
    assert zlib.crc32(digits.y_test.astype(np.uint8).tobytes()) == 1_341_826_747  # of another process
    assert digits.y_test[:20].tolist() == [1, 4, 7, 0, 2, 8, 1, 9, 5, 5, 0, 7, 6, 3, 3, 6, 0, 8, 7, 6]


def test_each_image_keeps_its_label():
    """Every enlarged image, made small again, is nearest to its own original."""
    original = sklearn_datasets.load_digits()
    large = fit_into_box(original.images[:200] * (255 / 16)).astype(float).reshape(200, -1)
    again = fit_into_box(original.images * (255 / 16)).astype(float).reshape(1797, -1)
    nearest = ((large[:, np.newaxis] - again[np.newaxis, :200]) ** 2).sum(axis=2).argmin(axis=1)
    assert nearest.tolist() == list(range(200))


def test_the_ink_is_centred_and_keeps_to_mnists_box(digits):
    images = digits.X_train.astype(float)
    at, total = np.arange(28), images.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = images.sum(axis=axis) @ at / total
        assert np.abs(centre - 13.5).max() < 0.1
    inked = images > 64
    heights = inked.any(axis=2).sum(axis=1)
    assert np.median(heights) == pytest.approx(20, abs=1)
    assert heights.max() <= 22
    assert images[:, [0, -1]].max() < 64  # a digit that is heavy at one end just touches the edge, with its soft rim
    assert images[:, :, [0, -1]].max() == 0


def test_a_missing_scikit_learn_is_named_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*pip install 'lenet\[train\]'"):
        load_digits()
