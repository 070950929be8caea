"""Find a light sheet of paper on a darker ground."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2

_MIN_SIDE = 100  # pixels of the picture
# Fractions of the picture's area.
_MIN_AREA, _MAX_AREA = 0.12, 0.95
# Fractions of the sheet's outline. The outline of a shadow runs along the picture's border more than that of a sheet.
_MAX_AT_BORDER = 0.4
_CORNER = 0.035
_MAX_CORNERS = 5  # one of the four may be cut off by the picture's border
_MIN_CONVEXITY = 0.93  # area over that of the convex hull
_MAX_AROUND = 0.6  # level around the sheet, as a fraction of the sheet's level
_MIN_STEP = 0.6  # fraction of the difference in level that occurs near the edge: shadows have softer edges
_INK = 0.7  # level of ink, as a fraction of the level around it
_MIN_INK, _MAX_INK = 3, 0.25  # on the sheet: pixels, and a fraction of its area
# Fractions of the ink, of the outline and of the sheet's level: if all are exceeded, the "sheet" may be the lit part of
# a page. The grain of a table looks like ink, too, but paper in a shadow is seldom this dark: 0.35 of the level is a
# tenth of the light.
_MAX_INK_OUTSIDE, _MIN_AT_BORDER, _MIN_SHADOW = 0.5, 0.05, 0.35
_EDGE = 4  # pixels of the coarse picture around the sheet's outline that contain its shadow


def find_sheet(coarse: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return the pixels of a written sheet, or None if there is none or paper fills the picture.

    A sheet is a light region with four corners and something dark on it. A light digit on a dark ground is not a sheet.
    The picture is coarse: a few hundred pixels a side.
    """
    if min(coarse.shape) < _MIN_SIDE:
        return None
    if border_of(coarse).min() > _MAX_AROUND * coarse.max():  # there is no dark ground
        return None
    outline = next((each for each in _outlines_of_light(coarse) if _may_be_sheet(each, coarse.shape)), None)
    if outline is None:
        return None
    sheet = cv2.drawContours(np.zeros_like(coarse), [outline], 0, 1, cv2.FILLED)
    kernel = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    inside, outside = cv2.erode(sheet, kernel) == 1, cv2.dilate(sheet, kernel) == 0
    if not _stands_out(coarse, sheet == 1, inside, outside):
        return None
    written = _ink(coarse, inside)
    if not _MIN_INK <= written <= _MAX_INK * inside.sum():
        return None
    has_ink_outside = _ink(coarse, outside) > _MAX_INK_OUTSIDE * written
    is_lit_part = (
        has_ink_outside and _at_border(outline, sheet.shape) >= _MIN_AT_BORDER and _is_shadow(coarse, sheet == 0)
    )
    return None if is_lit_part else np.asarray(inside)


def _is_shadow(coarse: NDArray[np.uint8], ground: NDArray[np.bool_]) -> bool:
    """Return whether a ground may be paper in a shadow."""
    return bool(np.median(coarse[ground]) > _MIN_SHADOW * np.median(coarse[~ground]))


