"""Grids and their cells on small pages, against positions and limits computed by hand."""

import math

import numpy as np
import pytest

from lenet.reading import cells as cells_module
from lenet.reading import grids, tables
from lenet.reading.cells import cell_mask, cells_of, split
from lenet.reading.grids import Grid, without_grids
from lenet.reading.ink import blur_of, deblurred
from lenet.reading.page import Page
from lenet.reading.results import Cell

cv2 = pytest.importorskip("cv2")
ndimage = pytest.importorskip("scipy.ndimage")
WHOLE = np.s_[:, :]


def outline(left, top, width, height, angle=0.0):
    """The outline of a cell, rotated about the origin of the picture."""
    corners = np.add([[0, 0], [width, 0], [width, height], [0, height]], [left, top])
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.rint(corners @ rotation).astype(np.int32)[:, np.newaxis]


def draw_table(page, left, top, columns, rows, pitch, level=255):
    """Draw lines, one pixel thick, around cells; `pitch` is their width and height with one of their lines."""
    across, down = pitch
    right, bottom = left + columns * across, top + rows * down
    page[top : bottom + 1 : down, left : right + 1] = level
    page[top : bottom + 1, left : right + 1 : across] = level


def table(shape, *place, **look):
    page = np.zeros(shape, np.uint8)
    draw_table(page, *place, **look)
    return page


def places_on(ink, **options):
    return without_grids(Page(ink, ink.shape), **options)[1]


# Rows and columns


@pytest.mark.parametrize("angle", [-40, -10, 0, 10, 40])
def test_cells_are_numbered_along_the_sides_of_a_grid_that_may_be_rotated(angle):
    placed = [(row, column) for row in range(3) for column in range(4)]
    order = np.random.default_rng(0).permutation(12)
    cells = [outline(1000 + 90 * placed[n][1], 1000 + 50 * placed[n][0], 80, 40, angle) for n in order]
    rows, columns = cells_module.rows_and_columns(cells)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [placed[n] for n in order]


def test_a_merged_cell_has_the_number_of_its_first_row_and_column():
    cells = [outline(0, 0, 80, 40), outline(90, 0, 170, 40), outline(90, 50, 80, 90), outline(180, 50, 80, 40)]
    cells += [outline(0, 50, 80, 40), outline(0, 100, 80, 40), outline(180, 100, 80, 40)]
    rows, columns = cells_module.rows_and_columns(cells)
    assert rows.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert columns.tolist() == [0, 1, 1, 2, 0, 0, 2]


@pytest.mark.parametrize(
    ("step", "gap", "is_one_row"),
    [
        (3, 9, False),
        (3, 10, True),  # half the length of a cell
        (4, 0, True),  # a third of its size
    ],
)
def test_cells_of_a_sloping_row_follow_each_other_within_half_a_length_and_a_third_of_the_size(step, gap, is_one_row):
    """Two rows of four cells, 20 long and 12 high; if the cells do not follow each other, their steps join the rows."""
    places = np.arange(4, dtype=np.float32)
    start = np.concatenate([step * places, step * places + 12])
    before = np.tile((20 + gap) * places, 2)
    found = cells_module._tracks(start, start + 12, before, before + 20)
    assert found.tolist() == ([0] * 8 if is_one_row else [0] * 4 + [1] * 4)


def test_grids_of_one_column_turn_each_for_themselves():
    cells = [Cell(0, row, 0, (0, row, 1, row + 1)) for row in range(2)]
    cells += [Cell(1, 0, column, (column, 9, column + 1, 10)) for column in range(3)]
    found = [(place.grid, place.row, place.column) for place in tables.turned(cells, 1)]
    assert found == [(0, 0, 0), (0, 0, 1), (1, 2, 0), (1, 1, 0), (1, 0, 0)]


