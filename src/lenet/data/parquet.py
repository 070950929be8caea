"""Load labelled pictures or tables of pixels from Parquet files, such as those of data sets on Hugging Face."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import Lazy, require
from lenet.data.dataset import MAX_IMAGES, ONE_ROW_IN, Dataset, checked, named, stratified_split
from lenet.data.image_folder import in_order, labelled_pictures
from lenet.data.pictures import Picture, Progress, checked_options
from lenet.data.table import LABELS, PIXELS, images_of_rows, label_column, numbered, pixel_columns
from lenet.errors import DataError

arrow, types = Lazy("pyarrow", "parquet"), Lazy("pyarrow.types", "parquet")

SUFFIXES = (".parquet", ".pq")
_MAX_BYTES = 4_000_000_000  # of all encoded pictures in a file
_ROWS_AT_ONCE = 1_024
_MAX_SCHEMA_BYTES = 2**20  # of the description that Hugging Face's library writes


def load_parquet(
    path: str | os.PathLike[str],
    *,
    raw: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
    hold_out: bool = True,
) -> Dataset:
    """Load a data set from a Parquet file of labels and encoded pictures or pixels, or from a folder of such files.

    If the names of some but not all files in a folder start with "test", those files are the test set and the others
    the training set. Otherwise, a fifth of the pictures of each class, or a seventh of a table of pixels, always the
    same images, is held out for testing.

    Parameters
    ----------
    path : str or path-like
        The pictures are encoded, for example as PNG or JPEG, in a column of type binary, or of type struct with a field
        "bytes", as Hugging Face's ``datasets`` writes it; or 784 columns have the pixels, as for `read_csv`. The
        labels, numbers or names, are in the column "label", "labels", "class", "target", "digit" or "y". The names of
        a ClassLabel are read from the file.
    raw, strict, progress : bool, bool and callable
        For encoded pictures, as for `load_image_folder`.
    hold_out : bool, default True
        If False, all images are for testing, and none for training, unless the files are already split.

    Returns
    -------
    Dataset
        Its `classes` are the names of the labels. If the labels are numbers, the names are these numbers or, for
        tables of pixels, `classes` is None. For encoded pictures, classes without pictures are omitted.

    Raises
    ------
    DataError
        If a file cannot be read or has no such columns; if there are more than 1,000,000 pictures, or more than 4 GB in
        a file; if a label is missing, or neither a number nor text; if a pixel is missing or out of range; or if the
        data set is invalid as described in `load_image_folder`.
    InputTypeError
        As for `load_image_folder`.
    MissingExtraError
        If pyarrow is not installed, or, for encoded pictures, Pillow or OpenCV.

    Examples
    --------
    >>> load_parquet("no-such.parquet")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such.parquet is neither a file nor a folder; ...
    """
    options = checked_options(raw, strict, progress, hold_out)
    path = Path(path)
    files = _files(path)
    if _has_pixels(files[0][1]):
        return _load_pixels(files, str(path), hold_out)
    labels: list[str] = []
    pictures: list[tuple[str, str, bytes | None]] = []
    for split, file in files:
        for row, (label, encoded) in enumerate(_rows(file), 1):
            labels.append(label)
            pictures.append((f"{file}, row {row:,}", split, encoded))
            if len(pictures) > MAX_IMAGES:
                raise DataError(f"{path} has more than {MAX_IMAGES:,} pictures. Use a subset of them.")
    y, names = _classes(labels, files, str(path))
    used, numbers = np.unique(y, return_inverse=True)  # a class without pictures has nothing to learn from
    used_names = tuple(names[label] if names else str(label) for label in used.tolist())
    each = [
        Picture(name, number, split, encoded or b"")
        for (name, split, encoded), number in zip(pictures, numbers.tolist(), strict=True)
    ]
    return labelled_pictures(each, used_names, str(path), options)


def _load_pixels(files: list[tuple[str, Path]], source: str, hold_out: bool) -> Dataset:
    """Return the rows of tables of pixels as a data set; hold out a seventh unless they are already split."""
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for _, file in files:
        some, their_labels = images_of_rows(_rows_of_pixels(file), str(file))
        images.append(some)
        labels += their_labels
        if len(labels) > MAX_IMAGES:
            raise DataError(f"{source} has more than {MAX_IMAGES:,} rows. Use a subset of them.")
    y, names = _classes(labels, files, source)
    X = np.concatenate(images)
    is_test = np.repeat([split == "test" for split, _ in files], list(map(len, images)))
    if any(split == "test" for split, _ in files):
        dataset = checked(Dataset(X[~is_test], y[~is_test], X[is_test], y[is_test]), source)
    else:
        dataset = stratified_split(X, y, ONE_ROW_IN, source, hold_out)
    return named(dataset, names, source)


def _classes(
    labels: list[str], files: list[tuple[str, Path]], source: str
) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Return the labels as numbers, and the names of the classes, unless the labels are numbers without names."""
    if not labels:
        raise DataError(f"{source} has no rows; expected at least one.")
    y, found = numbered(labels, source)
    names = found or next(filter(None, (_class_label(file) for _, file in files)), None)
    if names is not None and y.max() >= len(names):
        raise DataError(
            f"{source} has the label {y.max()}, but names for only {len(names)} classes. Write the file again."
        )
    return y, names


