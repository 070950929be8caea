"""Find a light sheet of paper on a darker ground."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2

# Fractions of the picture's area.
_MIN_AREA, _MAX_AREA = 0.12, 0.95
# Fractions of the sheet's outline. A shadow's outline runs along the picture's border; a sheet's does so less.
_MAX_AT_BORDER = 0.4
_CORNER = 0.035
_MAX_CORNERS = 5  # one of the four may be cut off by the picture's border
_MIN_CONVEXITY = 0.93  # area over that of the convex hull
_MAX_AROUND = 0.6  # level around the sheet, as a fraction of the sheet's level
_MIN_STEP = 0.6  # of the difference in level, within a few pixels of the edge: shadows have softer edges
_INK = 0.7  # level of ink, as a fraction of the level around it
_MIN_INK, _MAX_INK = 3, 0.25  # on the sheet: pixels, and a fraction of its area
_MAX_INK_OUTSIDE = 0.5  # of the ink on the sheet: otherwise the "sheet" is the lit half of a page
_EDGE = 4  # pixels of the coarse picture around the sheet's outline that contain its shadow


def find_sheet(coarse: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return the pixels of a written sheet, or None if there is none or paper fills the picture.

    A sheet is a light region with four corners and something dark on it. A light digit on a dark ground is not a sheet.
    The picture is coarse: a few hundred pixels a side.
    """
    outline = _outline_of_light(coarse)
    if outline is None:
        return None
    sheet = cv2.drawContours(np.zeros_like(coarse), [outline], 0, 1, cv2.FILLED)
    if not _MIN_AREA <= sheet.mean() <= _MAX_AREA or not _has_shape_of_sheet(outline, sheet):
        return None
    kernel = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    inside, outside = cv2.erode(sheet, kernel, borderValue=1) == 1, cv2.dilate(sheet, kernel) == 0
    if not _stands_out(coarse, sheet == 1, inside, outside):
        return None
    ink = _ink(coarse)
    written, elsewhere = int(ink[inside].sum()), int(ink[outside].sum())
    is_written = _MIN_INK <= written <= _MAX_INK * inside.sum() and elsewhere <= _MAX_INK_OUTSIDE * written
    return np.asarray(inside) if is_written else None


def _outline_of_light(coarse: NDArray[np.uint8]) -> NDArray[np.int32] | None:
    """Return the outline of the largest light region, shape (n, 1, 2), or None if there is no light region."""
    _, light = cv2.threshold(cv2.medianBlur(coarse, 5), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    margin = max(3, min(coarse.shape) // 12)
    padded = cv2.copyMakeBorder(light, *[margin] * 4, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((margin, margin), np.uint8))
    # A kernel of even size can move a light region at the border out of the picture.
    outlines, _ = cv2.findContours(closed[margin:-margin, margin:-margin], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(outlines, key=cv2.contourArea)) if outlines else None


def _has_shape_of_sheet(outline: NDArray[np.int32], sheet: NDArray[np.uint8]) -> bool:
    """Return whether a region is convex, has few corners, and is mostly inside the picture."""
    x, y = outline[:, 0].T
    at_border = (x < 2) | (y < 2) | (x >= sheet.shape[1] - 2) | (y >= sheet.shape[0] - 2)
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, _CORNER * cv2.arcLength(hull, True), True)
    is_convex = sheet.sum() >= _MIN_CONVEXITY * cv2.contourArea(hull)
    return bool(at_border.mean() <= _MAX_AT_BORDER and len(corners) <= _MAX_CORNERS and is_convex)


def _stands_out(
    coarse: NDArray[np.uint8], sheet: NDArray[np.bool_], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> bool:
    """Return whether a sheet is lighter than the picture around it, with a sharp edge."""
    within, around = float(np.median(coarse[sheet])), float(np.median(coarse[~sheet]))
    rim, beyond = coarse[sheet & ~inside], coarse[~sheet & ~outside]
    step = float(np.median(rim)) - float(np.median(beyond)) if rim.size and beyond.size else 0.0
    return around <= _MAX_AROUND * within and step >= _MIN_STEP * (within - around)


def _ink(coarse: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels that are much darker than those around them."""
    kernel = np.ones((max(3, min(coarse.shape) // 8),) * 2, np.uint8)
    return np.asarray(coarse < _INK * cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, kernel))
