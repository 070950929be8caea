"""Files are read up to a limit, with memory for what they contain."""

import io
import tracemalloc

from lenet._files import read_at_most, read_stream


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
