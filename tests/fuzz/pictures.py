"""Picture files are decoded correctly and prepared as digits, or rejected."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from lenet.data import load_digits
from lenet.errors import DataError
from lenet.reading import prepare
from lenet.reading.pictures import read_picture
from tests.fuzz import random_of

_LARGEST = 60_000  # pixels
_PNG = b"\x89PNG\r\n\x1a\n"


def run(data):
    grey, colour = _decoded(data)
    if grey is not None:
        _check_pixels(data, grey, colour)
        for picture in (grey, colour):
            image = prepare(picture)
            assert (image.shape, image.dtype) == ((28, 28), np.uint8), "not as MNIST's"


def _decoded(data):
    """Both ways to decode a file; they differ in nothing but the colour."""
    found = []
    for colour in (False, True):
        try:
            found.append(read_picture(io.BytesIO(data), colour=colour, largest=_LARGEST))
        except DataError:
            found.append(None)
    grey, colour = found
    assert (grey is None) == (colour is None), "one of grey and colour was refused"
    if grey is not None:
        height, width = grey.shape
        assert 0 < height * width <= _LARGEST, f"{height} x {width} pixels"
        assert colour.shape == (height, width, 3), "grey and colour differ in shape"
        assert (grey.dtype, colour.dtype) == (np.uint8, np.uint8), "no bytes"
    return grey, colour


def _check_pixels(data, grey, colour):
    """Compare with an independent reader of simple files."""
    right = _netpbm(data) if data[:2] in (b"P5", b"P6") else _png(data) if data.startswith(_PNG) else None
    if right is not None:
        assert colour.shape[:2] == right.shape[:2], f"{colour.shape}, and {right.shape} is right"
        assert (colour == right).all(), "other colours"
        exact = (right * [0.299, 0.587, 0.114]).sum(axis=2)
        assert np.abs(grey - exact).max() <= 0.51, "other grey levels"


def _netpbm(data):
    """The colours of a PGM or PPM of 256 levels without comments; None for any other file."""
    head = data.split(maxsplit=3)
    if len(head) < 4 or b"#" in data[: data.find(head[3])]:
        return None
    kind, width, height, rest = head
    levels, _, content = rest[:4].partition(rest[3:4])[0], None, rest[4:]
    if levels != b"255" or not rest[3:4].isspace() or not (width + height).isdigit():
        return None
    return _pixels(content, int(height), int(width), 3 if kind == b"P6" else 1)


def _pixels(content, height, width, channels):
    size = height * width * channels
    if size == 0 or len(content) < size:
        return None
    return np.broadcast_to(np.frombuffer(content[:size], np.uint8).reshape(height, width, channels), (height, width, 3))


def _png(data):
    """The colours of a PNG of 8-bit grey or RGB without any extras; None for any other file."""
    chunks = list(_chunks(data))
    if [kind for kind, _ in chunks][:: len(chunks) - 1 or 1] != [b"IHDR", b"IEND"] or len(chunks[0][1]) != 13:
        return None
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[0][1])
    if {name for name, _ in chunks} != {b"IHDR", b"IDAT", b"IEND"} or kind not in ([8, 0, 0, 0, 0], [8, 2, 0, 0, 0]):
        return None
    channels = 3 if kind[1] else 1
    try:
        lines = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    except zlib.error:
        return None
    if width * height > _LARGEST or len(lines) != height * (1 + width * channels):
        return None
    lines = np.frombuffer(lines, np.uint8).reshape(height, -1)
    return None if lines[:, 0].max() > 4 else _pixels(_unfiltered(lines, channels), height, width, channels)


def _unfiltered(lines, step):
    """Undo the filters of PNG's lines, of which the first byte is the filter's number."""
    above, out = [0] * (lines.shape[1] - 1), bytearray()
    for kind, *line in lines.tolist():
        for place, up in enumerate(above):
            left, corner = (line[place - step], above[place - step]) if place >= step else (0, 0)
            line[place] = (line[place] + _guess(kind, left, up, corner)) & 255
        above = line
        out += bytes(line)
    return bytes(out)


def _guess(kind, left, up, corner):
    if kind == 4:
        return min((left, up, corner), key=lambda each: abs(left + up - corner - each))
    return (0, left, up, (left + up) // 2)[kind]


def _chunks(data):
    """Return the (kind, content) of a PNG, whose checksums are right."""
    place = len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def mutate(data, most, seed, mutate_bytes):
    """Change the content of a PNG's chunks, whose checksums would reveal every other change."""
    random = random_of(seed)
    if data.startswith(_PNG) and random.random() < 0.7:
        chunks = list(_chunks(data))
        place = random.randrange(len(chunks))
        kind, content = chunks[place]
        if kind == b"IDAT":
            content = zlib.compress(mutate_bytes(zlib.decompress(content)[:most], most), 1)
        else:
            content = mutate_bytes(content, most)
        chunks[place] = kind, content
        if random.random() < 0.2:
            chunks.insert(random.randrange(len(chunks)), random.choice(chunks))
        return _of_chunks(chunks)
    return mutate_bytes(data, most)


def _of_chunks(chunks):
    parts = (struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
             for kind, content in chunks)  # fmt: skip
    return _PNG + b"".join(parts)


def seeds():
    digits = load_digits().X_test[183:185]
    grey = np.full((36, 60), 255, np.uint8)
    for place, digit in enumerate(digits):
        grey[4:32, 2 + 28 * place : 30 + 28 * place] = 255 - digit
    image = Image.fromarray(grey)
    clear = Image.merge("RGBA", (*image.convert("RGB").split(), Image.fromarray(255 - grey)))
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "grey.png": image, "rgb.png": image.convert("RGB"), "rgba.png": clear, "palette.png": image.convert("P"),
        "bits.png": image.convert("1"), "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "grey.jpg": (image, {"quality": 50}), "progressive.jpg": (image.convert("RGB"), {"progressive": True}),
        "turned.jpg": (image, {"exif": turned}), "cmyk.jpg": image.convert("CMYK"), "grey.bmp": image.convert("L"),
        "two.gif": (image, {"save_all": True, "append_images": [image.rotate(90)]}), "bits.bmp": image.convert("1"),
        "raw.tif": image, "packed.tif": (image, {"compression": "tiff_lzw"}), "float.tif": image.convert("F"),
        "fax.tif": (image.convert("1"), {"compression": "group4"}), "deep.tif": image.convert("I;16"),
        "lossy.webp": (image, {"quality": 30}), "lossless.webp": (clear, {"lossless": True}),
        "grey.pgm": image.resize((30, 18)), "rgb.ppm": image.resize((20, 12)).convert("RGB"),
        "bits.pbm": image.convert("1"),
    }  # fmt: skip
    return {name: _file(name, *(kind if isinstance(kind, tuple) else (kind, {}))) for name, kind in kinds.items()}


def _file(name, image, options):
    file = io.BytesIO()
    formats = {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM", "pbm": "PPM"}
    ending = name.rpartition(".")[2]
    image.save(file, formats.get(ending, ending), **options)
    return file.getvalue()