@pytest.mark.parametrize(
    ("turns", "order"),
    [(0, [1, 2, 0, 3]), (1, [2, 3, 1, 0]), (2, [3, 0, 2, 1]), (3, [0, 1, 3, 2])],
)
def test_grids_are_numbered_in_reading_order_after_turns(turns, order):
    """Two grids side by side, the right one a little higher, and below them two others, the left one much higher."""
    boxes = [(4, 50, 24, 80), (0, 3, 20, 23), (40, 0, 60, 20), (40, 70, 60, 90)]
    cells = [Cell(grid, 0, 0, box) for grid, box in enumerate(boxes)]
    found = tables.turned(cells, turns)
    assert sorted(range(4), key=lambda grid: found[grid].grid) == order


# Outlines of cells


def row_of_cells(*sizes):
    """Lines, one pixel thick, around separate cells; their outlines, which run along the lines, have these sizes."""
    lines = np.zeros((130, 10 + sum(width + 5 for width, _ in sizes)), np.uint8)
    left = 5
    for width, height in sizes:
        lines[5 : 6 + height, [left, left + width]] = lines[[5, 5 + height], left : left + width + 1] = 1
        left += width + 5
    return lines


def boxes_of(cells):
    return sorted(cv2.boundingRect(cell) for cell in cells)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([(20, 20)] * 4, 4),
        ([(20, 20)] * 3, 0),
        ([(20, 20)] * 3 + [(11, 20)], 4),
        ([(20, 20)] * 3 + [(10, 20)], 0),  # 11 pixels wide, with its lines
        ([(20, 20)] * 3 + [(20, 10)], 0),
        ([(74, 100)] * 4 + [(45, 13)], 4),  # a 12th of the usual area
        ([(74, 100)] * 4 + [(45, 14)], 5),
        ([(74, 100)] * 3 + [(45, 13)], 0),
        ([(39, 59)] * 4 + [(23, 35)], 4),  # 0.6 times the usual width and height, with the lines
        ([(39, 59)] * 4 + [(24, 35)], 5),
        ([(39, 59)] * 4 + [(23, 36)], 5),
        ([(11, 12)] * 100 + [(197, 66)], 100),  # 100 times the usual area, and half of all
        ([(11, 12)] * 100 + [(196, 66)], 101),
        ([(11, 12)] * 99 + [(197, 66)], 0),
    ],
)
def test_at_least_four_cells_of_similar_areas_are_a_grid(sizes, count):
    """Without its corners, an outline of 74 by 100 pixels has an area of 7398."""
    assert len(cells_of(row_of_cells(*sizes))) == count


def test_a_small_cell_is_in_line_with_others_and_a_spot_is_not():
    lines = np.zeros((290, 360), np.uint8)
    lines[[5, 35, 95, 155, 215, 275], 5:346] = 1
    lines[5:276, [5, 45, 145, 245, 345]] = 1
    assert len(cells_of(lines)) == 20  # the first is 40 pixels wide and 30 high, and most are 100 and 60
    for left, top in ((170, 180), (245, 180), (170, 215)):  # in a cell, and beside one of its lines
        spotted = cv2.rectangle(lines.copy(), (left, top), (left + 30, top + 25), 1)
        assert boxes_of(cells_of(spotted)) == boxes_of(cells_of(lines))


def test_the_outlines_of_cells_run_along_their_lines():
    found = cells_of(table((50, 90), 3, 5, 3, 2, pitch=(25, 14)))
    expected = [(3 + 25 * column, 5 + 14 * row, 26, 15) for column in range(3) for row in range(2)]
    assert boxes_of(found) == expected


def test_no_lines_have_no_cells():
    assert cells_of(np.zeros((30, 30), np.uint8)) == []


@pytest.mark.parametrize(("cut", "expected"), [((6, 9), True), ((7, 9), False)])
def test_a_cell_fills_at_least_085_of_the_rectangle_around_it(cut, expected):
    """A corner is cut off a rectangle of 20 by 10: 27 or 31.5 of 200 pixels."""
    width, height = cut
    hole = np.array([[0, 0], [20, 0], [20, 10 - height], [20 - width, 10], [0, 10]], np.int32)[:, np.newaxis]
    assert cells_module._is_rectangular(hole) is expected


