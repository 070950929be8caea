"""Convert and validate the arguments of `LeNetClassifier`: tables, images and labels."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from lenet import _checks
from lenet.errors import InputError, InputTypeError


class Samples(NamedTuple):
    """Images for the network, with their labels and weights."""

    images: NDArray[Any]  # (n, 28, 28)
    labels: NDArray[np.int64]  # (n,), from 0
    sample_weight: NDArray[np.float64] | None  # (n,)


def as_table(X: Any) -> tuple[Any, tuple[int, int] | None]:
    """Return X with one image per row, and the height and width of the images if X is an array of images."""
    if isinstance(X, np.ma.MaskedArray) or not (X is None or hasattr(X, "shape")):
        X = _checks.array(X, "X", "expected rows of equal length")
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) == 4 and shape[1] != 1:
        advice = "Move the last axis to position 1" if shape[3] == 1 else "Convert colours to grey"
        raise InputError(f"X has shape {shape}; expected ({shape[0]}, 1, height, width), one channel. {advice}.")
    if len(shape) not in (3, 4):
        return X, None
    height, width = shape[-2:]
    return np.asarray(X).reshape(shape[0], height * width), (height, width)


def validated(classifier: Any, table: Any, *y: Any, reset: bool) -> Any:
    """Return the results of scikit-learn's `validate_data`; also reject types that it accepts, such as timedelta64."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = validate_data(classifier, table, *y, reset=reset)
    except OverflowError as error:
        raise InputError(f"X contains a number that does not fit in a float ({error}). Scale it.") from None
    dtype = (found[0] if y else found).dtype
    if dtype.kind not in "biuf":
        raise InputTypeError(f"X has dtype {dtype}; expected numbers.")
    return found


def as_labels(y: Any, name: str) -> Any:
    """Return labels for scikit-learn, after rejecting masked arrays, whose masks it would drop."""
    if y is None or (hasattr(y, "shape") and not isinstance(y, np.ndarray | memoryview)):
        return y
    array = _checks.array(y, name, "expected one per image")
    return y if isinstance(y, list | tuple) else array  # in a list, scikit-learn distinguishes text from numbers


def encode(y: NDArray[Any], classes: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes, by default those of y, and the index of each label among them."""
    if classes is None:
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"y has one class, {_checks.short_repr(classes.tolist()[0])}; expected at least two.")
        return classes, labels.astype(np.int64)
    differ = (y.dtype.kind in "OUS") != (classes.dtype.kind in "OUS")
    unknown = np.unique(y) if differ else np.setdiff1d(y, classes)  # setdiff1d equates "10" and 10
    if len(unknown):
        kinds = " (text and numbers are different labels)" if differ else ""
        raise InputError(
            f"y contains {_checks.short_repr(unknown.tolist())}, which are not among the classes "
            f"{_checks.short_repr(classes.tolist())}{kinds}. Use a new LeNetClassifier(), pass "
            'all classes to the first partial_fit, or see "For classes of your own" in docs/interop.md.'
        )
    return classes, np.searchsorted(classes, y).astype(np.int64)
