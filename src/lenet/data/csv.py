"""Load tables of pixels from CSV files, such as those of Kaggle's Digit Recognizer."""

import codecs
import csv
import gzip
import io
import logging
import os
import zlib
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet._files import decompressed, open_regular
from lenet.data.dataset import ONE_ROW_IN, Dataset, named, stratified_split
from lenet.data.table import LABELS, PIXELS, Table, images_of_rows, is_text, numbered, pixel_columns
from lenet.errors import DataError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_MAX_LINE = 2**16  # bytes: 785 columns of up to 80 characters
_ROWS_AT_ONCE = 10_000

logger = logging.getLogger(__name__)


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
        As for `read_csv`; also if there are no labels, if all labels are equal and their column has none of the names
        that `read_csv` lists, or if the data set is invalid as described in `load_idx_folder`.
    InputTypeError
        If `hold_out` has another type.
    MissingExtraError
        If pandas is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> rows = ["label," + ",".join(f"pixel{k}" for k in range(784))]
    >>> rows += [f"{n % 2}," + ",".join([str(n)] * 784) for n in range(14)]
    >>> path = Path(tempfile.mkdtemp(), "train.csv")
    >>> _ = path.write_text("\n".join(rows))
    >>> load_csv(path).y_test
    array([1, 0])
    """
    _checks.boolean(hold_out, "hold_out")
    (X, y, classes), source = _read_path(path)
    if y is None:
        raise DataError(f"{path} has no labels; expected a column {LABELS[0]!r} in addition to {PIXELS} pixels.")
    if source != str(path) and len(set(y.tolist())) == 1:
        raise DataError(
            f"{source} has one class; expected at least two. Name the column of labels {LABELS[0]!r} in a header, or "
            "put it first."
        )
    return named(stratified_split(X, y, ONE_ROW_IN, source, hold_out), classes, source)


def read_csv(path: str | os.PathLike[str]) -> Table:
    """Read images, and their labels if there are any, from a CSV file with 784 pixels per row.

    Parameters
    ----------
    path : str or path-like
        A file in UTF-8 with commas, semicolons or tabs, plain or compressed with gzip (``.gz``). Excel's line ``sep=;``
        before the header is ignored.

        Pixels are integers from 0 (background) to 255 (ink), or decimals in [0, 1], in the order of the columns or of
        the numbers at the ends of their names, as in pixel783.

        The labels are in the column "label", "labels", "class", "target", "digit" or "y". If there is no such column, a
        table of 785 columns has its labels in the only column whose name does not end in a number. If there is no
        single such column either, the labels are in the last column if it contains text and the first does not;
        otherwise, in the first, with a warning. The column is logged.

        The columns "id", "imageid", "image_id", "index", "__index_level_0__" and those without a name are ignored, and
        so are pandas' "Unnamed: 0" and so on, unless most columns have such names.

    Returns
    -------
    Table
        A named tuple of `X`, ndarray of uint8, shape (n, 28, 28); `y`, ndarray of int64, shape (n,), or None without
        labels; and `classes`, tuple of str, or None if the labels are not names.

    Raises
    ------
    DataError
        If the file cannot be read or is empty, or has another number of columns, no rows, or more than 1,000,000; if a
        row has too many values, a label is missing or a fraction, or has leading zeros that another one lacks, or a
        pixel is missing, not a number or out of range.
    MissingExtraError
        If pandas is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "test.csv")
    >>> _ = path.write_text(",".join(["0"] * 784))
    >>> X, y, classes = read_csv(path)
    >>> X.shape, y
    ((1, 28, 28), None)
    """
    return _read_path(path)[0]


def _read_path(path: str | os.PathLike[str]) -> tuple[Table, str]:
    try:
        with open_regular(path) as file:
            return read_table(file, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Pass the path of a CSV file.") from error


def read_table(file: BinaryIO, name: str) -> tuple[Table, str]:
    """Read an open, seekable CSV file; raise the errors of `read_csv`, or OSError if reading fails.

    Also return the table's name for errors about labels, which includes their column if it has no usual name.
    """
    pandas = require("pandas", "train")
    try:
        file = decompressed(file)
        layout = _layout(_Lines(file, name).read(2 * _MAX_LINE), name)
        file.seek(0)
        lines = cast("BinaryIO", _Lines(file, name))  # pandas reads it as a file
        with pandas.read_csv(
            lines, sep=layout.delimiter, header=None, skiprows=layout.skipped, chunksize=_ROWS_AT_ONCE,
            names=range(layout.width), skipinitialspace=True,
            dtype=None if layout.label is None else {layout.label: str},
            keep_default_na=False, na_values=[""],  # NA and None may be names of classes
        ) as parts:  # fmt: skip
            images, labels = images_of_rows((_rows_of(part, layout, name) for part in parts), name)
    except UnicodeDecodeError:
        raise DataError(f"{name} is not text in UTF-8. Save it again as a CSV file in UTF-8.") from None
    except (ValueError, OverflowError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).partition("\n")[0].rpartition("C error: ")[2][:200]
        raise DataError(f"{name} is not a table of numbers ({reason}). Correct the file.") from None
    if not len(images):
        raise DataError(f"{name} has no rows; expected at least one.")
    if layout.label is None:
        return Table(images, None, None), name
    if layout.label_name.lower() in LABELS:
        return Table(images, *numbered(labels, name)), name
    place = f"column {layout.label + 1} of {layout.width}"
    source = f"{name} (labels: {place})"
    y, classes = numbered(labels, source)
    level = logging.WARNING if classes is None and layout.label_name[-1:].isdecimal() else logging.INFO
    logger.log(level, "%s: the labels are in %s; if they are in another column, name it 'label'", name, place)
    return Table(images, y, classes), source


class _Lines(io.BufferedIOBase):
    """A file whose lines have a limited length."""

    def __init__(self, file: BinaryIO, name: str):
        self._file, self._name, self._in_line = file, name, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes; raise DataError if a line is too long."""
        size = _MAX_LINE if size is None or size < 0 else size  # a caller that reads everything calls again
        chunk = self._file.read(size)
        first, *rest = chunk.replace(b"\r", b"\n").split(b"\n")
        longest = max([self._in_line + len(first), *map(len, rest)])
        self._in_line = len(rest[-1]) if rest else self._in_line + len(first)
        if longest > _MAX_LINE:
            raise DataError(
                f"{self._name} has a line of more than {_MAX_LINE:,} bytes; expected {PIXELS} pixels per row."
            )
        return chunk

    read1 = read