# Grids on a page


def test_the_cells_of_a_table_have_boxes_in_the_picture():
    page = Page(table((70, 120), 11, 7, 3, 2, pitch=(31, 24)), (140, 240), np.eye(2, 3) / 0.5)
    cleared, places = without_grids(page)
    assert not cleared.ink.any()
    found = {(place.grid, place.row, place.column): place.box for place in places}
    assert found == {
        (0, row, column): (22 + 62 * column, 14 + 48 * row, 86 + 62 * column, 64 + 48 * row)
        for row in range(2)
        for column in range(3)
    }


def test_grids_are_numbered_from_top_to_bottom_and_then_from_the_left():
    page = np.zeros((150, 200), np.uint8)
    for left, top in ((4, 80), (110, 12), (10, 12)):
        draw_table(page, left, top, 2, 2, pitch=(30, 24))
    found = [place.box[:2] for place in places_on(page) if place.row == place.column == 0]
    assert found == [(10, 12), (110, 12), (4, 80)]


@pytest.mark.parametrize(("height", "count"), [(24, 4), (23, 0)])
def test_a_grid_is_more_than_24_pixels_high(height, count):
    assert len(places_on(table((60, 200), 10, 10, 4, 1, pitch=(30, height)))) == count
    assert len(places_on(table((200, 60), 10, 10, 1, 4, pitch=(height, 30)))) == count


@pytest.mark.parametrize(("gap", "count"), [(2, 4), (3, 0)])
def test_gaps_of_two_pixels_in_the_lines_of_a_grid_are_closed(gap, count):
    page = table((100, 100), 10, 10, 2, 2, pitch=(40, 40))
    for start in (25, 65):
        page[50, start : start + gap] = page[start : start + gap, 50] = 0
    assert len(places_on(page)) == count


@pytest.mark.parametrize(("level", "count"), [(12, 0), (16, 4)])
def test_lines_are_12_levels_darker_than_the_page_around_them(level, count):
    assert len(places_on(table((320, 320), 20, 30, 2, 2, pitch=(60, 70), level=level))) == count


@pytest.mark.parametrize(("level", "noise", "count"), [(6, 0, 0), (8, 0, 4), (12, 4, 4), (12, 5, 0)])
def test_on_a_page_with_pale_ink_lines_are_a_tenth_as_dark_and_twice_the_noise(level, noise, count):
    """The palest full ink has 60 levels, so lines must be 6 levels darker than the mean, which is below 1.

    Noise in every second column makes the mean 2 or 3 levels darker, and the minimum 8 or 10.
    """
    darkness = table((320, 320), 20, 30, 2, 2, pitch=(60, 70), level=level)
    darkness[:, ::2] = np.maximum(darkness[:, ::2], noise)
    ink = np.zeros_like(darkness)
    ink[60:63, 45:50], darkness[60:63, 45:50] = [[255], [255], [254]], [[100], [60], [50]]
    assert len(without_grids(Page(ink, ink.shape, darkness=darkness))[1]) == count


@pytest.mark.parametrize(("thick", "count"), [(6, 4), (12, 0)])
def test_lines_are_darker_than_the_mean_of_a_window_of_a_sixteenth_of_the_page(thick, count):
    """The window has 21 by 21 pixels, so that a line of 6 pixels, of level 25, exceeds the mean by 18; of 12, by 11."""
    page = np.zeros((320, 400), np.uint8)
    for place in (20, 130, 240):
        page[place : place + thick, 20 : 240 + thick] = page[20 : 240 + thick, place : place + thick] = 25
    assert len(places_on(page)) == count


