"""Join neighbouring pieces of a line into segments, each of which may be a digit, and classify them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import cv2
from lenet._mnist_form import mnist_form
from lenet.model import LeNet5
from lenet.reading.features import MIN_PROBABILITY, Features, features_of
from lenet.reading.loops import Loop, loops_of
from lenet.reading.pieces import Pieces, Spans
from lenet.reading.signs import signs_of
from lenet.reading.strokes import Floats, box_around, reject_texture

MAX_SEGMENTS = 15_000  # of a picture: a page of 2,000 digits, few of which touch, has 4,000
# Of a page after a turn, or of the fields of a form, as they are read four times: upright, 1,000 digits have fewer.
MAX_SEGMENTS_TURNED = 3_300
_MAX_PIECES = 14  # of a segment
_MAX_WIDTH = 1.5  # of a segment of several pieces, in heights of the writing


@dataclass(frozen=True, eq=False)
class Segments(Spans):
    """The segments of a line."""

    images: NDArray[np.uint8]  # (n, 28, 28): in MNIST's format
    probabilities: Floats  # (n, num_classes): the network's
    features: Features

    @property
    def log_probabilities(self) -> Floats:
        """The logarithms of the probabilities."""
        return np.log(np.maximum(self.probabilities, MIN_PROBABILITY))

    def with_probabilities(self, probabilities: Floats) -> "Segments":
        """Return the segments with other probabilities."""
        features = self.features.with_probabilities(probabilities)
        return replace(self, probabilities=probabilities, features=features)


def segments_of(
    model: LeNet5, lines: Sequence[Pieces], n_jobs: int | None = None, max_segments: int = MAX_SEGMENTS
) -> list[Segments]:
    """Return all segments that the pieces of each line may form.

    Raises InputError if there are more than `max_segments`.
    """
    joined = [_joined(pieces) for pieces in lines]
    counts = [len(spans.starts) for spans in joined]
    reject_texture(sum(counts), max_segments, "shapes that may be digits")
    if not lines:
        return []
    images = np.concatenate([_images(spans) for spans in joined])
    probabilities = model.predict_proba(images, n_jobs=n_jobs).astype(np.float64)
    ends = np.cumsum(counts)[:-1]
    parts = zip(joined, np.split(images, ends), np.split(probabilities, ends), strict=True)
    return [_segments(*each, model.classes) for each in parts]


def _segments(spans: Spans, images: NDArray[np.uint8], probabilities: Floats, classes: Sequence[str]) -> Segments:
    """Return the segments of a line with their features."""
    features = features_of(spans, signs_of(spans, images, probabilities, classes), probabilities)
    return Segments(**vars(spans), images=images, probabilities=probabilities, features=features)


def _joined(pieces: Pieces) -> Spans:
    """Return all segments that the pieces of a line may form."""
    members = np.arange(len(pieces.boxes))[:, np.newaxis] + np.arange(_MAX_PIECES)
    boxes = pieces.boxes[np.minimum(members, len(pieces.boxes) - 1)]
    unions = np.dstack([np.minimum.accumulate(boxes[..., :2], axis=1), np.maximum.accumulate(boxes[..., 2:], axis=1)])
    fits = (members < len(boxes)) & (unions[..., 2] - unions[..., 0] <= _MAX_WIDTH * pieces.line.height)
    fits[:, 0] = True
    starts, lasts = np.nonzero(fits)
    return Spans(pieces, starts, starts + lasts + 1, unions[fits])


def _images(spans: Spans) -> NDArray[np.uint8]:
    """Return the images of segments in MNIST's format, with the whole walls of their loops."""
    pieces, images = spans.pieces, np.empty((len(spans.starts), SIDE, SIDE), np.uint8)
    line_ink, inside = pieces.line.ink, list[list[Loop]]([] for _ in images)
    for loop in loops_of(pieces):
        for n in np.flatnonzero(loop.is_inside(spans)).tolist():
            inside[n].append(loop)
    each_segment = zip(spans.starts.tolist(), spans.stops.tolist(), spans.boxes.tolist(), inside, strict=True)
    for n, (start, stop, box, loops) in enumerate(each_segment):
        left, top, right, bottom = box_around(np.array([box, *(loop.box for loop in loops)])) if loops else box
        shown = cv2.inRange(pieces.labels[top:bottom, left:right], start + 1, stop)
        for loop in loops:
            shown[loop.window_in(left, top)] |= loop.wall
        images[n] = mnist_form(cv2.bitwise_and(line_ink[top:bottom, left:right], shown))
    return images
