"""Read images from a column of a Parquet file: 784 bytes, or a list of 784 numbers, per row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet.errors import DataError, InputError

PIXELS = _checks.SIDE**2
AT_ONCE = 4096  # rows unpacked at a time: a row group may have millions


def rows_of_groups(path: Path, name: str, column: str) -> list[int]:
    """Return the number of rows of each row group; raise DataError unless the column holds images."""
    arrow = require("pyarrow", "dask")
    try:
        with _opened(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except arrow.ArrowException as error:
        raise DataError(f"{name} is not a complete Parquet file ({error}). Write it again.") from error
    if column not in schema.names:
        raise DataError(f"{name} has no column {column}; expected one of {', '.join(schema.names[:10])}.")
    kind = schema.field(column).type
    if not (_is_bytes(kind) or _is_list(kind)):
        raise DataError(
            f"{name} has type {kind} in column {column}; expected {PIXELS} bytes or {PIXELS} numbers per row."
        )
    return rows


def images(path: Path, name: str, group: int, column: str, start: int) -> Iterator[NDArray[Any]]:
    """Yield the images of a row group, whose first row has the number `start` in the file.

    Raises
    ------
    DataError
        If the file is damaged.
    InputError
        If a row is not an image; the message names the row.
    """
    arrow = require("pyarrow", "dask")
    try:
        with _opened(path) as file:
            for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=[column]):
                yield _pixels(batch.column(0), f"{name}, row ", start)
                start += len(batch)
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # errors of Arrow have no errno
            raise
        raise DataError(f"{name} is not a complete Parquet file ({error}). Write it again.") from error


def _opened(path: Path) -> Any:
    return require("pyarrow.parquet", "dask").ParquetFile(path, page_checksum_verification=True)


def _is_bytes(kind: Any) -> bool:
    types = require("pyarrow.types", "dask")
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _is_list(kind: Any) -> bool:
    types = require("pyarrow.types", "dask")
    listed = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(listed and (types.is_integer(kind.value_type) or types.is_floating(kind.value_type)))


def _pixels(column: Any, where: str, start: int) -> NDArray[Any]:
    """Return the images of a part of a column as an array (n, 784) of uint8 or floats."""
    arrow, compute = require("pyarrow", "dask"), require("pyarrow.compute", "dask")
    of_bytes = _is_bytes(column.type)
    lengths = (compute.binary_length if of_bytes else compute.list_value_length)(column)
    lengths = lengths.fill_null(-1).to_numpy(zero_copy_only=False)
    kind = "bytes" if of_bytes else "numbers"
    _reject_first(lengths != PIXELS, where, start, f"it is not an image; expected {PIXELS} {kind}")
    if of_bytes:
        fixed = column.cast(arrow.binary(PIXELS))
        flat = np.frombuffer(fixed.buffers()[1], np.uint8)[fixed.offset * PIXELS :][: len(fixed) * PIXELS]
        return np.asarray(flat).reshape(-1, PIXELS)
    values = column.flatten()
    missing = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, PIXELS)
    _reject_first(missing.any(axis=1), where, start, f"a pixel is missing; expected {PIXELS} numbers")
    numbers = np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, PIXELS)
    if numbers.dtype.kind == "f" or numbers.dtype == np.uint8:
        return numbers
    wrong = (numbers < 0) | (numbers > 255)
    _reject_first(wrong.any(axis=1), where, start, "a pixel is out of range; expected integers from 0 to 255")
    return numbers.astype(np.uint8)


def _reject_first(wrong: Any, where: str, start: int, why: str) -> None:
    if wrong.any():
        raise InputError(f"{where}{start + int(wrong.argmax()):,}: {why}.")
