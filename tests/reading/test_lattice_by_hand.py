"""Grids of equal cells are completed; the expected cells are those that the grids were drawn from."""

import numpy as np
import pytest

pytest.importorskip("cv2")
from lenet.data import load_digits
from lenet.reading.lattice import completed
from lenet.reading.reader import read

SHAPE = (450, 550)
PAPER = np.zeros(SHAPE, np.uint8)


def corners_of(row, column, height=1.0, width=1.0):
    """The corners of a cell of a table that is seen in perspective: x and y are fractions with a common denominator."""
    gap = 0.03
    x = np.array([column + gap, column + width - gap, column + width - gap, column + gap])
    y = np.array([row + gap, row + gap, row + height - gap, row + height - gap])
    return np.stack([90 + 50 * x - 3 * y, 80 + 45 * y + 2 * x], axis=1) / (1 + 0.01 * x + 0.02 * y)[:, np.newaxis]


def cell(row, column, height=1.0, width=1.0):
    return np.rint(corners_of(row, column, height, width)).astype(np.int32)[:, np.newaxis]


def table(rows=6, columns=7):
    return {(row, column): cell(row, column) for row in range(rows) for column in range(columns)}


def written(*places):
    """Ink in the middle of cells."""
    ink = PAPER.copy()
    for place in places:
        left, top = corners_of(*place).mean(axis=0).astype(int)
        ink[top - 1 : top + 2, left - 1 : left + 2] = 255
    return ink


def same(cells, others):
    return len(cells) == len(others) and all(one is other for one, other in zip(cells, others, strict=True))


def assert_added(found, cells, expected):
    """Assert that the found cells are the given ones and then the expected ones, to within 2 pixels."""
    assert same(found[: len(cells)], cells)
    assert len(found) == len(cells) + len(expected)
    for outline, place in zip(found[len(cells) :], expected, strict=True):
        distances = np.abs(outline - np.rint(corners_of(*place))[:, np.newaxis])
        assert distances.max() <= 2


@pytest.mark.parametrize("missing", [[(2, 3)], [(0, 0)], [(5, 6)], [(0, 6), (3, 3), (3, 4)]])
def test_missing_cells_are_added(missing):
    cells = [outline for place, outline in table().items() if place not in missing]
    assert_added(completed(cells, PAPER), cells, missing)


def test_a_complete_grid_is_unchanged():
    cells = list(table().values())
    assert same(completed(cells, PAPER), cells)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_parts_of_a_cell_are_joined(share):
    whole = table()
    del whole[3, 2]
    cells = list(whole.values())
    parts = [cell(3, 2, 1, share), cell(3, 2 + share, 1, 1 - share)]
    assert_added(completed(parts + cells, PAPER), cells, [(3, 2)])


def test_a_corner_that_ink_cuts_off_is_no_cell():
    cells = list(table().values())
    assert same(completed([*cells, cell(2.1, 4.6, 0.5, 0.3)], PAPER), cells)


@pytest.mark.parametrize(("shift", "expected"), [(0.1, 2.1), (0.25, 2)])
def test_a_cell_out_of_place_is_replaced(shift, expected):
    whole = table()
    del whole[3, 2]
    found = completed([*whole.values(), cell(3, 2 + shift)], PAPER)
    assert_added(found, list(whole.values()), [(3, expected)])


@pytest.mark.parametrize("stray", [(6, 0.5, 0.6, 3), (2.3, 7, 0.9, 0.4), (2.4, 7.3, 0.5, 0.5)])
def test_narrow_cells_beside_a_grid_are_removed_if_they_are_blank(stray):
    cells = list(table().values())
    assert same(completed([*cells, cell(*stray)], PAPER), cells)
    cells.append(cell(*stray))
    assert same(completed(cells, written(stray)), cells)


@pytest.mark.parametrize("total", [(6, 5, 1, 2), (6, 6, 1, 1), (-1, 0, 1, 7)])
def test_titles_and_totals_beside_a_grid_are_kept(total):
    cells = [*table().values(), cell(*total)]
    assert same(completed(cells, PAPER), cells)


def test_the_parts_of_a_cell_are_kept_if_two_have_writing():
    """They are divided in print; a stroke that divides a cell leaves blank parts."""
    whole = table()
    del whole[3, 2]
    parts = [(3, 2, 0.5, 1), (3.5, 2, 0.5, 1)]
    cells = [*whole.values(), *(cell(*part) for part in parts)]
    assert same(completed(cells, written(*parts)), cells)
    assert_added(completed(cells, written(parts[0])), list(whole.values()), [(3, 2)])


