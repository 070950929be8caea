"""Read the digits in a picture: one, a number, or a page of them."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet._extras import require
from lenet.model import LeNet5
from lenet.reading.ink import find_ink
from lenet.reading.lines import (
    Strokes,
    chained,
    is_writing,
    skew,
    strokes_of,
    without_rules,
    writing_height,
)
from lenet.reading.pictures import read_picture
from lenet.reading.preparing import as_grey
from lenet.reading.segments import Segment, read_line

_LARGEST = 2000  # pixels on the longer side that are looked at
_SMALLEST = 4  # pixels, of writing that can be read
_SPACE = 0.9  # heights of the writing
_MARGIN = 2  # pixels around a line


@dataclass(frozen=True)
class Digit:
    """A digit that was read, or something that is none.

    Attributes
    ----------
    box : tuple of int
        Left, top, right and bottom in pixels of the picture; the last two are outside.
    label : int or None
        The digit; None for what is none.
    probability : float
        Of the label, or of the likeliest one.
    second : int
        The second best.
    second_probability : float
        Of that.
    """

    box: tuple[int, int, int, int]
    label: int | None
    probability: float
    second: int
    second_probability: float


@dataclass(frozen=True)
class Line:
    """A line of digits, from left to right.

    Attributes
    ----------
    digits : tuple of Digit
    confidence : float
        From 0 to 1: the share of this reading, cuts and labels, among all readings of the line.
    text : str
        The digits; a space where a gap is as wide as a digit is high, and ? for what is no digit.
    box : tuple of int
    """

    digits: tuple[Digit, ...]
    confidence: float
    text: str

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of all digits, in pixels of the picture."""
        boxes = np.array([digit.box for digit in self.digits])
        (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        return int(left), int(top), int(right), int(bottom)


@dataclass(frozen=True)
class Reading:
    """What a picture says.

    Attributes
    ----------
    lines : tuple of Line
        In reading order; none for a picture without digits.
    text : str
        The lines' texts.
    """

    lines: tuple[Line, ...] = field(default_factory=tuple)

    @property
    def text(self) -> str:
        """The lines' texts, a line each."""
        return "\n".join(line.text for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the reading as plain lists, numbers and texts, for JSON."""
        return {
            "lines": [
                {
                    "text": line.text,
                    "confidence": line.confidence,
                    "box": list(line.box),
                    "digits": [
                        {
                            "box": list(digit.box),
                            "label": digit.label,
                            "probability": digit.probability,
                            "second": digit.second,
                            "second_probability": digit.second_probability,
                        }
                        for digit in line.digits
                    ],
                }
                for line in self.lines
            ]
        }


def read(
    image: ArrayLike | str | os.PathLike[str], model: LeNet5 | None = None, *, n_jobs: int | None = None
) -> Reading:
    """Read the digits in a picture, line by line.

    Ink is told from paper, lines that run up or down are turned, rules, frames and specks left out. Each line is cut
    into more pieces than it has digits; of all ways to join them, the one is taken that the network likes best
    (the paper, section V).

    Parameters
    ----------
    image : path-like, or array_like of shape (H, W) or (H, W, 3)
        As for `read_picture`, or `prepare`.
    model : LeNet5, optional
        By default the one that lenet ships.
    n_jobs : int, optional
        As for `LeNet5.predict`.

    Returns
    -------
    Reading

    Raises
    ------
    DataError, InputError, InputTypeError, OSError
        If it is no picture.
    MissingExtraError
        If OpenCV or Pillow is not installed.

    Examples
    --------
    >>> import lenet
    >>> digits = lenet.data.load_digits()
    >>> page = np.full((60, 160), 255, np.uint8)
    >>> for place, image in enumerate(digits.X_test[183:187]):
    ...     page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - image
    >>> read(page).text == "".join(map(str, digits.y_test[183:187]))
    True
    """
    cv2: Any = require("cv2", "vision")
    if model is None:
        from lenet.weights import load_pretrained

        model = load_pretrained("mnist")
    grey = read_picture(image) if isinstance(image, str | os.PathLike) else as_grey(image)
    scale = min(1.0, _LARGEST / max(grey.shape))
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in reversed(grey.shape))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    ink = find_ink(grey)
    height = writing_height(strokes_of(cv2, ink))
    if height < _SMALLEST:
        return Reading()
    ink, back = _upright(cv2, ink, height)
    ink = without_rules(cv2, ink, height)
    strokes = strokes_of(cv2, ink)
    height = writing_height(strokes) or height
    kept = np.flatnonzero(is_writing(strokes, height))
    if not len(kept):
        return Reading()
    lines = []
    for line in chained(strokes.boxes[kept], height):
        members = kept[line]
        order = members[np.argsort(strokes.heights[members])]
        middle = np.searchsorted(strokes.areas[order].cumsum(), strokes.areas[order].sum() / 2)
        height_here = float(strokes.heights[order[middle]])
        if height_here < 0.4 * height:
            continue
        segments, confidence, corner = _segments(model, ink, strokes, members, height_here, n_jobs)
        if any(segment.is_digit for segment in segments):
            lines.append(_line(segments, confidence, corner, height_here, back / scale))
    return Reading(tuple(lines))


def _upright(cv2: Any, ink: NDArray[np.uint8], height: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return ink whose lines are level, and the affine map, (2, 3), from there back."""
    angle = skew(ink, height)
    if not angle:
        return ink, np.eye(2, 3)
    rows, columns = ink.shape
    there = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1.0)
    width = int(abs(there[0, 0]) * columns + abs(there[0, 1]) * rows)
    tall = int(abs(there[0, 0]) * rows + abs(there[0, 1]) * columns)
    there[:, 2] += (width - columns) / 2, (tall - rows) / 2
    turned = np.asarray(cv2.warpAffine(ink, there, (width, tall)), np.uint8)
    return turned, np.asarray(cv2.invertAffineTransform(there), np.float64)


def _segments(
    model: LeNet5,
    ink: NDArray[np.uint8],
    strokes: Strokes,
    members: NDArray[np.int64],
    height: float,
    n_jobs: int | None,
) -> tuple[list[Segment], float, tuple[int, int]]:
    """Return a line's segments, the reading's confidence, and the place of its pixels."""
    boxes = strokes.boxes[members]
    top, left = np.maximum(boxes[:, [1, 0]].min(axis=0) - _MARGIN, 0)
    bottom, right = boxes[:, [3, 2]].max(axis=0) + _MARGIN
    window = slice(top, bottom), slice(left, right)
    segments, confidence = read_line(model, ink[window], strokes.names[window], (members + 1).tolist(), height, n_jobs)
    return segments, confidence, (int(left), int(top))


def _line(
    segments: list[Segment], confidence: float, corner: tuple[int, int], height: float, back: NDArray[np.float64]
) -> Line:
    digits, text, end = [], "", None
    for segment in segments:
        left, top, right, bottom = segment.box
        second, first = np.argsort(segment.probabilities)[-2:]
        label = int(first) if segment.is_digit else None
        if end is not None and left - end > _SPACE * height:
            text += " "
        text += "?" if label is None else str(label)
        end = right
        corners = np.array([[x + corner[0], y + corner[1], 1] for x in (left, right) for y in (top, bottom)]) @ back.T
        low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
        digits.append(
            Digit(
                (int(max(0, low[0])), int(max(0, low[1])), int(high[0]), int(high[1])),
                label,
                float(segment.probabilities[first]),
                int(second),
                float(segment.probabilities[second]),
            )
        )
    return Line(tuple(digits), confidence, text)
