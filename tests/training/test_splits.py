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


def test_each_class_is_drawn_from_a_permutation_of_its_images():
    """The classes in ascending order, with one generator; half an image is rounded to the even number."""
    y = np.array([2, 0, 2, 0, 0, 2, 2, 0, 0, 1, 2])  # five images of 0 and of 2, and one of 1
    rng = np.random.default_rng([7, 0])
    zeros, ones, twos = (rng.permutation(np.array(members)) for members in ([1, 3, 4, 7, 8], [9], [0, 2, 5, 6, 10]))
    parts = split(y, 0.5, seed=7)
    np.testing.assert_array_equal(parts.validation, sorted([*zeros[:2], *ones[:0], *twos[:2]]))
    np.testing.assert_array_equal(parts.train, sorted([*zeros[2:], *ones, *twos[2:]]))
    assert len(split(y, 0.7, seed=7).validation) == 4 + 1 + 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros(9), 0.5, 0), InputTypeError, r"^y has dtype float64 and shape \(9,\); expected integers"),
        ((np.zeros((9, 1), int), 0.5, 0), InputTypeError, r"^y has dtype int64 and shape \(9, 1\); expected integers"),
        ((np.zeros(9, int), 1, 0), InputError, "^validation is 1; "),
        ((np.zeros(9, int), -0.1, 0), InputError, "^validation is -0.1; "),
        ((np.zeros(9, int), 0.5, -1), InputError, "^seed is -1; "),
        ((np.zeros(9, int), 0.5, 0.5), InputTypeError, "^seed is 0.5; "),
    ],
)
def test_wrong_arguments_of_a_split_are_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        split(*arguments)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_labels_may_be_integers_of_any_type(dtype):
    y = np.array([1, 1, 0, 0], dtype)
    assert sorted(y[split(y, 0.5, seed=0).validation].tolist()) == [0, 1]


@pytest.mark.parametrize(("validation", "part", "other"), [(0.1, "none", "larger"), (0.9, "all", "smaller")])
def test_too_few_images_to_split_are_refused(validation, part, other):
    fraction = f"^The validation fraction is {validation}, so {part} of the 3 labels would be held out. "
    with pytest.raises(InputError, match=f"{fraction}Choose 0 or a {other} fraction, or pass more images.$"):
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


def test_standardisation_by_hand():
    """Of 0, 51 and 255 in quarters 2, 1 and 1: mean 0.3, variance (2 * 0.09 + 0.01 + 0.49) / 4."""
    X = np.array([[[0, 51]], [[255, 0]], [[255, 255]]], np.uint8)
    expected = pytest.approx((0.3, np.sqrt(0.17)), rel=1e-12)
    assert standardisation(X, np.array([0, 1])) == expected
    assert standardisation(X / 255, np.array([1, 0], np.uint8)) == expected
    assert standardisation(X[:2]) == expected


@pytest.mark.parametrize("n", [1, 999, 1000, 1001, 2001])
def test_every_image_is_counted(n):
    X = np.random.default_rng(n).integers(0, 256, (n, 1, 2)).astype(np.uint8)
    assert standardisation(X) == pytest.approx(((X / 255).mean(), (X / 255).std()), rel=1e-12)


@pytest.mark.parametrize(("high", "expected"), [(3e-6, (1.5e-6, 1.5e-6)), (1.8e-6, (0, 1)), (0.0, (0, 1))])
def test_images_with_a_deviation_of_at_most_a_millionth_are_not_standardised(high, expected):
    assert standardisation(np.array([[[0, high]]])) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ([], InputTypeError, r"^members has dtype float64 and shape \(0,\); expected integers, \(m,\)"),
        (np.empty(0, int), InputError, "^members is empty or out of range; expected indices from 0 to 2"),
        ([-1], InputError, "^members is empty or out of range"),
        ([3], InputError, "^members is empty or out of range"),
        ([[0, 1]], InputTypeError, r"^members has dtype int64 and shape \(1, 2\)"),
        ([0.0], InputTypeError, "^members has dtype float64"),
        ([True, False, True], InputTypeError, "^members has dtype bool"),
    ],
)
def test_members_are_indices_of_images(members, error, message):
    X = np.arange(3, dtype=np.uint8).reshape(3, 1, 1)
    assert standardisation(X, np.array([0, 2]))[0] == pytest.approx(1 / 255)
    with pytest.raises(error, match=message):
        standardisation(X, np.array(members))


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
