"""Load labelled pictures from Parquet files, such as those of data sets on Hugging Face."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lenet._extras import require
from lenet.data.csv import LABELS, numbered
from lenet.data.dataset import MAX_IMAGES, Dataset
from lenet.data.image_folder import labelled_pictures
from lenet.data.pictures import Picture, Progress
from lenet.errors import DataError

SUFFIXES = (".parquet", ".pq")
_MAX_BYTES = 4_000_000_000  # of all encoded pictures in a file
_MAX_SCHEMA_BYTES = 2**20  # of the description that Hugging Face's library writes


def load_parquet(
    path: str | os.PathLike[str], *, raw: bool = False, strict: bool = False, progress: Progress | None = None
) -> Dataset:
    """Load a data set from a Parquet file of encoded pictures and labels, or from a folder of such files.

    If the names of some but not all files in a folder start with "test", those files are the test set and the others
    the training set. Otherwise, a fifth of each class, always the same pictures, is held out for testing.

    Parameters
    ----------
    path : str or path-like
        The pictures are encoded, for example as PNG or JPEG, in a column of type binary, or of type struct with a field
        "bytes", as Hugging Face's ``datasets`` writes it. The labels, numbers or names, are in the column "label",
        "labels", "class", "target", "digit" or "y". The names of a ClassLabel are read from the file.
    raw, strict, progress : bool, bool and callable
        As for `load_image_folder`.

    Returns
    -------
    Dataset
        Its `classes` are the names of the labels, or their numbers. Classes without pictures are left out.

    Raises
    ------
    DataError
        If a file cannot be read or has no such columns; if there are more than 1,000,000 pictures, or more than 4 GB in
        a file; if a label is missing, or the data set is invalid as described in `load_image_folder`.
    MissingExtraError
        If pyarrow, Pillow or OpenCV is not installed.

    Examples
    --------
    >>> load_parquet("no-such.parquet")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such.parquet is neither a file nor a folder; ...
    """
    path = Path(path)
    files = _files(path)
    labels: list[str] = []
    pictures: list[tuple[str, str, bytes | None]] = []
    names: tuple[str, ...] | None = None
    for half, file in files:
        for label, encoded in _rows(file):
            labels.append(label)
            pictures.append((f"{file}, row {len(pictures):,}", half, encoded))
            if len(pictures) > MAX_IMAGES:
                raise DataError(f"{path} has more than {MAX_IMAGES:,} pictures. Use a subset of them.")
        names = names or _class_label(file)
    y, found = numbered(labels, str(path))
    names = names or found or tuple(map(str, range(int(y.max()) + 1)))
    if y.max() >= len(names):
        raise DataError(
            f"{path} has the label {y.max()}, but names for only {len(names)} classes. Write the file again."
        )
    used = sorted(set(y.tolist()))  # a class without pictures cannot be learned
    order = {label: number for number, label in enumerate(used)}
    each = [
        Picture(name, order[int(label)], half, encoded or b"")
        for (name, half, encoded), label in zip(pictures, y, strict=True)
    ]
    return labelled_pictures(
        each, tuple(names[label] for label in used), str(path), raw=raw, strict=strict, progress=progress
    )


def holds_parquet_files(folder: Path) -> bool:
    """Return whether a folder has Parquet files."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def _files(path: Path) -> list[tuple[str, Path]]:
    """Return the files, each with the part of the data set that it belongs to."""
    if path.is_file():
        return [("all", path)]
    if not path.is_dir():
        raise DataError(f"{path} is neither a file nor a folder; expected a Parquet file, or a folder of them.")
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{path} has no Parquet files; expected at least one.")
    halves = [("test" if each.name.lower().startswith("test") else "train", each) for each in found]
    return halves if {half for half, _ in halves} == {"train", "test"} else [("all", each) for each in found]


def _rows(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the label and the encoded picture of each row."""
    arrow = require("pyarrow", "parquet")
    try:
        with _opened(path) as file:
            label, picture = _columns(file.schema_arrow, path)
            total = 0
            for batch in file.iter_batches(1024, columns=[label, picture]):
                column = batch.column(batch.schema.get_field_index(picture))
                if arrow.types.is_struct(column.type):
                    column = column.field("bytes")
                total += column.nbytes
                if total > _MAX_BYTES:
                    raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes of pictures. Use a subset of them.")
                values = batch.column(batch.schema.get_field_index(label)).to_pylist()
                for value, encoded in zip(values, column.to_pylist(), strict=True):
                    yield "" if value is None else str(value), encoded
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a complete Parquet file ({error}). Download it again.") from error


def _opened(path: Path) -> Any:
    return require("pyarrow.parquet", "parquet").ParquetFile(path, page_checksum_verification=True)


def _columns(schema: Any, path: Path) -> tuple[str, str]:
    """Return the names of the columns of labels and of pictures."""
    types = require("pyarrow", "parquet").types
    labels = [name for name in schema.names if name.lower() in LABELS]
    pictures = [
        field.name
        for field in schema
        if types.is_binary(field.type)
        or types.is_large_binary(field.type)
        or (types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    ]
    if not labels or not pictures:
        lacks = "column of labels" if not labels else "column of encoded pictures"
        raise DataError(
            f"{path} has no {lacks}; expected 'label' and 'image'. Its columns are {', '.join(schema.names[:10])}."
        )
    return labels[0], pictures[0]


def _class_label(path: Path) -> tuple[str, ...] | None:
    """Return the class names that Hugging Face's library stores in the schema."""
    with _opened(path) as file:
        text = (file.schema_arrow.metadata or {}).get(b"huggingface", b"")
        label, _ = _columns(file.schema_arrow, path)
    try:
        names = json.loads(text[:_MAX_SCHEMA_BYTES])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None
