"""Read images from Parquet files."""

import contextlib
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from lenet._extras import Lazy, require
from lenet.errors import DataError
from lenet.scale import columns
from lenet.scale.files import File

arrow = Lazy("pyarrow", "dask")


def row_groups(file: File, column: str | None) -> tuple[list[int], list[str]]:
    """Return the number of rows of each row group, and the names of the image columns."""
    with _opened(file) as parquet:
        schema, metadata = parquet.schema_arrow, parquet.metadata
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    places = columns.image_columns(schema.names, file.name, column)
    fields = [schema.field(place) for place in places]
    columns.check_types(arrow.schema(fields), file.name)
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        raise DataError(f"{file.name} has columns with equal names; expected different names. Rename them.")
    return rows, names


def images(file: File, group: int, names: list[str], start: int) -> Iterator[NDArray[Any]]:
    """Yield the images of a row group, after `start` rows of the file."""
    with _opened(file) as parquet:
        schema = arrow.schema([parquet.schema_arrow.field(name) for name in names])
        rows = columns.rows_at_once(schema)
        for batch in parquet.iter_batches(rows, row_groups=[group], columns=names):
            yield columns.images_of(batch.select(names), file.name, start)
            start += len(batch)


@contextlib.contextmanager
def _opened(file: File) -> Iterator[Any]:
    """Open a Parquet file, and raise DataError if it is damaged."""
    is_remote = file.system is not None  # if so, reading ahead saves requests
    try:
        with file.open() as opened, require("pyarrow.parquet", "dask").ParquetFile(
            opened, page_checksum_verification=True, pre_buffer=is_remote
        ) as parquet:  # fmt: skip
            yield parquet
    except (arrow.ArrowException, OSError) as error:
        # Arrow reports damage as an ArrowException, or as a plain OSError without errno. Timeouts are retried.
        of_arrow = isinstance(error, arrow.ArrowException) or (type(error) is OSError and error.errno is None)
        if isinstance(error, MemoryError) or not of_arrow:
            raise
        raise DataError(f"{file.name} is not a complete Parquet file ({error}). Write it again.") from error
