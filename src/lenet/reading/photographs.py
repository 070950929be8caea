"""Find photographs on a background of one colour: on a slide or a screen, or turned in a scan."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.ink import coarsened, continued, enlarged, with_outside

_MIN_SIDE = 32  # pixels of the picture
_CORNER, _FLAT = 5, 2  # pixels; the range of levels in a corner of the background, as even blank paper has noise
_ONE_COLOUR, _STEP = 16, 24  # levels: the limit within the background, and the step at the edges of photographs
_MIN_FLAT = 0.75  # of the background; smooth parts of photographs have gradients
_MIN_AREA, _MIN_PART = 0.1, 0.02  # of the picture: of all photographs together, and of each
_MAX_HOLES = 0.1  # of its convex hull, with the levels of the background; digits have more around and in their strokes
_MIN_GRAIN = 0.15  # the fraction of neighbouring pixels that differ: ink and drawings have few colours
_EDGE = 5  # pixels of the coarse picture: a square that covers those that mix the colours of background and photograph
_MIN_SHARP = 0.7  # of the edges; those of shadows are softer


def cropped_to_photographs(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Crop a picture to the photographs on its background; return it with the left and top of what remains.

    The background has no noise, so that the grain of the photographs would count as ink. Between and around them, their
    nearest levels replace it and what else is on it, such as a title. Other pictures are returned unchanged.

    Examples
    --------
    >>> slide = np.full((100, 100), 255, np.uint8)
    >>> slide[20:80, 30:90] = np.linspace(120, 200, 60)
    >>> photograph, corner = cropped_to_photographs(slide)
    >>> photograph.shape, corner
    ((56, 56), (32, 22))
    """
    if min(grey.shape) < _MIN_SIDE:
        return grey, (0, 0)
    coarse = coarsened(grey)
    background = _background(grey, coarse)
    inside = _photographs(grey, coarse, background) if background.any() else background
    if not inside.any():
        return grey, (0, 0)
    left, top, width, height = cv2.boundingRect(enlarged(inside, grey.shape))
    grey = with_outside(grey, continued(coarse, inside), inside)
    return np.ascontiguousarray(grey[top : top + height, left : left + width]), (left, top)


def _background(grey: NDArray[np.uint8], coarse: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of the coarse picture that have the colour of a flat corner and are connected with it."""
    background = np.zeros(coarse.shape, bool)
    bottom, right = np.subtract(coarse.shape, 1).tolist()
    flags = 4 | 1 << 8 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    for y, rows in ((0, np.s_[:_CORNER]), (bottom, np.s_[-_CORNER:])):
        for x, columns in ((0, np.s_[:_CORNER]), (right, np.s_[-_CORNER:])):
            if np.ptp(grey[rows, columns]) <= _FLAT:
                filled = np.zeros(np.add(coarse.shape, 2), np.uint8)  # OpenCV needs a margin of one pixel
                cv2.floodFill(coarse.copy(), filled, (x, y), 0, _ONE_COLOUR, _ONE_COLOUR, flags)
                region = filled[1:-1, 1:-1] > 0
                if (cv2.absdiff(coarse[region], float(coarse[y, x])) <= _FLAT).mean() >= _MIN_FLAT:
                    background |= region
    return background


def _photographs(
    grey: NDArray[np.uint8], coarse: NDArray[np.uint8], background: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the pixels of the coarse picture that are inside photographs; all False if there are none."""
    outlines, _ = cv2.findContours((~background).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    nearest = continued(coarse, background)
    is_background = cv2.absdiff(coarse, nearest) <= _ONE_COLOUR
    found = np.zeros(background.shape, bool)
    for hull in map(cv2.convexHull, outlines):
        if cv2.contourArea(hull) >= _MIN_PART * background.size:
            filled = cv2.drawContours(np.zeros(background.shape, np.uint8), [hull], 0, 1, cv2.FILLED) > 0
            if is_background[filled].mean() <= _MAX_HOLES:
                found |= filled
    inside = _eroded(found & ~background)
    rim = inside & ~_eroded(inside)
    is_photograph = (
        rim.any()
        and found.mean() >= _MIN_AREA
        and _has_edge(coarse[rim], nearest[rim])
        and _grain(grey, inside) >= _MIN_GRAIN
    )
    return inside if is_photograph else np.zeros_like(inside)


def _has_edge(rim: NDArray[np.uint8], background: NDArray[np.uint8]) -> bool:
    """Return whether nearly all levels along the rim differ from the nearest background."""
    return bool((cv2.absdiff(rim, background) > _STEP).mean() >= _MIN_SHARP)


def _grain(grey: NDArray[np.uint8], inside: NDArray[np.bool_]) -> float:
    """Return the fraction of pixels inside that differ from the next one."""
    return float(np.not_equal(grey[:, 1:], grey[:, :-1])[enlarged(inside, grey.shape)[:, 1:] > 0].mean())


def _eroded(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    square = np.ones((_EDGE, _EDGE), np.uint8)
    eroded = cv2.erode(region.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(eroded > 0)
