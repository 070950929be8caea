"""Load tables of pixels from CSV files, such as those of Kaggle's Digit Recognizer."""

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import require
from lenet.data.dataset import MAX_IMAGES, Dataset, check_levels, check_polarity, stratified_split
from lenet.errors import DataError

PIXELS = SIDE * SIDE
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
LABELS = ("label", "labels", "class", "target", "digit", "y")  # usual names of the column, in lower case
IDS = ("id", "imageid", "image_id", "index", "")
_MAX_LINE = 2**16  # bytes: 785 columns of up to 80 characters
_ROWS = 10_000  # read at a time


class Table(NamedTuple):
    """The rows of a table.

    Parameters
    ----------
    X : ndarray of uint8, shape (n, 28, 28)
    y : ndarray of int64, shape (n,), or None
        The labels; None if the table has none.
    classes : tuple of str, or None
        The names of the classes, if the labels are names.
    """

    X: NDArray[np.uint8]
    y: NDArray[np.int64] | None
    classes: tuple[str, ...] | None


def load_csv(path: str | os.PathLike[str], *, hold_out: bool = True) -> Dataset:
    r"""Load a data set from a CSV file with a label and 784 pixels per row.

    A seventh of each class (the fraction in MNIST), always the same images, is held out for testing.

    Parameters
    ----------
    path : str or path-like
        As for `read_csv`.
    hold_out : bool, default True
        If False, all images are for testing, and none for training.

    Returns
    -------
    Dataset
        If the labels are names, its `classes` are these names in alphabetical order.

    Raises
    ------
    DataError
        As for `read_csv`; also if the file has no labels, or the data set is invalid as described in
        `load_idx_folder`.
    MissingExtraError
        If pandas is not installed.

    Examples
    --------
    >>> import tempfile
    >>> rows = ["label," + ",".join(f"pixel{k}" for k in range(784))]
    >>> rows += [f"{n % 2}," + ",".join([str(n)] * 784) for n in range(14)]
    >>> path = Path(tempfile.mkdtemp(), "train.csv")
    >>> _ = path.write_text("\n".join(rows))
    >>> load_csv(path).y_test
    array([1, 0])
    """
    X, y, classes = read_csv(path)
    if y is None:
        raise DataError(f"{path} has no labels; expected a column {LABELS[0]!r} besides {PIXELS} pixels.")
    dataset = stratified_split(X, y, 7, str(path), hold_out)
    return dataset if classes is None else dataset.with_classes(classes)


def read_csv(path: str | os.PathLike[str]) -> Table:
    """Read images, and their labels if there are any, from a CSV file with 784 pixels per row.

    Parameters
    ----------
    path : str or path-like
        A file with commas, semicolons or tabs, plain or compressed with gzip (``.gz``). Pixels are integers from 0
        (background) to 255 (ink), or decimals in [0, 1]. The labels are in the column "label", "labels", "class",
        "target", "digit" or "y" of the header. If there is no such column, the first of 785 columns contains the
        labels. A column "id", "imageid", "image_id" or "index" is ignored.

    Returns
    -------
    Table
        A named tuple of `X`, ndarray of uint8, shape (n, 28, 28); `y`, ndarray of int64, shape (n,), or None without
        labels; and `classes`, tuple of str, or None if the labels are not names.

    Raises
    ------
    DataError
        If the file cannot be read, or has another number of columns, no rows, or more than 1,000,000; if a label is
        missing or a fraction; if a pixel is missing, not a number or out of range.
    MissingExtraError
        If pandas is not installed.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "test.csv")
    >>> _ = path.write_text(",".join(["0"] * 784))
    >>> X, y, classes = read_csv(path)
    >>> X.shape, y
    ((1, 28, 28), None)
    """
    try:
        with Path(path).open("rb") as file:
            return read_table(file, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Pass the path of a CSV file.") from error


def read_table(file: BinaryIO, name: str) -> Table:
    """Read an open CSV file, as `read_csv` does.

    Parameters
    ----------
    file : seekable binary file
    name : str
        For error messages.

    Raises
    ------
    DataError, MissingExtraError
        As for `read_csv`.
    OSError
        If reading fails.
    """
    pandas = require("pandas", "train")
    try:
        file = _decompressed(file)
        first = _Lines(file, name).read(_MAX_LINE + 1).partition(b"\n")[0].decode("utf-8-sig", "replace")
        file.seek(0)
        lines = cast("BinaryIO", _Lines(file, name))  # pandas reads it as a file
        delimiter = max(",;\t", key=first.count)
        fields = [field.strip().strip('"') for field in first.rstrip("\r\n").split(delimiter)]
        has_header = not all(re.fullmatch(r"[-+.\deE]*", field) for field in fields)
        label, pixels = pixel_columns(fields if has_header else [str(place) for place in range(len(fields))], name)
        with pandas.read_csv(
            lines, sep=delimiter, header=None, skiprows=int(has_header), chunksize=_ROWS, encoding_errors="replace",
            usecols=pixels if label is None else [label, *pixels], dtype=str if label is None else {label: str},
        ) as parts:  # fmt: skip
            images, labels = images_of_rows((_rows_of(part, label, pixels) for part in parts), name)
    except pandas.errors.EmptyDataError:
        images = np.empty((0, SIDE, SIDE), np.uint8)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} is not a table of numbers ({_first_sentence(error)}). Correct the file.") from None
    if not len(images):
        raise DataError(f"{name} has no rows; expected at least one.")
    y, classes = (None, None) if label is None else numbered(labels, name)
    return Table(images, y, classes)


