"""Where scores go: a Parquet or .npy file or a folder of Zarr, which is there whole or not at all."""

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

AT_ONCE = 65_536  # rows of a row group, and of a chunk


def score_dtype(num_classes: int, dtype: DTypeLike, probabilities: bool) -> np.dtype[Any]:
    """Return the type of a row of scores.

    Examples
    --------
    >>> score_dtype(10, np.float32, probabilities=False)
    dtype([('digit', 'u1'), ('probability', '<f4')])
    """
    fields: list[Any] = [("digit", np.uint8 if num_classes <= 256 else np.int32), ("probability", dtype)]
    return np.dtype([*fields, ("probabilities", dtype, (num_classes,))] if probabilities else fields)


@contextlib.contextmanager
def written(out: str | os.PathLike[str], dtype: np.dtype[Any]) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Within it, rows are written beside `out`, in the order in which they come; at its end they take that name.

    After an exception there is nothing new.

    Raises
    ------
    InputError
        If the name's ending is none that is known, or is taken, or its folder is not there.
    SaveError
        If it cannot be written.
    """
    target = Path(out).absolute()
    writer = _writer_for(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _told(out):
            rows = writer(temporary, dtype)
        with contextlib.closing(_Batches(rows, dtype)) as batches:
            yield lambda block: _write(batches, block, out)
            with _told(out):
                batches.flush()
                rows.close()
        with _told(out):
            _sync(temporary)
            _refuse_taken(target, out)  # by somebody in between
            temporary.rename(target)
    finally:
        _remove(temporary)
    sync_folder(target.parent)


def check_free(out: str | os.PathLike[str]) -> None:
    """Raise what `written` would raise of a name."""
    _writer_for(Path(out).absolute())


class _Rows(Protocol):
    def write(self, rows: NDArray[Any]) -> None: ...
    def close(self) -> None: ...


def _writer_for(target: Path) -> Callable[[Path, np.dtype[Any]], _Rows]:
    writers: dict[str, Callable[[Path, np.dtype[Any]], _Rows]] = {
        ".parquet": _Parquet, ".pq": _Parquet, ".npy": _Npy, ".zarr": _Zarr,
    }  # fmt: skip
    if target.suffix not in writers:
        raise InputError(f"{target.name}: end the name in .parquet, .zarr or .npy.")
    _refuse_taken(target, target)
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is no folder: make it first.")
    return writers[target.suffix]


def _refuse_taken(target: Path, out: str | os.PathLike[str]) -> None:
    if target.exists() or target.is_symlink():
        raise InputError(f"{out} is there already, and is left as it is: give another name, or remove it first.")


def _write(batches: "_Batches", block: NDArray[Any], out: str | os.PathLike[str]) -> None:
    with _told(out):
        batches.write(block)


@contextlib.contextmanager
def _told(out: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(f"{out} could not be written ({error.strerror or error}); nothing is there.") from error


class _Batches:
    """Hands rows on by so many at a time, however many come."""

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
        with contextlib.suppress(OSError):  # after an error that is told of already
            self._rows.close()


class _Npy:
    """A structured array, which numpy.load maps into memory if asked to."""

    def __init__(self, path: Path, dtype: np.dtype[Any]):
        self._file, self._dtype, self._n = path.open("xb"), dtype, 0
        self._head()

    def _head(self) -> None:
        head = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._n,)}
        np.lib.format.write_array_header_1_0(self._file, head)  # it leaves room for any number of rows
        self._start = self._file.tell()

    def write(self, rows: NDArray[Any]) -> None:
        self._file.write(rows.data)
        self._n += len(rows)

    def close(self) -> None:
        if self._file.closed:
            return
        with self._file:
            began = self._start
            self._file.seek(0)
            self._head()
            if self._start != began:
                raise OSError("the header of the .npy file has grown into the rows")


class _Parquet:
    """A column for each field, in row groups."""

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
    """A group with an array for each field."""

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
        """Each chunk is written already."""


def _sync(path: Path) -> None:
    """Force a file, or a folder and all that is in it, to the disk."""
    for each in [path, *path.rglob("*")]:
        if each.is_dir():
            sync_folder(each)
        else:
            with each.open("r+b") as file:  # Windows syncs only what may be written
                os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Remove what an error left."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
