"""Find the lines of a grid that are too faint or too broken to enclose its cells."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.rules import Mask, sheared

_LINE_LENGTH = 0.8  # sides of a cell
_FAINT, _STRONG = 3, 24  # of 255: how much darker than the noise a faint line is; what is clearly more than noise
_UNBROKEN = 0.75  # of a faint line, the fraction of its pixels that are dark
_SLOPES = np.linspace(-0.09, 0.09, 7)  # around those of the grid's sides, in perspective


def faint_lines_between(darkness: NDArray[np.uint8], cells: list[NDArray[np.int32]]) -> Mask:
    """Return the lines across and down between cells, which may be too faint or too broken to enclose them."""
    sides = np.array([cv2.boundingRect(cell)[2:] for cell in cells])
    width, height = np.median(sides, axis=0)
    _, _, angle = cv2.minAreaRect(np.concatenate(cells))
    slopes = np.tan(np.radians((angle + 45) % 90 - 45)) + _SLOPES
    across = _faint_lines(np.ascontiguousarray(darkness.T), width, height, slopes).T
    return across | _faint_lines(darkness, height, width, -slopes)


def _faint_lines(columns: NDArray[np.uint8], width: float, height: float, slopes: NDArray[np.float64]) -> Mask:
    """Return the pixels of lines across an image, most of which are a little darker than those above and below.

    The image and the pixels are given as columns, in which it takes less time to shear.
    """
    length = round(_LINE_LENGTH * width)
    ridges = cv2.morphologyEx(columns, cv2.MORPH_TOPHAT, np.ones((1, round(height / 4) | 1), np.uint8))
    noise = cv2.blur(cv2.min(ridges, _STRONG), (round(height), round(width)))
    above = (cv2.subtract(ridges, 2 * noise) > _FAINT).view(np.uint8)
    lines = np.zeros_like(columns)
    for slope in slopes:
        level = cv2.dilate(sheared(above, slope), np.ones((1, 3), np.uint8))
        middles = (cv2.blur(255 * level, (1, length)) >= 255 * _UNBROKEN).view(np.uint8)
        lines |= sheared(cv2.dilate(middles, np.ones((length // 2 | 1, 1), np.uint8)), -slope)
    return lines
