"""Straight lines are found and erased at the limits of their length, thickness, number and darkness."""

import itertools

import numpy as np
import pytest
from drawn_ink import bars

from lenet.reading import read
from lenet.reading import rules as module
from lenet.reading.page import Page
from lenet.reading.rules import (
    erased,
    sheared,
    straight_lines,
    thickness_of,
    without_folds,
    without_printed_rules,
    without_rules,
)

pytest.importorskip("cv2")


def page_of(mask):
    return Page(mask * np.uint8(255), mask.shape)


# Lines


@pytest.mark.parametrize("slope", [-0.3, -0.07, 0.0, 0.05, 0.25, 2.0, -7.0])
@pytest.mark.parametrize("shape", [(12, 9), (31, 8), (40, 6)])
def test_shearing_shifts_each_row_by_the_slope_times_its_distance_from_the_middle(slope, shape):
    image = np.random.default_rng(0).integers(0, 2, shape, np.uint8)
    expected = np.zeros_like(image)
    for row in range(shape[0]):
        for column in range(shape[1]):
            source = column + round(slope * (row - shape[0] / 2))
            if 0 <= source < shape[1]:
                expected[row, column] = image[row, source]
    np.testing.assert_array_equal(sheared(image, slope), expected)


@pytest.mark.parametrize(("width", "found"), [(60, False), (61, True), (62, True)])
@pytest.mark.parametrize("thick", [1, 2, 5])
def test_lines_have_at_least_the_given_length(width, found, thick):
    mask = bars((40, 100), (20, 30, thick, width))
    np.testing.assert_array_equal(straight_lines(mask, 61), mask * found)


@pytest.mark.parametrize("slope", [-0.07, -0.035, 0.0, 0.035, 0.07])
def test_lines_at_each_of_the_usual_slopes_are_found_whole(slope):
    mask = np.zeros((150, 400), np.uint8)
    for column in range(30, 371):
        mask[75 + round(slope * (column - 200)), column] = 1
    np.testing.assert_array_equal(straight_lines(mask, 341), mask)


@pytest.mark.parametrize("slope", [-0.105, 0.105])
def test_steeper_lines_are_not_found(slope):
    mask = np.zeros((150, 400), np.uint8)
    for column in range(30, 371):
        mask[75 + round(slope * (column - 200)), column] = 1
    assert not straight_lines(mask, 341).any()


@pytest.mark.parametrize(("step", "found"), [(1, True), (2, False)])
def test_steps_of_one_pixel_do_not_break_a_line(step, found):
    mask = bars((30, 100), (10, 10, 1, 41), (10 + step, 51, 1, 40))
    np.testing.assert_array_equal(straight_lines(mask, 81, [0.0]), mask * found)


def test_the_thickness_of_lines_is_the_median_of_area_over_width():
    assert thickness_of(bars((40, 50), (1, 5, 1, 10), (10, 5, 2, 20), (20, 5, 7, 40))) == 2
    assert thickness_of(bars((40, 50), (1, 5, 3, 10))) == 3
    assert thickness_of(bars((40, 50), (1, 5, 1, 10), (2, 15, 2, 10))) == 1.5
    assert thickness_of(np.zeros((40, 50), np.uint8)) == 0


# Erasing


def erased_by_loops(ink, lines, thickness):
    """Keep pixels in vertical runs of 1.5 times the thickness and two pixels, and those much darker than the lines."""
    height, width = ink.shape
    limit = min(1.25 * np.percentile(ink[lines > 0], 75), 2 * np.median(ink[lines > 0]))
    kept = ink > limit
    for x in range(width):
        start = 0
        for y in range(height + 1):
            if y == height or ink[y, x] < 96:
                if y - start >= round(1.5 * thickness) + 2:
                    kept[start:y, x] = True
                start = y + 1
    expected = ink.copy()
    for y, x in np.argwhere((lines > 0) & ~kept):
        for near in range(max(0, y - 1), min(height, y + 2)):
            if not kept[near, x]:
                expected[near, x] = 0
    return expected


@pytest.mark.parametrize("thickness", [0.4, 0.9, 2.0, 2.3, 3.3])
@pytest.mark.parametrize("highest", [140, 256])
def test_erasing_keeps_long_vertical_runs_and_darker_pixels(thickness, highest):
    rng = np.random.default_rng(0)
    ink = rng.integers(60, highest, (30, 40), np.uint8)
    ink[rng.random(ink.shape) < 0.05], ink[rng.random(ink.shape) < 0.05] = 255, 190
    ink[::7, ::3] = 20
    lines = ((ink >= 96) & (rng.random(ink.shape) < 0.3)).astype(np.uint8)
    found = erased(ink, lines, thickness)
    np.testing.assert_array_equal(found, erased_by_loops(ink, lines, thickness))
    assert not np.array_equal(found, ink)


