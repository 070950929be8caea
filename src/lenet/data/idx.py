"""Read IDX files, the format of MNIST, plain or gzipped.

The format is: two zero bytes, a byte for the type of the numbers, a byte for the number of dimensions, each dimension
as a big-endian 32-bit integer, then the numbers.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lenet._files import decompressed, open_regular, read_stream
from lenet.data.dataset import MAX_BYTES, MAX_IMAGES, Dataset, check_polarity, checked
from lenet.errors import DataError

_UINT8 = 0x08


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an IDX file of labels or images.

    Parameters
    ----------
    path : str or path-like
        A plain or gzipped file of any name.

    Returns
    -------
    ndarray of uint8, shape (n,) or (n, height, width)

    Raises
    ------
    DataError
        If the file cannot be read, is damaged or not an IDX file, does not contain bytes in 1 or 3 dimensions, has a
        dimension outside 1 to 1,000,000, or has more than 784,000,000 bytes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            return _read_either(file, path)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path} cannot be read ({reason}). Pass the path of an IDX file, plain or .gz.") from error


def load_idx_folder(folder: str | os.PathLike[str]) -> Dataset:
    """Load a data set from a folder with the four IDX files of MNIST.

    Parameters
    ----------
    folder : str or path-like
        A folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each plain or gzipped (``.gz``). A dot may replace the hyphen before ``idx``.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file is missing or cannot be read (see `read_idx`), or images and labels are swapped or differ in number.
        Also if a part is empty, its images are not 28x28, or the labels are neither within 0 to 9 nor exactly 0 to K-1
        for K classes.

    Examples
    --------
    >>> load_idx_folder("no-such-folder")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such-folder is not a folder; ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with the four IDX files of a data set.")
    return checked(
        Dataset(
            X_train=_read_as("images", folder, "train-images-idx3-ubyte"),
            y_train=_read_as("labels", folder, "train-labels-idx1-ubyte").astype(np.int64),
            X_test=_read_as("images", folder, "t10k-images-idx3-ubyte"),
            y_test=_read_as("labels", folder, "t10k-labels-idx1-ubyte").astype(np.int64),
        ),
        str(folder),
    )


def holds_idx_files(folder: Path) -> bool:
    """Return whether a folder has any of the four files, so that an incomplete set is reported, not ignored."""
    return any(
        _find(folder, f"{part}-{kind}-ubyte") for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    )


def _find(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    candidates = (folder / spelling for spelling in (name, f"{name}.gz", dotted, f"{dotted}.gz"))
    return next((path for path in candidates if path.is_file()), None)


def _read_as(kind: str, folder: Path, name: str) -> NDArray[np.uint8]:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder} has no {name} (plain or .gz). Put all four IDX files of the data set there.")
    array = read_idx(path)
    found = "images" if array.ndim == 3 else "labels"
    if found != kind:
        raise DataError(f"{path} contains {found}; expected {kind}. Restore the original name of each IDX file.")
    if kind == "images":
        check_polarity(array, str(path))
    return array


def _read_either(file: BinaryIO, path: Path) -> NDArray[np.uint8]:
    try:
        with decompressed(file) as stream:
            return _read(stream, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged ({error}). Download the gzip file again.") from error


def _read(stream: BinaryIO, path: Path) -> NDArray[np.uint8]:
    shape = _read_shape(stream, path)
    size = math.prod(shape)
    # One extra byte shows whether data is left over and makes gzip verify its checksum, without unpacking a bomb.
    data = read_stream(stream, size + 1)
    if len(data) != size:
        held = f"only {len(data):,}" if len(data) < size else "more"
        raise DataError(
            f"{path} claims {size:,} bytes of data ({'x'.join(map(str, shape))}) but contains {held}. It is truncated "
            "or damaged: download it again."
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read_shape(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    magic = read_stream(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path} is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}; expected 00 00 08, as in the "
            "files of MNIST."
        )
    if magic[2] != _UINT8:
        raise DataError(f"{path} contains numbers of IDX type 0x{magic[2]:02x}; expected bytes, type 0x08.")
    if magic[3] not in (1, 3):
        raise DataError(f"{path} has {magic[3]} dimensions; expected 1 (labels) or 3 (images).")
    sizes = read_stream(stream, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path} ends within its header. It is truncated: download it again.")
    shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", sizes)
    # Check each dimension as well: in the product, a zero would hide a huge one.
    if not all(1 <= n <= MAX_IMAGES for n in shape) or math.prod(shape) > MAX_BYTES:
        raise DataError(
            f"{path} claims a size of {'x'.join(map(str, shape))}; expected dimensions from 1 to {MAX_IMAGES:,} and "
            f"at most {MAX_BYTES:,} bytes. It is damaged or too large."
        )
    return shape
