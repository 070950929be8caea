"""How far lines or rules run up or down, and ink turned back by that."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.reading.chaining import chained
from lenet.reading.strokes import INK, Strokes, is_writing

_MOST_TURNED, _LEVEL = 15.0, 0.75  # degrees that lines may run up or down, and that do not matter
_ANGLES = np.arange(-_MOST_TURNED, _MOST_TURNED + 0.25, 0.5)
_LEAST_DIGITS = 4  # of lines that tell how far the page is turned
_LEAST_SCATTER = 0.05  # heights of the writing
_SURE = 3.0  # standard errors of their slope


def slope_of_lines(strokes: Strokes, height: float) -> float:
    """Return by how many degrees lines of writing run downwards, 0 where none is long enough to tell."""
    kept = np.flatnonzero(is_writing(strokes, height) & (strokes.heights > 0.5 * height))
    slopes, precisions = [], []  # a precision is one over the square of a standard error
    for line in chained(strokes.boxes[kept], height) if len(kept) else []:
        boxes = strokes.boxes[kept[line]]
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        if len(line) >= _LEAST_DIGITS:
            slope, start = np.polyfit(x, y, 1)
            scatter = float(((y - slope * x - start) ** 2).sum()) / (len(line) - 2) + (_LEAST_SCATTER * height) ** 2
            slopes.append(float(slope))
            precisions.append(float(((x - x.mean()) ** 2).sum()) / scatter)
    if not slopes:
        return 0.0
    order = np.argsort(slopes)
    middle = np.searchsorted(np.cumsum(np.array(precisions)[order]), sum(precisions) / 2)
    slope = slopes[order[middle]]
    if abs(slope) < _SURE / np.sqrt(sum(precisions)):
        return 0.0
    return float(np.clip(np.degrees(np.arctan(slope)), -_MOST_TURNED, _MOST_TURNED))


def slope_of_rules(ink: NDArray[np.uint8]) -> float:
    """Return by how many degrees rules run downwards: turned back, they leave the emptiest gaps between them."""
    y, x = np.nonzero(ink >= INK)
    if len(x) > 30_000:
        chosen = np.random.default_rng(0).integers(0, len(x), 30_000)
        y, x = y[chosen], x[chosen]
    bins = max(1.0, np.ptp(x) / 160)
    sharpness = []
    for angle in _ANGLES:
        rows = (y - x * np.tan(np.radians(angle))) / bins
        counts = np.bincount((rows - rows.min()).astype(np.int64))
        sharpness.append(float((np.diff(counts.astype(np.float64)) ** 2).sum()))
    return float(_ANGLES[int(np.argmax(sharpness))])


def upright(ink: NDArray[np.uint8], angle: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return ink turned back by so many degrees, and the affine map, (3, 3), from there to the ink as it was."""
    if abs(angle) < _LEVEL:
        return ink, np.eye(3)
    cv2: Any = require("cv2", "vision")
    rows, columns = ink.shape
    there = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1.0)
    width = int(abs(there[0, 0]) * columns + abs(there[0, 1]) * rows)
    tall = int(abs(there[0, 0]) * rows + abs(there[0, 1]) * columns)
    there[:, 2] += (width - columns) / 2, (tall - rows) / 2
    turned = np.asarray(cv2.warpAffine(ink, there, (width, tall)), np.uint8)
    return turned, np.vstack([cv2.invertAffineTransform(there), [0, 0, 1]])
