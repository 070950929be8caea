"""Read rows of .npy files: memory-mapped on this machine, by byte ranges elsewhere."""

import functools
import io
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import DataError
from lenet.scale.files import File

Rows = Callable[[int, int], list[NDArray[Any]]]
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MAX_HEADER = 2**14  # bytes; NumPy evaluates headers of at most 10,000


def reader(file: File) -> tuple[tuple[int, ...], np.dtype[Any], Rows]:
    """Return the shape and dtype of an array, and a function that reads rows from a start to a stop.

    Raises
    ------
    DataError
        If the file is not a complete .npy file of numbers.
    """
    if file.system is None:
        array = _mapped(file)
        return array.shape, array.dtype, functools.partial(mapped_rows, file)
    with file.open() as opened:
        head = io.BytesIO(opened.read(_MAX_HEADER))
        length = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, length - 1))
        opened.read(1)  # a server that does not support byte ranges fails here, not on the workers
    try:
        shape, in_fortran_order, dtype = _HEADERS[np.lib.format.read_magic(head)](head)
    except (ValueError, EOFError, TypeError, LookupError) as error:
        raise _incomplete(file, error) from error
    if dtype.hasobject:  # only pickle could read it
        raise _incomplete(file, "it contains Python objects")
    if in_fortran_order:
        raise DataError(f"{file.name} is in Fortran order, in which rows are not contiguous. Save it in C order.")
    if length < head.tell() + dtype.itemsize * math.prod(shape):
        raise _incomplete(file, f"it ends after {length:,} bytes")
    return shape, dtype, functools.partial(remote_rows, file, head.tell(), dtype, shape[1:])


def mapped_rows(file: File, start: int, stop: int) -> list[NDArray[Any]]:
    """Read rows of a file on this machine."""
    return [_mapped(file)[start:stop]]


def remote_rows(
    file: File, header: int, dtype: np.dtype[Any], shape: tuple[int, ...], start: int, stop: int
) -> list[NDArray[Any]]:
    """Read rows of this shape from a remote file, whose header has `header` bytes."""
    size = dtype.itemsize * math.prod(shape)
    with file.open() as opened:
        opened.seek(header + start * size)
        content = opened.read((stop - start) * size)
    return [np.frombuffer(content, dtype).reshape(-1, *shape)]


def _mapped(file: File) -> NDArray[Any]:
    file.open().close()  # rejects pipes
    try:
        return np.lib.format.open_memmap(file.path, mode="r")
    except (ValueError, EOFError, TypeError) as error:  # also for object arrays
        raise _incomplete(file, error) from error


def _incomplete(file: File, error: object) -> DataError:
    return DataError(f"{file.name} is not a complete .npy file of numbers ({error}). Save it with numpy.save.")
