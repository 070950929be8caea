"""Pictures in every format are decoded to grey levels, and other files are rejected."""

import io
import random
import struct
import warnings
import zlib

import numpy as np
import pytest

from lenet import cli, reading
from lenet.errors import DataError, InputError
from lenet.reading import read_picture
from lenet.reading.pictures import as_grey

Image = pytest.importorskip("PIL.Image")
PngImagePlugin = pytest.importorskip("PIL.PngImagePlugin")
cv2 = pytest.importorskip("cv2")
GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def written(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def header_of_png(width, height):
    """A PNG that claims a size and ends where its pixels would begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


# Formats and modes


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "pgm"])
def test_grey_levels_are_kept_by_every_format_without_loss(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    found = read_picture(written(tmp_path, Image.fromarray(GREY), f"a.{suffix}", **options))
    np.testing.assert_array_equal(found, GREY)
    assert found.dtype == np.uint8


def test_jpeg_is_read_within_its_loss(tmp_path):
    smooth = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))
    found = read_picture(written(tmp_path, Image.fromarray(smooth), "a.jpg", quality=95))
    np.testing.assert_allclose(found.astype(int), smooth, atol=4)


# The pictures of each EXIF orientation, by the place of row 0 and column 0 as the standard names them.
UPRIGHT = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90, 9: lambda a: a,
}  # fmt: skip


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_rotation_of_the_camera_is_applied(tmp_path, orientation):
    exif, upright = Image.Exif(), UPRIGHT[orientation](GREY)
    exif[0x0112] = orientation
    path = written(tmp_path, Image.fromarray(GREY), "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(path), upright)
    grey, shape = reading.pictures.reduced_grey(path, 100)
    np.testing.assert_array_equal(grey, upright)
    assert shape == upright.shape
    assert grey.flags.c_contiguous


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = written(tmp_path, Image.fromarray(GREY), "a.png").rename(tmp_path / "a.txt")
    np.testing.assert_array_equal(read_picture(str(path)), GREY)


# Large pictures


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", [1, 7])  # 7 is a turn and two reflections
def test_large_pictures_are_decoded_in_strips(monkeypatch, mode, orientation):
    levels = np.random.default_rng(0).integers(0, 256, (30, 20, 4), np.uint8)
    colours = Image.fromarray(levels[..., :3]) if mode == "CMYK" else Image.fromarray(levels)
    picture = Image.fromarray(levels[..., 0] * np.uint16(257)) if mode == "I;16" else colours.convert(mode)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    picture.save(file, "TIFF", exif=exif)
    whole, in_colour = read_picture(file), read_picture(file, colour=True)
    assert whole.shape == ((30, 20) if orientation < 5 else (20, 30))
    if mode == "RGB":
        np.testing.assert_array_equal(in_colour, UPRIGHT[orientation](levels[..., :3]))
    monkeypatch.setattr("lenet.reading.pixels._STRIP", 70)  # three rows
    np.testing.assert_array_equal(read_picture(file), whole)
    np.testing.assert_array_equal(read_picture(file, colour=True), in_colour)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 1)])
def test_a_jpeg_decoded_at_half_its_size_has_boxes_of_the_whole_picture(orientation, turns):
    page = np.full((3003, 4205), 235, np.uint8)
    for line, text in enumerate(["2741", "605"]):
        cv2.putText(page, text, (600, 900 + 1000 * line), cv2.FONT_HERSHEY_SIMPLEX, 8, 40, 40, cv2.LINE_AA)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    Image.fromarray(np.rot90(page, turns)).save(buffer, "JPEG", quality=95, exif=exif)  # Exif turns it back
    grey, shape = reading.pictures.reduced_grey(buffer.getvalue(), 2_900_000)
    assert (grey.shape, shape) == ((1502, 2103), page.shape)
    found = reading.read(buffer.getvalue())
    assert found.text == "2741\n605"
    boxes, whole = (np.array([d.box for each in r.lines for d in each.digits]) for r in (found, reading.read(page)))
    np.testing.assert_allclose(boxes, whole, atol=8)


@pytest.mark.parametrize("shape", [(3000, 4000), (3024, 4032), (4608, 2592)])
def test_photographs_of_common_cameras_are_halved_once(shape):
    buffer = io.BytesIO()
    Image.new("RGB", shape[::-1], (235, 230, 225)).save(buffer, "JPEG")
    grey, picture_shape = reading.pictures.reduced_grey(buffer.getvalue(), reading.page.MIN_DECODED_PIXELS)
    [page] = reading.page.pages_of(grey, picture_shape)
    assert page.ink.shape == (shape[0] // 2, shape[1] // 2)
    assert (page.picture_shape, page.to_picture[0, 0]) == (shape, 2)


# Invalid files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a seven, in words", "is not a picture"),
        (b"", "is empty; expected a picture"),
        (b"%PDF-1.4\n", "is not a picture"),
        (b"P5\n4 4\n255\n123", "damaged picture"),
        (header_of_png(28, 28), "damaged picture"),
        (header_of_png(8001, 8000), "8001x8000 pixels; expected at most 64 million"),
        (header_of_png(12000, 10000), "at most 64 million"),  # Pillow warns from 89 megapixels on
        (header_of_png(30000, 30000), "at most 64 million"),  # and refuses from 179 on
    ],
    ids=["text", "empty", "pdf", "short", "header only", "64 megapixels", "120 megapixels", "900 megapixels"],
)
def test_the_error_names_a_file_that_is_not_a_picture(tmp_path, content, said):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_picture(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == 1


def test_a_jpeg_that_goes_over_its_pixels_without_end_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    scan = b"\xff\xda\0\x08\1"  # the marker of a scan, the length of its header, and the number of components
    content = buffer.getvalue()
    content += scan * (50 - content.count(scan))
    path = tmp_path / "slow.jpg"
    path.write_bytes(content + b"\xff\xda\7" * 200)  # as in the film after a moving photograph
    assert read_picture(path).shape == (64, 64)
    path.write_bytes(content + scan)
    with pytest.raises(DataError, match="is a JPEG with more than 50 scans"):
        read_picture(path)
    Image.new("L", (64, 64)).save(path, "MPO", save_all=True, append_images=[Image.new("L", (64, 64))])
    assert read_picture(path).shape == (64, 64)
    path.write_bytes(path.read_bytes() + scan * 49)  # each of the two pictures has one
    with pytest.raises(DataError, match="is a JPEG with more than 50 scans"):
        read_picture(path)


@pytest.mark.parametrize("size", [(1, 101), (101, 1), (1, 25_000_000)])
def test_a_picture_of_extreme_sides_is_refused(size):
    with pytest.raises(DataError, match=f"has {size[0]}x{size[1]} pixels; expected sides with a ratio of at most 100"):
        read_picture(header_of_png(*size))
    assert read_picture(b"P5 1 100 255 " + bytes(100)).shape == (100, 1)


@pytest.mark.parametrize(
    "header", [b"P2 1001 1000 255 ", b"P5 1001 1000 254 ", b"P6 1001 1000 254 ", b"P3 1001 1000 65535 "]
)
def test_pnm_decoded_by_a_python_loop_is_limited(header):
    with pytest.raises(DataError, match="has 1001x1000 pixels; expected at most 1 million in this format"):
        read_picture(header)
    with pytest.raises(DataError, match="damaged"):  # as there are no pixels
        read_picture(header.replace(b"1001", b"1000"))
    assert read_picture(b"P5 1001 1000 255 " + bytes(1001_000)).shape == (1000, 1001)


def test_exactly_64_megapixels_are_decoded(tmp_path):
    """Shows that the size in the header was rejected: this one is decoded, and found truncated."""
    (tmp_path / "a.png").write_bytes(header_of_png(8000, 8000))
    with pytest.raises(DataError, match="damaged"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("content", ["\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 9000 * "\0", "P5 100 100 255 " + 10_000 * "a"])
def test_a_picture_in_a_string_is_not_a_path(content):
    with pytest.raises(InputError, match="Pass the content of a file as bytes") as caught:
        read_picture(content)
    assert len(str(caught.value)) < 200


def test_heic_is_refused_with_advice(tmp_path):
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(DataError, match=r"photo\.heic is not a picture; .* Convert other formats, such as HEIC"):
        read_picture(tmp_path / "photo.heic")


def test_another_format_is_refused_though_pillow_reads_it(tmp_path):
    path = written(tmp_path, Image.fromarray(GREY), "a.pcx")
    with pytest.raises(DataError, match="is not a picture; expected a PNG"):
        read_picture(path)


def test_a_missing_file_and_a_folder_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")
    with pytest.raises((IsADirectoryError, PermissionError)):  # the second on Windows
        read_picture(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "ppm", "tif"])
def test_files_with_wrong_bytes_give_a_picture_or_a_documented_error(tmp_path, suffix):
    whole = written(tmp_path, Image.fromarray(np.kron(GREY, np.ones((5, 5), np.uint8))), f"a.{suffix}").read_bytes()
    rng = random.Random(0)  # noqa: S311
    path, refused = tmp_path / "b", 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.randrange(min(len(damaged), 300))] = rng.choice([0, 1, 127, 128, 255])
        path.write_bytes(damaged if rng.random() < 0.8 else damaged[: rng.randrange(len(damaged))])
        try:
            read_picture(path)
        except DataError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize("error", [struct.error("x"), TypeError("x"), IndexError("x"), KeyError("x"), OSError("x")])
def test_whatever_pillow_raises_while_it_decodes_is_a_damaged_picture(tmp_path, monkeypatch, error):
    """Pillow has raised each of these for a damaged file; most take minutes of fuzzing to occur."""

    def fails(*_, **__):
        raise error

    path = written(tmp_path, Image.fromarray(GREY), "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fails)
    with pytest.raises(DataError, match="damaged"):
        read_picture(path)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_picture_with_damaged_exif_is_upright(kind):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(
        buffer, kind, exif=b"Exif\0\0garbagegarbage", **({} if kind == "PNG" else {"quality": 95})
    )
    shape = read_picture(buffer.getvalue()).shape
    assert shape == as_grey(Image.open(buffer)).shape == GREY.shape


def test_a_png_with_exif_that_is_no_hexadecimal_text_is_upright():
    """As older programs store it: in a text chunk."""
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Raw profile type exif", "\nexif\n      12\n45786966zz\n", zip=True)
    Image.fromarray(GREY).save(buffer, "PNG", pnginfo=info)
    np.testing.assert_array_equal(as_grey(buffer.getvalue()), GREY)
    np.testing.assert_array_equal(as_grey(Image.open(buffer)), GREY)


@pytest.mark.parametrize("error", [struct.error("x"), TypeError("x"), IndexError("x"), EOFError("x")])
def test_whatever_pillow_raises_for_a_damaged_image_is_an_error_of_the_image(monkeypatch, error):
    def fails(*_, **__):
        raise error

    image = Image.fromarray(GREY)
    monkeypatch.setattr(image, "load", fails)
    with pytest.raises(InputError, match="The image is closed or damaged"):
        as_grey(image)


def test_bytes_with_gaps_are_read():
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG")
    spread = np.zeros(2 * len(buffer.getvalue()), np.uint8)
    spread[::2] = np.frombuffer(buffer.getvalue(), np.uint8)
    np.testing.assert_array_equal(as_grey(memoryview(spread)[::2]), GREY)


def test_the_commands_do_not_show_pillows_warnings(tmp_path):
    (tmp_path / "a.png").write_bytes(header_of_png(12000, 10000))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert cli.main(["read", str(tmp_path / "a.png")]) == 1
    assert seen == []


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_a_file_of_several_pages_or_frames_is_refused(tmp_path, suffix):
    first, second = Image.new("L", (5, 4), 30), Image.new("L", (5, 4), 200)
    path = written(tmp_path, first, f"a.{suffix}", save_all=True, append_images=[second])
    with pytest.raises(DataError, match=r"a\.\w+ has several pages or frames; expected one\. Save each as a file\.$"):
        read_picture(path)
    assert read_picture(written(tmp_path, first, f"b.{suffix}", save_all=True)).shape == (4, 5)


def test_the_previews_in_a_photograph_are_ignored(tmp_path):
    first, second = Image.new("L", (5, 4), 30), Image.new("L", (5, 4), 200)
    path = written(tmp_path, first, "a.mpo", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_picture(path), np.full((4, 5), 30))


@pytest.mark.parametrize("order", ["I;16", "I;16B"])
def test_16_bits_are_read_in_both_byte_orders(tmp_path, monkeypatch, order):
    monkeypatch.setattr("lenet.reading.pixels._STRIP", 1)
    picture = Image.fromarray(GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_picture(written(tmp_path, picture.convert("I").convert(order), "a.tif")), GREY)


def test_levels_above_65535_are_an_error(tmp_path):
    image = Image.fromarray(np.array([[0, 65535]], np.int32))
    assert reading.pictures.as_grey(image).tolist() == [[0, 255]]
    image.putpixel((0, 0), 65536)
    with pytest.raises(InputError, match=r"The image has pixels up to 65,536; expected integers up to 65,535\."):
        reading.pictures.as_grey(image)
    with pytest.raises(
        DataError, match=r"levels\.tiff: The image has pixels up to 65,536; expected .* Scale them to 0 to 65,535\."
    ):
        read_picture(written(tmp_path, image, "levels.tiff"))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "F", "I;16"])
@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_an_image_without_pixels_is_an_error(mode, size):
    with pytest.raises(InputError, match="The image has no pixels"):
        reading.pictures.as_grey(Image.new(mode, size))


@pytest.mark.parametrize(
    "pixels", [[0.5, np.nan], [np.nan, 0.5], [-0.1, 1], [255, np.nan], [0, np.inf], [0, 256], [-1, 255]]
)
def test_an_image_of_floats_outside_0_to_255_is_an_error(tmp_path, pixels):
    image = Image.fromarray(np.array([pixels], np.float32))
    with pytest.raises(InputError, match=r"floating-point pixels outside \[0, 1\] and \[0, 255\], or NaN"):
        reading.pictures.as_grey(image)
    with pytest.raises(
        DataError, match=r"floats\.tiff: The image has floating-point pixels outside .*, or NaN\. Scale"
    ):
        read_picture(written(tmp_path, image, "floats.tiff"))


@pytest.mark.parametrize("highest", [1, 255])
def test_an_image_of_floats_has_levels_up_to_1_or_255(tmp_path, highest):
    levels = np.array([[0, 0.2, 0.6, 1]], np.float32)
    assert reading.pictures.as_grey(Image.fromarray(levels * np.float32(highest))).tolist() == [[0, 51, 153, 255]]
    colours = read_picture(written(tmp_path, Image.fromarray(levels * np.float32(highest)), "floats.tiff"), colour=True)
    assert colours.tolist() == [[[level] * 3 for level in (0, 51, 153, 255)]]
