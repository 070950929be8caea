"""Arrays with given numbers in every layout of NumPy: types, byte orders, strides, subclasses.

`random` is a `random.Random`, Hypothesis' own included.
"""

import math

import numpy as np

_TAKEN = ("<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "g", "u1", "u1", "i1", "<i2", ">i2", "<u4", ">i8")
_REFUSED = ("?", "<c8", "<m8[s]", "S3", "O")
_STEPS = (1, 1, 1, 2, 3, -1, -2)


class OfSomeKind(np.ndarray):
    """A subclass that does its own thing where it is asked to."""

    def reshape(self, *_, **__):
        raise AssertionError("a method of the caller's subclass was called")

    astype = min = max = sum = copy = reshape


class Layout:
    """A place for an array, whose elements lie in memory in some order, with gaps, backwards, unaligned.

    What lies between them is NaN, or 255, so that reading it would show.

    Attributes
    ----------
    dtype : dtype
    refused : bool
        Whether the array is of a kind that nothing of lenet takes.
    """

    def __init__(self, random, shape):
        self.dtype = np.dtype(random.choice(_REFUSED if random.random() < 0.05 else _TAKEN))
        self._place = _place(random, shape, self.dtype)
        self._wrap = random.choice(_WRAPS if self._place.size else _WRAPS[:-1])  # an empty list has lost its shape
        if self._wrap is np.ndarray.tolist and self.dtype.kind in "iu":
            self.dtype = np.dtype(np.int64)
        self.refused = self.dtype.kind not in "fiu" or self._wrap is np.ma.masked_array
        self._scale = 1 if self.dtype.kind == "f" else 255

    def holding(self, values):
        """Return an array of the values, as nearly as the type has them, and what they are now, in float64."""
        if self.refused:
            return self._wrap(self._place), 0
        self._place[...] = np.asarray(values * self._scale)
        return self._wrap(self._place), self._place.astype(np.float64)


def _place(random, shape, dtype):
    is_plain = random.random() < 0.2
    order = list(range(len(shape)))
    random.shuffle(order)
    steps = [1 if is_plain else random.choice(_STEPS) for _ in shape]
    lengths = [shape[axis] * abs(steps[axis]) for axis in order]
    if dtype.hasobject:
        whole = np.empty(lengths, dtype)
    else:
        offset = random.choice((0, 0, 0, 1, dtype.itemsize // 2))
        memory = np.full(math.prod(lengths) * dtype.itemsize + offset + 1, 255, np.uint8)
        whole = np.ndarray(lengths, dtype, memory, offset)
    return whole.transpose(np.argsort(order))[..., *(slice(None, None, step) for step in steps)]


def _read_only(array):
    array = array.view()
    array.flags.writeable = False
    return array


_WRAPS = [
    *(np.asarray,) * 12,
    *(_read_only,) * 3,
    lambda array: array.view(OfSomeKind),
    np.ma.masked_array,
    np.ndarray.tolist,
]
