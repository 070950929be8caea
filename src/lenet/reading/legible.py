"""Find the strokes of lines that are legible digits, which are not cut."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import mnist_form
from lenet.model import LeNet5
from lenet.reading.lines import InkLine
from lenet.reading.pieces import MIN_WIDTH
from lenet.rejection import digit_score

# With earlier weights, only 2 of 1,900 such strokes in pages, strings, cheques and photographs should be cut.
_LEGIBLE = 0.95  # the minimum digit score
_MIN_HEIGHT, _MAX_HEIGHT, _MAX_WIDTH = 0.7, 1.15, 1.0  # in heights of the writing


def legible_strokes(model: LeNet5, lines: Sequence[InkLine], n_jobs: int | None = None) -> list[NDArray[np.bool_]]:
    """Return, for each line, whether each of its strokes is a wide digit of the usual size with a high digit score."""
    legible = [_have_usual_size(line) for line in lines]
    images = [
        _image(line, member) for line, chosen in zip(lines, legible, strict=True) for member in line.members[chosen]
    ]
    if images:
        is_digit = digit_score(model.predict_proba(np.stack(images), n_jobs=n_jobs)) >= _LEGIBLE
        parts = np.split(is_digit, np.cumsum([chosen.sum() for chosen in legible])[:-1])
        for chosen, part in zip(legible, parts, strict=True):
            chosen[chosen] = part
    return legible


def _have_usual_size(line: InkLine) -> NDArray[np.bool_]:
    strokes = line.page.strokes
    heights, widths = strokes.heights[line.members] / line.height, strokes.widths[line.members] / line.height
    has_height = (heights >= _MIN_HEIGHT) & (heights <= _MAX_HEIGHT)
    return np.asarray(has_height & (widths > MIN_WIDTH) & (widths <= _MAX_WIDTH))


def _image(line: InkLine, stroke: int) -> NDArray[np.uint8]:
    """Return the image of a stroke in MNIST's format."""
    left, top, right, bottom = line.page.strokes.boxes[stroke].tolist()
    window = np.s_[top:bottom, left:right]
    with_edges = cv2.dilate((line.page.strokes.labels[window] == stroke + 1).view(np.uint8), np.ones((3, 3), np.uint8))
    return mnist_form(line.page.ink[window] * with_edges)
