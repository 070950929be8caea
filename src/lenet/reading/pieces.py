"""Cut the strokes of a line into pieces, to separate touching digits; strokes that are legible digits stay whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._lazy import cached_property
from lenet._mnist_form import mnist_form, square
from lenet.model import LeNet5
from lenet.reading.lines import InkLine
from lenet.reading.seams import seams
from lenet.reading.strokes import Boxes, Floats, Ints, reject_texture
from lenet.rejection import digit_score

MAX_PIECES = 5_000  # of a picture: a page of 2,000 digits has fewer
_MIN_WIDTH = 0.65  # heights of the writing: narrower strokes are not cut
_MIN_AREA = 0.02  # squares of the height: smaller pieces join the next one
_LEGIBLE = 0.87  # the minimum digit score of digits that stay whole
_MIN_HEIGHT, _MAX_HEIGHT, _MAX_WIDTH = 0.7, 1.15, 1.0  # in heights of the writing


@dataclass(frozen=True)
class Pieces:
    """The pieces of a line, from left to right."""

    line: InkLine
    labels: NDArray[np.uint16]  # (H, W): the piece that each pixel belongs to; 0 for paper, n + 1 for piece n
    boxes: Boxes
    strokes: Boxes  # of the stroke that each piece belongs to
    # (n + 1,): the ink crossed by the seam before each piece and after the last one, in stroke widths; 0 between
    # strokes. If small pieces have joined a piece, the maximum over their seams.
    cuts: Floats

    @cached_property
    def middle(self) -> np.poly1d:
        """The middle of the line as a function of the position along it; long lines may slope.

        Both are in heights of the writing.
        """
        left, top, right, bottom = (self.boxes / self.line.height).T
        x, y = (left + right) / 2, (top + bottom) / 2
        large = bottom - top > 0.6
        if large.sum() < 6 or np.ptp(x[large]) < 4:
            return np.poly1d([float(np.median(y[large] if large.any() else y))])
        return np.poly1d(np.polyfit(x[large], y[large], 1))


@dataclass(frozen=True, eq=False)
class Spans:
    """Pieces of a line from `starts` up to `stops`, which together may form a digit."""

    pieces: Pieces
    starts: Ints  # (n,): the first piece of each span
    stops: Ints  # (n,): the piece after its last
    boxes: Boxes  # in the line's pixels


class _Part(NamedTuple):
    """A piece before it is placed in its line."""

    box: tuple[int, int, int, int]
    cut: float  # the cost of the seam before it
    mask: NDArray[np.bool_]  # of its box
    stroke: Ints  # the box of its stroke


def legible_strokes(model: LeNet5, lines: Sequence[InkLine], n_jobs: int | None) -> list[NDArray[np.bool_]]:
    """Return, for each line, whether each of its strokes is a wide digit of the usual size with a high digit score."""
    legible = [_have_usual_size(line) for line in lines]
    images = [
        _image(line, member) for line, chosen in zip(lines, legible, strict=True) for member in line.members[chosen]
    ]
    if images:
        is_digit = digit_score(model.predict_proba(np.stack(images), n_jobs=n_jobs)) >= _LEGIBLE
        parts = np.split(is_digit, np.cumsum([chosen.sum() for chosen in legible])[:-1])
        for chosen, part in zip(legible, parts, strict=True):
            chosen[chosen] = part
    return legible


def _have_usual_size(line: InkLine) -> NDArray[np.bool_]:
    strokes = line.page.strokes
    heights, widths = strokes.heights[line.members] / line.height, strokes.widths[line.members] / line.height
    has_height = (heights >= _MIN_HEIGHT) & (heights <= _MAX_HEIGHT)
    return np.asarray(has_height & (widths > _MIN_WIDTH) & (widths <= _MAX_WIDTH))


def _image(line: InkLine, stroke: int) -> NDArray[np.uint8]:
    """Return the image of a stroke in MNIST's format."""
    strokes = line.page.strokes
    with_edges = cv2.dilate(strokes.mask(stroke), square(3))
    return mnist_form(line.page.ink[strokes.window(stroke)] * with_edges)


