"""From a line of strokes to digits: cut into pieces, more than there are, and join them as the recogniser likes best.

The paper calls it heuristic over-segmentation (section V). The gaps between pieces are the nodes of a graph; an arc
joins some pieces to a segment, and costs what the network thinks of it. The reading is the cheapest path.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet._mnist_form import mnist_form
from lenet.data.rubbish import cropped
from lenet.model import LeNet5

_MOST_PIECES = 9  # that make a digit
_WIDEST = 1.25  # digits, in heights of the writing
_LOWEST = 0.4
_NARROWEST_CUT = 0.65  # strokes that may be cut
_CUT_COST = 0.6  # nats, for a cut through ink of a pen's width
_TRUST = 0.7  # the power to which it counts that a segment looks like a digit at all
_LEAST_SCORE = 0.1  # from which on a segment is a digit
_NO_DIGIT = 6.0  # nats, for a segment that is no digit


@dataclass
class Segment:
    """A part of a line that is read as one digit, or as none.

    `box` is left, top, right and bottom in the line's pixels; `probabilities` has one for each class, and `weight` is
    that the segment is a digit at all.
    """

    box: tuple[int, int, int, int]
    probabilities: NDArray[np.float64]
    weight: float
    is_digit: bool


def read_line(
    model: LeNet5,
    ink: NDArray[np.uint8],
    names: NDArray[np.int32],
    members: list[int],
    height: float,
    n_jobs: int | None,
) -> tuple[list[Segment], float]:
    """Return the segments of a line, from left to right, and the reading's confidence.

    Parameters
    ----------
    model : LeNet5
    ink : ndarray of uint8, shape (H, W)
        Of the line.
    names : ndarray of int32, shape (H, W)
        Which stroke each pixel belongs to.
    members : list of int
        The names of the line's strokes.
    height : float
        Of the writing.
    n_jobs : int, optional
    """
    pieces, cuts = _pieces(ink, names, members, height)
    arcs = [
        (start, stop)
        for start in range(len(cuts) - 1)
        for stop in range(start + 1, min(start + _MOST_PIECES, len(cuts) - 1) + 1)
    ]
    boxes = _boxes(pieces, len(cuts) - 1)
    images, kept, places = [], [], []
    for start, stop in arcs:
        box = _union(boxes[start:stop])
        width, tall = box[2] - box[0], box[3] - box[1]
        if stop - start > 1 and width > _WIDEST * height:
            continue
        kept.append((start, stop))
        places.append(box)
        images.append(_image(ink, pieces, start, stop, box) if tall >= _LOWEST * height else None)
    weights, probabilities = _judged(model, images, n_jobs)
    return _best_path(kept, places, weights, probabilities, cuts, _LOWEST * height)


def _pieces(
    ink: NDArray[np.uint8], names: NDArray[np.int32], members: list[int], height: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return which piece each pixel belongs to, from 1 on and from left to right, and what a cut before each costs."""
    found: list[tuple[float, int, int, int, float]] = []  # centre, stroke, left, right, cost of the cut before
    for name in members:
        mask = names == name
        columns = np.flatnonzero(mask.any(axis=0))
        first, last = int(columns[0]), int(columns[-1]) + 1
        places = _cuts(mask[:, first:last], height) if last - first > _NARROWEST_CUT * height else []
        edges = [0, *(place for place, _ in places), last - first]
        costs = [0.0, *(cost for _, cost in places)]
        for left, right, cost in zip(edges, edges[1:], costs, strict=False):
            found.append(((left + right) / 2 + first, name, left + first, right + first, cost))
    found.sort()
    pieces = np.zeros(names.shape, np.int32)
    for number, (_, name, left, right, _) in enumerate(found, 1):
        part = pieces[:, left:right]
        part[names[:, left:right] == name] = number
    return _with_edges(ink, pieces), np.array([0.0, *(each[4] for each in found[1:]), 0.0])