def test_a_page_smaller_than_a_window_has_no_grid():
    page = Page(np.eye(20, dtype=np.uint8) * 255, (20, 20))
    assert without_grids(page) == (page, ())


@pytest.mark.parametrize(("thick", "count"), [(5, 4), (6, 0)])
def test_the_lines_of_a_grid_cover_less_than_035_of_its_box(thick, count):
    """A box of 100 by 96 pixels has lines of 7, 7 and 6, and of 6, 6 and 6: cells have 80 by 78 pixels, or 0.65."""
    page = np.zeros((500, 500), np.uint8)
    for left, width in ((200, 7), (247, thick), (293, 7)):
        page[200:296, left : left + width] = 255
    page[[*range(200, 206), *range(245, 251), *range(290, 296)], 200:300] = 255
    assert len(places_on(page)) == count


def test_the_lines_of_a_grid_may_be_too_faint_for_ink():
    darkness = table((70, 120), 11, 7, 3, 2, pitch=(31, 24), level=40)
    ink = np.zeros_like(darkness)
    ink[14:22, 20:24], darkness[14:22, 20:24] = 255, 120
    cleared, places = without_grids(Page(ink, ink.shape, darkness=darkness))
    assert len(places) == 6
    np.testing.assert_array_equal(cleared.ink > 0, ink > 0)


# Several grids


def grid_at(top, left, height, width, filled=1.0):
    region = np.zeros((height, width), np.uint8)
    region[: round(filled * height)] = 1
    return Grid((slice(top, top + height), slice(left, left + width)), [], region)


@pytest.mark.parametrize(
    ("place", "repeats"),
    [
        ((10, 20, 90, 80), True),  # within the other
        ((10, 48, 90, 90), False),  # 72 of its 90 columns are in the other: 0.8
        ((10, 47, 90, 90), True),
        ((10, 20, 90, 80, 0.81), True),  # more than half of 100 by 110
        ((10, 20, 90, 80, 0.76), False),
        ((200, 300, 90, 80), False),
    ],
)
def test_a_grid_repeats_one_in_the_same_place_of_up_to_twice_its_area(place, repeats):
    assert grid_at(*place).repeats(grid_at(5, 10, 100, 110)) == repeats


def dots(page, *places):
    """Write digits, as it were: solid blocks of 4 by 6 pixels."""
    for left, top in places:
        page[top : top + 6, left : left + 4] = 255


@pytest.mark.parametrize(
    ("shape", "columns", "rows", "isolate", "is_alone"),
    [
        ((130, 165), 5, 4, True, True),  # 66 by 65 pixels of 21450, which is a fifth
        ((130, 166), 5, 4, True, False),
        ((130, 165), 5, 4, False, False),
        ((100, 130), 4, 4, True, True),
        ((100, 130), 5, 3, True, False),  # 15 cells
    ],
)
def test_everything_around_a_grid_of_16_cells_on_a_fifth_of_the_page_is_erased(shape, columns, rows, isolate, is_alone):
    page = np.zeros(shape, np.uint8)
    draw_table(page, 6, 5, columns, rows, pitch=(13, 16))
    dots(page, (11, 10), (90, 12), (100, 12))
    expected = np.zeros_like(page)
    dots(expected, (11, 10), *([] if is_alone else [(90, 12), (100, 12)]))
    found = without_grids(Page(page, shape), isolate=isolate)[0]
    np.testing.assert_array_equal(found.ink, expected)


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("angle", [-12, 0, 7])
def test_a_page_is_levelled_by_the_cells_of_a_grid_that_fills_it(angle, isolate):
    """Each cell has a dot; those of a row that falls to the right end up at the same height."""
    grid, dotted = table((400, 400), 70, 65, 5, 5, pitch=(50, 55)), np.zeros((400, 400), np.uint8)
    dots(dotted, *((90 + 50 * column, 88 + 55 * row) for row in range(5) for column in range(5)))
    rotation = cv2.getRotationMatrix2D((200, 200), -angle, 1.0)
    ink = cv2.warpAffine(cv2.max(grid, dotted), rotation, (400, 400))
    page, cells = without_grids(Page(ink, ink.shape), isolate=isolate)
    assert len(cells) == 25
    centres = cv2.connectedComponentsWithStats((page.ink > 127).astype(np.uint8))[3]
    falls = np.ptp(np.sort(centres[1:, 1]).reshape(5, 5), axis=1).max() / 200  # four columns of 50 pixels
    expected = 0 if isolate else np.sin(np.radians(abs(angle)))
    assert falls == pytest.approx(expected, abs=np.sin(np.radians(0.75)))


