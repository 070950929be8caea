"""Find the points, commas, colons, dashes and equals signs beside the digits of a line."""

import numpy as np
from numpy.typing import NDArray

from lenet.reading.lines import InkLine
from lenet.reading.strokes import Boxes

_MAX_GAP = 0.6  # heights of the writing between a mark and the nearest digit
_SHARED, _MAX_RATIO = 0.5, 2  # of the larger of two strokes of a colon or an equals sign; between their heights


def marks_beside(digits: Boxes, others: Boxes, baseline: float, line: InkLine) -> list[tuple[int, str]]:
    """Return each mark of a line and the number of digits before it, from left to right.

    The marks are among other boxes, and strokes so small that they are not part of the line.
    """
    farthest, gaps = _MAX_GAP * line.height, _gaps(line.specks, digits)
    near = others[_gaps(others, digits) <= farthest]
    boxes = np.concatenate([near, line.specks[(gaps >= 0) & (gaps <= farthest)]])
    found: list[tuple[NDArray[np.int64], str]] = []
    for box in boxes[np.argsort(boxes[:, 0])]:
        if found and _are_stacked(found[-1][0], box):
            found[-1] = box, "=" if box[2] - box[0] > box[3] - box[1] else ":"
        else:
            found.append((box, _mark(box, baseline, line.height)))
    return [(int((digits[:, 0] + digits[:, 2] < box[0] + box[2]).sum()), mark) for box, mark in found if mark]


def _are_stacked(first: NDArray[np.int64], second: NDArray[np.int64]) -> bool:
    """Return whether two boxes of a line are those of a colon or an equals sign: similar, and above each other."""
    shared = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    widths, heights = np.stack([first[2:] - first[:2], second[2:] - second[:2]], axis=1)
    return bool(shared[1] <= 0 and shared[0] > _SHARED * widths.max() and heights.max() <= _MAX_RATIO * heights.min())


def _gaps(boxes: Boxes, digits: Boxes) -> NDArray[np.int64]:
    """Return the gap between each box and the nearest digit; negative if they overlap."""
    return np.asarray(np.maximum(digits[:, 0] - boxes[:, 2:3], boxes[:, :1] - digits[:, 2]).min(axis=1))


def _mark(box: NDArray[np.int64], baseline: float, height: float) -> str:
    """Return the point, comma or dash in a box of a line, or "" if it is none of them."""
    left, top, right, bottom = box
    middle = (baseline - (top + bottom) / 2) / height  # above the baseline
    if middle < 0.3:
        return "," if bottom > baseline + 0.1 * height or bottom - top > 1.5 * (right - left) else "."
    return "-" if middle < 0.7 and right - left > bottom - top else ""
