"""Find light sheets of paper on a darker background."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import square
from lenet.reading.coarse import COARSE_LONGER, border_of, without_ink
from lenet.reading.strokes import components_of

_MIN_SIDE = 100  # pixels of a small picture
# Fractions of the picture's area.
_MIN_AREA, _MIN_TOTAL, _MAX_TOTAL = 0.04, 0.08, 0.95  # of each sheet, and of all of them
# Fractions of the sheet's outline. The outline of a shadow runs along the picture's border more than that of a sheet.
_MAX_AT_BORDER = 0.55
_CORNER = 0.035
_MAX_CORNERS = 5  # one of the four may be cut off by the picture's border
_MIN_CONVEXITY = 0.93  # area over that of the convex hull
_ROUND = 1.15  # area of the convex hull over that of the polygon of its corners; 1.57 for an ellipse with four
_FULL = 0.98  # area of the hull over that of the smallest rectangle around it, if not round; 0.79 for an ellipse
_MAX_AROUND = 0.8  # level just outside the sheet, as a fraction of that just inside: shadows have softer edges
_MIN_WITHIN = 0.6  # level of the sheet, as a fraction of that of its rim
# The maximum level of a dark table, as a fraction of that of the sheet; and the maximum ink around a sheet on a lighter
# table, as a fraction of that on the sheet: with more, it may be a box on a tinted page.
DARK, _MAX_INK_BESIDE_BOX = 0.6, 0.2
_INK = 0.7  # level of ink, as a fraction of the level around it
_MIN_ASPECT = 0.4  # of a blank sheet: the shorter side over the longer
_MIN_INK, _MAX_INK = 3, 0.25  # on the sheet: pixels, and a fraction of its area
_MAX_THICKNESS, _MAX_AT_EDGE = 0.15, 0.04  # of writing, in sides of the sheet; of ink at its edge, in its area
_SMALL = 0.12  # of the picture: smaller sheets are labels or buttons if there is writing around them, dark or light
# Fractions of the ink, of the outline and of the sheet's level: if all are exceeded, the "sheet" may be the lit part of
# a page. The grain of a table looks like ink, too, but paper in a shadow is seldom this dark: 0.35 of the level is a
# tenth of the light. If much of the outline is at the border, as in the corner of a scanner, the ink does not matter.
_MAX_INK_OUTSIDE, _MIN_AT_BORDER, _MUCH_AT_BORDER, _MIN_SHADOW = 0.5, 0.05, 0.4, 0.35
_MIN_REST = 0.1  # the fraction of a sheet that is not lit, if there is a shadow
_EVEN = 0.88  # the level of a pixel over that of its neighbours, if there is no sharp edge between them
_EDGES = 7  # pixels of the coarse picture: the edges of shadows on the background are narrower
_MIN_SHARED = 0.5  # the fraction of the outline of the lit part of a sheet that is that of the sheet
# The distance of a lit side from that of the sheet, in pixels, and the fraction of the sheet's outline that is lit.
_NEAR, _MIN_LIT = 2, 0.6
_EDGE = 4  # pixels of the coarse picture around the sheet's outline that contain its shadow
_KERNEL = square(2 * _EDGE + 1)


def find_sheets(
    coarse: NDArray[np.uint8], may_be_blank: bool = False, max_around: float = _MAX_AROUND
) -> NDArray[np.bool_] | None:
    """Return the pixels of the sheets of paper, or None if there are none or paper fills the picture.

    A sheet is a light region with four corners and writing on it, unlike a light digit on a dark background. If there
    is none, and sheets `may_be_blank`, a wide light region without ink counts, too, unless there are strokes beside it.
    The coarse picture has a few hundred pixels a side. If its darkest pixel along the border is lighter than a fraction
    of its lightest one, `max_around`, there is no background, which saves time.
    """
    if min(coarse.shape) < _MIN_SIDE and max(coarse.shape) < COARSE_LONGER:
        return None
    if border_of(coarse).min() > max_around * coarse.max():
        return None
    outlines = _sheets(coarse, _is_written)
    is_blank = may_be_blank and not outlines
    if is_blank:
        outlines = _sheets(coarse, _is_blank)
    sheets = _filled(outlines, coarse.shape)
    if not _MIN_TOTAL <= sheets.mean() <= _MAX_TOTAL:
        return None
    inside, outside = cv2.erode(sheets, _KERNEL) == 1, cv2.dilate(sheets, _KERNEL) == 0
    if not inside.any():  # stripes no wider than their edges, which erosion removes
        return None
    ink_inside, ink_outside = _ink(coarse, inside).sum(), _ink(coarse, outside).sum()
    max_outside = _MAX_INK_OUTSIDE * ink_inside
    has_ink_outside = ink_outside > max_outside
    is_label = (is_blank or sheets.mean() < _SMALL) and (
        has_ink_outside or _ink(255 - coarse, outside).sum() > max_outside
    )
    is_box = ink_outside > _MAX_INK_BESIDE_BOX * ink_inside and (
        np.median(coarse[outside]) > DARK * np.median(coarse[inside])
    )
    at_border = _at_border(np.concatenate(outlines), coarse.shape)
    is_lit_part = (at_border >= _MIN_AT_BORDER if has_ink_outside else at_border > _MUCH_AT_BORDER) and _is_shadow(
        coarse, sheets == 0, sheets == 1
    )
    return None if is_label or is_box or is_lit_part else np.asarray(inside)


def shows_blank_sheet(coarse: NDArray[np.uint8]) -> bool:
    """Return whether a picture shows a blank sheet, and no sheet that is written on."""
    return find_sheets(coarse) is None and find_sheets(coarse, may_be_blank=True) is not None


def _sheets(coarse: NDArray[np.uint8], is_chosen: Callable[..., bool]) -> list[NDArray[np.int32]]:
    """Return the outlines of chosen light regions that have the shape of sheets and stand out from the background.

    If the light regions are the lit parts of sheets, the outlines are those of the whole sheets.
    """
    smooth = cv2.medianBlur(coarse, 5)
    _, light = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    found = [_chosen(coarse, outlines, is_chosen) for outlines in _outlines_of(light)]
    best = max(found, key=lambda outlines: _excess_of_light(light, outlines))
    for whole in (*_between_edges(coarse), _completed(light)):
        if whole and (not best or _are_lit_parts(coarse, best, whole)):
            best = _chosen(coarse, whole, is_chosen) or best
    return best


def _completed(light: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """Return the outlines of light regions, extended to the quadrilaterals that most of their sides belong to.

    A shadow may hide a corner or a part of a side of a sheet.
    """
    closed = cv2.morphologyEx(light, cv2.MORPH_CLOSE, square(_EDGE + 1))
    found = []
    for outline in cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        if cv2.contourArea(outline) >= _MIN_AREA * light.size:
            sides = cv2.approxPolyDP(cv2.convexHull(outline), _NEAR, True)[:, 0].astype(np.float64)
            whole = cv2.fillConvexPoly(np.zeros_like(light), _four_corners(sides).round().astype(np.int32), 1)
            is_larger = cv2.contourArea(outline) < (1 - _MIN_REST) * whole.sum()
            near = cv2.dilate(_drawn([outline], light.shape), square(2 * _NEAR + 1))
            for shape in _sheet_shapes(whole if is_larger else _filled([outline], light.shape)):
                x, y = shape[:, 0].T
                if near[y, x].mean() >= _MIN_LIT:
                    found.append(shape)
    return found


def _four_corners(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Extend the sides of a convex polygon until four are left, each time where it adds the least area."""
    while len(polygon) > 4:
        before, start, stop, after = (np.roll(polygon, k, axis=0) for k in (1, 0, -1, -2))
        previous, side, following = start - before, stop - start, after - stop
        turn = _cross(previous, following)
        # The neighbours of a side meet at start + t * previous, beyond the side if t is positive.
        t = np.divide(_cross(side, following), turn, out=np.zeros(len(turn)), where=turn != 0)
        added = np.where(t > 0, t * np.abs(_cross(previous, side)), np.inf)
        n = int(added.argmin())
        if np.isinf(added[n]):
            break
        polygon[n] = start[n] + t[n] * previous[n]
        polygon = np.delete(polygon, (n + 1) % len(polygon), axis=0)
    return polygon


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cross products of vectors in the plane, shape (n, 2)."""
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _excess_of_light(light: NDArray[np.uint8], outlines: Sequence[NDArray[np.int32]]) -> int:
    """Return how many more pixels inside outlines are light than dark; the gaps between sheets are dark."""
    inside = _filled(outlines, light.shape) == 1
    return int((2 * light[inside].astype(np.int64) - 1).sum())


def _are_lit_parts(
    coarse: NDArray[np.uint8], outlines: Sequence[NDArray[np.int32]], whole: Sequence[NDArray[np.int32]]
) -> bool:
    """Return whether outlines share edges with those of whole sheets, and the rest of these may be in a shadow."""
    edges = cv2.dilate(_drawn(whole, coarse.shape), _KERNEL)
    x, y = np.concatenate(outlines)[:, 0].T
    lit, sheet = _filled(outlines, coarse.shape) == 1, _filled(whole, coarse.shape) == 1
    rest = sheet & ~lit
    is_larger = rest.sum() >= _MIN_REST * sheet.sum()
    return bool(is_larger and edges[y, x].mean() >= _MIN_SHARED and _is_shadow(coarse, rest, lit))


def _chosen(
    coarse: NDArray[np.uint8], outlines: Sequence[NDArray[np.int32]], is_chosen: Callable[..., bool]
) -> list[NDArray[np.int32]]:
    """Return the outlines of chosen regions that stand out from the background."""
    background, chosen = _filled(outlines, coarse.shape) == 0, []
    for outline in outlines:
        sheet = _filled([outline], coarse.shape)
        ink = _ink(coarse, sheet == 1)
        is_sheet = _is_filled(coarse, sheet) and _stands_out(coarse, sheet, background) and is_chosen(ink, sheet)
        if is_sheet and _is_darker(coarse, ink == 1, sheet == 1):
            chosen.append(outline)
    return chosen


def _is_blank(ink: NDArray[np.uint8], sheet: NDArray[np.uint8]) -> bool:
    """Return whether a sheet has no ink except at its edge, and is too wide for a light 1."""
    _, (width, height), _ = cv2.minAreaRect(cv2.findNonZero(sheet))
    within = cv2.erode(sheet, _KERNEL) == 1
    return bool(min(width, height) >= _MIN_ASPECT * max(width, height) and np.count_nonzero(ink[within]) < _MIN_INK)


def _is_written(ink: NDArray[np.uint8], sheet: NDArray[np.uint8]) -> bool:
    """Return whether some of the ink on a sheet is writing: thin strokes away from its edge.

    The holes of most light digits are thick, and their notches reach the edge.
    """
    area, strokes = sheet.sum(), components_of(ink)
    thickness = round(_MAX_THICKNESS * math.sqrt(area)) | 1  # odd: OpenCV would shift the strokes by a pixel
    thick = cv2.morphologyEx(ink, cv2.MORPH_OPEN, square(thickness))
    edge = sheet - cv2.erode(sheet, square(5)) == 1
    areas, is_at_edge = strokes.areas, strokes.areas_in(edge) > 0
    writing = areas[~is_at_edge & (2 * strokes.areas_in(thick > 0) <= areas)].sum()
    return bool(areas[is_at_edge].sum() <= _MAX_AT_EDGE * area and writing >= _MIN_INK and ink.sum() <= _MAX_INK * area)


def _is_darker(coarse: NDArray[np.uint8], ink: NDArray[np.bool_], sheet: NDArray[np.bool_]) -> bool:
    """Return whether any ink is darker than the sheet, and not the sheet itself between light strokes."""
    return not ink.any() or bool(np.median(coarse[ink]) < np.median(coarse[sheet]))


def _filled(outlines: Sequence[NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.asarray(cv2.drawContours(np.zeros(shape, np.uint8), outlines, -1, 1, cv2.FILLED), np.uint8)


def _drawn(outlines: Sequence[NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.asarray(cv2.drawContours(np.zeros(shape, np.uint8), outlines, -1, 1), np.uint8)


def _is_shadow(coarse: NDArray[np.uint8], region: NDArray[np.bool_], lit: NDArray[np.bool_]) -> bool:
    """Return whether a region may be paper in a shadow, given paper in the light."""
    return bool(np.median(coarse[region]) > _MIN_SHADOW * np.median(coarse[lit]))


def corners_of(sheet: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the corners of the largest sheet, shape (4, 2): x and y, clockwise from the upper left.

    Examples
    --------
    >>> sheet = np.zeros((90, 90), bool)
    >>> sheet[20:61, 10:71] = True  # with the rim of 4 pixels that `find_sheets` leaves out, from (6, 16) to (74, 64)
    >>> corners_of(sheet).round().tolist()
    [[6.0, 16.0], [74.0, 16.0], [74.0, 64.0], [6.0, 64.0]]
    """
    whole = cv2.dilate(sheet.astype(np.uint8), _KERNEL)
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


