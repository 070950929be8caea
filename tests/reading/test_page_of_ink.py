"""The pages of ink keep the map from their pixels to those of the picture."""

import numpy as np
import pytest

from lenet._mnist_form import disc
from lenet.reading import page as module
from lenet.reading.page import Page

pytest.importorskip("cv2")


def page_with_block(shape, left, top, side=4):
    ink = np.zeros(shape, np.uint8)
    ink[top : top + side, left : left + side] = 255
    return Page(ink, shape, darkness=ink)


def centre_in_picture(page):
    """The centre of mass of the ink, in the picture."""
    y, x = np.nonzero(page.ink > 0)
    weights = page.ink[y, x].astype(float)
    at = np.average(np.column_stack([x, y]), axis=0, weights=weights) + 0.5
    return page.to_picture @ [*at, 1]


def test_a_page_has_the_pixels_of_its_picture_by_default():
    np.testing.assert_array_equal(Page(np.zeros((2, 3), np.uint8), (2, 3)).to_picture, [[1, 0, 0], [0, 1, 0]])


def test_boxes_in_the_picture_contain_all_four_corners():
    rng = np.random.default_rng(0)
    to_picture = rng.normal(size=(2, 3)) * [1, 1, 40] + [0, 0, 60]
    page = Page(np.zeros((50, 60), np.uint8), (101, 83), to_picture)
    starts = rng.integers(-10, 50, (30, 2))
    boxes = np.hstack([starts, starts + rng.integers(1, 30, (30, 2))])
    for found, (left, top, right, bottom) in zip(page.boxes_in_picture(boxes), boxes.tolist(), strict=True):
        corners = [(x, y) for x in (left, right) for y in (top, bottom)]
        a, b, c, d, e, f = to_picture.ravel()
        xs, ys = [a * x + b * y + c for x, y in corners], [d * x + e * y + f for x, y in corners]
        low = max(0, np.floor(min(xs))), max(0, np.floor(min(ys)))
        assert found == (*low, min(83, np.ceil(max(xs))), min(101, np.ceil(max(ys))))
        assert all(type(each) is int for each in found)


def test_boxes_in_the_picture_end_at_its_borders():
    page = Page(np.zeros((20, 30), np.uint8), (20, 30))
    boxes = np.array([(0, 0, 30, 20), (-3, -2, 4, 5), (25, 15, 31, 21)])
    assert page.boxes_in_picture(boxes) == [(0, 0, 30, 20), (0, 0, 4, 5), (25, 15, 30, 20)]


def test_other_ink_replaces_that_of_a_page():
    page = page_with_block((20, 30), 5, 6)
    assert page.with_ink(page.ink.copy()) is page
    other = page.with_ink(page.ink[::-1])
    np.testing.assert_array_equal(other.ink, page.ink[::-1])
    assert other.ink.flags.c_contiguous
    assert (other.picture_shape, other.darkness is page.darkness) == ((20, 30), True)
    assert other.to_picture is page.to_picture


def test_a_shrunk_page_shows_the_same_places():
    page = page_with_block((40, 60), 10, 20, 8).turned(1)
    small = page.shrunk(0.5)
    assert (small.ink.shape, small.darkness, small.picture_shape) == ((30, 20), None, (40, 60))
    assert page.to_picture.tolist() == [[0, -1, 60], [1, 0, 0]]
    assert small.to_picture.tolist() == [[0, -2, 60], [2, 0, 0]]
    for point in [(0, 0), (7, 3), (20, 30)]:
        np.testing.assert_allclose(small.to_picture @ [*point, 1], page.to_picture @ [2 * point[0], 2 * point[1], 1])
    assert small.boxes_in_picture(small.strokes.boxes) == [(10, 20, 18, 28)]
    np.testing.assert_array_equal(small.shrunk(0.5).to_picture, page.shrunk(0.25).to_picture)


@pytest.mark.parametrize(("width", "expected"), [(1, 6 / 4), (2, 5 / 4), (9, 9 / 4)])
def test_thin_strokes_are_widened_before_a_page_is_shrunk(width, expected):
    """A line should have 6 pixels. Its width seems 4/pi as large as it is, so lines of 1 and 2 lack 5 and 3."""
    ink = np.zeros((200, 200), np.uint8)
    ink[20:180, 100 : 100 + width] = 255
    small = Page(ink, ink.shape).shrunk(0.25).ink
    assert small[25].sum() / 255 == pytest.approx(expected, abs=0.01)


def test_strokes_are_widened_by_at_most_20_pixels_at_once(monkeypatch):
    """A line of 1 lacks 36 of the 38 pixels for a scale of 0.04. A disc of that size would take four times as long."""
    ink = np.zeros((1500, 1500), np.uint8)
    ink[100:1400, 700] = 255
    sides = []
    monkeypatch.setattr(module, "disc", lambda side: sides.append(side) or disc(side))
    small = Page(ink, ink.shape).shrunk(0.04)
    assert small.ink.shape == (60, 60)
    assert small.to_picture.tolist() == [[25, 0, 0], [0, 25, 0]]
    assert small.ink[30].sum() / 255 == pytest.approx(1.5, abs=0.05)
    assert max(sides) <= 21


@pytest.mark.parametrize("turns", range(6))
def test_turns_are_quarters_counter_clockwise(turns):
    page = page_with_block((20, 30), 4, 7, 3)
    turned = page.turned(turns)
    np.testing.assert_array_equal(turned.ink, np.rot90(page.ink, turns))
    assert turned.ink.flags.c_contiguous
    assert turned.darkness is (None if turns else page.darkness)
    assert turned.boxes_in_picture(turned.strokes.boxes) == [(4, 7, 7, 10)]


@pytest.mark.parametrize("angle", [0.0, 0.7499, -0.7499])
def test_a_page_is_not_levelled_by_less_than_three_quarters_of_a_degree(angle):
    page = page_with_block((20, 30), 5, 6)
    assert page.levelled(angle) is page


@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("angle", [0.75, -0.75, 1.0, -20.0, 30.0])
def test_a_line_that_falls_by_the_angle_becomes_level(turns, angle):
    page = page_with_block((100, 160), 30, 20, 5).turned(turns)
    level = page.levelled(angle)
    assert level is not page
    assert level.darkness is None
    rows, columns = page.ink.shape
    turn = np.radians(angle)
    height, width = level.ink.shape
    assert width == int(columns * np.cos(turn) + rows * abs(np.sin(turn)))
    assert height == int(rows * np.cos(turn) + columns * abs(np.sin(turn)))
    along = np.linalg.inv(page.to_picture[:, :2]) @ level.to_picture @ [1, 0, 0]
    np.testing.assert_allclose(along, [np.cos(turn), np.sin(turn)], atol=1e-12)
    middles = level.to_picture @ [width / 2, height / 2, 1], page.to_picture @ [columns / 2, rows / 2, 1]
    np.testing.assert_allclose(*middles, atol=1e-9)
    np.testing.assert_allclose(centre_in_picture(level), [32.5, 22.5], atol=1)
    np.testing.assert_allclose(np.linalg.det(level.to_picture[:, :2]), 1)
