"""Photographs on backgrounds of one colour, against places known by construction."""

import numpy as np
import pytest

from lenet.data import load_digits
from lenet.errors import InputError
from lenet.reading import Digit, Line, Reading, read, reader
from lenet.reading.photographs import cropped_to_photographs

cv2 = pytest.importorskip("cv2")


def photograph(height=120, width=160):
    """Grainy paper, lighter on the right, with a dark stroke."""
    grain = np.random.default_rng(0).normal(0, 3, (height, width))
    grey = np.linspace(120, 200, width) + grain
    grey[height // 3 : height // 2, width // 4 : width // 2] -= 80
    return grey.clip(0, 255).astype(np.uint8)


def paper_with_digits():
    digits, rng = load_digits().X_test[:4], np.random.default_rng(0)
    paper = rng.normal(170, 4, (100, 200)) * np.linspace(0.8, 1.1, 200)
    for n, digit in enumerate(digits):
        paper[36:64, 36 + 32 * n : 64 + 32 * n] -= digit / 255 * 90
    return paper.clip(0, 255).astype(np.uint8)


def with_title(slide):
    return cv2.putText(slide.copy(), "Readings", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 128, 2, cv2.LINE_AA)


def turned(picture, degrees, level):
    """Return a picture as a scanner sees it if it lies askew."""
    height, width = picture.shape
    c, s = abs(np.cos(np.radians(degrees))), abs(np.sin(np.radians(degrees)))
    size = int(height * s + width * c), int(height * c + width * s)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += np.subtract(size, (width, height)) / 2
    return cv2.warpAffine(picture, matrix, size, borderValue=level)


def smooth(level):
    """A photograph out of focus: its levels fall towards a dark corner."""
    y, x = np.mgrid[:200, :300]
    return np.rint(level + np.hypot(y, x).clip(0, 90) / 90 * 100).astype(np.uint8)


def is_cropped(picture):
    return cropped_to_photographs(picture) is not None


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("sides", [(30, 40, 35, 45), (30, 30, 0, 0), (0, 0, 25, 0)])
def test_a_photograph_is_cropped_with_two_soft_pixels(level, sides):
    top, bottom, left, right = sides
    inner = photograph()
    picture = np.pad(inner, ((top, bottom), (left, right)), constant_values=level)
    found, corner = cropped_to_photographs(picture)
    assert corner == (left + 2, top + 2)
    np.testing.assert_array_equal(found, inner[2:-2, 2:-2])


def test_opposite_margins_may_have_two_colours():
    inner = photograph()
    picture = np.pad(np.pad(inner, ((0, 0), (0, 40)), constant_values=250), ((0, 0), (30, 0)), constant_values=5)
    found, corner = cropped_to_photographs(picture)
    assert corner == (32, 2)
    np.testing.assert_array_equal(found, inner[2:-2, 2:-2])


def test_large_pictures_lose_three_pixels_of_a_copy_of_256_pixels():
    picture = np.pad(photograph(600, 800), 112, constant_values=255)
    found, (left, top) = cropped_to_photographs(picture)
    assert 112 + 8 <= left <= 112 + 12  # each of the coarse pixels has 4 of the picture
    assert 112 + 8 <= top <= 112 + 12
    np.testing.assert_array_equal(found, picture[top : top + len(found), left : left + found.shape[1]])


@pytest.mark.parametrize("quality", [40, 85])
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("change", [np.array, with_title])
def test_a_compressed_photograph_on_a_slide_is_read_like_the_photograph(level, quality, change):
    """Compression mixes the colours of up to 8 pixels at its edge; and most pixels of the slide have no noise."""
    inner = paper_with_digits()
    slide = np.pad(inner, 83, constant_values=level)
    slide[5, 7] = 128  # dust
    compressed = cv2.imencode(".jpg", change(slide), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    expected, found = read(inner), read(compressed)
    assert found.text == expected.text == "1 4 7 0"
    for here, there in zip(found.lines[0].digits, expected.lines[0].digits, strict=True):
        np.testing.assert_allclose(np.subtract(here.box, 83), there.box, atol=2)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("degrees", [-9, 4])
def test_a_photograph_askew_on_a_ground_is_read(level, degrees):
    assert read(turned(paper_with_digits(), degrees, level)).text == "1 4 7 0"


def test_two_photographs_on_a_slide_are_read():
    inner = paper_with_digits()
    slide = np.full((360, 300), 255, np.uint8)
    slide[40:140, 50:250] = slide[200:300, 50:250] = inner
    assert read(slide).text == "1 4 7 0\n1 4 7 0"


def test_the_levels_of_photographs_replace_the_ground_between_them():
    slide = np.full((240, 200), 255, np.uint8)
    slide[20:100, 20:180], slide[140:220, 20:180] = photograph(80, 160), photograph(80, 160) // 2
    found, (left, top) = cropped_to_photographs(slide)
    assert (left, top) == (22, 22)
    gap = found[100 - top : 114 - top].astype(int)
    np.testing.assert_allclose(gap, np.tile(np.linspace(120, 200, 160)[2:-2], (14, 1)), atol=10)  # as the upper one


@pytest.mark.parametrize("whole", ["12", None])
def test_photographs_that_show_a_texture_do_not_hide_the_rest(monkeypatch, whole):
    def read_picture(read_page, page, rotate):
        if whole is None or page.ink.shape != (200, 260):
            raise InputError("texture")
        return Reading((Line(tuple(Digit((0, 0, 9, 9), int(c), 1.0, 3, 0.0, c) for c in whole), 1.0, whole),))

    monkeypatch.setattr(reader, "_read_picture", read_picture)
    slide = np.pad(photograph(), ((40, 40), (50, 50)), constant_values=255)
    if whole is not None:
        assert read(slide).text == whole
        return
    for picture in (slide, photograph()):
        with pytest.raises(InputError, match="texture"):
            read(picture)


def test_a_caption_does_not_hide_the_digit_of_a_photograph():
    slide = np.full((300, 400), 255, np.uint8)
    slide[20:220, 50:350] = np.random.default_rng(0).normal(170, 4, (200, 300)).clip(0, 255)
    digits = 255 - cv2.resize(np.hstack(load_digits().X_test[178:182]), None, fx=2, fy=2)
    slide[100:156, 170:226] = np.minimum(slide[100:156, 170:226], digits[:, :56])
    slide[235:291, 60:228] = digits[:, 56:]
    assert read(slide).text == str(load_digits().y_test[178])


@pytest.mark.parametrize(("digits", "text"), [(2, "8"), (4, "1234")])
def test_more_lines_than_in_photographs_need_ten_times_their_evidence(monkeypatch, digits, text):
    """The evidence of a lone digit is 0.3 times that of one in a number, so that three have ten times as much."""

    def reading(*lines):
        return Reading(tuple(
            Line(tuple(Digit((0, 0, 9, 9), int(c), 1.0, 3, 0.0, c) for c in line), 1.0, line) for line in lines
        ))  # fmt: skip

    readings = iter([reading("8"), reading("1234"[:digits], "")])
    monkeypatch.setattr(reader, "_read_picture", lambda *_: next(readings))
    slide = np.pad(photograph(), ((40, 40), (50, 50)), constant_values=255)
    assert read(slide).text.strip() == text


@pytest.mark.parametrize("offset", range(8))
def test_pixels_that_compression_mixes_with_the_ground_are_cropped(offset):
    """Blocks of 8 pixels begin at each offset from the edge."""
    slide = np.pad(photograph(), 80 + offset)
    compressed = cv2.imencode(".jpg", slide, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    found, (left, top) = cropped_to_photographs(cv2.imdecode(compressed, cv2.IMREAD_GRAYSCALE))
    for edge in (found[0], found[-1], found[:, 0], found[:, -1]):
        assert np.median(edge) > 100
    assert max(left, top) <= 80 + offset + 9


def framed():
    """Writing in a frame: most of the strip along the edge is paper."""
    page = np.full((200, 300), 255, np.uint8)
    page[[0, -1]] = page[:, [0, -1]] = page[80:120, 100:110] = 0
    return page


def block_0(thick):
    page = np.zeros((200, 120), np.uint8)
    page[thick:-thick, thick:-thick] = 255
    return page


def enlarged(digit):
    """Its strokes have soft edges, which differ from pixel to pixel."""
    image = load_digits().X_test[np.flatnonzero(load_digits().y_test == digit)[0]]
    return cv2.resize(image, None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC)


def vignette():
    """A photograph whose corners are black."""
    grey = photograph(300, 400).astype(float)
    y, x = np.mgrid[-1:1:300j, -1:1:400j]
    return np.rint(grey * (1.6 - x * x - y * y).clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1), np.uint8),
        np.full((50, 60), 255, np.uint8),
        np.pad(np.zeros((80, 40), np.uint8), 20, constant_values=255),  # a 1
        np.pad(block_0(20), 20, constant_values=255),
        np.pad(block_0(50), 20, constant_values=255),
        np.pad(framed(), 20, constant_values=255),
        np.repeat(np.linspace(90, 210, 400), 300).reshape(400, 300).astype(np.uint8),  # a shadow without an edge
        vignette(),
        *map(enlarged, range(10)),
        np.maximum(smooth(60), photograph(200, 300)),
    ],
)
def test_ink_frames_and_shadows_are_kept(picture):
    assert not is_cropped(picture)