def test_a_table_with_labels_over_three_rows_is_not_turned():
    """The middles of a label and of the cell beside it are not at the same height."""
    page = table((500, 300), 130, 40, 1, 18, pitch=(80, 24))
    page[40:473:72, 30:131] = page[40:473, 30] = 255
    page[50:56, 170:174] = 255
    found, cells = without_grids(Page(page, page.shape))
    assert len(cells) == 24
    assert (found.ink[50:56, 170:174] == 255).all()


def test_a_table_in_a_cell_of_another_is_kept():
    page = table((500, 500), 20, 20, 4, 1, pitch=(115, 50))
    draw_table(page, 20, 70, 1, 1, pitch=(460, 400))
    draw_table(page, 40, 90, 7, 6, pitch=(60, 60))
    assert {cell.grid for cell in places_on(page)} == {0, 1}


def test_the_smaller_of_two_grids_in_one_place_is_left_out(monkeypatch):
    small, large = grid_at(10, 20, 90, 80), grid_at(5, 10, 100, 110)
    monkeypatch.setattr(grids, "_grids_of", lambda *_: iter([small, large]))
    page = table((130, 165), 6, 5, 5, 4, pitch=(13, 16))
    assert grids._grids_on(Page(page, page.shape)) == [large]


@pytest.mark.parametrize("lean", [-0.2, 0.15])
def test_a_page_is_not_turned_if_only_the_columns_of_its_grid_lean(lean):
    shear = np.array([[1, lean, -200 * lean], [0, 1, 0]])
    ink = cv2.warpAffine(table((400, 400), 70, 65, 5, 5, pitch=(50, 64)), shear, (400, 400))
    ink[88:94, 160:164] = 255
    page, cells = without_grids(Page(ink, ink.shape))
    assert len(cells) == 25
    assert page.ink.shape == ink.shape
    assert (page.ink[88:94, 160:164] == 255).all()


@pytest.mark.parametrize(("down", "is_kept"), [(27, True), (26, False)])
def test_grids_of_half_the_area_of_the_largest_are_kept(down, is_kept):
    """The largest has 65 by 66 pixels, and the other 39 by 55 or 53."""
    page = np.zeros((130, 165), np.uint8)
    draw_table(page, 6, 5, 5, 4, pitch=(13, 16))
    draw_table(page, 90, 60, 2, 2, pitch=(19, down))
    dots(page, (11, 10), (97, 70), (100, 20))
    expected = np.zeros_like(page)
    dots(expected, (11, 10), *[(97, 70)] * is_kept)
    cleared, places = without_grids(Page(page, page.shape))
    assert len(places) == 20 + 4 * is_kept
    np.testing.assert_array_equal(cleared.ink, expected)


@pytest.mark.parametrize(("down", "count"), [(49, 21), (50, 0)])
def test_the_boxes_that_are_searched_for_grids_have_at_most_three_times_the_area_of_the_page(down, count):
    """Squares of 192, 180 and 168 pixels, and a grid of 120 by 148, have three times the area of a square of 196."""
    page = np.zeros((196, 196), np.uint8)
    for margin in (2, 8, 14):
        page[margin:-margin, margin:-margin] = 255
        page[margin + 3 : -margin - 3, margin + 3 : -margin - 3] = 0
    draw_table(page, 22, 22, 7, 3, pitch=(17, down))
    assert len(places_on(page)) == count


