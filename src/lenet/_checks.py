"""The only place that validates or casts what a caller hands over."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet.errors import InputError, InputTypeError, LenetError, WeightsError

SIDE = 28
_UINT8 = np.dtype(np.uint8)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_SHAPES = {(1, SIDE, SIDE), (SIDE, SIDE), (SIDE * SIDE,)}
_BATCH = "wanted: (n, 1, 28, 28), (n, 28, 28), (n, 784)"
_WANTED = f"{_BATCH}, or (28, 28) for one image"


def array(x: ArrayLike, name: str, wanted: str, error_type: type[LenetError] = InputError) -> NDArray[Any]:
    """Return x as an array; a mask would be dropped silently, so it is refused.

    Raises
    ------
    InputTypeError
        If x is masked, or an object that fails when it is converted.
    InputError or error_type
        If x is ragged.
    """
    try:
        _refuse_masks(x, name)
        values = np.asanyarray(x)
    except (LenetError, MemoryError):
        raise
    except ValueError as error:
        raise error_type(f"{name} is no rectangular array ({error}); {wanted}.") from None
    except Exception as error:  # of an object's own __array__
        raise InputTypeError(f"{name} cannot be made an array ({type(error).__name__}: {error}); {wanted}.") from error
    _refuse_masks(values, name)  # as an object may convert itself to one
    return np.asarray(values)


def _refuse_masks(x: object, name: str) -> None:
    if isinstance(x, np.ma.MaskedArray):
        raise InputTypeError(f"{name} is a masked array: fill it first, for instance with {name}.filled(0).")
    if isinstance(x, list | tuple):
        for part in x:
            _refuse_masks(part, name)


def images(x: ArrayLike) -> NDArray[Any]:
    """Return x as an array of shape (n, 28, 28), uint8 or floating, without copying it where possible.

    Raises
    ------
    InputTypeError
        If x is masked, or neither uint8 nor floating.
    InputError
        If x has another shape, or floating pixels outside [0, 1] or NaN.
    """
    values = x if type(x) is np.ndarray else array(x, "x", _WANTED)
    shape = values.shape
    if values.dtype != _UINT8:
        _check_floats(values)
    if not (shape[1:] in _SHAPES or shape == (SIDE, SIDE)):
        raise InputError(f"x has shape {shape}; {_WANTED}.")
    if len(shape) == 3:
        return values
    return values.reshape(-1 if values.size else shape[0], SIDE, SIDE)


def image_form(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Refuse what is no batch of images, by what is known of it before it is read.

    Raises
    ------
    InputTypeError, InputError
        As `images`, but for the pixels.
    """
    if dtype != _UINT8:
        _check_floating(dtype, name)
    if shape[1:] not in _SHAPES:
        raise InputError(f"{name} has shape {shape}; {_BATCH}.")


def _check_floating(dtype: np.dtype[Any], name: str = "x") -> None:
    if dtype.kind != "f":
        raise InputTypeError(
            f"{name} holds {dtype}: pass uint8 pixels from 0 to 255, or floating ones in [0, 1], ink high."
        )


def _check_floats(values: NDArray[Any]) -> None:
    _check_floating(values.dtype)
    if values.size:
        if 0 in values.strides:  # as np.broadcast_to makes them: what stands for a whole axis is looked at once
            values = values[tuple(slice(None if stride else 1) for stride in values.strides)]
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise InputError(
                f"x holds floating pixels from {low:g} to {high:g}, and they must lie in [0, 1]: "
                "divide by 255 or pass uint8."
            )


def output(
    out: object, shape: tuple[int, ...], dtype: np.dtype[Any], x: NDArray[Any] | None = None, name: str = "out"
) -> None:
    """Refuse an `out` that is not a C-contiguous, aligned, writable array of that shape and dtype, apart from x.

    Raises
    ------
    InputTypeError, InputError
    """
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise InputTypeError(f"{name} is a {type(out).__name__}, and an ndarray of {dtype} is wanted.")
    if x is not None and np.may_share_memory(out, x):
        raise InputError(f"{name} shares memory with x, which it would overwrite: pass another array.")
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        raise InputError(
            f"{name} is {out.dtype} of shape {out.shape}; wanted: {dtype} of shape {shape}, C-contiguous, aligned and "
            "writable."
        )


