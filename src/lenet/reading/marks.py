"""Find the points, commas, colons, dashes and other signs beside the digits of a line."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.reading.lines import InkLine
from lenet.reading.segments import Segments
from lenet.reading.strokes import SHORT, Boxes, Ints, box_around

_MAX_GAP = 0.6  # heights of the writing between a mark and the nearest digit; half of it between two marks
_MAX_BAR_GAP = 1.2  # the same for dashes and the bars of equals signs
_SPACE = 0.6  # heights of the writing: a wider gap between a point, comma or colon and the next digit is a space
# Of two strokes above each other that are a colon or an equals sign.
_MIN_SHARED = 0.5  # widths of the wider one: the part that is above or below the other, if both were upright
_SLANT = 0.25  # of italics: across over down
_MAX_RATIO = 2  # between their heights
_MAX_MIDDLE = 0.75  # heights of the writing between their middles and the baseline
_MIN_BAR = 1.8  # width over height of the bars of an equals sign, and of a dash that is far away or as low as a point
_MIN_DASH, _MAX_DASH = 0.25, 0.5  # heights of the writing: the minimum width of such a dash; the maximum height of any
_BELOW = 0.1  # heights of the writing: a comma that is not much taller than wide ends further below the baseline
_MIN_COMMA = 0.22  # heights of the writing: such a comma is taller


def may_be_marks(segments: Segments) -> NDArray[np.bool_]:
    """Return whether each segment may be a mark.

    A mark is short, consists of short strokes, as "=" does, or is a dash, a comma, a slash or a degree sign.
    """
    heights, height = _heights(segments.boxes), segments.pieces.line.height
    is_dash = _are_bars(segments.boxes, height) & (heights < _MAX_DASH * height)
    is_short = (heights < SHORT * height) | _have_short_strokes(segments)
    return np.asarray(is_short | is_dash | np.isin(segments.features.signs, (",", "/", "°")))


def mark_boxes(segments: Segments, marks: Ints) -> tuple[Boxes, list[str]]:
    """Return the boxes of segments that are marks, or of their strokes if all are short, and their signs, if any."""
    found, signs = [np.zeros((0, 4), np.int64)], list[str]()
    are_split = _have_short_strokes(segments)
    for n in marks:
        found.append(_strokes_of(segments, n) if are_split[n] else segments.boxes[[n]])
        signs += [segments.features.signs[n]] * len(found[-1])
    return np.concatenate(found), signs


def _strokes_of(segments: Segments, n: int) -> Boxes:
    """Return the boxes of the strokes that a segment has pieces of."""
    return np.unique(segments.pieces.strokes[segments.starts[n] : segments.stops[n]], axis=0)


def starts_low(boxes: Boxes, baseline: float, height: float) -> NDArray[np.bool_]:
    """Return whether the top of each box is in the lower half of the digits, as in commas."""
    return np.asarray(boxes[:, 1] > baseline - height / 2)


def digits_and_marks(
    segments: Segments, digits: Ints, marks: Ints, baseline: float
) -> tuple[Boxes, list[tuple[int, str]]]:
    """Return the boxes of segments that are digits, without attached marks, and the marks of their line.

    Each mark follows the number of digits before it; the marks are from left to right.
    """
    boxes, attached = _without_attached_marks(segments, digits, baseline)
    separate, signs = mark_boxes(segments, marks)
    return boxes, _marks_beside(boxes, np.concatenate([separate, attached]), signs, baseline, segments.pieces.line)


def _without_attached_marks(segments: Segments, digits: Ints, baseline: float) -> tuple[Boxes, Boxes]:
    """Return the boxes of segments that are digits, without the marks attached to them, and those of the marks."""
    height = segments.pieces.line.height
    boxes, attached = segments.boxes[digits], [np.zeros((0, 4), np.int64)]
    for k, n in enumerate(digits):
        strokes = _strokes_of(segments, n)
        may_be_mark = (_heights(strokes) < SHORT * height) | starts_low(strokes, baseline, height)
        if may_be_mark.any() and not may_be_mark.all():
            left, _, right, _ = box_around(strokes[~may_be_mark])
            middles = (strokes[:, 0] + strokes[:, 2]) / 2
            is_beside = may_be_mark & ((middles < left) | (middles > right))
            attached.append(strokes[is_beside])
            boxes[k] = box_around(strokes[~is_beside])
    return boxes, np.concatenate(attached)


def _have_short_strokes(segments: Segments) -> NDArray[np.bool_]:
    """Return whether all strokes of each segment are short."""
    ranges = np.stack([segments.starts, segments.stops], axis=1).ravel()
    tallest = np.maximum.reduceat(np.append(_heights(segments.pieces.strokes), 0), ranges)[::2]
    return np.asarray(tallest < SHORT * segments.pieces.line.height)


def _heights(boxes: Boxes) -> Ints:
    return np.asarray(boxes[:, 3] - boxes[:, 1])


def _marks_beside(
    digits: Boxes, others: Boxes, signs: Sequence[str], baseline: float, line: InkLine
) -> list[tuple[int, str]]:
    """Return each mark of a line, with the space after it, and the number of digits before it, from left to right.

    The marks are among other boxes, the first of which may be known to be `signs`, and short strokes that are not part
    of the line.
    """
    candidates = np.concatenate([others, line.short_strokes[_gaps(line.short_strokes, digits) >= 0]])
    known = np.array([*signs, *[""] * (len(candidates) - len(signs))])
    farthest = np.where(_are_bars(candidates, line.height), _MAX_BAR_GAP, _MAX_GAP) * line.height
    is_near = _gaps(candidates, digits) <= farthest
    if is_near.any():
        is_near |= _gaps(candidates, candidates[is_near]) <= farthest / 2
    is_near |= known != ""
    found: list[tuple[Ints, str]] = []
    for k in np.flatnonzero(is_near)[np.argsort(candidates[is_near, 0])]:
        box = candidates[k]
        if found and (mark := _stacked(np.stack([found[-1][0], box]), baseline, line.height)):
            found[-1] = box, mark
        else:
            found.append((box, str(known[k]) or _mark(box, baseline, line.height)))
    counts = [int((digits[:, 0] + digits[:, 2] < box[0] + box[2]).sum()) for box, _ in found]
    lefts = np.append(digits[:, 0], 0)  # nothing follows the last digit
    marks = [
        f"{mark} " if mark in (".", ",", ":") and lefts[n] - box[2] > _SPACE * line.height else mark
        for n, (box, mark) in zip(counts, found, strict=True)
    ]
    # A text that begins with one of these signs would be a formula in a spreadsheet.
    return [(n, mark) for n, mark in zip(counts, marks, strict=True) if mark and (n or mark not in ("=", "+"))]


def _stacked(boxes: Boxes, baseline: float, height: float) -> str:
    """Return the colon or the equals sign that two boxes of a line form, or "" if they form neither."""
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    across, down = boxes[:, 2:].min(axis=0) - boxes[:, :2].max(axis=0)  # negative: the gap between them
    middles = (baseline - boxes[:, 1::2].mean(axis=1)) / height
    slant = _SLANT * abs(float(np.diff(boxes[:, 1::2].mean(axis=1))[0]))
    is_similar = across > _MIN_SHARED * widths.max() - slant and heights.max() <= _MAX_RATIO * heights.min()
    if down > 0 or not is_similar or middles.max() > _MAX_MIDDLE or boxes[:, 3].max() > baseline + _BELOW * height:
        return ""
    return "=" if (widths > _MIN_BAR * heights).all() else ":"


def _gaps(boxes: Boxes, digits: Boxes) -> Ints:
    """Return the gap between each box and the nearest digit; negative if they overlap."""
    return np.asarray(np.maximum(digits[:, 0] - boxes[:, 2:3], boxes[:, :1] - digits[:, 2]).min(axis=1))


def _are_bars(boxes: Boxes, height: float) -> NDArray[np.bool_]:
    """Return whether a box, or each of several, is that of a bar: wide, and much wider than tall."""
    widths, heights = (boxes[..., 2:] - boxes[..., :2]).T
    return np.asarray(widths >= np.maximum(_MIN_BAR * heights, _MIN_DASH * height))


def _mark(box: Ints, baseline: float, height: float) -> str:
    """Return the point, comma or dash in a box of a line, or "" if it is none of them."""
    left, top, right, bottom = box
    middle = (baseline - (top + bottom) / 2) / height  # above the baseline
    if middle < 0.3 and not (_are_bars(box, height) and middle > 0):
        is_below = bottom > baseline + _BELOW * height and bottom - top > _MIN_COMMA * height
        return "," if is_below or bottom - top > 1.5 * (right - left) else "."
    return "-" if middle < 0.7 and right - left > bottom - top else ""
