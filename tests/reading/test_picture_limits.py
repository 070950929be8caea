"""Grey levels of small pictures in memory, and the limits of what is decoded."""

import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from lenet.errors import DataError, InputError, InputTypeError
from lenet.reading import pictures, prepare, read_picture
from lenet.reading import pixels as pixels_module
from lenet.reading.pictures import as_grey, reduced_grey

Image = pytest.importorskip("PIL.Image")
GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def encoded(picture, form="PNG", **options):
    """The content of a file with a picture of Pillow or an array."""
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, form, **options)
    return buffer.getvalue()


def luminance(colours):
    """ITU-R 601."""
    return colours[..., :3] @ np.array([0.299, 0.587, 0.114])


# Accepted kinds of pictures


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
@pytest.mark.parametrize("decode", [read_picture, as_grey])
def test_the_content_of_a_file_is_decoded(kind, decode):
    np.testing.assert_array_equal(decode(kind(encoded(GREY))), GREY)


def test_memory_of_several_axes_is_pixels():
    np.testing.assert_array_equal(as_grey(memoryview(GREY)), GREY)


def test_colours_are_kept_on_request():
    np.testing.assert_array_equal(read_picture(encoded(COLOURS), colour=True), COLOURS)
    np.testing.assert_allclose(read_picture(encoded(COLOURS)), luminance(COLOURS), atol=1)
    np.testing.assert_array_equal(read_picture(encoded(GREY), colour=True), np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize("file", [3, None, 2.5, object(), [1, 2]])
def test_files_of_other_types_are_rejected(file):
    with pytest.raises(InputTypeError, match=r"^file is of type \w+; expected a path, bytes or a binary file"):
        read_picture(file)


@pytest.mark.parametrize("image", [3, None, 2.5, 1j, True])
def test_numbers_are_no_pictures(image):
    with pytest.raises(InputTypeError, match="expected a path, bytes, a file, or an array of pixels"):
        as_grey(image)


@pytest.mark.parametrize(("length", "error"), [(4096, OSError), (4097, InputError)])
def test_a_path_has_at_most_4096_characters(length, error):
    with pytest.raises(error):
        read_picture("a" * length)


@pytest.mark.parametrize("path", ["a\0b", "\0"])
def test_a_path_has_no_null_characters(path):
    with pytest.raises(InputError, match="Pass the content of a file as bytes"):
        read_picture(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows encodes every path")
def test_a_path_can_be_encoded():
    with pytest.raises(InputError, match=r"^The path '\\ud800\.png' cannot be encoded; expected a valid path"):
        read_picture("\ud800.png")


def test_a_closed_file_is_rejected():
    file = io.BytesIO(encoded(GREY))
    file.close()
    with pytest.raises(InputError, match="The file is closed; expected an open file"):
        read_picture(file)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_closed_image_is_rejected(is_loaded):
    image = Image.new("L", (20, 20)) if is_loaded else Image.open(io.BytesIO(encoded(GREY)))
    image.close()
    with pytest.raises(InputError, match=r"The image is closed or damaged \(\w+Error\(.*\)\); expected an open one"):
        as_grey(image)


def test_a_path_with_an_attribute_closed_is_a_path(tmp_path):
    class Named(type(tmp_path)):
        closed = True

    path = Named(tmp_path, "grey.png")
    path.write_bytes(encoded(GREY))
    np.testing.assert_array_equal(read_picture(path), GREY)


def test_a_stream_is_rejected():
    stream = io.BytesIO(encoded(GREY))
    stream.seekable = lambda: False
    with pytest.raises(DataError, match="is a stream; expected a file"):
        read_picture(stream)


def test_files_that_are_no_pictures_are_rejected(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "other.png").write_bytes(b"?")
    for file in (b"", tmp_path / "empty.png", io.BytesIO()):
        with pytest.raises(DataError, match="is empty; expected a picture"):
            read_picture(file)
    for file in (b"?", tmp_path / "other.png", io.BytesIO(b"?")):
        with pytest.raises(DataError, match="is not a picture; expected a PNG"):
            read_picture(file)
    with pytest.raises(DataError, match="is a URL"):
        read_picture("https://example.com/a.png")
    with pytest.raises(InputError, match="The path starts with '' and has 0 characters; expected the path of a file"):
        read_picture("")


# Sizes


def test_a_picture_has_at_most_the_given_number_of_pixels():
    np.testing.assert_array_equal(read_picture(encoded(GREY), largest=24), GREY)
    with pytest.raises(DataError, match=r"has 6x4 pixels; expected at most 2.3e-05 million"):
        read_picture(encoded(GREY), largest=23)


@pytest.mark.skipif(not pytest.importorskip("PIL.features").check("webp"), reason="requires WebP")
@pytest.mark.parametrize(("width", "limited"), [(4001, True), (4000, False)])
def test_webp_has_at_most_16_million_pixels(width, limited):
    """The sides are the first 28 bits after the signature; the codes of a picture of one level fit any size."""
    content = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "WEBP", lossless=True))
    place = content.index(b"VP8L") + 9
    bits = int.from_bytes(content[place : place + 4], "little")
    assert bits & (2**28 - 1) == 7 | 7 << 14
    content[place : place + 4] = (bits >> 28 << 28 | 3999 << 14 | width - 1).to_bytes(4, "little")
    if limited:
        with pytest.raises(DataError, match="has 4001x4000 pixels; expected at most 16 million in this format"):
            read_picture(content)
    else:
        with pytest.raises(DataError, match="expected at most 15 million"):
            read_picture(content, largest=15_000_000)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_has_at_most_16_million_pixels(kind):
    buffer = io.BytesIO()
    Image.new("CMYK", (4001, 4000)).save(buffer, kind, **({"compression": "packbits"} if kind == "TIFF" else {}))
    with pytest.raises(DataError, match="has 4001x4000 pixels; expected at most 16 million in this format"):
        read_picture(buffer.getvalue())


