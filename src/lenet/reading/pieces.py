"""From strokes to pieces, more than there are digits: what touches is cut along seams that cross little ink.

A seam goes down from the top of a stroke to its bottom and may step a pixel aside in each row, so that it finds its
way between slanted digits. The cheapest ones are found by dynamic programming.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet._mnist_form import pen_width
from lenet.reading.strokes import Strokes

_NARROWEST_CUT = 0.65  # strokes that may be cut; lengths are in heights of the writing
_ROWS = (0.25, 0.5, 0.75)  # where seams are looked for, as parts of a stroke's height
_NEAR = 0.06  # seams so near to a cheaper one are left out,
_EDGE = 0.1  # those so near to an edge of the stroke,
_LEAST_INK = 0.15  # and those with so little ink between them, in pen's widths times the height
_LEAST_PIECE = 0.02  # pixels, in squares of the height
_ASIDE = 0.02  # pen's widths that a step aside costs
_EMPTY = 0.001  # and a row without ink, so that seams run straight there


@dataclass
class Pieces:
    """The pieces of a line, from left to right.

    Parameters
    ----------
    names : ndarray of int32, shape (H, W)
        Which piece each of the line's pixels belongs to: 0 for paper, n + 1 for piece n.
    boxes : ndarray of int64, shape (n, 4)
        Left, top, right and bottom of each; the last two are outside.
    cuts : ndarray of float64, shape (n + 1,)
        How many pen's widths of ink the seam before each piece cuts, and that behind the last: 0 between strokes. Where
        crumbs were put to a piece, the widest of their seams.
    """

    names: NDArray[np.int32]
    boxes: NDArray[np.int64]
    cuts: NDArray[np.float64]


def pieces_of(
    ink: NDArray[np.uint8], strokes: Strokes, members: NDArray[np.int64], corner: tuple[int, int], height: float
) -> Pieces:
    """Cut the strokes of a line into pieces.

    Parameters
    ----------
    ink : ndarray of uint8, shape (H, W)
        Of the line.
    strokes : Strokes
        Of the page.
    members : ndarray of int64
        The strokes of the line.
    corner : tuple of int
        Left and top of the line on the page.
    height : float
        Of the writing.
    """
    parts: list[tuple[float, float, int, int, NDArray[np.bool_]]] = []  # centre, cut, left, top, mask
    for stroke in members:
        left, top, right, bottom = strokes.boxes[stroke]
        mask = strokes.names[top:bottom, left:right] == stroke + 1
        left, top = int(left) - corner[0], int(top) - corner[1]
        for cut, part in _cut(ink[top : top + len(mask), left : left + mask.shape[1]], mask, height):
            columns = np.flatnonzero(part.any(axis=0))
            parts.append((left + (columns[0] + columns[-1] + 1) / 2, cut, left, top, part))
    parts.sort(key=lambda part: part[0])
    names = np.zeros(ink.shape, np.int32)
    boxes = np.zeros((len(parts), 4), np.int64)
    for n, (_, _, left, top, part) in enumerate(parts):
        names[top : top + len(part), left : left + part.shape[1]][part] = n + 1
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        boxes[n] = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
    return Pieces(_with_edges(ink, names), boxes, np.array([0.0, *(part[1] for part in parts[1:]), 0.0]))


def _with_edges(ink: NDArray[np.uint8], names: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the pieces with the faint edges of their strokes, which threshold no stroke on their own."""
    cv2: Any = require("cv2", "vision")
    grown = cv2.dilate(names.astype(np.float32), np.ones((3, 3), np.uint8))
    return np.where((names == 0) & (ink > 0), grown, names).astype(np.int32)


