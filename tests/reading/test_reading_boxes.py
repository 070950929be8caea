"""Rows of printed boxes and combs with two rules are erased, and the digits that touch their lines stay whole."""

import numpy as np
import pytest

import lenet
from lenet.reading import Field, read, read_form
from lenet.reading.boxes import lines_of_boxes, without_boxes
from lenet.reading.page import Page

cv2 = pytest.importorskip("cv2")


def row(count=6, width=44, height=56, line=2, tooth=None):
    """Boxes with lines of 2 pixels that begin at multiples of the width; teeth stand on the lower rule."""
    drawn = np.zeros((height + line, count * width + line), np.uint8)
    drawn[:line] = drawn[-line:] = 1
    drawn[:, :line] = drawn[:, -line:] = 1
    for n in range(1, count):
        drawn[0 if tooth is None else -line - tooth :, n * width : n * width + line] = 1
    return drawn


def found(stroke):
    lines = lines_of_boxes(stroke)
    return None if lines is None else lines.rules | lines.uprights


@pytest.mark.parametrize("tooth", [None, 20])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_all_lines_of_a_row_of_boxes_are_found(count, tooth):
    drawn = row(count, tooth=tooth)
    np.testing.assert_array_equal(found(drawn), drawn)


@pytest.mark.parametrize(
    ("stroke", "expected"),
    [
        (row(3, width=28), True),  # half of 56
        (row(3, width=27), False),
        (row(width=72), True),  # 1.29
        (row(width=76), False),  # a table
        (row(width=20, height=20), True),
        (row(width=18, height=18), False),
        (row(height=56, line=6), True),  # 0.107 of the height
        (row(height=56, line=8), False),  # 0.14: strokes, such as 00
        (row(tooth=15), True),  # with the rule, more than a quarter
        (row(tooth=10), False),
        (row(41), False),
        (np.vstack([row(), row()]), False),  # two rows: a grid
        (np.delete(row(), np.s_[88:90], axis=1), False),  # a box of which the right side is missing
        (row(1, width=76), False),
        (np.vstack([row(1, height=40), row(1, height=40)]), False),
        (np.zeros((40, 40), np.uint8), False),
    ],
)  # fmt: skip
def test_boxes_have_usual_sizes_and_all_their_lines(stroke, expected):
    assert (found(stroke) is not None) == expected


@pytest.mark.parametrize(("stop", "expected"), [(11, True), (12, False)])
def test_sides_have_0_8_of_the_height(stop, expected):
    """Of 56 pixels, 45 and 44 are left."""
    drawn = row(1)
    drawn[2:stop, :2] = 0
    assert (found(drawn) is not None) == expected


def test_the_bar_of_a_digit_in_a_single_box_stays():
    drawn = row(1)
    with_bar = drawn.copy()
    with_bar[15:17, 6:40] = 1
    np.testing.assert_array_equal(found(with_bar), drawn)


@pytest.mark.parametrize(("columns", "expected"), [(239, True), (240, False)])
def test_a_row_with_a_third_rule_is_a_table(columns, expected):
    drawn = row()
    drawn[28:30, :columns] = 1  # 0.898 or 0.902 of the width
    assert (found(drawn) is not None) == expected


def test_two_rules_without_sides_are_not_a_box():
    drawn = np.zeros((58, 46), np.uint8)
    drawn[:2] = drawn[-2:] = 1
    cv2.line(drawn, (45, 0), (0, 57), 1, 2)  # a Z
    assert found(drawn) is None


@pytest.mark.parametrize(("rows", "erased"), [(34, True), (38, False)])
def test_digits_and_lines_cover_at_most_0_6_of_a_row(rows, erased):
    drawn = row(2)
    drawn[10 : 10 + rows, 6:40] = drawn[10 : 10 + rows, 50:84] = 1
    drawn[20, :6] = drawn[20, 44:50] = 1  # one stroke
    assert (drawn.mean() <= 0.6) == erased
    ink = np.pad(255 * drawn, 20)
    assert without_boxes(Page(ink, ink.shape)).ink[20:22, 20:-20].any() != erased


def test_a_line_that_is_not_in_its_place_stays():
    """The stem of a 1 in the middle of a box, from rule to rule."""
    drawn = row()
    with_stem = drawn.copy()
    with_stem[:, 66:68] = 1
    np.testing.assert_array_equal(found(with_stem)[3:-3], drawn[3:-3])


def test_shorter_teeth_are_erased_although_digits_extend_some_of_them():
    drawn = row(8, tooth=20)
    touched = drawn.copy()
    touched[10:40, 88:90] = touched[10:40, 176:178] = 1  # stems on two teeth, up to 18 pixels below the upper rule
    np.testing.assert_array_equal(found(touched), drawn)


@pytest.mark.parametrize("count", [2, 14])
@pytest.mark.parametrize("angle", [-3, -1, 0.5, 1, 2.5])
def test_tilted_rows_are_erased(angle, count):
    ink = np.pad(255 * row(count), 40)
    turn = cv2.getRotationMatrix2D((ink.shape[1] / 2, ink.shape[0] / 2), angle, 1.0)
    tilted = cv2.warpAffine(ink, turn, ink.shape[::-1])
    assert without_boxes(Page(tilted, tilted.shape)).ink.sum(dtype=int) < 0.02 * tilted.sum(dtype=int)