def _outlines_of(light: NDArray[np.uint8]) -> Iterator[list[NDArray[np.int32]]]:
    """Yield the outlines of light regions that have the size and shape of sheets, each of shape (n, 1, 2).

    At first, regions near each other are joined, also with objects; then objects are cut off; then regions stay apart.
    """
    margin = max(3, min(light.shape) // 12) | 1  # odd: OpenCV would shift the region by a pixel
    padded = cv2.copyMakeBorder(light, *[margin] * 4, cv2.BORDER_REPLICATE)
    for closing, opening in ((margin, 1), (margin, 2 * margin + 1), (_EDGE + 1, 1)):
        region = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square(closing))
        region = cv2.morphologyEx(region, cv2.MORPH_OPEN, square(opening))
        within = region[margin:-margin, margin:-margin]
        yield _sheet_shapes(within)


def _between_edges(coarse: NDArray[np.uint8]) -> Iterator[list[NDArray[np.int32]]]:
    """Yield the outlines of sheet-shaped regions between sharp edges: each region, then all inside the background.

    The edges of most shadows are soft, so such a region may be a sheet that a shadow crosses. The parts of a sheet that
    a shadow with sharp edges crosses are together inside the background, which reaches the border of the picture.
    """
    kernel = square(max(3, min(coarse.shape) // 12) | 1)
    smooth = cv2.morphologyEx(cv2.medianBlur(coarse, 5), cv2.MORPH_CLOSE, kernel)  # without ink
    is_even = cv2.erode(smooth, square(3)) > _EVEN * cv2.dilate(smooth, square(3))
    regions = components_of(is_even.view(np.uint8), connectivity=4)
    largest = np.argsort(-regions.areas)
    masks = [
        cv2.dilate((regions.labels == n + 1).view(np.uint8), square(3))
        for n in largest[regions.areas[largest] >= _MIN_AREA * coarse.size]
    ]
    inside = (~regions.pixels_of(regions.at_border)).view(np.uint8)
    without_lines = cv2.morphologyEx(inside, cv2.MORPH_OPEN, square(_EDGES))
    masks.append(cv2.erode(without_lines, square(3)))
    for mask in masks:  # half of the edges, which are two pixels wide, belong to a sheet
        yield _sheet_shapes(mask)


def _sheet_shapes(regions: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """Return the outlines of the regions that have the size and the shape of sheets."""
    outlines, _ = cv2.findContours(regions, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [each for each in outlines if _may_be_sheet(each, regions.shape)]


def _may_be_sheet(outline: NDArray[np.int32], shape: tuple[int, ...]) -> bool:
    area = cv2.contourArea(outline) + len(outline) / 2 + 1  # in pixels, by Pick's theorem
    return area >= _MIN_AREA * shape[0] * shape[1] and _has_shape_of_sheet(outline, area, shape)


def _has_shape_of_sheet(outline: NDArray[np.int32], area: float, shape: tuple[int, ...]) -> bool:
    """Return whether a region is convex, has few corners, and is mostly inside the picture."""
    hull = cv2.convexHull(outline)
    corners, hull_area = _simplified(hull), cv2.contourArea(hull)
    is_round = hull_area > _ROUND * cv2.contourArea(corners) and hull_area < _FULL * math.prod(cv2.minAreaRect(hull)[1])
    is_convex = area >= _MIN_CONVEXITY * hull_area and not is_round
    return bool(_at_border(outline, shape) <= _MAX_AT_BORDER and len(corners) <= _MAX_CORNERS and is_convex)


def _simplified(hull: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the corners of a polygon, shape (n, 1, 2)."""
    return np.asarray(cv2.approxPolyDP(hull, _CORNER * cv2.arcLength(hull, True), True))


def _stands_out(coarse: NDArray[np.uint8], sheet: NDArray[np.uint8], background: NDArray[np.bool_]) -> bool:
    """Return whether a sheet is lighter than the background next to most of its edge."""
    around = background.view(np.uint8)
    edge = (cv2.dilate(sheet, square(3)) > sheet) & (cv2.dilate(around, _KERNEL) > 0)
    ratios = _mean_near(coarse, around)[edge] / np.maximum(_mean_near(coarse, sheet)[edge], 1)
    return bool(edge.any() and np.median(ratios) <= _MAX_AROUND)


def _is_filled(coarse: NDArray[np.uint8], sheet: NDArray[np.uint8]) -> bool:
    """Return whether a sheet is about as light as its rim, unlike a light frame with the background inside."""
    rim = sheet - cv2.erode(sheet, _KERNEL) == 1
    return bool(np.median(coarse[sheet == 1]) >= _MIN_WITHIN * np.median(coarse[rim]))


def _mean_near(coarse: NDArray[np.uint8], region: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean level of the pixels of a region that are near each pixel; 0 if there are none."""
    weights = region.astype(np.float32)
    sums, counts = (cv2.boxFilter(each, -1, _KERNEL.shape, normalize=False) for each in (coarse * weights, weights))
    return np.asarray(sums / np.maximum(counts, 1), np.float32)


def _at_border(outline: NDArray[np.int32], shape: tuple[int, ...]) -> float:
    """Return the fraction of an outline that runs along the picture's border."""
    x, y = outline[:, 0].T
    return float(((x < 2) | (y < 2) | (x >= shape[1] - 2) | (y >= shape[0] - 2)).mean())


def _ink(coarse: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the pixels in a region that are much darker than those around them in the region, as 1."""
    return ((coarse < _INK * without_ink(coarse, region)) & region).view(np.uint8)