def test_pixels_more_than_a_quarter_darker_than_a_line_are_kept():
    lines = bars((9, 40), (4, 0, 1, 40))
    ink = lines * np.uint8(100)
    ink[4, 10:12] = 125, 126
    left = erased(ink, lines, 1.0)
    assert (left[4, 11], np.count_nonzero(left)) == (126, 1)


def test_pixels_twice_as_dark_as_a_line_are_kept_even_if_strokes_cover_a_quarter_of_it():
    lines = bars((9, 40), (4, 0, 1, 40))
    ink = lines * np.uint8(60)
    ink[4, :11], ink[4, 11] = 121, 120
    np.testing.assert_array_equal(erased(ink, lines, 1.0) > 0, bars((9, 40), (4, 0, 1, 11)))


def test_ink_without_lines_is_returned_itself():
    ink = np.full((4, 5), 200, np.uint8)
    assert erased(ink, np.zeros_like(ink), 1.0) is ink


class Bytes(np.ndarray):
    """Pixels that are compared with bytes only: NumPy 2.1.0 to 2.2.0 crash with integers above 255."""

    def __gt__(self, other):
        assert other <= 255
        return super().__gt__(other)


def test_ink_is_compared_with_at_most_255():
    lines = bars((20, 100), (10, 0, 2, 100))
    assert not erased((255 * lines).view(Bytes), lines, 2.0).any()


# Lines that are long compared with the writing


@pytest.mark.parametrize(("length", "erased"), [(32, False), (33, True)])
@pytest.mark.parametrize("turned", [False, True])
def test_lines_of_2_2_heights_are_erased(length, erased, turned):
    mask = bars((60, 80), (30, 20, 1, length))
    page = page_of(mask.T.copy() if turned else mask)
    assert without_rules(page, 15.0).ink.any() != erased
    assert (without_rules(page, 15.0) is page) != erased


def test_shorter_lines_beside_a_long_one_are_kept():
    short = bars((60, 80), (10, 20, 1, 31))
    page = page_of(short | bars((60, 80), (30, 20, 1, 50)))
    np.testing.assert_array_equal(without_rules(page, 15.0).ink, 255 * short)


@pytest.mark.parametrize(("thick", "erased"), [(10, True), (11, False)])
def test_lines_up_to_a_fifth_of_the_height_are_erased(thick, erased):
    """At a height of 45, a line counts as at most 5 pixels thick; runs of round(1.5 * 5) + 3 = 11 are strokes."""
    assert without_rules(page_of(bars((200, 300), (90, 50, thick, 150))), 45.0).ink.any() != erased


def on_line(arches, left, start, stop):
    """Arches of 16 by 16 pixels, side by side, on a line."""
    arch = bars((60, 16), (20, 4, 2, 8), (22, 2, 2, 3), (22, 11, 2, 3), (24, 0, 12, 2), (24, 14, 12, 2))
    mask = np.pad(np.tile(arch, arches), ((0, 0), (left, 90 - left - 16 * arches)))
    mask[34:36, start:stop] = 1
    return mask


@pytest.mark.parametrize(
    ("left", "start", "stop", "erased"),
    [
        (12, 12, 60, False),  # the bottoms of three linked digits
        (12, 7, 80, False),  # longer than the digits
        (4, 3, 52, False),
        (4, 2, 52, True),  # at the border of the picture
    ],
)
def test_the_bottoms_of_linked_digits_are_no_rule(left, start, stop, erased):
    found = without_rules(page_of(on_line(3, left, start, stop)), 15.0).ink
    middles = found[34:36, left + 3 : left + 48].reshape(2, -1)
    assert middles.all() != erased
    assert (found[20:34] == 255 * on_line(3, left, start, stop)[20:34]).mean() > 0.95


@pytest.mark.parametrize(("opened", "erased"), [(0, False), (1, False), (2, True)])
def test_the_bottoms_of_linked_digits_close_loops(opened, erased):
    """The line closes 12 columns below each of three arches, a quarter of its length, unless there is a gap."""
    mask = on_line(3, 12, 12, 60)
    for left in (12, 28, 44)[:opened]:
        mask[20:24, left + 7 : left + 9] = 0
    found = without_rules(page_of(mask), 15.0).ink
    assert found[34:36, 15:57].all() != erased


# Folds


