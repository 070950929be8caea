"""The only place that validates or casts what a caller hands over."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet.errors import InputError, InputTypeError

SIDE = 28
_WANTED = "wanted: (n, 1, 28, 28), (n, 28, 28), (n, 784), or (28, 28) for one image"


def images(x: ArrayLike) -> NDArray[Any]:
    """Return x as an array of shape (n, 28, 28), uint8 or floating, without copying it where possible.

    Raises
    ------
    InputTypeError
        If x is masked, or neither uint8 nor floating.
    InputError
        If x has another shape, or floating pixels outside [0, 1] or NaN.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise InputTypeError("x is a masked array: fill it first, for instance with x.filled(0).")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"x is no rectangular array ({error}); {_WANTED}.") from None
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputTypeError(
            f"x holds {array.dtype}: pass uint8 pixels from 0 to 255, or floating ones in [0, 1], ink high."
        )
    shape = array.shape
    if not (shape == (SIDE, SIDE) or shape[1:] in {(1, SIDE, SIDE), (SIDE, SIDE), (SIDE * SIDE,)}):
        raise InputError(f"x has shape {shape}; {_WANTED}.")
    if array.dtype.kind == "f" and array.size:
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise InputError(
                f"x holds floating pixels from {low:g} to {high:g}, and they must lie in [0, 1]: "
                "divide by 255 or pass uint8."
            )
    return array.reshape(-1 if array.size else shape[0], SIDE, SIDE)


def pixels(chunk: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return checked images of shape (n, 28, 28) as a new array (n, 1, 28, 28) of floats in [0, 1]."""
    floats = chunk.reshape(-1, 1, SIDE, SIDE).astype(dtype, order="C")
    if chunk.dtype == np.uint8:
        floats *= 1 / 255
    return floats


def labels(y: ArrayLike, length: int, num_classes: int) -> NDArray[np.int64]:
    """Return y as int64 of shape (length,), each in 0 .. num_classes - 1.

    Raises
    ------
    InputTypeError
        If y holds anything but integers.
    InputError
        If y has another shape, or a label is out of range.
    """
    array = np.asarray(y)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"y holds {array.dtype}: pass integer labels from 0 to {num_classes - 1}.")
    if array.shape != (length,):
        raise InputError(f"y has shape {array.shape}, and {length} images want labels of shape ({length},).")
    if length and not (array.min() >= 0 and array.max() < num_classes):
        raise InputError(
            f"y holds labels from {array.min()} to {array.max()}, and {num_classes} classes are numbered "
            f"0 to {num_classes - 1}."
        )
    return array.astype(np.int64)


def tensor(x: ArrayLike, dtype: DTypeLike, shape: tuple[int | None, ...], name: str = "x") -> NDArray[Any]:
    """Return x as a C-contiguous array of `dtype`; None in `shape` admits any length.

    Raises
    ------
    InputTypeError
        If x is not numeric.
    InputError
        If x has another shape.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiu":
        raise InputTypeError(f"{name} holds {array.dtype}, and numbers are wanted.")
    if array.ndim != len(shape) or any(b is not None and a != b for a, b in zip(array.shape, shape, strict=True)):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise InputError(f"{name} has shape {array.shape}; wanted: ({wanted}).")
    return np.ascontiguousarray(array, dtype)


def positive(value: object, name: str) -> int:
    """Return value as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"{name} is {value!r}, and a whole number is wanted.")
    if value < 1:
        raise InputError(f"{name} is {value}, and at least 1 is wanted.")
    return int(value)
