"""Erase the frames around writing, such as the boxes of a form and the rings around numbers."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import square
from lenet.reading.page import Page
from lenet.reading.rules import erased, straight_lines, thickness_of
from lenet.reading.strokes import Mask

_MIN_SIDE = 12  # pixels of a frame
_MAX_GAP = 0.2  # of its shorter side: in a frame around writing
_MIN_ENCLOSED = 0.1  # the ink inside a frame, as a fraction of the frame's own ink
# The ink inside a rectangle that is higher than wide: pixels, and a fraction of its own ink; a 0 may contain a speck.
_MIN_INK, _MIN_INSIDE = 12, 0.015
# The hole of an empty frame, as a fraction of the smallest rectangle around it (ellipses: 0.79), and the hole of an
# empty or open frame as a fraction of the smallest rectangle around the frame.
_MIN_HOLE, _MIN_SHARE = 0.85, 0.5
# Of a ring: the hole as a fraction of its convex hull; the height over the width, since a slash may be in a 0, which is
# narrower; and the height of a stroke inside over that of the ring, since a dot may be in a 0.
_MIN_CONVEX, _MAX_RING, _MIN_STROKE_IN_RING = 0.95, 1.2, 0.25
_SLOPES = np.linspace(-0.25, 0.25, 15)


def without_frames(page: Page) -> Page:
    """Remove strokes that frame others, rectangles around any ink, and empty boxes wider than high.

    Writing that touches a frame with straight sides loses little.
    """
    strokes, ink = page.strokes, page.ink.copy()
    for n in strokes.hollow(_MIN_SIDE):
        window, frame = strokes.window(n), strokes.mask(n)
        labels, holes, sides = strokes.labels[window], _holes(frame), _sides(frame)
        inside = _inside(frame, holes, sides)
        enclosed = labels[inside & (labels > 0)] - 1
        is_long = strokes.lengths[enclosed] > 0.15 * min(frame.shape)
        has_writing = is_long.sum() >= _MIN_ENCLOSED * strokes.areas[n]
        has_ink = np.count_nonzero(labels[holes]) >= max(_MIN_INK, _MIN_INSIDE * strokes.areas[n])
        may_be_zero = not has_ink and frame.shape[0] >= frame.shape[1]
        is_around_stroke = strokes.heights[enclosed].max(initial=0) >= _MIN_STROKE_IN_RING * len(frame)
        is_wide = len(frame) <= _MAX_RING * frame.shape[1]
        if has_writing and is_around_stroke and is_wide and _are_of_ring(inside):
            ink[window][cv2.dilate(frame, square(3)) > 0] = 0
        elif has_writing or (not may_be_zero and _are_rectangle(holes, sides)):
            ink[window] = _without_sides(ink[window], frame, sides)
    return page.with_ink(ink)


def _are_of_ring(holes: NDArray[np.bool_]) -> bool:
    """Return whether the pixels that a stroke encloses have the shape of an ellipse rather than a rectangle."""
    outlines, _ = cv2.findContours(holes.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return False
    outline = max(outlines, key=len)
    area, (width, height) = cv2.contourArea(outline), cv2.minAreaRect(outline)[1]
    return bool(_MIN_CONVEX * cv2.contourArea(cv2.convexHull(outline)) <= area < _MIN_HOLE * width * height)


def _sides(frame: Mask) -> tuple[float, float]:
    """Return the width and the height of a frame, which may be tilted."""
    outlines, _ = cv2.findContours(frame, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    _, (width, height), angle = cv2.minAreaRect(np.concatenate(outlines))
    if 45 < abs(angle) < 135:
        width, height = height, width
    return width + 1, height + 1


def _without_sides(ink: NDArray[np.uint8], frame: Mask, sides: tuple[float, float]) -> NDArray[np.uint8]:
    """Return ink without the long straight parts of a frame with these sides."""
    own, others = np.where(frame, ink, 0).astype(np.uint8), np.where(frame, 0, ink).astype(np.uint8)
    for length in sides:
        lines = straight_lines(frame, max(6, round(length) // 3), _SLOPES)
        own, frame = erased(own, lines, thickness_of(lines)).T, np.ascontiguousarray(frame.T)
    return np.maximum(own, others)


def _are_rectangle(holes: NDArray[np.bool_], sides: tuple[float, float]) -> bool:
    """Return whether the pixels that a stroke with these sides encloses are a rectangle that is most of it."""
    area = np.count_nonzero(holes)
    if area < _MIN_SHARE * sides[0] * sides[1]:
        return False
    outlines, _ = cv2.findContours(holes.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    width, height = cv2.minAreaRect(np.concatenate(outlines))[1]
    return bool(area >= _MIN_HOLE * (width + 1) * (height + 1))


def _inside(frame: Mask, holes: NDArray[np.bool_], sides: tuple[float, float]) -> NDArray[np.bool_]:
    """Return the holes of a frame or, if it has a gap, the pixels that it would enclose without one.

    A frame is a rectangle or a ring; others may be an open 0, or digits between two rules.
    """
    if np.count_nonzero(holes) >= _MIN_SHARE * sides[0] * sides[1]:
        return holes
    closed = _holes(_closed(frame))
    return closed if _are_rectangle(closed, sides) or _are_of_ring(closed) else holes


def _closed(frame: Mask) -> Mask:
    """Return a frame without gaps, such as one drawn by hand may have at a corner."""
    side = round(_MAX_GAP * min(frame.shape)) | 1  # odd: a closing with an even side shifts the frame
    return np.asarray(cv2.morphologyEx(frame, cv2.MORPH_CLOSE, square(side)), np.uint8)


def _holes(frame: Mask) -> NDArray[np.bool_]:
    """Return the pixels that a frame encloses."""
    padded = cv2.copyMakeBorder(frame, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] == 0)
