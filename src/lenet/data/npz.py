"""Load data sets from ``.npz`` files: zip archives with one NumPy array per member."""

import logging
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet._files import open_regular
from lenet.data.box import fit_into_box
from lenet.data.dataset import (
    MAX_BYTES,
    MAX_IMAGES,
    ONE_ROW_IN,
    Dataset,
    check_polarity,
    checked,
    named,
    stratified_split,
)
from lenet.data.table import numbered
from lenet.errors import DataError

# In lower case: Keras writes x_train, scikit-learn users write X_train.
_FOUR = ("x_train", "y_train", "x_test", "y_test")
_MIN_SIDE, _MAX_SIDE = 4, 4096
_TWO = ("x", "y")
_MAX_INNER_INK = 0.995  # fraction of the ink; if more is inside the margins, they count as blank
_T = TypeVar("_T")
MAX_DIRECTORY_BYTES = 2**16  # of the zip directory, about 60 bytes per member
_HEADER = re.compile(
    r"\{'descr': '([<>|=](?:[biufcSU][1-9]\d{0,3}|O))', 'fortran_order': (True|False), "
    r"'shape': \(([\d, ]{0,99})\),? ?\}\s*"
)

logger = logging.getLogger(__name__)


def load_npz(path: str | os.PathLike[str], *, hold_out: bool = True) -> Dataset:
    """Load a data set from an ``.npz`` file with arrays `X` and `y`, or `X_train`, `y_train`, `X_test` and `y_test`.

    With `X` and `y`, a seventh of each class (the fraction in MNIST), always the same images, is held out for testing.

    Parameters
    ----------
    path : str or path-like
        The images have shape (n, height, width), (n, 1, height, width), (n, height, width, 1) or (n, 784): integers
        from 0 (background) to 255 (ink), or floats in [0, 1], which are rounded to 256 levels. Images of other sizes
        than 28x28 are scaled into MNIST's box of 20 pixels and centred by mass. The labels have shape (n,): integers,
        also as floats, or text, the names of the classes. The names of the arrays may be in lower case.
    hold_out : bool, default True
        If False, all images of `X` are for testing, and none for training; their labels are any integers from 0, or
        names.

    Returns
    -------
    Dataset
        If the labels are names, its `classes` are these names in alphabetical order.

    Raises
    ------
    DataError
        If the file cannot be read or is damaged; if an array is missing, has another type or shape, or has more than
        784,000,000 bytes; if there are more than 1,000,000 labels; if a pixel is out of range, a label is a fraction,
        a named class has no training images, or the data set is invalid as described in `load_idx_folder`. Object
        arrays are rejected, since reading them requires pickle, which can run code.
    InputTypeError
        If `hold_out` has another type.

    Examples
    --------
    >>> import tempfile
    >>> X, y = np.random.default_rng(0).random((70, 784)), np.arange(70) % 10
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.npz")
    ...     np.savez_compressed(path, X=X, y=y)
    ...     dataset = load_npz(path)
    >>> dataset.X_train.shape, dataset.X_test.shape, dataset.X_train.dtype
    ((60, 28, 28), (10, 28, 28), dtype('uint8'))
    """
    _checks.boolean(hold_out, "hold_out")
    path = Path(path)
    return _as_dataset(_read_arrays(path), str(path), hold_out)


def load_npy_folder(folder: str | os.PathLike[str], *, hold_out: bool = True) -> Dataset:
    """Load a data set from a folder with ``X.npy`` and ``y.npy``, or ``X_train.npy``, ``y_train.npy`` and so on.

    Parameters
    ----------
    folder : str or path-like
        Each file contains one array, as for `load_npz`. With ``X.npy`` and ``y.npy``, a seventh is held out likewise.
    hold_out : bool, default True
        As for `load_npz`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError, InputTypeError
        As for `load_npz`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "X.npy", np.zeros((70, 28, 28), np.uint8))
    >>> np.save(folder / "y.npy", np.arange(70) % 10)
    >>> load_npy_folder(folder).X_test.shape
    (10, 28, 28)
    """
    _checks.boolean(hold_out, "hold_out")
    folder = Path(folder)
    files = _npy_files(folder)
    names = _complete(files)
    if names is None:
        found = ", ".join(path.name for path in files.values()) or "no arrays"
        raise DataError(
            f"{folder} has {found}; expected X.npy and y.npy, or X_train.npy, y_train.npy, X_test.npy and y_test.npy."
        )
    arrays = []
    for path in (files[name] for name in names):
        try:
            with open_regular(path) as file:
                arrays.append(_read_npy(file, path.stat().st_size, str(path)))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror or error}). Save it with numpy.save.") from error
    return _as_dataset(arrays, str(folder), hold_out)


