"""Strokes, and the lines that they form, against limits and places computed by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from lenet.data import load_digits
from lenet.errors import InputError
from lenet.reading import grouping, lines, read, strokes
from lenet.reading.lines import InkLine, find_lines
from lenet.reading.page import Page, page_of, pages_of

cv2 = pytest.importorskip("cv2")

# Strokes


def test_ink_of_level_96_is_a_stroke():
    assert strokes.mask_of(np.array([[0, 95, 96, 255]], np.uint8)).tolist() == [[0, 0, 1, 1]]


def test_strokes_have_boxes_and_areas_and_diagonal_neighbours_are_connected():
    ink = np.zeros((9, 12), np.uint8)
    ink[1, 2:7] = ink[2, 7] = ink[5:8, 10] = 96
    found = strokes.strokes_of(ink)
    assert found.boxes.tolist() == [[2, 1, 8, 3], [10, 5, 11, 8]]
    assert found.boxes.dtype == found.areas.dtype == np.int64
    assert found.areas.tolist() == [6, 3]
    assert found.widths.tolist() == [6, 1]
    assert found.heights.tolist() == [2, 3]
    assert found.lengths.tolist() == [6, 3]
    expected = np.zeros((9, 12))
    expected[1, 2:7] = expected[2, 7] = 1
    expected[5:8, 10] = 2
    np.testing.assert_array_equal(found.labels, expected)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 1, 2, 3), True), ((1, 0, 2, 3), True), ((1, 1, 12, 3), True), ((1, 1, 2, 9), True),
        ((1, 1, 11, 8), False), ((1, 1, 9, 3), False),
    ],
)  # fmt: skip
def test_strokes_at_the_border(box, expected):
    found = strokes.Strokes(np.zeros((9, 12), np.uint16), np.array([box]), np.array([9]))
    assert found.at_border.tolist() == [expected]


def drawn(*boxes):
    """The strokes of a page of filled rectangles, each with a hole of some rows, 8 pixels narrower."""
    ink = np.zeros((200, 300), np.uint8)
    for (left, top, right, bottom), hole in boxes:
        ink[top:bottom, left:right] = 255
        ink[top + 4 : top + 4 + hole, left + 4 : right - 4] = 0
    return strokes.strokes_of(ink)


LETTERS = [((10 + 40 * k, 10, 34 + 40 * k, 40), 22) for k in range(3)]  # 30 pixels high; 352 of 720 pixels are holes


@pytest.mark.parametrize(
    ("box", "hole", "height", "is_writing"),
    [
        ((10, 60, 110, 160), 0, 30, False),  # a block
        ((10, 60, 110, 160), 33, 100, True), ((10, 60, 110, 160), 32, 30, False),  # with 69.6% and 70.6% ink
        ((10, 60, 46, 96), 0, 36, True), ((10, 60, 47, 97), 0, 30, False),  # 1.2 times as high as the writing
        ((10, 60, 200, 96), 0, 36, True), ((10, 60, 200, 97), 0, 30, False),
        ((10, 60, 60, 160), 0, 100, True), ((10, 60, 61, 160), 0, 30, False),  # a 1 is at most half as wide as high
    ],
)  # fmt: skip
def test_blocks_are_not_writing_and_do_not_determine_its_height(box, hole, height, is_writing):
    found = drawn(*LETTERS, (box, hole))
    assert found.writing_height == height
    assert (3 in found.writing(height)) == is_writing


@pytest.mark.parametrize(("width", "is_solid"), [(33, False), (34, True)])
def test_a_fingertip_is_at_least_a_third_as_wide_as_high(width, is_solid):
    assert drawn(((0, 60, width, 160), 0))._are_solid.tolist() == [is_solid]


@pytest.mark.parametrize(("cut", "is_solid"), [(49, True), (50, False)])
@pytest.mark.parametrize("left", [0, 1])
def test_a_fingertip_fills_more_than_half_of_its_box_at_the_border(cut, is_solid, left):
    ink = np.zeros((200, 300), np.uint8)
    block = ink[60:160, left : left + 100]
    block[:, ::2] = block[0] = 255  # 5,050 pixels with gaps of 1
    block[100 - cut :, 98] = 0
    assert strokes.strokes_of(ink)._are_solid.tolist() == [is_solid and left == 0]


@pytest.mark.parametrize(("thickness", "is_thick"), [(60, False), (61, True)])
def test_a_fingertip_is_thicker_than_six_tenths_of_its_box(thickness, is_thick):
    ink = np.zeros((200, 300), np.uint8)
    ink[60:160, :thickness] = ink[60, :100] = 255
    assert strokes.strokes_of(ink)._is_thick(0) == is_thick


def test_a_bold_heading_at_the_border_is_not_a_fingertip():
    digits = load_digits().X_test
    heading = cv2.resize(np.hstack(digits[183:187]), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    heading = cv2.dilate(heading, np.ones((5, 5), np.uint8))
    rows = np.flatnonzero(heading.max(axis=1) > 127)
    page = np.pad(heading[rows[0] :], ((0, 200), (40, 40)))
    page[150:194, 60:236] = np.hstack([cv2.resize(digit, (44, 44)) for digit in digits[:4]])
    assert read(255 - page).lines[0].text.replace(" ", "") == "2597"


@pytest.mark.parametrize(
    ("box", "area", "may_be_mark"),
    [((0, 0, 49, 19), 15, True), ((0, 0, 50, 19), 15, False), ((0, 0, 49, 20), 15, False), ((0, 0, 49, 19), 14, False)],
)
def test_marks_are_shorter_than_0_4_heights_and_narrower_than_one(box, area, may_be_mark):
    found = strokes.Strokes(np.zeros((60, 60), np.uint16), np.array([box]), np.array([area]))
    assert found.short(50.0).tolist() == [0] * may_be_mark


def test_blocks_determine_the_height_if_there_is_nothing_else():
    assert drawn(((10, 60, 50, 90), 0), ((60, 60, 100, 100), 0)).writing_height == 40


def test_small_digits_are_read_beside_a_fingertip_at_the_border():
    digits = load_digits()
    page = np.pad(255 - np.hstack(digits.X_test[183:187]), ((40, 300), (60, 200)), constant_values=255)
    cv2.ellipse(page, (0, 260), (60, 80), 0, 0, 360, 90, -1)
    skin = np.random.default_rng(0).uniform(0, 255, (160, 60)) > 180
    page[180:340, :60][skin] = 255
    assert read(page).text.replace(" ", "") == "".join(map(str, digits.y_test[183:187]))


def test_digits_beside_a_block_are_read():
    digits = load_digits()
    page = np.pad(255 - np.hstack(digits.X_test[183:187]), ((20, 20), (20, 200)), constant_values=255)
    page[10:58, 160:300] = 0
    assert read(page).text.replace(" ", "") == "".join(map(str, digits.y_test[183:187]))


@pytest.mark.parametrize(("runs", "dtype"), [(65_534, np.uint16), (65_535, np.int32)])
def test_labels_have_16_bits_if_they_suffice_for_all_runs(runs, dtype):
    mask = np.zeros((130, 1400), np.uint8)
    mask[::2, ::2] = 1
    mask[1::2, 1::2] = 1
    row, column = np.nonzero(mask)
    mask[row[runs:], column[runs:]] = 0
    assert strokes._count_runs(mask) == runs
    assert strokes.components_of(mask).labels.dtype == dtype


def test_the_pixels_of_chosen_strokes_and_their_areas_in_a_region():
    mask = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], np.uint8)
    found = strokes.components_of(mask)
    assert found.areas.tolist() == [3, 2, 1]
    for chosen in (np.array([0, 2]), np.array([True, False, True])):
        assert found.pixels_of(chosen).sum(axis=1).tolist() == [2, 1, 0, 1]
        assert found.pixels_of(chosen, np.s_[:2, 1:]).tolist() == [[True, False, False], [True, False, False]]
    for region in (np.s_[1:, :], np.arange(16).reshape(4, 4) > 3):
        assert found.areas_in(region).tolist() == [1, 1, 1]


def test_runs_are_counted_in_each_row():
    mask = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]], np.uint8)
    assert strokes._count_runs(mask) == 2 + 1 + 0 + 3


@pytest.mark.parametrize(("pixels", "expected"), [([], True), ([(0, 0), (1, 1)], True), ([(0, 0), (2, 2)], False)])
def test_a_mask_without_gaps_is_connected(pixels, expected):
    mask = np.zeros((4, 5), np.uint8)
    for pixel in pixels:
        mask[pixel] = 1
    assert strokes.is_connected(mask) is expected


# Lines


def groups_of(*boxes, height=10.0):
    """The boxes of each line, as their numbers."""
    members = np.arange(len(boxes))
    return [line.tolist() for line in grouping.grouped(SimpleNamespace(boxes=np.array(boxes)), members, height)]


@pytest.mark.parametrize(
    ("box", "is_linked"),
    [
        ((49, 0, 59, 20), True), ((50, 0, 60, 20), False),  # a gap of four heights
        ((49, 0, 170, 20), True), ((49, 0, 171, 20), False),  # a middle ten heights to the right
        ((12, 11, 22, 31), True), ((12, 12, 22, 32), False),  # 0.4 of the height in common
        ((12, 15, 22, 25), True), ((12, 16, 22, 26), False),  # 0.4 of the height of the lower one
        ((12, -11, 22, 9), True), ((12, -12, 22, 8), False),
    ],
)  # fmt: skip
def test_a_stroke_is_linked_to_the_next_one_at_its_level(box, is_linked):
    assert len(groups_of((0, 0, 10, 20), box)) == 2 - is_linked


@pytest.mark.parametrize(("gap", "low", "is_linked"), [(5, 6, True), (6, 6, False), (6, 5, True)])
def test_a_stroke_is_linked_to_all_that_are_within_06_heights_and_behind_low_ones(gap, low, is_linked):
    """A stroke of five or six pixels is nearer than the last one, and above it."""
    boxes = (0, 0, 10, 20), (11, 0, 13, low), (10 + gap, 10, 30, 30)
    assert groups_of(*boxes) == ([[0, 1, 2]] if is_linked else [[0, 1], [2]])


@pytest.mark.parametrize(
    ("bar", "is_linked"),
    [
        ((2, 6, 13, 9), True), ((2, 6, 14, 9), False),  # a width of 1.2 heights
        ((2, 5, 12, 8), False), ((2, 6, 12, 10), False),  # a gap of 0.2, and a height of 0.35 heights
        ((-4, 6, 6, 9), True), ((-5, 6, 5, 9), False),  # half of it above the digit
        ((14, 6, 24, 9), True), ((15, 6, 25, 9), False),
    ],
)  # fmt: skip
def test_a_bar_just_above_a_digit_is_linked_to_it(bar, is_linked):
    """The digit has 20 by 30 pixels, and a bar below it is not linked."""
    assert len(groups_of((0, 10, 20, 40), bar)) == 2 - is_linked
    left, top, right, bottom = bar
    assert len(groups_of((0, 10, 20, 40), (left, 50 - bottom, right, 50 - top))) == 2


@pytest.mark.parametrize(("width", "is_linked"), [(16, True), (15, False)])
def test_a_bar_is_wider_than_tall(width, is_linked):
    """The others are ticks, such as the end of a comma on the line above."""
    assert len(groups_of((0, 50, 100, 200), (40, 30, 40 + width, 45), height=50.0)) == 2 - is_linked


@pytest.mark.parametrize(("lower", "order"), [(4, [1, 0]), (5, [0, 1])])
def test_lines_whose_middles_are_within_half_a_height_are_sorted_from_the_left(lower, order):
    boxes = (500, 0, 510, 20), (0, lower, 10, 20 + lower)
    assert [line for [line] in groups_of(*boxes)] == order
    assert [line for [line] in groups_of(*boxes, (900, lower + 4, 910, 24 + lower))] == [*order, 2]


@pytest.mark.parametrize("offsets", [[0, 4, 8, 12], [12, 8, 4, 0], [0, 4, 7, 3]], ids=["falls", "rises", "bends"])
def test_rows_may_slope_or_bend(offsets):
    """Lines beside each other are at most 0.4 heights apart, and the rows 1.2 heights."""
    boxes = [(300 * n, top + y, 300 * n + 10, top + y + 10) for top in (12, 0) for n, y in enumerate(offsets)]
    assert groups_of(*boxes) == [[4], [5], [6], [7], [0], [1], [2], [3]]


def test_linked_items_are_in_one_group():
    links = [(0, 1), (2, 3), (5, 4), (1, 3)]
    roots = grouping.linked(7, links)
    assert [[n for n in range(7) if roots[n] == root] for root in dict.fromkeys(roots.tolist())] == [
        [0, 1, 2, 3],
        [4, 5],
        [6],
    ]


# Pages


def test_pictures_above_3_100_000_pixels_are_shrunk():
    grey = np.full((1250, 2500), 200, np.uint8)
    grey[600:640, 1000:1010] = 0
    page = page_of(grey)
    assert page.ink.shape == (1245, 2490)
    assert 1 / page.to_picture[0, 0] == pytest.approx((3_100_000 / 3_125_000) ** 0.5)
    assert page.picture_shape == (1250, 2500)
    assert page.boxes_in_picture(page.strokes.boxes)[0][::2] == pytest.approx((1000, 1010), abs=3)


def test_a_picture_that_was_decoded_at_half_its_size_keeps_its_shape():
    grey = np.full((100, 161), 200, np.uint8)
    grey[30:60, 40:50] = 0
    [page] = pages_of(grey, (199, 321))
    assert (page.picture_shape, page.ink.shape) == ((199, 321), (100, 161))
    assert page.to_picture.tolist() == [[2, 0, 0], [0, 2, 0]]
    assert page.darkness.shape == (100, 161)
    assert page.strokes.boxes.tolist() == [[40, 30, 50, 60]]
    assert page_of(grey).to_picture.tolist() == [[1, 0, 0], [0, 1, 0]]


def picture_of_dots(count, shape, pitch=6):
    """Dots on paper: black blocks that are `pitch` pixels apart."""
    side = int(np.ceil(count**0.5))
    grey = np.full((pitch * side + pitch, pitch * side + pitch), 255, np.uint8)
    for n in range(count):
        top, left = 4 + pitch * (n // side), 4 + pitch * (n % side)
        grey[top : top + shape[0], left : left + shape[1]] = 0
    return grey


def test_at_most_6000_strokes_of_six_pixels_are_read():
    for take in (page_of, read):
        with pytest.raises(InputError, match=r"The picture has 6,001 strokes; expected at most 6,000"):
            take(picture_of_dots(6001, (2, 3)))
    assert len(page_of(picture_of_dots(6000, (2, 3))).strokes.areas) == 6000
    assert len(page_of(picture_of_dots(6001, (1, 5), 8)).strokes.areas) == 6001


@pytest.mark.parametrize(("count", "valid"), [(1500, True), (1501, False)])
def test_at_most_1500_lines_are_read(monkeypatch, count, valid):
    ink = np.zeros((100, 100), np.uint8)
    ink[10:30, 10:20] = 255
    monkeypatch.setattr(lines, "grouped", lambda *_: [np.array([0])] * count)
    page = Page(ink, ink.shape)
    if valid:
        assert len(find_lines(page)) == count
    else:
        with pytest.raises(InputError, match=r"The picture has 1,501 lines; expected at most 1,500"):
            find_lines(page)


def test_the_height_of_a_line_is_that_of_its_strokes():
    ink = np.zeros((100, 200), np.uint8)
    ink[10:30, 10:20] = ink[8:48, 40:43] = ink[60:90, 100:130] = 255
    page = Page(ink, ink.shape)
    members = np.flatnonzero(page.strokes.boxes[:, 1] < 50)
    assert InkLine(page, members).height == 20
    assert InkLine(page, members).corner == (8, 6)
    assert InkLine(page, members).ink.shape == (44, 37)


def test_the_skew_of_large_writing_is_measured_after_it_was_shrunk(monkeypatch):
    ink = np.zeros((300, 200), np.uint8)
    ink[60:160, 40:56] = 255
    seen = []
    monkeypatch.setattr(lines, "skew_of_lines", lambda page, height: seen.append((page.ink.shape, height)) or 0.0)
    find_lines(Page(ink, ink.shape))
    assert seen == [((240, 160), 80)]


def test_the_height_of_the_writing_is_measured_again_without_its_rules(monkeypatch):
    """A line of 20 pixels is lower than 0.4 heights of the strokes that are erased with the rules."""
    ink = np.zeros((200, 300), np.uint8)
    ink[100:160, 20:260:10] = 255
    ink[20:40, 20:60:10] = 255
    monkeypatch.setattr(
        lines, "without_rules", lambda page, _: page.with_ink(np.where(np.arange(200) < 90, page.ink.T, 0).T)
    )
    [line] = find_lines(Page(ink, ink.shape))
    assert line.height == 20


@pytest.mark.parametrize(
    ("rows", "level", "dark", "erased"),
    [
        (120, 159, 40, True), (119, 159, 40, False),  # three heights of the writing
        (120, 160, 40, False),
        (120, 159, 119, True), (120, 159, 120, False),  # of 240 pixels, more than half are pale
    ],
)  # fmt: skip
def test_the_pale_ink_of_a_tall_stain_is_erased_and_what_it_touches_is_kept(rows, level, dark, erased):
    ink = np.zeros((150, 100), np.uint8)
    ink[10 : 10 + rows, 20:22] = level
    ink[20 : 20 + dark // 2, 20:22] = 255
    ink[20, 22 : 22 + dark % 2] = 255
    ink[20:60, 60:62] = level  # pale writing
    page = Page(ink, ink.shape)
    expected = np.where((ink == level) & (np.arange(100) < 50), 0, ink) if erased else ink
    np.testing.assert_array_equal(lines._without_pale_stains(page, 40).ink, expected)


def test_a_page_whose_rules_are_all_of_its_ink_has_no_lines(monkeypatch):
    ink = np.zeros((200, 300), np.uint8)
    ink[100:130, 20:60] = 255
    monkeypatch.setattr(lines, "without_rules", lambda page, _: page.with_ink(np.zeros_like(page.ink)))
    assert find_lines(Page(ink, ink.shape)) == []
