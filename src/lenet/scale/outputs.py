"""Write scores to a Parquet file, a .npy file or a Zarr folder, atomically."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet._extras import require
from lenet._files import sync_folder
from lenet.errors import InputError, SaveError

AT_ONCE = 65_536  # rows of a row group or chunk


def score_dtype(num_classes: int, dtype: DTypeLike, probabilities: bool) -> np.dtype[Any]:
    """Return the structured dtype of a row of scores.

    Examples
    --------
    >>> score_dtype(10, np.float32, probabilities=False)
    dtype([('digit', 'u1'), ('probability', '<f4')])
    """
    fields: list[Any] = [("digit", np.uint8 if num_classes <= 256 else np.int32), ("probability", dtype)]
    return np.dtype([*fields, ("probabilities", dtype, (num_classes,))] if probabilities else fields)


@contextlib.contextmanager
def written(out: str | os.PathLike[str], dtype: np.dtype[Any]) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Yield a function that writes rows to a temporary file, which becomes `out` unless the block raises."""
    target = Path(out).absolute()
    writer = _writer_for(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _save_errors(out):
            rows = writer(temporary, dtype)
        with contextlib.closing(_Batches(rows, dtype)) as batches:
            yield _save_errors(out)(batches.write)
            with _save_errors(out):
                batches.flush()
                rows.close()
                _sync(temporary)
                _check_missing(target, out)  # another process may have created it in the meantime
                temporary.rename(target)
    finally:
        with contextlib.suppress(OSError):
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def check_free(out: str | os.PathLike[str]) -> None:
    """Raise the InputError that `written` would raise."""
    _writer_for(Path(out).absolute())


class _Rows(Protocol):
    def write(self, rows: NDArray[Any]) -> None: ...
    def close(self) -> None: ...


def _writer_for(target: Path) -> Callable[[Path, np.dtype[Any]], _Rows]:
    writers: dict[str, Callable[[Path, np.dtype[Any]], _Rows]] = {
        ".parquet": _Parquet, ".pq": _Parquet, ".npy": _Npy, ".zarr": _Zarr,
    }  # fmt: skip
    suffix = target.suffix.lower()
    if suffix not in writers:
        raise InputError(f"{target.name} has an unknown suffix; expected .parquet, .zarr or .npy.")
    _check_missing(target, target)
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is not a folder. Create it first.")
    return writers[suffix]


def _check_missing(target: Path, out: str | os.PathLike[str]) -> None:
    if target.exists() or target.is_symlink():
        raise InputError(f"{out} already exists. Choose another name, or remove it first.")


@contextlib.contextmanager
def _save_errors(out: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(f"{out} could not be written ({error.strerror or error}); no file was created.") from error


class _Batches:
    """Collects rows, and passes them on in batches of equal size."""

    def __init__(self, rows: _Rows, dtype: np.dtype[Any]):
        self._rows, self._buffer, self._filled = rows, np.empty(AT_ONCE, dtype), 0

    def write(self, block: NDArray[Any]) -> None:
        while len(block):
            taken = block[: AT_ONCE - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            block = block[len(taken) :]
            if self._filled == AT_ONCE:
                self.flush()

    def flush(self) -> None:
        if self._filled:
            self._rows.write(self._buffer[: self._filled])
        self._filled = 0

    def close(self) -> None:
        with contextlib.suppress(OSError):  # after an error that was already raised
            self._rows.close()


class _Npy:
    """A structured array, which numpy.load can map into memory."""

    def __init__(self, path: Path, dtype: np.dtype[Any]):
        self._file, self._dtype, self._n = path.open("xb"), dtype, 0
        self._head()

    def _head(self) -> None:
        head = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._n,)}
        np.lib.format.write_array_header_1_0(self._file, head)  # with room for any number of rows
        self._start = self._file.tell()

    def write(self, rows: NDArray[Any]) -> None:
        self._file.write(rows.data)
        self._n += len(rows)

    def close(self) -> None:
        if self._file.closed:
            return
        with self._file:
            start = self._start
            self._file.seek(0)
            self._head()
            if self._start != start:
                raise OSError("the header of the .npy file has grown into the rows")


class _Parquet:
    """One column per field, in row groups."""

    def __init__(self, path: Path, dtype: np.dtype[Any]):
        self._arrow = arrow = require("pyarrow", "dask")
        fields = []
        for name in dtype.names or ():
            base, shape = dtype[name].base, dtype[name].shape
            kind = arrow.from_numpy_dtype(base)
            fields.append((name, arrow.list_(kind, shape[0]) if shape else kind))
        self._schema = arrow.schema(fields)
        self._file = require("pyarrow.parquet", "dask").ParquetWriter(path, self._schema)

    def write(self, rows: NDArray[Any]) -> None:
        columns = [self._column(rows[name]) for name in self._schema.names]
        self._file.write_batch(self._arrow.record_batch(columns, schema=self._schema))

    def _column(self, values: NDArray[Any]) -> Any:
        flat = self._arrow.array(np.ascontiguousarray(values).ravel())
        return flat if values.ndim == 1 else self._arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])

    def close(self) -> None:
        self._file.close()


class _Zarr:
    """A group with one array per field."""

    def __init__(self, path: Path, dtype: np.dtype[Any]):
        group = require("zarr", "dask").open_group(path, mode="w-")
        self._arrays = {}
        for name in dtype.names or ():
            base, shape = dtype[name].base, dtype[name].shape
            self._arrays[name] = group.create_array(name, shape=(0, *shape), chunks=(AT_ONCE, *shape), dtype=base)

    def write(self, rows: NDArray[Any]) -> None:
        for name, array in self._arrays.items():
            n = array.shape[0]
            array.resize((n + len(rows), *array.shape[1:]))
            array[n:] = rows[name]

    def close(self) -> None:
        """Do nothing: every chunk is already written."""


def _sync(path: Path) -> None:
    """Sync a file, or a folder with its contents, to the disk."""
    for each in [path, *path.rglob("*")]:
        if each.is_dir():
            sync_folder(each)
        else:
            with each.open("r+b") as file:  # Windows syncs only writable files
                os.fsync(file.fileno())