def grids_in(lines):
    """The boxes of the grids in a window at (100, 50), their numbers of cells, and the grids."""
    ink = np.pad(255 * lines, ((50, 0), (100, 0)))
    page, window = Page(ink, ink.shape), np.s_[50 : len(ink), 100 : ink.shape[1]]
    found = list(grids._grids_of(page, window, lines, cells_of(lines)))
    places = [grid.window for grid in found]
    boxes = [(place[1].start, place[0].start, place[1].stop, place[0].stop) for place in places]
    return boxes, [len(grid.cells) for grid in found], found


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (11, [(105, 55, 209, 104)]),  # half of the shorter side of a cell, with its lines
        (12, [(105, 55, 154, 104), (159, 55, 210, 104)]),
    ],
)
def test_cells_within_half_a_side_of_each_other_are_one_grid(gap, expected):
    lines = np.zeros((70, 130), np.uint8)
    draw_table(lines, 8, 8, 2, 2, pitch=(21, 21), level=1)
    draw_table(lines, 50 + gap, 8, 2, 2, pitch=(22, 21), level=1)
    lines[8, 8:90] = 1
    boxes, counts, _ = grids_in(lines)
    assert boxes == expected
    assert counts == [4] * 2 if len(expected) == 2 else [8]


def test_fewer_than_four_cells_apart_from_others_are_no_grid():
    lines = np.zeros((70, 130), np.uint8)
    draw_table(lines, 8, 8, 2, 2, pitch=(21, 22), level=1)
    draw_table(lines, 70, 8, 1, 3, pitch=(20, 16), level=1)
    lines[8, 8:90] = 1
    boxes, counts, [grid] = grids_in(lines)
    assert (boxes, counts) == ([(105, 55, 154, 106)], [4])
    expected = np.ones((51, 49))
    expected[[[0], [-1]], [0, -1]] = 0  # the outlines of holes lack their corners
    np.testing.assert_array_equal(grid.region, expected)
    assert grid.area == 51 * 49 - 4
    assert grid.side == 22
    assert boxes_of(grid.cells) == [(3, 3, 22, 23), (3, 25, 22, 23), (24, 3, 22, 23), (24, 25, 22, 23)]
    assert all(cell.dtype == np.int32 for cell in grid.cells)


@pytest.mark.parametrize(("thick", "margin"), [(1, 3), (2, 7)])
def test_the_region_of_a_grid_extends_by_twice_the_width_of_a_line_and_one_pixel(thick, margin):
    """The mean width of the pen is 1.27 times that of straight lines: 1.27 and 2.5, rounded to 1 and 3."""
    lines = np.zeros((140, 160), np.uint8)
    for place in (40, 70, 100):
        lines[place : place + thick, 10 : 100 + thick] = lines[40 : 100 + thick, place : place + thick] = 1
    [box], _, _ = grids_in(lines)
    first, last = 39 + thick, 100
    assert box == (100 + first - margin, 50 + first - margin, 101 + last + margin, 51 + last + margin)


# The writing in a grid


def edge_of(inside, depth):
    """The pixels inside that have others outside within a number of pixels."""
    return inside & ndimage.binary_dilation(~inside, np.ones((2 * depth + 1, 2 * depth + 1)))


BOXES = [(0, 0, 44, 30), (44, 0, 40, 30), (0, 30, 44, 33), (44, 30, 40, 33)]


def ink_at_edges(seed):
    """Strokes with faint edges along the sides of four cells."""
    rng = np.random.default_rng(seed)
    ink = np.zeros((64, 85), np.uint8)
    for left, top, width, height in BOXES:
        for side in range(4):
            part = np.rot90(ink[top + 2 : top + height - 1, left + 2 : left + width - 1], side)
            x, depth, start = rng.integers(5, 20), rng.integers(1, 7), rng.integers(0, 3)
            part[start : start + depth, x : x + rng.integers(1, 7)] = rng.choice([95, 96, 200])
    faint = ndimage.grey_dilation(ink, (5, 5)) // 3
    return np.where(ink, ink, faint)


