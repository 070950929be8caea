"""The split into training and validation images, and their standardisation."""

import numpy as np
import pytest

from lenet.errors import InputError, InputTypeError
from lenet.training.splits import split, standardisation


def test_split_is_stratified_disjoint_and_whole():
    y = np.repeat([0, 1, 2], [100, 50, 10])
    parts = split(y, 0.2, seed=3)
    assert np.bincount(y[parts.validation]).tolist() == [20, 10, 2]
    assert sorted([*parts.train, *parts.validation]) == list(range(160))
    assert not np.array_equal(parts.validation, split(y, 0.2, seed=4).validation)
    np.testing.assert_array_equal(parts.validation, split(y, 0.2, seed=3).validation)


def test_without_validation_every_image_is_learned_from():
    parts = split(np.array([3, 1, 2]), 0.0, seed=0)
    assert (parts.train.tolist(), parts.validation.tolist()) == ([0, 1, 2], [])


@pytest.mark.parametrize("validation", [0.1, 0.9], ids=["none is held out", "all are"])
def test_too_few_images_to_split_are_refused(validation):
    with pytest.raises(InputError, match=rf"^3 labels are too few to hold out {validation} of each class"):
        split(np.arange(3), validation, seed=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_standardisation_counts_the_members_alone(dtype):
    X = np.zeros((2500, 2, 2), dtype)
    X[1000:2400] = np.iinfo(dtype).max if dtype == np.uint8 else 1
    assert standardisation(X, np.arange(500, 2500)) == pytest.approx((0.7, np.sqrt(0.21)), rel=1e-6)


def test_mnist_is_standardised_by_its_known_mean_and_deviation(mnist):
    assert standardisation(mnist.X_train) == pytest.approx((0.1307, 0.3081), abs=5e-5)


def test_standardisation_of_floats_and_bytes_agrees():
    x = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    assert standardisation(x) == pytest.approx(standardisation(x / 255))
    assert standardisation(np.full((2, 28, 28), 7, np.uint8)) == (0, 1)


@pytest.mark.parametrize(
    ("X", "error"), [(np.full((1, 28, 28), 1.5), InputError), (np.ones((1, 28, 28), int), InputTypeError)]
)
def test_standardisation_requires_bytes_or_floats_up_to_1(X, error):
    with pytest.raises(error, match=r"^x has "):
        standardisation(X)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_standardisation_requires_images(dtype):
    with pytest.raises(InputError, match=r"^There are no images; expected at least one\."):
        standardisation(np.zeros((0, 28, 28), dtype))
