"""Find the cells that the lines of a grid enclose, and number their rows and columns."""

from itertools import compress

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.grouping import linked
from lenet.reading.strokes import Ints, Mask

Outline = NDArray[np.int32]

MIN_CELLS, MAX_CELLS = 4, 1000  # of a grid
MIN_SIDE = 12  # pixels of a cell
_MAX_HOLES = 5_000  # of a page, whose grids may have 1,000 cells each; squared paper has more
_SIMILAR, _MERGED = 12.0, 100.0  # a cell, which may be merged, has 1/12 to 100 times the usual area
_MIN_SIDES = 0.6  # times the usual width or height: a hole that is narrower and shorter may be a spot in a shaded cell
_IN_LINE = 0.3  # sides of a small cell: it is in line with others if its edges are that close to theirs
_MIN_CELL_SHARE = 0.5  # the fraction of the enclosed area that belongs to cells of similar areas
_MIN_RECTANGULAR = 0.85  # the area of a cell, as a fraction of the smallest rectangle around it
_MAX_ASPECT = 4.0  # of the cells; the spaces between the rules of paper are longer
_MIN_SPLIT = 1.6  # times the usual area of a cell: smaller cells are not divided by faint lines


def may_have_cells(lines: Mask) -> bool:
    """Return whether any component has enough holes for a grid, and the page has few enough for tables."""
    components = _holes_of(lines)[1]
    return len(components) <= _MAX_HOLES and bool((np.bincount(components) >= MIN_CELLS).any())


def cells_of(lines: Mask) -> list[Outline]:
    """Return the outlines of the cells that lines enclose; an empty list if the lines do not form a grid."""
    holes, _ = _holes_of(lines)
    holes = [hole for hole in holes if min(cv2.boundingRect(hole)[2:]) >= MIN_SIDE and _is_rectangular(hole)]
    if len(holes) < MIN_CELLS:
        return []
    areas = np.array([cv2.contourArea(hole) for hole in holes])
    similar = (areas > np.median(areas) / _SIMILAR) & (areas < np.median(areas) * _MERGED)
    similar &= ~_are_spots(np.array([cv2.boundingRect(hole) for hole in holes]))
    sides = np.array([cv2.minAreaRect(hole)[1] for hole in holes])
    has_many = similar.sum() >= MIN_CELLS and areas[similar].sum() >= _MIN_CELL_SHARE * areas.sum()
    is_grid = has_many and np.median(sides.max(axis=1) / sides.min(axis=1)) <= _MAX_ASPECT
    return list(compress(holes, similar)) if is_grid else []


def _holes_of(lines: Mask) -> tuple[list[Outline], NDArray[np.int32]]:
    """Return the outlines of all holes, and the component that each hole is in."""
    outlines, levels = cv2.findContours(lines, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parents = np.empty(0, np.int32) if levels is None else levels[0, :, 3]
    return [np.asarray(each) for each in compress(outlines, parents >= 0)], parents[parents >= 0]


def _are_spots(boxes: Ints) -> NDArray[np.bool_]:
    """Return whether each box is narrower and shorter than usual, and not in line with others."""
    starts, sides = boxes[:, :2], boxes[:, 2:]
    spots = (sides <= _MIN_SIDES * np.median(sides, axis=0)).all(axis=1)
    ends = np.stack([starts, starts + sides], axis=1)
    usual = ends[~spots]
    for n in np.flatnonzero(spots):  # where a narrow column meets a short row, a cell is in line with both
        in_line = np.abs(usual - ends[n]) <= _IN_LINE * sides[n].min()
        spots[n] = not in_line.all(axis=1).any(axis=0).all()
    return np.asarray(spots)


def _is_rectangular(hole: Outline) -> bool:
    (_, (width, height), _) = cv2.minAreaRect(hole)
    return bool(cv2.contourArea(cv2.convexHull(hole)) >= _MIN_RECTANGULAR * width * height)


def split(cells: list[Outline], parts: list[Outline], shape: tuple[int, ...]) -> list[Outline]:
    """Return the parts of cells that faint lines divide, and the cells that are already as small as most parts.

    Tight print in a cell looks like a faint line.
    """
    if not parts:
        return cells
    areas = np.sort([cv2.contourArea(part) for part in parts])
    usual = areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)]  # weighted by area: a few cells may have many parts
    whole = [cell for cell in cells if cv2.contourArea(cell) < _MIN_SPLIT * usual]
    within = cell_mask(whole, shape)
    middles = np.array([part.mean(axis=(0, 1)) for part in parts]).astype(int)
    return whole + [part for part, (x, y) in zip(parts, middles, strict=True) if not within[y, x]]


