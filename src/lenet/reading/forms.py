"""Read the fields of a form."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, compress, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet._extras import cv2
from lenet._fused.threads import resolve_n_jobs
from lenet.errors import InputError
from lenet.loading import ModelLike, given_model
from lenet.model import LeNet5
from lenet.reading.boxes import without_boxes
from lenet.reading.coarse import coarsened
from lenet.reading.fields import Field, FieldValue, checked_fields
from lenet.reading.frames import without_frames
from lenet.reading.graph import Graph, joined
from lenet.reading.grids import without_grids
from lenet.reading.lines import find_lines
from lenet.reading.marks import digits_and_marks, may_be_marks
from lenet.reading.orientation import Characters, Images, images_of, read_upright, shares_of
from lenet.reading.page import Page, page_of
from lenet.reading.pictures import PictureLike, as_grey
from lenet.reading.reader import characters_of, cut_and_classify
from lenet.reading.results import Cell
from lenet.reading.rules import without_printed_rules
from lenet.reading.segments import MAX_SEGMENTS, Segments
from lenet.reading.sheet import corners_of, find_sheets
from lenet.reading.strokes import Floats, Ints, box_around
from lenet.reading.tables import turned
from lenet.reading.valid import most_probable

_MARGIN = 2  # pixels around the strokes of a field
_RIM = 0.01  # of the shorter side of a blank sheet: nearer to its edges, the table would be read as 1
_CUT = 0.2, 0.8  # the fractions of a stroke in a field beyond which it is inside or outside
_TALL = 0.6  # the height of a cut digit over that of the tallest stroke in the field, which is at least `_LOW`
_LOW = 0.4  # heights of the field
_NARROW = 0.2  # width over height: narrower strokes may be separators
_MAX_PIECES = 640  # of strokes in a field: ten for each of 64 digits
_MAX_SHEETS = 3  # times the area of the sheet that the fields may cover together
_MAX_TURNED = 100  # fields that are read in each orientation
_NO_IMAGES = np.zeros((0, SIDE, SIDE), np.uint8)


@dataclass(frozen=True)
class _Settings:
    """The arguments of `read_form` that apply to each orientation."""

    fields: Sequence[Field]
    model: LeNet5
    check_below: float
    n_jobs: int | None


class _Read(NamedTuple):
    """The text of a field, and the evidence that it is upright."""

    text: str
    confidence: float
    has_marks: bool = False  # beside the digits
    shares: Floats = np.zeros(0)  # of each character, as in Characters
    images: Images = _NO_IMAGES  # of the digits


class _Table(NamedTuple):
    """A table in a picture."""

    number: int
    shape: tuple[int, int]  # the numbers of rows and columns
    middle: NDArray[np.float64]  # x and y
    boxes: dict[tuple[int, int], NDArray[np.float64]]  # by row and column


def read_form(
    image: PictureLike,
    fields: Sequence[Field] | str | os.PathLike[str],
    model: ModelLike = "mnist",
    *,
    check_below: float = 0.9,
    rotate: bool = True,
    n_jobs: int | None = None,
) -> tuple[FieldValue, ...]:
    """Read the fields of a form.

    If the picture shows a sheet of paper on a darker table, the sheet is straightened first; otherwise, the sheet is
    the whole picture, as in a scan. The number of digits and the checksum of a field help to choose among its possible
    values: one that violates them has a hundredth of the weight of one that satisfies them. A field with hundreds of
    digits, or full of noise, has the value "?". The limits of a page apply to all fields together.

    Parameters
    ----------
    image : path-like, bytes, binary file, PIL.Image.Image or array_like
        As for `prepare`.
    fields : sequence of Field or path-like
        At most 1,000, with different names, or a JSON file of them, as for `load_fields`. Together, they may cover the
        sheet at most three times.
    model : LeNet5, str or path-like, default "mnist"
        As for `read`.
    check_below : float, default 0.9
        A value with a lower confidence gets the problem "confidence".
    rotate : bool, default True
        Whether to turn a form that is on its side or upside down, if its fields are then clearly more legible. Unless
        its fields are clear as they are, this takes up to four times as long.
    n_jobs : int, optional
        As for `read`.

    Returns
    -------
    tuple of FieldValue
        In the order of the fields.

    Raises
    ------
    DataError, InputError, InputTypeError, MissingExtraError, OSError, WeightsError
        As for `read`; if an argument is out of range or of another type; if a field has a checksum and the model has
        classes other than the ten digits.

    Examples
    --------
    >>> import lenet
    >>> digits = lenet.data.load_digits()
    >>> page = np.full((60, 160), 255, np.uint8)
    >>> for place, image in enumerate(digits.X_test[183:187]):
    ...     page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - image
    >>> fields = [Field("left", box=(0, 0, 0.5, 1), digits=2), Field("right", box=(0.5, 0, 0.5, 1), digits=2)]
    >>> "".join(each.value for each in read_form(page, fields)) == "".join(map(str, digits.y_test[183:187]))
    True
    """
    model = given_model(model)
    fields = checked_fields(fields)
    check_checksums(fields, model)
    settings = _Settings(fields, model, _checks.fraction(check_below, "check_below"), n_jobs)
    rotate = _checks.boolean(rotate, "rotate")
    resolve_n_jobs(n_jobs)
    page, cells = without_grids(without_boxes(page_of(straightened(as_grey(image)))), isolate=False)
    page = without_frames(page)
    values = _upright_values(settings, page, cells) if rotate else _values_after(settings, page, cells, 0, MAX_SEGMENTS)
    return tuple(value for value, _ in values)


def _upright_values(settings: _Settings, page: Page, cells: Sequence[Cell]) -> list[tuple[FieldValue, _Read]]:
    """Return the values of the fields in the orientation in which they are clearly the most legible, or as they are.

    Of many fields, a sample is read after each turn, and then all fields after the best one. If there are several
    tables, a cell that is found only after a turn may be one of another table, unless its field gives the rows and
    columns.
    """
    as_it_is = _values_after(settings, page, cells, 0, MAX_SEGMENTS)
    members = list(range(len(as_it_is)))
    if len(members) > _MAX_TURNED:  # at random, as every other column may be blank
        members = sorted(np.random.default_rng(0).permutation(members)[:_MAX_TURNED].tolist())
    sample, before = replace(settings, fields=[settings.fields[n] for n in members]), [as_it_is[n] for n in members]
    is_one_table = len({cell.grid for cell in cells}) == 1
    counts = [
        is_one_table or isinstance(field.grid, tuple) or "no cell" not in value.problems
        for field, (value, _) in zip(sample.fields, before, strict=True)
    ]

    def values_after_turns(turns: int, max_segments: int) -> tuple[list[tuple[FieldValue, _Read]], list[Characters]]:
        values = _values_after(sample, page, cells, turns, max_segments) if turns else before
        return values, [_characters(compress(values, counts))]

    values, turns = read_upright(values_after_turns, len(page.strokes.boxes))
    if turns and len(members) < len(as_it_is):
        with suppress(InputError):  # the whole turned page may look like a texture
            return _values_after(settings, page, cells, turns, MAX_SEGMENTS)
    return values if turns and len(members) == len(as_it_is) else as_it_is


def _values_after(
    settings: _Settings, page: Page, cells: Sequence[Cell], turns: int, max_segments: int
) -> list[tuple[FieldValue, _Read]]:
    """Read the fields after `turns` quarter turns."""
    if turns:
        page = without_frames(page.turned(turns))  # again, as only boxes wider than high are empty fields
    values = _values(settings, page, turned(cells, turns), max_segments)
    return [(replace(value, rotation=90 * turns), read) for value, read in values]


def _characters(values: Iterable[tuple[FieldValue, _Read]]) -> Characters:
    """Return the characters of all fields as one line; those of invalid values are non-digits."""
    texts, probabilities, shares, images = list[str](), list[float](), [np.zeros(0)], [_NO_IMAGES]
    for value, read in values:
        is_valid = not {"digits", "checksum"} & {*value.problems}
        texts += ["" if character == "?" or not is_valid else character for character in read.text]
        probabilities += [read.confidence ** (1 / len(read.text)) for _ in read.text]
        shares.append(read.shares)
        images.append(read.images if is_valid else _NO_IMAGES)
    return Characters(texts, np.array(probabilities), np.concatenate(shares), np.concatenate(images))


def check_checksums(fields: Sequence[Field], model: LeNet5) -> None:
    """Raise InputError if a field has a checksum and the classes of the model are not the ten digits."""
    if any(field.checksum for field in fields) and "".join(characters_of(model)) != "0123456789":
        raise InputError("A field has a checksum; expected a model of the digits from 0 to 9. Omit the checksum.")


def straightened(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest sheet of paper in a picture, seen from above; the picture if there is no sheet."""
    coarse = coarsened(grey)
    sheets = find_sheets(coarse)
    is_blank = sheets is None
    if is_blank:
        sheets = find_sheets(coarse, may_be_blank=True)
    if sheets is None:
        return grey
    edges = corners_of(sheets) + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # beyond the last pixels
    corners = edges * np.array(grey.shape[::-1]) / coarse.shape[::-1]
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)  # top, right, bottom, left
    width, height = round((sides[0] + sides[2]) / 2), round((sides[1] + sides[3]) / 2)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    view = cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32))
    sheet = np.asarray(cv2.warpPerspective(grey, view, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    if not is_blank:
        return sheet
    rim = round(_RIM * min(width, height))
    within = sheet[rim : height - rim, rim : width - rim]
    return np.asarray(cv2.copyMakeBorder(within, rim, rim, rim, rim, cv2.BORDER_REPLICATE), np.uint8)


def _values(
    settings: _Settings, page: Page, cells: Sequence[Cell], max_segments: int
) -> list[tuple[FieldValue, _Read]]:
    """Read the fields on a page in one orientation."""
    tables, level = _tables(cells), without_printed_rules(page)
    regions = [_region(field, page, tables) for field in settings.fields]
    sheets = sum(float(np.ptp(corners, axis=0).prod()) for corners in regions if corners is not None)
    sheets /= page.picture_shape[0] * page.picture_shape[1]
    if sheets > _MAX_SHEETS:
        raise InputError(
            f"The fields cover the sheet {sheets:.3g} times; expected at most {_MAX_SHEETS}. Remove overlapping fields."
        )
    parts = [None if corners is None else _part(level, corners) for corners in regions]
    lines = [find_lines(part[0]) if part else [] for part in parts]
    classified = iter(cut_and_classify(settings.model, list(chain.from_iterable(lines)), settings.n_jobs, max_segments))
    values = []
    for field, corners, part, own in zip(settings.fields, regions, parts, lines, strict=True):
        if corners is None or part is None:
            values.append((FieldValue(field.name, "", 0.0, ("no cell",)), _Read("", 0.0)))
            continue
        read = _read_field(field, list(islice(classified, len(own))), settings.model.classes)
        problems = field.problems(read.text)
        if read.has_marks:
            problems = (*problems, "mark")
        if part[1]:
            problems = ("edge", *problems)
        if read.text and read.confidence < settings.check_below:
            problems = ("confidence", *problems)
        (left, top), (right, bottom) = np.rint([corners.min(axis=0), corners.max(axis=0)]).astype(int).tolist()
        values.append((FieldValue(field.name, read.text, read.confidence, problems, (left, top, right, bottom)), read))
    return values


def _tables(cells: Sequence[Cell]) -> list[_Table]:
    """Return the tables that have the given cells."""
    tables = []
    for number in sorted({cell.grid for cell in cells}):
        boxes = {(cell.row, cell.column): np.array(cell.box, float) for cell in cells if cell.grid == number}
        last_row, last_column = map(max, zip(*boxes, strict=True))
        middle = np.reshape(box_around(np.array(list(boxes.values()))), (2, 2)).mean(axis=0)
        tables.append(_Table(number, (last_row + 1, last_column + 1), middle, boxes))
    return tables


def _region(field: Field, page: Page, tables: Sequence[_Table]) -> NDArray[np.float64] | None:
    """Return the corners of a field in the picture, or None unless exactly one table fits and has its cell."""
    corners = None
    if field.box is not None:
        left, top, width, height = field.box
        box = np.array([left, top, left + width, top + height]) * np.tile(page.ink.shape[::-1], 2)
        corners = _corners(box) @ page.to_picture.T
    if field.cell is None:
        return corners
    fitting = [table for table in tables if field.grid in (table.number, table.shape)]
    if corners is not None:
        start, stop = corners.min(axis=0), corners.max(axis=0)
        fitting = [table for table in fitting if ((start <= table.middle) & (table.middle <= stop)).all()]
    place = fitting[0].boxes.get(field.cell) if len(fitting) == 1 else None
    return None if place is None else _corners(place)[:, :2]


def _corners(box: NDArray[np.float64]) -> NDArray[np.float64]:
    left, top, right, bottom = box
    return np.array([[left, top, 1.0], [right, top, 1.0], [right, bottom, 1.0], [left, bottom, 1.0]])


def _part(page: Page, corners: NDArray[np.float64]) -> tuple[Page, bool]:
    """Return the strokes whose centres are inside a region, and whether its border may cut a digit.

    The region is given by its corners in the picture. Strokes that are larger than the region, such as lines through
    several fields, are cut at its border.
    """
    strokes = page.strokes
    outline = cv2.transform(corners[np.newaxis], cv2.invertAffineTransform(page.to_picture))[0].round().astype(np.int64)
    start, stop = outline.min(axis=0), outline.max(axis=0)
    middles = (strokes.boxes[:, :2] + strokes.boxes[:, 2:]) // 2
    width, height = stop - start
    is_large = (strokes.widths > width) | (strokes.heights > height)
    inside = ((start <= middles) & (middles <= stop)).all(axis=1) & ~is_large
    (left, top), (right, bottom) = np.maximum(start, 0), stop + 1
    fraction = strokes.areas_in(np.s_[top:bottom, left:right]) / strokes.areas
    crosses = (fraction > _CUT[0]) & (fraction < _CUT[1]) & ~is_large
    tallest = max(_LOW * height, strokes.heights[inside].max(initial=0))
    crosses &= strokes.heights > _TALL * tallest  # lower ones may be letters
    crosses &= strokes.widths > _NARROW * strokes.heights
    origin = np.maximum(np.vstack([strokes.boxes[inside, :2], start]).min(axis=0) - _MARGIN, 0)
    end = np.vstack([strokes.boxes[inside, 2:], stop]).max(axis=0) + _MARGIN
    window = slice(origin[1], end[1]), slice(origin[0], end[0])
    is_cut = (strokes.labels[window] == 0) | strokes.pixels_of(is_large, window)  # paper has the edges of strokes
    kept = strokes.pixels_of(inside, window)
    region = slice(top - origin[1], bottom - origin[1]), slice(left - origin[0], right - origin[0])
    kept[region] |= is_cut[region]
    ink = np.where(kept, page.ink[window], 0)
    to_page = np.array([[1.0, 0.0, origin[0]], [0.0, 1.0, origin[1]], [0.0, 0.0, 1.0]])
    return page.transformed(ink, to_page), bool(crosses.any())


def _read_field(field: Field, parts: Sequence[tuple[Segments, Graph]], classes: Sequence[str]) -> _Read:
    """Read a field; the text is empty if there are only marks.

    The time of finding the most probable value grows with the square of the number of pieces.
    """
    if not parts:
        return _Read("", 0.0)
    if sum(graph.end for _, graph in parts) > _MAX_PIECES:
        return _Read("?", 0.0, shares=np.ones(1))
    arcs, labels, confidence = most_probable(joined([graph for _, graph in parts]), field)
    path, names = np.array(arcs), np.array(["" if label is None else classes[label] for label in labels])
    text, has_marks, shares, images = "", False, [np.zeros(0)], [_NO_IMAGES]
    start = 0
    for segments, _ in parts:  # arcs are numbered through all of them
        is_own = (start <= path) & (path < start + len(segments.starts))
        own, is_digit = path[is_own] - start, names[is_own] != ""
        is_mark = ~is_digit & may_be_marks(segments)[own]
        text += "".join(name or "?" for name in names[is_own][~is_mark])
        has_marks |= bool(is_digit.any()) and _have_marks(segments, own[is_digit], own[is_mark])
        shares.append(shares_of(segments, own)[~is_mark])
        images.append(images_of(segments, own[is_digit], classes))
        start += len(segments.starts)
    return _Read(text, confidence if text else 0.0, has_marks, np.concatenate(shares), np.concatenate(images))


def _have_marks(segments: Segments, digits: Ints, marks: Ints) -> bool:
    """Return whether there are points, commas, dashes or signs beside the digits of a line."""
    return bool(digits_and_marks(segments, digits, marks, float(np.median(segments.boxes[digits, 3])))[1])
