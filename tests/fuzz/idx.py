"""IDX files, plain and gzipped, are read as the format specifies, or rejected."""

import gzip
import io
import math
import struct
import zlib

from lenet.data import idx
from lenet.errors import DataError
from tests.fuzz import MemoryFile

_FILE = MemoryFile()


def run(data):
    try:
        found = _read(data)
    except DataError:
        found = None
    wanted = _meant(data)
    if wanted is None:
        assert found is None, "read what is no IDX file"
        return
    shape, content = wanted
    assert found is not None, "refused an IDX file"
    assert (found.dtype, found.shape, found.tobytes()) == ("uint8", shape, content), "misread"


def _read(data):
    """From a file occasionally; otherwise from memory, which is seven times as fast."""
    if len(data) % 16:
        return idx._read_either(io.BytesIO(data), "memory")
    return idx.read_idx(_FILE.holding(data))


def _meant(data):
    """The shape and the numbers that a file has by the format's description; None where it is no such file."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error, struct.error):
            return None
    if data[:4] not in (b"\0\0\x08\1", b"\0\0\x08\3"):
        return None
    start = 4 + 4 * data[3]
    if len(data) < start:
        return None
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    if max(shape) > 1_000_000 or 0 in shape or math.prod(shape) != len(data) - start:
        return None
    return shape, data[start:]


def mutate(data, most, seed, mutate_bytes):
    """Also change the content of gzip files, whose checksum would reveal every other change."""
    if seed % 8 == 0 and data[:2] == b"\x1f\x8b":
        return gzip.compress(mutate_bytes(gzip.decompress(data)[:most], most), 1, mtime=0)
    return mutate_bytes(data, most)


def seeds():
    labels = bytes.fromhex("00000801 00000003 070201")
    images = bytes.fromhex("00000803 00000002 00000001 00000003 0001ff 102030")
    digit = bytes.fromhex("00000803 00000001 0000001c 0000001c") + bytes(range(196)) * 4
    packed = {f"{name}.gz": gzip.compress(file, mtime=0) for name, file in (("labels", labels), ("images", images))}
    two = gzip.compress(labels[:9], mtime=0) + gzip.compress(labels[9:], mtime=0)
    hides = bytes.fromhex("00000803 00000000 ffffffff ffffffff")
    return {"labels": labels, "images": images, "digit": digit, **packed, "two-members.gz": two, "zero-hides": hides}
