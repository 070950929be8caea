"""From strokes to lines: boxes chained from left to right, in reading order."""

import numpy as np
from numpy.typing import NDArray

from lenet.reading.strokes import Boxes

_GAP = 4.0  # all lengths are in heights of the writing
_NEAR = 0.6
_OVERLAP = 0.4
_REACH = 6  # by which the middle of the next stroke may be further away than its left edge


def chained(boxes: Boxes, height: float) -> list[NDArray[np.int64]]:
    """Return the lines, from top to bottom, as the numbers of their boxes, from left to right.

    Each box is chained to the nearest one behind it that stands at the same height, and to all that are very near.
    """
    centres = boxes[:, 0] + boxes[:, 2]  # twice
    order = np.argsort(centres, kind="stable")
    boxes, centres = boxes[order], centres[order]
    left, top, right, bottom = boxes.T
    furthest = np.searchsorted(centres, 2 * right + 2 * (_GAP + _REACH) * height)  # boxes that may be near enough
    parent = np.arange(len(boxes))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for k in range(len(boxes) - 1):
        near = slice(k + 1, furthest[k])
        shared = np.minimum(bottom[k], bottom[near]) - np.maximum(top[k], top[near])
        least = np.minimum(bottom[k] - top[k], bottom[near] - top[near])
        beside = (shared > _OVERLAP * least) & (left[near] - right[k] < _GAP * height)
        chosen = np.flatnonzero(beside)
        # The nearest one, and all that are very near: of a broken digit, one part stands above the other.
        for n in chosen[(np.arange(len(chosen)) == 0) | (left[near][chosen] - right[k] < _NEAR * height)]:
            parent[root(k + 1 + int(n))] = root(k)
    roots = np.array([root(k) for k in range(len(boxes))])
    lines = [np.flatnonzero(roots == each) for each in np.unique(roots)]
    middles = {n: (float(np.median((top + bottom)[line])) / 2, int(left[line].min())) for n, line in enumerate(lines)}
    rows: list[list[int]] = []
    for n in sorted(middles, key=lambda n: middles[n]):
        if rows and middles[n][0] - middles[rows[-1][0]][0] < 0.5 * height:
            rows[-1].append(n)
        else:
            rows.append([n])
    return [order[lines[n]] for row in rows for n in sorted(row, key=lambda n: middles[n][1])]
