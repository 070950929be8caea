"""Find the seams along which strokes may be cut, by dynamic programming.

A seam runs from the top of a stroke to its bottom and crosses little ink. It may step one pixel aside in each row, so
it passes between slanted digits. Other seams join two valleys of the outline.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import pen_width
from lenet.reading.strokes import Floats, Ints, mask_of

Seams = tuple[Ints, Floats]

_ROWS = (0.25, 0.5, 0.75)  # of a stroke's height, where seams are searched
_NEAR = 0.06  # heights of the writing: a seam this close to a cheaper one is dropped
_EDGE = 0.1  # heights of the writing: a seam this close to an edge of the stroke is dropped
_MIN_INK = 0.15  # between two seams, in stroke widths times the height
_MAX_VALLEY_COST = 1.0  # in stroke widths of ink: of a seam between two valleys, which may run through a long contact
_STEP_COST = 0.02  # in stroke widths of ink
_MAX_PIXELS = 2**18  # of strokes side by side, each as tall as the tallest: 50 bytes each
_WALL = 1e6  # the cost of a column between strokes
# In heights of the writing: the size of valleys, and the distances between those on one side and on both sides.
_VALLEY_WIDTH, _MIN_DEPTH, _APART, _MAX_SHIFT = 0.7, 0.12, 0.12, 0.25


def seams(strokes: Sequence[NDArray[np.uint8]], height: float) -> list[Seams]:
    """Return the seams along which each stroke may be cut, given the height of the writing, in pixels.

    For each stroke, the result has the column before which each seam passes each row, int64 of shape (m, H), and the
    ink that each seam crosses, float64 of shape (m,), in stroke widths. Seams are sorted from left to right and do not
    cross.

    Examples
    --------
    >>> ink = np.zeros((20, 24), np.uint8)
    >>> ink[:, [0, 1, 22, 23]] = 255
    >>> ink[9:11] = 255  # an H
    >>> [(columns, costs)] = seams([ink], 20.0)
    >>> bool(((columns > 1) & (columns < 23)).all()), round(float(costs.min()), 1)
    (True, 0.8)
    """
    if not strokes:
        return []
    heights, widths = np.array([ink.shape for ink in strokes]).T
    if len(strokes) > 1 and heights.max() * widths.sum() > _MAX_PIXELS:
        middle = len(strokes) // 2
        return seams(strokes[:middle], height) + seams(strokes[middle:], height)
    row = _Row.of([ink / (255 * pen_width(ink)) for ink in strokes])
    valleys = row.padded([valley_seams(ink, height) for ink in strokes])
    columns = np.hstack([valleys, row.seams(height)])
    costs = np.take_along_axis(row.crossed[:, 0], columns, axis=1).sum(axis=0)
    costs[: valleys.shape[1]] = costs[: valleys.shape[1]].clip(max=_MAX_VALLEY_COST)
    kept = _apart(columns, costs, row.crossed[:, 0], _MIN_INK * height)
    found, ends = [], np.searchsorted(columns[0, kept], row.lefts[1:])
    for left, ink, own in zip(row.lefts, strokes, np.split(kept, ends), strict=True):
        found.append((columns[: len(ink), own].T - left, costs[own]))
    return found


@dataclass(frozen=True)
class _Row:
    """Strokes side by side, each after a column that no seam enters."""

    lefts: Ints  # (n,): the first column of each stroke
    rights: Ints  # (n,): the column after its last
    heights: Ints  # (n,)
    crossed: Floats  # (H, 2, W): the ink of each pixel, in stroke widths, of the strokes and upside down

    @classmethod
    def of(cls, strokes: Sequence[Floats]) -> "_Row":
        heights, widths = np.array([ink.shape for ink in strokes]).T
        rights = np.cumsum(widths + 1)
        lefts = rights - widths
        crossed = np.zeros((heights.max(), 2, rights[-1]))
        crossed[:, :, lefts - 1] = _WALL
        for ink, left, right in zip(strokes, lefts.tolist(), rights.tolist(), strict=True):
            crossed[: len(ink), :, left:right] = np.stack([ink, ink[::-1]], axis=1)
        return cls(lefts, rights, heights, crossed)

    def padded(self, columns: Sequence[Ints]) -> Ints:
        """Return the seams of all strokes, shape (H, m), each continued to the height of the row."""
        height = len(self.crossed)
        each_stroke = zip(columns, self.lefts, strict=True)
        return np.hstack([np.pad(own + left, ((0, height - len(own)), (0, 0)), "edge") for own, left in each_stroke])

    def seams(self, height: float) -> Ints:
        """Return the columns of the seams, shape (H, m), that are cheaper than all seams near them in some row.

        Since seams are further from the edges of strokes (`_EDGE`) than from each other (`_NEAR`), none is compared
        with the seams of another stroke.
        """
        near, edge = max(1, round(_NEAR * height)), _EDGE * height
        total, steps = _cheapest(self.crossed)
        lefts, rights, heights = np.repeat(
            [self.lefts, self.rights, self.heights], self.rights - self.lefts + 1, axis=1
        )
        places = np.arange(len(lefts))
        rows = (np.array(_ROWS)[:, np.newaxis] * heights).astype(np.int64)
        through = total[rows, 0, places] + total[heights - 1 - rows, 1, places] - self.crossed[rows, 0, places]
        around = cv2.erode(through, np.ones((1, 2 * near + 1), np.uint8))
        inner = (places - lefts > edge) & (places < rights - edge)
        which, starts = np.nonzero(inner & (through <= around + 1e-9))
        return _traced(starts, rows[which, starts], heights[starts], steps)


def _cheapest(cost: Floats) -> tuple[Floats, NDArray[np.int8]]:
    """Return the lowest cost of a path from the first row to each pixel of n pictures, shape (H, n, W), and its step.

    The step is -1, 0 or 1: the column in the row before, minus that of the pixel.
    """
    total, steps = cost.copy(), np.zeros(cost.shape, np.int8)
    from_left, from_right = np.full((2, *cost.shape[1:]), np.inf)
    for row in range(1, len(cost)):
        before = total[row - 1]
        np.add(before[:, :-1], _STEP_COST, out=from_left[:, 1:])
        np.add(before[:, 1:], _STEP_COST, out=from_right[:, :-1])
        cheapest = np.minimum(before, from_left)
        total[row] += np.minimum(cheapest, from_right)
        steps[row] += from_right < cheapest
        steps[row] -= (from_left < before) & (from_left <= from_right)
    return total, steps


def _traced(starts: Ints, rows: Ints, heights: Ints, steps: NDArray[np.int8]) -> Ints:
    """Return the columns of the cheapest seams through the given pixels of strokes, shape (H, m)."""
    columns = np.repeat(starts[np.newaxis], len(steps), axis=0)
    for y in range(len(steps) - 1, 0, -1):
        columns[y - 1] = np.where(y <= rows, columns[y] + steps[y, 0, columns[y]], starts)
    for y in range(len(steps) - 1):
        below = columns[y] + steps[np.maximum(heights - 1 - y, 0), 1, columns[y]]
        columns[y + 1] = np.where(y >= rows, below, columns[y + 1])
    return columns


def _apart(columns: Ints, costs: Floats, crossed: Floats, min_ink: float) -> Ints:
    """Return the numbers of the cheapest seams that do not cross and have enough ink between them, in order."""
    ink_left = np.take_along_axis(crossed.cumsum(axis=1), columns - 1, axis=1).sum(axis=0)  # of each seam
    kept: list[int] = []
    for n in np.argsort(costs, kind="stable").tolist():
        place = bisect.bisect(kept, ink_left[n], key=ink_left.__getitem__)
        neighbours = [*kept[:place][-1:], n, *kept[place:][:1]]
        if all(
            ink_left[right] - ink_left[left] > min_ink and (columns[:, left] <= columns[:, right]).all()
            for left, right in pairwise(neighbours)
        ):
            kept.insert(place, n)
    return np.array(kept, np.int64)


def valley_seams(ink: NDArray[np.uint8], height: float) -> Ints:
    """Return the columns of straight seams between opposite valleys in a stroke's outline, shape (H, m)."""
    mask = mask_of(ink)
    above, top = _valleys(mask, height)
    below, bottom = _valleys(mask[::-1], height)
    if not len(below):
        return np.empty((len(ink), 0), np.int64)
    nearest = np.abs(below - above[:, np.newaxis]).argmin(axis=1)
    is_near = np.abs(below[nearest] - above) <= _MAX_SHIFT * height
    above, top, below, bottom = above[is_near], top[is_near], below[nearest[is_near]], bottom[nearest[is_near]]
    fraction = (np.arange(len(ink))[:, np.newaxis] - top) / np.maximum(len(ink) - 1 - bottom - top, 1)
    return np.asarray(np.rint(above + fraction.clip(0, 1) * (below - above)), np.int64)


def _valleys(mask: NDArray[np.uint8], height: float) -> tuple[Ints, Ints]:
    """Return the columns and rows of the deepest points of the valleys in the upper outline of a stroke."""
    outline = mask.argmax(axis=0)[np.newaxis].astype(np.float32)
    margin, near = round(_VALLEY_WIDTH * height), round(_APART * height)
    padded = cv2.copyMakeBorder(outline, 0, 0, margin, margin, cv2.BORDER_REPLICATE)
    depth = cv2.morphologyEx(padded, cv2.MORPH_TOPHAT, _bar(margin))[:, margin:-margin]
    columns = np.flatnonzero((depth >= cv2.dilate(depth, _bar(2 * near))) & (depth > _MIN_DEPTH * height))
    return columns, outline[0, columns].astype(np.int64)


def _bar(length: int) -> NDArray[np.uint8]:
    return np.ones((1, length | 1), np.uint8)
