"""Arrays between guard values or inaccessible pages, for the tests of the kernels.

A write outside an output changes a guard value. A read outside an input returns NaN, which spoils the result.

A read whose value is not used does no harm, except at the end of a page of memory: the next page may be inaccessible.
So these tests run a second time, in a process of their own, with arrays that end at the end of a page.
"""

import ctypes
import mmap
import os

import numpy as np

GUARD = 67  # numbers on each side; odd, so that arrays are not aligned to vectors
CANARY = 12345.0
AT_THE_END_OF_A_PAGE = "LENET_TEST_PAGES" in os.environ


def before_a_forbidden_page(size, dtype):
    """An array whose last byte is the last one before memory that may not be touched."""
    length = size * dtype.itemsize
    pages = length // mmap.PAGESIZE + 1
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    end = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages * mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(end), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return np.frombuffer(memory, dtype, size, pages * mmap.PAGESIZE - length)


class Arrays:
    """Arrays of one floating type, each between guards."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.rng = np.random.default_rng(1)
        self.outputs = []

    def _between(self, shape, guard, dtype=None):
        size, dtype = int(np.prod(shape)), np.dtype(dtype or self.dtype)
        if AT_THE_END_OF_A_PAGE:
            whole = before_a_forbidden_page(size + GUARD, dtype)
            whole[...] = guard
            return whole, whole[GUARD:].reshape(shape)
        whole = np.full(size + 2 * GUARD, guard, dtype)
        return whole, whole[GUARD : GUARD + size].reshape(shape)

    def input(self, *shape):
        """Random numbers between NaN, read-only."""
        return self.holding(self.rng.normal(size=shape).astype(self.dtype))

    def holding(self, values):
        """These values between NaN (bytes: between 255), read-only."""
        _, inner = self._between(values.shape, np.nan if values.dtype.kind == "f" else 255, values.dtype)
        inner[...] = values
        inner.flags.writeable = False
        return inner

    def output(self, *shape, value=np.nan):
        """An array of `value` between canaries."""
        whole, inner = self._between(shape, CANARY)
        inner[...] = value
        self.outputs.append(whole)
        return inner

    def check_guards(self):
        for whole in self.outputs:
            np.testing.assert_array_equal(whole[:GUARD], CANARY, "written before the array")
            if not AT_THE_END_OF_A_PAGE:
                np.testing.assert_array_equal(whole[-GUARD:], CANARY, "written behind the array")

    def assert_close(self, actual, expected):
        tolerance = 1e-5 if self.dtype == np.float32 else 1e-12
        scale = np.abs(expected).max(initial=0)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
