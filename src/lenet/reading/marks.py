"""Find the points, commas and dashes beside the digits of a line."""

import numpy as np
from numpy.typing import NDArray

from lenet.reading.lines import InkLine
from lenet.reading.strokes import Boxes

_MAX_GAP = 0.6  # heights of the writing between a mark and the nearest digit


def marks_beside(digits: Boxes, others: Boxes, baseline: float, line: InkLine) -> list[tuple[int, str]]:
    """Return each mark of a line and the number of digits before it, from left to right.

    The marks are among other boxes, and strokes so small that they are not part of the line.
    """
    farthest, gaps = _MAX_GAP * line.height, _gaps(line.specks, digits)
    near = others[_gaps(others, digits) <= farthest]
    boxes = np.concatenate([near, line.specks[(gaps >= 0) & (gaps <= farthest)]])
    found = []
    for box in boxes[np.argsort(boxes[:, 0])]:
        if mark := _mark(box, baseline, line.height):
            found.append((int((digits[:, 0] + digits[:, 2] < box[0] + box[2]).sum()), mark))
    return found


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