def holds_parquet_files(folder: Path) -> bool:
    """Return whether a folder has Parquet files."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def _files(path: Path) -> list[tuple[str, Path]]:
    """Return the files, each with the part of the data set that it belongs to."""
    if path.is_file():
        return [("all", path)]
    if not path.is_dir():
        raise DataError(f"{path} is neither a file nor a folder; expected a Parquet file, or a folder of them.")
    found = in_order(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{path} has no Parquet files; expected at least one.")
    splits = [("test" if each.name.lower().startswith("test") else "train", each) for each in found]
    return splits if {split for split, _ in splits} == {"train", "test"} else [("all", each) for each in found]


def _rows(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the label and the encoded picture of each row."""
    with _opened(path) as file:
        label, picture = _columns(file.schema_arrow, path)
        total = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[label, picture]):
            column = batch.column(batch.schema.get_field_index(picture))
            if types.is_struct(column.type):
                column = column.field("bytes")
            total += column.nbytes
            if total > _MAX_BYTES:
                raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes of pictures. Use a subset of them.")
            labels = _labels_of(batch.column(batch.schema.get_field_index(label)), path)
            yield from zip(labels, column.to_pylist(), strict=True)


def _rows_of_pixels(path: Path) -> Iterator[tuple[NDArray[Any], list[str]]]:
    """Yield the pixels and the labels of some rows at a time."""
    with _opened(path) as file:
        names = file.schema_arrow.names
        label, pixels = pixel_columns(names, str(path))
        if label is None:
            raise DataError(f"{path} has no labels; expected a column {LABELS[0]!r} in addition to {PIXELS} pixels.")
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            columns = [batch.column(place) for place in pixels]  # names may repeat
            try:
                values = np.stack([column.to_numpy(zero_copy_only=False).astype(np.float32) for column in columns], 1)
            except (TypeError, ValueError) as error:
                raise DataError(f"{path} is not a table of numbers ({error}). Correct the file.") from None
            yield values, _labels_of(batch.column(label), path)


def _labels_of(column: Any, path: Path) -> list[str]:
    """Return labels as text; a missing one, null or NaN, is empty."""
    try:
        values = (column if types.is_primitive(column.type) else column.cast("string")).to_pylist()
    except arrow.ArrowException:
        raise DataError(f"{path} has labels of type {column.type}; expected numbers, or names in UTF-8.") from None
    return ["" if value is None or value != value else str(value) for value in values]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file; convert pyarrow's errors to DataError."""
    try:
        with require("pyarrow.parquet", "parquet").ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a complete Parquet file ({error}). Download it again.") from error


def _has_pixels(path: Path) -> bool:
    """Return whether a file has a column for each pixel, and none of encoded pictures."""
    with _opened(path) as file:
        return len(file.schema_arrow.names) >= PIXELS and not _picture_columns(file.schema_arrow)


def _columns(schema: Any, path: Path) -> tuple[str, str]:
    """Return the names of the columns of labels and of pictures."""
    label, pictures = label_column(schema.names, str(path)), _picture_columns(schema)
    if label is None or not pictures:
        lacks = "column of labels" if label is None else "column of encoded pictures"
        raise DataError(
            f"{path} has no {lacks}; expected 'label' and 'image', or 'label' and {PIXELS} pixels. Its columns are "
            f"{', '.join(schema.names[:10])}."
        )
    return schema.names[label], pictures[0]


def _picture_columns(schema: Any) -> list[str]:
    """Return the columns of bytes, except that of the labels, which may be names in bytes."""
    others = (field for field in schema if field.name.lower() not in LABELS)
    return [field.name for field in others if _is_bytes(field.type) or is_picture(field.type)]


def is_picture(kind: Any) -> bool:
    """Return whether a type is a struct with the bytes of a picture, as Hugging Face's `datasets` writes it."""
    return bool(types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type))


def _is_bytes(kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _class_label(path: Path) -> tuple[str, ...] | None:
    """Return the class names that Hugging Face's library stores in the schema."""
    with _opened(path) as file:
        columns, metadata = file.schema_arrow.names, file.schema_arrow.metadata or {}
    label = label_column(columns, str(path))
    if label is None:
        return None
    try:
        features = json.loads(metadata[b"huggingface"][:_MAX_SCHEMA_BYTES])["info"]["features"]
        names = features[columns[label]]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None