def holds_npy_files(folder: Path) -> bool:
    """Return whether a folder has any of the files of `load_npy_folder`."""
    return bool(_npy_files(folder))


def _npy_files(folder: Path) -> dict[str, Path]:
    return _by_name(sorted(folder.glob("*.npy")), lambda path: path.stem, str(folder))


def _complete(found: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return the names of the arrays of a data set, or None if some of them are not among those found."""
    return next((names for names in (_FOUR, _TWO) if found.keys() >= set(names)), None)


def _by_name(members: Iterable[_T], name_of: Callable[[_T], str], source: str) -> dict[str, _T]:
    """Return the arrays of a data set by their names in lower case; reject a name that occurs twice."""
    found: dict[str, _T] = {}
    for member in members:
        name = name_of(member)
        if name.lower() in found:
            raise DataError(f"{source} has {name} twice, in upper or lower case. Remove one.")
        if name.lower() in (*_FOUR, *_TWO):
            found[name.lower()] = member
    return found


def _as_dataset(arrays: list[NDArray[Any]], source: str, hold_out: bool) -> Dataset:
    if len(arrays) == 2:
        X, y = arrays
        labels, classes = _as_labels([y], source)
        return named(stratified_split(_as_images(X, source), labels, ONE_ROW_IN, source, hold_out), classes, source)
    X_train, y_train, X_test, y_test = arrays
    X_train, X_test = _as_images(X_train, f"X_train in {source}"), _as_images(X_test, f"X_test in {source}")
    labels, classes = _as_labels([y_train, y_test], source)
    y_train, y_test = np.split(labels, [len(y_train)])
    if classes and len(missing := np.setdiff1d(y_test, y_train)):
        name = _checks.short_repr(classes[missing[0]])
        raise DataError(f"{source} has no training images of class {name}; expected at least one.")
    return named(checked(Dataset(X_train, y_train, X_test, y_test), source), classes, source)


def _read_arrays(path: Path) -> list[NDArray[Any]]:
    try:
        with open_regular(path) as file, _opened(file, path) as archive:
            infos = archive.infolist()
            members = _by_name(infos, _name, str(path))
            names = _complete(members)
            if names is None:
                found = ", ".join(sorted(map(_name, infos))[:10]) or "nothing"
                raise DataError(f"{path} contains {found}; expected X and y, or X_train, y_train, X_test and y_test.")
            return [_read_array(archive, members[name], f"{_name(members[name])} in {path}") for name in names]
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Pass the path of an .npz file.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a complete .npz file ({error}). Save it again with numpy.savez.") from error


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _opened(file: IO[bytes], path: Path) -> zipfile.ZipFile:
    """Open an archive, unless it has so many members that listing them would take too long.

    The last 22 bytes contain the length of the directory. An archive comment or a Zip64 record, which could contradict
    them, is rejected; NumPy writes neither.
    """
    file.seek(max(0, file.seek(0, os.SEEK_END) - 42))
    tail = file.read(42)
    before, end = tail[:-22], tail[-22:]
    if not (end.startswith(b"PK\5\6") and end.endswith(b"\0\0")):
        raise zipfile.BadZipFile("it has no end record")
    if int.from_bytes(end[12:16], "little") > MAX_DIRECTORY_BYTES or before.startswith(b"PK\6\7"):
        raise DataError(f"{path} has too many members; expected X and y, or X_train, y_train, X_test and y_test.")
    return zipfile.ZipFile(file)


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> NDArray[Any]:
    # numpy.load would allocate any size that a header claims. Other compression methods, which NumPy never uses, cannot
    # be unpacked up to a limit.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{source} uses a compression method that NumPy does not write. Save it again with numpy.savez."
        )
    with archive.open(info) as stream:
        return _read_npy(stream, info.file_size, source)


def _read_npy(stream: IO[bytes], length: int, source: str) -> NDArray[Any]:
    """Read an array from a stream of `length` bytes."""
    shape, order, dtype = _read_header(stream, source)
    size = math.prod(shape) * dtype.itemsize
    if stream.tell() + size != length:
        raise DataError(
            f"{source} claims {size:,} bytes of data but contains {length - stream.tell():,}. It is damaged: save it "
            "again with NumPy."
        )
    return np.frombuffer(stream.read(size), dtype).reshape(shape, order=order)


def _read_header(stream: IO[bytes], source: str) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    # NumPy writes version 1.0 for plain numbers; a header of a later version may claim 4 GB. The header is the text of
    # a Python dict, which the pattern reads without evaluating it.
    start = stream.read(10)
    header = stream.read(int.from_bytes(start[8:], "little")).decode("latin-1")
    match = _HEADER.fullmatch(header)
    invalid = DataError(f"{source} is not a plain array of numbers or text. Save it again with NumPy.")
    if start[:8] != b"\x93NUMPY\x01\x00" or match is None:
        raise invalid
    try:
        dtype, shape = np.dtype(match[1]), tuple(int(n) for n in match[3].split(",") if n.strip())
    except (TypeError, ValueError):
        raise invalid from None
    if dtype.hasobject:
        raise DataError(
            f"{source} contains Python objects, which lenet never unpickles. Save it as an array of numbers, or text "
            "labels as y.astype(str)."
        )
    # Check each dimension as well: in the product, a zero would hide a huge one.
    if not all(1 <= n <= MAX_BYTES for n in shape) or math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise DataError(
            f"{source} has shape {shape} and dtype {dtype}; expected no dimension of 0, and at most {MAX_BYTES:,} "
            "bytes. Save fewer images, or save them as uint8."
        )
    return shape, "F" if match[2] == "True" else "C", dtype


def _as_images(X: NDArray[Any], source: str) -> NDArray[np.uint8]:
    if X.dtype.kind not in "uif":
        raise DataError(
            f"{source} has images of dtype {X.dtype}; expected numbers. Save them as uint8 pixels from 0 to 255."
        )
    shape = (SIDE, SIDE) if X.shape[1:] == (SIDE * SIDE,) else X.shape[1:]
    if len(shape) == 3 and 1 in (shape[0], shape[2]):  # one channel, first or last
        shape = shape[1:] if shape[0] == 1 else shape[:2]
    if len(shape) != 2 or min(shape) < _MIN_SIDE or max(shape) > _MAX_SIDE:
        raise DataError(
            f"{source} has images of shape {X.shape}; expected (n, height, width), perhaps with an axis of one "
            f"channel, or (n, 784). Sides have {_MIN_SIDE} to {_MAX_SIDE:,} pixels."
        )
    if X.dtype.kind == "f":
        if not ((X >= 0) & (X <= 1)).all():  # NaN fails too
            advice = "Scale them: (X - background) / (ink - background)"
            if not np.isfinite(X).all():
                advice = "Replace NaN and infinite values"
            raise DataError(
                f"{source} has floating-point pixels from {X.min():g} to {X.max():g}; expected 0 (background) to 1 "
                f"(ink). {advice}."
            )
        X = np.rint(np.multiply(X, 255, dtype=np.promote_types(X.dtype, "f4")))  # float16 would round twice
    elif X.min() < 0 or X.max() > 255:
        raise DataError(f"{source} has pixels from {X.min()} to {X.max()}; expected 0 (background) to 255 (ink).")
    images = X.reshape(len(X), *shape).astype(np.uint8, order="C")
    check_polarity(images, source)
    if shape == (SIDE, SIDE):
        return images
    ink = images.sum(axis=0)
    margin = -(-max(shape) // 10)
    if ink[margin:-margin, margin:-margin].sum() > _MAX_INNER_INK * ink.sum():
        logger.info("%s: the images have blank margins, which are scaled with the digits. Crop them.", source)
    return fit_into_box(images)


def _as_labels(parts: Sequence[NDArray[Any]], source: str) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Return the labels of all parts as numbers, and the names of the classes if the labels are names."""
    for y in parts:
        if y.ndim != 1 or len(y) > MAX_IMAGES or y.dtype.kind not in "uifU":
            raise DataError(
                f"{source} has labels of shape {y.shape} and dtype {y.dtype}; expected integers or text of shape "
                f"(n,), n at most {MAX_IMAGES:,}." + " Convert bytes with y.astype(str)." * (y.dtype.kind == "S")
            )
        if y.dtype.kind == "U" and y.view(f"{y.dtype.byteorder}u4").max() > sys.maxunicode:
            raise DataError(f"{source} has labels that are not valid text. Save it again with NumPy.")
    if any(y.dtype.kind == "U" for y in parts):
        return numbered([str(label) for y in parts for label in y.tolist()], source)
    y = np.concatenate(parts)
    with np.errstate(invalid="ignore"):  # NaN and numbers out of range differ from the result
        numbers = y.astype(np.int64)
    if len(wrong := y[numbers != y]):
        raise DataError(f"{source} has the label {wrong[0]}; expected integers from 0, or names.")
    return numbers, None
