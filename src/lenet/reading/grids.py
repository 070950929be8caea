"""Find grids, such as tables and Sudokus, and extract the writing from their cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import pen_width
from lenet.reading.faint_lines import faint_lines_between
from lenet.reading.ink import blur_of, deblurred, strengthened
from lenet.reading.numbering import rows_and_columns
from lenet.reading.page import Page
from lenet.reading.results import Cell
from lenet.reading.rules import Mask
from lenet.reading.strokes import components_of, hollow, mask_of

Outline = NDArray[np.int32]
Window = tuple[slice, slice]

_WINDOW, _LINE = 16, 12  # lines are 12 levels darker than the window around them, a 16th of the page's side
_MIN_CELLS, _MAX_CELLS = 4, 1000
_MIN_SIDE = 12  # pixels of a cell
_SIMILAR, _MERGED = 12.0, 100.0  # a cell, which may be merged, has 1/12 to 100 times the usual area
_MIN_SIDES = 0.6  # times the usual width or height: what is narrower and lower may be a spot in a shaded cell
_IN_LINE = 0.3  # sides of a small cell: it is in line with others if its edges are that close to theirs
_MIN_CELL_SHARE = 0.5  # the fraction of the enclosed area that belongs to cells of similar areas
_MIN_RECTANGULAR = 0.85  # the area of a cell, as a fraction of the smallest rectangle around it
_MAX_ASPECT = 4.0  # of the cells; the spaces between the rules of paper are longer
_MIN_SPLIT = 1.6  # times the usual area of a cell: smaller cells are not divided by faint lines
_MAX_BLUR = 0.1  # sides of a cell: the standard deviation of the strongest blur that is undone
_RIM = 0.1  # sides of a cell: ink that touches the lines and extends no further is part of a line
_FRINGE = 3  # pixels that are erased along the outlines of cells
_MAX_CUT = 0.3  # the fraction of the writing in a table that may touch its lines
_MANY_CELLS, _LARGE = 16, 0.2  # a grid with this many cells on this fraction of the page is the only content
_AS_LARGE = 0.5  # other grids are kept if they have this fraction of its area


def turned(cells: Sequence[Cell], turns: int) -> tuple[Cell, ...]:
    """Return cells with the rows and columns of the page after some quarter turns, counter-clockwise."""
    for _ in range(turns):
        last = {cell.grid: 0 for cell in cells}
        for cell in cells:
            last[cell.grid] = max(last[cell.grid], cell.column)
        cells = [replace(each, row=last[each.grid] - each.column, column=each.row) for each in cells]
    return tuple(cells)


def without_grids(page: Page, *, isolate: bool = True) -> tuple[Page, tuple[Cell, ...]]:
    """Return a page without the lines of its grids but with the writing in them, and the cells, whose texts are empty.

    If a grid of many cells fills much of the page, everything around it is erased, too, unless `isolate` is false.
    Other grids are kept if they are at least half as large.
    """
    grids = [(window, grid, grid.writing(page.ink[window])) for window, grid in _grids_on(page)]
    grids = [(window, grid, writing) for window, grid, writing in grids if not grid.is_squared_paper(writing)]
    areas = [grid.area for _, grid, _ in grids if isolate and len(grid.cells) >= _MANY_CELLS]
    large = [area for area in areas if area >= _LARGE * page.ink.size]
    if large:
        grids = [each for each in grids if each[1].area >= _AS_LARGE * max(large)]
    ink = np.zeros_like(page.ink) if large else page.ink.copy()
    cells: list[Cell] = []
    for number, (window, grid, writing) in enumerate(grids):
        cleared = _cleared(writing, _darkness(page, window), grid)
        ink[window] = np.where(grid.region, cleared, ink[window])
        boxes = page.boxes_in_picture(np.array([_box_of(cell, window) for cell in grid.cells]))
        each_cell = zip(*rows_and_columns(grid.cells), boxes, strict=True)
        cells += [Cell(number, int(row), int(column), box) for row, column, box in each_cell]
    return page.with_ink(ink), tuple(cells)


def _cleared(writing: NDArray[np.uint8], darkness: NDArray[np.uint8], grid: "Grid") -> NDArray[np.uint8]:
    """Deblur the writing in a grid and normalise its strength in each cell: printed lines may be darker or fainter."""
    written: list[tuple[Window, NDArray[np.uint8]]] = []
    for cell in grid.cells:
        part = _window(*cv2.boundingRect(cell))
        ink = np.where(_filled([cell - cell.min(axis=0)], writing[part].shape), writing[part], 0).astype(np.uint8)
        if mask_of(ink).any():
            written.append((part, ink))
    cleared = np.zeros_like(writing)
    if not written:
        return cleared
    blur = min(float(np.median([blur_of(darkness[part], ink) for part, ink in written])), _MAX_BLUR * grid.side)
    for part, ink in written:  # the boxes of slanted cells overlap
        cleared[part] = np.maximum(cleared[part], strengthened(ink, deblurred(darkness[part], blur)))
    return cleared


def _darkness(page: Page, window: Window) -> NDArray[np.uint8]:
    return (page.ink if page.darkness is None else page.darkness)[window]


def _grids_on(page: Page) -> list[tuple[Window, "Grid"]]:
    """Return the grids with their windows, from top to bottom."""
    dark = _darkness(page, np.s_[:, :])
    block = max(3, min(dark.shape) // _WINDOW | 1)
    binary = cv2.adaptiveThreshold(dark, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, -_LINE)
    closed = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, _kernel(3))
    if not _may_have_cells(closed):
        return []
    labels, stats = components_of(closed)
    stats[0] = 0
    widths, heights, areas = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    grids: list[tuple[Window, Grid]] = []
    for n in hollow(widths, heights, areas, 2 * _MIN_SIDE, page.ink.size):
        window = _window(*stats[n, :4].tolist())
        lines = np.asarray(labels[window] == n, np.uint8)
        cells = cells_of(lines)
        if cells:
            grids += _grids_of(dark[window], lines, cells, window)
    return sorted(grids, key=lambda each: (each[0][0].start, each[0][1].start))


def _may_have_cells(lines: Mask) -> bool:
    """Return whether any component has enough holes for a grid."""
    _, levels = cv2.findContours(lines, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if levels is None:
        return False
    holes = np.bincount(levels[0, :, 3] + 1)[1:]  # of each component, which is their parent
    return bool((holes >= _MIN_CELLS).any())


def _window(left: int, top: int, width: int, height: int) -> Window:
    return slice(top, top + height), slice(left, left + width)


def _box_of(cell: Outline, window: Window) -> NDArray[np.int64]:
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
    typical = np.median(areas)
    similar = (areas > typical / _SIMILAR) & (areas < typical * _MERGED)
    similar &= ~_are_spots(np.array([cv2.boundingRect(hole) for hole in holes]))
    widths, heights = np.array([cv2.minAreaRect(hole)[1] for hole in holes]).T
    aspect = np.median(np.maximum(widths, heights) / np.minimum(widths, heights))
    is_grid = (
        aspect <= _MAX_ASPECT and areas[similar].sum() >= _MIN_CELL_SHARE * areas.sum() and similar.sum() >= _MIN_CELLS
    )
    return [hole for hole, belongs in zip(holes, similar, strict=True) if belongs] if is_grid else []


def _are_spots(boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which boxes are narrower and lower than usual, and not in line with others."""
    starts, sides = boxes[:, :2], boxes[:, 2:]
    spots = (sides <= _MIN_SIDES * np.median(sides, axis=0)).all(axis=1)
    ends = np.stack([starts, starts + sides], axis=1)
    for n in np.flatnonzero(spots):  # where a narrow column meets a low row, a cell is in line with both
        in_line = np.abs(ends[~spots] - ends[n]) <= _IN_LINE * sides[n].min()
        spots[n] = not in_line.all(axis=1).any(axis=0).all()
    return np.asarray(spots)


