"""IDX, the file format of MNIST and its relatives, plain or gzipped.

Y. LeCun describes it on the page of the MNIST database, under "File formats": two zero bytes, a byte for the type of
the numbers, a byte for the number of dimensions, each dimension as a big-endian 32-bit integer, then the numbers.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lenet.data.dataset import MAX_BYTES, MAX_IMAGES, Dataset, checked
from lenet.errors import DataError

_UINT8 = 0x08
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read one IDX file of bytes: labels, or images.

    Whether the file is gzipped shows in its first bytes, so its name does not matter.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray of uint8, shape (n,) or (n, height, width)

    Raises
    ------
    DataError
        When the file cannot be read, is no IDX file, holds other numbers than bytes or another number of dimensions
        than 1 or 3, claims more than 1,000,000 items or 784,000,000 bytes, or holds fewer or more bytes than it
        claims; when a gzipped one is cut or damaged.

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
        with path.open("rb") as plain:
            return _read_either(plain, path)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path} cannot be read ({reason}): give the path of an IDX file, plain or .gz.") from error


def load_idx_folder(folder: str | os.PathLike[str]) -> Dataset:
    """Read a set from a folder of the four IDX files that MNIST comes in.

    They are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each plain or with `.gz`, and also with a dot before `idx`.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        When a file is missing, cannot be read (see `read_idx`), or holds labels where images are wanted or the other
        way round; when the set is empty, its images are not 28x28, its images and labels differ in number, or its
        labels are neither within 0 to 9 nor exactly 0 to K-1.

    Examples
    --------
    >>> load_idx_folder("no-such-folder")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such-folder is not a folder: give one that holds the four IDX files of a set.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one that holds the four IDX files of a set.")
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
    """Tell whether any of the four files is there, so that a half-filled folder is named rather than passed over."""
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
        raise DataError(f"{folder} has no {name} (plain or .gz): put all four IDX files of the set there.")
    array = read_idx(path)
    found = "images" if array.ndim == 3 else "labels"
    if found != kind:
        raise DataError(f"{path} holds {found} where {kind} are wanted: give each IDX file its own name back.")
    return array


def _read_either(plain: IO[bytes], path: Path) -> NDArray[np.uint8]:
    """Return what a file holds, gzipped or not."""
    gzipped = plain.read(2) == b"\x1f\x8b"
    plain.seek(0)
    if not gzipped:
        return _read(plain, path)
    try:
        with gzip.GzipFile(fileobj=plain) as stream:
            return _read(stream, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is cut short or damaged: a whole gzip file is wanted, so fetch it again ({error})."
        ) from error


def _read(stream: IO[bytes] | gzip.GzipFile, path: Path) -> NDArray[np.uint8]:
    shape = _read_shape(stream, path)
    size = math.prod(shape)
    # One byte more than claimed tells whether anything is left over, makes gzip compare its checksum, and no
    # file that unpacks to far more than it claims is ever unpacked.
    data = _read_at_most(stream, size + 1)
    if len(data) != size:
        held = f"only {len(data)}" if len(data) < size else "more"
        raise DataError(
            f"{path} claims {size} bytes of data ({' x '.join(map(str, shape))}) and holds {held}: "
            "it is cut or damaged, so fetch it again."
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read_shape(stream: IO[bytes] | gzip.GzipFile, path: Path) -> tuple[int, ...]:
    magic = _read_at_most(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path} is not an IDX file (it begins with {magic.hex(' ') or 'nothing'}, not with 00 00 08): "
            "give a file in the format of MNIST's own."
        )
    if magic[2] != _UINT8:
        raise DataError(f"{path} holds numbers of IDX type 0x{magic[2]:02x}: only bytes, type 0x08, can be read.")
    if magic[3] not in (1, 3):
        raise DataError(f"{path} has {magic[3]} dimensions: give labels (1 dimension) or images (3 dimensions).")
    sizes = _read_at_most(stream, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path} ends within its header: it is cut, so fetch it again.")
    shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", sizes)
    # Each dimension by itself first: in a product, a zero would hide a huge one.
    if not all(1 <= n <= MAX_IMAGES for n in shape) or math.prod(shape) > MAX_BYTES:
        raise DataError(
            f"{path} claims a size of {' x '.join(map(str, shape))}: every dimension must be 1 to {MAX_IMAGES:,} and "
            f"the whole at most {MAX_BYTES:,} bytes, so it is damaged or must be made smaller."
        )
    return shape


def _read_at_most(stream: IO[bytes] | gzip.GzipFile, size: int) -> bytearray:
    data = bytearray()  # grows with what is really there, so a false claim costs no memory
    while len(data) < size and (chunk := stream.read(min(_CHUNK, size - len(data)))):
        data += chunk
    return data
