"""The inputs of `LeNetClassifier`: tables, images and labels, as scikit-learn's users pass them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet.errors import InputError, InputTypeError


def as_table(X: Any) -> tuple[Any, tuple[int, int] | None]:
    """Return X with a row an image, and the height and width if it came as images."""
    if isinstance(X, np.ma.MaskedArray) or not (X is None or hasattr(X, "shape")):
        X = _checks.array(X, "X", "rows of as many pixels each are wanted")
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) == 4 and shape[1] != 1:
        advice = "move its last axis to the second place" if shape[3] == 1 else "make colours grey levels first"
        raise InputError(f"X has shape {shape}; wanted: ({shape[0]}, 1, height, width), one channel: {advice}.")
    if len(shape) not in (3, 4):
        return X, None
    height, width = shape[-2:]
    return np.asarray(X).reshape(shape[0], height * width), (height, width)


def check_numbers(table: NDArray[Any]) -> None:
    """Refuse what scikit-learn lets pass, such as spans of time."""
    if table.dtype.kind not in "biuf":
        raise InputTypeError(f"X holds {table.dtype}, and numbers are wanted.")


def as_labels(y: Any, name: str) -> Any:
    """Return labels, or what else there is one of an image, as scikit-learn takes them; it would drop a mask."""
    if y is None or (hasattr(y, "shape") and not isinstance(y, np.ndarray | memoryview)):
        return y
    array = _checks.array(y, name, "one an image is wanted")
    return y if isinstance(y, list | tuple) else array  # scikit-learn tells text from numbers in a list


def encode(y: NDArray[Any], classes: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes, those of y by default, and the place of each label among them."""
    if classes is None:
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"y holds one class, {classes.tolist()[0]!r}, and a classifier wants at least two: pass more data."
            )
        return classes, labels.astype(np.int64)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        kinds = (
            " (text and numbers are different labels)" if (y.dtype.kind in "US") != (classes.dtype.kind in "US") else ""
        )
        raise InputError(
            f"y holds {unknown.tolist()}, which are not among the classes {classes.tolist()}{kinds}: fit anew with "
            "warm_start=False, or name all classes at the first partial_fit."
        )
    return classes, np.searchsorted(classes, y).astype(np.int64)
