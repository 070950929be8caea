"""Validate and cast arguments.

A wrong type raises InputTypeError; a wrong shape or value raises InputError.
"""

import inspect
import math
import reprlib
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet import __version__
from lenet.errors import InputError, InputTypeError, LenetError, WeightsError

SIDE = 28
MAX_INT32 = 2**31 - 1  # of an axis, a seed or a number of threads
_UINT8 = np.dtype(np.uint8)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
# An unsigned integer type for the bits of each float, and the bits of 1 in it. Numbers from 0 to 1 have lower or equal
# bits; NaN, -0 and negative numbers have higher ones.
_BITS = {
    dtype: (bits := np.dtype(f"u{dtype.itemsize}"), np.ones(1, dtype).view(bits).item())
    for dtype in (np.dtype(np.float16), *_FLOATS)
}
_SHAPES = {(1, SIDE, SIDE), (SIDE, SIDE), (SIDE * SIDE,)}
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80
_BATCH = "expected (n, 1, 28, 28), (n, 28, 28) or (n, 784)"
_BATCH_OR_IMAGE = "expected (n, 1, 28, 28), (n, 28, 28), (n, 784), or (28, 28) for one image"


def array(x: ArrayLike, name: str, expected: str, error_type: type[LenetError] = InputError) -> NDArray[Any]:
    """Return x as an array; reject ragged lists, with `error_type`, and masked arrays, whose masks NumPy drops."""
    if getattr(x, "mode", None) == "P":  # of a Pillow image
        raise InputTypeError(
            f"{name} is an image with a palette. Pass {name}.convert('L') or lenet.reading.prepare({name})."
        )
    try:
        _reject_masks(x, name)
        values = np.asanyarray(x)
    except (LenetError, MemoryError):
        raise
    except ValueError as error:
        raise error_type(f"{name} is not a rectangular array ({error}); {expected}.") from None
    except Exception as error:  # raised by the __array__ of an object
        raise InputTypeError(
            f"{name} cannot be converted to an array ({type(error).__name__}: {error}); {expected}."
        ) from error
    _reject_masks(values, name)  # an object may convert itself to a masked array
    return np.asarray(values)


def _reject_masks(x: object, name: str) -> None:
    if isinstance(x, np.ma.MaskedArray):
        raise InputTypeError(f"{name} is a masked array. Fill it first, for example with {name}.filled(0).")
    if isinstance(x, list | tuple):
        types = set(map(type, x))  # few, even in a list of many numbers
        if any(issubclass(each, list | tuple | np.ma.MaskedArray) for each in types):
            for part in x:
                _reject_masks(part, name)


