"""Cut the strokes of a line into pieces, to separate touching digits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.lines import InkLine
from lenet.reading.seams import MIN_WIDTH, Floats, Ints, seams
from lenet.reading.strokes import Boxes

_MIN_AREA = 0.02  # squares of the height: smaller pieces join the next one


@dataclass(frozen=True)
class Pieces:
    """The pieces of a line, from left to right."""

    line: InkLine
    labels: NDArray[np.uint16]  # (H, W): the piece that each pixel belongs to; 0 for paper, n + 1 for piece n
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
    wide = widths > MIN_WIDTH * height
    return int((heights * widths * np.maximum(1, widths / height))[wide].sum())


def pieces_of(line: InkLine, whole: NDArray[np.bool_] | None = None) -> Pieces:
    """Cut the strokes of a line into pieces, except those that stay whole."""
    ink, strokes, is_whole = line.ink, line.page.strokes, [False] * len(line.members) if whole is None else whole
    masks, cut_inks = [], []
    for member, stays, (left, top, right, bottom) in zip(
        line.members, is_whole, strokes.boxes[line.members].tolist(), strict=True
    ):
        masks.append(strokes.labels[top:bottom, left:right] == member + 1)
        if not stays:
            cut_inks.append(line.page.ink[top:bottom, left:right] * masks[-1])
    cuts = iter(seams(cut_inks, line.height))
    parts: list[tuple[float, float, int, int, NDArray[np.bool_]]] = []  # centre, cut, left, top, mask
    for mask, stays, (left, top) in zip(masks, is_whole, strokes.boxes[line.members, :2] - line.corner, strict=True):
        for cut, part in [(0.0, mask)] if stays else _cut(mask, *next(cuts), _MIN_AREA * line.height**2):
            x, y, width, height = cv2.boundingRect(part.view(np.uint8))
            parts.append((left + x + width / 2, cut, left + x, top + y, part[y : y + height, x : x + width]))
    parts.sort(key=lambda part: part[0])
    labels = np.zeros(ink.shape, np.uint16)  # a picture of more pieces is rejected
    boxes = np.zeros((len(parts), 4), np.int64)
    for n, (_, _, left, top, part) in enumerate(parts):
        boxes[n] = left, top, left + part.shape[1], top + part.shape[0]
        labels[top : boxes[n, 3], left : boxes[n, 2]][part] = n + 1
    return Pieces(line, _with_edges(ink, labels), boxes, np.array([0.0, *(part[1] for part in parts[1:]), 0.0]))


def _with_edges(ink: NDArray[np.uint8], labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the labels of the pieces extended to the edges of strokes, which are too faint for the threshold."""
    grown = cv2.dilate(labels, np.ones((3, 3), np.uint8))
    return np.where((labels == 0) & (ink > 0), grown, labels)


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
