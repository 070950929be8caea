"""Find the seams between valleys in a stroke's outline: two digits that touch often have one above and one below."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.strokes import mask_of

# In heights of the writing.
_WIDTH, _MIN_DEPTH = 0.7, 0.12  # of a valley
_APART = 0.12  # between two valleys on one side
_MAX_SHIFT = 0.25  # between the valleys above and below


def valley_seams(ink: NDArray[np.uint8], height: float) -> NDArray[np.int64]:
    """Return the columns of straight seams between opposite valleys of a stroke, shape (H, m), from left to right.

    Examples
    --------
    >>> ink = np.zeros((20, 14), np.uint8)
    >>> ink[:, [0, 1, 12, 13]] = 255
    >>> ink[9:11] = 255  # an H
    >>> columns = valley_seams(ink, 20.0)
    >>> bool(columns.size), bool(((columns > 1) & (columns < 13)).all())
    (True, True)
    """
    mask = mask_of(ink)
    above, top = _valleys(mask, height)
    below, bottom = _valleys(mask[::-1], height)
    if not len(above) or not len(below):
        return np.empty((len(ink), 0), np.int64)
    nearest = np.abs(below - above[:, np.newaxis]).argmin(axis=1)
    is_near = np.abs(below[nearest] - above) <= _MAX_SHIFT * height
    above, top, below, bottom = above[is_near], top[is_near], below[nearest[is_near]], bottom[nearest[is_near]]
    fraction = (np.arange(len(ink))[:, np.newaxis] - top) / np.maximum(len(ink) - 1 - bottom - top, 1)
    return np.asarray(np.rint(above + fraction.clip(0, 1) * (below - above)), np.int64)


def _valleys(mask: NDArray[np.uint8], height: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns and rows of the deepest points of the valleys in the upper outline of a stroke."""
    outline = mask.argmax(axis=0)[np.newaxis].astype(np.float32)
    margin, near = max(1, round(_WIDTH * height)), round(_APART * height)
    padded = cv2.copyMakeBorder(outline, 0, 0, margin, margin, cv2.BORDER_REPLICATE)
    depth = cv2.morphologyEx(padded, cv2.MORPH_TOPHAT, _row(margin))[:, margin:-margin]
    columns = np.flatnonzero((depth >= cv2.dilate(depth, _row(2 * near))) & (depth > _MIN_DEPTH * height))
    return columns, outline[0, columns].astype(np.int64)


def _row(length: int) -> NDArray[np.uint8]:
    return np.ones((1, length | 1), np.uint8)
