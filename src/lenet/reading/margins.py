"""Crop the margins of one colour around a photograph, such as those of a slide or a screen."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2

_CORNER, _FLAT = 5, 2  # pixels; the range of levels in the corner of a margin, as even blank paper has noise
_ONE_COLOUR, _STEP = 16, 20  # levels: the limit within a margin, and the step at its edge
_FEW = 0.02  # the fraction of other pixels in a row or column of a margin, such as dust
_MIN_MARGIN = 0.03  # longer sides of the picture: of the widest margin
_MIN_SIDE = 32  # pixels of the photograph
_STRIP = 0.03  # shorter sides of the photograph: the width of a strip along its edge
_MIN_OTHER = 0.8  # the fraction of the strip that differs from the margin
_MIN_GRAIN = 0.15  # the fraction of neighbouring pixels in the strip that differ: ink and drawings have one colour
_SOFT = 2  # pixels along the edge, which mix the colours of margin and photograph


def without_margins(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return a picture without margins of one colour, and the left and top of what remains.

    Blank paper is not a margin: what a margin surrounds has other colours all along its edge, and grain.

    Examples
    --------
    >>> slide = np.full((100, 100), 255, np.uint8)
    >>> slide[20:80, 30:90] = np.linspace(120, 200, 60)
    >>> photograph, corner = without_margins(slide)
    >>> photograph.shape, corner
    ((56, 56), (32, 22))
    """
    left, top = 0, 0
    if min(grey.shape) < _MIN_SIDE:
        return grey, (left, top)
    for corner in (grey[:_CORNER, :_CORNER], grey[-_CORNER:, -_CORNER:]):  # opposite margins may have other colours
        if np.ptp(corner) > _FLAT:
            continue
        difference = cv2.absdiff(grey, float(np.median(corner)))
        rows, columns = _inside(difference, axis=1), _inside(difference, axis=0)
        outside = rows.start, columns.start, grey.shape[0] - rows.stop, grey.shape[1] - columns.stop
        if max(outside) >= _MIN_MARGIN * max(grey.shape) and _is_photograph(difference[rows, columns]):
            inside = grey[rows, columns][_SOFT:-_SOFT, _SOFT:-_SOFT]
            grey, left, top = np.ascontiguousarray(inside), left + columns.start + _SOFT, top + rows.start + _SOFT
    return grey, (left, top)


def _inside(difference: NDArray[np.uint8], axis: int) -> slice:
    """Return the rows, or columns, from the first to the last that has more than a few pixels of other colours."""
    are_other = np.greater(difference, _ONE_COLOUR).view(np.uint8)
    places = np.flatnonzero(cv2.reduce(are_other, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F) > _FEW)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _is_photograph(difference: NDArray[np.uint8]) -> bool:
    """Return whether a part of a picture differs from the margin along its whole edge, and has grain there."""
    if min(difference.shape) < _MIN_SIDE:
        return False
    width = max(3, round(_STRIP * min(difference.shape)))
    sides = difference[:width], difference[-width:], difference[:, :width].T, difference[:, -width:].T
    if np.mean(np.concatenate([side.ravel() for side in sides]) > _STEP) < _MIN_OTHER:
        return False
    return bool(np.mean(np.concatenate([np.diff(side).ravel() != 0 for side in sides])) >= _MIN_GRAIN)
