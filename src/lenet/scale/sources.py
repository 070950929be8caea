"""Divide images into parts that workers read."""

import functools
import glob
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet.errors import DataError, InputError, InputTypeError, LenetError
from lenet.scale import parquet

ROWS = 16_384  # images per part: 13 MB, which take about 0.1 s
GROUP_MEMBER = "images"  # the array of a Zarr group


@dataclass(frozen=True)
class Part:
    """The rows that one task scores.

    Parameters
    ----------
    name : str
        Name of the source, for error messages.
    start : int
        Number of the first row in the source.
    rows : int, optional
        Number of rows; None if it is unknown before reading.
    load : callable, optional
        Returns the images as an iterable of arrays.
    block : delayed, optional
        The images as a Dask object, instead of `load`.
    """

    name: str
    start: int
    rows: int | None
    load: Callable[[], Iterable[NDArray[Any]]] | None = None
    block: Any = None

    def __str__(self) -> str:
        rows = "" if self.rows is None else f", rows {self.start:,} to {self.start + self.rows - 1:,}"
        return f"{self.name}{rows}"


def parts_of(images: Any, column: str) -> list[Part]:
    """Divide the images of `lenet.scale.score` into parts, after checking only their shapes and dtypes."""
    paths = _paths(images)
    if paths is not None:
        parts = [part for path in paths for part in _of_path(path, column)]
    elif hasattr(images, "__dask_graph__"):
        parts = _of_dask(images)
    else:
        parts = list(_of_array(images))
    if not any(part.rows != 0 for part in parts):
        raise InputError("There are no images; expected at least one.")
    return [part for part in parts if part.rows != 0]


def checked(images: NDArray[Any], name: str, start: int) -> NDArray[Any]:
    """Return the images of a part as (n, 28, 28); errors name the first invalid row."""
    try:
        return _checks.images(images)
    except LenetError as whole:
        for row in range(len(images) if np.ndim(images) > 1 else 0):
            try:
                _checks.images(images[row : row + 1])
            except InputError as error:
                raise type(error)(f"{name}, row {start + row:,}: {error}") from None
        raise type(whole)(f"{name}: {whole}") from None


def _paths(images: Any) -> list[str] | None:
    """Return the paths that match, in order, or None if `images` is an array."""
    several = list(images) if isinstance(images, list | tuple) and images else [images]
    if not all(isinstance(each, str | os.PathLike) for each in several):
        return None
    return [path for each in several for path in _matching(os.fsdecode(each))]


def _matching(pattern: str) -> list[str]:
    if Path(pattern).exists():  # a name may contain brackets
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207
    if not found:
        raise InputError(f"{pattern} matches no file; expected at least one.")
    return found


def _of_path(name: str, column: str) -> list[Part]:
    path = Path(name).absolute()  # workers may have another current folder
    if path.is_dir():
        return list(_of_zarr(name, path))
    if path.suffix == ".npy":
        return list(_of_npy(name, path))
    if path.suffix in (".parquet", ".pq"):
        rows = parquet.rows_of_groups(path, name, column)
        starts = np.cumsum([0, *rows]).tolist()
        return [
            Part(name, start, n, functools.partial(parquet.images, path, name, group, column, start))
            for group, (start, n) in enumerate(zip(starts, rows, strict=False))
        ]
    raise InputError(f"{name} has an unknown format; expected .npy, .parquet or a Zarr folder.")


def _cut(n: int, rows: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + rows, n)) for start in range(0, n, rows))


def _of_array(images: Any) -> Iterator[Part]:
    array = _checks.array(images, "images", "expected an array of images, or paths")
    _checks.image_form(array.shape, array.dtype, "The array")
    for start, stop in _cut(len(array), ROWS):
        yield Part("The array", start, stop - start, functools.partial(_held, array[start:stop]))


def _held(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array]


def _of_npy(name: str, path: Path) -> Iterator[Part]:
    array = _opened_npy(path, name)
    _checks.image_form(array.shape, array.dtype, name)
    for start, stop in _cut(len(array), ROWS):
        yield Part(name, start, stop - start, functools.partial(_read_npy, path, name, start, stop))


def _opened_npy(path: Path, name: str) -> NDArray[Any]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, TypeError) as error:  # also for object arrays, which only pickle could read
        raise DataError(f"{name} is not a complete .npy file of numbers ({error}). Save it with numpy.save.") from error


def _read_npy(path: Path, name: str, start: int, stop: int) -> list[NDArray[Any]]:
    return [_opened_npy(path, name)[start:stop]]


def _of_zarr(name: str, path: Path) -> Iterator[Part]:
    array = _opened_zarr(path, name)
    _checks.image_form(array.shape, array.dtype, name)
    stored = (array.shards or array.chunks)[0]  # rows that Zarr reads together
    for start, stop in _cut(array.shape[0], stored * max(1, ROWS // stored)):
        yield Part(name, start, stop - start, functools.partial(_read_zarr, path, name, start, stop))


def _opened_zarr(path: Path, name: str) -> Any:
    zarr = require("zarr", "dask")
    try:
        found = zarr.open(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{name} is a folder; expected a Zarr store, or files such as {name}/*.npy.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{name} is not a readable Zarr store ({error}). Write it again.") from error
    if isinstance(found, zarr.Group):
        if not isinstance(found.get(GROUP_MEMBER), zarr.Array):
            members = ", ".join(sorted(found)[:10]) or "nothing"
            raise DataError(
                f"{name} contains {members}; expected an array named {GROUP_MEMBER}. "
                "Pass the path of one of its arrays."
            )
        return found[GROUP_MEMBER]
    return found


def _read_zarr(path: Path, name: str, start: int, stop: int) -> list[NDArray[Any]]:
    return [np.asarray(_opened_zarr(path, name)[start:stop])]


def _of_dask(images: Any) -> list[Part]:
    """Return a part for each block of rows; chunk sizes may be unknown."""
    if not hasattr(images, "to_delayed") or not hasattr(images, "chunks"):
        raise InputTypeError(f"images is a Dask {type(images).__name__}; expected a Dask array.")
    _checks.image_form(tuple(images.shape), images.dtype, "The Dask array")
    if images.ndim > 1:
        images = images.rechunk(dict.fromkeys(range(1, images.ndim), -1))
    blocks, rows = images.to_delayed().ravel().tolist(), images.chunks[0]
    if any(math.isnan(n) for n in rows):
        return [Part(f"Block {k} of the Dask array", 0, None, block=block) for k, block in enumerate(blocks)]
    starts = np.cumsum([0, *rows]).tolist()
    return [
        Part("The Dask array", start, n, block=block)
        for start, n, block in zip(starts, map(int, rows), blocks, strict=False)
    ]