# Photographs


def photograph(width=64, height=48):
    y, x = np.mgrid[:height, :width]
    return encoded(np.stack([x * 3, y * 4, 200 - x], axis=2).astype(np.uint8), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("min_pixels", "expected"),
    [(64 * 48, (48, 64)), (769, (48, 64)), (768, (24, 32)), (193, (24, 32)), (192, (12, 16))],
)
def test_a_jpeg_is_halved_while_enough_pixels_remain(min_pixels, expected):
    grey, shape = reduced_grey(photograph(), min_pixels)
    assert (grey.shape, shape) == (expected, (48, 64))


def test_a_jpeg_is_not_reduced_otherwise():
    y, x = np.mgrid[:48, :64]
    colours = np.stack([x * 3, y * 4, 200 - x], axis=2)
    np.testing.assert_allclose(as_grey(photograph()), luminance(colours), atol=4)
    np.testing.assert_allclose(read_picture(photograph(), colour=True), colours, atol=12)


@pytest.mark.parametrize(
    ("before", "count", "after", "expected"),
    [
        (0, 3, 0, 3),
        (7, 1, 5, 1),
        (2**20 - 1, 1, 5, 1),  # across two blocks
        (2**20 - 4, 1, 5, 1),
        (2**20 - 5, 1, 5, 1),  # at the end of one
        (2**20 - 250, 51, 0, 51),  # the last in the second block
        (2**20 - 251, 51, 0, 51),
    ],
)
def test_the_scans_of_a_jpeg_are_counted(before, count, after, expected):
    file = io.BytesIO(bytes(before) + b"\xff\xda\0\x0c\3" * count + bytes(after))
    file.seek(3)
    assert pictures._scans(file) == expected
    assert file.tell() == 3


# Levels


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0, 1, 128, 255], [0, 1, 128, 255]),
        ([0, 128, 256], [0, 0, 1]),
        ([0, 257, 32768, 65535], [0, 1, 128, 255]),  # 127.5019 is the third
    ],
)
def test_levels_of_16_bits_are_scaled_if_one_is_above_255(levels, expected):
    pixels = np.array([levels], np.uint16)
    np.testing.assert_array_equal(read_picture(encoded(pixels)), [expected])
    np.testing.assert_array_equal(read_picture(encoded(pixels), colour=True), np.array([expected] * 3).T[np.newaxis])
    np.testing.assert_array_equal(as_grey(Image.fromarray(pixels.astype(np.int32))), [expected])