def cutting_cost(line: InkLine, whole: NDArray[np.bool_]) -> int:
    """Return the cost of cutting a line: the pixels in the boxes of the strokes to cut, and more for very wide strokes.

    The boxes of strokes may overlap, and a wide stroke has more seams, each of which is compared with the others.
    """
    strokes, height = line.page.strokes, line.height
    cut = line.members[~_stay_whole(line, whole)]
    return int((strokes.heights[cut] * strokes.widths[cut] * np.maximum(1, strokes.widths[cut] / height)).sum())


def pieces_of(line: InkLine, whole: NDArray[np.bool_] | bool = False) -> Pieces:
    """Cut the strokes of a line into pieces, except narrow strokes and those to keep whole."""
    parts = _parts_of(line, _stay_whole(line, whole))
    reject_texture(len(parts), MAX_PIECES, "pieces of strokes")
    parts.sort(key=lambda part: part.box[0] + part.box[2])
    labels = np.zeros(line.ink.shape, np.uint16)
    for n, part in enumerate(parts):
        left, top, right, bottom = part.box
        labels[top:bottom, left:right][part.mask] = n + 1
    boxes, strokes = np.array([part.box for part in parts]), np.array([part.stroke for part in parts])
    costs = np.array([0.0, *(part.cut for part in parts[1:]), 0.0])
    return Pieces(line, _with_edges(line.ink, labels), boxes, strokes, costs)


def _parts_of(line: InkLine, stays_whole: NDArray[np.bool_]) -> list[_Part]:
    """Return the parts of the strokes of a line, which are cut along their seams unless they stay whole."""
    strokes, members = line.page.strokes, line.members
    masks = [strokes.mask(member).view(bool) for member in members]
    to_cut = compress(zip(members, masks, strict=True), ~stays_whole)
    cuts = iter(seams([line.page.ink[strokes.window(member)] * mask for member, mask in to_cut], line.height))
    parts: list[_Part] = []
    for mask, stays, stroke in zip(masks, stays_whole, strokes.boxes[members] - np.tile(line.corner, 2), strict=True):
        for cut, part in [(0.0, mask)] if stays else _cut(mask, *next(cuts), _MIN_AREA * line.height**2):
            x, y, width, height = cv2.boundingRect(part.view(np.uint8))
            left, top = stroke[0] + x, stroke[1] + y
            window = part[y : y + height, x : x + width]
            parts.append(_Part((left, top, left + width, top + height), cut, window, stroke))
    return parts


def _stay_whole(line: InkLine, whole: NDArray[np.bool_] | bool) -> NDArray[np.bool_]:
    return np.asarray(whole | (line.page.strokes.widths[line.members] <= _MIN_WIDTH * line.height))


def _with_edges(ink: NDArray[np.uint8], labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the labels of the pieces extended to the edges of strokes, which are too faint for the threshold."""
    grown = cv2.dilate(labels, square(3))
    return np.where((labels == 0) & (ink > 0), grown, labels)


def _cut(
    mask: NDArray[np.bool_], columns: Ints, costs: Floats, min_area: float
) -> list[tuple[float, NDArray[np.bool_]]]:
    """Return the masks of a stroke's pieces from left to right, each after the cost of the seam before it."""
    seams_left = (np.arange(mask.shape[1]) >= columns[:, :, np.newaxis]).sum(axis=0)  # of each pixel
    parts: list[tuple[float, NDArray[np.bool_]]] = []
    first, cut = 0, 0.0
    for n in range(len(costs) + 1):
        part = mask & (seams_left >= first) & (seams_left <= n)
        cut = max(cut, costs[n - 1] if n and parts else 0.0)
        if part.sum() >= min_area or n == len(costs):
            if part.any():
                parts.append((cut, part))
            first, cut = n + 1, 0.0
    return parts
