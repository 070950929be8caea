"""Erase the boxes and combs of forms: rules with equidistant uprights, between which each digit has its place."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.page import Page
from lenet.reading.rules import erased, sheared, straight_lines, thickness_of
from lenet.reading.strokes import INK, MAX_LENGTH, Floats, Ints, Mask

_MIN_SIDE, _MAX_THICKNESS = 20, 0.12  # of a box: pixels; the thickness of its lines, as a fraction of its height
_MAX_THIN = 0.05  # of the height of a single box: the thickness of lines that are not strokes of a 0
_ASPECTS = (0.5, 1.3)  # width over height of a box; the cells of tables are wider
_MAX_BOXES = 40  # of a row
_MAX_FILLED = 0.6  # the fraction of the area of a row that lines and digits cover
_MIN_LINE = 0.8  # the length of a rule or side, as a fraction of the row's width or the height of a box
_MAX_THIRD = 0.9  # the fraction of the columns that have a third rule; in a table, all have one
_MIN_UPRIGHT = 0.23  # heights of a box
_MIN_TEETH = 5  # of one height, without an upper rule
_MIN_OPEN = _MIN_TEETH - 1  # boxes without an upper rule, or in a row that is not upright; an 8 may look like two
_MAX_TEETH, _MAX_SIDES = 1.0, 1.5  # widths of a box: the height of uprights; if the rule ends at the outermost ones
_MAX_THICKER = 1  # pixels by which teeth may be thicker than the rule
_MAX_SHIFT = 0.08  # widths of a box between an upright and its place
# Of neighbouring single boxes: the maximum distance of their centres along the row, in widths; and the maximum
# difference of their widths, their heights, and their places across the row, as a fraction of these sides.
_NEAR, _SIMILAR = 2.0, 0.2


class BoxLines(NamedTuple):
    """The lines of a row of boxes."""

    rules: Mask  # the pixels of the lower rule and, if there is one, of the upper rule
    uprights: Mask
    thickness: int  # of the rules
    size: Floats  # the width and the height of a box
    number: int  # of the boxes


class _Row(NamedTuple):
    """A stroke that is a row of boxes."""

    ink: NDArray[np.uint8]  # a view of its part of the page, turned until the row is upright
    lines: BoxLines
    middle: Floats  # x and y on the page


def without_boxes(page: Page) -> Page:
    """Remove combs and rows of equal boxes, with or without gaps; strokes that cross their lines stay whole.

    The page may be on its side or upside down.
    """
    ink = page.ink.copy()
    found = _rows_of_boxes(page, ink)
    singles = [(*row.lines.size, *row.middle) for row in found if row.lines.number == 1]
    if not any(_is_single_box(row.ink, row.lines) for row in found):
        found = [row for row in found if row.lines.number > 1]  # the others may be zeros with square corners
    for part, lines, middle in found:
        if lines.number > 1 or _has_neighbour(lines.size, middle, np.array(singles)):
            without_rules = erased(part, lines.rules, lines.thickness)
            part[:] = erased(without_rules.T, lines.uprights.T, lines.thickness).T
    return page.with_ink(ink)


def _rows_of_boxes(page: Page, ink: NDArray[np.uint8]) -> list[_Row]:
    """Return the strokes that are rows of boxes or combs; rows that are not upright have at least `_MIN_OPEN` boxes."""
    strokes = page.strokes
    sides = strokes.widths, strokes.heights
    is_wide, is_tall = _may_hold(_MIN_OPEN, *sides), _may_hold(_MIN_OPEN, *sides[::-1])
    fits = [_may_hold(1, *sides), is_tall, is_wide, is_tall]  # by quarter turns
    lowest = round(_MIN_UPRIGHT * _MIN_SIDE)
    found = []
    for n in strokes.hollow(lowest, _MAX_FILLED, np.any(fits, axis=0)):
        stroke = strokes.mask(n)
        for turns in (k for k in range(4) if fits[k][n]):
            lines = lines_of_boxes(np.ascontiguousarray(np.rot90(stroke, turns)))
            if lines is not None and (turns == 0 or lines.number >= _MIN_OPEN):
                middle = (strokes.boxes[n, :2] + strokes.boxes[n, 2:]) / 2
                found.append(_Row(np.rot90(ink[strokes.window(n)], turns), lines, middle))
                break
    return found


def _may_hold(count: int, along: Ints, across: Ints) -> NDArray[np.bool_]:
    """Return whether strokes are long enough for a number of boxes."""
    return np.asarray(along > count * np.maximum(_MIN_SIDE, _ASPECTS[0] * across))


def _is_single_box(ink: NDArray[np.uint8], lines: BoxLines) -> bool:
    """Return whether a single box is certainly not a 0: its lines are thin, or there is ink inside it."""
    margin = 2 * lines.thickness
    is_thin = lines.thickness <= _MAX_THIN * lines.size[1]
    return lines.number == 1 and bool(is_thin or (ink[margin:-margin, margin:-margin] >= INK).any())


def _has_neighbour(size: Floats, middle: Floats, boxes: Floats) -> bool:
    """Return whether a box of the same size is beside a box; check boxes are further apart."""
    shifts = np.abs(boxes[:, 2:] - middle) / size
    is_equal = (np.abs(boxes[:, :2] - size) <= _SIMILAR * size).all(axis=1)
    return bool((is_equal & (shifts <= (_NEAR, _SIMILAR)).all(axis=1) & (shifts[:, 0] > 0)).any())


def lines_of_boxes(stroke: Mask) -> BoxLines | None:
    """Return the lines of a row of boxes or a comb, or None if a stroke is neither.

    The uprights divide the row into boxes of equal width. They stand on the lower rule; the outermost ones extend to
    the upper rule, if there is one. Without it, the boxes count as squares.
    """
    if (edges := _edges(stroke)) is None:
        return None
    thickness, lean = _thickness(stroke), -float((edges[:, 1] - edges[:, 0]).mean())
    level = sheared(stroke, lean)  # its uprights are columns
    bottoms = np.rint(edges[0]).astype(np.int64) - thickness
    lengths = _lengths_above(level, bottoms)
    height = float(np.ptp(edges.mean(axis=1))) + 1 - thickness  # too low for a box if there is no upper rule
    if (places := _places(lengths, thickness, height)) is None:
        return None
    near, size = places
    if thickness > _MAX_THICKNESS * size[1] or (rules := _rules(stroke, edges, thickness)) is None:
        return None
    is_upright = np.arange(len(stroke))[:, np.newaxis] > bottoms - _heights(lengths, near)
    bar = np.ones((round(_MIN_UPRIGHT * size[1]) | 1, 1), np.uint8)
    uprights = np.asarray(cv2.morphologyEx(level, cv2.MORPH_OPEN, bar) & is_upright, np.uint8)
    if height < _MIN_SIDE and thickness_of(uprights.T) > thickness + _MAX_THICKER:
        return None  # strokes of digits that stand on a rule
    return BoxLines(rules, sheared(uprights, -lean), thickness, size, len(near) - 1)


def _edges(stroke: Mask) -> Floats | None:
    """Return the row of the edge of the lower rule and, if there is one, of the upper rule, in each column."""
    if (lower := _lower_edge(stroke)) is None:
        return None
    if (upper := _lower_edge(stroke[::-1])) is None and len(lower) < _MIN_OPEN * _MIN_SIDE:
        return None
    return np.stack([lower] if upper is None else [lower, len(stroke) - 1 - upper])


def _rules(stroke: Mask, edges: Floats, thickness: int) -> Mask | None:
    """Return the pixels of the rules with these edges, or None if they are no rules, or have another between them."""
    length = round(min(_MIN_LINE * stroke.shape[1], MAX_LENGTH * len(stroke)))
    rules = straight_lines(stroke, length, edges[:, 1] - edges[:, 0])
    rows = np.arange(len(stroke))[:, np.newaxis]
    near_edges = np.stack([np.abs(rows - edge) <= 2 * thickness for edge in edges])
    third = np.where(near_edges.any(axis=0), 0, rules)  # a rule of a table, or the bar of a digit in a box
    covered = (rules & near_edges).any(axis=1).mean(axis=1)
    if covered.min() < _MIN_LINE or third.any(axis=0).mean() > _MAX_THIRD:
        return None
    return np.asarray(rules - third, np.uint8)


def _thickness(stroke: Mask) -> int:
    """Return the lower quartile, over the columns of a stroke, of the thickness of its lowest line."""
    upwards = np.pad(stroke[::-1], ((0, 1), (0, 0)))  # the paper above each column ends its lines
    bottoms = upwards.argmax(axis=0)
    tops = ((upwards == 0) & (np.arange(len(upwards))[:, np.newaxis] > bottoms)).argmax(axis=0)
    return int(np.partition(tops - bottoms, len(tops) // 4)[len(tops) // 4])  # the others touch digits


def _lower_edge(stroke: Mask) -> Floats | None:
    """Return the row of the lower edge of a stroke in each column, or None if the edge is bent."""
    width = stroke.shape[1]
    across, half = np.arange(width), width // 2
    edge = len(stroke) - 1 - stroke[::-1].argmax(axis=0)
    slope = _median(edge[half:] - edge[: width - half]) / half
    straight = _median(edge - slope * across) + slope * across
    return straight if np.count_nonzero(edge >= straight - _reach(len(stroke))) >= _MIN_LINE * width else None


def _lengths_above(level: Mask, bottoms: Ints) -> Ints:
    """Return the number of pixels without a gap from a row upwards, for each column.

    Gaps in that row and the one above it do not count, as they may be below the ink.
    """
    rows = np.arange(len(level))[:, np.newaxis]
    bridged = cv2.dilate(level, np.ones((1, 3), np.uint8))  # over the steps of leaning lines
    return np.asarray(bottoms - np.where((bridged == 0) & (rows <= bottoms - 2), rows, -1).max(axis=0))


def _places(lengths: Ints, thickness: int, height: float) -> tuple[NDArray[np.bool_], Floats] | None:
    """Return the columns near each of the equidistant uprights, shape (uprights, columns), and the size of a box.

    If the height is too low for a box, there is no upper rule. The result is None if there are no such uprights.
    """
    is_open = height < _MIN_SIDE
    [sides] = np.nonzero(lengths >= (_MIN_UPRIGHT * _MIN_SIDE if is_open else _MIN_LINE * height))
    if not len(sides):
        return None
    # The middles of the outermost lines, which are wider by a pixel on either side, but not beyond the image.
    left = sides[0] + int(sides[0] > 0) + (thickness - 1) / 2
    right = sides[-1] - int(sides[-1] < len(lengths) - 1) - (thickness - 1) / 2
    for count in range(_MAX_BOXES, 0, -1):
        width = (right - left) / count
        side = width if is_open else height
        if side >= _MIN_SIDE and _ASPECTS[0] <= width / side <= _ASPECTS[1]:
            places = np.linspace(left, right, count + 1)
            near = np.abs(np.arange(len(lengths)) - places[:, np.newaxis]) <= _reach(width)
            size = np.array([width, side])
            tall = np.where(near, lengths, 0).max(axis=1)
            are_ends = left <= _reach(width) and right >= len(lengths) - 1 - _reach(width)
            longest = _MAX_SIDES if are_ends else _MAX_TEETH
            if _are_teeth(tall, size, longest) if is_open else (tall >= _MIN_UPRIGHT * side).all():
                return near, size
    return None


def _are_teeth(lengths: Ints, size: Floats, longest: float) -> bool:
    """Return whether uprights are long enough, except one, and many have one height, of at most `longest` widths."""
    if np.count_nonzero(lengths < _MIN_UPRIGHT * size[1]) > 1:
        return False
    tall = np.quantile(lengths, 0.25)  # the others touch digits
    equal = np.count_nonzero(np.abs(lengths - tall) <= _reach(size[0]))
    return bool(tall <= longest * size[0] and equal >= _MIN_TEETH)


def _heights(lengths: Ints, near: NDArray[np.bool_]) -> Floats:
    """Return the height of the upright near each column; negative if there is none.

    Those between the sides have one height, although digits may touch them.
    """
    heights = np.where(near, lengths, 0).max(axis=1).astype(np.float64)
    if len(near) > 2:
        heights[1:-1] = np.quantile(heights[1:-1], 0.25)
    return np.asarray(np.where(near, heights[:, np.newaxis], -np.inf).max(axis=0))


def _median(values: NDArray[Any]) -> float:
    """Return the median, or the larger of the two middle values; np.median takes five times as long for few values."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _reach(side: float) -> float:
    """Return the maximum distance of a line from its place, in pixels."""
    return max(2.0, _MAX_SHIFT * side)