def test_strokes_that_cross_the_lines_stay_whole():
    ink = np.pad(255 * row(), 20)
    ink[40:46, 50:80] = 255  # a bar across the line between the first two boxes
    bar = np.zeros_like(ink)
    bar[40:46, 50:80] = 255
    cleared = without_boxes(Page(ink, ink.shape)).ink
    np.testing.assert_array_equal(cleared, bar)


@pytest.mark.parametrize(
    ("sides", "shift", "erased"),
    [
        ((44, 56), (88, 0), True),  # twice the width
        ((44, 56), (90, 0), False),  # check boxes
        ((44, 56), (60, 11), True),  # 0.2 of the height
        ((44, 56), (60, 12), False),
        ((52, 56), (60, 0), True),  # 1.18 times as wide
        ((54, 56), (60, 0), False),
    ],
)
def test_single_boxes_are_erased_if_they_have_equal_neighbours(sides, shift, erased):
    ink = np.zeros((120, 200), np.uint8)
    for (width, height), (x, y) in (((44, 56), (0, 0)), (sides, shift)):
        left, top = 20 + x + (44 - width) // 2, 20 + y
        ink[top : top + height + 2, left : left + width + 2] = 255 * row(1, width, height)
    assert (not without_boxes(Page(ink, ink.shape)).ink.any()) == erased


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(
    ("drawn", "erased"),
    [
        (row(5), True),
        (row(4, width=29), True),  # 118 pixels long: four boxes that are half as wide as high have 116
        (row(4)[:-2], True),  # open at the bottom
        (row(3)[:-2], False),  # four teeth
        (row(6, tooth=20)[2:], True),  # a comb
    ],
)  # fmt: skip
def test_rows_on_a_page_that_is_turned(drawn, erased, turns):
    ink = np.rot90(np.pad(255 * drawn, 20), turns).copy()
    assert (not without_boxes(Page(ink, ink.shape)).ink.any()) == erased


def test_digits_that_cross_the_lines_of_a_turned_row_stay_whole():
    """A stem in the second box crosses the upper rule, which is the only one, and remains upside down."""
    drawn = np.pad(255 * row(5)[:-2], 20)
    digit = np.zeros_like(drawn)
    digit[10:50, 84:88] = 255
    turned = np.rot90(np.maximum(drawn, digit), 2).copy()
    left = without_boxes(Page(turned, turned.shape)).ink
    np.testing.assert_array_equal(left, np.rot90(digit, 2))


@pytest.mark.parametrize(("line", "height", "erased"), [(3, 60, True), (3, 59, False), (5, 60, False)])
def test_thick_empty_boxes_may_be_zeros_with_square_corners(line, height, erased):
    """Lines of 0.05, 0.051 or 0.083 of the height, as on the display of a meter: 00."""
    ink = np.zeros((120, 200), np.uint8)
    ink[20 : 20 + height + line, 20 : 60 + line] = 255 * row(1, 40, height, line)
    ink[20 : 20 + height + line, 80 : 120 + line] = 255 * row(1, 40, height, line)
    assert (not without_boxes(Page(ink, ink.shape)).ink.any()) == erased


@pytest.fixture(scope="module")
def form():
    """Eight digits of scikit-learn in boxes with teeth or whole lines, each moved until it touches the line before."""
    digits = lenet.data.load_digits()
    chosen = np.flatnonzero(np.isin(digits.y_test, [2, 3, 5, 6, 8]))[:8]
    pages = {}
    for tooth in (None, 20):
        page = np.pad(255 * row(8, tooth=tooth), 40)
        for n, k in enumerate(chosen):
            digit = cv2.resize(digits.X_test[k], (64, 64), interpolation=cv2.INTER_CUBIC)
            left, top, width, height = cv2.boundingRect((digit > 128).view(np.uint8))
            cut = digit[top : top + height, left : left + width]
            place = np.s_[40 + 52 - height : 40 + 52, 41 + 44 * n : 41 + 44 * n + width]
            page[place] = np.maximum(page[place], cut)
        pages[tooth] = 255 - page
    return pages, "".join(map(str, digits.y_test[chosen]))


@pytest.mark.parametrize("tooth", [None, 20])
def test_digits_that_touch_boxes_are_read(form, tooth):
    pages, numbers = form
    assert read(pages[tooth]).text == numbers
    [value] = read_form(pages[tooth], [Field("number", box=(0, 0, 1, 1), digits=8)])
    assert value.value == numbers


def test_at_most_600_rows_of_a_page_are_erased():
    """The time of the search is limited."""
    ink = np.zeros((21 * 24, 48 * 45), np.uint8)
    for top in range(0, 504, 24):
        for left in range(0, 2160, 45):
            ink[top : top + 22, left : left + 42] = 255 * row(2, 20, 20)
    left = without_boxes(Page(ink, ink.shape)).ink
    assert len(Page(left, left.shape).strokes.boxes) == 21 * 48 - 600
