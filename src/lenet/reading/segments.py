"""Join neighbouring pieces of a line into segments, each of which may be a digit, and classify them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet._mnist_form import mnist_form
from lenet.model import LeNet5
from lenet.reading.features import LEAST, Features, features_of
from lenet.reading.lines import reject_texture
from lenet.reading.pieces import Pieces
from lenet.reading.strokes import Boxes
from lenet.training.augment.distortions import distort

MAX_SEGMENTS = 20_000  # of a picture: a page of 2,000 digits has some 17,000
_MAX_PIECES = 14  # of a segment
_MAX_WIDTH = 1.5  # of a segment of several pieces, in heights of the writing
# The network sees each segment as it is, slanted either way, smaller and larger. Maps for `distort`.
_VIEWS = np.array([[[1, 0.15], [0, 1]], [[1, -0.15], [0, 1]], [[1.12, 0], [0, 1.12]], [[0.92, 0], [0, 0.92]]])


@dataclass(frozen=True)
class Segments:
    """The segments of a line."""

    starts: NDArray[np.int64]  # (n,): the first piece of each segment
    stops: NDArray[np.int64]  # (n,): the piece after its last
    boxes: Boxes  # in the line's pixels
    log_probabilities: NDArray[np.float64]  # (n, num_classes): the network's
    features: Features


def segments_of(
    model: LeNet5, lines: Sequence[Pieces], n_jobs: int | None = None, max_segments: int = MAX_SEGMENTS
) -> list[Segments]:
    """Return all segments that the pieces of each line may form; raise InputError if they are more than the limit."""
    joined = [_joined(pieces) for pieces in lines]
    reject_texture(sum(len(starts) for starts, _, _ in joined), max_segments, "shapes that may be digits")
    return [_classified(model, pieces, *each, n_jobs) for pieces, each in zip(lines, joined, strict=True)]


def _classified(
    model: LeNet5,
    pieces: Pieces,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    boxes: Boxes,
    n_jobs: int | None,
) -> Segments:
    images = np.stack([_image(pieces, *segment) for segment in zip(starts, stops, boxes, strict=True)])
    probabilities = _mean_probabilities(model, images, n_jobs)
    features = features_of(pieces, starts, stops, boxes, probabilities)
    return Segments(starts, stops, boxes, np.log(np.maximum(probabilities, LEAST)), features)


def _joined(pieces: Pieces) -> tuple[NDArray[np.int64], NDArray[np.int64], Boxes]:
    """Return the first piece of each segment, the piece after its last, and its box."""
    boxes, max_width = pieces.boxes, _MAX_WIDTH * pieces.line.height
    starts, stops, joined = [], [], []
    for start in range(len(boxes)):
        next_boxes = boxes[start : start + _MAX_PIECES]
        unions = np.hstack([np.minimum.accumulate(next_boxes[:, :2]), np.maximum.accumulate(next_boxes[:, 2:])])
        fits = unions[:, 2] - unions[:, 0] <= max_width
        fits[0] = True
        for count in np.flatnonzero(fits):
            starts.append(start)
            stops.append(start + int(count) + 1)
            joined.append(unions[count])
    return np.array(starts), np.array(stops), np.array(joined)


def _image(pieces: Pieces, start: int, stop: int, box: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the image of a segment in MNIST's format."""
    left, top, right, bottom = box
    labels, ink = pieces.labels[top:bottom, left:right], pieces.line.ink[top:bottom, left:right]
    return mnist_form(np.where((labels > start) & (labels <= stop), ink, 0).astype(np.uint8))


def _mean_probabilities(model: LeNet5, images: NDArray[np.uint8], n_jobs: int | None) -> NDArray[np.float64]:
    """Return the mean of the network's probabilities over the images and their views."""
    total = model.predict_proba(images, n_jobs=n_jobs).astype(np.float64)
    for view in _VIEWS:
        maps = np.broadcast_to(np.column_stack([view, [0, 0]]), (len(images), 2, 3))
        total += model.predict_proba(distort(images, maps), n_jobs=n_jobs)
    return total / (1 + len(_VIEWS))
