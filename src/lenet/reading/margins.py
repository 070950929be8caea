"""Crop the margins of one colour around a photograph, such as those of a slide or a screen."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.sheet import levels_of

_ONE_COLOUR, _OTHER_COLOUR = 8, 16  # levels: differences within a margin; the step at its edge
_MIN_SIDE = 32  # pixels of the photograph
_STRIP = 0.03  # sides of the photograph: the width of a strip along its edge
_MIN_OTHER = 0.8  # the fraction of the strip that differs from the margin
_SOFT = 2  # pixels between margin and photograph, which mix their colours
_MIN_CONTRAST = 24  # levels in the photograph: a block of one colour is ink


def without_margins(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return a picture without margins of one colour, and the left and top of what remains.

    Blank paper is not a margin: what a margin surrounds has other colours all along its edge.

    Examples
    --------
    >>> slide = np.full((100, 100), 255, np.uint8)
    >>> slide[20:80, 30:90] = np.linspace(120, 200, 60)
    >>> photograph, corner = without_margins(slide)
    >>> photograph.shape, corner
    ((56, 56), (32, 22))
    """
    left, top = 0, 0
    for corner in ((0, 0), (-1, -1)):  # margins at opposite sides may have different colours
        difference = cv2.absdiff(grey, int(grey[corner]))
        x, y, width, height = cv2.boundingRect(cv2.compare(difference, _ONE_COLOUR, cv2.CMP_GT))
        inside = slice(y + _SOFT, y + height - _SOFT), slice(x + _SOFT, x + width - _SOFT)
        if (height, width) != grey.shape and _is_photograph(difference[inside]):
            grey, left, top = np.ascontiguousarray(grey[inside]), left + x + _SOFT, top + y + _SOFT
    return grey, (left, top)


def _is_photograph(difference: NDArray[np.uint8]) -> bool:
    """Return whether a part of a picture differs from the margin along its whole edge, and is not of one colour."""
    if min(difference.shape) < _MIN_SIDE:
        return False
    strip = max(3, round(_STRIP * min(difference.shape)))
    is_other = difference > _OTHER_COLOUR
    core = is_other[strip:-strip, strip:-strip]
    num_other = np.count_nonzero(is_other) - np.count_nonzero(core)
    least, most = levels_of(difference)
    return bool(num_other >= _MIN_OTHER * (is_other.size - core.size) and most - least >= _MIN_CONTRAST)
