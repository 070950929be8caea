"""Find the seams along which a stroke may be cut, by dynamic programming.

A seam runs from the top of a stroke to its bottom and crosses little ink. It may step one pixel aside in each row, so
it passes between slanted digits.
"""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import pen_width

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROWS = (0.25, 0.5, 0.75)  # of a stroke's height, where seams are searched
_NEAR = 0.06  # heights of the writing: a seam this close to a cheaper one is dropped
_EDGE = 0.1  # heights of the writing: a seam this close to an edge of the stroke is dropped
_MIN_INK = 0.15  # between two seams, in stroke widths times the height
_STEP_COST = 0.02  # in stroke widths of ink
_ROW_COST = 0.001  # so that seams run straight where there is no ink


def seams(ink: NDArray[np.uint8], height: float) -> tuple[Ints, Floats]:
    """Return the seams along which a stroke may be cut.

    Parameters
    ----------
    ink : ndarray of uint8, shape (H, W)
        The ink of one stroke.
    height : float
        The height of the writing, in pixels.

    Returns
    -------
    columns : ndarray of int64, shape (n, H)
        The column before which each seam passes each row. Seams are sorted from left to right and do not cross.
    costs : ndarray of float64, shape (n,)
        The ink that each seam crosses, in stroke widths.

    Examples
    --------
    >>> ink = np.zeros((20, 24), np.uint8)
    >>> ink[:, [0, 1, 22, 23]] = 255
    >>> ink[9:11] = 255  # an H
    >>> columns, costs = seams(ink, 20.0)
    >>> bool(((columns > 1) & (columns < 23)).all()), round(float(costs.min()), 1)
    (True, 0.8)
    """
    pen = pen_width(ink)
    crossed = ink / (255 * pen)
    both_ways = np.stack([crossed, crossed[::-1]], axis=1) + _ROW_COST
    (down, up), (from_above, from_below) = (each.swapaxes(0, 1) for each in _cheapest(both_ways))
    up, from_below = up[::-1], from_below[::-1]
    near, edge = max(1, round(_NEAR * height)), _EDGE * height
    found = []
    for row in sorted({int(fraction * len(ink)) for fraction in _ROWS}):
        through = down[row] + up[row] - crossed[row]
        around = cv2.erode(through[np.newaxis], np.ones((1, 2 * near + 1), np.uint8))[0]
        inner = (np.arange(len(through)) > edge) & (np.arange(len(through)) < len(through) - edge)
        starts = np.flatnonzero(inner & (through <= around + 1e-9))
        found.append(_traced(starts, row, from_above, from_below))
    columns = np.concatenate(found)
    costs = np.take_along_axis(crossed, columns.T, axis=1).sum(axis=0)
    return _apart(columns, costs, ink / 255, _MIN_INK * height * pen)


def _cheapest(cost: Floats) -> tuple[Floats, Ints]:
    """Return the lowest cost of a path from the first row to each pixel, and where it passes the row before.

    Parameters
    ----------
    cost : ndarray of float64, shape (H, n, W)
        The costs of the pixels of n pictures.

    Returns
    -------
    total : ndarray of float64, shape (H, n, W)
    origin : ndarray of int64, shape (H, n, W)
        Columns; 0 in the first row.
    """
    steps, step_costs = np.array([0, -1, 1]), np.array([[[0.0]], [[_STEP_COST]], [[_STEP_COST]]])
    columns = np.arange(cost.shape[2])
    near = 1 + columns + steps[:, np.newaxis]  # (3, W), in the row before, which has a margin
    total = np.pad(cost, ((0, 0), (0, 0), (1, 1)), constant_values=np.inf)
    origin = np.zeros(cost.shape, np.int64)
    for row in range(1, len(cost)):
        paths = total[row - 1][:, near].swapaxes(0, 1) + step_costs  # (3, n, W)
        total[row, :, 1:-1] += paths.min(axis=0)
        origin[row] = columns + steps[paths.argmin(axis=0)]
    return total[:, :, 1:-1], origin


def _traced(starts: Ints, row: int, from_above: Ints, from_below: Ints) -> Ints:
    """Return the cheapest seams through the given columns of a row."""
    columns = np.zeros((len(starts), len(from_above)), np.int64)
    columns[:, row] = starts
    for y in range(row, 0, -1):
        columns[:, y - 1] = from_above[y, columns[:, y]]
    for y in range(row, len(from_above) - 1):
        columns[:, y + 1] = from_below[y, columns[:, y]]
    return columns


def _apart(columns: Ints, costs: Floats, ink: Floats, min_ink: float) -> tuple[Ints, Floats]:
    """Return the cheapest seams that do not cross and have enough ink between them, from left to right."""
    before = np.zeros((len(ink), ink.shape[1] + 1))  # the ink left of each column
    ink.cumsum(axis=1, out=before[:, 1:])
    passed = np.take_along_axis(before, columns.T, axis=1)  # the ink left of each seam, by rows
    kept: list[int] = []
    for n in np.argsort(costs, kind="stable"):
        offsets = columns[kept] - columns[n]
        crosses = (offsets.min(axis=1, initial=0) < 0) & (offsets.max(axis=1, initial=0) > 0)
        if not crosses.any() and (np.abs(passed[:, kept] - passed[:, [n]]).sum(axis=0) > min_ink).all():
            kept.append(int(n))
    kept.sort(key=lambda n: float(columns[n].mean()))
    return columns[kept], costs[kept]
