"""Detect signs that resemble digits: "+" a 4, a multiplication sign a 7, a long comma or a slash a 1, "°" a 0."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._mnist_form import MIDDLE
from lenet.reading.pieces import Spans
from lenet.reading.strokes import Floats, have_comma_size

_MAX_OF_SIGN = 0.9  # probability: a more certain digit is not a sign
_MIN_SLASHES = 2  # in a line, as in a date: a single one may be a 1
_MIN_RADIUS = 5.0  # pixels: nearer to the crossing, the arms are not separate
_MIN_FOURTH, _MAX_OTHERS = 0.65, 0.3  # magnitudes of the harmonics
# Of a long comma, in heights of the writing: its top is at most this far above the middle of the line, and its bottom
# at least this far below the middle, that is, slightly below the digits.
_MAX_ABOVE, _MIN_BELOW = 0.05, 0.6
# Of a degree sign: its sides in heights of the writing, and its height over its width; a raised 0 is narrower.
_MAX_RING, _MAX_ASPECT = 0.45, 1.2
# Of a slash: the height over those of the writing and of the strokes beside it, the thickness as a fraction of the
# length (both as standard deviations of its ink), the slant in columns per row, and the distance from the middle of the
# line.
_TALLER, _MAX_THICKNESS, _MIN_SLANT, _MAX_OFF_LINE = 1.05, 0.14, 0.15, 0.25
_Y, _X = np.mgrid[:SIDE, :SIDE].reshape(2, -1) - MIDDLE
_ANGLES = np.arctan2(_Y, _X)
_PHASES = np.outer(_ANGLES, (0, 1, 2, 4))
_HARMONICS = np.hstack([np.cos(_PHASES), np.sin(_PHASES)]).astype(np.float32)
_HARMONICS[np.hypot(_X, _Y) < _MIN_RADIUS] = 0
_MOMENTS = np.stack([_X, _Y, _X * _X, _X * _Y, _Y * _Y], axis=1).astype(np.float32)


def signs_of(
    spans: Spans, images: NDArray[np.uint8], probabilities: Floats, classes: Sequence[str]
) -> NDArray[np.str_]:
    """Return "+", "x", ",", "/" or "°" for each segment of a line that is such a sign, and "" for the others."""
    signs = np.full(len(images), "")
    if "".join(classes).isdecimal():  # letters may have the same shapes
        may_be_sign = probabilities.max(axis=1) < _MAX_OF_SIGN
        signs[may_be_sign] = crosses_of(images[may_be_sign])
        likeliest = np.array(classes)[probabilities.argmax(axis=1)]
        signs[(may_be_sign | (likeliest == "0")) & may_be_degrees(spans)] = "°"
        may_be_line = may_be_sign | (likeliest == "1")
        signs[may_be_line & may_be_commas(spans)] = ","
        slashes = np.flatnonzero(may_be_line & may_be_slashes(spans))
        slashes = slashes[are_slanted_lines(images[slashes])] if len(slashes) else slashes
        if len(slashes) >= _MIN_SLASHES:
            signs[slashes] = "/"
    return signs


def crosses_of(images: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Return "+" or "x" for each image that shows such a sign, and "" for the others.

    The ink around the centre of mass is expanded in harmonics of its angle: four similar arms at right angles have a
    strong fourth harmonic, whose phase tells upright from diagonal arms, and hardly any first and second one.

    Examples
    --------
    >>> image = np.zeros((1, 28, 28), np.uint8)
    >>> image[0, 13:16, 4:25] = image[0, 4:25, 13:16] = 255
    >>> crosses_of(image).tolist()
    ['+']
    """
    pixels = images.reshape(-1, SIDE * SIDE).astype(np.float32)
    sums = np.einsum("np,ph->nh", pixels, _HARMONICS)  # `@` would start threads
    real, imaginary = sums.reshape(-1, 2, 4).transpose(1, 2, 0)
    total = np.maximum(real[0], 1)
    _, first, second, fourth = np.hypot(real, imaginary)
    is_sign = fourth > _MIN_FOURTH * total
    is_sign &= np.maximum(first, second) < _MAX_OTHERS * total
    return np.where(is_sign, np.where(real[3] > 0, "+", "x"), "")


def may_be_slashes(spans: Spans) -> NDArray[np.bool_]:
    """Return whether each segment of a line is a stroke of the size of a slash, between two that are lower.

    A 1 may be as tall, but then so are most 1s beside it.
    """
    pieces, height = spans.pieces, spans.pieces.line.height
    heights = np.concatenate([[np.inf], pieces.boxes[:, 3] - pieces.boxes[:, 1], [np.inf]])
    beside = np.maximum(heights[spans.starts], heights[spans.stops + 1])
    left, top, right, bottom = spans.boxes.T / height
    is_tall = bottom - top >= _TALLER * np.maximum(1, beside / height)
    off_line = np.abs((top + bottom) / 2 - pieces.middle((left + right) / 2))
    is_stroke = (spans.boxes == pieces.strokes[spans.starts]).all(axis=1)  # tall ones are cut into several pieces
    return np.asarray(is_stroke & is_tall & (off_line <= _MAX_OFF_LINE))


def are_slanted_lines(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether each image shows a thin straight stroke that leans to the right.

    Examples
    --------
    >>> image = np.zeros((1, 28, 28), np.uint8)
    >>> for row in range(4, 24):
    ...     image[0, row, 18 - row // 3 :][:2] = 255
    >>> are_slanted_lines(image).tolist(), are_slanted_lines(image[:, ::-1]).tolist()
    ([True], [False])
    """
    pixels = images.reshape(-1, SIDE * SIDE).astype(np.float32)
    x, y, xx, xy, yy = (np.einsum("np,ph->hn", pixels, _MOMENTS) / np.maximum(pixels.sum(axis=1), 1)).astype(np.float64)
    xx, xy, yy = xx - x * x, xy - x * y, yy - y * y
    spread = np.hypot((xx - yy) / 2, xy)
    thickness = np.sqrt(np.maximum((xx + yy) / 2 - spread, 0) / np.maximum((xx + yy) / 2 + spread, 1))
    return np.asarray((thickness < _MAX_THICKNESS) & (-xy > _MIN_SLANT * yy))


def may_be_degrees(spans: Spans) -> NDArray[np.bool_]:
    """Return whether each segment of a line has the size and place of a degree sign, after something else."""
    pieces, height = spans.pieces, spans.pieces.line.height
    left, top, right, bottom = spans.boxes.T / height
    is_ring = (np.maximum(right - left, bottom - top) <= _MAX_RING) & (bottom - top <= _MAX_ASPECT * (right - left))
    return np.asarray(is_ring & (bottom < pieces.middle((left + right) / 2)) & (spans.starts > 0))


def may_be_commas(spans: Spans) -> NDArray[np.bool_]:
    """Return whether each segment of a line has the size and place of a long comma, with something on either side."""
    pieces, height = spans.pieces, spans.pieces.line.height
    left, top, right, bottom = spans.boxes.T
    middles = pieces.middle((left + right) / (2 * height)) * height
    is_low = (top > middles - _MAX_ABOVE * height) & (bottom > middles + _MIN_BELOW * height)
    may_be = np.asarray(is_low & (spans.starts > 0) & have_comma_size(spans.boxes, height))
    if not may_be.any():  # most lines have none, and finding the short strokes beside a line takes longer
        return may_be
    end = np.concatenate([pieces.boxes, pieces.line.short_strokes])[:, 2].max()
    return np.asarray(may_be & (right < end))
