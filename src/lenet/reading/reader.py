"""Read the digits in a picture: one, a number, or a page of them."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._fused.threads import resolve_n_jobs
from lenet.errors import InputError
from lenet.loading import load_pretrained
from lenet.model import LeNet5
from lenet.reading.frames import without_frames
from lenet.reading.graph import Coefficients, coefficients_of, graph_of
from lenet.reading.grids import turned, without_grids
from lenet.reading.legible import legible_strokes
from lenet.reading.lines import MIN_DECODED_PIXELS, find_lines, page_of, reject_texture
from lenet.reading.orientation import read_upright
from lenet.reading.page import Page
from lenet.reading.paths import best_path
from lenet.reading.pictures import PictureLike, reduced_grey
from lenet.reading.pieces import MAX_PIECES, Pieces, cutting_cost, pieces_of
from lenet.reading.results import Cell, Digit, Line, Reading
from lenet.reading.segments import MAX_SEGMENTS, Segments, segments_of
from lenet.reading.views import with_views
from lenet.reading.words import without_words

_SPACE = 0.9  # heights of the writing: wider gaps become spaces
_MIN_HEIGHT = 0.4  # heights of the writing: shorter segments are points or dashes
_CUTTING_COST = 200  # cutting at this cost takes as long as classifying a segment


def read(
    image: PictureLike,
    model: LeNet5 | None = None,
    *,
    only_digits: bool = False,
    rotate: bool = True,
    marks: bool = False,
    n_jobs: int | None = None,
) -> Reading:
    """Read the digits in a picture, line by line.

    Ink is separated from paper, sloping lines are levelled, and rules, frames and specks are removed. Strokes that are
    not clearly one digit are cut into pieces. The result is the most probable way to join the pieces (section V of the
    paper).

    Parameters
    ----------
    image : path-like, bytes, binary file, PIL.Image.Image or array_like
        As for `prepare`.
    model : LeNet5, optional
        By default, ``lenet.load_pretrained()``. The names of its classes must be single characters, such as digits or
        letters.
    only_digits : bool, default False
        Whether the lines contain only digits, as on a form. If so, only points and dashes are read as non-digits.
        Probabilities and confidences do not change.
    rotate : bool, default True
        Whether to read a page on its side or upside down as if it were upright, if its digits are then clearly more
        legible.
    marks : bool, default False
        Whether points, commas and dashes are in the texts, as in 3.14. They have no `Digit`.
    n_jobs : int, optional
        Number of threads, as for `lenet.LeNet5.predict`.

    Returns
    -------
    Reading

    Raises
    ------
    DataError, OSError
        If a file is not a readable picture.
    InputError, InputTypeError
        If an array is not a picture, as for `prepare`; if the picture shows noise or a texture; if n_jobs is invalid;
        if the model has a class whose name is not a single character.
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
    model = checked_model(model)
    only_digits, rotate = _checks.boolean(only_digits, "only_digits"), _checks.boolean(rotate, "rotate")
    marks = _checks.boolean(marks, "marks")
    resolve_n_jobs(n_jobs)
    characters = characters_of(model)
    page, cells = without_grids(page_of(*reduced_grey(image, MIN_DECODED_PIXELS)))
    page = without_frames(page)
    read_page = functools.partial(_read_page, model, characters, only_digits, marks, n_jobs)
    reading = read_upright(read_page, page) if rotate else read_page(page)
    return replace(reading, cells=filled(turned(cells, reading.rotation // 90), reading.lines))


def checked_model(model: LeNet5 | None) -> LeNet5:
    """Return a model after checking it; by default, the pre-trained one."""
    model = load_pretrained() if model is None else model
    _checks.model(model)
    return model


def characters_of(model: LeNet5) -> tuple[str, ...]:
    """Return the names of the model's classes after checking that each is a single character."""
    names = model.classes
    for name in names:
        if len(name) != 1:
            raise InputError(
                f"The model has a class {name!r}; expected names of one character, as a line is read character by "
                "character. To classify one symbol, run `lenet predict`, or send 28x28 pixels to /v2/models/NAME/infer."
            )
    return names


def segments_in(
    model: LeNet5, page: Page, coefficients: Coefficients, n_jobs: int | None, max_segments: int = MAX_SEGMENTS
) -> tuple[list[Pieces], list[Segments]]:
    """Return the lines of a page, cut into pieces, and their classified segments.

    Raises InputError as soon as the page is known to take too long.
    """
    lines = find_lines(page)
    whole = legible_strokes(model, lines, n_jobs)
    cost = sum(cutting_cost(*each) for each in zip(lines, whole, strict=True))
    reject_texture(cost, _CUTTING_COST * max_segments, "pixels in wide strokes")
    cut_lines: list[Pieces] = []
    count = 0
    for each in zip(lines, whole, strict=True):
        cut_lines.append(pieces_of(*each))
        count += len(cut_lines[-1].boxes)
        reject_texture(count, MAX_PIECES, "pieces of strokes")
    segments = segments_of(model, cut_lines, n_jobs, max_segments)
    return cut_lines, with_views(model, segments, coefficients, n_jobs)


def is_low(segments: Segments, height: float) -> NDArray[np.bool_]:
    """Return whether each segment is a point or a dash, given the height of the writing."""
    return np.asarray(segments.boxes[:, 3] - segments.boxes[:, 1] < _MIN_HEIGHT * height)


def _read_page(
    model: LeNet5,
    characters: Sequence[str],
    only_digits: bool,
    marks: bool,
    n_jobs: int | None,
    page: Page,
    max_segments: int = MAX_SEGMENTS,
) -> Reading:
    lines, segments = segments_in(model, page, coefficients_of(characters), n_jobs, max_segments)
    found = (_read_line(characters, *each, only_digits, marks) for each in zip(lines, segments, strict=True))
    return Reading(tuple(line for line in found if line is not None))


def filled(cells: Sequence[Cell], lines: Sequence[Line]) -> tuple[Cell, ...]:
    """Return the cells of grids, in reading order, with the texts of the lines in them."""
    if not cells:
        return ()
    boxes = np.array([cell.box for cell in cells]).reshape(len(cells), 2, 2)
    middles = boxes.mean(axis=1)
    texts = [""] * len(cells)
    for digit in (digit for line in lines for digit in line.digits):
        middle = np.reshape(digit.box, (2, 2)).mean(axis=0)
        around = ((boxes[:, 0] <= middle) & (middle <= boxes[:, 1])).all(axis=1)
        if around.any():  # in perspective, boxes overlap
            nearest = np.where(around, np.abs(middles - middle).sum(axis=1), np.inf).argmin()
            texts[int(nearest)] += digit.text
    found = (replace(cell, text=text) for cell, text in zip(cells, texts, strict=True))
    return tuple(sorted(found, key=lambda cell: (cell.grid, cell.row, cell.column)))


def _read_line(
    characters: Sequence[str], pieces: Pieces, segments: Segments, only_digits: bool, marks: bool
) -> Line | None:
    """Return the digits of a line, or None if there are none."""
    line, low = pieces.line, is_low(segments, pieces.line.height)
    path = best_path(graph_of(segments, coefficients_of(characters)), ~low if only_digits else None)
    if all(label is None for label in path.labels):
        return None
    arcs = segments.boxes[path.arcs]
    is_mark = low[path.arcs]
    if marks:  # a comma may be as high as half a digit
        baseline = np.median([box[3] for box, label in zip(arcs, path.labels, strict=True) if label is not None])
        is_mark |= arcs[:, 1] > baseline - line.height / 2
    shown = [k for k, label in enumerate(path.labels) if label is not None or not is_mark[k]]
    boxes = arcs[shown]
    places = line.page.boxes_in_picture(boxes + np.tile(line.corner, 2))
    gaps = (boxes[1:, 0] - boxes[:-1, 2]) / line.height
    labels = without_words([path.labels[k] for k in shown], path.probabilities[shown], gaps)
    if all(label is None for label in labels):
        return None
    found = zip(places, labels, path.probabilities[shown], strict=True)
    digits = tuple(_digit(place, label, probabilities, characters) for place, label, probabilities in found)
    hidden = sorted(set(range(len(arcs))).difference(shown)) if marks else ()
    found_marks = [(k - n, _mark(arcs[k], baseline, line.height)) for n, k in enumerate(hidden)]
    return Line(digits, path.confidence, _text(digits, gaps, found_marks))


def _text(digits: Sequence[Digit], gaps: NDArray[np.float64], marks: Sequence[tuple[int, str]]) -> str:
    """Return the text of a line, given each mark and the number of digits before it."""
    separators = ["", *np.where(gaps > _SPACE, " ", ""), ""]
    for place, mark in marks:
        if mark:
            separators[place] = separators[place].strip() + mark
    texts = [*(digit.text for digit in digits), ""]
    return "".join(chain.from_iterable(zip(separators, texts, strict=True)))


def _mark(box: NDArray[np.int64], baseline: float, height: float) -> str:
    """Return the point, comma or dash in a box of a line, or "" if it is none of them."""
    left, top, right, bottom = box
    middle = (baseline - (top + bottom) / 2) / height  # above the baseline
    if middle < 0.3:
        return "," if bottom > baseline + 0.1 * height or bottom - top > 1.5 * (right - left) else "."
    return "-" if middle < 0.7 and right - left > bottom - top else ""


def _digit(
    box: tuple[int, int, int, int], label: int | None, probabilities: NDArray[np.float64], characters: Sequence[str]
) -> Digit:
    """Return a digit with its probability and the second-best one; the last probability is that of a non-digit."""
    others = probabilities[:-1].copy()
    if label is not None:
        others[label] = -1
    second = int(others.argmax())
    probability = float(probabilities[-1 if label is None else label])
    name = None if label is None else characters[label]
    return Digit(box, label, probability, second, float(probabilities[second]), name)
