"""Replace files atomically, read them up to a size limit or compressed with gzip, and lock them."""

import contextlib
import errno
import gzip
import os
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

from lenet.errors import InputError, SaveError

PNG_MARK = b"Software\0lenet"  # near the beginning of each figure and drawing
_CHUNK = 1 << 20
_LOCKED_BYTE = 2**31 - 2  # beyond the contents, since Windows lets no other process read a locked byte


def atomic_write(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path` atomically, or raise SaveError."""
    write_together({Path(path): content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Replace several files, each atomically.

    All contents are written to temporary files and synced before the first file is renamed, so a full disk changes
    nothing.
    """
    temporaries: dict[Path, Path] = {}
    replaced: list[str] = []
    try:
        for target, content in contents.items():
            if not target.name:
                raise OSError(errno.EISDIR, "expected a file name, not a folder")
            temporaries[target] = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
            _write_beside(target, temporaries[target], content)
        for target, temporary in temporaries.items():
            _replace(temporary, target)
            replaced.append(str(target))
    except OSError as error:
        now = f"already written: {', '.join(replaced)}" if replaced else "nothing was changed"
        raise SaveError(f"{target} could not be written ({error.strerror or error}); {now}.") from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink()  # exists only after an error
    for folder in {target.parent for target in contents}:
        sync_folder(folder)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, and no pipe that would block until another program writes to it."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder gets the usual error
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
    return Path(path).open("rb", 2**16)


def read_at_most(path: str | os.PathLike[str], max_bytes: int) -> bytes | None:
    """Return the content of a file, or None if it is longer than `max_bytes`.

    The size that the system reports is ignored: a device has no end, and a file may grow.
    """
    with Path(path).open("rb") as file:
        content = read_stream(file, max_bytes + 1)
    return None if len(content) > max_bytes else bytes(content)


def read_stream(stream: BinaryIO, max_bytes: int) -> bytearray:
    """Return the next bytes of a stream, at most `max_bytes` of them.

    Memory is allocated for the bytes read only: `stream.read(max_bytes)` would allocate `max_bytes` first.
    """
    data = bytearray()
    while len(data) < max_bytes and (chunk := stream.read(min(_CHUNK, max_bytes - len(data)))):
        data += chunk
    return data


def decompressed(file: BinaryIO) -> BinaryIO:
    """Return the content of a file at its beginning, which may be compressed with gzip."""
    is_gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast("BinaryIO", gzip.open(file)) if is_gzipped else file


def begins_with(path: Path, mark: bytes, within: int = 1000) -> bool:
    """Return whether `path` is a regular file with `mark` in its first bytes; devices and pipes are not read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return mark in file.read(within)


def check_replaceable(path: str | os.PathLike[str], *marks: bytes) -> None:
    """Check that a file may be written: it does not exist, or begins with a mark that lenet leaves in such files."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a file name.")
    if path.exists() and not any(begins_with(path, mark) for mark in marks):
        raise InputError(f"{path} exists and was not written by lenet. Choose another name, or remove it first.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder. Create it first.")
    check_writable(path.parent.resolve())


def check_writable(folder: Path) -> None:
    """Raise SaveError unless files can be created in a folder."""
    import tempfile  # only commands need it, and it takes time

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = " Make it writable." if isinstance(error, PermissionError) else ""
        raise SaveError(f"{folder} cannot be written ({error.strerror or error}).{advice}") from error


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a crash left behind."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # a folder with such a name is not lenet's
            path.unlink()


def lock(file: BinaryIO) -> None:
    """Lock a file for this process, until `unlock` or until the file is closed.

    Raises BlockingIOError if another process has locked it, and OSError if the file system does not support locks. On
    Windows, locking moves the file position, and closing the file may release the lock late.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, 0):  # 0 under wine
                raise BlockingIOError(*error.args) from None
            raise
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock(file: BinaryIO) -> None:
    """Release the lock of a file at once. On Windows, this moves the position of the file."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def sync_folder(folder: Path) -> None:
    """Sync a folder if the platform supports it, so that renamed files survive a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EIO:
            raise SaveError(
                f"{folder} could not be synced ({error.strerror}). Its files are already written, but a power cut may "
                "restore their previous versions."
            ) from error


def _write_beside(target: Path, temporary: Path, content: bytes) -> None:
    """Write the temporary file that will replace `target`, with the target's permissions to read, write and execute.

    Until it is complete, only its owner may read it, since the target may be secret. The set-user-ID bit is not
    copied.
    """
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    if mode is not None and not target.is_file():
        raise OSError(errno.EEXIST, "a folder or a device has that name")
    if mode is not None and not mode & stat.S_IWUSR and sys.platform == "win32":
        raise OSError(errno.EACCES, "it is read-only")  # Path.replace would wait a second, and then fail
    initial_mode = 0o666 if mode is None else 0o600
    with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, initial_mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if mode is not None:
        temporary.chmod(mode)


def _replace(temporary: Path, target: Path) -> None:
    """Rename a file; on Windows, wait up to a second while another program, such as a virus scanner, reads `target`."""
    end = time.monotonic() + 1
    while True:
        try:
            temporary.replace(target)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > end:
                raise
            time.sleep(0.01)
