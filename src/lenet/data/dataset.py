"""What every loader returns, the checks that all of them share, and the split of a set that has none."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet.errors import DataError

MAX_IMAGES = 1_000_000
MAX_BYTES = MAX_IMAGES * SIDE * SIDE  # what one array read from a file may take: files come from strangers


class Dataset(NamedTuple):
    """Images and labels to train on, and others to test on.

    Parameters
    ----------
    X_train : ndarray of uint8, shape (n_train, 28, 28)
        Images, background 0 and ink up to 255.
    y_train : ndarray of int64, shape (n_train,)
        Their classes, counted from 0.
    X_test : ndarray of uint8, shape (n_test, 28, 28)
        Images that training must not see.
    y_test : ndarray of int64, shape (n_test,)
        Their classes.

    Examples
    --------
    >>> from lenet.data import load_digits
    >>> X_train, y_train, X_test, y_test = load_digits()
    >>> X_train.dtype, y_train.dtype
    (dtype('uint8'), dtype('int64'))
    """

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


def checked(dataset: Dataset, source: str) -> Dataset:
    """Return `dataset` as it is when a network can learn from it.

    Parameters
    ----------
    dataset : Dataset
        What a loader has read.
    source : str
        Where it comes from, for the error.

    Raises
    ------
    DataError
        When a part is empty, its images are not 28x28, its images and labels differ in number, or the labels are
        neither within 0 to 9 nor exactly 0 to K-1.

    Examples
    --------
    >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.array([0, 1])
    >>> checked(Dataset(images, labels, images, labels[:1]), "my set")
    Traceback (most recent call last):
    lenet.errors.DataError: my set has 2 test images and 1 test labels: give one label for each image.
    """
    X_train, y_train, X_test, y_test = dataset
    for part, X, y in (("training", X_train, y_train), ("test", X_test, y_test)):
        if X.ndim != 3 or X.shape[1:] != (SIDE, SIDE):
            raise DataError(f"{source} has {part} images of shape {X.shape[1:]}: resize them to {SIDE}x{SIDE} pixels.")
        if len(X) != len(y):
            raise DataError(
                f"{source} has {len(X)} {part} images and {len(y)} {part} labels: give one label for each image."
            )
        if len(X) == 0:
            raise DataError(f"{source} has no {part} images: give a set with at least one.")
    _check_labels(y_train, y_test, source)
    return dataset


def _check_labels(y_train: NDArray[np.int64], y_test: NDArray[np.int64], source: str) -> None:
    found = np.unique(y_train)
    low, high = int(found[0]), int(found[-1])
    # An excerpt of MNIST may lack a digit; more classes than ten must be numbered without a gap, or a damaged
    # file with one stray label would ask for a network with a useless output for every number below it.
    if low < 0 or (high > 9 and len(found) != high + 1):
        raise DataError(
            f"{source} has {len(found)} different training labels, from {low} to {high}: "
            "number the classes 0 to K-1 without gaps."
        )
    outside = y_test[(y_test < 0) | (y_test > max(high, 9))]
    if len(outside):
        raise DataError(
            f"{source} has the test label {outside[0]}, and its training labels end at {high}: "
            "number the classes of both parts alike, 0 to K-1."
        )


def stratified_split(X: NDArray[np.uint8], y: NDArray[np.int64], one_in: int, source: str) -> Dataset:
    """Set one image in `one_in` of each class aside for testing, always the same ones.

    Both parts keep the order that the images came in.

    Parameters
    ----------
    X : ndarray of uint8, shape (n, 28, 28)
    y : ndarray of int64, shape (n,)
    one_in : int
        5 makes a fifth of the set the test part.
    source : str
        Where the set comes from, for the error.

    Raises
    ------
    DataError
        As `checked`; the test part is empty when every class is smaller than half of `one_in`.

    Examples
    --------
    >>> y = np.repeat([0, 1], 10)
    >>> stratified_split(np.zeros((20, 28, 28), np.uint8), y, 5, "my set").y_test
    array([0, 0, 1, 1])
    """
    if len(X) != len(y):
        raise DataError(f"{source} has {len(X)} images and {len(y)} labels: give one label for each image.")
    # NumPy keeps a bit generator's raw words the same for good, and makes no such promise for Generator.permutation.
    order = np.argsort(np.random.PCG64(1998).random_raw(len(y)), kind="stable")
    is_test = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = order[y[order] == label]
        is_test[members[: round(len(members) / one_in)]] = True
    return checked(Dataset(X[~is_test], y[~is_test], X[is_test], y[is_test]), source)
