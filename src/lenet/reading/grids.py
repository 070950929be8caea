"""Find grids, such as tables and Sudokus, and extract the writing from their cells."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._lazy import cached_property
from lenet._mnist_form import pen_width, square
from lenet.reading.cells import (
    MAX_CELLS,
    MIN_CELLS,
    MIN_SIDE,
    Outline,
    cell_mask,
    cells_of,
    fall_of_rows,
    may_have_cells,
    rows_and_columns,
    side_of,
    slant_of,
    split,
)
from lenet.reading.ink import blur_of, deblurred, strengthened
from lenet.reading.lattice import completed
from lenet.reading.page import Page
from lenet.reading.results import Cell
from lenet.reading.rules import lines_along
from lenet.reading.strokes import Floats, Ints, Mask, Window, components_of, mask_of, strokes_of

# Lines are 12 levels darker than the window around them, a 16th of the page's side; or, if this is less, a tenth of the
# darkness of full ink or twice the noise.
_WINDOW, _LINE, _FULL, _NOISE = 16, 12, 0.1, 2
_MAX_BLUR = 0.1  # sides of a cell: the standard deviation of the strongest blur that is undone
_RIM = 0.1  # sides of a cell: ink that touches the lines and extends no further is part of a line
_FRINGE = 3  # pixels that are erased along the outlines of cells
_MAX_ASPECT = 1.4  # of the squares of squared paper, seen at an angle
_MIN_WHOLE = 0.75  # the fraction of the cells of a table that are found: its columns may differ in width
_MAX_CUT, _MAX_CUT_OF_TABLE = 0.35, 0.9  # the fraction of the writing that may touch the lines
_MANY_CELLS, _LARGE = 16, 0.2  # a grid with this many cells on this fraction of the page is the only content
_AS_LARGE = 0.5  # other grids are kept if they have this fraction of its area
_SAME_PLACE = 0.8  # the fraction of a grid's window that is also in the window of the same grid with broken lines
# Of lines too faint or too broken to enclose cells.
_LINE_LENGTH = 0.8  # sides of a cell
_FAINT, _STRONG = 3, 24  # levels: the minimum excess of a faint line over the noise; the limit of ridges in the noise
_UNBROKEN = 0.75  # the fraction of a faint line's pixels that are dark
_SLOPES = np.linspace(-0.09, 0.09, 7)  # relative to the sides of the grid, which may be seen in perspective


def without_grids(page: Page, *, isolate: bool = True) -> tuple[Page, tuple[Cell, ...]]:
    """Return a page without the lines of its grids but with the writing in them, and the cells, whose texts are empty.

    If a grid of many cells fills much of the page, everything around it is erased, too, unless `isolate` is false, and
    the page is rotated so that its rows are level. Other grids are kept if they are at least half as large.
    """
    written = [(grid, grid.writing(page.ink[grid.window])) for grid in _grids_on(page)]
    written = [(grid, writing) for grid, writing in written if not grid.is_squared_paper(writing)]
    dominant = [grid for grid, _ in written if len(grid.cells) >= _MANY_CELLS and grid.area >= _LARGE * page.ink.size]
    largest = max(dominant, key=lambda grid: grid.area, default=None) if isolate else None
    if largest is not None:
        written = [(grid, writing) for grid, writing in written if grid.area >= _AS_LARGE * largest.area]
    ink = page.ink.copy() if largest is None else np.zeros_like(page.ink)
    cells: list[Cell] = []
    for number, (grid, writing) in enumerate(written):
        cleared = _cleared(writing, _darkness_of(page)[grid.window], grid)
        ink[grid.window] = np.where(grid.region, cleared, ink[grid.window])
        places = zip(*rows_and_columns(grid.cells), page.boxes_in_picture(grid.boxes), strict=True)
        cells += [Cell(number, int(row), int(column), box) for row, column, box in places]
    page = page.with_ink(ink)
    return page if largest is None else page.levelled(fall_of_rows(largest.cells)), tuple(cells)


def _cleared(writing: NDArray[np.uint8], darkness: NDArray[np.uint8], grid: "Grid") -> NDArray[np.uint8]:
    """Deblur the writing in a grid and normalise its strength in each cell: printed lines may be darker or fainter."""
    written: list[tuple[Window, NDArray[np.uint8]]] = []
    for cell in grid.cells:
        part = _window(*cv2.boundingRect(cell))
        ink = np.where(cell_mask([cell - cell.min(axis=0)], writing[part].shape), writing[part], 0).astype(np.uint8)
        if mask_of(ink).any():
            written.append((part, ink))
    cleared = np.zeros_like(writing)
    if not written:
        return cleared
    blur = min(float(np.median([blur_of(darkness[part], ink) for part, ink in written])), _MAX_BLUR * grid.side)
    for part, ink in written:  # the boxes of slanted cells overlap
        cleared[part] = np.maximum(cleared[part], strengthened(ink, deblurred(darkness[part], blur)))
    return cleared


def _darkness_of(page: Page) -> NDArray[np.uint8]:
    return page.ink if page.darkness is None else page.darkness


def _grids_on(page: Page) -> list["Grid"]:
    """Return the grids, the largest first."""
    dark = _darkness_of(page)
    block = max(3, min(dark.shape) // _WINDOW | 1)
    full = int(dark[page.ink == 255].min(initial=255))
    noise = cv2.norm(dark, cv2.medianBlur(dark, 3), cv2.NORM_L1) / dark.size
    line = min(max(_FULL * full, _NOISE * noise), _LINE)
    binary = cv2.adaptiveThreshold(dark, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, -line)
    closed = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, square(3))
    if not may_have_cells(closed):
        return []
    networks = components_of(closed)
    grids: list[Grid] = []
    for n in networks.hollow(2 * MIN_SIDE):
        window, lines = networks.window(n), networks.mask(n)
        cells = cells_of(lines)
        if cells:
            grids += _grids_of(page, window, lines, cells)
    found: list[Grid] = []
    for grid in sorted(grids, key=lambda grid: grid.area, reverse=True):
        if not any(grid.repeats(other) for other in found):
            found.append(grid)
    return found


def _window(left: int, top: int, width: int, height: int) -> Window:
    return slice(top, top + height), slice(left, left + width)


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid in a part of a page."""

    window: Window  # its place on the page; all else is relative to the window
    cells: list[Outline]
    region: Mask  # of the cells and the lines around them

    @property
    def side(self) -> int:
        """The typical shorter side of a cell, in pixels."""
        return side_of(self.cells)

    @property
    def boxes(self) -> Ints:
        """The left, top, right and bottom of each cell on the page."""
        boxes = np.array([cv2.boundingRect(cell) for cell in self.cells], np.int64)
        boxes[:, :2] += self.window[1].start, self.window[0].start
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    @cached_property
    def area(self) -> int:
        """The number of pixels of the region."""
        return int(self.region.sum())

    @cached_property
    def inside(self) -> Mask:
        """The pixels of the cells."""
        hulls = [cv2.convexHull(cell) for cell in self.cells]
        filled = cell_mask(self.cells, self.region.shape)
        return np.asarray(cv2.polylines(filled, hulls, True, 0, _FRINGE), np.uint8)  # outlines run along the lines

    @cached_property
    def rim(self) -> NDArray[np.bool_]:
        """The outermost pixels of the cells."""
        return np.asarray(self.inside & (1 - cv2.erode(self.inside, square(3))), bool)

    def repeats(self, other: "Grid") -> bool:
        """Return whether a larger grid in the same place has at least as many cells: one grid with broken lines."""
        pairs = list(zip(self.window, other.window, strict=True))
        height, width = (min(own.stop, its.stop) - max(own.start, its.start) for own, its in pairs)
        shared = max(height, 0) * max(width, 0)
        is_there = shared > _SAME_PLACE * self.region.size and self.area > _AS_LARGE * other.area
        return is_there and len(self.cells) <= len(other.cells)

    def writing(self, ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the ink in the cells, without the lines around them or their ends."""
        writing = np.where(self.inside, ink, 0).astype(np.uint8)
        strokes = strokes_of(writing)
        core = cv2.erode(self.inside, square(2 * round(_RIM * self.side) + 1)) > 0
        ends = strokes.pixels_of((strokes.areas_in(self.rim) > 0) & (strokes.areas_in(core) == 0))
        with_edges = cv2.dilate(ends.view(np.uint8), square(3)) & (strokes.labels == 0) | ends
        return np.where(with_edges, 0, writing).astype(np.uint8)

    def is_squared_paper(self, writing: NDArray[np.uint8]) -> bool:
        """Return whether there are too many cells for a table, or much of the writing goes beyond its cell.

        In tables of at least three rows and columns whose cells are not square, more of the writing may do so, unless
        many cells are missing.
        """
        if len(self.cells) > MAX_CELLS:
            return True
        boxes = np.array([cv2.boundingRect(cell) for cell in self.cells])
        sides = np.median(boxes[:, 2:], axis=0)
        columns, rows = np.ptp(boxes[:, :2], axis=0) / sides + 1
        is_whole = min(rows, columns) > 2.5 and len(self.cells) > _MIN_WHOLE * rows * columns
        is_table = is_whole and sides.max() > _MAX_ASPECT * sides.min()
        strokes = strokes_of(writing)
        are_cut = strokes.areas_in(self.rim) > 0
        max_cut = _MAX_CUT_OF_TABLE if is_table else _MAX_CUT
        return bool(strokes.areas[are_cut].sum() > max_cut * strokes.areas.sum())


def _grids_of(page: Page, window: Window, lines: Mask, cells: list[Outline]) -> Iterator["Grid"]:
    """Yield the grids in a window, divided by faint lines and completed; neighbouring cells share a grid."""
    parts = cells_of(lines | faint_lines_between(_darkness_of(page)[window], cells))
    cells = completed(split(cells, parts, lines.shape), page.ink[window])
    filled = cv2.drawContours(np.zeros_like(lines), cells, -1, 1, cv2.FILLED)
    side = side_of(cells) // 2
    padded = cv2.copyMakeBorder(filled, *[side] * 4, cv2.BORDER_CONSTANT)
    region = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square(side))[side:-side, side:-side]
    margin = 2 * round(pen_width(255 * lines)) + 1
    regions = components_of(cv2.dilate(np.ascontiguousarray(region), square(2 * margin + 1)))
    numbers = np.array([regions.labels[cell[0, 0, 1], cell[0, 0, 0]] for cell in cells]).astype(np.int64) - 1
    for number in np.flatnonzero(np.bincount(numbers) >= MIN_CELLS).tolist():
        left, top, right, bottom = regions.boxes[number].tolist()
        own = [cell - [left, top] for cell, each in zip(cells, numbers, strict=True) if each == number]
        place = _window(left + window[1].start, top + window[0].start, right - left, bottom - top)
        yield Grid(place, [cell.astype(np.int32) for cell in own], regions.mask(number))


def faint_lines_between(darkness: NDArray[np.uint8], cells: list[Outline]) -> Mask:
    """Return the horizontal and vertical lines between cells, even if too faint or broken to enclose the cells."""
    sides = np.array([cv2.boundingRect(cell)[2:] for cell in cells])
    width, height = np.median(sides, axis=0)
    slopes = np.tan(np.radians(slant_of(cells))) + _SLOPES
    across = _faint_lines(np.ascontiguousarray(darkness.T), width, height, slopes).T
    return across | _faint_lines(darkness, height, width, -slopes)


def _faint_lines(columns: NDArray[np.uint8], width: float, height: float, slopes: Floats) -> Mask:
    """Return the pixels of faint horizontal lines: most of a line's pixels are a little darker than those around it.

    The image and the result are transposed, because shearing along columns takes less time.
    """
    length = round(_LINE_LENGTH * width)
    ridges = cv2.morphologyEx(columns, cv2.MORPH_TOPHAT, np.ones((1, round(height / 4) | 1), np.uint8))
    noise = cv2.blur(cv2.min(ridges, _STRONG), (round(height), round(width)))
    above = (cv2.subtract(ridges, 2 * noise) > _FAINT).view(np.uint8)
    longer = np.ones((length // 2 | 1, 1), np.uint8)

    def unbroken(level: Mask) -> Mask:
        middles = (cv2.blur(255 * level, (1, length)) >= 255 * _UNBROKEN).view(np.uint8)
        return np.asarray(cv2.dilate(middles, longer), np.uint8)

    return lines_along(above, slopes, unbroken)
