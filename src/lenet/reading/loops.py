"""Find the loops of linked digits, such as 000, which share the walls between their loops."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import disc, pen_width, square
from lenet.reading.pieces import Pieces, Spans
from lenet.reading.strokes import Floats, Window, components_of

_MIN_AREA = 0.01  # squares of the height of the writing
_MIN_SHARE = 0.55  # of the edge of a loop that is inside a segment


class Loop(NamedTuple):
    """Paper that ink encloses, in a stroke that is cut."""

    box: tuple[int, int, int, int]  # around its wall, in the line's pixels
    wall: NDArray[np.uint8]  # in the box: 255 for ink up to a stroke width from the loop, 0 elsewhere
    shares: Floats  # (pieces,): the fraction of the ink along its edge that belongs to each piece

    def is_inside(self, spans: Spans) -> NDArray[np.bool_]:
        """Return whether the loop belongs to each of the spans, shape (n,)."""
        before = np.append(0.0, self.shares.cumsum())
        return np.asarray(before[spans.stops] - before[spans.starts] > _MIN_SHARE)

    def window_in(self, left: int, top: int) -> Window:
        """Return the place of the box in a window of the line that begins at `left` and `top`."""
        return slice(self.box[1] - top, self.box[3] - top), slice(self.box[0] - left, self.box[2] - left)


def loops_of(pieces: Pieces) -> list[Loop]:
    """Return the loops whose walls belong to several pieces of a line, and that are near each other.

    A loop that is far from others, such as that of an R, shares no wall.
    """
    if not pieces.cuts.any():
        return []
    ink = (pieces.labels > 0).view(np.uint8)
    paper = components_of(np.pad(1 - ink, 1, constant_values=1), connectivity=4)
    is_loop = (paper.areas >= _MIN_AREA * pieces.line.height**2) & ~paper.at_border
    reach = max(1, round(pen_width(pieces.line.ink)))
    margin = np.array([-reach, -reach, reach, reach]) - 1  # and without the padding
    loops = []
    for n in np.flatnonzero(is_loop):
        left, top, right, bottom = (paper.boxes[n] + margin).clip(0, [*ink.shape[::-1]] * 2).tolist()
        window = slice(top, bottom), slice(left, right)
        hole = np.asarray(paper.labels[1:-1, 1:-1][window] == n + 1, np.uint8)
        edge = cv2.dilate(hole, square(3)) & ink[window]
        shares = np.bincount(pieces.labels[window][edge > 0], minlength=len(pieces.boxes) + 1)[1:] / edge.sum()
        if shares.max() < 1:
            wall = np.where(cv2.dilate(hole, disc(2 * reach + 1)) & ink[window], 255, 0).astype(np.uint8)
            loops.append(Loop((left, top, right, bottom), wall, shares))
    return [loop for loop in loops if any(other is not loop and _are_near(loop, other, reach) for other in loops)]


def _are_near(first: Loop, second: Loop, gap: int) -> bool:
    """Return whether the boxes of two loops are less than a gap apart."""
    left, top, right, bottom = first.box
    other_left, other_top, other_right, other_bottom = second.box
    across = left < other_right + gap and other_left < right + gap
    return across and top < other_bottom + gap and other_top < bottom + gap
