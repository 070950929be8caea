"""Ink put into the form of MNIST's images: within 20x20, of a usual pen, its centre of mass in the middle of 28x28."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import require

MIDDLE = 14.0  # the row and column where the centre of mass of MNIST's images lies, within 0.3
BOX = 20  # MNIST fits each digit into a box of 20x20, keeping its aspect
_FINE = 4  # pens are measured and changed on a grid so much finer
_PENS = (1.8, 3.5)  # widths, in pixels of MNIST, that are left alone: those of nearly all its digits
_NO_PEN = 7.0  # a width from which on it is no stroke, but a blot, and stays one


def mnist_form(ink: NDArray[np.uint8], *, pen: bool = True) -> NDArray[np.uint8]:
    """Return ink, cropped to its extent already, in the form of MNIST's images.

    Parameters
    ----------
    ink : ndarray of uint8, shape (H, W)
        0 background to 255 ink.
    pen : bool, default True
        Whether thin strokes are thickened and thick ones thinned to the least and the greatest width that is usual.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
    """
    cv2: Any = require("cv2", "vision")
    longer = max(ink.shape)
    if pen:
        fine = _resized(cv2, ink, _FINE * BOX / longer) if longer > _FINE * BOX else ink
        fine = _with_usual_pen(cv2, fine, max(fine.shape) / BOX)
    else:
        fine = ink
    digit = _resized(cv2, fine, BOX / max(fine.shape))
    return _centred(cv2, np.asarray(cv2.convertScaleAbs(digit, alpha=255 / max(1, int(digit.max()))), np.uint8))


def cropped(ink: NDArray[np.uint8], least: int = 1) -> NDArray[np.uint8]:
    """Return the part of an image that holds its ink; a pixel where there is none."""
    rows, columns = np.flatnonzero(ink.max(axis=1) >= least), np.flatnonzero(ink.max(axis=0) >= least)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else ink[:1, :1]


def pen_width(ink: NDArray[np.uint8]) -> float:
    """Return the mean width of strokes, in pixels: twice their area over the length of their edges.

    Examples
    --------
    >>> ink = np.zeros((40, 40), np.uint8)
    >>> ink[5:35, 10:14] = 255
    >>> round(pen_width(ink), 1)  # of a line 4 wide; slanted ones count a little less
    4.5
    """
    padded = np.pad(ink, 1).astype(np.int16)
    across, down = np.abs(np.diff(padded, axis=1)).sum(), np.abs(np.diff(padded, axis=0)).sum()
    # A slanted edge is counted by both, by a factor of 4/pi more than its length on the average over directions.
    edges = (float(across) + float(down)) * np.pi / 4
    return 2 * float(ink.sum()) / max(edges, 1.0)


def _with_usual_pen(cv2: Any, ink: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return ink with strokes at least and at most as wide as usual, `scale` pixels being one of MNIST's."""
    width = pen_width(ink) / scale
    change = np.clip(width, *_PENS) - width if width < _NO_PEN else 0.0
    size = round(abs(change) * scale)
    if not size:
        return ink
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size + 1, size + 1))
    if change < 0:
        return np.asarray(cv2.erode(ink, brush), np.uint8)
    return np.asarray(cv2.dilate(cv2.copyMakeBorder(ink, *[(size + 1) // 2] * 4, cv2.BORDER_CONSTANT), brush), np.uint8)


def _resized(cv2: Any, ink: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    size = tuple(max(1, round(length * scale)) for length in reversed(ink.shape))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR  # the first averages, so that thin strokes stay
    return np.asarray(cv2.resize(ink, size, interpolation=method), np.uint8)


def _centred(cv2: Any, digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 28x28 pixels with the digit's centre of mass as near the middle as it fits."""
    moments = cv2.moments(digit)
    mass = moments["m00"] or 1.0
    place = []
    for moment, length in (("m01", digit.shape[0]), ("m10", digit.shape[1])):
        place.append(min(max(round(MIDDLE - moments[moment] / mass), 0), SIDE - length))
    out = np.zeros((SIDE, SIDE), np.uint8)
    top, left = place
    out[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return out
