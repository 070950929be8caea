"""From ink to strokes that hang together, and what is known of them by their sizes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require

INK = 96  # of 255, from which on a pixel belongs to a stroke
_SPECK = 0.22  # all further lengths are in heights of the writing
LONGEST = 2.2  # that no straight stroke of a digit has

Boxes = NDArray[np.int64]  # (n, 4): left, top, right, bottom; the last two are outside


@dataclass
class Strokes:
    """Connected strokes of a picture.

    Parameters
    ----------
    names : ndarray of int32, shape (H, W)
        Which stroke each pixel belongs to: 0 for paper, n + 1 for stroke n.
    boxes : ndarray of int64, shape (n, 4)
        Left, top, right and bottom of each; the last two are outside of it.
    areas : ndarray of int64, shape (n,)
    """

    names: NDArray[np.int32]
    boxes: Boxes
    areas: NDArray[np.int64]

    @property
    def widths(self) -> NDArray[np.int64]:
        """Of the boxes."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def longest(self) -> int:
        """The longest side of a box, 0 if there are none."""
        return int(max(self.widths.max(initial=0), self.heights.max(initial=0)))

    @property
    def heights(self) -> NDArray[np.int64]:
        """Of the boxes."""
        return self.boxes[:, 3] - self.boxes[:, 1]


def strokes_of(ink: NDArray[np.uint8]) -> Strokes:
    """Return the strokes of ink."""
    cv2: Any = require("cv2", "vision")
    _, names, facts, _ = cv2.connectedComponentsWithStats(np.asarray(ink >= INK, np.uint8), connectivity=8)
    left, top, width, height, area = facts[1:].T.astype(np.int64)
    return Strokes(names, np.stack([left, top, left + width, top + height], axis=1), area)


def writing_height(strokes: Strokes) -> float:
    """Return the height of the writing: half of the ink is in strokes at least so high, rules and frames apart."""
    height, width = strokes.names.shape
    usual = (strokes.areas >= 12) & (strokes.heights >= 6) & (strokes.widths < 12 * strokes.heights)
    left, top, right, bottom = strokes.boxes.T
    at_border = (left == 0) | (top == 0) | (right == width) | (bottom == height)
    frames = (strokes.heights > 0.8 * height) & (strokes.widths > 0.8 * width)
    frames &= strokes.areas < 0.25 * height * width
    shadows = at_border & (strokes.heights > 0.5 * height)  # or the edge of a table
    if (usual & ~frames & ~shadows).any():  # a digit may be cropped to its edges
        usual &= ~frames & ~shadows
    if not usual.any():
        return 0.0
    heights, areas = strokes.heights[usual], strokes.areas[usual]
    order = np.argsort(heights)
    middle = np.searchsorted(areas[order].cumsum(), areas.sum() / 2)
    return float(heights[order][middle])


def is_writing(strokes: Strokes, height: float) -> NDArray[np.bool_]:
    """Return which strokes are no specks, rules, frames and shadows, and no slivers at the picture's border."""
    widths, heights = strokes.widths, strokes.heights
    specks = (widths < _SPECK * height) & (heights < _SPECK * height) | (heights < 0.12 * height)
    rules = (widths > LONGEST * height) & (heights < 0.3 * height) | (heights > 2 * LONGEST * height)
    left, top, right, bottom = strokes.boxes.T
    at_border = (left == 0) | (top == 0) | (right == strokes.names.shape[1]) | (bottom == strokes.names.shape[0])
    slivers = at_border & (np.minimum(widths, heights) <= 2)
    return np.asarray(~specks & ~rules & ~slivers & (heights < LONGEST * height))
