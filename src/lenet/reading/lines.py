"""Find the lines of writing in a picture: clean its ink, level it, and group its strokes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet._lazy import cached_property
from lenet.reading.grouping import grouped
from lenet.reading.page import Page
from lenet.reading.rules import without_folds, without_printed_rules, without_rules
from lenet.reading.skew import skew_of_lines
from lenet.reading.strokes import MAX_HEIGHT, MAX_STROKES, Boxes, Ints, box_around, have_comma_size, reject_texture

_MAX_WRITING_HEIGHT = 80  # pixels: larger writing is shrunk
_MAX_LINES = 1500  # a digit far from all others forms its own line
# The minimum height of a line, and of a line that the border may have cut, as fractions of the typical height.
_MIN_HEIGHT, _MIN_CUT_HEIGHT = 0.4, 0.75
_PALE_INK, _MIN_PALE = 160, 0.5  # levels of ink below are pale; more than this fraction of a stain is
_MARGIN = 2  # pixels around a line
_NEAR = 1.5  # heights of the writing: the maximum gap between a long comma and what is beside it
_BELOW, _MAX_BELOW = 0.3, 0.8  # heights of the writing: how far a short mark or a long comma may end below a line


@dataclass(frozen=True)
class InkLine:
    """A line of writing on a page."""

    page: Page
    members: Ints  # its strokes, from left to right

    @cached_property
    def height(self) -> float:
        """The height of the writing, in pixels."""
        return self.page.strokes.typical_height(self.members)

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """Whether each stroke touches the picture's left, upper, right and lower border, shape (strokes, 4)."""
        return self.page.touched(self.page.strokes.boxes[self.members])

    @property
    def crosses_corner(self) -> bool:
        """Whether it is one stroke from one border to the next, as the edge of a sheet may be."""
        return len(self.members) == 1 and bool((self.touched & np.roll(self.touched, 1, axis=1)).any())

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """The left, top, right and bottom of its strokes on the page."""
        return box_around(self.page.strokes.boxes[self.members])

    @property
    def corner(self) -> tuple[int, int]:
        """The left and top of the line on the page."""
        return max(self.box[0] - _MARGIN, 0), max(self.box[1] - _MARGIN, 0)

    @cached_property
    def short_strokes(self) -> Boxes:
        """The boxes, in the line's pixels, of short strokes that are not in the line but may be its marks."""
        strokes, (_, top, _, bottom) = self.page.strokes, self.box
        found = strokes.boxes[np.setdiff1d(strokes.short(self.height), self.members)]
        reaches_line = (found[:, 1] < bottom) | (found[:, 3] <= bottom + _BELOW * self.height)
        return np.asarray(found[(found[:, 1] >= top) & reaches_line] - np.tile(self.corner, 2))

    @cached_property
    def ink(self) -> NDArray[np.uint8]:
        """The pixels of the line, starting at its corner."""
        left, top = self.corner
        return self.page.ink[top : self.box[3] + _MARGIN, left : self.box[2] + _MARGIN]


def find_lines(page: Page) -> list[InkLine]:
    """Return the lines of writing on a page, in reading order.

    Raises InputError if there are more lines or strokes than on a page of writing.
    """
    page = without_folds(without_printed_rules(page))
    height = page.strokes.writing_height
    if not height:
        return []
    # Blocks are, for example, fingertips, which a levelled page would no longer show at its border.
    page = page.without_strokes(np.flatnonzero(page.strokes.are_blocks(height)))
    if height > _MAX_WRITING_HEIGHT:
        factor = _MAX_WRITING_HEIGHT / height
        page, height = page.shrunk(factor), height * factor
    angle = skew_of_lines(page, height)
    page = without_rules(without_rules(page, height).levelled(angle), height)
    page = _without_pale_stains(page, height)
    strokes = page.strokes
    height = strokes.writing_height or height
    writing = strokes.writing(height)
    reject_texture(len(writing), MAX_STROKES, "strokes")  # erased rules may leave many
    lines = [InkLine(page, members) for members in grouped(strokes, writing, height)]
    reject_texture(len(lines), _MAX_LINES, "lines")
    lines = [line for line in lines if line.height >= height * (_MIN_CUT_HEIGHT if _may_be_cut(line) else _MIN_HEIGHT)]
    return _with_commas(lines, height)


def _without_pale_stains(page: Page, height: float) -> Page:
    """Remove the pale ink of strokes that are too tall for writing and mostly pale: of stains that touch digits."""
    strokes = page.strokes
    is_tall = strokes.heights >= MAX_HEIGHT * height
    if not is_tall.any():
        return page
    is_pale = page.ink < _PALE_INK
    stains = strokes.pixels_of(is_tall & (strokes.areas_in(is_pale) > _MIN_PALE * strokes.areas))
    return page.with_ink(np.where(is_pale & stains, 0, page.ink).astype(np.uint8))


def _may_be_cut(line: InkLine) -> bool:
    """Return whether all strokes touch the picture's border."""
    return bool(line.touched.any(axis=1).all())


def _with_commas(lines: list[InkLine], height: float) -> list[InkLine]:
    """Move commas to the line of their number if all strokes of their own line have the size of long commas."""
    if not lines:
        return []
    strokes, members = lines[0].page.strokes, np.concatenate([line.members for line in lines])
    owners = np.repeat(np.arange(len(lines)), [len(line.members) for line in lines])  # the line of each stroke
    boxes = strokes.boxes[members]
    have_size = have_comma_size(boxes, height)
    for n in np.flatnonzero(np.bincount(owners, ~have_size)[owners] == 0):
        before = np.flatnonzero(_hangs_from(boxes, boxes[n], height))
        if len(before) and _precedes(strokes.boxes, boxes[n], height):
            owners[n] = owners[before[boxes[before, 2].argmax()]]
    if len(np.unique(owners)) == len(lines):
        return lines
    order = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")
    return [InkLine(lines[0].page, members[order[owners[order] == owner]]) for owner in np.unique(owners)]


def _hangs_from(boxes: Boxes, comma: Ints, height: float) -> NDArray[np.bool_]:
    """Return whether each stroke is higher, is just before a long comma, and has its lower half beside its top."""
    left, top, _, bottom = comma
    _, tops, rights, bottoms = boxes.T
    is_lower = (2 * top > tops + bottoms) & (top < bottoms) & (bottom < bottoms + _MAX_BELOW * height)
    is_near = (rights <= left) & (rights > left - _NEAR * height)
    return np.asarray(is_lower & is_near & (bottoms - tops > bottom - top))


def _precedes(boxes: Boxes, comma: Ints, height: float) -> bool:
    """Return whether a digit or a dash closely follows a long comma, and is not below it."""
    _, top, right, bottom = comma
    lefts, tops, _, bottoms = boxes.T
    is_near = (lefts >= right) & (lefts < right + _NEAR * height)
    return bool((is_near & (tops + bottoms < 2 * bottom) & (tops + bottoms > 2 * (top - height))).any())
