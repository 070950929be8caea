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

from lenet._files import (
    PNG_MARK,
    atomic_write,
    begins_with,
    check_replaceable,
    lock,
    read_at_most,
    read_stream,
    remove_leftovers,
    sync_folder,
    unlock,
    write_together,
)
from lenet.errors import InputError, SaveError


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


def test_several_files_are_replaced_or_none(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"old")
    write_together({one: b"1", two: b"2"})
    assert [path.read_bytes() for path in (one, two)] == [b"1", b"2"]
    with pytest.raises(SaveError, match=r"missing.three could not be written \(No such .*\); nothing was changed\.$"):
        write_together({one: b"3", tmp_path / "missing" / "three": b"3"})
    assert one.read_bytes() == b"1"
    assert sorted(tmp_path.iterdir()) == [one, two]


def test_an_error_names_the_files_that_are_already_replaced(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    replace = Path.replace

    def fail_for_two(self, target):
        if target == two:
            raise OSError(errno.EIO, "broken")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_two)
    with pytest.raises(SaveError, match=r"two could not be written \(broken\); already written: .*one\.$"):
        write_together({one: b"1", two: b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_path_without_a_name_is_a_folder(cwd):
    for name in ("", "."):
        with pytest.raises(SaveError, match=r"could not be written \(expected a file name, not a folder\)"):
            atomic_write(name, b"new")
    with pytest.raises(SaveError, match=r"could not be written \(a folder or a device has that name\)"):
        atomic_write(cwd, b"new")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(SaveError, match="model could not be written"):
        atomic_write(tmp_path / "file" / "model", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_whole_content_and_then_its_folder_are_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
    (tmp_path / "folder").mkdir()
    write_together({tmp_path / "one": b"12345", tmp_path / "folder" / "two": b"123"})
    assert [each.st_size for each in synced[:2]] == [5, 3]
    if os.name != "nt":  # which cannot open folders
        folders = {each.st_ino for each in synced[2:]}
        assert folders == {tmp_path.stat().st_ino, (tmp_path / "folder").stat().st_ino}


@pytest.mark.parametrize(("code", "fails"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_a_folder_is_closed_after_it_is_synced(tmp_path, monkeypatch, code, fails):
    """An input/output error means that the disk fails; other errors, that the system does not sync folders."""
    opened, closed = [], []

    def fail(descriptor):
        opened.append(descriptor)
        raise OSError(code, "no")

    monkeypatch.setattr(os, "open", lambda *_: 77)
    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "close", closed.append)
    if fails:
        with pytest.raises(SaveError, match=r"could not be synced \(no\)\. Its files are already written"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)
    assert opened == closed == [77]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o755, 0o755), (0o4711, 0o711), (0o444, 0o444)])
def test_a_replaced_file_keeps_its_permissions_to_read_write_and_execute(tmp_path, monkeypatch, before, after):
    path, seen = tmp_path / "file", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(os.fstat(descriptor).st_mode & 0o7777))
    path.write_bytes(b"old")
    path.chmod(before)
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == after
    assert seen[0] == 0o600  # until it is complete


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_replaced_link_becomes_a_file_without_the_set_user_id_bit_of_its_target(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o4750)
    link.symlink_to(target)
    atomic_write(link, b"new")
    assert (link.read_bytes(), link.lstat().st_mode & 0o7777) == (b"new", 0o750)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640


def test_a_mark_is_looked_for_in_the_first_1000_bytes_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"-" * 996 + b"mark")
    assert begins_with(path, b"mark")
    path.write_bytes(b"-" * 997 + b"mark")
    assert not begins_with(path, b"mark")
    assert begins_with(path, b"mark", 1001)
    assert not begins_with(tmp_path, b"mark")
    assert not begins_with(tmp_path / "missing", b"mark")


def test_only_files_of_lenet_are_replaced(tmp_path):
    path = tmp_path / "file"
    check_replaceable(path, b"mark")
    check_replaceable(str(path))
    path.write_bytes(b"PNG " + PNG_MARK)
    check_replaceable(path, b"mark", PNG_MARK)
    for marks in ((b"mark",), ()):
        with pytest.raises(InputError, match=r"file exists and was not written by lenet\. Choose another name"):
            check_replaceable(path, *marks)
    with pytest.raises(InputError, match=r" is a folder; expected a file name\.$"):
        check_replaceable(tmp_path, b"")
    with pytest.raises(InputError, match=r"missing is not a folder\. Create it first\.$"):
        check_replaceable(tmp_path / "missing" / "file", b"mark")


def test_leftovers_are_removed_and_other_files_are_kept(tmp_path):
    for name in (".model.0a.tmp", "model.tmp", ".model", ".b.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".folder.tmp").mkdir()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".folder.tmp", ".model", "model.tmp"]


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
    with pytest.raises(SaveError, match=r"model could not be written \(Access is denied\); nothing was changed"):
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
    with pytest.raises(SaveError, match=r"model could not be written \(it is read-only\); nothing was changed"):
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


@pytest.mark.parametrize(
    ("code", "error"), [(errno.EACCES, BlockingIOError), (0, BlockingIOError), (errno.EDEADLK, OSError)]
)
def test_a_lock_of_another_process_is_a_blocking_error_on_windows(tmp_path, monkeypatch, code, error):
    def locking(*_):
        raise OSError(code, "no")

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    monkeypatch.setattr("sys.platform", "win32")
    (tmp_path / "locked").write_bytes(b"abc")
    with (tmp_path / "locked").open("rb") as file, pytest.raises(OSError, match="no") as caught:
        lock(file)
    assert type(caught.value) is type(error(code, "no"))
