"""Margins of one colour around photographs, against places known by construction."""

import numpy as np
import pytest

import lenet
from lenet.reading import read
from lenet.reading.margins import without_margins

cv2 = pytest.importorskip("cv2")


def photograph(height=120, width=160):
    """Grainy paper, lighter on the right, with a dark stroke."""
    grain = np.random.default_rng(0).normal(0, 3, (height, width))
    grey = np.linspace(120, 200, width) + grain
    grey[height // 3 : height // 2, width // 4 : width // 2] -= 80
    return grey.clip(0, 255).astype(np.uint8)


def paper_with_digits():
    digits, rng = lenet.data.load_digits().X_test[:4], np.random.default_rng(0)
    paper = rng.normal(170, 4, (100, 200)) * np.linspace(0.8, 1.1, 200)
    for n, digit in enumerate(digits):
        paper[36:64, 36 + 32 * n : 64 + 32 * n] -= digit / 255 * 90
    return paper.clip(0, 255).astype(np.uint8)


def is_cropped(picture):
    return without_margins(picture)[0] is not picture


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("sides", [(30, 40, 50, 60), (30, 30, 0, 0), (0, 0, 25, 0)])
def test_margins_are_cropped_with_two_soft_pixels(level, sides):
    top, bottom, left, right = sides
    inner = photograph()
    picture = np.pad(inner, ((top, bottom), (left, right)), constant_values=level)
    found, corner = without_margins(picture)
    assert corner == (left + 2, top + 2)
    np.testing.assert_array_equal(found, inner[2:-2, 2:-2])


def test_margins_of_two_colours_are_cropped_one_after_the_other():
    inner = photograph()
    picture = np.pad(np.pad(inner, ((0, 0), (0, 40)), constant_values=250), ((0, 0), (30, 0)), constant_values=5)
    found, corner = without_margins(picture)
    assert corner == (34, 4)
    np.testing.assert_array_equal(found, inner[4:-4, 4:-2])


@pytest.mark.parametrize("quality", [40, 85])
@pytest.mark.parametrize("level", [0, 255])
def test_a_compressed_photograph_on_a_slide_is_read_like_the_photograph(level, quality):
    """Compression mixes the colours of up to 8 pixels at its edge; and most pixels of the slide have no noise."""
    inner = paper_with_digits()
    slide = np.pad(inner, 83, constant_values=level)
    slide[5, 7] = 128  # dust
    compressed = cv2.imencode(".jpg", slide, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    expected, found = read(inner), read(compressed)
    assert found.text == expected.text == "1 4 7 0"
    for here, there in zip(found.lines[0].digits, expected.lines[0].digits, strict=True):
        np.testing.assert_allclose(np.subtract(here.box, 83), there.box, atol=2)


@pytest.mark.parametrize("offset", range(8))
def test_pixels_that_compression_mixes_with_the_margin_are_cropped(offset):
    """Blocks of 8 pixels begin at each offset from the edge."""
    slide = np.pad(photograph(), 80 + offset)
    compressed = cv2.imencode(".jpg", slide, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    found, (left, top) = without_margins(cv2.imdecode(compressed, cv2.IMREAD_GRAYSCALE))
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
    ],
)
def test_ink_frames_and_shadows_are_kept(picture):
    found, corner = without_margins(picture)
    assert found is picture
    assert corner == (0, 0)


@pytest.mark.parametrize(("wide", "cropped"), [(5, False), (6, True)])
def test_the_widest_margin_has_3_percent_of_the_longer_side(wide, cropped):
    assert is_cropped(np.pad(photograph(100, 200 - wide), ((0, 0), (wide, 0)))) == cropped


@pytest.mark.parametrize(("side", "cropped"), [(31, False), (32, True)])
def test_a_photograph_has_32_pixels_a_side(side, cropped):
    assert is_cropped(np.pad(photograph(side, 60), 20)) == cropped


@pytest.mark.parametrize(("step", "cropped"), [(20, False), (21, True)])
def test_a_photograph_is_21_levels_lighter_or_darker_than_the_margin(step, cropped):
    inner = np.full((100, 100), 100 + step, np.uint8)
    inner[::2] += 20
    inner[1::2] = 100 + step
    assert is_cropped(np.pad(inner, 20, constant_values=100)) == cropped


@pytest.mark.parametrize(("noise", "cropped"), [(16, True), (17, False)])
def test_levels_of_a_margin_differ_by_up_to_16_from_its_corner(noise, cropped):
    picture = np.pad(photograph(), 20, constant_values=255)
    picture[0:20:2, 10:] -= noise
    assert (without_margins(picture)[1][1] == 22) == cropped


@pytest.mark.parametrize(("count", "cropped"), [(4, True), (5, False)])
def test_a_row_of_a_margin_has_up_to_2_percent_other_pixels(count, cropped):
    picture = np.pad(photograph(), 20, constant_values=255)  # 200 pixels wide
    picture[3, 10 : 10 + count] = 0
    assert is_cropped(picture) == cropped


@pytest.mark.parametrize(("gap", "cropped"), [(20, True), (21, False)])
def test_four_fifths_of_the_strip_along_the_edge_have_other_colours(gap, cropped):
    """The strip has 3 pixels on each side of 100."""
    inner = np.full((100, 100), 150, np.uint8)
    inner[:, ::2] = 180
    part = slice(40, 40 + gap)
    inner[:3, part] = inner[-3:, part] = inner[part, :3] = inner[part, -3:] = 255
    assert is_cropped(np.pad(inner, 20, constant_values=255)) == cropped


@pytest.mark.parametrize(("period", "cropped"), [(13, True), (14, False)])
def test_a_photograph_has_grain_in_more_than_a_seventh_of_the_strip(period, cropped):
    """Two of the differences in each period are not 0: 0.154 or 0.143."""
    inner = np.full((183, 183), 150, np.uint8)
    inner[np.add.outer(np.arange(183), np.arange(183)) % period == 0] = 160
    assert is_cropped(np.pad(inner, 20, constant_values=255)) == cropped


@pytest.mark.parametrize(("noise", "cropped"), [(2, True), (3, False)])
def test_the_corner_of_a_margin_has_no_noise(noise, cropped):
    """A thick 1 on even paper has grain, as the paper does."""
    picture = np.pad(photograph(), 20)
    picture[::2] += np.uint8(noise)
    assert is_cropped(picture) == cropped


@pytest.mark.parametrize("thick", [1, 2])
def test_a_shaded_table_on_a_white_page_keeps_its_outer_lines(thick):
    table = np.full((301, 401), 225, np.uint8)
    table[:, 200:] = 180
    for k in range(thick):
        table[k::50] = table[:, k::50] = 40
    table[-thick:] = table[:, -thick:] = 40
    assert not is_cropped(np.pad(table, 60, constant_values=255))
