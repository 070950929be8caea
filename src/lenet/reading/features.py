"""The features of a segment that distinguish digits from non-digits."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lenet.reading.pieces import Spans
from lenet.reading.strokes import Floats, Ints
from lenet.rejection import digit_score, margin

MIN_PROBABILITY = 1e-6  # lower probabilities are clipped to this before their logarithm is computed
_MAX_MARGIN = 5.0
_MIN_SIDE, _MAX_WIDTH = 0.8, 1.0  # of a digit, in heights of the writing
_MAX_SIDE = 1.5  # heights of the writing: longer sides are clipped to this in the area


@dataclass(frozen=True)
class Features:
    """The features of segments, each an array of shape (n,).

    Lengths are in heights of the writing, cuts in stroke widths.
    """

    bias: Floats  # ones
    lack_of_size: Floats  # how far the longer side is below the minimum of a digit
    excess_width: Floats  # how far the width is above the maximum of a digit
    area: Floats  # of the box
    gap: Floats  # the widest gap between the pieces
    overlap: Floats  # with the next piece
    cut: Floats  # the ink that the seam after the segment crosses
    ends_at_seam: NDArray[np.bool_]  # whether there is such a seam
    signs: NDArray[np.str_]  # "+", "x", ",", "/" or "°" if it is such a sign, which has a digit score of 0; or ""
    margin: Floats  # between the two most probable labels
    log_score: Floats  # the logarithm of the digit score
    log_other_score: Floats  # the logarithm of one minus the digit score

    def columns(self, names: Iterable[str]) -> Floats:
        """Return the named features side by side, shape (n, number of names)."""
        return np.stack([getattr(self, name) for name in names], axis=1)

    def with_probabilities(self, probabilities: Floats) -> "Features":
        """Return the features with those that depend on the network's probabilities."""
        score = np.where(self.signs == "", digit_score(probabilities), 0.0)
        return replace(
            self,
            margin=np.minimum(margin(probabilities), _MAX_MARGIN),
            log_score=np.log(np.maximum(score, MIN_PROBABILITY)),
            log_other_score=np.log(np.maximum(1 - score, MIN_PROBABILITY)),
        )


def features_of(spans: Spans, signs: NDArray[np.str_], probabilities: Floats) -> Features:
    """Return the features of segments."""
    pieces, starts, stops, boxes = spans.pieces, spans.starts, spans.stops, spans.boxes
    height = pieces.line.height
    left, _, right, _ = (pieces.boxes / height).T
    widths, heights = (boxes[:, 2:] / height - boxes[:, :2] / height).T
    next_left = np.append(np.minimum.accumulate(left[::-1])[::-1], np.inf)[1:]
    unknown = np.zeros(len(starts))
    geometric = Features(
        bias=np.ones(len(starts)),
        lack_of_size=np.maximum(0, _MIN_SIDE - np.maximum(heights, widths)),
        excess_width=np.maximum(0, widths - _MAX_WIDTH),
        area=np.minimum(heights, _MAX_SIDE) * np.minimum(widths, _MAX_SIDE),
        gap=_widest_gaps(left, right, starts, stops),
        overlap=np.maximum(0, np.maximum.accumulate(right) - next_left)[stops - 1],
        cut=pieces.cuts[stops],
        ends_at_seam=pieces.cuts[stops] > 0,
        signs=np.where((pieces.cuts[starts] == 0) & (pieces.cuts[stops] == 0), signs, ""),  # a part may look like one
        margin=unknown,
        log_score=unknown,
        log_other_score=unknown,
    )
    return geometric.with_probabilities(probabilities)


def _widest_gaps(left: Floats, right: Floats, starts: Ints, stops: Ints) -> Floats:
    """Return the widest gap between the pieces of each segment; 0 for one piece."""
    members = np.minimum(np.arange(len(left))[:, np.newaxis] + np.arange((stops - starts).max()), len(left) - 1)
    gaps = left[members] - np.maximum.accumulate(right[members], axis=1)[:, [0, *range(members.shape[1] - 1)]]
    return np.asarray(np.maximum.accumulate(np.maximum(gaps, 0), axis=1)[starts, stops - starts - 1])