class _Layout(NamedTuple):
    """The delimiter, header and columns of a file, inferred from its first lines."""

    delimiter: str
    skipped: int  # lines before the rows
    width: int
    label: int | None
    pixels: list[int]
    label_name: str  # the column's number without a header


def _layout(start: bytes, name: str) -> _Layout:
    if not start:
        raise DataError(f"{name} is empty; expected a CSV file. Save it again.")
    text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)  # the last character may be cut off
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    has_separator = text[:5].lower().lstrip('"').startswith("sep=")  # Excel's line for the delimiter
    fields, *below = [[field.strip() for field in line] for line in lines][has_separator:] or [[]]
    texts = [is_text(field) for field in fields]
    # A header has names in most columns, or different fields: 784 pixels are not all different, except as decimals.
    # Text at either end of a line may also be a label.
    are_names = len(set(fields)) == len(fields) and (any(texts) or all(map(str.isdecimal, fields)))
    has_header = 2 * sum(texts) > len(fields) or are_names
    names, rows = (fields, below) if has_header else ([str(place) for place in range(len(fields))], [fields, *below])
    label, pixels = pixel_columns(names, name, rows)
    for place in {*range(len(names))} - {label, *pixels}:
        if names[place]:  # pandas leaves the name of its index empty
            logger.info("%s: the column %s is ignored; rows are numbered from 1", name, names[place])
    label_name = "" if label is None else names[label]
    return _Layout(delimiter, has_separator + has_header, len(fields), label, pixels, label_name)


def _rows_of(part: Any, layout: _Layout, name: str) -> tuple[NDArray[Any], list[str]]:
    """Return the pixels and the labels of some rows that pandas read."""
    pandas = require("pandas", "train")
    if not isinstance(part.index, pandas.RangeIndex):  # extra values of row 1 become an index
        raise DataError(
            f"{name} has more than {layout.width} values in row 1; expected one for each column. Remove commas at the "
            "ends of lines."
        )
    labels = [] if layout.label is None else part[layout.label].fillna("").str.strip().tolist()
    pixels = part[layout.pixels]
    booleans = pixels.select_dtypes(bool).columns
    if len(booleans):
        raise DataError(f"{name} has True or False in column {booleans[0] + 1}; expected 0 (background) to 255 (ink).")
    try:
        with np.errstate(over="ignore"):  # infinity is out of range, too
            return pixels.to_numpy(np.float32), labels
    except ValueError:  # text
        numbers = pixels.apply(pandas.to_numeric, errors="coerce")
        for row, column in np.argwhere(numbers.isna() & pixels.notna())[:1]:
            value = _checks.short_repr(pixels.iat[row, column])
            place = f"row {part.index[row] + 1:,}, column {layout.pixels[column] + 1}"
            raise DataError(
                f"{name} has {value} in {place}; expected 0 (background) to 255 (ink). Write decimals with a point."
            ) from None
        raise
