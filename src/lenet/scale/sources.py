"""Divide images into parts for workers to read."""

import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet.data import csv
from lenet.errors import DataError, InputError, InputTypeError, LenetError
from lenet.scale import columns, npy, parquet
from lenet.scale.files import File, matching, unreadable

ROWS = 16_384  # images per part: 13 MB, which take about 0.1 s
GROUP_MEMBER = "images"  # the array of a Zarr group


@dataclass(frozen=True)
class Part:
    """The rows that one task scores."""

    name: str  # of the source, for error messages
    start: int  # number of rows before it in the source
    rows: int | None  # number of rows; None if it is unknown before reading
    load: Callable[..., Iterable[NDArray[Any]]]  # returns the images in arrays; its argument is the block, if any
    block: Any = None  # of a Dask array or data frame, delayed

    def __str__(self) -> str:
        rows = "" if self.rows is None else f", rows {self.start + 1:,} to {self.start + self.rows:,}"
        return f"{self.name}{rows}"


def parts_of(images: Any, column: str | None) -> list[Part]:
    """Divide the images of `lenet.scale.score` into parts, after checking only their shapes and dtypes."""
    files = _files(images)
    if files is not None:
        parts = [part for file in files for part in _of_file(file, column)]
    elif hasattr(images, "__dask_graph__"):
        # A Delayed has every attribute, but its `ndim` is another Delayed.
        is_frame = hasattr(images, "columns") and isinstance(images.ndim, int) and images.ndim == 2
        parts = _of_frame(images, column) if is_frame else _of_dask(images)
    else:
        parts = list(_of_array(images))
    parts = [part for part in parts if part.rows != 0]
    _checks.not_empty(parts)
    return parts


def checked(images: NDArray[Any], name: str, start: int) -> NDArray[Any]:
    """Return the images of a part as (n, 28, 28); errors name the first invalid row."""
    try:
        return _checks.images(images)
    except LenetError as whole:
        for row in range(len(images) if np.ndim(images) > 1 else 0):
            try:
                _checks.images(images[row : row + 1])
            except LenetError as error:
                raise type(error)(f"{name}, row {start + row + 1:,}: {error}") from None
        raise type(whole)(f"{name}: {whole}") from None


def _files(images: Any) -> list[File] | None:
    """Return the files that match, in order, or None if `images` is an array."""
    several = list(images) if isinstance(images, list | tuple) and images else [images]
    if not all(isinstance(each, str | os.PathLike) for each in several):
        return None
    return [file for each in several for file in matching(os.fsdecode(each))]


def _of_file(file: File, column: str | None) -> Sequence[Part]:
    try:
        if file.is_folder:
            return list(_of_zarr(file))
        if file.suffix == ".npy":
            return list(_of_npy(file))
        if file.suffix in (".parquet", ".pq"):
            return list(_of_parquet(file, column))
        name = file.name if file.system is None else file.name.partition("?")[0]
        if name.lower().endswith(csv.SUFFIXES):
            return [Part(file.name, 0, None, functools.partial(_read_csv, file))]
    except Exception as error:
        if file.system is None:
            raise
        raise unreadable(file.name, error) from error
    raise InputError(f"{file.name} has an unknown format; expected .npy, .parquet, .csv or a Zarr folder.")


def _cut(n: int, rows: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + rows, n)) for start in range(0, n, rows))


def _of_array(images: Any) -> Iterator[Part]:
    array = _checks.array(images, "images", "expected an array of images, or paths")
    _checks.image_form(array.shape, array.dtype, "The array")
    for start, stop in _cut(len(array), ROWS):
        yield Part("The array", start, stop - start, functools.partial(list, [array[start:stop]]))


def _of_parquet(file: File, column: str | None) -> Iterator[Part]:
    rows, names = parquet.row_groups(file, column)
    starts = np.cumsum([0, *rows]).tolist()
    for group, (start, n) in enumerate(zip(starts, rows, strict=False)):
        yield Part(file.name, start, n, functools.partial(parquet.images, file, group, names, start))