def _cut(ink: NDArray[np.uint8], mask: NDArray[np.bool_], height: float) -> list[tuple[float, NDArray[np.bool_]]]:
    """Return the pieces of a stroke from left to right, each with the width of the cut before it."""
    if mask.shape[1] <= _NARROWEST_CUT * height:
        return [(0.0, mask)]
    columns, costs = seams(np.where(mask, ink, 0), height)
    behind = (np.arange(mask.shape[1]) >= columns[:, :, np.newaxis]).sum(axis=0)  # how many seams lie left of a pixel
    parts: list[tuple[float, NDArray[np.bool_]]] = []
    first, cut = 0, 0.0
    for n in range(len(costs) + 1):
        part = mask & (behind >= first) & (behind <= n)
        cut = max(cut, costs[n - 1] if n and parts else 0.0)
        if part.sum() >= _LEAST_PIECE * height**2 or n == len(costs):
            if part.any():
                parts.append((cut, part))
            first, cut = n + 1, 0.0
    return parts


def seams(ink: NDArray[np.uint8], height: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the seams along which a stroke may be cut.

    Parameters
    ----------
    ink : ndarray of uint8, shape (H, W)
        Of one stroke.
    height : float
        Of the writing, in pixels.

    Returns
    -------
    columns : ndarray of int64, shape (n, H)
        Where each seam passes each row: in front of that column. From left to right, without crossing.
    costs : ndarray of float64, shape (n,)
        The ink that it crosses, in pen's widths.

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
    down, from_above = _cheapest(crossed + _EMPTY)
    up, from_below = _cheapest(crossed[::-1] + _EMPTY)
    up, from_below = up[::-1], from_below[::-1]
    near, edge = max(1, round(_NEAR * height)), _EDGE * height
    found = []
    for row in sorted({int(part * len(ink)) for part in _ROWS}):
        through = down[row] + up[row] - crossed[row]
        padded = np.pad(through, near, constant_values=np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * near + 1).min(axis=1)
        inner = (np.arange(len(through)) > edge) & (np.arange(len(through)) < len(through) - edge)
        starts = np.flatnonzero(inner & (through <= around + 1e-9))
        found.append(_traced(starts, row, from_above, from_below))
    columns = np.concatenate(found)
    costs = np.take_along_axis(crossed, columns.T, axis=1).sum(axis=0)
    return _apart(columns, costs, ink / 255, _LEAST_INK * height * pen)


def _cheapest(cost: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the least cost of a way from the top to each pixel, and the column where it passes the row above."""
    columns = np.arange(cost.shape[1])
    total = np.full((len(cost), cost.shape[1] + 2), np.inf)
    total[0, 1:-1] = cost[0]
    origin = np.zeros(cost.shape, np.int64)
    for row in range(1, len(cost)):
        above = total[row - 1]
        ways = np.stack([above[1:-1], above[:-2] + _ASIDE, above[2:] + _ASIDE])
        best = ways.argmin(axis=0)
        total[row, 1:-1] = ways[best, columns] + cost[row]
        origin[row] = columns + np.array([0, -1, 1])[best]
    return total[:, 1:-1], origin


def _traced(
    starts: NDArray[np.int64], row: int, from_above: NDArray[np.int64], from_below: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the cheapest seams through those columns of a row."""
    columns = np.zeros((len(starts), len(from_above)), np.int64)
    columns[:, row] = starts
    for y in range(row, 0, -1):
        columns[:, y - 1] = from_above[y, columns[:, y]]
    for y in range(row, len(from_above) - 1):
        columns[:, y + 1] = from_below[y, columns[:, y]]
    return columns


def _apart(
    columns: NDArray[np.int64], costs: NDArray[np.float64], ink: NDArray[np.float64], least: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the cheapest seams that do not cross, and have so much ink between them, from left to right."""
    before = np.pad(ink.cumsum(axis=1), ((0, 0), (1, 0)))
    passed = np.take_along_axis(before, columns.T, axis=1)  # the ink left of each seam, by rows
    kept: list[int] = []
    for n in np.argsort(costs, kind="stable"):
        aside = columns[kept] - columns[n]
        crosses = (aside.min(axis=1, initial=0) < 0) & (aside.max(axis=1, initial=0) > 0)
        if not crosses.any() and (np.abs(passed[:, kept] - passed[:, [n]]).sum(axis=0) > least).all():
            kept.append(int(n))
    kept.sort(key=lambda n: float(columns[n].mean()))
    return columns[kept], costs[kept]
