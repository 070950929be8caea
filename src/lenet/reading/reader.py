"""Read the digits in a picture: one, a number, or a page of them."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.model import LeNet5
from lenet.reading.lines import Lines, find_lines, refuse_texture, typical_height
from lenet.reading.paths import best_path, graph_of
from lenet.reading.pictures import read_picture
from lenet.reading.pieces import Pieces, pieces_of
from lenet.reading.preparing import as_grey
from lenet.reading.segments import segments_of

_SPACE = 0.9  # heights of the writing
_LOWEST = 0.4
_MARGIN = 2  # pixels around a line

_MOST_PIECES = 12_000  # of a picture, two for each of the most strokes
Corner = tuple[int, int]  # left and top
Part = tuple[NDArray[np.uint8], Pieces, float, Corner]  # a line: its pixels, pieces, height of writing, and place


@dataclass(frozen=True)
class Digit:
    """A digit that was read, or something that is none.

    Parameters
    ----------
    box : tuple of int
        Left, top, right and bottom in pixels of the picture; the last two are outside.
    label : int or None
        The digit; None for what is none.
    probability : float
        Of the label, among all readings of the line: that there is such a digit just here, or something that is none.
    second : int
        The likeliest digit but for the label.
    second_probability : float
        Of that, in the same sense.

    Examples
    --------
    >>> Digit((10, 5, 30, 33), label=7, probability=0.99, second=1, second_probability=0.01).box
    (10, 5, 30, 33)
    """

    box: tuple[int, int, int, int]
    label: int | None
    probability: float
    second: int
    second_probability: float


@dataclass(frozen=True)
class Line:
    """A line of digits, from left to right.

    Parameters
    ----------
    digits : tuple of Digit
    confidence : float
        The probability of these digits, from 0 to 1, among all readings of the line. A ? does not lower it.
    text : str
        The digits; a space where a gap is as wide as a digit is high, and ? for what is no digit.

    Examples
    --------
    >>> seven = Digit((10, 5, 30, 33), 7, 0.99, 1, 0.01)
    >>> one = Digit((40, 6, 48, 34), 1, 0.9, 7, 0.1)
    >>> Line((seven, one), confidence=0.89, text="71").box
    (10, 5, 48, 34)
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

    Parameters
    ----------
    lines : tuple of Line
        In reading order; none for a picture without digits.

    Examples
    --------
    >>> seven = Digit((10, 5, 30, 33), 7, 0.99, 1, 0.01)
    >>> Reading((Line((seven,), 0.99, "7"), Line((seven,), 0.99, "7"))).text.split()
    ['7', '7']
    """

    lines: tuple[Line, ...] = field(default_factory=tuple)

    @property
    def text(self) -> str:
        """The lines' texts, a line each."""
        return "\n".join(line.text for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the reading as plain lists, numbers and texts, for JSON.

        Returns
        -------
        dict
            "lines", a list with a dict for each: "text", "confidence", "box", and "digits" with the fields of each.
        """
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
    image: ArrayLike | str | os.PathLike[str],
    model: LeNet5 | None = None,
    *,
    only_digits: bool = False,
    n_jobs: int | None = None,
) -> Reading:
    """Read the digits in a picture, line by line.

    Ink is told from paper, lines that run up or down are turned, rules, frames and specks left out. Each line is cut
    into more pieces than it has digits; of all ways to join them, the most probable one is taken (the paper, section
    V).

    Parameters
    ----------
    image : path-like, or array_like of shape (H, W) or (H, W, 3)
        As for `read_picture`, or `prepare`.
    model : LeNet5, optional
        By default the one that lenet ships.
    only_digits : bool, default False
        Whether there is nothing but digits in the lines, as on a form: each segment is read as one then, and none as ?.
        Probabilities and confidences stay what they are.
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
    if model is None:
        from lenet.loading import load_pretrained

        model = load_pretrained("mnist")
    _checks.model(model)
    grey = read_picture(image) if isinstance(image, str | os.PathLike) else as_grey(image)
    page = find_lines(grey)
    parts = [pieces_of_line(page, members) for members in page.members]
    refuse_texture(sum(len(pieces.boxes) for _, pieces, _, _ in parts), _MOST_PIECES, "pieces of strokes")
    lines = (_read_line(model, page, part, only_digits, n_jobs) for part in parts)
    return Reading(tuple(line for line in lines if line is not None))


def pieces_of_line(page: Lines, members: NDArray[np.int64]) -> Part:
    """Return a line's pixels, pieces, height of writing, and left and top on the page."""
    boxes = page.strokes.boxes[members]
    left, top = (int(place) for place in np.maximum(boxes[:, :2].min(axis=0) - _MARGIN, 0))
    right, bottom = boxes[:, 2:].max(axis=0) + _MARGIN
    ink, height = page.ink[top:bottom, left:right], typical_height(page.strokes, members)
    return ink, pieces_of(ink, page.strokes, members, (left, top), height), height, (left, top)


def _read_line(model: LeNet5, page: Lines, part: Part, only_digits: bool, n_jobs: int | None) -> Line | None:
    """Return what a line says; None if there is no digit in it."""
    ink, pieces, height, corner = part
    segments = segments_of(model, ink, pieces, height, n_jobs)
    is_low = segments.boxes[:, 3] - segments.boxes[:, 1] < _LOWEST * height  # a point, or a dash
    path = best_path(graph_of(segments), ~is_low if only_digits else None)
    if all(label is None for label in path.labels):
        return None
    digits, text, end = [], "", None
    for arc, label, probabilities in zip(path.arcs, path.labels, path.probabilities, strict=True):
        box = segments.boxes[arc]
        if label is None and is_low[arc]:
            continue
        if end is not None and box[0] - end > _SPACE * height:
            text += " "
        text += "?" if label is None else str(label)
        end = box[2]
        digits.append(_digit(box + np.array([*corner, *corner]), label, probabilities, page))
    return Line(tuple(digits), path.confidence, text)


def _digit(box: NDArray[np.int64], label: int | None, probabilities: NDArray[np.float64], page: Lines) -> Digit:
    corners = np.array([[x, y, 1] for x in box[[0, 2]] for y in box[[1, 3]]]) @ page.back.T
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    others = probabilities[:-1].copy()
    if label is not None:
        others[label] = -1
    second = int(others.argmax())
    return Digit(
        (max(0, int(left)), max(0, int(top)), min(page.shape[1], int(right)), min(page.shape[0], int(bottom))),
        label,
        float(probabilities[-1 if label is None else label]),
        second,
        float(probabilities[second]),
    )