FOLD = (0, 60, 200, 2)  # top, left, height and width: a hundred times as long as wide


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("strokes", "shape", "erased"),
    [
        ([FOLD], (300, 200), True),
        ([(100, 60, 200, 2)], (300, 200), True),  # at the lower border
        ([(1, 60, 200, 2)], (300, 200), False),  # at none
        ([(0, 60, 200, 4)], (300, 200), False),  # 50 times as long as wide
        ([(0, 60, 204, 4)], (300, 200), True),
        ([FOLD], (300, 100), False),  # a page half as wide as the line is long, such as a 1 cropped to its ink
        ([FOLD], (300, 101), True),
        ([FOLD, (80, 110, 90, 40)], (300, 200), True),  # beside writing
        ([FOLD, (80, 110, 91, 40)], (300, 200), False),  # 2.2 times of which is longer
        ([FOLD, (80, 62, 10, 10)], (300, 200), False),  # touches something
        ([FOLD, (0, 130, 200, 2)], (300, 200), True),
        ([], (300, 200), False),
    ],
)
def test_a_fold_is_a_long_thin_line_from_the_border_on(strokes, shape, erased, turned):
    mask = bars(shape, *strokes)
    others = bars(shape, *[stroke for stroke in strokes if stroke[3] > 4])
    mask, others = (np.ascontiguousarray(each.T if turned else each) for each in (mask, others))
    page = page_of(mask)
    found = without_folds(page)
    np.testing.assert_array_equal(found.ink, 255 * (others if erased else mask))
    assert (found is page) == (not erased)


