"""Find and open files on this machine, or, with fsspec, at addresses such as s3://bucket/name."""

import glob
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from lenet._extras import require
from lenet._files import open_regular
from lenet.errors import DataError, InputError, LenetError, MissingExtraError


@dataclass(frozen=True)
class File:
    """A file, or the folder of a Zarr store."""

    name: str  # as the user gave it, for error messages
    path: str  # in `system`, or absolute, as workers may have another working directory
    system: Any = None  # an fsspec.AbstractFileSystem; None for that of this machine

    @property
    def suffix(self) -> str:
        """The suffix of the name, in lower case; the query of an address is ignored."""
        path = self.path if self.system is None else self.path.partition("?")[0]
        return PurePosixPath(path).suffix.lower()

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder; object stores have none, so there a name that ends in .zarr counts as one."""
        return Path(self.path).is_dir() if self.system is None else self.suffix == ".zarr"

    def open(self, cache: str = "none") -> BinaryIO:
        """Open the file for reading; `cache` is the `cache_type` of fsspec."""
        if self.system is None:
            return open_regular(self.path)
        return cast("BinaryIO", self.system.open(self.path, "rb", cache_type=cache))


def matching(pattern: str) -> list[File]:
    """Return the files that match a path, an address or a pattern, sorted by name."""
    if not pattern:  # Path("") would be the current folder
        raise InputError("The path of the images is empty; expected a path, an address or a pattern.")
    is_local = "://" not in pattern or Path(pattern).exists()
    found = _local(pattern) if is_local else _remote(pattern)
    if not found:
        raise InputError(f"{pattern} matches no file; expected at least one.")
    return found


def _local(pattern: str) -> list[File]:
    if Path(pattern).exists():  # a name may contain brackets
        names = [pattern]
    else:
        names = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207
    return [File(name, str(Path(name).absolute())) for name in names]


def _remote(pattern: str) -> list[File]:
    try:
        system, path = require("fsspec.core", "dask").url_to_fs(pattern)
        if system.exists(path):
            return [File(pattern, path, system)]
        paths = sorted(system.glob(path)) if glob.has_magic(path) else []
        return [File(system.unstrip_protocol(each), each, system) for each in paths]
    except MissingExtraError:
        raise
    except ImportError as error:
        raise MissingExtraError(f"{pattern} requires another package ({error}). Install it with pip.") from None
    except Exception as error:
        raise unreadable(pattern, error) from error


def unreadable(name: str, error: Exception) -> LenetError:
    """Return the error for an address that cannot be read; each kind of server raises its own exceptions."""
    if isinstance(error, LenetError):
        return error
    return DataError(
        f"{name} cannot be read ({type(error).__name__}: {error}). Correct the address or your credentials, or put "
        "simplecache:: before it to download the file first."
    )