def test_the_inside_of_a_cell_begins_two_or_three_pixels_from_its_outline():
    inside = Grid(WHOLE, [outline(*box) for box in BOXES], np.ones((64, 85), np.uint8)).inside
    for left, top, width, height in BOXES:
        assert inside[top + 3 : top + height - 2, left + 3 : left + width - 2].all()
        for line in (top, top + 1, top + height - 1, top + height):
            assert not inside[line].any()
        for line in (left, left + 1, left + width - 1, left + width):
            assert not inside[:, line].any()


@pytest.mark.parametrize("seed", [0, 2, 4, 5, 6, 8])
def test_ink_at_the_lines_of_a_cell_is_erased_unless_it_extends_by_more_than_a_tenth_of_its_side(seed):
    """The cells have outlines of 31 pixels: ink of three pixels or less at the edge is a part of a line."""
    ink = ink_at_edges(seed)
    grid = Grid(WHOLE, [outline(*box) for box in BOXES], np.ones(ink.shape, np.uint8))
    inside = grid.inside > 0
    expected = np.where(inside, ink, 0)
    labels, count = ndimage.label(expected >= 96, np.ones((3, 3)))
    erased = np.zeros_like(inside)
    for n in range(1, count + 1):
        stroke = labels == n
        if (stroke & edge_of(inside, 1)).any() and not (stroke & ~edge_of(inside, 3)).any():
            erased |= stroke
    assert erased.any()
    assert ((labels > 0) & ~erased).any()
    erased |= ndimage.binary_dilation(erased, np.ones((3, 3))) & (labels == 0)
    expected[erased] = 0
    assert grid.side == 32
    np.testing.assert_array_equal(grid.writing(ink), expected)


def test_faint_pixels_around_writing_that_fills_a_cell_are_kept():
    grid = Grid(WHOLE, [outline(0, 0, 40, 40)], np.ones((41, 41), np.uint8))
    ink = np.full((41, 41), 50, np.uint8)
    ink[6:35, 6:35] = 255
    np.testing.assert_array_equal(grid.writing(ink), np.where(grid.inside, ink, 0))