def _read_csv(file: File) -> list[NDArray[Any]]:
    with file.open("readahead") as opened:
        return [csv.read_table(opened, file.name)[0].X]


def _of_npy(file: File) -> Iterator[Part]:
    shape, dtype, rows = npy.reader(file)
    _checks.image_form(shape, dtype, file.name)
    for start, stop in _cut(shape[0], ROWS):
        yield Part(file.name, start, stop - start, functools.partial(rows, start, stop))


def _of_zarr(file: File) -> Iterator[Part]:
    array = _opened_zarr(file)
    _checks.image_form(array.shape, array.dtype, file.name)
    stored = (array.shards or array.chunks)[0]  # rows that Zarr reads together
    for start, stop in _cut(array.shape[0], stored * max(1, ROWS // stored)):
        yield Part(file.name, start, stop - start, functools.partial(_read_zarr, file, start, stop))


def _opened_zarr(file: File) -> Any:
    zarr = require("zarr", "dask")
    try:
        found = zarr.open(file.path if file.system is None else file.name, mode="r")
    except FileNotFoundError:
        raise InputError(
            f"{file.name} is a folder; expected a Zarr store, or files such as {file.name}/*.npy."
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file.name} is not a readable Zarr store ({error}). Write it again.") from error
    if isinstance(found, zarr.Group):
        if not isinstance(found.get(GROUP_MEMBER), zarr.Array):
            members = ", ".join(sorted(found)[:10]) or "nothing"
            raise DataError(
                f"{file.name} contains {members}; expected an array named {GROUP_MEMBER}. "
                "Pass the path of one of its arrays."
            )
        return found[GROUP_MEMBER]
    return found


def _read_zarr(file: File, start: int, stop: int) -> list[NDArray[Any]]:
    return [np.asarray(_opened_zarr(file)[start:stop])]


def _of_dask(images: Any) -> list[Part]:
    """Return a part for each block of rows; chunk sizes may be unknown."""
    is_array = all(hasattr(images, name) for name in ("to_delayed", "chunks", "ndim"))
    if not is_array or not isinstance(images.ndim, int):  # a Delayed has every attribute
        raise InputTypeError(f"images is a Dask {type(images).__name__}; expected a Dask array or data frame.")
    _checks.image_form(tuple(images.shape), images.dtype, "The Dask array")
    if images.ndim > 1:
        images = images.rechunk(dict.fromkeys(range(1, images.ndim), -1))
    blocks, rows = images.to_delayed().ravel().tolist(), images.chunks[0]
    if any(math.isnan(n) for n in rows):
        return _of_blocks("Block {} of the Dask array", _computed, blocks)
    starts, load = np.cumsum([0, *rows]).tolist(), functools.partial(_computed, "The Dask array")
    return [
        Part("The Dask array", start, n, load, block)
        for start, n, block in zip(starts, map(int, rows), blocks, strict=False)
    ]


def _computed(name: str, block: Any) -> list[NDArray[Any]]:
    return [_checks.array(block, name, "expected images")]


def _of_frame(frame: Any, column: str | None) -> list[Part]:
    """Return a part for each partition, whose number of rows is unknown."""
    places = columns.image_columns([str(name) for name in frame.columns], "The data frame", column)
    blocks = frame[[frame.columns[place] for place in places]].to_delayed()
    return _of_blocks("Partition {} of the data frame", columns.images_of_frame, blocks)


def _of_blocks(name: str, load: Callable[[str, Any], Iterable[NDArray[Any]]], blocks: Sequence[Any]) -> list[Part]:
    """Return a part for each block, whose number of rows is unknown; the name has a place for the block's number."""
    named = ((name.format(number), block) for number, block in enumerate(blocks, 1))
    return [Part(each, 0, None, functools.partial(load, each), block) for each, block in named]