def test_the_luminance_of_palettes_is_rounded():
    picture = Image.new("P", (3, 1))
    picture.putpalette([0, 255, 0, 255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    np.testing.assert_array_equal(as_grey(picture), [[150, 76, 29]])  # of 149.7, 76.2 and 29.1
    np.testing.assert_array_equal(read_picture(encoded(picture, transparency=1)), [[150, 255, 29]])


@pytest.mark.parametrize("mode", ["LAB", "CMYK", "HSV", "1", "F"])
def test_pictures_in_other_modes_have_the_luminance_of_their_colours(mode):
    levels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    if mode in ("LAB", "CMYK"):
        picture = Image.frombytes(mode, (7, 5), levels[..., : len(mode)].tobytes())
    else:
        picture = Image.fromarray(levels[..., :3].copy()).convert(mode)
    np.testing.assert_allclose(as_grey(picture), luminance(np.asarray(picture.convert("RGB"))), atol=1)


def test_levels_of_32_bits_below_0_are_clipped():
    pixels = np.array([[-5, 0, 65535]], np.int32)
    np.testing.assert_array_equal(as_grey(Image.fromarray(pixels)), [[0, 0, 255]])


# Transparency


def transparent(level, alpha):
    return Image.fromarray(np.broadcast_to(np.array([level] * 3 + [alpha], np.uint8), (2, 3, 4)).copy())


@pytest.mark.parametrize(
    ("level", "alpha", "expected"),
    [
        (128, 127, True),
        (127, 127, False),  # not light
        (128, 128, False),  # not mostly transparent
        (255, 1, True),
        (255, 0, False),  # nothing
        (0, 50, False),
    ],
)
def test_ink_is_light_on_transparent_if_most_is_transparent_and_the_rest_light(level, alpha, expected):
    assert pixels_module._is_light_on_transparent(transparent(level, alpha)) is expected


@pytest.mark.parametrize(("dark", "expected"), [(4, False), (3, True)])
def test_dark_ink_has_a_light_fringe_if_only_the_exact_colour_of_the_paper_is_transparent(dark, expected):
    """Of 100 pixels, 40 are visible, and 36 or 37 of them are light."""
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[:4] = 250, 250, 250, 255
    pixels[0, :dark, :3] = 127
    assert pixels_module._is_light_on_transparent(Image.fromarray(pixels)) is expected
    pixels[0, 9, 3] = 254  # light ink may have a dark shadow or outline
    assert pixels_module._is_light_on_transparent(Image.fromarray(pixels)) is True


def test_the_least_opacity_of_one_pixel_is_ink():
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[1, 2] = 255, 255, 255, 1
    assert pixels_module._is_light_on_transparent(Image.fromarray(pixels)) is True


@pytest.mark.parametrize("strip", [10**6, 6])
def test_opacity_and_light_are_those_of_the_whole_picture(monkeypatch, strip):
    monkeypatch.setattr(pixels_module, "_STRIP", strip)
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[0] = pixels[3, :4] = 255, 255, 255, 255  # ten of 24 pixels
    assert pixels_module._is_light_on_transparent(Image.fromarray(pixels)) is True
    pixels[1, :3] = 255  # 13
    assert pixels_module._is_light_on_transparent(Image.fromarray(pixels)) is False


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("level", "paper"), [(200, 0), (60, 255)])
def test_transparent_pixels_are_paper_of_the_other_level(mode, level, paper):
    pixels = np.zeros((3, 4, 4), np.uint8)
    pixels[1, :2] = [level] * 3 + [255]
    expected = np.full((3, 4), paper)
    expected[1, :2] = level
    picture = Image.fromarray(pixels).convert(mode)
    np.testing.assert_array_equal(as_grey(picture), expected)
    np.testing.assert_array_equal(read_picture(encoded(picture)), expected)
    np.testing.assert_array_equal(read_picture(encoded(picture), colour=True), np.stack([expected] * 3, axis=2))


def test_half_transparent_pixels_mix_with_the_paper():
    pixels = np.full((1, 4, 4), 100, np.uint8)
    pixels[..., 3] = 0, 51, 204, 255
    np.testing.assert_array_equal(as_grey(pixels), [[255, 224, 131, 100]])


# Strips


@pytest.mark.parametrize(
    ("strip", "rows"), [(12, [2, 2, 1]), (17, [2, 2, 1]), (18, [3, 2]), (5, [1] * 5), (30, [5]), (29, [4, 1])]
)
def test_large_pictures_are_converted_some_rows_at_a_time(monkeypatch, strip, rows):
    monkeypatch.setattr(pixels_module, "_STRIP", strip)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    picture = Image.fromarray(pixels)
    assert [part.height for part in pixels_module._strips(picture)] == rows
    np.testing.assert_array_equal(pixels_module._in_strips(picture, lambda part: part), pixels)
    np.testing.assert_allclose(as_grey(picture), luminance(pixels), atol=1)


# Arrays


@pytest.mark.parametrize("shape", [(5, 7, 3), (3, 5, 3), (1, 5, 3), (3, 3, 3)])
def test_the_last_axis_of_3_is_that_of_colours(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_allclose(as_grey(pixels), luminance(pixels), atol=1)


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 5, 2), (3, 1, 5), (3, 4, 5)])
def test_the_first_axis_of_3_is_that_of_colours_if_the_last_is_not(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_allclose(as_grey(pixels), luminance(np.moveaxis(pixels, 0, 2)), atol=1)


@pytest.mark.parametrize(
    ("shape", "expected"), [((4, 6, 1), (4, 6)), ((1, 4, 6), (4, 6)), ((3, 6, 1), (3, 6)), ((1, 6, 1), (1, 6))]
)
def test_an_axis_of_one_channel_is_removed(shape, expected):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(as_grey(pixels), pixels.reshape(expected))


@pytest.mark.parametrize("shape", [(5, 7, 4), (3, 5, 4), (1, 5, 4)])
def test_the_last_axis_of_4_has_opacity(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels[..., 3] = 255
    np.testing.assert_allclose(as_grey(pixels), luminance(pixels), atol=1)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((6,), False), ((0, 5), False), ((2, 2, 2, 2, 2), False), ((2, 5, 5), True), ((5, 5, 2), True),
        ((4, 5, 6), True), ((5, 5, 5), True), ((2, 4, 5, 3), True), ((0, 5, 3), True),
    ],
)  # fmt: skip
def test_arrays_of_other_shapes_are_rejected_with_advice_for_several_pictures(shape, advice):
    with pytest.raises(InputError, match="with at least one pixel") as caught:
        as_grey(np.zeros(shape, np.uint8))
    assert ("one at a time" in str(caught.value)) is advice
    expected = re.findall(r"\(([\dHW, ]+)\)", str(caught.value).partition("expected ")[2])
    assert len(expected) == 6
    for each in expected:  # which are all accepted
        shape = tuple({"H": 5, "W": 7}.get(length) or int(length) for length in each.split(", "))
        assert as_grey(np.zeros(shape, np.uint8)).shape == (5, 7)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_from_0_to_1_become_levels(dtype):
    values = np.array([[0, 1, 0.5, 0.499 / 255, 0.501 / 255, 100.4 / 255]], dtype)
    np.testing.assert_array_equal(as_grey(values), np.round(values.astype("f8") * 255))
    for wrong in (-0.001, 1.001, np.nan, np.inf):
        with pytest.raises(InputError, match=r"outside \[0, 1\], or NaN"):
            as_grey(np.array([[0.5, wrong]], dtype))


