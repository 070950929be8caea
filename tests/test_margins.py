"""Margins of one colour around photographs, against places known by construction."""

import numpy as np
import pytest

import lenet
from lenet.reading import read

pytest.importorskip("cv2")

from lenet.reading.margins import without_margins


def photograph(height=120, width=160):
    """Grainy paper, lighter on the right, with a dark stroke."""
    grain = np.random.default_rng(0).normal(0, 3, (height, width))
    grey = np.linspace(120, 200, width) + grain
    grey[height // 3 : height // 2, width // 4 : width // 2] -= 80
    return grey.clip(0, 255).astype(np.uint8)


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


def framed():
    """Writing in a frame: most of the strip along the edge is paper."""
    page = np.full((200, 300), 255, np.uint8)
    page[[0, -1]] = page[:, [0, -1]] = page[80:120, 100:110] = 0
    return page


@pytest.mark.parametrize(
    "picture",
    [
        np.full((50, 60), 255, np.uint8),
        np.pad(np.zeros((80, 40), np.uint8), 20, constant_values=255),  # a 1
        np.pad(framed(), 20, constant_values=255),
        np.repeat(np.linspace(90, 210, 400), 300).reshape(400, 300).astype(np.uint8),  # a shadow without an edge
        np.pad(photograph(35, 60), 20),
    ],
)
def test_ink_frames_shadows_and_small_photographs_are_kept(picture):
    found, corner = without_margins(picture)
    assert found is picture
    assert corner == (0, 0)


def test_a_photograph_on_a_slide_is_read_like_the_photograph():
    """The margin is so large that most pixels have no noise."""
    digits, rng = lenet.data.load_digits().X_test[:4], np.random.default_rng(0)
    paper = rng.normal(170, 4, (100, 200)) * np.linspace(0.8, 1.1, 200)
    for n, digit in enumerate(digits):
        paper[36:64, 36 + 32 * n : 64 + 32 * n] -= digit / 255 * 90
    inner = paper.clip(0, 255).astype(np.uint8)
    expected, found = read(inner), read(np.pad(inner, 80, constant_values=255))
    assert found.text == expected.text == "1 4 7 0"
    for here, there in zip(found.lines[0].digits, expected.lines[0].digits, strict=True):
        np.testing.assert_allclose(np.subtract(here.box, 80), there.box, atol=1)
