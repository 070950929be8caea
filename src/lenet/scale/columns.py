"""Read images from the columns of a table: one column of images or of encoded pictures, or 784 columns of pixels."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import Lazy
from lenet.data.parquet import is_picture
from lenet.data.pictures import Picture, grey_of
from lenet.data.table import PIXELS, pixel_columns
from lenet.errors import DataError, InputError
from lenet.reading.single_digit import prepare

arrow, compute, types = (Lazy(name, "dask") for name in ("pyarrow", "pyarrow.compute", "pyarrow.types"))

COLUMN = "image"  # unless another is named
AT_ONCE = 4096  # rows unpacked at a time: a row group may have millions
PICTURES_AT_ONCE = 64  # each may have megabytes


def image_columns(names: Sequence[str], source: str, column: str | None) -> list[int]:
    """Return the indices of the columns that contain the images.

    By default, these are the column `image` if there is one, or else 784 columns of pixels. Raises DataError, which
    names the source, if there are none.

    Examples
    --------
    >>> image_columns(["label", "image"], "table", None)
    [1]
    """
    wanted = COLUMN if column is None else column
    if wanted in names:
        return [names.index(wanted)]
    if column is None:
        with contextlib.suppress(DataError):
            return pixel_columns(names, source)[1]
    pixels = f", or {PIXELS} columns of pixels" if column is None else ""
    raise DataError(f"{source} has no column {wanted}; expected one of {', '.join(names[:10])}{pixels}.")


def check_types(schema: Any, source: str) -> None:
    """Raise DataError unless columns of these Arrow types can contain images."""
    if len(schema) > 1:
        expected, wrong = "numbers", [field for field in schema if not _is_number(field.type)]
    else:
        expected = f"{PIXELS} bytes or numbers per row, or a struct with the bytes of a picture"
        wrong = [field for field in schema if not any(fits(field.type) for fits in (_is_bytes, _is_list, is_picture))]
    if wrong:
        kind = str(wrong[0].type)[:80]
        raise DataError(f"{source} has type {kind} in column {wrong[0].name}; expected {expected}.")


def rows_at_once(schema: Any) -> int:
    """Return the number of rows of these columns to unpack at a time."""
    return PICTURES_AT_ONCE if is_picture(schema.field(0).type) else AT_ONCE


def images_of(batch: Any, source: str, start: int) -> NDArray[Any]:
    """Return the images of an Arrow batch of image columns as an array (n, 784) or (n, 28, 28) of uint8 or floats.

    In the table, `start` rows precede the batch.
    """
    if batch.num_columns > 1:
        return _of_pixels(batch, source, start)
    if is_picture(batch.schema.field(0).type):
        return _of_pictures(batch.column(0), source, start)
    return _of_images(batch.column(0), source, start)


def images_of_frame(source: str, frame: Any) -> Iterator[NDArray[Any]]:
    """Yield the images of a pandas data frame that has only image columns."""
    if not len(frame):  # its columns have no types
        return
    try:
        batch = arrow.RecordBatch.from_pandas(frame, preserve_index=False)
    except (arrow.ArrowException, ValueError, TypeError) as error:
        raise InputError(f"{source} is not a table of images ({error}); expected {PIXELS} numbers per row.") from None
    check_types(batch.schema, source)
    rows = rows_at_once(batch.schema)
    for start in range(0, len(frame), rows):
        yield images_of(batch.slice(start, rows), source, start)


def _is_bytes(kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _is_list(kind: Any) -> bool:
    listed = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(listed and _is_number(kind.value_type))


def _is_number(kind: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _of_pictures(column: Any, source: str, start: int) -> NDArray[np.uint8]:
    """Return encoded pictures as `lenet predict` prepares them."""
    encoded = column.flatten()[column.type.get_field_index("bytes")]  # unlike field(), with the nulls of the structs
    images = np.empty((len(column), SIDE, SIDE), np.uint8)
    for row, content in enumerate(encoded.to_pylist()):
        grey = grey_of(Picture(f"{source}, row {start + row + 1:,}", 0, "all", content or b""))
        if isinstance(grey, DataError):
            raise grey
        images[row] = prepare(grey)
    return images


def _of_images(column: Any, source: str, start: int) -> NDArray[Any]:
    """Return the images in rows of 784 bytes, or lists of 784 numbers."""
    of_bytes = _is_bytes(column.type)
    lengths = (compute.binary_length if of_bytes else compute.list_value_length)(column)
    lengths = lengths.fill_null(-1).to_numpy()
    kind = "bytes" if of_bytes else "numbers"
    _reject_first(lengths != PIXELS, source, start, f"it is not an image; expected {PIXELS} {kind}")
    if of_bytes:
        fixed = column.cast(arrow.binary(PIXELS))
        flat = np.frombuffer(fixed.buffers()[1], np.uint8)[fixed.offset * PIXELS :][: len(fixed) * PIXELS]
        return flat.reshape(len(fixed), PIXELS)
    values = column.flatten()
    missing = values.is_null().to_numpy(zero_copy_only=False).reshape(len(column), PIXELS)
    numbers = values.to_numpy(zero_copy_only=False).reshape(len(column), PIXELS)
    return _checked(numbers, missing, source, start)


def _of_pixels(batch: Any, source: str, start: int) -> NDArray[Any]:
    """Return the images in rows of 784 columns."""
    missing = np.column_stack([each.is_null().to_numpy(zero_copy_only=False) for each in batch.columns])
    columns = [each.to_numpy(zero_copy_only=False) for each in batch.columns]
    dtype = np.float64 if any(each.dtype.kind == "f" for each in columns) else np.int64
    return _checked(np.column_stack([each.astype(dtype) for each in columns]), missing, source, start)


def _checked(numbers: NDArray[Any], missing: NDArray[np.bool_], source: str, start: int) -> NDArray[Any]:
    """Return floats unchanged, and integers as bytes."""
    _reject_first(missing.any(axis=1), source, start, f"a pixel is missing; expected {PIXELS} numbers")
    if numbers.dtype.kind == "f" or numbers.dtype == np.uint8:
        return numbers
    wrong = (numbers < 0) | (numbers > 255)
    _reject_first(wrong.any(axis=1), source, start, "a pixel is out of range; expected integers from 0 to 255")
    return numbers.astype(np.uint8)


def _reject_first(wrong: Any, source: str, start: int, why: str) -> None:
    if wrong.any():
        raise InputError(f"{source}, row {start + int(wrong.argmax()) + 1:,}: {why}.")
