"""Erase rows of printed boxes, one for each digit, and closed combs, as on forms."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.page import Page
from lenet.reading.rules import erased, straight_lines, thickness_of
from lenet.reading.strokes import Mask, hollow

_MIN_SIDE, _MAX_THICKNESS = 20, 0.12  # of a box: pixels; the thickness of its lines, as a fraction of its height
_MAX_BOXES = 40
_MIN_ASPECT, _MAX_FILLED = 1.0, 0.6  # width over height of a row; the fraction of its area that lines and digits cover
_MIN_RULE = 0.6  # of the width of the row
_MIN_TOOTH = 0.25  # of the height of a box: of the lines between boxes, which stand on the lower rule
_ASPECTS = (0.5, 1.3)  # width over height of a box; the cells of tables are wider
_MAX_SHIFT = 0.08  # widths of a box between a line and its place
_MAX_BETWEEN = 0.2  # the fraction of the columns that have a third rule, as in a table


def without_boxes(page: Page) -> Page:
    """Remove rows of at least two equal boxes; strokes that cross their lines stay whole."""
    strokes, ink = page.strokes, page.ink.copy()
    widths = np.where(strokes.widths > _MIN_ASPECT * strokes.heights, strokes.widths, 0)
    for n in hollow(widths, strokes.heights, strokes.areas, _MIN_SIDE, page.ink.size, _MAX_FILLED):
        left, top, right, bottom = strokes.boxes[n].tolist()
        window = np.s_[top:bottom, left:right]
        rules, uprights = lines_of_boxes(np.asarray(strokes.labels[window] == n + 1, np.uint8))
        thickness = thickness_of(rules)
        ink[window] = erased(erased(ink[window], rules, thickness).T, uprights.T, thickness).T
    return page.with_ink(ink)


def lines_of_boxes(stroke: Mask) -> tuple[Mask, Mask]:
    """Return the pixels of the two rules and of the uprights of a row of boxes; none if a stroke is no such row.

    The uprights divide the row into boxes of equal width. They extend from one rule to the other or, in a comb, only
    part of the way from the lower one.
    """
    none = np.zeros_like(stroke)
    rules = straight_lines(stroke, round(_MIN_RULE * stroke.shape[1]))
    [columns] = np.nonzero(rules.any(axis=0))
    if not len(columns):
        return none, none
    upper, lower = rules.argmax(axis=0), len(rules) - 1 - rules[::-1].argmax(axis=0)
    height, thickness = float(np.median((lower - upper)[columns])), round(thickness_of(rules))
    if height < _MIN_SIDE or thickness > _MAX_THICKNESS * height:
        return none, none
    rows = np.arange(len(rules))[:, np.newaxis]
    between = rules & (rows > upper + 2 * thickness) & (rows < lower - 2 * thickness)
    if between.any(axis=0)[columns].mean() > _MAX_BETWEEN:
        return none, none
    lengths = _lengths_above(stroke, lower - thickness, rows)
    places = _places(columns[0] + thickness / 2, columns[-1] - thickness / 2, lengths, height)
    if not len(places):
        return none, none
    near = np.abs(np.arange(len(lengths)) - places[:, np.newaxis]) <= _reach(places)
    tall = np.where(near, lengths, 0).max(axis=1)
    tall[1:-1] = np.quantile(tall[1:-1], 0.25)  # digits may touch the others
    tops = np.where(near, lower - thickness + 1 - tall[:, np.newaxis], np.inf).min(axis=0)
    upright = cv2.morphologyEx(stroke, cv2.MORPH_OPEN, np.ones((round(_MIN_TOOTH * height) | 1, 1), np.uint8))
    return rules, np.asarray(upright & (rows >= tops), np.uint8)


def _lengths_above(stroke: Mask, bottoms: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of pixels of a stroke without a gap from a row upwards, for each column."""
    gaps = np.where((stroke == 0) & (rows <= bottoms), rows, -1).max(axis=0)
    return np.asarray(np.maximum(bottoms - gaps, 0))


def _places(left: float, right: float, lengths: NDArray[np.int64], height: float) -> NDArray[np.float64]:
    """Return the equidistant places of the uprights between two sides; a line is as long as a tooth at each of them."""
    lines = np.flatnonzero(lengths >= _MIN_TOOTH * height)
    for count in range(_MAX_BOXES, 1, -1):
        places = np.linspace(left, right, count + 1)
        if not _ASPECTS[0] <= (places[1] - places[0]) / height <= _ASPECTS[1]:
            continue
        if np.abs(lines - places[:, np.newaxis]).min(axis=1, initial=np.inf).max() <= _reach(places):
            return np.asarray(places)
    return np.empty(0)


def _reach(places: NDArray[np.float64]) -> float:
    return max(2.0, _MAX_SHIFT * float(places[1] - places[0]))
