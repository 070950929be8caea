"""Find photographs on a background of one colour: on a slide or a screen, or turned in a scan."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import square
from lenet.reading.coarse import coarsened, continued, enlarged, with_outside

_ONE_COLOUR = 16  # levels: the largest difference between the background and its corner
_FLAT, _MIN_FLAT = 2, 0.75  # levels; the fraction of the background that differs by no more from its corner
_MIN_AREA, _MIN_TOTAL = 0.02, 0.1  # of the picture: of the background and of each photograph; of all photographs
_MAX_HOLES = 0.1  # of its convex hull, with the levels of the background; digits have more around and in their strokes
_MIN_GRAIN = 0.15  # the fraction of neighbouring pixels that differ: ink and drawings have few colours
_EDGE = 5  # pixels of the coarse picture: a square that covers those that mix the colours of background and photograph


def cropped_to_photographs(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
    """Return the photographs in a picture, with the left and top of their box; None if it has no plain background.

    Beside a background without noise, the grain of photographs would count as ink. Therefore, their nearest levels
    replace everything between and around them, including titles.

    Examples
    --------
    >>> slide = np.full((100, 100), 255, np.uint8)
    >>> slide[20:80, 30:90] = np.linspace(120, 200, 60)
    >>> photograph, corner = cropped_to_photographs(slide)
    >>> photograph.shape, corner
    ((56, 56), (32, 22))
    """
    coarse = coarsened(grey)
    background = _background(coarse)
    if background.mean() < _MIN_AREA:
        return None
    inside = _inside_photographs(coarse, background)
    if inside.mean() < _MIN_TOTAL:
        return None
    differs = np.not_equal(coarse[:, 1:], coarse[:, :-1])[inside[:, 1:]]
    if differs.mean() <= _MIN_GRAIN:
        return None
    left, top, width, height = cv2.boundingRect(enlarged(inside, grey.shape))
    grey = with_outside(grey, continued(coarse, inside), inside)
    return grey[top : top + height, left : left + width], (left, top)


def _background(coarse: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels that have the colour of a corner of the picture and are connected with it.

    Most of them must have the same level, because the corner of a photograph may be smooth, but has gradients.
    """
    background = np.zeros(coarse.shape, bool)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        difference = np.abs(coarse - np.int16(coarse[corner]))
        _, labels = cv2.connectedComponents((difference <= _ONE_COLOUR).view(np.uint8))
        region = labels == labels[corner]
        if (difference[region] <= _FLAT).mean() >= _MIN_FLAT:
            background |= region
    return background


def _inside_photographs(coarse: NDArray[np.uint8], background: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels inside large convex regions without holes, as photographs are, even if they are tilted.

    Those along the edges are left out, because they mix two colours and would resemble ink.
    """
    outlines, _ = cv2.findContours((~background).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    is_background = cv2.absdiff(coarse, continued(coarse, background)) <= _ONE_COLOUR
    found = np.zeros(background.shape, bool)
    for hull in map(cv2.convexHull, outlines):
        if cv2.contourArea(hull) >= _MIN_AREA * background.size:
            filled = cv2.drawContours(np.zeros(background.shape, np.uint8), [hull], 0, 1, cv2.FILLED) > 0
            if is_background[filled].mean() <= _MAX_HOLES:
                found |= filled
    photographs = (found & ~background).view(np.uint8)
    return np.asarray(cv2.erode(photographs, square(_EDGE), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)
