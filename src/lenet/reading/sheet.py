"""Where in a picture the paper lies, if it is a light sheet on something darker."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require

_LEAST, _MOST = 0.12, 0.95  # parts of the picture that a sheet covers
_DARKER = 0.6  # of the sheet's level, that what lies around it has at most
_STEP = 0.6  # of the difference, that is made within a few pixels: shadows begin more softly
_CONVEX = 0.93  # of the area of its hull
_CORNER, _MOST_CORNERS = 0.035, 5  # of its length around, that edges may bend; one corner may be out of sight
_INK = 0.8  # of the sheet's level, that ink has at most;
_WRITTEN = 3, 0.25  # there are so many pixels of it, and at most this part
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
    if not light.any():
        return None
    padded = cv2.copyMakeBorder(light, *[margin] * 4, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, brush)[margin:-margin, margin:-margin]
    outline = max(cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    sheet = cv2.drawContours(np.zeros_like(closed), [outline], 0, 1, cv2.FILLED)
    if not _LEAST <= sheet.mean() <= _MOST:
        return None
    within, around = float(np.median(coarse[sheet == 1])), float(np.median(coarse[sheet == 0]))
    if around > _DARKER * within or _step(coarse, sheet) < _STEP * (within - around):
        return None
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, _CORNER * cv2.arcLength(hull, True), True)
    if len(corners) > _MOST_CORNERS or sheet.sum() < _CONVEX * cv2.contourArea(hull):
        return None
    inside = cv2.erode(sheet, np.ones((2 * _EDGE + 1,) * 2, np.uint8), borderValue=1) == 1
    written = int((coarse[inside] < _INK * within).sum())
    return np.asarray(inside) if _WRITTEN[0] <= written <= _WRITTEN[1] * inside.sum() else None


def _step(coarse: NDArray[np.uint8], sheet: NDArray[np.uint8]) -> float:
    """Return how much lighter a sheet is just within its edge than just outside."""
    cv2: Any = require("cv2", "vision")
    brush = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    rim = (sheet == 1) & (cv2.erode(sheet, brush, borderValue=1) == 0)
    beyond = (sheet == 0) & (cv2.dilate(sheet, brush) == 1)
    return float(np.median(coarse[rim])) - float(np.median(coarse[beyond])) if rim.any() and beyond.any() else 0.0