def images(x: ArrayLike, name: str = "x") -> NDArray[Any]:
    """Return x as an array of shape (n, 28, 28), uint8 or floating in [0, 1], without a copy where possible."""
    values = x if type(x) is np.ndarray else array(x, name, _BATCH_OR_IMAGE)
    shape = values.shape
    if values.dtype != _UINT8:
        unit_floats(values, name)
    if not (shape[1:] in _SHAPES or shape == (SIDE, SIDE)):
        raise InputError(f"{name} has shape {shape}; {_BATCH_OR_IMAGE}. Convert pictures with lenet.reading.prepare.")
    if len(shape) == 3:
        return values
    return values.reshape(values.size // (SIDE * SIDE), SIDE, SIDE)


def not_empty(images: Sized) -> None:
    """Raise InputError if there are no images."""
    if not len(images):
        raise InputError("There are no images; expected at least one.")


def image_form(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Validate the shape and dtype of a batch of images before it is read."""
    if dtype != _UINT8:
        _check_floating(dtype, name)
    if shape[1:] not in _SHAPES:
        raise InputError(f"{name} has shape {shape}; {_BATCH}.")


def _check_floating(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind in "OSU":
        raise InputTypeError(f"{name} has dtype {dtype}; expected numbers. Read pictures with lenet.reading.prepare.")
    if dtype.kind != "f":
        raise InputTypeError(f"{name} has dtype {dtype}; expected uint8 pixels from 0 to 255, or floats in [0, 1].")


def unit_floats(values: NDArray[Any], name: str = "x") -> None:
    """Check that pixels are floats in [0, 1]."""
    if values.dtype in _BITS and values.flags.c_contiguous and values.size:  # fast path
        dtype, one = _BITS[values.dtype]
        bits = values.view(dtype)
        if bits.item(bits.argmax()) <= one:  # for one image, max() takes four times as long
            return
    _check_floating(values.dtype, name)
    if values.size:
        if 0 in values.strides:  # check each broadcast element once
            values = values[tuple(slice(None if stride else 1) for stride in values.strides)]
        low, high = values.min(), values.max()
        if np.isnan(low):
            raise InputError(f"{name} has pixels that are NaN; expected [0, 1]. Replace them, for example by 0.")
        if not (low >= 0 and high <= 1):
            advice = "Divide by 255 or pass uint8"
            if -np.inf < low < 0:
                advice = "Pass pixels that are not standardised, or clip them"
            elif low >= 0 and high < 2:
                advice = "Clip them"
            raise InputError(
                f"{name} has floating-point pixels from {short(low)} to {short(high)}; expected [0, 1]. {advice}."
            )


def output(out: object, shape: tuple[int, ...], dtype: np.dtype[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Return `out` after checking its shape, dtype and layout, or a new array if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise InputTypeError(f"out is of type {type(out).__name__}; expected an ndarray of dtype {dtype}.")
    if np.may_share_memory(out, x):
        raise InputError("out shares memory with x, so the results would overwrite x. Pass a separate array.")
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        raise InputError(
            f"out has dtype {out.dtype} and shape {out.shape}; expected {dtype} and {shape}, C-contiguous, aligned and "
            "writable."
        )
    return out


def labels(y: ArrayLike, length: int, num_classes: int, at_least: int = 0) -> NDArray[np.int64]:
    """Return y as int64 of shape (length,), with values from `at_least` to num_classes - 1."""
    values = array(y, "y", f"expected labels of shape ({length},)")
    if values.size and values.dtype.kind not in "iu":
        raise InputTypeError(
            f"y has dtype {values.dtype}; expected integer labels from {at_least} to {num_classes - 1}."
        )
    if values.shape != (length,):
        raise InputError(f"y has shape {values.shape}; expected ({length},), one label per image.")
    if length and not (values.min() >= at_least and values.max() < num_classes):
        raise InputError(
            f"y has labels from {values.min()} to {values.max()}; expected {at_least} to {num_classes - 1} for "
            f"{num_classes} classes."
        )
    return values.astype(np.int64)


def targets(
    y: ArrayLike, length: int, num_classes: int, dtype: DTypeLike, at_least: int = 0, name: str = "y"
) -> NDArray[Any]:
    """Return labels as `labels` does, or probabilities as a table of `dtype` whose rows sum to 1."""
    values = array(y, name, f"expected labels of shape ({length},)")
    if values.ndim != 2:
        return labels(values, length, num_classes, at_least)
    if values.shape != (length, num_classes):
        raise InputError(
            f"{name} has shape {values.shape}; expected probabilities of shape {(length, num_classes)}, or labels of "
            f"shape {(length,)}."
        )
    if values.dtype.kind not in "fiu":
        raise InputTypeError(f"{name} has dtype {values.dtype}; expected probabilities or labels.")
    table = values.astype(np.float64, order="C")
    sums = table.sum(axis=1, keepdims=True)
    if not ((table >= 0) & (table <= 1)).all() or not (np.abs(sums - 1) <= 1e-3).all():  # NaN fails the first
        raise InputError(
            f"{name} has probabilities from {short(table.min())} to {short(table.max())} and rows that sum to "
            f"{short(sums.min())} to {short(sums.max())}; expected probabilities from 0 to 1, and rows that sum to 1."
        )
    table /= sums
    return table.astype(dtype)


def labels_of(targets: NDArray[Any]) -> NDArray[np.int64]:
    """Return the labels of validated targets: for probabilities, the most probable class of each row."""
    return targets if targets.ndim == 1 else targets.argmax(axis=1)


def probabilities_of(labels: NDArray[np.int64], num_classes: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return the target probabilities of labels, (n, num_classes): one-hot, or uniform for the label -1."""
    table = np.zeros((len(labels), num_classes), dtype)
    table[np.arange(len(labels)), labels] = 1
    table[labels < 0] = 1 / num_classes
    return table


def sample_weight(sample_weight: ArrayLike | None, length: int) -> NDArray[np.float64] | None:
    """Return sample weights as float64 of shape (length,) with a mean of 1; a scalar is repeated, None stays None."""
    if sample_weight is None:
        return None
    values = array(sample_weight, "sample_weight", f"expected shape ({length},)")
    values = values if values.ndim else np.full(length, values)
    values = tensor(values.astype(int) if values.dtype.kind == "b" else values, np.float64, (length,), "sample_weight")
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise InputError(
            "sample_weight has negative or non-finite weights, or only zeros; expected finite weights of at least 0, "
            "not all 0."
        )
    scaled: NDArray[np.float64] = values / values.max()  # first, so that the sum cannot overflow
    scaled /= scaled.mean()
    return scaled


def tensor(x: ArrayLike, dtype: DTypeLike, shape: tuple[int | None, ...], name: str = "x") -> NDArray[Any]:
    """Return x as `floats` does, after checking its shape; None in `shape` allows any length."""
    values = array(x, name, f"expected an array with {len(shape)} dimensions")
    if values.ndim != len(shape) or any(b is not None and a != b for a, b in zip(values.shape, shape, strict=True)):
        expected = str(tuple("any length" if length is None else length for length in shape)).replace("'", "")
        raise InputError(f"{name} has shape {values.shape}; expected {expected}.")
    return floats(values, dtype, name)


def floats(x: ArrayLike, dtype: DTypeLike, name: str) -> NDArray[Any]:
    """Return x as a C-contiguous, aligned array of a floating dtype; reject finite numbers that overflow it."""
    values = array(x, name, "expected numbers")
    if values.dtype.kind not in "fiu":
        raise InputTypeError(f"{name} has dtype {values.dtype}; expected numbers.")
    with np.errstate(over="ignore"):
        result = plain(values, dtype)
    if result.dtype.itemsize < values.dtype.itemsize and (np.isinf(result) & np.isfinite(values)).any():
        largest = np.finfo(result.dtype).max
        raise InputError(f"{name} contains numbers too large for {result.dtype}; expected at most {largest:.3g}.")
    return result


def broadcast(x: ArrayLike, dtype: DTypeLike, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Return x as `floats` does, broadcast to a shape."""
    values = floats(x, dtype, name)
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise InputError(f"{name} has shape {values.shape}; expected {shape}, or one that broadcasts to it.") from None


def plain(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return a C-contiguous, aligned array in native byte order, copied only if necessary.

    On Windows, NumPy treats long double and double as the same type, but Cython does not; hence the view.
    """
    return np.require(values, dtype, ("C", "A")).view(dtype)


def byte_images(images: ArrayLike, name: str = "images") -> NDArray[np.uint8]:
    """Return images as a C-contiguous array, or raise an error if they are not uint8 of shape (n, 28, 28)."""
    pixels = array(images, name, "expected uint8 of shape (n, 28, 28)")
    if pixels.dtype != np.uint8:
        raise InputTypeError(f"{name} has dtype {pixels.dtype}; expected uint8.")
    if pixels.shape[1:] != (SIDE, SIDE):
        raise InputError(f"{name} has shape {pixels.shape}; expected (n, {SIDE}, {SIDE}).")
    return np.ascontiguousarray(pixels)


def fraction(value: object, name: str, at_most: float = 1.0) -> float:
    """Return a number after checking that it is in [0, `at_most`]."""
    if not 0 <= (result := number(value, name)) <= at_most:
        raise InputError(f"{name} is {short(result)}; expected a number from 0 to {at_most:g}.")
    return result


def non_negative(value: object, name: str, below: float = math.inf) -> float:
    """Return a number after checking that it is in [0, `below`)."""
    if not 0 <= (result := number(value, name)) < below:
        expected = "finite number of at least 0" if below == math.inf else f"number of at least 0 and below {below:g}"
        raise InputError(f"{name} is {short(result)}; expected a {expected}.")
    return result


def positive(value: object, name: str) -> float:
    """Return a number after checking that it is finite and above 0."""
    if not 0 < (result := number(value, name)) < math.inf:
        raise InputError(f"{name} is {short(result)}; expected a finite number above 0.")
    return result


def rows(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return a table of shape (n, classes): float32 stays float32, other numbers become float64."""
    table: Any = x
    if not (type(x) is np.ndarray and x.dtype in _FLOATS and x.ndim == 2 and x.flags.c_contiguous and x.flags.aligned):
        values = array(x, name, "expected shape (n, classes)")
        single = values.dtype.newbyteorder("=") == np.float32
        table = tensor(values, np.float32 if single else np.float64, (None, None), name)
    if not table.shape[1]:
        raise InputError(f"{name} has shape {table.shape}; expected at least one class.")
    return np.asarray(table)


def probabilities(x: ArrayLike) -> NDArray[Any]:
    """Return a table of probabilities as `rows` does, after checking that all are from 0 to 1, within rounding."""
    values = rows(x, "probabilities")
    # The methods of arrays take longer for the few values of one image.
    if values.size and not (np.minimum.reduce(values, None) >= 0 and np.maximum.reduce(values, None) <= 1 + 1e-6):
        raise InputError(f"probabilities range from {short(values.min())} to {short(values.max())}; expected 0 to 1.")
    return values


def whole(value: object, name: str, at_least: int = 1, at_most: int | None = None) -> int:
    """Return an integer after checking its range."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"{name} is {short_repr(value)}; expected an integer.")
    if value < at_least:
        raise InputError(f"{name} is {value}; expected at least {at_least}.")
    if at_most is not None and value > at_most:
        raise InputError(f"{name} is too large; expected at most {at_most:,}.")
    return int(value)


def size(value: object, name: str, at_least: int = 1) -> int:
    return whole(value, name, at_least, MAX_INT32)


def floating(dtype: Any) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError):
        raise InputTypeError(f"dtype is {short_repr(dtype)}; expected float32 or float64.") from None
    if found not in _FLOATS:
        raise InputTypeError(f"dtype is {found}; expected float32 or float64.")
    return _FLOATS[_FLOATS.index(found)]  # for long double, which equals float64 on Windows


def generator(rng: object) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise InputTypeError(f"rng is {short_repr(rng)}; expected a generator, for example numpy.random.default_rng().")
    return rng


def generator_or_new(rng: object) -> np.random.Generator:
    """Return a generator; for None, a new one from fresh entropy."""
    return np.random.default_rng() if rng is None else generator(rng)


def boolean(value: object, name: str) -> bool:
    """Return a bool; reject other objects, such as "no", which are usually mistakes."""
    if not isinstance(value, bool | np.bool_):
        raise InputTypeError(f"{name} is {short_repr(value)}; expected True or False.")
    return bool(value)


def callback(value: object, name: str) -> None:
    """Check that a value is a function or None."""
    if not (value is None or callable(value)):
        raise InputTypeError(f"{name} is {short_repr(value)}; expected a function or None.")
    if inspect.iscoroutinefunction(value):
        raise InputTypeError(f"{name} is an async function, which would not run; expected another function.")


def number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputTypeError(f"{name} is {short_repr(value)}; expected a number.")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name} has more than 300 digits; expected a number that fits in a float.") from None


def text_by_name(value: Any, name: str) -> dict[str, str]:
    """Return a mapping of str to str as a dict, after checking that UTF-8 can encode it."""
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise InputTypeError(f"{name} is {short_repr(value)}; expected a mapping of str to str.")
    for text in (text for pair in value.items() for text in pair):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name} contains {short_repr(text)}; expected text that UTF-8 can encode.") from None
    return dict(value)


def not_newer(version: str, what: str) -> None:
    """Raise WeightsError for a pickle from a later major version, whose attributes may have another meaning."""
    if int(version.partition(".")[0]) > int(__version__.partition(".")[0]):
        raise WeightsError(
            f"This {what} was pickled by lenet {version}; lenet {__version__} cannot read it. Update lenet, or save "
            f"the model with lenet {version} as a .safetensors file."
        )


def model(value: Any) -> None:
    """Check that a value is a model and not, for example, the name of one."""
    if isinstance(value, type) or not hasattr(value, "predict_proba") or not hasattr(value, "num_classes"):
        raise InputTypeError(f"model is {short_repr(value)}; expected a LeNet5, for example lenet.load_pretrained().")


def short(number: Any) -> str:
    """Format a number with all of its digits, but without a trailing ".0"."""
    return str(number).removesuffix(".0")


def short_repr(value: object) -> str:
    """Return the repr of any value, cut to a readable length and depth, on one line."""
    return " ".join(_REPR.repr(value).split())
