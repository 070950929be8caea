"""Erase rows of printed boxes, one for each digit, and closed combs, as on forms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.page import Page
from lenet.reading.rules import erased, sheared, straight_lines, thickness_of
from lenet.reading.strokes import INK, Mask, hollow

_MIN_SIDE, _MAX_THICKNESS = 20, 0.12  # of a box: pixels; the thickness of its lines, as a fraction of its height
_MAX_BOXES, _MAX_ROWS = 40, 1000  # of a row; of a page, where each takes half a millisecond
_MAX_THIN = 0.05  # of the height of a single box: the thickness of lines that are not strokes of a 0
_MAX_FILLED = 0.6  # the fraction of the area of a row that lines and digits cover
# Of neighbouring single boxes: the maximum difference, and the maximum distance of the centres, in their sides.
_SIMILAR, _NEAR = 0.1, (2.0, 0.3)
_MIN_RULE, _MAX_BEND = 0.6, 3  # of a rule: the fraction of the row's width; pixels
_LONG = 3  # heights of the row: pieces of rules that are as long as this are no strokes of digits
# Of the height of a box: of the lines between boxes, which stand on the lower rule, and of the sides of a single box.
_MIN_TOOTH, _MIN_UPRIGHT = 0.25, 0.85
_ASPECTS = (0.5, 1.3)  # width over height of a box; the cells of tables are wider
_MAX_SHIFT = 0.08  # widths of a box between a line and its place
_MAX_THIRD = (0.95, 0.2)  # the fraction of the columns of a box, and of a row, that have a third rule, as in a table


class BoxLines(NamedTuple):
    """The lines of a row of boxes."""

    rules: Mask  # the pixels of the two rules
    uprights: Mask
    size: NDArray[np.float64]  # the width and the height of a box
    number: int  # of the boxes


def without_boxes(page: Page) -> Page:
    """Remove rows of equal boxes, with or without gaps between them; strokes that cross their lines stay whole."""
    strokes, ink = page.strokes, page.ink.copy()
    widths = np.where(strokes.widths > _ASPECTS[0] * strokes.heights, strokes.widths, 0)
    found = []
    for n in hollow(widths, strokes.heights, strokes.areas, _MIN_SIDE, page.ink.size, _MAX_FILLED)[:_MAX_ROWS]:
        left, top, right, bottom = strokes.boxes[n].tolist()
        window = np.s_[top:bottom, left:right]
        lines = lines_of_boxes(np.asarray(strokes.labels[window] == n + 1, np.uint8))
        if lines is not None:
            found.append((window, lines, [(left + right) / 2, (top + bottom) / 2]))
    singles = [(*lines.size, *middle) for _, lines, middle in found if lines.number == 1]
    if not any(_is_single_box(page.ink[window], lines) for window, lines, _ in found):
        found = [each for each in found if each[1].number > 1]  # the others may be zeros with square corners
    for window, lines, middle in found:
        if lines.number > 1 or _has_neighbour(lines.size, np.array(middle), np.array(singles)):
            thickness = thickness_of(lines.rules)
            ink[window] = erased(erased(ink[window], lines.rules, thickness).T, lines.uprights.T, thickness).T
    return page.with_ink(ink)


def _is_single_box(ink: NDArray[np.uint8], lines: BoxLines) -> bool:
    """Return whether a single box is certainly not a 0: its lines are thin, or there is ink inside it."""
    thickness = round(thickness_of(lines.rules))
    margin = 2 * thickness
    is_thin = thickness <= _MAX_THIN * lines.size[1]
    return lines.number == 1 and bool(is_thin or (ink[margin:-margin, margin:-margin] >= INK).any())


def _has_neighbour(size: NDArray[np.float64], middle: NDArray[np.float64], boxes: NDArray[np.float64]) -> bool:
    """Return whether a box of the same size is beside a box; check boxes are further apart."""
    shifts = np.abs(boxes[:, 2:] - middle) / size
    is_equal = (np.abs(boxes[:, :2] - size) <= _SIMILAR * size).all(axis=1)
    return bool((is_equal & (shifts <= _NEAR).all(axis=1) & (shifts[:, 0] > 0)).any())


def lines_of_boxes(stroke: Mask) -> BoxLines | None:
    """Return the lines of a row of boxes, or None if a stroke is no such row.

    The uprights divide the row into boxes of equal width. They extend from one rule to the other or, in a comb, only
    part of the way from the lower one.
    """
    slopes = _slopes_of_edges(stroke)
    if not len(slopes):
        return None
    least = _MIN_RULE * stroke.shape[1]
    rules = straight_lines(stroke, round(min(least, _LONG * stroke.shape[0])), slopes)
    [columns] = np.nonzero(rules.any(axis=0))
    if len(columns) < least:
        return None
    edges = _edges_of(rules, slopes)
    if edges is None:
        return None
    upper, lower = edges
    thickness = round(thickness_of(rules))
    height = float(np.median((lower - upper)[columns])) + 1 - thickness  # between the middles of the rules
    if height < _MIN_SIDE or thickness > _MAX_THICKNESS * height:
        return None
    rows = np.arange(len(rules))[:, np.newaxis]
    is_between = np.asarray((rows > upper + 2 * thickness) & (rows < lower - 2 * thickness))
    third = np.asarray(rules & is_between, np.uint8)  # a rule of a table, or the bar of a digit in a box
    lean = -float(slopes.mean())
    level = sheared(stroke, lean)  # its uprights are columns
    lengths = _lengths_above(cv2.dilate(level, np.ones((1, 3), np.uint8)), lower - thickness, rows)  # bridges steps
    [sides] = np.nonzero(lengths >= _MIN_UPRIGHT * height)
    if not len(sides):
        return None
    # The middles of the outermost lines, which are wider by a pixel on either side, but not beyond the image.
    left = sides[0] + int(sides[0] > 0) + (thickness - 1) / 2
    right = sides[-1] - int(sides[-1] < len(lengths) - 1) - (thickness - 1) / 2
    places = _places(left, right, lengths, height)
    if not len(places) or third[:, columns].any(axis=0).mean() > _MAX_THIRD[len(places) > 2]:
        return None
    uprights = sheared(_uprights_at(places, level, lengths, lower - thickness, height), -lean)
    return BoxLines(rules - third, uprights, np.array([places[1] - places[0], height]), len(places) - 1)


def _slopes_of_edges(stroke: Mask) -> NDArray[np.float64]:
    """Return the slopes of the upper and the lower edge of a stroke; none if an edge is not straight."""
    half = stroke.shape[1] // 2
    edges = np.stack([stroke.argmax(axis=0), len(stroke) - 1 - stroke[::-1].argmax(axis=0)])
    slopes = np.median(edges[:, half:] - edges[:, : edges.shape[1] - half], axis=1) / half
    levels = edges - slopes[:, np.newaxis] * np.arange(edges.shape[1])
    levels -= np.median(levels, axis=1, keepdims=True)
    is_straight = (np.abs(levels) <= _MAX_BEND).mean(axis=1) >= _MIN_RULE
    return slopes if is_straight.all() else np.empty(0)


def _edges_of(rules: Mask, slopes: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the first row of the upper rule and the last one of the lower rule in each column."""
    levels = np.arange(len(rules))[:, np.newaxis] - slopes.mean() * np.arange(rules.shape[1])
    is_below: NDArray[np.bool_] = np.greater(levels, levels[np.nonzero(rules)].mean())
    above, below = (np.asarray(rules & each, np.uint8) for each in (~is_below, is_below))
    if not (above.any() and below.any()):
        return None
    return _top_of(above, slopes[0]), len(rules) - 1 - _top_of(below[::-1], -slopes[1])


