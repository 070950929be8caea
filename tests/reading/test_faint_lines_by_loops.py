"""Faint lines of grids agree with windows and shifts, written from the description."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from lenet.reading import grids as module
from lenet.reading.grids import faint_lines_between

cv2 = pytest.importorskip("cv2")


def along(image, size, axis, reduce, **options):
    """A function of the windows of an odd or even size along one axis."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = (size // 2, (size - 1) // 2)
    return reduce(sliding_window_view(np.pad(image, widths, **options), size, axis=axis), axis=-1)


def shifted(image, slope):
    """The image with each column shifted up by the slope times its distance from the middle."""
    height, width = image.shape
    result = np.zeros_like(image)
    for x in range(width):
        up = round(slope * (x - width / 2))
        for y in range(height):
            if 0 <= y + up < height:
                result[y, x] = image[y + up, x]
    return result


def lines_by_definition(darkness, width, height, slopes):
    """Pixels darker than the paper a quarter of a height away, by twice the mean around them and three levels.

    A line has such pixels in three quarters of 0.8 widths, and goes as far as they do.
    """
    size, length = round(height / 4) | 1, round(0.8 * width)
    lightest = along(darkness, size, 0, np.min, constant_values=255)
    ridges = darkness - along(lightest, size, 0, np.max, constant_values=0)
    noise = along(np.minimum(ridges, 24).astype(float), round(height), 0, np.mean, mode="reflect")
    noise = np.rint(along(noise, round(width), 1, np.mean, mode="reflect"))
    above = ridges - 2 * noise > 3
    lines = np.zeros(darkness.shape, bool)
    for slope in slopes:
        level = along(shifted(above, slope), 3, 0, np.max, constant_values=False)
        middles = np.rint(255 * along(level.astype(float), length, 1, np.mean, mode="reflect")) >= 0.75 * 255
        lines |= shifted(along(middles, length // 2 | 1, 1, np.max, constant_values=False), -slope)
    return lines


def grid(seed, width, height, level, noise):
    """Noise, and two lines in each direction that are darker by some levels."""
    rng = np.random.default_rng(seed)
    darkness = rng.integers(0, noise + 1, (3 * height, 3 * width), np.uint8)
    for n in (1, 2):
        darkness[n * height, rng.random(3 * width) < 0.95] += level
        darkness[rng.random(3 * height) < 0.95, n * width] += level
    return darkness


@pytest.mark.parametrize(("width", "height"), [(31, 22), (21, 26)])
@pytest.mark.parametrize(("level", "noise"), [(9, 2), (60, 8)])
@pytest.mark.parametrize("slopes", [[0.0], [-0.06, 0.03]])
def test_faint_lines_are_those_of_the_definition(width, height, level, noise, slopes):
    darkness = grid(0, width, height, level, noise)
    expected = lines_by_definition(darkness, width, height, slopes)
    found = module._faint_lines(np.ascontiguousarray(darkness.T), width, height, np.array(slopes)).T
    assert 0.01 < expected.mean() < 0.5
    np.testing.assert_array_equal(found > 0, expected)


def across(levels):
    """The rows in which a line is found across a picture, whose rows have these levels."""
    darkness = np.tile(np.array(levels, np.uint8)[:, np.newaxis], (1, 150))
    found = module._faint_lines(np.ascontiguousarray(darkness.T), 50, 40, np.zeros(1)).T
    return np.flatnonzero(found.all(axis=1)).tolist()


def rows(level, *places):
    levels = np.zeros(120, int)
    levels[list(places)] = level
    return levels


@pytest.mark.parametrize(("level", "found"), [(3, []), (4, [59, 60, 61])])
def test_a_line_is_darker_by_more_than_three_levels(level, found):
    assert across(rows(level, 60)) == found


@pytest.mark.parametrize(("level", "found"), [(6, False), (7, False), (8, True), (200, True)])
def test_a_line_exceeds_twice_the_mean_of_what_is_around_it(level, found):
    """Every fourth row is a line, so that the mean is a quarter of the level, rounded, or of 24."""
    assert bool(across(rows(level, *range(0, 120, 4)))) is found


@pytest.mark.parametrize(("level", "found"), [(27, False), (28, True)])
def test_lines_of_more_than_24_levels_do_not_raise_the_mean_further(level, found):
    """Every second row is a line, so that twice the mean is 24."""
    assert bool(across(rows(level, *range(0, 120, 2)))) is found


@pytest.mark.parametrize(("thick", "found"), [(10, True), (11, False)])
def test_a_line_is_thinner_than_a_quarter_of_a_cell(thick, found):
    assert bool(across(rows(12, *range(50, 50 + thick)))) is found


@pytest.mark.parametrize(("dark", "found"), [(30, False), (31, True)])
def test_a_line_has_dark_pixels_along_more_than_three_quarters_of_0_8_cells(dark, found):
    """There are 30 or 31 in each 40 pixels."""
    darkness = np.zeros((120, 160), np.uint8)
    darkness[60, np.arange(160) % 40 < dark] = 9
    lines = module._faint_lines(np.ascontiguousarray(darkness.T), 50, 40, np.zeros(1))
    assert lines[80].any() == found


def picture_of_cells(angle, width=40, height=30, level=8):
    """Three rows of four cells, faint lines between them, and outlines of the cells that are enclosed."""
    turn = cv2.getRotationMatrix2D((100, 80), angle, 1.0)
    darkness, expected, cells = np.zeros((3, 160, 200), np.uint8)[0], np.zeros((160, 200), np.uint8), []

    def place(points):
        return np.rint(np.array(points) @ turn[:, :2].T + turn[:, 2]).astype(np.int32)

    left, top = 20, 35
    for x in range(left, left + 4 * width + 1, width):
        cv2.line(expected, *place([(x, top), (x, top + 3 * height)]).tolist(), 1)
    for y in range(top, top + 3 * height + 1, height):
        cv2.line(expected, *place([(left, y), (left + 4 * width, y)]).tolist(), 1)
    for row in range(3):
        for column in range(4):
            x, y = left + column * width, top + row * height
            box = [(x + 2, y + 2), (x + width - 2, y + 2), (x + width - 2, y + height - 2), (x + 2, y + height - 2)]
            cells.append(place(box)[:, np.newaxis])
    darkness[expected > 0] = level
    return darkness, expected, cells


@pytest.mark.parametrize("angle", [0, 4, -4, 11, -11])
def test_the_lines_between_cells_are_found_in_the_directions_of_the_grid(angle):
    darkness, expected, cells = picture_of_cells(angle)
    found = faint_lines_between(darkness, cells)
    assert found[expected > 0].mean() > 0.95
    beside = cv2.dilate(expected, np.ones((7, 7), np.uint8)) == 0
    assert found[beside].mean() < 0.02
    assert set(np.unique(found)) == {0, 1}


@pytest.mark.parametrize(("slope", "found"), [(0.09, 1), (-0.09, 1), (0.2, 0), (-0.2, 0)])
@pytest.mark.parametrize("turned", [False, True])
def test_lines_in_perspective_differ_by_0_09_from_the_direction_of_the_grid(slope, found, turned):
    cell = np.array([(20, 30), (180, 30), (180, 150), (20, 150)], np.int32)[:, np.newaxis]
    line = np.zeros((200, 200), np.uint8)
    for x in range(200):
        line[round(100 + slope * (x - 100)), x] = 9
    line = line.T.copy() if turned else line
    assert faint_lines_between(line, [cell])[line > 0].mean() == pytest.approx(found, abs=0.05)


def test_long_lines_in_the_direction_of_the_grid_are_found():
    cell = np.array([(10, 10), (609, 10), (609, 70), (10, 70)], np.int32)[:, np.newaxis]
    line = np.zeros((80, 620), np.uint8)
    line[40] = 9
    assert faint_lines_between(line, [cell])[40].all()
