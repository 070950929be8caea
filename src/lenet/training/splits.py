"""Which images are learnt from and which judge, and the standardisation of those learnt from."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError

_COUNTED_AT_ONCE = 1000  # images; NumPy counts 64-bit copies


class Split(NamedTuple):
    """The numbers of the images to learn from and of those to judge by, both in ascending order.

    Parameters
    ----------
    train, validation : ndarray of int64, shapes (n_train,) and (n_validation,)

    Examples
    --------
    >>> train, validation = split(np.arange(20) % 2, validation=0.2, seed=0)
    >>> len(train), len(validation)
    (16, 4)
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def split(y: NDArray[np.int64], validation: float, seed: int) -> Split:
    """Hold out a part of the images, drawn at random from each class in proportion.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        The images' labels.
    validation : float
        The part to hold out, in [0, 1).
    seed : int

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If all or none would be held out, although some are to be.

    Examples
    --------
    >>> y = np.arange(20) % 2
    >>> parts = split(y, validation=0.2, seed=0)
    >>> len(parts.train), np.bincount(y[parts.validation]).tolist()
    (16, [2, 2])
    """
    held_out = np.zeros(len(y), bool)
    if validation:
        rng = np.random.default_rng([seed, 0])
        for label in np.unique(y):
            members = rng.permutation(np.flatnonzero(y == label))
            held_out[members[: round(validation * len(members))]] = True
        if held_out.all() or not held_out.any():
            raise InputError(
                f"{len(y)} images cannot be split with validation={validation:g}: give more images, or validation=0."
            )
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def standardisation(X: NDArray[Any], members: NDArray[np.int64] | None = None) -> tuple[float, float]:
    """Return the mean and the standard deviation of the pixels in [0, 1]; 0 and 1 where all are alike.

    Parameters
    ----------
    X : ndarray of uint8, or floating in [0, 1], shape (n, height, width)
    members : ndarray of int64, optional
        The numbers of the images that count; all of them by default.

    Returns
    -------
    mean : float
    std : float

    Examples
    --------
    >>> standardisation(np.array([[[0, 255]]], np.uint8))
    (0.5, 0.5)
    """
    members = np.arange(len(X)) if members is None else members
    if X.dtype == np.uint8:  # exactly, from the counts
        counts = np.zeros(256, np.int64)
        for start in range(0, len(members), _COUNTED_AT_ONCE):
            counts += np.bincount(X[members[start : start + _COUNTED_AT_ONCE]].reshape(-1), minlength=256)
        values = np.arange(256) / 255
        mean = float(counts @ values / counts.sum())
        std = math.sqrt(float(counts @ (values - mean) ** 2 / counts.sum()))
    else:
        mean = float(X[members].mean(dtype=np.float64))
        std = float(X[members].std(dtype=np.float64))
    return (mean, std) if std > 1e-6 else (0.0, 1.0)
