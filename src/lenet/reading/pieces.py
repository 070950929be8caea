"""Cut the strokes of a line into pieces, to separate touching digits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.lines import InkLine
from lenet.reading.seams import Floats, Ints, seams
from lenet.reading.strokes import Boxes

_MIN_AREA = 0.02  # squares of the height: smaller pieces join the next one


@dataclass(frozen=True)
class Pieces:
    """The pieces of a line, from left to right."""

    line: InkLine
    labels: NDArray[np.int32]  # (H, W): the piece that each pixel belongs to; 0 for paper, n + 1 for piece n
    boxes: Boxes
    # (n + 1,): the ink crossed by the seam before each piece and after the last one, in stroke widths; 0 between
    # strokes. If small pieces have joined a piece, the most ink of all their seams.
    cuts: NDArray[np.float64]


def work_of(line: InkLine) -> int:
    """Return the work of cutting a line: the pixels in the boxes of its wide strokes, more for very wide ones.

    The boxes of strokes may overlap, and a wide stroke has more seams, each of which is compared with the others.
    """
    strokes, height = line.page.strokes, line.height
    widths, heights = strokes.widths[line.members], strokes.heights[line.members]
    wide = widths > _MIN_WIDTH * height
    return int((heights * widths * np.maximum(1, widths / height))[wide].sum())


def pieces_of(line: InkLine) -> Pieces:
    """Cut the strokes of a line into pieces."""
    ink, strokes = line.ink, line.page.strokes
    masks, inks, places = [], [], (strokes.boxes[line.members] - np.tile(line.corner, 2)).tolist()
    for member, (left, top, right, bottom) in zip(line.members, strokes.boxes[line.members].tolist(), strict=True):
        masks.append(strokes.labels[top:bottom, left:right] == member + 1)
        inks.append(line.page.ink[top:bottom, left:right] * masks[-1])
    parts: list[tuple[float, float, int, int, NDArray[np.bool_]]] = []  # centre, cut, left, top, mask
    for mask, cuts, (left, top, _, _) in zip(masks, seams(inks, line.height), places, strict=True):
        for cut, part in _cut(mask, *cuts, _MIN_AREA * line.height**2):
            columns = np.flatnonzero(part.any(axis=0))
            parts.append((left + (columns[0] + columns[-1] + 1) / 2, cut, left, top, part))
    parts.sort(key=lambda part: part[0])
    labels = np.zeros(ink.shape, np.int32)
    boxes = np.zeros((len(parts), 4), np.int64)
    for n, (_, _, left, top, part) in enumerate(parts):
        labels[top : top + len(part), left : left + part.shape[1]][part] = n + 1
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        boxes[n] = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
    return Pieces(line, _with_edges(ink, labels), boxes, np.array([0.0, *(part[1] for part in parts[1:]), 0.0]))


def _with_edges(ink: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels of the pieces extended to the edges of strokes, which are too faint for the threshold."""
    grown = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8))
    return np.where((labels == 0) & (ink > 0), grown, labels).astype(np.int32)


def _cut(
    mask: NDArray[np.bool_], columns: Ints, costs: Floats, min_area: float
) -> list[tuple[float, NDArray[np.bool_]]]:
    """Return the masks of a stroke's pieces from left to right, each after the cost of the seam before it."""
    seams_left = (np.arange(mask.shape[1]) >= columns[:, :, np.newaxis]).sum(axis=0)  # of each pixel
    parts: list[tuple[float, NDArray[np.bool_]]] = []
    first, cut = 0, 0.0
    for n in range(len(costs) + 1):
        part = mask & (seams_left >= first) & (seams_left <= n) if len(costs) else mask
        cut = max(cut, costs[n - 1] if n and parts else 0.0)
        if part.sum() >= min_area or n == len(costs):
            if part.any():
                parts.append((cut, part))
            first, cut = n + 1, 0.0
    return parts
