"""Find the lines of writing in a picture: clean its ink, level it, and group its strokes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lenet._mnist_form import reduced
from lenet.errors import InputError
from lenet.reading.grouping import grouped
from lenet.reading.ink import find_darkness, normalised
from lenet.reading.page import Page
from lenet.reading.rules import without_printed_rules, without_rules
from lenet.reading.skew import skew_of_lines

# Pictures above the first number are shrunk. A JPEG is decoded at a reduced size of at least the second, so that the
# sides of a photograph of 12 million pixels are halved once, and it is not shrunk again.
_MAX_PIXELS, MIN_DECODED_PIXELS = 3_100_000, 2_900_000
_MAX_HEIGHT = 80  # pixels: larger writing is shrunk
_MAX_STROKES = 6000  # a page of writing has fewer
_MAX_LINES = 3000  # a digit far from all others forms its own line
_MIN_STROKE = 6  # pixels of a stroke that counts
# The height of a line, also of one that may be cut, as a fraction of the height of all writing.
_MIN_HEIGHT, _MIN_CUT_HEIGHT = 0.4, 0.75
_MARGIN = 2  # pixels around a line


@dataclass(frozen=True)
class InkLine:
    """A line of writing on a page."""

    page: Page
    members: NDArray[np.int64]  # its strokes, from left to right

    @cached_property
    def height(self) -> float:
        """The height of the writing, in pixels."""
        return self.page.strokes.typical_height(self.members)

    @property
    def is_cut(self) -> bool:
        """Whether all strokes touch the picture's border, which may have cut them."""
        boxes = np.array(self.page.boxes_in_picture(self.page.strokes.boxes[self.members]))
        height, width = self.page.picture_shape
        return bool(((boxes[:, :2] == 0) | (boxes[:, 2:] == (width, height))).any(axis=1).all())

    @cached_property
    def corner(self) -> tuple[int, int]:
        """The left and top of the line on the page."""
        left, top = np.maximum(self.page.strokes.boxes[self.members, :2].min(axis=0) - _MARGIN, 0)
        return int(left), int(top)

    @cached_property
    def ink(self) -> NDArray[np.uint8]:
        """The pixels of the line, starting at its corner."""
        left, top = self.corner
        right, bottom = self.page.strokes.boxes[self.members, 2:].max(axis=0) + _MARGIN
        return self.page.ink[top:bottom, left:right]


def page_of(grey: NDArray[np.uint8], picture_shape: tuple[int, ...] | None = None) -> Page:
    """Return the ink of a picture, at a scale of at most 3.1 million pixels.

    If the grey levels are already reduced, `picture_shape` is the height and width of the picture. Raises InputError if
    there are more strokes than on any page of writing.
    """
    picture_shape = picture_shape or grey.shape
    factor = min(1.0, (_MAX_PIXELS / grey.size) ** 0.5)
    darkness = find_darkness(reduced(grey, factor))
    scale = factor / round(picture_shape[0] / len(grey))
    page = Page(normalised(darkness), picture_shape, scale, darkness=darkness)
    reject_texture(int((page.strokes.areas >= _MIN_STROKE).sum()), _MAX_STROKES, "strokes")
    return page


def find_lines(page: Page) -> list[InkLine]:
    """Return the lines of writing on a page, in reading order.

    Raises InputError if there are more lines or strokes than on a page of writing.
    """
    page = without_printed_rules(page)
    height = page.strokes.writing_height
    if not height:
        return []
    if height > _MAX_HEIGHT:
        factor = _MAX_HEIGHT / height
        page, height = page.shrunk(factor), height * factor
    angle = skew_of_lines(page, height)
    page = without_rules(without_rules(page, height).levelled(angle), height)
    strokes = page.strokes
    height = strokes.writing_height or height
    writing = strokes.writing(height)
    reject_texture(len(writing), _MAX_STROKES, "strokes")  # erased rules may leave many
    lines = [InkLine(page, members) for members in grouped(strokes, writing, height)]
    reject_texture(len(lines), _MAX_LINES, "lines")
    return [line for line in lines if line.height >= (_MIN_CUT_HEIGHT if line.is_cut else _MIN_HEIGHT) * height]


def reject_texture(count: int, limit: int, what: str) -> None:
    """Raise InputError for a picture of noise or a texture, which would take too long to read."""
    if count > limit:
        raise InputError(
            f"The picture has {count:,} {what}; expected at most {limit:,}. It shows noise or a texture: "
            "crop it to the writing."
        )
