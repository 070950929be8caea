"""Find grids, such as tables and Sudokus, and extract the writing from their cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import pen_width
from lenet.reading.page import Page
from lenet.reading.rules import Mask, erased, straight_lines, thickness_of
from lenet.reading.strokes import INK, components_of

Outline = NDArray[np.int32]

_LINE, _FAINT_LINE = 48, 24  # of 255: the least levels of a grid's lines, and of thin lines between its cells
_MIN_CELLS, _MAX_CELLS = 4, 1000
_MIN_SIDE = 12  # pixels of a cell
_MAX_FILLED = 0.35  # of its box that the lines of a grid fill
_SIMILAR = 12.0  # ratio between the areas of cells
_MIN_CELL_SHARE = 0.5  # of the area that a grid encloses, in cells of similar areas
_MIN_RECTANGULAR = 0.85  # of the smallest rectangle around a cell, its area
_MAX_ASPECT = 4.0  # of the cells; those between the rules of paper are longer
_LINE_LENGTH = 0.8  # sides of a cell
_SLOPES = np.linspace(-0.09, 0.09, 7)  # around those of the grid's sides, in perspective
_MAX_CUT = 0.3  # fraction of the writing in a table that may touch its lines
_MANY_CELLS, _LARGE = 16, 0.2  # of a grid that is all that matters on the page; a fraction of the page
_MAX_WORK = 3  # pages: the sum of the areas in which grids are searched


@dataclass(frozen=True)
class Place:
    """The place of a cell in a grid, and in the picture."""

    grid: int
    row: int
    column: int
    box: tuple[int, int, int, int]


def turned(places: Sequence[Place], turns: int) -> tuple[Place, ...]:
    """Return the places with the rows and columns of the page after some quarter turns, counter-clockwise."""
    for _ in range(turns):
        last = {place.grid: 0 for place in places}
        for place in places:
            last[place.grid] = max(last[place.grid], place.column)
        places = [replace(each, row=last[each.grid] - each.column, column=each.row) for each in places]
    return tuple(places)


def without_grids(page: Page, *, isolate: bool = True) -> tuple[Page, tuple[Place, ...]]:
    """Return a page without the lines of its grids, and the places of their cells; writing in the cells stays.

    If a grid of many cells fills much of the page, everything around it is erased, too, unless `isolate` is false.
    """
    ink = page.ink.copy()
    places: list[list[Place]] = []
    for window, lines, cells in _grids_on(page):
        grid = _grid_of(ink[window], lines, cells)
        writing = grid.writing(ink[window])
        if len(grid.cells) > _MAX_CELLS or grid.cuts(writing):  # it is squared paper
            continue
        rows, columns = grid.rows_and_columns()
        boxes = page.boxes_in_picture(np.array([_box_of(cell, window) for cell in grid.cells]))
        found = [
            Place(len(places), int(row), int(column), box)
            for row, column, box in zip(rows, columns, boxes, strict=True)
        ]
        if isolate and len(found) >= _MANY_CELLS and grid.region.sum() >= _LARGE * ink.size:
            alone = np.zeros_like(ink)
            alone[window] = writing * grid.region
            return page.with_ink(alone), tuple(replace(place, grid=0) for place in found)
        ink[window] = writing
        places.append(found)
    return page.with_ink(ink), tuple(place for found in places for place in found)


def _grids_on(page: Page) -> Iterator[tuple[tuple[slice, slice], Mask, list[Outline]]]:
    """Yield the window, the lines and the cells of each grid, the largest first."""
    binary = np.asarray(page.ink >= _LINE, np.uint8)
    labels, stats = components_of(cv2.morphologyEx(binary, cv2.MORPH_CLOSE, _kernel(3)))
    stats[0] = 0
    widths, heights, areas = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    candidates = (areas < _MAX_FILLED * widths * heights) & (np.minimum(widths, heights) > 2 * _MIN_SIDE)
    largest = np.argsort(-areas)
    largest = largest[candidates[largest]]
    work = (widths[largest] * heights[largest]).cumsum()
    for n in largest[work <= _MAX_WORK * page.ink.size]:
        left, top, width, height, _ = stats[n]
        window = slice(top, top + height), slice(left, left + width)
        lines = np.asarray(labels[window] == n, np.uint8)
        cells = cells_of(lines)
        if cells:
            yield window, lines, cells


def _box_of(cell: Outline, window: tuple[slice, slice]) -> NDArray[np.int64]:
    """Return the left, top, right and bottom of a cell on the page."""
    left, top, width, height = cv2.boundingRect(cell)
    left, top = left + window[1].start, top + window[0].start
    return np.array([left, top, left + width, top + height])


def cells_of(lines: Mask) -> list[Outline]:
    """Return the outlines of the cells that lines enclose; an empty list if the lines do not form a grid."""
    outlines, levels = cv2.findContours(lines, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if levels is None:
        return []
    holes = [np.asarray(outline) for outline, level in zip(outlines, levels[0], strict=True) if level[3] >= 0]
    holes = [hole for hole in holes if min(cv2.boundingRect(hole)[2:]) >= _MIN_SIDE and _is_rectangular(hole)]
    if len(holes) < _MIN_CELLS:
        return []
    areas = np.array([cv2.contourArea(hole) for hole in holes])
    order = np.argsort(areas)
    typical = areas[order[np.searchsorted(areas[order].cumsum(), areas.sum() / 2)]]
    similar = (areas > typical / _SIMILAR) & (areas < typical * _SIMILAR)
    widths, heights = np.array([cv2.minAreaRect(hole)[1] for hole in holes]).T
    aspect = np.median(np.maximum(widths, heights) / np.minimum(widths, heights))
    is_grid = (
        aspect <= _MAX_ASPECT and areas[similar].sum() >= _MIN_CELL_SHARE * areas.sum() and similar.sum() >= _MIN_CELLS
    )
    return [hole for hole, belongs in zip(holes, similar, strict=True) if belongs] if is_grid else []


def _is_rectangular(hole: Outline) -> bool:
    (_, (width, height), _) = cv2.minAreaRect(hole)
    return bool(cv2.contourArea(cv2.convexHull(hole)) >= _MIN_RECTANGULAR * width * height)


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid in a part of a page."""

    cells: list[Outline]
    across: Mask  # thin lines, which may not enclose cells
    down: Mask
    lines: Mask
    region: Mask  # of the cells and the lines around them

    @cached_property
    def inside(self) -> Mask:
        """The pixels of the cells that are well away from the lines."""
        filled = np.zeros_like(self.lines)
        for cell in self.cells:
            cv2.fillConvexPoly(filled, cv2.convexHull(cell), 1)
        return np.asarray(cv2.erode(filled, _kernel(_margin(self.lines))), np.uint8)

    def writing(self, ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the ink without the lines of the grid."""
        without = erased(ink, self.across, thickness_of(self.across))
        down = np.ascontiguousarray(self.down.T)
        without = erased(np.ascontiguousarray(without.T), down, thickness_of(down)).T
        return np.where(self.region, np.where(self.inside, without, 0), ink).astype(np.uint8)

    def cuts(self, writing: NDArray[np.uint8]) -> bool:
        """Return whether much of the writing goes beyond its cell."""
        strokes, stats = components_of((writing >= INK) & self.inside)
        areas = stats[1:, cv2.CC_STAT_AREA]
        rim = self.inside & (1 - cv2.erode(self.inside, _kernel(3)))
        cut = np.unique(strokes[rim > 0])
        return bool(areas[cut[cut > 0] - 1].sum() > _MAX_CUT * areas.sum())

    def rows_and_columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row and the column of each cell, from 0."""
        _, _, angle = cv2.minAreaRect(np.concatenate(self.cells))
        turn = cv2.getRotationMatrix2D((0, 0), (angle + 45) % 90 - 45, 1.0)
        level = [cv2.transform(cell.astype(np.float32), turn)[:, 0] for cell in self.cells]
        starts, stops = (np.array([extreme(cell, axis=0) for cell in level]) for extreme in (np.min, np.max))
        (left, top), (right, bottom) = starts.T, stops.T
        return _tracks(top, bottom, left, right), _tracks(left, right, top, bottom)


def _tracks(
    start: NDArray[np.float32], stop: NDArray[np.float32], before: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the number of each cell's row, or column, from 0.

    Cells that follow each other along the row and begin at about the same height are in one row, even if the grid is
    curved. `start` and `stop` are the extents of cells across the row, `before` and `after` those along it.
    """
    size, length = np.median(stop - start), np.median(after - before)
    follows = np.abs(after[:, np.newaxis] - before) < length / 2
    follows &= np.abs(start[:, np.newaxis] - start) < size / 3
    chains = _chains(follows)
    means = np.array([start[chains == chain].mean() for chain in range(chains.max() + 1)])
    order = np.argsort(means)
    numbers = np.empty(len(means), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(means[order]) > size / 3)])
    return numbers[chains]


def _chains(follows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of each cell's chain: cells that follow each other are in one."""
    chains = np.full(len(follows), -1)
    linked = follows | follows.T
    for first in range(len(follows)):
        if chains[first] < 0:
            reached = np.zeros(len(follows), bool)
            front = np.arange(len(follows)) == first
            while front.any():
                reached |= front
                front = linked[front].any(axis=0) & ~reached
            chains[reached] = chains.max() + 1
    return chains


def _grid_of(ink: NDArray[np.uint8], lines: Mask, cells: list[Outline]) -> Grid:
    """Return the grid of some lines with the thin lines between its cells."""
    for _ in range(2):  # the lines between the cells of a block may be found only with the block's
        across, down = _thin_lines(ink, cells)
        lines = lines | across | down
        cells = cells_of(lines) or cells
    filled = cv2.drawContours(np.zeros_like(lines), cells, -1, 1, cv2.FILLED)
    side = int(np.median([min(cv2.boundingRect(cell)[2:]) for cell in cells]))
    padded = cv2.copyMakeBorder(filled, *[side] * 4, cv2.BORDER_CONSTANT)
    region = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _kernel(side))[side:-side, side:-side]
    region = cv2.dilate(np.ascontiguousarray(region), _kernel(2 * _margin(lines) + 1))
    return Grid(cells, across, down, lines, np.asarray(region, np.uint8))


def _margin(lines: Mask) -> int:
    return 2 * round(pen_width(255 * lines)) + 1


def _kernel(side: int) -> Mask:
    return np.ones((side, side), np.uint8)


def _thin_lines(ink: NDArray[np.uint8], cells: list[Outline]) -> tuple[Mask, Mask]:
    """Return the lines across and down between cells, which may be too faint or too broken to enclose them."""
    sides = np.array([cv2.boundingRect(cell)[2:] for cell in cells])
    width, height = np.median(sides, axis=0)
    _, _, angle = cv2.minAreaRect(np.concatenate(cells))
    slopes = np.tan(np.radians((angle + 45) % 90 - 45)) + _SLOPES
    faint = np.asarray(ink >= _FAINT_LINE, np.uint8)
    across = straight_lines(faint, round(_LINE_LENGTH * width), slopes)
    down = straight_lines(np.ascontiguousarray(faint.T), round(_LINE_LENGTH * height), -slopes).T
    return across, np.ascontiguousarray(down)
