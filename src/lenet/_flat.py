"""A dict of arrays that are views into one flat vector."""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet import _checks
from lenet.errors import InputTypeError

CACHE_LINE = 64  # bytes, of nearly all CPUs


def _zeros(size: int, dtype: np.dtype[Any], aligned_index: int) -> NDArray[Any]:
    """Return a vector of zeros whose element `aligned_index` begins a cache line."""
    per_line = CACHE_LINE // dtype.itemsize
    longer = np.zeros(size + per_line, dtype)
    address = longer.__array_interface__["data"][0] // dtype.itemsize
    start = -(address + aligned_index) % per_line
    return longer[start : start + size]


class FlatDict(dict[str, NDArray[Any]]):
    """Named arrays stored consecutively in the vector `flat`.

    An operation on `flat` applies to all arrays at once. Assigning to a name copies into its view. By default, `flat`
    is zero, and the largest array begins a cache line, so that no vector of C5's weights straddles two.

    Examples
    --------
    >>> pair = FlatDict({"weight": (2, 2), "bias": (1,)}, np.float32)
    >>> pair["bias"] = 3
    >>> pair.flat
    array([0., 0., 0., 0., 3.], dtype=float32)
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike, flat: NDArray[Any] | None = None):
        sizes = [math.prod(shape) for shape in shapes.values()]
        self.shapes = dict(shapes)
        if flat is None:
            before_largest = sizes[: sizes.index(max(sizes))] if sizes else []
            flat = _zeros(sum(sizes), np.dtype(dtype), sum(before_largest))
        self.flat = flat
        ends = np.cumsum(sizes)
        super().__init__(
            (name, self.flat[end - size : end].reshape(shape))
            for (name, shape), end, size in zip(shapes.items(), ends, sizes, strict=True)
        )

    def __setitem__(self, name: str, value: Any) -> None:
        self[name][...] = self._checked(name, value)

    def _checked(self, name: str, value: Any) -> NDArray[Any]:
        return _checks.broadcast(value, self[name].dtype, self[name].shape, name)

    def _reject_resizing(self, *_: Any) -> NoReturn:
        raise InputTypeError(
            f"{', '.join(self)} share one vector; no name can be added or removed. Assign new values instead."
        )

    __delitem__ = pop = popitem = clear = setdefault = _reject_resizing

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Copy the values of another mapping into the views with the same names; an error changes nothing."""
        checked = {name: self._checked(name, value).copy() for name, value in dict(*args, **kwargs).items()}
        for name, values in checked.items():
            self[name][...] = values

    def __ior__(self, other: Any) -> "FlatDict":  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FlatDict, (self.shapes, self.flat.dtype, self.flat)