def test_merged_cells_that_end_between_columns_cover_them():
    whole = table()
    for column in (2, 3, 4):
        del whole[2, column]
    cells = [*whole.values(), cell(2, 2, 1, 1.4), cell(2, 3.6, 1, 1.4)]
    assert same(completed(cells, PAPER), cells)


def test_rows_and_columns_of_unequal_size_are_no_lattice():
    """A quadratic fits three tracks of any sizes, without the one whose cells are halved."""
    halves = [cell(2 + part, column, 0.5, 1) for part in (0, 0.5) for column in range(5)]
    rows = [cell(row, column) for row in (0, 1, 3) for column in range(5)][:-1]
    cells = [*rows, *halves]
    assert same(completed(cells, PAPER), cells)


@pytest.mark.parametrize(("width", "is_cell"), [(130, True), (120, False)])
def test_missing_cells_of_which_the_picture_shows_less_than_half_are_not_added(width, is_cell):
    """The last column is 48 wide and begins at 101."""
    square = np.array([[[0, 0]], [[48, 0]], [[48, 48]], [[0, 48]]], np.int32)
    cells = [square + np.int32([1 + 50 * x, 50 * y]) for y in range(4) for x in range(3)][:-1]
    assert len(completed(cells, np.zeros((200, width), np.uint8))) == 11 + is_cell


def test_merged_cells_are_kept():
    whole = table()
    del whole[2, 2], whole[2, 3]
    cells = [*whole.values(), cell(2, 2, 1, 2)]
    assert same(completed(cells, PAPER), cells)


def test_narrow_columns_beside_equal_ones_are_kept():
    cells = [*table().values(), *(cell(row, -0.5, 1, 0.5) for row in range(6))]
    assert same(completed(cells, PAPER), cells)


@pytest.mark.parametrize(("missing", "complete"), [((0, 5, 10, 15), True), ((0, 3, 5, 10, 15), False)])
def test_three_quarters_of_the_cells_must_be_found(missing, complete):
    cells = [outline for n, outline in enumerate(table(4, 4).values()) if n not in missing]
    assert len(completed(cells, PAPER)) == (16 if complete else 11)


def test_two_rows_are_no_lattice():
    cells = list(table(rows=2).values())[:-1]
    assert same(completed(cells, PAPER), cells)


def test_columns_of_different_widths_are_no_lattice():
    starts = np.cumsum([0, 0.8, 1.2, 0.8, 1.2, 0.8, 1.2])
    cells = [
        cell(row, start, 1, width) for row in range(6) for start, width in zip(starts, np.diff(starts), strict=False)
    ]
    assert same(completed(cells[:-1], PAPER), cells[:-1])


@pytest.mark.parametrize(("rows", "is_cell"), [(15, True), (30, False)])
def test_places_that_are_mostly_ink_are_no_cells(rows, is_cell):
    """They are the black squares of a crossword."""
    whole = table()
    left, top = whole.pop((2, 3))[:, 0].min(axis=0)
    ink = PAPER.copy()
    ink[top : top + rows, left - 5 : left + 60] = 100
    assert len(completed(list(whole.values()), ink)) == 41 + is_cell


@pytest.mark.parametrize(("rows", "complete"), [(32, True), (33, False)])
def test_grids_of_more_than_1000_cells_are_unchanged(rows, complete):
    """A larger one is squared paper, and would take long."""
    square = np.array([[[0, 0]], [[18, 0]], [[18, 18]], [[0, 18]]], np.int32)
    cells = [square + np.int32([20 * x, 20 * y]) for y in range(rows) for x in range(31)][:-1]
    shape = (20 * rows, 620)
    assert len(completed(cells, np.zeros(shape, np.uint8))) == len(cells) + complete


@pytest.mark.parametrize("opened", [(slice(270, 285), slice(230, 234)), (slice(330, 334), slice(90, 120))])
def test_the_digit_of_a_cell_with_an_open_line_is_read(opened):
    """The border of a cell has a gap; all other cells are closed."""
    digits = load_digits()
    picture, expected = np.full((380, 420), 255, np.uint8), {}
    for n in range(6):
        picture[30 + 60 * n : 34 + 60 * n, 30:394] = picture[30:334, 30 + 72 * n : 34 + 72 * n] = 0
    for row in range(5):
        for column in range(5):
            n = 1 + 5 * row + column
            expected[row, column] = str(digits.y_test[n])
            top, left = 48 + 60 * row, 54 + 72 * column
            picture[top : top + 28, left : left + 28] = 255 - digits.X_test[n]
    picture[opened] = 255
    cells = {(found.row, found.column): found.text for found in read(picture).cells}
    assert cells == expected
