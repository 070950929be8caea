"""Find photographs on a ground of one colour: on a slide or a screen, or turned in a scan."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.ink import coarsened, continued, enlarged, with_outside

_MIN_SIDE = 32  # pixels of the picture
_CORNER, _FLAT = 5, 2  # pixels; the range of levels in a corner of the ground, as even blank paper has noise
_ONE_COLOUR, _STEP = 16, 24  # levels: the limit within the ground, and the step at the edges of photographs
_MIN_FLAT = 0.75  # of the ground; smooth parts of photographs have gradients
_MIN_AREA = 0.1  # of the picture: that of all photographs
# Photographs are rectangles, and digits are not, or narrower: fractions of the hull's smallest rectangle, and of the
# shorter side of the picture.
_MIN_RECTANGLE, _MIN_SHORTER = 0.9, 0.2
_MAX_HOLES = 0.1  # of the convex hulls of photographs: paper of the ground's colour leaves holes
_MIN_GRAIN = 0.15  # the fraction of neighbouring pixels that differ: ink and drawings have few colours
_EDGE = 5  # pixels of the coarse picture: a square that covers those that mix the colours of ground and photograph
_MIN_SHARP = 0.7  # of the edges; those of shadows are softer


def cropped_to_photographs(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Crop a picture to the photographs on its ground; return it with the left and top of what remains.

    The ground has no noise, so that the grain of the photographs would count as ink. Between and around them, their
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
    ground = _ground(grey, coarse)
    inside = _photographs(grey, coarse, ground) if ground.any() else ground
    if not inside.any():
        return grey, (0, 0)
    left, top, width, height = cv2.boundingRect(enlarged(inside, grey.shape))
    grey = with_outside(grey, continued(coarse, inside), inside)
    return np.ascontiguousarray(grey[top : top + height, left : left + width]), (left, top)


def _ground(grey: NDArray[np.uint8], coarse: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of the coarse picture that have the colour of a flat corner and are connected with it."""
    ground = np.zeros(coarse.shape, bool)
    bottom, right = np.subtract(coarse.shape, 1).tolist()
    flags = 4 | 1 << 8 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    for y, rows in ((0, np.s_[:_CORNER]), (bottom, np.s_[-_CORNER:])):
        for x, columns in ((0, np.s_[:_CORNER]), (right, np.s_[-_CORNER:])):
            if np.ptp(grey[rows, columns]) <= _FLAT:
                filled = np.zeros(np.add(coarse.shape, 2), np.uint8)  # OpenCV needs a margin of one pixel
                cv2.floodFill(coarse.copy(), filled, (x, y), 0, _ONE_COLOUR, _ONE_COLOUR, flags)
                region = filled[1:-1, 1:-1] > 0
                if (cv2.absdiff(coarse[region], float(coarse[y, x])) <= _FLAT).mean() >= _MIN_FLAT:
                    ground |= region
    return ground


def _photographs(grey: NDArray[np.uint8], coarse: NDArray[np.uint8], ground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of the coarse picture that are inside of photographs; all False if there are none."""
    outlines, _ = cv2.findContours((~ground).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hulls = [hull for hull in map(cv2.convexHull, outlines) if _has_shape_of_photograph(hull, ground.shape)]
    found = cv2.drawContours(np.zeros(ground.shape, np.uint8), hulls, -1, 1, cv2.FILLED)
    inside = _eroded(found > ground)
    rim = inside > _eroded(inside)
    is_photograph = (
        rim.any()
        and found.mean() >= _MIN_AREA
        and ground[found > 0].mean() <= _MAX_HOLES
        and _has_edge(coarse[rim], continued(coarse, ground)[rim])
        and _grain(grey, inside) >= _MIN_GRAIN
    )
    return inside if is_photograph else np.zeros_like(inside)


def _has_shape_of_photograph(hull: NDArray[np.int32], shape: tuple[int, ...]) -> bool:
    _, sides, _ = cv2.minAreaRect(hull)
    is_rectangle = cv2.contourArea(hull) >= _MIN_RECTANGLE * sides[0] * sides[1]
    return bool(is_rectangle and min(sides) >= _MIN_SHORTER * min(shape))


def _has_edge(rim: NDArray[np.uint8], ground: NDArray[np.uint8]) -> bool:
    """Return whether nearly all levels along the rim differ from the nearest ground."""
    return bool((cv2.absdiff(rim, ground) > _STEP).mean() >= _MIN_SHARP)


def _grain(grey: NDArray[np.uint8], inside: NDArray[np.bool_]) -> float:
    """Return the fraction of pixels inside that differ from the next one."""
    return float(np.not_equal(grey[:, 1:], grey[:, :-1])[enlarged(inside, grey.shape)[:, 1:] > 0].mean())


def _eroded(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    square = np.ones((_EDGE, _EDGE), np.uint8)
    eroded = cv2.erode(region.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(eroded > 0)
