"""The connected strokes of ink, and their sizes; noise and textures have too many."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._lazy import cached_property
from lenet._mnist_form import square
from lenet.errors import InputError

MAX_STROKES = 6000  # a page of writing has fewer
INK = 96  # the minimum level of a stroke's pixels, from 0 to 255
MAX_LENGTH = 2.2  # heights of the writing: no straight stroke of a digit is longer
SHORT = 0.4  # heights of the writing: shorter strokes may be marks
_MAX_COMMA = 0.45, 0.85  # the maximum width and height of a comma, in heights of the writing
MAX_HEIGHT = 3.0  # heights of the writing: taller strokes are not writing; the first digit of a number may be large
_SPECK, _MIN_MARK = 0.22, 0.006  # the length of a speck in heights of the writing; the area of a mark in their squares
_MAX_LABEL = 2**16 - 1  # of 16 bits
_MAX_FILLED = 0.35  # the fraction of its box that the ink of a frame or grid covers
# The fractions of its box that a block and a fingertip cover; the sides of both, in heights of the writing.
_SOLID, _FINGERTIP, _MIN_BLOCK = 0.7, 0.5, 1.2
_MIN_THICKNESS = 0.6  # of a fingertip, as a fraction of the shorter side of its box; bold digits have 0.47
# Of strokes that are searched one by one, where each takes up to 3 milliseconds: their number, and the area of their
# boxes, in page areas.
_MAX_SEARCHED, _MAX_AREA = 600, 3
_MIN_WRITING_HEIGHT = 16  # pixels: shorter strokes beside solid ones are specks rather than writing
_MIN_AREA = 12  # pixels: smaller strokes are not evidence of the size of the writing

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Labels = NDArray[np.uint16] | NDArray[np.int32]
Mask = NDArray[np.uint8]  # 1 where there is something, 0 elsewhere
Boxes = Ints  # (n, 4): left, top, right, bottom; the last two are exclusive
Window = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Strokes:
    """The connected strokes of a page, or the components of any mask."""

    labels: Labels  # (H, W): 0 for paper, n + 1 for the pixels of stroke n
    boxes: Boxes
    areas: Ints  # (n,), in pixels

    def window(self, stroke: int) -> Window:
        """Return the place of a stroke's box on the page."""
        left, top, right, bottom = self.boxes[stroke].tolist()
        return slice(top, bottom), slice(left, right)

    def mask(self, stroke: int) -> Mask:
        """Return the pixels of a stroke in its box."""
        return np.asarray(self.labels[self.window(stroke)] == stroke + 1, np.uint8)

    def pixels_of(self, chosen: Ints | NDArray[np.bool_], window: Window = np.s_[:, :]) -> NDArray[np.bool_]:
        """Return whether each pixel of the page, or of a window of it, belongs to one of the chosen strokes."""
        is_chosen = np.zeros(len(self.areas) + 1, bool)
        is_chosen[1:][chosen] = True
        return np.asarray(is_chosen[self.labels[window]])

    def areas_in(self, region: Window | NDArray[np.bool_]) -> Ints:
        """Return the number of pixels of each stroke in a region of the page."""
        return np.bincount(self.labels[region].ravel(), minlength=len(self.areas) + 1)[1:]

    def hollow(self, min_side: int, max_filled: float = _MAX_FILLED, among: NDArray[np.bool_] | bool = True) -> Ints:
        """Return the strokes whose ink covers little of their boxes, such as frames and grids, by decreasing area.

        The boxes may be nested, so they are `limited`.
        """
        boxes = self.widths * self.heights
        is_hollow = among & (self.areas < max_filled * boxes) & (np.minimum(self.widths, self.heights) > min_side)
        largest = np.argsort(-self.areas)
        return self.limited(largest[is_hollow[largest]])

    def limited(self, members: Ints) -> Ints:
        """Return the first 600 of the given strokes, or fewer if their boxes have three times the area of the page."""
        first = members[:_MAX_SEARCHED]
        boxes = (self.widths * self.heights)[first]
        return np.asarray(first[boxes.cumsum() <= _MAX_AREA * self.labels.size])

    @cached_property
    def widths(self) -> Ints:
        """The widths of the boxes."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @cached_property
    def heights(self) -> Ints:
        """The heights of the boxes."""
        return self.boxes[:, 3] - self.boxes[:, 1]

    @cached_property
    def lengths(self) -> Ints:
        """The longer sides of the boxes."""
        return np.maximum(self.widths, self.heights)

    @cached_property
    def extent(self) -> tuple[int, int]:
        """The width and height of the box around all strokes except specks."""
        boxes = self.boxes[self.areas >= _MIN_AREA]
        if not len(boxes):
            return 1, 1
        left, top, right, bottom = box_around(boxes)
        return right - left, bottom - top

    @cached_property
    def at_border(self) -> NDArray[np.bool_]:
        """Whether each stroke touches the border of the page."""
        left, top, right, bottom = self.boxes.T
        height, width = self.labels.shape
        return np.asarray((left == 0) | (top == 0) | (right == width) | (bottom == height))

    @cached_property
    def writing_height(self) -> float:
        """The typical height of the strokes except specks, rules, frames, shadows and corners; 0 if there are none."""
        height, width = self.labels.shape
        usual = (self.areas >= _MIN_AREA) & (self.heights >= 6) & (self.widths < 12 * self.heights)
        frames = (self.heights > 0.8 * height) & (self.widths > 0.8 * width)
        frames &= self.areas < 0.25 * height * width
        is_narrow = self.lengths > 4 * np.minimum(self.widths, self.heights)
        # Shadows, edges of tables and dark corners; then, vertical rules, too.
        shadows = self.at_border & (is_narrow | (self.heights > 0.5 * height))
        others = frames | shadows | (self.heights > 12 * self.widths)
        if (usual & ~others).any():  # otherwise a digit may have been cropped to its edges
            usual &= ~others
        return self.typical_height(np.flatnonzero(usual)) if usual.any() else 0.0

    def typical_height(self, members: Ints) -> float:
        """Return the median height of the given strokes, weighted by their areas, without blocks beside them."""
        is_solid = self._are_solid[members]
        if is_solid.any() and not is_solid.all():
            height = self._median_height(members[~is_solid])
            if height >= _MIN_WRITING_HEIGHT:
                members = members[~self.are_blocks(height)[members]]
        return self._median_height(members)

    def _median_height(self, members: Ints) -> float:
        order = members[np.argsort(self.heights[members])]
        areas = self.areas[order]
        return float(self.heights[order[np.searchsorted(areas.cumsum(), areas.sum() / 2)]])

    @cached_property
    def _are_solid(self) -> NDArray[np.bool_]:
        """Whether each stroke fills its box; an upright 1, which is narrow, does not count.

        At the border, a fingertip or its shadow fills less, and may be narrower.
        """
        filled = self.areas / (self.widths * self.heights)
        is_solid = (filled > _SOLID) & (2 * self.widths > self.heights)
        may_be_fingertip = self.at_border & (filled > _FINGERTIP) & (3 * self.widths > self.heights) & ~is_solid
        for n in self.limited(np.flatnonzero(may_be_fingertip)):
            is_solid[n] = self._is_thick(n)
        return is_solid

    def _is_thick(self, n: int) -> bool:
        """Return whether a stroke, with its small gaps closed, is thicker than a bold digit of its size."""
        side = int(min(self.widths[n], self.heights[n]))
        gap = side // 8 | 1
        closed = cv2.morphologyEx(np.pad(self.mask(n), gap), cv2.MORPH_CLOSE, square(gap))
        return bool(2 * cv2.distanceTransform(closed, cv2.DIST_L2, 5).max() > _MIN_THICKNESS * side)

    def are_blocks(self, height: float) -> NDArray[np.bool_]:
        """Return whether each stroke is a block, such as a logo or a bar, beside writing of this height."""
        return np.asarray(self._are_solid & (np.minimum(self.widths, self.heights) > _MIN_BLOCK * height))

    def writing(self, height: float) -> Ints:
        """Return the strokes of writing of this height: all but specks, rules, frames, shadows, slivers and blocks."""
        rules = (self.widths > MAX_LENGTH * height) & (self.heights < 0.3 * height)
        slivers = self.at_border & (np.minimum(self.widths, self.heights) <= 2)
        specks = (self.lengths < _SPECK * height) | (self.heights < 0.12 * height)
        others = specks | rules | slivers | self.are_blocks(height) | (self.heights >= MAX_HEIGHT * height)
        return np.flatnonzero(~others)

    def short(self, height: float) -> Ints:
        """Return the strokes that are too short for digits of this height, but may be marks."""
        is_mark = (self.areas >= _MIN_MARK * height**2) & (self.widths < height)
        return np.flatnonzero((self.heights < SHORT * height) & is_mark)


def box_around(boxes: Boxes) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of the smallest box around all boxes."""
    (left, top), (right, bottom) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def have_comma_size(boxes: Boxes, height: float) -> NDArray[np.bool_]:
    """Return whether boxes have the size of long commas in writing of a height."""
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    is_long = (heights >= SHORT * height) & (heights < _MAX_COMMA[1] * height)
    return np.asarray(is_long & (widths < _MAX_COMMA[0] * height))


