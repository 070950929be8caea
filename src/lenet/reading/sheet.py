"""Where in a picture the paper lies, if it is a light sheet on something darker."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require

_LEAST, _MOST = 0.12, 0.95  # parts of the picture that a sheet covers
_AT_BORDER = 0.4  # of its edge, that is cut off by the picture's: what a shadow leaves light has only one edge
_DARKER = 0.6  # of the sheet's level, that what lies around it has at most
_STEP = 0.6  # of the difference, that is made within a few pixels: shadows begin more softly
_CONVEX = 0.93  # of the area of its hull
_CORNER, _MOST_CORNERS = 0.035, 5  # of its length around, that edges may bend; one corner may be out of sight
_INK = 0.7  # of the level around it, that ink has at most;
_WRITTEN = 3, 0.25  # on the sheet are so many pixels of it, and at most this part,
_ELSEWHERE = 0.5  # and beside the sheet fewer: what is written on light and dark alike lies half in a shadow
_EDGE = 4  # pixels of the coarse picture, at the sheet's edge, that are left out: a shadow lies there


def find_sheet(coarse: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return which pixels show a written sheet, or None if the picture shows nothing but paper, or no sheet.

    A sheet is a light region with four corners and something dark in it; a light digit on a dark ground is none.

    Parameters
    ----------
    coarse : ndarray of uint8, shape (H, W)
        Grey levels, with some hundreds of pixels a side.
    """
    cv2: Any = require("cv2", "vision")
    _, light = cv2.threshold(cv2.medianBlur(coarse, 5), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    brush = np.ones((max(3, min(coarse.shape) // 12),) * 2, np.uint8)
    margin = brush.shape[0]
    padded = cv2.copyMakeBorder(light, *[margin] * 4, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, brush)[margin:-margin, margin:-margin]
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:  # nothing is light; or only the last row or column, beyond which a brush of even size moves it
        return None
    outline = max(outlines, key=cv2.contourArea)
    sheet = cv2.drawContours(np.zeros_like(closed), [outline], 0, 1, cv2.FILLED)
    if not _LEAST <= sheet.mean() <= _MOST:
        return None
    x, y = outline[:, 0].T
    at_border = (x < 2) | (y < 2) | (x >= coarse.shape[1] - 2) | (y >= coarse.shape[0] - 2)
    if at_border.mean() > _AT_BORDER:
        return None
    within, around = float(np.median(coarse[sheet == 1])), float(np.median(coarse[sheet == 0]))
    if around > _DARKER * within or _step(coarse, sheet) < _STEP * (within - around):
        return None
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, _CORNER * cv2.arcLength(hull, True), True)
    if len(corners) > _MOST_CORNERS or sheet.sum() < _CONVEX * cv2.contourArea(hull):
        return None
    edge = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    inside, outside = cv2.erode(sheet, edge, borderValue=1) == 1, cv2.dilate(sheet, edge) == 0
    marks = _marks(coarse)
    written, elsewhere = int(marks[inside].sum()), int(marks[outside].sum())
    is_sheet = _WRITTEN[0] <= written <= _WRITTEN[1] * inside.sum() and elsewhere <= _ELSEWHERE * written
    return np.asarray(inside) if is_sheet else None


def _marks(coarse: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return what is much darker than all around it."""
    cv2: Any = require("cv2", "vision")
    brush = np.ones((max(3, min(coarse.shape) // 8),) * 2, np.uint8)
    return np.asarray(coarse < _INK * cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, brush))


def _step(coarse: NDArray[np.uint8], sheet: NDArray[np.uint8]) -> float:
    """Return how much lighter a sheet is just within its edge than just outside."""
    cv2: Any = require("cv2", "vision")
    brush = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    rim = (sheet == 1) & (cv2.erode(sheet, brush, borderValue=1) == 0)
    beyond = (sheet == 0) & (cv2.dilate(sheet, brush) == 1)
    return float(np.median(coarse[rim])) - float(np.median(coarse[beyond])) if rim.any() and beyond.any() else 0.0