def _with_edges(ink: NDArray[np.uint8], pieces: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the pieces with the faint edges of their strokes, which threshold no stroke on their own."""
    cv2: Any = require("cv2", "vision")
    grown = cv2.dilate(pieces.astype(np.float32), np.ones((3, 3), np.uint8))
    return np.where((pieces == 0) & (ink > 0), grown, pieces).astype(np.int32)


def _cuts(mask: NDArray[np.bool_], height: float) -> list[tuple[int, float]]:
    """Return columns where a stroke may be cut, and the costs: where it is thin, and thinner than around."""
    thick = mask.sum(axis=0).astype(np.float64)
    runs = (np.diff(np.pad(mask, ((1, 0), (0, 0))).astype(np.int8), axis=0) > 0).sum(axis=0)
    pen = max(1.0, 2.0 * mask.sum() / max(1, _edge_length(mask)))
    reach = max(1, round(0.15 * height))
    cuts: list[tuple[int, float]] = []
    for column in range(reach, len(thick) - reach):
        around = thick[column - reach : column + reach + 1]
        if thick[column] > around.min() or runs[column] > 3:
            continue
        if cuts and column - cuts[-1][0] < reach:
            continue
        cuts.append((column, _CUT_COST * thick[column] / pen))
    return cuts


def _edge_length(mask: NDArray[np.bool_]) -> float:
    padded = np.pad(mask, 1).astype(np.int8)
    return float((np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()) * np.pi / 4)


def _boxes(pieces: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    boxes = np.zeros((count, 4), np.int64)
    for number in range(count):
        mask = pieces == number + 1
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _union(boxes: NDArray[np.int64]) -> tuple[int, int, int, int]:
    return int(boxes[:, 0].min()), int(boxes[:, 1].min()), int(boxes[:, 2].max()), int(boxes[:, 3].max())


def _image(
    ink: NDArray[np.uint8], pieces: NDArray[np.int32], start: int, stop: int, box: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    part = pieces[top:bottom, left:right]
    return mnist_form(
        cropped(np.where((part > start) & (part <= stop), ink[top:bottom, left:right], 0).astype(np.uint8))
    )


def _judged(
    model: LeNet5, images: list[NDArray[np.uint8] | None], n_jobs: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much each image is a digit, from 0 to 1, and its classes' probabilities; low images are none."""
    weights = np.zeros(len(images))
    probabilities = np.full((len(images), model.num_classes), 1 / model.num_classes)
    real = [n for n, image in enumerate(images) if image is not None]
    if real:
        p = model.predict_proba(np.stack([image for image in images if image is not None]), n_jobs=n_jobs)
        probabilities[real] = p
        weights[real] = digit_score(p)
    return weights, probabilities


def digit_score(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return how much each image looks like a digit: 1 less the entropy, as a part of that of knowing nothing.

    A network that has learnt from images of no digit gives those the same probability for each class.

    Parameters
    ----------
    probabilities : ndarray of shape (n, num_classes)

    Returns
    -------
    ndarray of float64, shape (n,), in [0, 1]

    Examples
    --------
    >>> digit_score(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [1.0, 0.0]
    """
    p = probabilities.astype(np.float64)
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=1)
    return np.asarray(np.clip(1 - entropy / np.log(p.shape[1]), 0, 1))


def _best_path(
    arcs: list[tuple[int, int]],
    boxes: list[tuple[int, int, int, int]],
    weights: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    cuts: NDArray[np.float64],
    lowest: float,
) -> tuple[list[Segment], float]:
    """Return the cheapest path, and its share in the weight of all paths."""
    end = len(cuts) - 1
    cost, back = np.full(end + 1, np.inf), np.zeros(end + 1, np.int64)
    total = np.zeros(end + 1)  # of the weights of all paths, in all their readings
    cost[0], total[0] = 0.0, 1.0
    best = -np.log(np.maximum(weights**_TRUST * probabilities.max(axis=1), 1e-9))
    as_digit = (best < _NO_DIGIT) & (weights >= _LEAST_SCORE)
    price = np.minimum(best, _NO_DIGIT)
    for n, (start, stop) in enumerate(arcs):
        here = cost[start] + price[n] + cuts[stop]
        total[stop] += total[start] * (weights[n] ** _TRUST + np.exp(-_NO_DIGIT)) * np.exp(-cuts[stop])
        if here < cost[stop]:
            cost[stop], back[stop] = here, n
    segments = []
    place = end
    while place:
        n = int(back[place])
        if as_digit[n] or boxes[n][3] - boxes[n][1] >= lowest:  # what is lower is a point or a dash
            segments.append(Segment(boxes[n], probabilities[n], float(weights[n]), bool(as_digit[n])))
        place = arcs[n][0]
    return segments[::-1], float(np.exp(-cost[end]) / total[end])