def cell_mask(cells: list[Outline], shape: tuple[int, ...]) -> Mask:
    """Return the mask of cells, including strokes that touch their lines."""
    filled = np.zeros(shape, np.uint8)
    for cell in cells:
        cv2.fillConvexPoly(filled, cv2.convexHull(cell), 1)
    return filled


def side_of(cells: list[Outline]) -> int:
    """Return the typical shorter side of cells, in pixels."""
    return int(np.median([min(cv2.boundingRect(cell)[2:]) for cell in cells]))


def slant_of(cells: list[Outline]) -> float:
    """Return the angle by which the cells of a grid are turned clockwise, in degrees from -45 to 45."""
    angles = [cv2.minAreaRect(cell)[2] for cell in cells]
    return float(np.median((np.array(angles) + 45) % 90 - 45))


def fall_of_rows(cells: list[Outline]) -> float:
    """Return the angle by which the rows of a grid fall, in degrees: the median over neighbours of equal height."""
    rows, columns = rows_and_columns(cells)
    order = np.lexsort((columns, rows))
    left, top, width, height = np.array([cv2.boundingRect(cell) for cell in cells])[order].T
    middles = np.stack([left + width / 2, top + height / 2], axis=1)
    are_neighbours = (np.diff(rows[order]) == 0) & (np.diff(columns[order]) == 1)
    are_neighbours &= np.abs(np.diff(height)) < np.median(height) / 3  # not merged
    across, down = np.diff(middles, axis=0)[are_neighbours].T
    return float(np.median(np.degrees(np.arctan2(down, across)))) if len(across) else 0.0


def rows_and_columns(cells: list[Outline]) -> tuple[Ints, Ints]:
    """Return the row and the column of each cell, from 0."""
    turn = cv2.getRotationMatrix2D((0, 0), slant_of(cells), 1.0)
    level = [cv2.transform(cell.astype(np.float32), turn)[:, 0] for cell in cells]
    starts, stops = (np.array([extreme(cell, axis=0) for cell in level]) for extreme in (np.min, np.max))
    (left, top), (right, bottom) = starts.T, stops.T
    return _tracks(top, bottom, left, right), _tracks(left, right, top, bottom)


def _tracks(
    start: NDArray[np.float32], stop: NDArray[np.float32], before: NDArray[np.float32], after: NDArray[np.float32]
) -> Ints:
    """Return the number of each cell's row, or column, from 0.

    Cells that follow each other along the row and begin at about the same height are in one row, even if the grid is
    curved. `start` and `stop` are the extents of cells across the row, `before` and `after` those along it.
    """
    size, length = np.median(stop - start), np.median(after - before)
    follows = np.abs(after[:, np.newaxis] - before) < length / 2
    follows &= np.abs(start[:, np.newaxis] - start) < size / 3
    chains = chains_of(follows)
    means = np.bincount(chains, start) / np.bincount(chains)
    order = np.argsort(means)
    numbers = np.empty(len(means), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(means[order]) > size / 3)])
    return numbers[chains]


def chains_of(follows: NDArray[np.bool_]) -> Ints:
    """Return the number of each cell's chain: cells that follow each other are in the same chain."""
    return np.unique(linked(len(follows), np.argwhere(follows).tolist()), return_inverse=True)[1]
