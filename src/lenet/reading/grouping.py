"""Group strokes into lines of writing."""

from collections.abc import Iterable, Sequence

import numpy as np

from lenet.reading.strokes import Floats, Ints, Strokes

# In heights of the writing.
_MAX_GAP = 4.0
_NEAR = 0.6
_LOW = 0.6  # lower strokes may be commas, which do not hide the digit after them
_REACH = 6  # the centre of the next stroke lies at most this far right of its left edge
_SAME_LINE = 0.5  # between the middles of neighbouring lines in a row

_OVERLAP = 0.4  # of the height of the shorter of two strokes
_MAX_BAR_HEIGHT, _MAX_BAR_WIDTH, _MAX_BAR_GAP = 0.35, 1.2, 0.2  # in heights of the writing: of the bar over a 5
_BLOCK = 64  # strokes that are compared with others at once


def grouped(strokes: Strokes, members: Ints, height: float) -> list[Ints]:
    """Return the members of each line, from left to right; lines are in reading order.

    Each stroke is linked to the nearest strokes to its right at the same level, up to the first that is not low, to
    all that are very close, and to bars just above it. Linked strokes form a line. Lengths are relative to the height
    of the writing.
    """
    boxes = strokes.boxes[members]
    order = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")
    boxes = boxes[order]
    left, top, right, bottom = boxes.T
    starts = range(0, len(boxes), _BLOCK)
    roots = linked(len(boxes), (link for start in starts for link in (start + _links(boxes[start:], height)).tolist()))
    lines = [np.flatnonzero(roots == root) for root in np.unique(roots)]
    places = np.array([(np.median((top + bottom)[line]) / 2, left[line].min(), right[line].max()) for line in lines])
    places = places.reshape(-1, 3)
    return [members[order[lines[n]]] for n in np.lexsort((places[:, 1], _row_middles(places, height)))]


def _row_middles(places: Floats, height: float) -> Floats:
    """Return the mean middle of each line's row; a line extends the nearest row to its left at about its height."""
    middles, left, right = places.T
    rows = np.arange(len(places))
    is_last = np.zeros(len(places), bool)  # of a row: only these are compared, as rows may slope or bend
    for n in np.argsort(left, kind="stable"):
        near = np.flatnonzero(is_last & (np.abs(middles - middles[n]) < _SAME_LINE * height))
        if len(near):
            previous = near[right[near].argmax()]
            rows[n] = rows[previous]
            is_last[previous] = False
        is_last[n] = True
    return np.asarray(np.bincount(rows, middles)[rows] / np.bincount(rows)[rows])


def linked(count: int, links: Iterable[Sequence[int]]) -> Ints:
    """Return the group of each of `count` items: linked items are in one group (union-find)."""
    parent = list(range(count))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for k, n in links:
        parent[root(n)] = root(k)
    return np.array([root(k) for k in range(count)])


def _links(boxes: Ints, height: float) -> Ints:
    """Return the links from the first boxes to later ones, shape (n, 2); boxes are sorted by their centres."""
    left, top, right, bottom = boxes[:_BLOCK, :, np.newaxis].swapaxes(0, 1)
    furthest = np.searchsorted(boxes[:, 0] + boxes[:, 2], 2 * right + 2 * (_MAX_GAP + _REACH) * height)
    others = np.arange(furthest.max())
    next_left, next_top, next_right, next_bottom = boxes[: len(others)].T
    shared = np.minimum(bottom, next_bottom) - np.maximum(top, next_top)
    beside = shared > _OVERLAP * np.minimum(bottom - top, next_bottom - next_top)
    gaps = next_left - right
    is_later = (others < furthest) & (others > np.arange(len(left))[:, np.newaxis])
    beside &= (gaps < _MAX_GAP * height) & is_later
    # The upper of two strokes may be a short bar just above the lower one, such as that of a 5, rather than a tick.
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    is_bar = (widths < _MAX_BAR_WIDTH * height) & (heights < _MAX_BAR_HEIGHT * height) & (heights < widths)
    has_bar = np.where(top < next_top, is_bar[: len(left), np.newaxis], is_bar[: len(others)])
    across = np.minimum(right, next_right) - np.maximum(left, next_left)
    has_bar &= (2 * across > np.minimum(right - left, next_right - next_left)) & (-shared < _MAX_BAR_GAP * height)
    # The parts of a broken digit may lie above each other, so linking only the nearest stroke is not enough.
    is_tall = beside & (heights[: len(others)] >= _LOW * height)
    is_nearest = is_tall.cumsum(axis=1) == is_tall
    return np.argwhere((has_bar & is_later) | (beside & ((gaps < _NEAR * height) | is_nearest)))