@pytest.mark.parametrize(("cut", "expected"), [(35, False), (36, True)])
def test_a_grid_whose_lines_cut_more_than_035_of_its_writing_is_squared_paper(cut, expected):
    grid = Grid(WHOLE, [outline(*box) for box in BOXES], np.ones((64, 85), np.uint8))
    writing = np.zeros((64, 85), np.uint8)
    writing[2:4, 10 : 10 + cut // 2] = writing[2, 9 : 9 + cut % 2] = 255
    writing[12:22, 60:67] = 255
    writing[12, 60 : 30 + cut] = 0
    assert np.count_nonzero(writing) == 100
    assert grid.is_squared_paper(writing) is expected


@pytest.mark.parametrize(("count", "expected"), [(1000, False), (1001, True)])
def test_a_grid_of_more_than_1000_cells_is_squared_paper(count, expected):
    grid = Grid(WHOLE, [outline(0, 0, 20, 20)] * count, np.ones((21, 21), np.uint8))
    assert grid.is_squared_paper(np.zeros((21, 21), np.uint8)) is expected


def test_squared_paper_stays_on_the_page():
    page = table((130, 165), 6, 5, 4, 4, pitch=(31, 24))
    page[15:43, 20:23] = 255  # a stroke in two cells
    cleared, places = without_grids(Page(page, page.shape))
    assert places == ()
    np.testing.assert_array_equal(cleared.ink, page)


def test_cells_that_faint_lines_divide_become_their_parts():
    """Half of the area of the parts belongs to those of 300 pixels or more, so that cells below 480 are whole."""
    parts = [outline(100 * n, 0, 10, 10) for n in range(4)] + [outline(100 * n, 50, 20, 15) for n in range(2)]
    cells = [outline(-5, -5, 20, 23), outline(95, -5, 20, 24), outline(0, 45, 40, 40), outline(100, 50, 20, 15)]
    found = split(cells, parts, (100, 400))
    assert boxes_of(found) == boxes_of([cells[0], cells[3], *parts[1:5]])
    assert split(cells, [], (100, 400)) is cells


def test_faint_lines_between_cells_divide_them():
    lines = np.zeros((160, 200), np.uint8)
    draw_table(lines, 8, 8, 2, 2, pitch=(80, 60), level=1)
    darkness = 200 * lines
    darkness[8:129, [48, 128]] = 20
    [grid] = grids._grids_of(Page(darkness, darkness.shape), np.s_[0:160, 0:200], lines, cells_of(lines))
    rows, columns = cells_module.rows_and_columns(grid.cells)
    assert sorted(zip(rows, columns, strict=True)) == [(row, column) for row in range(2) for column in range(4)]


def test_the_writing_of_each_cell_is_deblurred_and_scaled_to_its_own_darkness():
    """Levels range from 0.15 of the strokes' dark core up to that core."""
    boxes = [(0, 0, 60, 60), (60, 0, 70, 60)]
    grid = Grid(WHOLE, [outline(*box) for box in boxes], np.ones((61, 131), np.uint8))
    darkness = np.zeros((61, 131))
    darkness[10:50, 20:32], darkness[10:50, 85:103] = 100, 200
    darkness = ndimage.gaussian_filter(darkness, 1.5)
    page = darkness.round()
    ink = np.where(page > 20, 255, 0).astype(np.uint8)
    parts = np.s_[:, :61], np.s_[:, 60:]
    blur = np.median([blur_of(page.astype(np.uint8)[part], ink[part]) for part in parts])
    for own in parts:
        sharp = deblurred(page.astype(np.uint8)[own], blur)
        full = np.sort(sharp[ink[own] > 0])[math.ceil(0.65 * (ink[own] > 0).sum()) - 1]
        expected = np.clip((sharp - 0.15 * full) * 255 / (0.85 * full), 0, 255) * (ink[own] > 0)
        np.testing.assert_allclose(grids._cleared(ink, page.astype(np.uint8), grid)[own], expected, atol=6)


def test_the_writing_of_a_slanted_cell_does_not_affect_that_of_others_in_its_box():
    """The strokes of one cell are dark, and those of the other, which lie in the box of the first one, are faint."""
    cells = [outline(100, 0, 60, 60, 20), outline(160, 0, 60, 60, 20)]
    corner = np.min(cells, axis=(0, 1, 2))
    cells = [cell - corner for cell in cells]
    width, height = np.max(cells, axis=(0, 1, 2)) + 1
    page = np.zeros((height, width), np.uint8)
    for cell, level in zip(cells, (200, 80), strict=True):
        x, y = cell.mean(axis=(0, 1)).astype(int)
        page[y - 15 : y + 15, x - 3 : x + 3] = level
    x, y = cells[1][3, 0] + [14, -8]
    page[y - 6 : y, x - 6 : x] = 80
    assert x < cells[0][:, 0, 0].max()
    ink = np.where(page > 0, 255, 0).astype(np.uint8)
    together = grids._cleared(ink, page, Grid(WHOLE, cells, np.ones_like(page)))
    for cell in cells:
        alone = np.where(cell_mask([cell], page.shape), ink, 0).astype(np.uint8)
        found = grids._cleared(alone, page, Grid(WHOLE, [cell], np.ones_like(page)))
        assert found.any()
        np.testing.assert_array_equal(together[alone > 0], found[alone > 0])
