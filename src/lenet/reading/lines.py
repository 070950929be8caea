"""From a picture to its lines: strokes of level ink, chained from left to right, in reading order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import InputError
from lenet.reading.ink import find_ink
from lenet.reading.rules import may_have_rules, without_frames, without_paper_rules, without_rules
from lenet.reading.strokes import INK, Boxes, Strokes, is_writing, strokes_of, writing_height

_LARGEST = 3_000_000  # pixels that are looked at
_SMALLEST, _TALLEST = 4, 80  # pixels, of writing: what is smaller cannot be read, what is larger is made smaller
_MOST_TURNED, _LEVEL = 15.0, 0.75  # degrees that lines may run up or down, and that do not matter
_ANGLES = np.arange(-_MOST_TURNED, _MOST_TURNED + 0.25, 0.5)
_GAP = 4.0  # all further lengths are in heights of the writing
_NEAR = 0.6
_OVERLAP = 0.4
_REACH = 6  # by which the middle of the next stroke may be further away than its left edge
_MOST_STROKES = 6000
_LEAST_DIGITS = 4  # of lines that tell how far the page is turned
_LEAST_SCATTER = 0.05
_SURE = 3.0  # standard errors of their slope
_LOWEST = 0.4  # lines, beside the height of all


@dataclass
class Lines:
    """The lines of a picture.

    Parameters
    ----------
    ink : ndarray of uint8, shape (H, W)
        Of the whole picture, level, without rules, and at a size that suits reading.
    strokes : Strokes
        Of this ink.
    members : list of ndarray of int64
        The strokes of each line from left to right; lines in reading order.
    back : ndarray of float64, shape (2, 3)
        The affine map from places in the ink to places in the picture.
    shape : tuple of int
        Height and width of the picture.
    """

    ink: NDArray[np.uint8]
    strokes: Strokes
    members: list[NDArray[np.int64]]
    back: NDArray[np.float64]
    shape: tuple[int, ...]


def find_lines(grey: NDArray[np.uint8]) -> Lines:
    """Return the lines of writing in a picture.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)

    Raises
    ------
    InputError
        If there are more strokes than on any page of writing.
    """
    shape = grey.shape
    grey, scale = _reduced(grey, (_LARGEST / grey.size) ** 0.5)
    ink, back = find_ink(grey), np.eye(3)
    _refuse_textures(strokes_of(ink))
    ink = without_frames(ink)
    strokes = strokes_of(ink)
    if may_have_rules(strokes):
        ink, back = _upright(ink, slope_of_rules(ink))
        ink = without_paper_rules(ink)
        strokes = strokes_of(ink)
    height = writing_height(strokes)
    if height < _SMALLEST:
        return Lines(ink, strokes, [], back[:2], shape)
    if height > _TALLEST:
        ink, smaller = _reduced(ink, _TALLEST / height)
        height, scale = height * smaller, scale * smaller
        back[:2, 2] *= smaller
    ink, turned_back = _upright(without_rules(ink, height), slope_of_lines(strokes_of(ink), height))
    ink, back = without_rules(ink, height), back @ turned_back
    strokes = strokes_of(ink)
    height = writing_height(strokes) or height
    kept = np.flatnonzero(is_writing(strokes, height))
    lines = [kept[line] for line in chained(strokes.boxes[kept], height)] if len(kept) else []
    lines = [line for line in lines if typical_height(strokes, line) >= _LOWEST * height]
    return Lines(ink, strokes, lines, back[:2] / scale, shape)


def _refuse_textures(strokes: Strokes) -> None:
    """Refuse a picture with more strokes than a page of writing has, which would take long."""
    count = int((strokes.areas >= 6).sum())
    if count > _MOST_STROKES:
        raise InputError(
            f"The picture has {count:,} strokes, and at most {_MOST_STROKES:,} are read: it shows noise or a texture; "
            "crop it to the writing."
        )


def typical_height(strokes: Strokes, members: NDArray[np.int64]) -> float:
    """Return the height of a line's writing: half of its ink is in strokes at least so high."""
    order = members[np.argsort(strokes.heights[members])]
    middle = np.searchsorted(strokes.areas[order].cumsum(), strokes.areas[order].sum() / 2)
    return float(strokes.heights[order[middle]])


def _reduced(image: NDArray[np.uint8], scale: float) -> tuple[NDArray[np.uint8], float]:
    """Return an image made smaller, and by which factor: 1 for those that are small enough."""
    if scale >= 1:
        return image, 1.0
    cv2: Any = require("cv2", "vision")
    size = tuple(max(1, round(length * scale)) for length in reversed(image.shape))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _upright(ink: NDArray[np.uint8], angle: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
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
