"""Files are read up to a limit, with memory for what they contain; they are replaced and locked."""

import io
import threading
import tracemalloc

import pytest

from lenet._files import atomic_write, lock, read_at_most, read_stream


def test_no_more_is_taken_from_a_stream_than_asked_for():
    """Even if it gives less at a time than it is asked for."""
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


def test_a_lock_is_released_with_its_file(tmp_path):
    path = tmp_path / "locked"
    path.write_bytes(b"abc")
    with path.open("rb") as first, path.open("rb") as second:
        lock(first)
        with pytest.raises(BlockingIOError):
            lock(second)
        assert path.read_bytes() == b"abc"  # by another process, too
        first.close()
        lock(second)