@pytest.mark.parametrize("dtype", ["i2", "u2", "i8", "u4"])
def test_integers_from_0_to_255_are_levels(dtype):
    np.testing.assert_array_equal(as_grey(np.array([[0, 7, 255]], dtype)), [[0, 7, 255]])
    with pytest.raises(InputError, match="pixels from 0 to 256; expected integers from 0 to 255") as caught:
        as_grey(np.array([[0, 256]], dtype))
    assert str(caught.value).endswith('. For 16 bits, pass (image // 257).astype("uint8"), or the path of the file.')
    if dtype.startswith("i"):
        with pytest.raises(InputError, match="pixels from -1 to 5; expected integers from 0 to 255"):
            as_grey(np.array([[-1, 5]], dtype))


@pytest.mark.parametrize("dtype", [bool, "c16"])
def test_other_types_of_arrays_are_rejected(dtype):
    with pytest.raises(InputTypeError, match="expected integers from 0 to 255, or floats"):
        prepare(np.zeros((4, 5), dtype))


@pytest.mark.parametrize("images", [["a.png", "b.png"], [b"a"], [None, Path("a.png")]])
def test_several_paths_are_rejected(images):
    with pytest.raises(InputTypeError, match=r"expected pixels\. Pass one path"):
        prepare(images)


def test_a_file_in_text_mode_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("P5 1 1 255 x")
    said = "expected a path, bytes or a binary file"
    with (tmp_path / "x.txt").open() as file, pytest.raises(InputTypeError, match=said):
        read_picture(file)


@pytest.mark.parametrize(("largest", "is_rejected"), [(65_536, False), (65_535, True)])
def test_a_tile_of_a_tiff_counts_like_a_picture(largest, is_rejected):
    """A file of 2 MB with a small picture in one large tile took 2 GB."""
    tile = zlib.compress(bytes(range(256)) * 256)
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: 256, 323: 256, 324: 134, 325: len(tile)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + directory + bytes(4) + tile
    if is_rejected:
        with pytest.raises(DataError, match=r"tiles of more than 0\.065535 million pixels, .*\. Save it as PNG\.$"):
            read_picture(content, largest=largest)
    else:
        np.testing.assert_array_equal(read_picture(content, largest=largest), [range(64)] * 64)
