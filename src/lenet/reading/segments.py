"""From pieces to segments: each way to join neighbouring pieces to something that may be a digit, and what it is like.

The network tells what digit a segment would be; its size and place on the line, and the seams beside it, tell whether
to believe it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._mnist_form import mnist_form
from lenet.model import LeNet5
from lenet.reading.pieces import Pieces
from lenet.rejection import digit_score
from lenet.training.augment.distortions import distort

_MOST_PIECES = 14  # that make a segment
_WIDEST = 1.5  # segments of several pieces, in heights of the writing
# Each segment is looked at as it is, slanted either way, smaller and larger: a map of places, as `distort` takes them.
_VIEWS = np.array(
    [[[1, 0], [0, 1]], [[1, 0.15], [0, 1]], [[1, -0.15], [0, 1]], [[1.12, 0], [0, 1.12]], [[0.92, 0], [0, 0.92]]]
)
_LEAST, _LEAST_OTHER = 1e-6, 1e-4  # of probabilities, and of what is left of the score, before their logarithm
_MOST_LIKELIER = 5.0


@dataclass
class Segments:
    """The segments of a line.

    Parameters
    ----------
    starts, stops : ndarray of int64, shape (n,)
        Each joins the pieces from `start` up to, not including, `stop`.
    boxes : ndarray of int64, shape (n, 4)
        Left, top, right and bottom in the line's pixels; the last two are outside.
    log_probabilities : ndarray of float64, shape (n, num_classes)
        The network's.
    as_digit, as_other : ndarray of float64, shapes (n, 10) and (n, 6)
        What speaks for its being a digit, and for its being something else: see `AS_DIGIT` and `AS_OTHER`.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    boxes: NDArray[np.int64]
    log_probabilities: NDArray[np.float64]
    as_digit: NDArray[np.float64]
    as_other: NDArray[np.float64]


# Lengths are in heights of the writing, cuts in pen's widths.
AS_DIGIT = (
    "how much less high and wide than 0.8", "how much taller than 1.15", "how much wider than 1", "widest gap inside",
    "overlap with the next", "cut behind it", "whether there is one", "distance of its middle from the line's",
    "logarithm of how much likelier the best label is than the second", "logarithm of the digit score",
)  # fmt: skip
AS_OTHER = (
    "one", "area", "overlap with the next", "cut behind it", "whether there is one",
    "logarithm of 1 less the digit score",
)  # fmt: skip


def segments_of(
    model: LeNet5, ink: NDArray[np.uint8], pieces: Pieces, height: float, n_jobs: int | None = None
) -> Segments:
    """Return the segments that a line's pieces may be joined to.

    Parameters
    ----------
    model : LeNet5
    ink : ndarray of uint8, shape (H, W)
        Of the line.
    pieces : Pieces
        Of the line.
    height : float
        Of the writing, in pixels.
    n_jobs : int, optional
        As for `LeNet5.predict`.
    """
    starts, stops, boxes = _joined(pieces.boxes, _WIDEST * height)
    images = np.stack([_image(ink, pieces.names, *each) for each in zip(starts, stops, boxes, strict=True)])
    probabilities = _seen(model, images, n_jobs)
    left, top, right, bottom = (pieces.boxes / height).T
    wide, tall = boxes[:, 2] / height - boxes[:, 0] / height, boxes[:, 3] / height - boxes[:, 1] / height
    furthest = np.maximum.accumulate(right)
    next_left = np.append(np.minimum.accumulate(left[::-1])[::-1], np.inf)[1:]
    overlap = np.maximum(0, furthest - next_left)[stops - 1]
    gap = np.array([_widest_gap(left[a:b], right[a:b]) for a, b in zip(starts, stops, strict=True)])
    cut = pieces.cuts[stops]
    middle = _middle(left, top, right, bottom)
    off = (boxes[:, 1] + boxes[:, 3]) / (2 * height) - middle((boxes[:, 0] + boxes[:, 2]) / (2 * height))
    score = digit_score(probabilities)
    best = np.sort(np.log(np.maximum(probabilities, _LEAST)), axis=1)[:, -2:]
    as_digit = [
        np.maximum(0, 0.8 - np.maximum(tall, wide)), np.maximum(0, tall - 1.15), np.maximum(0, wide - 1), gap, overlap,
        cut, cut > 0, np.abs(off), np.minimum(best[:, 1] - best[:, 0], _MOST_LIKELIER),
        np.log(np.maximum(score, _LEAST)),
    ]  # fmt: skip
    as_other = [
        np.ones(len(starts)), np.minimum(tall, 1.5) * np.minimum(wide, 1.5), overlap, cut, cut > 0,
        np.log(np.maximum(1 - score, _LEAST_OTHER)),
    ]  # fmt: skip
    return Segments(
        starts,
        stops,
        boxes,
        np.log(np.maximum(probabilities, _LEAST)),
        np.stack(as_digit, axis=1),
        np.stack(as_other, axis=1),
    )


def _joined(boxes: NDArray[np.int64], widest: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each segment's first piece, the one behind its last, and its box."""
    starts, stops, joined = [], [], []
    for start in range(len(boxes)):
        some = boxes[start : start + _MOST_PIECES]
        unions = np.hstack([np.minimum.accumulate(some[:, :2]), np.maximum.accumulate(some[:, 2:])])
        fits = unions[:, 2] - unions[:, 0] <= widest
        fits[0] = True
        for count in np.flatnonzero(fits):
            starts.append(start)
            stops.append(start + int(count) + 1)
            joined.append(unions[count])
    return np.array(starts), np.array(stops), np.array(joined)


def _image(ink: NDArray[np.uint8], names: NDArray[np.int32], start: int, stop: int, box: Any) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    part = names[top:bottom, left:right]
    return mnist_form(np.where((part > start) & (part <= stop), ink[top:bottom, left:right], 0).astype(np.uint8))


def _seen(model: LeNet5, images: NDArray[np.uint8], n_jobs: int | None) -> NDArray[np.float64]:
    """Return the mean of the network's probabilities over all views of the images."""
    total = np.zeros((len(images), model.num_classes))
    for view in _VIEWS:
        maps = np.broadcast_to(np.column_stack([view, [0, 0]]), (len(images), 2, 3))
        total += model.predict_proba(distort(images, maps), n_jobs=n_jobs)
    return total / len(_VIEWS)


def _widest_gap(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float((left[1:] - np.maximum.accumulate(right)[:-1]).max(initial=0))


def _middle(
    left: NDArray[np.float64], top: NDArray[np.float64], right: NDArray[np.float64], bottom: NDArray[np.float64]
) -> np.poly1d:
    """Return the line's middle as a function of the place along it, lengths in heights; long lines may be aslant."""
    x, y, tall = (left + right) / 2, (top + bottom) / 2, bottom - top
    whole = tall > 0.6
    if whole.sum() < 6 or np.ptp(x[whole]) < 4:
        return np.poly1d([float(np.median(y[whole] if whole.any() else y))])
    return np.poly1d(np.polyfit(x[whole], y[whole], 1))