@pytest.mark.parametrize(("rows", "cropped"), [(2, False), (3, True)])
def test_a_background_has_a_fiftieth_of_the_picture(rows, cropped):
    """Of 122 or 123 rows: 0.016 or 0.024."""
    assert is_cropped(np.pad(photograph(), ((rows, 0), (0, 0)))) == cropped


@pytest.mark.parametrize(("side", "found"), [(22, 1), (23, 2)])
def test_each_photograph_has_a_fiftieth_of_the_picture(side, found):
    """Its outline goes through the middle of its outer pixels."""
    picture = np.full((120, 200), 255, np.uint8)
    picture[10:70, 10:90] = photograph(60, 80)
    picture[80 : 80 + side, 150 : 150 + side] = photograph(side, side)
    assert (cropped_to_photographs(picture)[0].shape == (56, 76)) == (found == 1)


@pytest.mark.parametrize(("hole", "cropped"), [(31, True), (32, False)])
def test_a_tenth_of_a_photograph_may_have_the_levels_of_the_background(hole, cropped):
    picture = np.pad(photograph(100, 100), 20, constant_values=255)
    picture[70 : 70 + hole, 60 : 60 + hole] = 255 - 16
    assert is_cropped(picture) == cropped


def test_a_page_beside_a_photograph_without_digits_is_read():
    rng, page = np.random.default_rng(0), np.full((400, 600), 255, np.uint8)
    page[20:140, 20:580] = 150 + 40 * np.sin(np.arange(560) / 280) + rng.normal(0, 1.5, (120, 560))
    for n, digit in enumerate(load_digits().X_test[183:187]):
        page[220:304, 60 + 120 * n : 144 + 120 * n] = 255 - cv2.resize(digit, (84, 84), interpolation=cv2.INTER_CUBIC)
    assert is_cropped(page)
    assert read(page).text.replace(" ", "") == "".join(map(str, load_digits().y_test[183:187]))


