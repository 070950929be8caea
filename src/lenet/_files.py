"""Write files so that what was there before is there until the new one is whole."""

import contextlib
import os
import tempfile
from pathlib import Path

from lenet.errors import SaveError


def atomic_write(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path` by `content`, whole or not at all.

    The bytes go to a temporary file in the same folder, are forced to the disk, and take the name in one step.

    Raises
    ------
    SaveError
        If the disk is full or the folder cannot be written; nothing has changed then.
    """
    target = Path(path)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise SaveError(
            f"{target} could not be written ({error.strerror or error}); what was there before is unchanged."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writes that a crash cut short."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system can: Windows and some file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