def mask_of(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels of strokes: 1 where there is enough ink, 0 elsewhere."""
    return (ink >= INK).view(np.uint8)


def strokes_of(ink: NDArray[np.uint8]) -> Strokes:
    """Return the connected strokes of ink."""
    return components_of(mask_of(ink))


def components_of(mask: Mask, connectivity: int = 8) -> Strokes:
    """Return the connected components of a mask; by default, diagonal neighbours are connected.

    With labels of 16 bits, OpenCV takes less time and starts no threads. It needs at most one label for each run of
    pixels in a row.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity, ltype=_label_type(mask))
    boxes = stats[1:, :4].astype(np.int64)  # left, top, width and height
    boxes[:, 2:] += boxes[:, :2]
    return Strokes(labels, boxes, stats[1:, cv2.CC_STAT_AREA].astype(np.int64))


def is_connected(mask: NDArray[np.uint8]) -> bool:
    """Return whether the pixels of a mask are at most one component, in a third of the time of `components_of`."""
    return bool(cv2.connectedComponents(mask, connectivity=8, ltype=_label_type(mask))[0] <= 2)  # one is the paper


def _label_type(mask: NDArray[np.uint8]) -> int:
    return int(cv2.CV_16U if mask.size <= _MAX_LABEL or _count_runs(mask) < _MAX_LABEL else cv2.CV_32S)


def _count_runs(mask: NDArray[np.uint8]) -> int:
    """Return the number of runs of pixels in the rows of a mask."""
    starts = cv2.subtract(mask[:, 1:], mask[:, :-1])  # negative differences become 0
    return int(np.count_nonzero(starts) + np.count_nonzero(mask[:, 0]))


def reject_texture(count: int, limit: int, what: str) -> None:
    """Raise InputError if a count exceeds its limit: a picture of noise or a texture would take too long to read."""
    if count > limit:
        raise InputError(
            f"The picture has {count:,} {what}; expected at most {limit:,}. It shows noise or a texture: "
            "crop it to the writing."
        )
