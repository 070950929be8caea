"""Hold out a validation set, and compute the mean and standard deviation of pixels."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet.errors import InputError, InputTypeError

_COUNTED_AT_ONCE = 1000  # images per block: numpy.bincount makes 64-bit copies


class Split(NamedTuple):
    """The indices of the training and the validation images, both in ascending order.

    Parameters
    ----------
    train, validation : ndarray of int64, shapes (n_train,) and (n_validation,)
        Indices from 0.

    Examples
    --------
    >>> train, validation = split(np.arange(20) % 2, validation=0.2, seed=0)
    >>> len(train), len(validation)
    (16, 4)
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def split(y: NDArray[np.int64], validation: float, seed: int) -> Split:
    """Hold out a random fraction of each class for validation.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Labels.
    validation : float
        The fraction to hold out, in [0, 1).
    seed : int
        At least 0.

    Returns
    -------
    Split

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid; if `validation` is not 0, and all images or none would be held out.

    Examples
    --------
    >>> y = np.arange(20) % 2
    >>> parts = split(y, validation=0.2, seed=0)
    >>> len(parts.train), np.bincount(y[parts.validation]).tolist()
    (16, [2, 2])
    """
    y = _checks.array(y, "y", "expected labels")
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise InputTypeError(f"y has dtype {y.dtype} and shape {y.shape}; expected integers of shape (n,).")
    validation = _checks.non_negative(validation, "validation", below=1)
    seed = _checks.whole(seed, "seed", at_least=0)
    held_out = np.zeros(len(y), bool)
    if validation:
        rng = np.random.default_rng([seed, 0])
        for label in np.unique(y):
            members = rng.permutation(np.flatnonzero(y == label))
            held_out[members[: round(validation * len(members))]] = True
        if held_out.all() or not held_out.any():
            part, other = ("all", "0 or a smaller fraction") if held_out.all() else ("none", "0 or a larger fraction")
            raise InputError(
                f"The validation fraction is {validation:g}, so {part} of the {len(y):,} labels would be held out. "
                f"Choose {other}, or pass more images."
            )
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def num_trained(y: NDArray[np.int64], validation: float) -> int:
    """Return the number of images that `split` does not hold out."""
    return len(y) - sum(round(validation * int(n)) for n in np.bincount(y))


def standardisation(X: NDArray[Any], members: NDArray[np.int64] | None = None) -> tuple[float, float]:
    """Return the mean and the standard deviation of pixels, scaled to [0, 1].

    Parameters
    ----------
    X : ndarray of uint8, or floating in [0, 1], shape (n, height, width)
        Images.
    members : ndarray of int64, optional
        Indices of the images to use; by default, all.

    Returns
    -------
    mean : float
    std : float
        The mean and the standard deviation; 0 and 1 if all pixels are equal.

    Raises
    ------
    InputError, InputTypeError
        If X is empty or neither uint8 nor floating in [0, 1], or `members` are not indices of images, at least one.

    Examples
    --------
    >>> standardisation(np.array([[[0, 255]]], np.uint8))
    (0.5, 0.5)
    """
    X = _checks.array(X, "X", "expected images")
    if X.dtype != np.uint8:
        _checks.unit_floats(X)
    _checks.not_empty(X)
    indices = np.arange(len(X)) if members is None else _indices(members, len(X))
    if X.dtype == np.uint8:  # exact, from a histogram
        counts = np.zeros(256, np.int64)
        for start in range(0, len(indices), _COUNTED_AT_ONCE):
            counts += np.bincount(X[indices[start : start + _COUNTED_AT_ONCE]].ravel(), minlength=256)
        values = np.arange(256) / 255
        mean = float(counts @ values / counts.sum())
        std = math.sqrt(float(counts @ (values - mean) ** 2 / counts.sum()))
    else:
        mean = float(X[indices].mean(dtype=np.float64))
        std = float(X[indices].std(dtype=np.float64))
    return (mean, std) if std > 1e-6 else (0.0, 1.0)


def _indices(members: Any, length: int) -> NDArray[np.integer]:
    found = _checks.array(members, "members", "expected indices")
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise InputTypeError(f"members has dtype {found.dtype} and shape {found.shape}; expected integers, (m,).")
    if not found.size or found.min() < 0 or found.max() >= length:
        raise InputError(f"members is empty or out of range; expected indices from 0 to {length - 1}.")
    return found