def border_of(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels along the border of a picture."""
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def levels_of(grey: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the darkest and the lightest level of a picture."""
    darkest, lightest, *_ = cv2.minMaxLoc(grey)
    return int(darkest), int(lightest)


def corners_of(sheet: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the corners of a sheet, shape (4, 2): x and y, clockwise from the upper left.

    Examples
    --------
    >>> sheet = np.zeros((90, 90), bool)
    >>> sheet[20:61, 10:71] = True  # with the rim of 4 pixels that `find_sheet` leaves out, from (6, 16) to (74, 64)
    >>> corners_of(sheet).round().tolist()
    [[6.0, 16.0], [74.0, 16.0], [74.0, 64.0], [6.0, 64.0]]
    """
    whole = cv2.dilate(sheet.astype(np.uint8), np.ones((2 * _EDGE + 1,) * 2, np.uint8))
    outlines, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)
    hull = cv2.convexHull(outline)
    corners = _simplified(hull)[:, 0].astype(np.float64)
    if len(corners) != 4:
        corners = cv2.boxPoints(cv2.minAreaRect(hull)).astype(np.float64)
    angles = np.arctan2(*(corners - corners.mean(axis=0)).T[::-1])
    corners = corners[np.argsort(angles)]  # clockwise, as y points down
    corners = np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)
    sides = [_side(outline[:, 0], corners[n - 1], corners[n]) for n in range(4)]
    crossings = np.array([np.cross(sides[n], sides[(n + 1) % 4]) for n in range(4)])
    points: NDArray[np.float64] = crossings[:, :2] / crossings[:, 2:]
    return points


def _side(outline: NDArray[np.int32], start: NDArray[np.float64], stop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the line through the middle of a side as (a, b, c), with a * x + b * y + c = 0."""
    length = np.linalg.norm(stop - start)
    direction = (stop - start) / length
    along, across = ((outline - start) @ np.array([direction, [-direction[1], direction[0]]]).T).T
    middle = outline[(along > length / 8) & (along < 7 * length / 8) & (np.abs(across) < _EDGE)]
    if len(middle) >= _EDGE:
        dx, dy, x, y = cv2.fitLine(middle, cv2.DIST_HUBER, 0, 0.01, 0.01)[:, 0]
        start, direction = np.array([x, y]), np.array([dx, dy])
    normal = np.array([-direction[1], direction[0]])
    return np.array([*normal, -normal @ start])


def _outlines_of_light(coarse: NDArray[np.uint8]) -> Iterator[NDArray[np.int32]]:
    """Yield the outline of the largest light region, shape (n, 1, 2), with objects near it, and then without them."""
    _, light = cv2.threshold(cv2.medianBlur(coarse, 5), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    margin = max(3, min(coarse.shape) // 12) | 1  # odd: OpenCV would shift the region by a pixel
    padded = cv2.copyMakeBorder(light, *[margin] * 4, cv2.BORDER_REPLICATE)
    region = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((margin, margin), np.uint8))
    for size in (1, 2 * margin + 1):
        region = cv2.morphologyEx(region, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
        within = region[margin:-margin, margin:-margin]
        outlines, _ = cv2.findContours(within, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if outlines:
            yield np.asarray(max(outlines, key=cv2.contourArea))


def _may_be_sheet(outline: NDArray[np.int32], shape: tuple[int, ...]) -> bool:
    area = cv2.contourArea(outline) + len(outline) / 2 + 1  # in pixels, by Pick's theorem
    has_size = _MIN_AREA <= area / (shape[0] * shape[1]) <= _MAX_AREA
    return has_size and _has_shape_of_sheet(outline, area, shape)


def _has_shape_of_sheet(outline: NDArray[np.int32], area: float, shape: tuple[int, ...]) -> bool:
    """Return whether a region is convex, has few corners, and is mostly inside the picture."""
    hull = cv2.convexHull(outline)
    is_convex = area >= _MIN_CONVEXITY * cv2.contourArea(hull)
    return bool(_at_border(outline, shape) <= _MAX_AT_BORDER and len(_simplified(hull)) <= _MAX_CORNERS and is_convex)


def _simplified(hull: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the corners of a polygon, shape (n, 1, 2)."""
    return np.asarray(cv2.approxPolyDP(hull, _CORNER * cv2.arcLength(hull, True), True))


def _stands_out(
    coarse: NDArray[np.uint8], sheet: NDArray[np.bool_], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> bool:
    """Return whether a sheet is lighter than the picture around it, with a sharp edge."""
    within, around = float(np.median(coarse[sheet])), float(np.median(coarse[~sheet]))
    rim, beyond = coarse[sheet & ~inside], coarse[~sheet & ~outside]
    step = float(np.median(rim)) - float(np.median(beyond))
    return around <= _MAX_AROUND * within and step >= _MIN_STEP * (within - around)


def _at_border(outline: NDArray[np.int32], shape: tuple[int, ...]) -> float:
    """Return the fraction of an outline that runs along the picture's border."""
    x, y = outline[:, 0].T
    return float(((x < 2) | (y < 2) | (x >= shape[1] - 2) | (y >= shape[0] - 2)).mean())


def _ink(coarse: NDArray[np.uint8], region: NDArray[np.bool_]) -> int:
    """Return the number of pixels in a region that are much darker than those around them in the region."""
    return int((coarse < _INK * without_ink(coarse, region))[region].sum())


def without_ink(coarse: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace anything dark and narrow in a region by the level around it, whatever is outside the region."""
    kernel = np.ones((max(3, min(coarse.shape) // 8) | 1,) * 2, np.uint8)
    grown = cv2.dilate(np.where(region, coarse, 0).astype(np.uint8), kernel)
    return np.asarray(cv2.erode(np.where(region, grown, 255).astype(np.uint8), kernel), np.uint8)