def pixels(chunk: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return checked images of shape (n, 28, 28) as a new array (n, 1, 28, 28) of floats in [0, 1]."""
    floats = chunk.reshape(-1, 1, SIDE, SIDE).astype(dtype, order="C")
    if chunk.dtype == np.uint8:
        floats *= 1 / 255
    return floats


def labels(y: ArrayLike, length: int, num_classes: int, least: int = 0) -> NDArray[np.int64]:
    """Return y as int64 of shape (length,), each in least .. num_classes - 1.

    Raises
    ------
    InputTypeError
        If y holds anything but integers.
    InputError
        If y has another shape, or a label is out of range.
    """
    values = array(y, "y", f"labels of shape ({length},) are wanted")
    if values.dtype.kind not in "iu":
        raise InputTypeError(f"y holds {values.dtype}: pass integer labels from 0 to {num_classes - 1}.")
    if values.shape != (length,):
        raise InputError(f"y has shape {values.shape}, and {length} images want labels of shape ({length},).")
    if length and not (values.min() >= least and values.max() < num_classes):
        raise InputError(
            f"y holds labels from {values.min()} to {values.max()}, and {num_classes} classes are numbered "
            f"0 to {num_classes - 1}."
        )
    return values.astype(np.int64)


def weights(sample_weight: ArrayLike | None, length: int) -> NDArray[np.float64] | None:
    """Return sample weights as float64 of shape (length,) with a mean of 1; None, where all count alike, as it is.

    Raises
    ------
    InputTypeError, InputError
        If they are no numbers, of another shape, negative or not finite, or all zero.
    """
    if sample_weight is None:
        return None
    values = array(sample_weight, "sample_weight", f"shape ({length},) is wanted")
    values = tensor(values.astype(int) if values.dtype.kind == "b" else values, np.float64, (length,), "sample_weight")
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise InputError("sample_weight must be finite, at least 0, and not all weights may be zero.")
    scaled: NDArray[np.float64] = values / values.max()  # first, as the sum of great ones may not be finite
    scaled /= scaled.mean()
    return scaled


def tensor(x: ArrayLike, dtype: DTypeLike, shape: tuple[int | None, ...], name: str = "x") -> NDArray[Any]:
    """Return x as a C-contiguous, aligned array of `dtype`, floating; None in `shape` admits any length.

    Raises
    ------
    InputTypeError
        If x is not numeric.
    InputError
        If x has another shape, or finite numbers that `dtype` cannot hold.
    """
    values = array(x, name, f"an array of rank {len(shape)} is wanted")
    if values.ndim != len(shape) or any(b is not None and a != b for a, b in zip(values.shape, shape, strict=True)):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise InputError(f"{name} has shape {values.shape}; wanted: ({wanted}).")
    return floats(values, dtype, name)


def floats(x: ArrayLike, dtype: DTypeLike, name: str) -> NDArray[Any]:
    """Return numbers of any shape as a C-contiguous, aligned array of `dtype`, floating.

    Raises
    ------
    InputTypeError, InputError
        As `tensor`, but for the shape.
    """
    values = array(x, name, "numbers are wanted")
    if values.dtype.kind not in "fiu":
        raise InputTypeError(f"{name} holds {values.dtype}, and numbers are wanted.")
    with np.errstate(over="ignore"):
        result = plain(values, dtype)
    if result.dtype.itemsize < values.dtype.itemsize and (np.isinf(result) & np.isfinite(values)).any():
        raise InputError(f"{name} holds numbers that are too great for {result.dtype}.")
    return result


def plain(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array as C can read it: in one piece, aligned, in its own byte order; copied only if it must be."""
    return np.require(values, dtype, ("C", "A"))


def rows(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return a table of float32 as it is, and one of other numbers as float64.

    Raises
    ------
    InputTypeError, InputError
        As `tensor`.
    """
    table: Any = x
    if not (type(x) is np.ndarray and x.dtype in _FLOATS and x.ndim == 2 and x.flags.c_contiguous and x.flags.aligned):
        values = array(x, name, "shape (n, classes) is wanted")
        single = values.dtype.newbyteorder("=") == np.float32
        table = tensor(values, np.float32 if single else np.float64, (None, None), name)
    if not table.shape[1]:
        raise InputError(f"{name} has shape {table.shape}, and no classes.")
    return np.asarray(table)


def probabilities(x: ArrayLike) -> NDArray[Any]:
    """Return a table of probabilities, each from 0 to 1 but for rounding.

    Raises
    ------
    InputTypeError, InputError
        As `rows`; if a number is out of range or NaN.
    """
    values = rows(x, "probabilities")
    if values.size and not (values.min() >= 0 and values.max() <= 1 + 1e-6):
        raise InputError(f"probabilities run from {values.min():g} to {values.max():g}, and 0 to 1 is wanted.")
    return values


def whole(value: object, name: str, least: int = 1, most: int | None = None) -> int:
    """Return value as an int of at least `least`, and at most `most` if that is given."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"{name} is {value!r}, and a whole number is wanted.")
    if value < least:
        raise InputError(f"{name} is {value}, and at least {least} is wanted.")
    if most is not None and value > most:
        raise InputError(f"{name} is more than {most:,}, which is the most.")
    return int(value)


def number(value: object, name: str) -> float:
    """Return value as a float, if it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputTypeError(f"{name} is {value!r}, and a number is wanted.")
    try:
        return float(value)
    except OverflowError:  # of a whole number
        raise InputError(f"{name} has more than 300 digits: a smaller number is wanted.") from None


def text_by_name(value: Any, name: str) -> dict[str, str]:
    """Return a mapping of texts to texts as a dict."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise InputTypeError(f"{name} is {value!r}, and a mapping of texts to texts is wanted.")
    for each in (each for pair in value.items() for each in pair):
        try:
            each.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name} has {each!r}, which is no Unicode: no file can hold it.") from None
    return dict(value)


def not_newer(version: str, what: str) -> None:
    """Refuse the pickle of a later major version of lenet, whose attributes may mean something else.

    Raises
    ------
    WeightsError
    """
    from lenet import __version__

    if int(version.partition(".")[0]) > int(__version__.partition(".")[0]):
        raise WeightsError(
            f"This {what} was pickled by lenet {version}, and lenet {__version__} cannot read it: update lenet, or "
            "save its model as a .safetensors file there."
        )


def model(value: Any) -> None:
    """Refuse what is no model, such as the name of one.

    Raises
    ------
    InputTypeError
    """
    if not hasattr(value, "predict_proba") or not hasattr(value, "num_classes"):
        raise InputTypeError(f"model is {value!r}, and a LeNet5 is wanted, such as lenet.load_pretrained() returns.")