def _is_rectangular(hole: Outline) -> bool:
    (_, (width, height), _) = cv2.minAreaRect(hole)
    return bool(cv2.contourArea(cv2.convexHull(hole)) >= _MIN_RECTANGULAR * width * height)


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid in a part of a page."""

    cells: list[Outline]
    region: Mask  # of the cells and the lines around them

    @property
    def side(self) -> int:
        """The typical shorter side of a cell, in pixels."""
        return _side(self.cells)

    @cached_property
    def area(self) -> int:
        """The number of pixels of the region."""
        return int(self.region.sum())

    @cached_property
    def inside(self) -> Mask:
        """The pixels of the cells."""
        hulls = [cv2.convexHull(cell) for cell in self.cells]
        filled = _filled(self.cells, self.region.shape)
        return np.asarray(cv2.polylines(filled, hulls, True, 0, _FRINGE), np.uint8)  # outlines run along the lines

    @cached_property
    def rim(self) -> NDArray[np.bool_]:
        """The outermost pixels of the cells."""
        return np.asarray(self.inside & (1 - cv2.erode(self.inside, _kernel(3))), bool)

    def writing(self, ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the ink in the cells, without the lines around them or their ends."""
        writing = np.where(self.inside, ink, 0).astype(np.uint8)
        labels, _ = components_of(mask_of(writing))
        core = cv2.erode(self.inside, _kernel(2 * round(_RIM * self.side) + 1))
        ends = (labels > 0) & np.isin(labels, np.setdiff1d(labels[self.rim], labels[core > 0]))
        return np.where(cv2.dilate(ends.view(np.uint8), _kernel(3)) & (labels == 0) | ends, 0, writing).astype(np.uint8)

    def is_squared_paper(self, writing: NDArray[np.uint8]) -> bool:
        """Return whether there are too many cells for a table, or much of the writing goes beyond its cell."""
        if len(self.cells) > _MAX_CELLS:
            return True
        strokes, stats = components_of(mask_of(writing))
        areas = stats[1:, cv2.CC_STAT_AREA]
        cut = np.unique(np.asarray(strokes)[self.rim])
        return bool(areas[cut[cut > 0] - 1].sum() > _MAX_CUT * areas.sum())


