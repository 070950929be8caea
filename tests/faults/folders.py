"""The content of a folder before and after a fault."""

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

RANDOM = random.Random(0)  # noqa: S311


def files(folder: Path) -> dict[str, bytes | bool]:
    """Return every path below a folder, hidden ones too, with the content of the files; False for a folder."""
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def hidden(folder: Path) -> list[Path]:
    """Return the temporary files and folders of unfinished writes."""
    return list(folder.rglob(".*"))


def put(folder: Path, contents: dict[str, bytes | bool]) -> None:
    """Restore a folder to what `files` found, and nothing else."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in contents:
            path.unlink()
    for name, content in contents.items():
        path = folder / name
        if content is False:
            path.mkdir(exist_ok=True)
        elif not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


@contextlib.contextmanager
def changed(path: Path, place: int, other: int | None = None) -> Iterator[None]:
    """A context in which a byte of a file is changed, by default to any other."""
    with path.open("r+b") as file:  # in place, which is a hundred times faster than rewriting the file
        file.seek(place)
        before = file.read(1)
        _put_byte(file, place, bytes([before[0] ^ RANDOM.randrange(1, 256) if other is None else other]))
        yield
        _put_byte(file, place, before)


def _put_byte(file: IO[bytes], place: int, byte: bytes) -> None:
    file.seek(place)
    file.write(byte)
    file.flush()


UNCHANGED, NEW = ("nothing was changed", "No run folder can be created"), "already written"


def check_outcome(code: int, said: str, before: dict, after: dict, new: dict) -> None:
    """Check that a command did everything, or reported in one line what it did: each file is the old or the new one."""
    if code == 0:
        assert (after, said) == (new, "")
        return
    assert code == 1
    assert said.startswith("lenet: error: ")
    assert said.count("\n") == 1
    if any(text in said for text in UNCHANGED):
        assert after == before, said
        return
    assert NEW in said
    assert after != before, said
    for name in before.keys() | after.keys() | new.keys():
        assert after.get(name) in (before.get(name), new.get(name)), (name, said)
