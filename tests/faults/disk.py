"""Build the simulated disk, and configure it for a process that preloads it."""

import contextlib
import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

FAIL, TORN, SHORT, KILL = 1, 2, 3, 4  # as in disk.c: it fails; half is written, and it fails; half is written; SIGKILL

FAULTS = {  # the faults of a call, by their letters in disk.c
    "o": [(FAIL, errno.ENOSPC), (FAIL, errno.EROFS)],
    "w": [(FAIL, errno.ENOSPC), (TORN, errno.EIO), (SHORT, 0)],
    "s": [(FAIL, errno.EIO), (FAIL, errno.EINVAL)],
    "c": [(FAIL, errno.EIO)],
    "h": [(FAIL, errno.EPERM)],
    "m": [(FAIL, errno.ENOSPC), (FAIL, errno.EACCES)],
    "r": [(FAIL, errno.EXDEV), (FAIL, errno.EACCES)],
    "u": [(FAIL, errno.EIO)],
}


def build(folder: Path) -> Path:
    """Compile disk.c into a library in a folder."""
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    return library


class Disk(ctypes.Structure):
    """The variable `disk` of disk.c."""

    _fields_ = (
        ("folder", ctypes.c_char * 4096), ("at", ctypes.c_long), ("fault", ctypes.c_int), ("error", ctypes.c_int),
        ("lasting", ctypes.c_int), ("room", ctypes.c_long), ("pause", ctypes.c_long), ("written", ctypes.c_long),
        ("calls", ctypes.c_long), ("log", ctypes.c_char * (1 << 16)),
    )  # fmt: skip


@contextlib.contextmanager
def failing(**faults: int) -> Iterator[Disk]:
    """A context in which writes below the current folder fail as any of Disk's fields specify."""
    disk = Disk.in_dll(ctypes.CDLL(None), "disk")
    none = dict.fromkeys(("at", "lasting", "pause", "written", "calls"), 0) | {"room": -1}
    for name, value in {**none, **faults}.items():
        setattr(disk, name, value)
    disk.log = b""
    disk.folder = os.fsencode(f"{Path.cwd()}/")
    try:
        yield disk
    finally:
        disk.folder = b""


def is_harmless(log: str, at: int, fault: int, error: int, **_: int) -> bool:
    """Whether the fault may be ignored: a short write is continued, and some file systems cannot sync folders."""
    return fault == SHORT or (log[at - 1], error) == ("s", errno.EINVAL) or log[at - 1] == "u"


def faults_of(log: str) -> Iterator[dict[str, int]]:
    """Return each call of a log with each thing that can happen to it, once and, where that can be, from then on."""
    for at, letter in enumerate(log, 1):
        for fault, error in FAULTS[letter]:
            yield {"at": at, "fault": fault, "error": error}
            if error in (errno.ENOSPC, errno.EROFS):
                yield {"at": at, "fault": fault, "error": error, "lasting": 1}
