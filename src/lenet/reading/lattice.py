"""Complete grids of equal cells, such as Sudokus: add missing cells, and join the parts of cells that ink divides."""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import square
from lenet.reading.cells import MAX_CELLS, Outline, cell_mask, rows_and_columns
from lenet.reading.strokes import Floats, Ints, Mask, mask_of

_MIN_FILLED = 0.5  # the cells of a row or column, as a fraction of those of the fullest; others are short
_MIN_WHOLE = 0.75  # the fraction of the cells that are whole and in their places
_MAX_CHANGE = 0.25  # the difference between the sides of a whole cell and the usual ones, as a fraction of these
_MAX_SHIFT = 0.15  # sides of a cell: the distance of a whole cell from its place
_MIN_VISIBLE = 0.5  # the fraction of a missing cell's sides that is in the picture
_RIM = 0.2  # shorter sides of a cell: ink further inside is writing
_CORNERS = 0.47 * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])  # sides of a cell; its lines take the rest


class _Lattice(NamedTuple):
    """The places of the cells of a grid."""

    places: Ints  # the row and the column of each
    fit: Floats  # (6, 2): the coefficients of x and y, in sides of a cell

    @property
    def middles(self) -> Floats:
        """The middle of each place, shape (places, 2)."""
        return np.asarray(_terms(self.places) @ self.fit)

    @property
    def corners(self) -> Floats:
        """The corners of each place, shape (places, 4, 2)."""
        corners = (self.places[:, np.newaxis] + _CORNERS).reshape(-1, 2)
        return np.asarray(_terms(corners) @ self.fit).reshape(-1, 4, 2)


def completed(cells: list[Outline], ink: NDArray[np.uint8]) -> list[Outline]:
    """Return the cells of a grid, completed if nearly all are equal and in their places; otherwise unchanged.

    Narrow cells beside the grid are removed if they are blank: folds, and the edges of the paper, may enclose them.
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
    shifts = np.abs(middles[:, np.newaxis] - lattice.middles)  # of each cell from each place
    in_place = have_size[:, np.newaxis] & (shifts <= _MAX_SHIFT).all(axis=2)
    if in_place.sum() < _MIN_WHOLE * len(lattice.places):
        return cells
    are_larger = np.asarray((sides > 1 + _MAX_CHANGE).any(axis=1))
    merged = are_larger[:, np.newaxis] & (shifts <= sides[:, np.newaxis] / 2 + _MAX_CHANGE).all(axis=2)
    taken = in_place | merged
    have_place = np.asarray(taken.any(axis=1))
    parts = (shifts <= 0.5).all(axis=2) & ~have_place[:, np.newaxis] & ~merged.any(axis=0)
    are_written = np.array([_is_written(cell, ink) for cell in cells])
    taken |= parts & ((parts & are_written[:, np.newaxis]).sum(axis=0) > 1)  # divided in print, not by a stroke
    are_beside = ~are_written & _in_short_tracks(tracks) & (sides < 1 - _MAX_CHANGE).any(axis=1)
    kept = taken.any(axis=1) | ~(parts.any(axis=1) | are_beside)
    missing = _visible_cells(lattice.corners[~taken.any(axis=0)] * usual, ink.shape)
    return list(compress(cells, kept)) + [cell for cell in missing if not _is_mostly_ink(cell, ink)]


def _lattice_of(middles: Floats, tracks: Sequence[Ints], are_whole: NDArray[np.bool_]) -> _Lattice | None:
    """Fit the places of cells to the middles, rows and columns of whole ones.

    The result is None if too few are whole, or if the places differ in size: a quadratic fits three columns of any
    widths, and says nothing about the size of two.
    """
    numbers = np.stack([_main_numbers(each, are_whole) for each in tracks], axis=1)
    known = are_whole & (numbers >= 0).all(axis=1)
    count = numbers.max(axis=0) + 1
    if known.sum() < _MIN_WHOLE * count.prod():
        return None
    fit, *_ = np.linalg.lstsq(_terms(numbers[known]), middles[known], rcond=None)
    lattice = _Lattice(np.argwhere(np.ones(count)), np.asarray(fit, np.float64))
    return lattice if (np.abs(np.ptp(lattice.corners, axis=1) - 1) <= _MAX_CHANGE).all() else None


def _main_numbers(tracks: Ints, among: NDArray[np.bool_]) -> Ints:
    """Return the number of each cell's row, or column, counting those with many of the given cells; -1 for others."""
    counts = np.bincount(tracks, among)
    are_main = counts >= _MIN_FILLED * counts.max()
    return np.asarray(np.where(are_main, are_main.cumsum() - 1, -1)[tracks])


def _in_short_tracks(tracks: Sequence[Ints]) -> NDArray[np.bool_]:
    """Return whether each cell's row or column has few cells."""
    return np.asarray(np.any([_main_numbers(each, np.full(len(each), True)) < 0 for each in tracks], axis=0))


def _terms(places: Ints | Floats) -> Floats:
    """Return the terms of a quadratic function of row and column, as paper is bent, or seen in perspective."""
    row, column = places.T.astype(np.float64)
    return np.stack([np.ones_like(row), row, column, row * row, row * column, column * column], axis=1)


def _is_written(cell: Outline, ink: NDArray[np.uint8]) -> bool:
    """Return whether there is ink inside a cell, away from its lines."""
    part, mask = _part_of(cell, ink)
    rim = square(2 * round(_RIM * min(part.shape)) + 1)
    core = cv2.erode(mask, rim, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return bool((mask_of(part) & core).any())


def _is_mostly_ink(cell: Outline, ink: NDArray[np.uint8]) -> bool:
    """Return whether a cell is mostly ink or shade, such as a black square of a crossword."""
    part, mask = _part_of(cell, ink)
    return bool(np.median(part[mask > 0]) > 0)


def _part_of(cell: Outline, ink: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Mask]:
    """Return the ink in the box around a cell, and the mask of the cell."""
    left, top, width, height = cv2.boundingRect(cell)
    part = ink[top : top + height, left : left + width]
    return part, cell_mask([cell - (left, top)], part.shape)


def _visible_cells(corners: Floats, shape: tuple[int, ...]) -> list[Outline]:
    """Return the cells with these corners of which at least half is in the picture."""
    inside = np.clip(np.rint(corners), 0, np.array(shape[::-1]) - 1)
    are_visible = (np.ptp(inside, axis=1) >= _MIN_VISIBLE * np.ptp(corners, axis=1)).all(axis=1)
    return list(inside[are_visible].astype(np.int32)[:, :, np.newaxis])