def numbered(labels: Sequence[str], source: str) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Return labels as numbers, and the names of the classes unless the labels are already numbers.

    Raises
    ------
    DataError
        If a label is missing or a fraction.

    Examples
    --------
    >>> numbered(["7", "2"], "table")
    (array([7, 2]), None)
    >>> numbered(["cat", "dog", "cat"], "table")
    (array([0, 1, 0]), ('cat', 'dog'))
    """
    names = sorted(set(labels))
    if empty := [row for row, label in enumerate(labels) if not label]:
        raise DataError(f"{source} has no label in row {empty[0]:,}; expected one in each row.")
    if all(re.fullmatch(r"\d{1,9}(\.0+)?", name) for name in names):
        return np.array([int(label.partition(".")[0]) for label in labels], np.int64), None
    if all(re.fullmatch(r"-?[\d.]+(e-?\d+)?", name) for name in names):
        raise DataError(f"{source} has the label {names[0]}; expected integers of at least 0, or names.")
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[label] for label in labels], np.int64), tuple(names)


class _Lines(io.BufferedIOBase):
    """A file whose lines have a limited length."""

    def __init__(self, file: BinaryIO, name: str):
        self._file, self._name, self._in_line = file, name, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes; raise DataError if a line is too long."""
        size = _MAX_LINE if size is None or size < 0 else size  # a caller that wants everything reads again
        chunk = self._file.read(size)
        first, *rest = chunk.split(b"\n")
        longest = max([self._in_line + len(first), *map(len, rest)])
        self._in_line = len(rest[-1]) if rest else self._in_line + len(first)
        if longest > _MAX_LINE:
            raise DataError(
                f"{self._name} has a line of more than {_MAX_LINE:,} bytes; expected {PIXELS} pixels per row."
            )
        return chunk

    read1 = read


def pixel_columns(names: Sequence[str], source: str) -> tuple[int | None, list[int]]:
    """Return the index of the label column, if there is one, and the indices of the 784 pixel columns.

    Parameters
    ----------
    names : sequence of str
        Names of all columns; if they have none, any text.
    source : str
        Name of the table, for error messages.

    Raises
    ------
    DataError
        If there are not exactly 784 columns besides those of labels and row numbers.

    Examples
    --------
    >>> label, pixels = pixel_columns(["label", *(f"pixel{k}" for k in range(784))], "table")
    >>> label, pixels[0], pixels[-1]
    (0, 1, 784)
    """
    found = [place for place, name in enumerate(names) if name.lower() in LABELS]
    ignored = [place for place, name in enumerate(names) if name.lower() in IDS]
    label = found[0] if found else None
    pixels = [place for place in range(len(names)) if place != label and place not in ignored]
    if label is None and len(pixels) == PIXELS + 1:
        label, *pixels = pixels
    if len(pixels) != PIXELS:
        raise DataError(
            f"{source} has {len(names)} columns; expected {PIXELS} pixels per row (28x28), and a column {LABELS[0]!r} "
            "for training."
        )
    return label, pixels


def _decompressed(file: BinaryIO) -> BinaryIO:
    is_gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast("BinaryIO", gzip.open(file)) if is_gzipped else file


def _rows_of(part: Any, label: int | None, pixels: list[int]) -> tuple[NDArray[Any], list[str]]:
    """Return the pixels and the labels of some rows of pandas."""
    return part[pixels].to_numpy(np.float32), [] if label is None else part[label].fillna("").str.strip().tolist()


def images_of_rows(parts: Iterable[tuple[NDArray[Any], list[str]]], name: str) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the images and labels of a table that is read in parts.

    Parameters
    ----------
    parts : iterable of (ndarray of shape (n, 784), list of str)
        Pixels, as for `read_csv`, and labels, if there are any.
    name : str
        Name of the table, for error messages.

    Raises
    ------
    DataError
        If a pixel is missing or out of range, or there are more than 1,000,000 rows.
    """
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    decimals: list[bool] = []
    for pixels, some in parts:
        image, decimal = _as_bytes(pixels, name)
        images.append(image)
        decimals.append(decimal)
        labels += some
        if sum(map(len, images)) > MAX_IMAGES:
            raise DataError(f"{name} has more than {MAX_IMAGES:,} rows. Split it into several files.")
    if any(decimals):
        for image, decimal in zip(images, decimals, strict=True):
            if not decimal:  # these rows happen to have only 0.0 and 1.0
                if image.max() > 1:
                    raise _mixed(name)
                image *= 255
    found = np.concatenate(images or [np.empty((0, SIDE, SIDE), np.uint8)])
    check_levels(found, name)
    check_polarity(found, name)
    return found, labels


def _as_bytes(values: NDArray[Any], name: str) -> tuple[NDArray[np.uint8], bool]:
    """Return rows of pixels as bytes, and whether they are decimals in [0, 1]."""
    numbers = values.astype(np.float32, copy=False)
    if not (numbers >= 0).all() or numbers.max() > 255:  # NaN, which stands for a missing value, fails too
        raise DataError(f"{name} has missing or out-of-range pixels; expected 0 (background) to 255 (ink).")
    decimal = bool((numbers % 1).any())
    if decimal:
        if numbers.max() > 1:
            raise _mixed(name)
        numbers = np.rint(numbers * 255)
    return numbers.astype(np.uint8).reshape(-1, SIDE, SIDE), decimal


def _mixed(name: str) -> DataError:
    return DataError(
        f"{name} mixes decimals and numbers above 1; expected integers from 0 to 255, or decimals in [0, 1]."
    )


def _first_sentence(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