def _top_of(rule: Mask, slope: float) -> NDArray[np.int64]:
    """Return the first row of a rule in each column, continued beyond its ends."""
    across, [columns] = np.arange(rule.shape[1]), np.nonzero(rule.any(axis=0))
    levels = np.interp(across, columns, (rule.argmax(axis=0) - slope * across)[columns])
    return np.asarray(np.rint(levels + slope * across), np.int64)


def _lengths_above(stroke: Mask, bottoms: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of pixels of a stroke without a gap from a row upwards, for each column."""
    gaps = np.where((stroke == 0) & (rows <= bottoms), rows, -1).max(axis=0)
    return np.asarray(np.maximum(bottoms - gaps, 0))


def _places(left: float, right: float, lengths: NDArray[np.int64], height: float) -> NDArray[np.float64]:
    """Return the equidistant places of the uprights between two sides; a line is as long as a tooth at each of them."""
    lines = np.flatnonzero(lengths >= _MIN_TOOTH * height)
    for count in range(_MAX_BOXES, 0, -1):
        places = np.linspace(left, right, count + 1)
        if not _ASPECTS[0] <= (places[1] - places[0]) / height <= _ASPECTS[1]:
            continue
        if np.abs(lines - places[:, np.newaxis]).min(axis=1, initial=np.inf).max() <= _reach(places):
            return np.asarray(places)
    return np.empty(0)


def _uprights_at(
    places: NDArray[np.float64], level: Mask, lengths: NDArray[np.int64], bottoms: NDArray[np.int64], height: float
) -> Mask:
    """Return the pixels of the uprights; those between the sides have one length, although digits may touch them."""
    near = np.abs(np.arange(len(lengths)) - places[:, np.newaxis]) <= _reach(places)
    tall = np.where(near, lengths, 0).max(axis=1)
    if len(places) > 2:
        tall[1:-1] = np.quantile(tall[1:-1], 0.25)
    tops = np.where(near, bottoms + 1 - tall[:, np.newaxis], np.inf).min(axis=0)
    upright = cv2.morphologyEx(level, cv2.MORPH_OPEN, np.ones((round(_MIN_TOOTH * height) | 1, 1), np.uint8))
    return np.asarray(upright & (np.arange(len(level))[:, np.newaxis] >= tops), np.uint8)


def _reach(places: NDArray[np.float64]) -> float:
    return max(2.0, _MAX_SHIFT * float(places[1] - places[0]))