def _grids_of(
    darkness: NDArray[np.uint8], lines: Mask, cells: list[Outline], window: Window
) -> Iterator[tuple[Window, "Grid"]]:
    """Yield the grids in a window, divided by the faint lines between their cells; neighbouring cells share a grid."""
    cells = _split(cells, cells_of(lines | faint_lines_between(darkness, cells)), lines.shape)
    filled = cv2.drawContours(np.zeros_like(lines), cells, -1, 1, cv2.FILLED)
    side = _side(cells) // 2
    padded = cv2.copyMakeBorder(filled, *[side] * 4, cv2.BORDER_CONSTANT)
    region = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _kernel(side))[side:-side, side:-side]
    margin = 2 * round(pen_width(255 * lines)) + 1
    labels, stats = components_of(cv2.dilate(np.ascontiguousarray(region), _kernel(2 * margin + 1)))
    numbers = np.array([labels[cell[0, 0, 1], cell[0, 0, 0]] for cell in cells])
    for number in np.flatnonzero(np.bincount(numbers) >= _MIN_CELLS):
        left, top, width, height = stats[number, :4].tolist()
        own = [cell - [left, top] for cell, each in zip(cells, numbers, strict=True) if each == number]
        part = _window(left, top, width, height)
        place = _window(left + window[1].start, top + window[0].start, width, height)
        yield place, Grid([cell.astype(np.int32) for cell in own], np.asarray(labels[part] == number, np.uint8))


def _split(cells: list[Outline], parts: list[Outline], shape: tuple[int, ...]) -> list[Outline]:
    """Return the parts of cells that faint lines divide, and the cells that are already as small as most parts.

    Tight print in a cell looks like a faint line.
    """
    if not parts:
        return cells
    areas = np.sort([cv2.contourArea(part) for part in parts])
    usual = areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)]  # weighted by area: a few cells may have many parts
    whole = [cell for cell in cells if cv2.contourArea(cell) < _MIN_SPLIT * usual]
    within = _filled(whole, shape)
    middles = np.array([part.mean(axis=(0, 1)) for part in parts]).astype(int)
    return whole + [part for part, (x, y) in zip(parts, middles, strict=True) if not within[y, x]]


def _filled(cells: list[Outline], shape: tuple[int, ...]) -> Mask:
    """Return the pixels of cells, including strokes that touch their lines."""
    filled = np.zeros(shape, np.uint8)
    for cell in cells:
        cv2.fillConvexPoly(filled, cv2.convexHull(cell), 1)
    return filled


def _side(cells: list[Outline]) -> int:
    return int(np.median([min(cv2.boundingRect(cell)[2:]) for cell in cells]))


def _kernel(side: int) -> Mask:
    return np.ones((side, side), np.uint8)
