"""Find the lines of a grid that are too faint or too broken to enclose its cells."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.cells import Outline, slant_of
from lenet.reading.rules import sheared
from lenet.reading.strokes import Mask

_LINE_LENGTH = 0.8  # sides of a cell
_FAINT, _STRONG = 3, 24  # levels: the minimum excess of a faint line over the noise; the limit of ridges in the noise
_UNBROKEN = 0.75  # the fraction of a faint line's pixels that are dark
_SLOPES = np.linspace(-0.09, 0.09, 7)  # relative to the sides of the grid, which may be seen in perspective


def faint_lines_between(darkness: NDArray[np.uint8], cells: list[Outline]) -> Mask:
    """Return the horizontal and vertical lines between cells, even if too faint or broken to enclose the cells."""
    sides = np.array([cv2.boundingRect(cell)[2:] for cell in cells])
    width, height = np.median(sides, axis=0)
    slopes = np.tan(np.radians(slant_of(cells))) + _SLOPES
    across = _faint_lines(np.ascontiguousarray(darkness.T), width, height, slopes).T
    return across | _faint_lines(darkness, height, width, -slopes)


def _faint_lines(columns: NDArray[np.uint8], width: float, height: float, slopes: NDArray[np.float64]) -> Mask:
    """Return the pixels of faint horizontal lines: most of a line's pixels are a little darker than those around it.

    The image and the result are transposed, because shearing along columns takes less time.
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
