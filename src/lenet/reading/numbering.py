"""Number the rows and columns of the cells of a grid."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.cells import Outline, slant_of
from lenet.reading.grouping import linked


def rows_and_columns(cells: list[Outline]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row and the column of each cell, from 0."""
    turn = cv2.getRotationMatrix2D((0, 0), slant_of(cells), 1.0)
    level = [cv2.transform(cell.astype(np.float32), turn)[:, 0] for cell in cells]
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
    chains = chains_of(follows)
    means = np.bincount(chains, start) / np.bincount(chains)
    order = np.argsort(means)
    numbers = np.empty(len(means), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(means[order]) > size / 3)])
    return numbers[chains]


def chains_of(follows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of each cell's chain: cells that follow each other are in the same chain."""
    return np.unique(linked(len(follows), np.argwhere(follows).tolist()), return_inverse=True)[1]
