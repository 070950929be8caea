"""Read the digits in a picture: one, a number, or a page of them."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet._fused.threads import resolve_n_jobs
from lenet.errors import InputError
from lenet.loading import ModelLike, given_model
from lenet.model import LeNet5
from lenet.reading.boxes import without_boxes
from lenet.reading.frames import without_frames
from lenet.reading.graph import Graph, graph_of
from lenet.reading.grids import without_grids
from lenet.reading.lines import InkLine, find_lines
from lenet.reading.marks import digits_and_marks, may_be_marks, starts_low
from lenet.reading.orientation import Characters, evidence_of, images_of, read_upright, shares_of
from lenet.reading.page import MIN_DECODED_PIXELS, Page, pages_of
from lenet.reading.paths import Path, best_path, confidence_of
from lenet.reading.pictures import PictureLike, reduced_grey
from lenet.reading.pieces import MAX_PIECES, Pieces, cutting_cost, legible_strokes, pieces_of
from lenet.reading.results import Digit, Line, Reading, with_turned_boxes
from lenet.reading.segments import MAX_SEGMENTS, Segments, segments_of
from lenet.reading.strokes import Boxes, Floats, reject_texture
from lenet.reading.tables import filled, separated, turned
from lenet.reading.views import with_views
from lenet.reading.words import words_in

_SPACE = 0.9  # heights of the writing: wider gaps become spaces
_CUTTING_COST = 200  # cutting at this cost takes as long as classifying a segment
_CORNER = 0.97  # the minimum confidence of a stroke across a corner of the picture: others may be the edge of a sheet
_MUCH_MORE = 10  # times the evidence of the photographs
_MAX_STROKES = 1000  # of a page; reading a larger one four times would take seconds

_ReadPage = Callable[..., tuple[Reading, Sequence[Characters]]]


@dataclass(frozen=True)
class _Settings:
    """The arguments of `read` that apply to each page."""

    model: LeNet5
    only_digits: bool
    marks: bool
    n_jobs: int | None


def read(
    image: PictureLike,
    model: ModelLike = "mnist",
    *,
    only_digits: bool = False,
    rotate: bool = True,
    marks: bool = False,
    n_jobs: int | None = None,
) -> Reading:
    """Read the digits in a picture, line by line.

    Ink is separated from paper, sloping lines are levelled, and rules, frames and specks are removed. Strokes that are
    not clearly one digit are cut into pieces. The result is the most probable way to join the pieces (section V of the
    paper). Everything beside photographs on a background of one colour is ignored, unless the whole picture clearly
    shows more digits.

    Parameters
    ----------
    image : path-like, bytes, binary file, PIL.Image.Image or array_like
        As for `prepare`.
    model : LeNet5, str or path-like, default "mnist"
        A model, the name of a pre-trained one, or a path as for `lenet.load`. The names of its classes must be single
        characters, such as digits or letters.
    only_digits : bool, default False
        Whether the lines contain only digits, as on a form. If so, every character except `marks` is read as a digit.
        Probabilities and confidences do not change.
    rotate : bool, default True
        Whether to read a page on its side or upside down as if it were upright, if its digits are then clearly more
        legible.
    marks : bool, default False
        Whether points, commas, colons, dashes and the signs +, x, /, = and ° are in the texts, as in 3.14. They have no
        `Digit`.
    n_jobs : int, optional
        Number of threads, as for `lenet.LeNet5.predict`.

    Returns
    -------
    Reading

    Raises
    ------
    DataError, WeightsError, OSError
        If a file is not a readable picture or model.
    InputError, InputTypeError
        If an array is not a picture, as for `prepare`; if the picture shows noise or a texture; if n_jobs is invalid;
        if there is no such model, or it has a class whose name is not a single character.
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
    model = given_model(model)
    only_digits, rotate = _checks.boolean(only_digits, "only_digits"), _checks.boolean(rotate, "rotate")
    marks = _checks.boolean(marks, "marks")
    resolve_n_jobs(n_jobs)
    characters_of(model)  # raises InputError for other classes
    read_page = functools.partial(_read_page, _Settings(model, only_digits, marks, n_jobs))
    grey, shape = reduced_grey(image, MIN_DECODED_PIXELS)
    reading = _read_pages(read_page, pages_of(grey, shape), rotate)
    return _read_turned(read_page, grey, shape, reading.rotation // 90) if reading.rotation else reading


def _read_turned(read_page: _ReadPage, grey: NDArray[np.uint8], shape: tuple[int, ...], turns: int) -> Reading:
    """Return the reading of a picture as if it had been given after some quarter turns; its boxes are not turned."""
    shapes = [shape, shape[::-1]] * 2  # of the picture after 0 to 3 turns
    pages = pages_of(np.ascontiguousarray(np.rot90(grey, turns)), shapes[turns])
    reading = _read_pages(read_page, pages, rotate=False)
    for _, width in shapes[turns:]:
        reading = with_turned_boxes(reading, width)
    return replace(reading, rotation=90 * turns)


def _read_pages(read_page: _ReadPage, pages: Iterable[Page], rotate: bool) -> Reading:
    """Return the reading of the photographs in a picture, or of the whole picture if that shows more digits.

    Raises InputError if none can be read.
    """
    readings: list[Reading] = []
    errors: list[InputError] = []
    for page in pages:
        try:
            readings.append(_read_picture(read_page, page, rotate))
        except InputError as error:
            errors.append(error)
    if not readings:
        raise errors[0]
    photographs, whole = readings[0], readings[-1]  # the same if there is only one
    return whole if _shows_more(whole, photographs) else photographs


def _shows_more(whole: Reading, photographs: Reading) -> bool:
    """Return whether a picture shows more digits than its photographs, which may be strokes of large digits.

    Further lines must show much more: they may be titles, or grain that resembles digits.
    """
    evidence = max(_evidence_of(photographs), 0)
    least = evidence if len(whole.lines) <= len(photographs.lines) else _MUCH_MORE * evidence
    return _evidence_of(whole) > least


def _evidence_of(reading: Reading) -> float:
    """Return the evidence that the characters of a reading are digits."""
    none = np.zeros((0, SIDE, SIDE), np.uint8)
    return evidence_of([Characters.of(line, np.ones(len(line.digits)), none) for line in reading.lines])


def _read_picture(read_page: _ReadPage, page: Page, rotate: bool) -> Reading:
    """Read a page, and the cells of its grids."""
    page.reject_texture()
    page, cells = without_grids(without_boxes(page))
    page = without_frames(page)
    num_strokes = len(page.strokes.boxes)
    if rotate and num_strokes <= _MAX_STROKES:
        reading, turns = read_upright(lambda turns, limit: read_page(page.turned(turns), limit), num_strokes)
        reading = replace(reading, rotation=90 * turns)
    else:
        reading, _ = read_page(page)
    lines = tuple(separated(line, cells) for line in reading.lines)
    in_order = turned(cells, 0)  # with the grids numbered in reading order
    return replace(reading, lines=lines, cells=filled(in_order, lines))


def characters_of(model: LeNet5) -> tuple[str, ...]:
    """Return the names of the model's classes after checking that each is a single character."""
    names = model.classes
    for name in names:
        if len(name) != 1:
            raise InputError(
                f"The model has a class {name!r}; expected names of one character, as a line is read character by "
                "character. To classify one symbol, run `lenet predict`, or send its picture to the server's /predict."
            )
    return names


def cut_and_classify(
    model: LeNet5, lines: Sequence[InkLine], n_jobs: int | None, max_segments: int = MAX_SEGMENTS
) -> list[tuple[Segments, Graph]]:
    """Return the classified segments of each line of a picture, and their graph.

    Raises InputError as soon as the lines are known to take too long.
    """
    whole = legible_strokes(model, lines, n_jobs)
    if sum(cutting_cost(*each) for each in zip(lines, whole, strict=True)) > _CUTTING_COST * max_segments:
        raise InputError(
            "The picture has wide strokes that take too long to cut into digits; expected writing, not noise or a "
            "texture. Crop it to the writing."
        )
    cut_lines: list[Pieces] = []
    count = 0
    for each in zip(lines, whole, strict=True):
        cut_lines.append(pieces_of(*each))
        count += len(cut_lines[-1].boxes)
        reject_texture(count, MAX_PIECES, "pieces of strokes")
    segments = with_views(model, segments_of(model, cut_lines, n_jobs, max_segments), n_jobs)
    return [(each, graph_of(each)) for each in segments]


def _read_page(settings: _Settings, page: Page, max_segments: int = MAX_SEGMENTS) -> tuple[Reading, list[Characters]]:
    """Return the reading of a page, and the characters of each line."""
    parts = cut_and_classify(settings.model, find_lines(page), settings.n_jobs, max_segments)
    found = [(_read_line(settings, segments, graph), segments.pieces.line) for segments, graph in parts]
    lines = [(*line, ink) for line, ink in found if line is not None]
    certain = [each for each in lines if each[0].confidence >= _CORNER or not each[2].crosses_corner] or lines
    return Reading(tuple(line for line, _, _ in certain)), [characters for _, characters, _ in certain]


def _read_line(settings: _Settings, segments: Segments, graph: Graph) -> tuple[Line, Characters] | None:
    """Return a line and the evidence of its orientation, or None if it has no digits."""
    line, may_be_mark = segments.pieces.line, may_be_marks(segments)
    may_be_sign = np.isin(segments.features.signs, ("+", "x", "/"))
    path = best_path(graph, ~(may_be_mark | may_be_sign) if settings.only_digits else None)
    arcs, is_digit = np.array(path.arcs), np.array([label is not None for label in path.labels])
    if not is_digit.any():
        return None
    boxes = segments.boxes[arcs]
    baseline = float(np.median(boxes[is_digit, 3]))
    is_mark, is_sign = ~is_digit & may_be_mark[arcs], ~is_digit & may_be_sign[arcs]
    if settings.marks:
        is_mark |= ~is_digit & starts_low(boxes, baseline, line.height)
    in_word, graph = _without_words(graph, path, segments, is_mark, is_digit | is_sign)
    if in_word[is_digit].all():
        return None
    is_separator = is_sign & ~in_word
    is_mark |= is_separator
    shown = np.flatnonzero(~is_mark)
    gaps = _gaps(boxes[shown], line)
    gaps[np.diff(is_separator.cumsum()[shown]) > 0] = np.inf  # so that a space replaces the sign
    boxes, marks = boxes[shown], list[tuple[int, str]]()
    if settings.marks:
        boxes, marks = digits_and_marks(segments, arcs[shown], arcs[is_mark], baseline)
    places = line.page.boxes_in_picture(boxes + np.tile(line.corner, 2))
    labels = [None if in_word[k] else path.labels[k] for k in shown]
    rows = zip(places, labels, path.probabilities[shown], strict=True)
    digits = tuple(_digit(*row, settings.model.classes) for row in rows)
    confidence = confidence_of(labels, graph) if in_word.any() else path.confidence
    line_read = Line(digits, confidence, _text(digits, gaps, marks))
    images = images_of(segments, arcs[is_digit & ~in_word], settings.model.classes)
    return line_read, Characters.of(line_read, shares_of(segments, arcs)[shown], images)


def _without_words(
    graph: Graph, path: Path, segments: Segments, is_mark: NDArray[np.bool_], in_sum: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Graph]:
    """Return which arcs of a path are in words, and the graph without digits there; a sum such as 1+2+3 is no word."""
    in_word, arcs, others = np.zeros(len(path.arcs), bool), np.array(path.arcs), np.flatnonzero(~is_mark)
    labels, gaps = [path.labels[k] for k in others], _gaps(segments.boxes[arcs[others]], segments.pieces.line)
    for found in words_in(labels, path.probabilities[others], gaps):
        word = others[found.start : found.stop]
        if not in_sum[word].all():
            in_word[word] = True
            first, last = arcs[word[[0, -1]]]
            graph = graph.without_digits_between(segments.starts[first], segments.stops[last])
    return in_word, graph


def _gaps(boxes: Boxes, line: InkLine) -> Floats:
    """Return the gaps between boxes in a line, in heights of the writing."""
    return np.asarray((boxes[1:, 0] - boxes[:-1, 2]) / line.height)


def _text(digits: Sequence[Digit], gaps: Floats, marks: Sequence[tuple[int, str]]) -> str:
    """Return the text of a line, given each mark and the number of digits before it."""
    separators = ["", *np.where(gaps > _SPACE, " ", ""), ""]
    for place, mark in marks:
        separators[place] = separators[place].strip() + mark
    texts = [*(digit.text for digit in digits), ""]
    return "".join(chain.from_iterable(zip(separators, texts, strict=True)))


def _digit(
    box: tuple[int, int, int, int], label: int | None, probabilities: Floats, characters: Sequence[str]
) -> Digit:
    """Return a digit with its probability and the second-best one; the last probability is that of a non-digit."""
    others = probabilities[:-1].copy()
    if label is not None:
        others[label] = -1
    second = int(others.argmax())
    probability = float(probabilities[-1 if label is None else label])
    name = None if label is None else characters[label]
    return Digit(box, label, probability, second, float(probabilities[second]), name)
