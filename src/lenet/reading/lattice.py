"""Complete grids of equal cells, such as Sudokus: add missing cells, and join the parts of cells that ink divides."""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.cells import MAX_CELLS, Outline, rows_and_columns
from lenet.reading.strokes import Floats, Ints

_MIN_TRACKS = 3  # rows and columns
_MIN_TRACK = 0.5  # the cells of a row or column, as a fraction of those of the fullest
_MIN_WHOLE = 0.75  # the fraction of the cells that are whole and in their places
_MAX_CHANGE = 0.25  # the difference between the sides of a whole cell and the usual ones, as a fraction of these
_MAX_SHIFT = 0.15  # sides of a cell: the distance of a whole cell from its place
_CORNERS = 0.47 * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])  # sides of a cell; its lines take the rest
_SHADE = 12  # levels: darker places are no cells but, for example, the black squares of a crossword


class _Lattice(NamedTuple):
    """The places of the cells of a grid."""

    places: Ints  # the row and the column of each
    fit: Floats  # (6, 2): the coefficients of x and y, in sides of a cell

    def at(self, places: Ints | Floats) -> Floats:
        """Return x and y of rows and columns, in sides of a cell."""
        return np.asarray(_terms(places) @ self.fit)

    def cells(self, places: Ints, sides: Floats, shape: tuple[int, ...]) -> list[Outline]:
        """Return cells with these sides, in pixels, in an image of this shape."""
        corners = self.at((places[:, np.newaxis] + _CORNERS).reshape(-1, 2)) * sides
        inside = np.clip(np.rint(corners), 0, np.array(shape[::-1]) - 1)
        return list(inside.astype(np.int32).reshape(-1, 4, 1, 2))


def completed(cells: list[Outline], darkness: NDArray[np.uint8]) -> list[Outline]:
    """Return the cells of a grid, completed if nearly all are equal and in their places; otherwise unchanged.

    Narrow cells beside the grid are removed: folds, and the edges of the paper, may enclose them.
    """
    if len(cells) > MAX_CELLS:
        return cells
    boxes, tracks = np.array([cv2.boundingRect(cell) for cell in cells], np.float64), rows_and_columns(cells)
    usual = np.median(boxes[:, 2:], axis=0)
    middles, sides = (boxes[:, :2] + boxes[:, 2:] / 2) / usual, boxes[:, 2:] / usual
    have_size = np.asarray((np.abs(sides - 1) <= _MAX_CHANGE).all(axis=1))
    lattice = _lattice_of(middles, tracks, have_size)
    if lattice is None:
        return cells
    shifts = np.abs(middles[:, np.newaxis] - lattice.at(lattice.places))  # of each cell from each place
    are_there = have_size[:, np.newaxis] & (shifts <= _MAX_SHIFT).all(axis=2)
    if are_there.sum() < _MIN_WHOLE * len(lattice.places):
        return cells
    are_merged = np.asarray((sides > 1 + _MAX_CHANGE).any(axis=1))
    covered = are_there | (are_merged[:, np.newaxis] & (shifts <= sides[:, np.newaxis] / 2).all(axis=2))
    are_inside = np.asarray((shifts <= 0.5).all(axis=2)).any(axis=1)
    are_parts = are_inside & ~covered.any(axis=1)
    are_beside = _are_few(tracks) & (sides < 1 - _MAX_CHANGE).any(axis=1)
    found = list(compress(cells, ~are_parts & ~are_beside))
    missing = lattice.cells(lattice.places[~covered.any(axis=0)], usual, darkness.shape)
    darkest = max(_median(darkness, cell) for cell in found)
    return found + [cell for cell in missing if _median(darkness, cell) <= darkest + _SHADE]


def _lattice_of(middles: Floats, tracks: Sequence[Ints], are_whole: NDArray[np.bool_]) -> _Lattice | None:
    """Return the places of cells, given their middles, rows and columns, and which are whole; None if too few are."""
    numbers = np.stack([_main(each, are_whole) for each in tracks], axis=1)
    known = are_whole & (numbers >= 0).all(axis=1)
    count = numbers.max(axis=0) + 1
    if count.min() < _MIN_TRACKS or known.sum() < _MIN_WHOLE * count.prod():
        return None
    fit, *_ = np.linalg.lstsq(_terms(numbers[known]), middles[known], rcond=None)
    return _Lattice(np.argwhere(np.ones(count)), np.asarray(fit, np.float64))


def _main(tracks: Ints, among: NDArray[np.bool_]) -> Ints:
    """Return the number of each cell's row, or column, counting those with many of the given cells; -1 for others."""
    counts = np.bincount(tracks, among)
    are_main = counts >= _MIN_TRACK * counts.max()
    return np.asarray(np.where(are_main, are_main.cumsum() - 1, -1)[tracks])


def _are_few(tracks: Sequence[Ints]) -> NDArray[np.bool_]:
    """Return whether each cell's row or column has few cells."""
    return np.asarray(np.any([_main(each, np.full(len(each), True)) < 0 for each in tracks], axis=0))


def _terms(places: Ints | Floats) -> Floats:
    """Return the terms of a quadratic function of row and column, as paper is bent, or seen in perspective."""
    row, column = places.T.astype(np.float64)
    return np.stack([np.ones_like(row), row, column, row * row, row * column, column * column], axis=1)


def _median(darkness: NDArray[np.uint8], cell: Outline) -> float:
    """Return the median of the darkness in the box around a cell."""
    left, top, width, height = cv2.boundingRect(cell)
    return float(np.median(darkness[top : top + height, left : left + width]))
