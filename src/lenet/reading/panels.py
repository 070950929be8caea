"""Find dark panels with light writing, such as buttons, labels and house numbers, and invert them."""

import math
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import square
from lenet.reading.coarse import continued, enlarged, without_ink

_MIN_SIDE = 24  # pixels of the coarse picture
_MAX_AREA = 0.9  # of the picture
# A panel is a rectangle, possibly in perspective or with round corners, or a disc: the minimum area over that of the
# smallest rectangle and circle around it. Bold digits fill less of both.
_RECTANGULAR, _CIRCULAR = 0.93, 0.92
_ALIKE = 0.1  # sides of a certain panel: panels that differ by less may have any writing, such as a 1
_MIN_WRITING, _MAX_WRITING = 0.01, 0.2  # the fraction of a panel that is light: strokes with holes have more
# A light stroke has a minimum height, in pixels, and a maximum area over that of its convex hull: holes are convex.
_MIN_HEIGHT, _MAX_CONVEXITY = 5, 0.9
# A white box around dark writing is not convex, either. Of the hull of a stroke that is a rectangle, such as the border
# of a panel, less is light; and less than a fraction of any is darker than the panel by a number of levels.
_MAX_OF_RECTANGLE, _MAX_DARKER, _DARKER = 0.5, 0.05, 24
_RIM = square(3)


def find_panels(coarse: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the mask of the dark panels in a coarse picture, or None if there are none.

    A panel is a dark rectangle or disc, not the whole picture, a small part of which is light strokes. Others of its
    size are panels, too, whatever their writing.

    Examples
    --------
    >>> coarse = np.full((100, 100), 240, np.uint8)
    >>> coarse[20:80, 20:80] = 60
    >>> find_panels(coarse)
    >>> coarse[35:65, 40:44] = coarse[61:65, 40:60] = 240  # an L
    >>> int(find_panels(coarse).sum())
    3600
    """
    _, dark = cv2.threshold(coarse, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [outline for outline in outlines if _may_be_panel(outline, coarse.size)]
    certain = np.array([_is_written(outline, coarse, dark) for outline in outlines], bool)
    if not certain.any():
        return None
    sizes = np.array([cv2.boundingRect(outline)[2:] for outline in outlines])
    are_alike = (np.abs(sizes[:, np.newaxis] - sizes[certain]) <= _ALIKE * sizes[certain]).all(axis=2).any(axis=1)
    panels = np.zeros(coarse.shape, np.uint8)
    return np.asarray(cv2.drawContours(panels, list(compress(outlines, are_alike)), -1, 1, cv2.FILLED), np.uint8)


def with_inverted(
    grey: NDArray[np.uint8], coarse: NDArray[np.uint8], panels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a picture and its coarse version with dark writing on light paper in place of the panels.

    Examples
    --------
    >>> grey = np.full((100, 100), 240, np.uint8)
    >>> grey[20:80, 20:80] = 60
    >>> grey[35:65, 40:44] = 200
    >>> inverted, _ = with_inverted(grey, grey, (grey < 240).astype(np.uint8))
    >>> int(inverted[30, 30]), int(inverted[50, 42])  # 68 is 240 * (255 - 200) / (255 - 60)
    (240, 68)
    """
    inside, outside = cv2.erode(panels, _RIM) == 1, cv2.dilate(panels, _RIM) == 0
    around = continued(without_ink(coarse, outside), outside)
    gain = np.asarray(cv2.divide(around, without_ink(255 - coarse, inside), dtype=cv2.CV_32F), np.float32)

    def inverted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image with inverted panels; their edges get the level around them."""
        size = image.shape[::-1]
        negative = cv2.multiply(255 - image, cv2.resize(gain, size), dtype=cv2.CV_8U)
        result = np.where(enlarged(inside, image.shape), negative, cv2.resize(around, size))
        return np.where(enlarged(outside, image.shape), image, result).astype(np.uint8)

    return inverted(grey), inverted(coarse)


def _may_be_panel(outline: NDArray[np.int32], size: int) -> bool:
    """Return whether an outline is that of a rectangle or a disc of a suitable size."""
    sides, area = cv2.boundingRect(outline)[2:], cv2.contourArea(outline)
    if min(sides) < _MIN_SIDE or area > _MAX_AREA * size:
        return False
    return bool(_is_rectangle(outline) or area >= _CIRCULAR * math.pi * cv2.minEnclosingCircle(outline)[1] ** 2)


def _is_rectangle(outline: NDArray[np.int32]) -> bool:
    return bool(cv2.contourArea(outline) >= _RECTANGULAR * math.prod(cv2.minAreaRect(outline)[1]))


def _is_written(outline: NDArray[np.int32], coarse: NDArray[np.uint8], dark: NDArray[np.uint8]) -> bool:
    """Return whether a small part of a panel is light, and has strokes rather than holes."""
    panel = cv2.drawContours(np.zeros_like(dark), [outline], -1, 1, cv2.FILLED)
    light, levels = panel & (1 - dark), coarse[panel == 1]
    if not _MIN_WRITING <= light.sum() / len(levels) <= _MAX_WRITING:
        return False
    outlines, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    darker = (coarse < np.median(levels) - _DARKER).view(np.uint8)
    return any(_is_stroke(outline, light, darker) for outline in outlines)


def _is_stroke(outline: NDArray[np.int32], light: NDArray[np.uint8], darker: NDArray[np.uint8]) -> bool:
    """Return whether a light part of a panel is writing: high enough, not convex, and no box around dark writing."""
    left, top, width, height = cv2.boundingRect(outline)
    if height < _MIN_HEIGHT:
        return False
    window = np.s_[top : top + height, left : left + width]
    hull = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), cv2.convexHull(outline) - np.array([left, top]), 1)
    area, light_area, darker_area = (float((hull & mask).sum()) for mask in (hull, light[window], darker[window]))
    largest = _MAX_OF_RECTANGLE if _is_rectangle(outline) else _MAX_CONVEXITY
    return light_area < largest * area and darker_area < _MAX_DARKER * area
