"""Write files so that what was there before is there until the new one is whole."""

import contextlib
import os
import secrets
import stat
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
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except OSError as error:
        raise SaveError(
            f"{target} could not be written ({error.strerror or error}); what was there before is unchanged."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # it is there only where something went wrong
    _sync_folder(target.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writes that a crash cut short."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system can: Windows and some file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
