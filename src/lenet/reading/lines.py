"""From ink to lines: strokes that hang together, without specks, rules and frames, chained from left to right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK = 96  # of 255, from which on a pixel belongs to a stroke
_ANGLES = np.arange(-15, 15.25, 0.5)  # degrees that lines may be turned by
_SPECK = 0.22  # all further lengths are in heights of the writing
_RULE = 2.2
_SLOPES = (-0.07, -0.035, 0.0, 0.035, 0.07)  # of rules, where the camera looked askance
_GAP = 4.0
_OVERLAP = 0.4
_LEAST_LINE = 8

Boxes = NDArray[np.int64]  # (n, 4): left, top, right, bottom; the last two are outside


@dataclass
class Strokes:
    """Connected strokes of a picture.

    Parameters
    ----------
    names : ndarray of int32, shape (H, W)
        Which stroke each pixel belongs to: 0 for paper, n + 1 for stroke n.
    boxes : ndarray of int64, shape (n, 4)
        Left, top, right and bottom of each; the last two are outside of it.
    areas : ndarray of int64, shape (n,)
    """

    names: NDArray[np.int32]
    boxes: Boxes
    areas: NDArray[np.int64]

    @property
    def widths(self) -> NDArray[np.int64]:
        """Of the boxes."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def longest(self) -> int:
        """The longest side of a box, 0 if there are none."""
        return int(max(self.widths.max(initial=0), self.heights.max(initial=0)))

    @property
    def heights(self) -> NDArray[np.int64]:
        """Of the boxes."""
        return self.boxes[:, 3] - self.boxes[:, 1]


def strokes_of(cv2: Any, ink: NDArray[np.uint8]) -> Strokes:
    """Return the strokes of ink."""
    _, names, facts, _ = cv2.connectedComponentsWithStats(np.asarray(ink >= INK, np.uint8), connectivity=8)
    left, top, width, height, area = facts[1:].T.astype(np.int64)
    return Strokes(names, np.stack([left, top, left + width, top + height], axis=1), area)


def writing_height(strokes: Strokes) -> float:
    """Return the height of the writing: half of the ink is in strokes at least so high, rules and frames apart."""
    height, width = strokes.names.shape
    usual = (strokes.areas >= 12) & (strokes.heights >= 6) & (strokes.widths < 12 * strokes.heights)
    usual &= ~(
        (strokes.heights > 0.8 * height) & (strokes.widths > 0.8 * width) & (strokes.areas < 0.25 * height * width)
    )
    left, top, right, bottom = strokes.boxes.T
    at_border = (left == 0) | (top == 0) | (right == width) | (bottom == height)
    usual &= ~(at_border & (strokes.heights > 0.5 * height))  # a shadow, or the edge of a table
    if not usual.any():
        return 0.0
    heights, areas = strokes.heights[usual], strokes.areas[usual]
    order = np.argsort(heights)
    middle = np.searchsorted(areas[order].cumsum(), areas.sum() / 2)
    return float(heights[order][middle])


def skew(ink: NDArray[np.uint8], height: float) -> float:
    """Return by how many degrees lines run downwards: turned back, they leave the emptiest gaps between them.

    What is short has no direction: a slanted 1 is no line.
    """
    y, x = np.nonzero(ink >= INK)
    if not len(x) or np.ptp(x) < _LEAST_LINE * height:
        return 0.0
    if len(x) > 30_000:
        chosen = np.random.default_rng(0).integers(0, len(x), 30_000)
        y, x = y[chosen], x[chosen]
    bins = max(1.0, height / 4)
    sharpness = []
    for angle in _ANGLES:
        rows = (y - x * np.tan(np.radians(angle))) / bins
        counts = np.bincount((rows - rows.min()).astype(np.int64))
        sharpness.append(float((np.diff(counts.astype(np.float64)) ** 2).sum()))
    best = int(np.argmax(sharpness))
    level = int(np.flatnonzero(_ANGLES == 0)[0])
    return float(_ANGLES[best]) if sharpness[best] > 1.15 * sharpness[level] else 0.0


def without_rules(cv2: Any, ink: NDArray[np.uint8], height: float) -> NDArray[np.uint8]:
    """Return ink without long straight rules, across and down; strokes that cross them stay whole."""
    binary = np.asarray(ink >= INK, np.uint8)
    if strokes_of(cv2, ink).longest < _RULE * height:
        return ink
    length, thick = round(_RULE * height), max(3, round(height / 6)) + 2
    out = ink
    for turned in (False, True):
        upright = np.ascontiguousarray(binary.T) if turned else binary
        rules = np.zeros_like(upright)
        for slope in _SLOPES:
            level = _sheared(cv2, upright, slope)
            wide = cv2.dilate(level, np.ones((3, 1), np.uint8))  # it may be a little aslant yet
            rules |= _sheared(cv2, cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((1, length), np.uint8)), -slope)
        crossing = cv2.morphologyEx(upright, cv2.MORPH_OPEN, np.ones((thick, 1), np.uint8))
        gone = cv2.dilate(rules & upright & ~crossing, np.ones((3, 1), np.uint8)) & ~crossing
        out = np.where(gone.T if turned else gone, 0, out).astype(np.uint8)
    return out


def _sheared(cv2: Any, binary: NDArray[np.uint8], slope: float) -> NDArray[np.uint8]:
    """Return an image whose columns are shifted up by slope times their number, counted from the middle."""
    if not slope:
        return binary
    shift = np.array([[1, 0, 0], [-slope, 1, slope * binary.shape[1] / 2]])
    return np.asarray(cv2.warpAffine(binary, shift, binary.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)


def is_writing(strokes: Strokes, height: float) -> NDArray[np.bool_]:
    """Return which strokes are no specks, rules, frames and shadows."""
    widths, heights = strokes.widths, strokes.heights
    specks = (widths < _SPECK * height) & (heights < _SPECK * height) | (heights < 0.12 * height)
    rules = (widths > _RULE * height) & (heights < 0.3 * height) | (heights > 2 * _RULE * height)
    return ~specks & ~rules & (heights < 2.2 * height)


def chained(boxes: Boxes, height: float) -> list[NDArray[np.int64]]:
    """Return the lines, from top to bottom, as the numbers of their boxes, from left to right.

    Each box is chained to the nearest one behind it that stands at the same height.
    """
    order = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")
    boxes = boxes[order]
    left, top, right, bottom = boxes.T
    parent = np.arange(len(boxes))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for k in range(len(boxes) - 1):
        shared = np.minimum(bottom[k], bottom[k + 1 :]) - np.maximum(top[k], top[k + 1 :])
        least = np.minimum(bottom[k] - top[k], (bottom - top)[k + 1 :])
        beside = (shared > _OVERLAP * least) & (left[k + 1 :] - right[k] < _GAP * height)
        if beside.any():
            parent[root(k + 1 + int(np.argmax(beside)))] = root(k)
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