@pytest.mark.parametrize(("bend", "erased"), [(0, True), (4, True), (16, False)])
def test_a_fold_is_straight_at_any_angle(bend, erased):
    rows = np.arange(300)
    mask = np.zeros((300, 300), np.uint8)
    for shift in range(3):
        mask[rows, 40 + rows // 2 + np.rint(bend * np.sin(rows / 300 * np.pi)).astype(int) + shift] = 1
    assert without_folds(page_of(mask)).ink.any() == (not erased)


@pytest.mark.parametrize("angle", [20, 75, 110])
def test_a_crease_on_a_blank_sheet_is_not_a_1(angle):
    y, x = np.mgrid[:500, :600]
    a = np.radians(angle)
    distance = (x - 300) * np.cos(a) + (y - 250) * np.sin(a)
    assert not read((220 - 60 * np.exp(-((distance / 2) ** 2))).astype(np.uint8)).lines


def test_a_page_with_a_leaning_line_but_no_rules_is_not_levelled():
    mask = np.zeros((400, 400), np.uint8)
    for row in range(20, 380):
        mask[row, 200 + row // 20] = 1
    page = page_of(mask)
    assert module._may_have_rule(page.strokes)
    assert without_printed_rules(page) is page


def test_a_page_without_strokes_has_no_rules():
    page = page_of(np.zeros((30, 40), np.uint8))
    assert without_rules(page, 15.0) is page
    assert without_printed_rules(page) is page


# Printed rules


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(50, 20, 1, 200)], True),
        ([(50, 20, 1, 199)], False),  # pixels
        ([(50, 20, 1, 300), (46, 60, 4, 1)], True),  # with a mark on it
        ([(50, 20, 2, 202)], True),  # 80 pens: 2 * 2 * 202 / (2 * 204 * pi / 4) is 2.52 pixels
        ([(50, 20, 2, 201)], False),
        ([(50, 20, 1, 300), (90, 608, 4, 12)], True),  # half of the extent of 600 pixels
        ([(50, 20, 1, 300), (90, 608, 4, 13)], False),
        ([(50, 20, 1, 300), (90, 608, 1, 11)], True),  # beside a speck
        ([(90, 30, 1, 50), (50, 20, 30, 300), (90, 40, 1, 50)], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_page_may_have_rules_if_its_longest_stroke_may_be_one(places, expected, turned):
    mask = bars((120, 640), *places)
    strokes = page_of(mask.T.copy() if turned else mask).strokes
    assert module._may_have_rule(strokes) is expected


@pytest.mark.parametrize(("count", "level", "expected"), [(401, 199, True), (400, 199, False), (401, 200, False)])
def test_more_than_400_strokes_without_dark_ink_may_be_parts_of_rules(count, level, expected):
    """The pages of a printed table have more strokes, but these are dark."""
    ink = np.zeros((160, 260), np.uint8)
    for n in range(count + 100):
        row, column = 2 + 6 * (n // 30), 2 + 8 * (n % 30)
        ink[row : row + 2, column : column + 3] = 120
        ink[row, column] = level if n < count else 255
    assert module._may_be_broken(Page(ink, ink.shape)) is expected


def printed(*places, span=400, shape=(200, 420), count=4):
    mask = bars(shape, *places)
    found, thickness = module._printed(mask, span, count)
    assert found.shape == mask.shape
    assert not (found & ~mask).any()
    return found.sum() / mask.sum(), thickness


@pytest.mark.parametrize(
    ("places", "found", "thickness"),
    [
        ([(20 + 40 * n, 60, 2, 300) for n in range(4)], 1, 2),
        ([(20 + 40 * n, 60, 2, 300) for n in range(3)], 0, 0),
        ([(20 + 40 * n, 60, 2, 200) for n in range(4)], 1, 2),  # half of the span
        ([(20 + 40 * n, 60, 2, 199) for n in range(4)], 0, 0),
        ([(20 + 40 * n, 60, 10, 251) for n in range(4)], 1, 10),  # more than 25 times as long as thick
        ([(20 + 40 * n, 60, 10, 250) for n in range(4)], 0, 0),
        ([(10, 10, 1, 300), (50, 10, 2, 300), (90, 10, 5, 300), (130, 10, 8, 300)], 1, 3.5),
    ],
)
def test_printed_rules_are_four_long_thin_lines(places, found, thickness):
    assert printed(*places) == (found, thickness)


@pytest.mark.parametrize(("count", "minimum", "found"), [(4, 4, 1), (3, 4, 0), (3, 3, 1), (1, 1, 1), (0, 1, 0)])
def test_printed_rules_have_a_minimum_number(count, minimum, found):
    places = [(20 + 40 * n, 60, 2, 300) for n in range(count)]
    assert printed(*places, (190, 400, 1, 1), count=minimum)[1] == 2 * found


@pytest.mark.parametrize(("gap", "found"), [(9, True), (11, False)])
def test_fewer_than_four_rules_have_ink_along_three_quarters_of_their_length(gap, found):
    """The others are columns of 1s. The last piece has no gap after it."""
    pieces = [(20, left, 2, 30) for left in range(10, 380, 30 + gap)]
    assert printed(*pieces, count=1)[0] == found


def test_parts_of_rules_are_found_beside_at_least_four_rules():
    rules, parts = [(20 + 40 * n, 60, 2, 300) for n in range(4)], [(40, 60, 2, 100), (80, 60, 2, 100)]
    assert printed(*rules, *parts)[0] == 1
    assert printed(*rules[:3], *parts, count=1)[0] == 900 / 1100


def test_only_the_pixels_of_rules_and_of_parts_of_others_are_returned():
    places = [*((20 + 40 * n, 60, 2, 300) for n in range(4)), (40, 60, 2, 60)]  # 0.15 spans
    mask = bars((200, 420), *places, (80, 60, 2, 59), (65, 80, 30, 2))
    found, thickness = module._printed(mask, 400, 4)
    np.testing.assert_array_equal(found, bars((200, 420), *places))
    assert thickness == 2


@pytest.mark.parametrize(
    ("span", "length", "gap", "found"),
    [
        (400, 25, 1, True),  # pieces of at least 25 pixels
        (400, 24, 1, False),
        (400, 40, 24, True),
        (400, 40, 25, False),  # and gaps of less
        (820, 41, 1, True),  # of a twentieth of the extent, if that is longer
        (820, 40, 1, False),
        (820, 41, 40, True),
        (820, 60, 41, False),
    ],
)
def test_rules_may_be_broken(span, length, gap, found):
    pieces = [(20 + 40 * n, left, 2, length) for n in range(4) for left in range(10, span - length, length + gap)]
    assert printed(*pieces, span=span, shape=(200, span + 20))[0] == found


@pytest.mark.parametrize(("step", "found"), [(3, True), (4, False)])
def test_the_overlapping_pieces_of_a_rule_are_at_most_two_rows_apart(step, found):
    pieces = [(20 + 40 * n + step * k, 60 + 56 * k, 1, 59) for n in range(4) for k in range(2)]
    assert printed(*pieces, span=230)[0] == found


def test_a_page_of_rules_is_levelled_and_the_writing_kept():
    mask = bars((300, 500), *[(40 + 50 * n, 10, 1, 480) for n in range(5)])
    writing = bars((300, 500), (55, 100, 20, 4), (130, 200, 40, 4))
    left = without_printed_rules(page_of(mask | writing))
    np.testing.assert_array_equal(left.ink > 0, writing > 0)
    np.testing.assert_array_equal(without_printed_rules(page_of((mask | writing).T.copy())).ink.T > 0, writing > 0)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 13, 20, 21])
def test_an_opening_keeps_the_runs_of_at_least_its_length(length):
    mask = (np.random.default_rng(length).random((20, 30)) < 0.85).astype(np.uint8)
    expected = np.zeros_like(mask)
    for column, kept in zip(mask.T, expected.T, strict=True):
        for start, stop in itertools.combinations(range(21), 2):
            if stop - start >= length and column[start:stop].all():
                kept[start:stop] = 1
    np.testing.assert_array_equal(module._opened(mask, length), expected)
