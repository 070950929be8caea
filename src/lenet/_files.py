"""Write files so that what was there before is there until the new one is whole; read no more than is wanted."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from lenet.errors import SaveError


def atomic_write(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path` by `content`, whole or not at all.

    Raises
    ------
    SaveError
        As `write_together` does.
    """
    write_together({Path(path): content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Replace files by the given contents, each whole or not at all.

    The bytes go to temporary files in the same folders and are forced to the disk; when all are there, each takes its
    name in one step. So a disk that fills up changes nothing.

    Raises
    ------
    SaveError
        If the disk is full, a folder cannot be written, or what has a file's name is a folder or a device. It says what
        is there now.
    """
    temporaries: dict[Path, Path] = {}
    replaced: list[str] = []
    try:
        for target, content in contents.items():
            temporaries[target] = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
            _write_beside(target, temporaries[target], content)
        for target, temporary in temporaries.items():
            temporary.replace(target)
            replaced.append(str(target))
    except OSError as error:
        now = f"{' and '.join(replaced)} is new already" if replaced else "what was there before is unchanged"
        raise SaveError(f"{target} could not be written ({error.strerror or error}); {now}.") from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)  # it is there only where something went wrong
    for folder in {target.parent for target in contents}:
        sync_folder(folder)


def read_at_most(path: str | os.PathLike[str], most: int) -> bytes | None:
    """Return a file's content, None if it is longer than `most` bytes.

    What size the system tells does not matter: a device has none and no end, and a file may grow.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(most + 1)
    return None if len(content) > most else content


def begins_with(path: Path, mark: bytes, within: int = 1000) -> bool:
    """Return whether it is a file, and has a mark near its beginning; of a device or a pipe, nothing is read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return mark in file.read(within)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writes that a crash cut short."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # a folder of such a name is not ours
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force new names to the disk, where the system can: Windows and some file systems cannot.

    Raises
    ------
    SaveError
        If the disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EIO:
            raise SaveError(
                f"{folder} could not be forced to the disk ({error.strerror}): what was written there is new and whole"
                ", but after a power cut it may be as it was before."
            ) from error


def _write_beside(target: Path, temporary: Path, content: bytes) -> None:
    """Write the temporary file that is to take the name of `target`, with the permissions of what has it now.

    Meanwhile nobody but the owner may read what replaces a file, which may be secret.
    """
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    if mode is not None and not target.is_file():
        raise OSError(errno.EEXIST, "a folder or a device has that name")
    first = 0o666 if mode is None else 0o600
    with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, first)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if mode is not None:
        temporary.chmod(mode)