@pytest.mark.parametrize(("step", "cropped"), [(16, False), (17, True)])
def test_a_photograph_is_17_levels_lighter_or_darker_than_the_background(step, cropped):
    inner = np.full((100, 100), 100 + step, np.uint8)
    inner[40:60, ::2] += 60
    assert is_cropped(np.pad(inner, 20, constant_values=100)) == cropped


@pytest.mark.parametrize(("difference", "left"), [(16, 24), (17, 22)])
def test_levels_of_the_ground_differ_by_up_to_16_from_its_corner(difference, left):
    """A frame of 2 pixels belongs to the background, or to the photograph."""
    picture = np.pad(np.pad(photograph(), 2, constant_values=255 - difference), 20, constant_values=255)
    assert cropped_to_photographs(picture)[1][0] == left


@pytest.mark.parametrize(("rows", "cropped"), [(7, True), (8, False)])
def test_three_quarters_of_a_ground_are_within_two_levels_of_its_corner(rows, cropped):
    """Above and below the photograph, the background has 30 rows."""
    picture = np.pad(photograph(60, 120), ((30, 30), (0, 0)), constant_values=255)
    picture[30 - rows : 30] -= 3
    picture[90 : 90 + rows] -= 3
    assert is_cropped(picture) == cropped


@pytest.mark.parametrize(("period", "cropped"), [(13, True), (14, False)])
def test_a_photograph_has_grain_in_more_than_a_seventh_of_its_pixels(period, cropped):
    """Two of the differences in each period are not 0: 0.154 or 0.143."""
    inner = np.full((183, 183), 150, np.uint8)
    inner[np.add.outer(np.arange(183), np.arange(183)) % period == 0] = 160
    assert is_cropped(np.pad(inner, 20, constant_values=255)) == cropped


@pytest.mark.parametrize("thick", [1, 2])
def test_a_shaded_table_on_a_white_page_keeps_its_outer_lines(thick):
    table = np.full((301, 401), 225, np.uint8)
    table[:, 200:] = 180
    for k in range(thick):
        table[k::50] = table[:, k::50] = 40
    table[-thick:] = table[:, -thick:] = 40
    assert not is_cropped(np.pad(table, 60, constant_values=255))
