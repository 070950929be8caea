"""Files are read up to a limit, with memory for what they contain; they are replaced and locked."""

import errno
import io
import os
import sys
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from lenet._files import atomic_write, lock, read_at_most, read_stream, unlock
from lenet.errors import SaveError


def test_a_stream_is_read_only_as_far_as_requested():
    """Even if a stream returns fewer bytes than requested."""
    stream = io.BytesIO(b"abcdef")
    read, stream.read = stream.read, lambda n: read(min(n, 2))
    assert read_stream(stream, 3) == b"abc"
    assert read_stream(stream, 9) == b"def"


def test_memory_is_allocated_for_the_content_and_not_for_the_limit(tmp_path):
    """On Windows, memory is committed when it is allocated."""
    path = tmp_path / "small"
    path.write_bytes(b"abc")
    tracemalloc.start()
    assert read_at_most(path, 2**26) == b"abc"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


def test_a_file_above_the_limit_is_refused(tmp_path):
    path = tmp_path / "three"
    path.write_bytes(b"abc")
    assert read_at_most(path, 3) == b"abc"
    assert read_at_most(path, 2) is None


def test_a_file_that_another_program_reads_for_a_moment_is_replaced(tmp_path):
    """Windows replaces no file that is open."""
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        threading.Timer(0.2, reader.close).start()
        atomic_write(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.fixture
def clock(monkeypatch):
    """The clock of `_files` on Windows, which only sleeping advances."""
    clock = SimpleNamespace(now=0.0, sleeps=0)

    def sleep(seconds):
        clock.now += seconds
        clock.sleeps += 1

    clock.monotonic, clock.sleep = lambda: clock.now, sleep
    monkeypatch.setattr("lenet._files.time", clock)
    monkeypatch.setattr("sys.platform", "win32")
    return clock


def deny(monkeypatch, times):
    """Let the first calls of Path.replace raise PermissionError, as while another program has the target open."""
    replace, left = Path.replace, iter(range(times))

    def denied(self, target):
        if next(left, None) is not None:
            raise PermissionError(errno.EACCES, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", denied)


def test_replacing_is_retried_until_the_file_is_free(tmp_path, monkeypatch, clock):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    deny(monkeypatch, 2)
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert clock.sleeps == 2


def test_replacing_stops_after_a_second(tmp_path, monkeypatch, clock):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    deny(monkeypatch, 10_000)
    with pytest.raises(SaveError, match=r"model could not be written \(Access is denied\); no file was changed"):
        atomic_write(path, b"new")
    assert 1 <= clock.now < 1.1
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_windows_tries_again(tmp_path, monkeypatch, clock):
    monkeypatch.setattr("sys.platform", "linux")
    deny(monkeypatch, 1)
    with pytest.raises(SaveError, match="Access is denied"):
        atomic_write(tmp_path / "model", b"new")
    assert clock.sleeps == 0


def test_a_read_only_file_is_refused_at_once_on_windows(tmp_path, monkeypatch, clock):
    """Windows neither replaces read-only files nor removes them, such as a temporary file with the same attribute."""
    path = tmp_path / "model"
    path.write_bytes(b"old")
    path.chmod(0o444)
    deny(monkeypatch, 10_000)
    with pytest.raises(SaveError, match=r"model could not be written \(it is read-only\); no file was changed"):
        atomic_write(path, b"new")
    assert clock.sleeps == 0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unlocked_file_can_be_locked_again_at_once(tmp_path):
    """Closing the file would be too late on Windows, which then releases the lock with a delay."""
    path = tmp_path / "locked"
    path.write_bytes(b"abc")
    with path.open("rb") as first, path.open("rb") as second:
        lock(first)
        with pytest.raises(BlockingIOError):
            lock(second)
        assert path.read_bytes() == b"abc"  # by another process, too
        first.seek(0)
        unlock(first)
        lock(second)


def test_windows_unlocks_the_byte_that_was_locked(tmp_path, monkeypatch):
    calls = []
    msvcrt = SimpleNamespace(LK_NBLCK=2, LK_UNLCK=0)
    msvcrt.locking = lambda file, mode, size: calls.append((mode, os.lseek(file, 0, os.SEEK_CUR), size))
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr("sys.platform", "win32")
    path = tmp_path / "locked"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        lock(file)
        file.seek(0)
        unlock(file)
    assert calls == [(2, 2**31 - 2, 1), (0, 2**31 - 2, 1)]
