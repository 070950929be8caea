"""The ink of a picture, with the map from its pixels back to those of the picture."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._lazy import cached_property
from lenet._mnist_form import disc, pen_width, reduced, resized
from lenet.reading.coarse import coarsened
from lenet.reading.ink import find_darkness, normalised
from lenet.reading.photographs import cropped_to_photographs
from lenet.reading.sheet import shows_blank_sheet
from lenet.reading.strokes import MAX_STROKES, Boxes, Floats, Ints, Strokes, reject_texture, strokes_of

Box = tuple[int, int, int, int]  # left, top, right and bottom

# Pictures above the first number are shrunk. A JPEG is decoded at a reduced size of at least the second, so that the
# sides of a photograph of 12 million pixels are halved once, and it is not shrunk again.
_MAX_PIXELS, MIN_DECODED_PIXELS = 3_100_000, 2_900_000
_MIN_STROKE = 6  # pixels of a stroke that counts
_LEVEL = 0.75  # degrees: smaller rotations are not worth the blur
_MIN_PEN = 1.5  # pixels: thinner strokes break when a page is shrunk
_MAX_WIDENING = 20  # pixels by which strokes are widened at once: the time grows with the square


@dataclass(frozen=True, eq=False)
class Page:
    """The ink of a picture at one step of its cleaning.

    A step takes a page and returns a new one, or the same one if the ink does not change.
    """

    ink: NDArray[np.uint8]  # (H, W): from 0 (paper) to 255 (ink)
    picture_shape: tuple[int, ...]  # height and width
    to_picture: Floats = field(default_factory=lambda: np.eye(2, 3))  # (2, 3): the affine map to the picture
    darkness: NDArray[np.uint8] | None = None  # (H, W): of the whole picture, not only of ink; None once transformed

    @cached_property
    def strokes(self) -> Strokes:
        """The connected strokes of the ink."""
        return strokes_of(self.ink)

    def reject_texture(self) -> None:
        """Raise InputError if there are more strokes than on any page of writing."""
        reject_texture(int((self.strokes.areas >= _MIN_STROKE).sum()), MAX_STROKES, "strokes")

    def boxes_in_picture(self, boxes: Ints) -> list[Box]:
        """Return the smallest boxes in the picture that contain boxes of the page, shape (n, 4)."""
        corners = boxes[:, [[0, 1], [0, 3], [2, 1], [2, 3]]] @ self.to_picture[:, :2].T + self.to_picture[:, 2]
        starts, stops = np.floor(corners.min(axis=1)), np.ceil(corners.max(axis=1))
        found = np.hstack([np.maximum(starts, 0), np.minimum(stops, self.picture_shape[::-1])]).astype(np.int64)
        return [(left, top, right, bottom) for left, top, right, bottom in found.tolist()]

    def touched(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Return whether each box touches the picture's left, upper, right and lower border, shape (n, 4)."""
        height, width = self.picture_shape
        return np.asarray(np.array(self.boxes_in_picture(boxes)).reshape(-1, 4) == (0, 0, width, height))

    def with_ink(self, ink: NDArray[np.uint8]) -> "Page":
        """Return the page with other ink of the same shape."""
        return self if np.array_equal(ink, self.ink) else replace(self, ink=np.ascontiguousarray(ink))

    def without_strokes(self, members: Ints) -> "Page":
        """Return the page without the given strokes."""
        if not len(members):
            return self
        return replace(self, ink=np.where(self.strokes.pixels_of(members), 0, self.ink).astype(np.uint8))

    def transformed(self, ink: NDArray[np.uint8], back: Floats) -> "Page":
        """Return a page with transformed ink; `back` is the affine map from it to this page, shape (3, 3)."""
        return replace(self, ink=ink, to_picture=self.to_picture @ back, darkness=None)

    def shrunk(self, factor: float) -> "Page":
        """Return the page at a smaller scale; strokes that are too thin for it are widened."""
        ink = self.ink
        missing = round(_MIN_PEN / factor - pen_width(ink))
        if missing > _MAX_WIDENING:
            return self.shrunk(0.5).shrunk(2 * factor)
        if missing > 0:
            ink = np.asarray(cv2.dilate(ink, disc(missing + 1)), np.uint8)
        return self.transformed(resized(ink, factor), np.diag([1 / factor, 1 / factor, 1]))

    def turned(self, turns: int) -> "Page":
        """Return the page after some quarter turns, counter-clockwise."""
        page = self
        for _ in range(turns):
            back = np.array([[0.0, -1.0, page.ink.shape[1]], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
            ink = np.asarray(cv2.rotate(page.ink, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8)
            page = page.transformed(ink, back)
        return page

    def levelled(self, angle: float) -> "Page":
        """Return the page rotated so that a line that falls by `angle` degrees becomes level."""
        if abs(angle) < _LEVEL:
            return self
        rows, columns = self.ink.shape
        rotation = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1.0)
        width = int(abs(rotation[0, 0]) * columns + abs(rotation[0, 1]) * rows)
        height = int(abs(rotation[0, 0]) * rows + abs(rotation[0, 1]) * columns)
        rotation[:, 2] += (width - columns) / 2, (height - rows) / 2
        ink = np.asarray(cv2.warpAffine(self.ink, rotation, (width, height)), np.uint8)
        return self.transformed(ink, np.vstack([cv2.invertAffineTransform(rotation), [0, 0, 1]]))


def page_of(grey: NDArray[np.uint8]) -> Page:
    """Return the ink of a picture, at a scale of at most 3.1 million pixels.

    Raises InputError if there are more strokes than on any page of writing.
    """
    *_, page = pages_of(grey, grey.shape)
    page.reject_texture()
    return page


def pages_of(grey: NDArray[np.uint8], picture_shape: tuple[int, ...]) -> Iterator[Page]:
    """Yield the ink of the photographs on a plain background, if there are any, and then that of the whole picture.

    The grey levels may be those of a reduced picture; `picture_shape` is the height and width of the original.
    """
    factor = min(1.0, (_MAX_PIXELS / grey.size) ** 0.5)
    scale = factor / round(picture_shape[0] / len(grey))
    grey = reduced(grey, factor)
    photographs = cropped_to_photographs(grey)
    if photographs is not None and shows_blank_sheet(coarsened(grey)):
        photographs = None  # within its crop, the sheet's edges would look like ink
    for part, (left, top) in filter(None, (photographs, (grey, (0, 0)))):
        darkness = find_darkness(part)
        to_picture = np.array([[1, 0, left], [0, 1, top]]) / scale
        yield Page(normalised(darkness), picture_shape, to_picture, darkness)
