"""Draw the 28x28 image that the network sees, and the results of reading over a picture."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.reading.fields import FieldValue
from lenet.reading.results import Digit, Line, Reading, rounded_down

Box = tuple[float, float, float, float]  # left, top, right, bottom

_MAX_SIDE = 2000  # pixels
_MIN_HEIGHT = 48  # pixels: smaller writing is enlarged to make room for the labels
_SURE = 0.9  # probability
_OUTLINE = 2  # pixels, of texts
_FIELD_MARGIN, _FIELD_FONT, _FIELD_PEN = 36, 24, 3  # pixels
# Okabe and Ito's palette, which colour-blind readers can distinguish.
_SURE_COLOUR, _UNSURE_COLOUR, _NON_DIGIT_COLOUR = (0, 114, 178), (213, 94, 0), (130, 130, 130)


def enlarged(image: NDArray[np.uint8]) -> bytes:
    """Draw each pixel of a grey image as a square of 10x10 pixels, and return a PNG.

    Examples
    --------
    >>> enlarged(np.zeros((28, 28), np.uint8))[1:4]
    b'PNG'
    """
    return _png(require("PIL.Image", "vision").fromarray(np.kron(image, np.ones((10, 10), np.uint8))))


def drawn(picture: NDArray[np.uint8], reading: Reading) -> bytes:
    """Draw boxes, digits and probabilities over a picture; return a PNG of at most 2000 pixels a side, plus margins.

    Digits are blue. Those with a probability below 0.9 are orange, with the percentage below the box. Non-digits are
    grey. Each line is followed by its text, if it has marks, and its confidence. The picture is grey, (H, W), or
    coloured, (H, W, 3). If it was read after quarter turns, it is drawn as it was read.
    """
    for _ in range(reading.rotation // 90):
        picture, reading = _turned(picture, reading)
    heights = [line.box[3] - line.box[1] for line in reading.lines]
    page, scale = _scaled(picture, heights)
    margin = max([24, *(round(0.7 * height * scale) for height in heights)])
    canvas, draw = _with_margin(page, margin, 7 if any(map(_marked_text, reading.lines)) else 3)
    taken: list[Box] = []
    for line in reading.lines:
        _draw_line(draw, line, scale, margin, taken)
    return _png(canvas)


def drawn_fields(sheet: NDArray[np.uint8], values: Sequence[FieldValue]) -> bytes:
    """Draw the box of each field over a form, with its value and confidence above; return a PNG, as for `drawn`.

    Fields that a person should check are orange, and the others blue. An empty field has its name instead of a value.
    The sheet of the form is straightened. If it was read after quarter turns, it is drawn as it was read.
    """
    found = [(value, value.box) for value in values if value.box is not None]
    for _ in range(values[0].rotation // 90):
        found = [(value, _turned_box(box, sheet)) for value, box in found]
        sheet = np.ascontiguousarray(np.rot90(sheet))
    page, scale = _scaled(sheet, [bottom - top for _, (_, top, _, bottom) in found])
    canvas, draw = _with_margin(page, _FIELD_MARGIN)
    font = require("PIL.ImageFont", "vision").load_default(_FIELD_FONT)
    taken: list[Box] = []
    for value, box in found:
        left, top, right, bottom = (place * scale + _FIELD_MARGIN for place in box)
        colour = _UNSURE_COLOUR if value.problems else _SURE_COLOUR
        draw.rectangle((left, top, right, bottom), outline=colour, width=_FIELD_PEN)
        text = f"{value.value or value.name} ({rounded_down(100 * value.confidence, 0)}%)"
        _write(draw, (left, top - 4), text, colour, font, "ls", taken)
    return _png(canvas)


def _turned(picture: NDArray[np.uint8], reading: Reading) -> tuple[NDArray[np.uint8], Reading]:
    """Return a picture and its reading after a quarter turn, counter-clockwise."""

    def turned(digit: Digit) -> Digit:
        return replace(digit, box=_turned_box(digit.box, picture))

    lines = tuple(replace(line, digits=tuple(map(turned, line.digits))) for line in reading.lines)
    return np.ascontiguousarray(np.rot90(picture)), replace(reading, lines=lines)


def _turned_box(box: tuple[int, int, int, int], picture: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return a box in a picture after a quarter turn of both, counter-clockwise."""
    left, top, right, bottom = box
    return top, picture.shape[1] - right, bottom, picture.shape[1] - left


def _scaled(picture: NDArray[np.uint8], heights: Sequence[int]) -> tuple[Any, float]:
    """Return a picture as an image in which the heights are large enough for labels, and its scale."""
    page = require("PIL.Image", "vision").fromarray(picture).convert("RGB")
    height = max(1, min(heights, default=_MIN_HEIGHT))
    scale = min(max(1.0, _MIN_HEIGHT / height), _MAX_SIDE / max(page.size))
    return page.resize([max(1, round(length * scale)) for length in page.size]), scale


def _marked_text(line: Line) -> str:
    """Return the text of a line with marks, and "" if it has only digits, which are drawn above their boxes."""
    return f"{line.text}  " if set(line.text) - {" ", *(digit.text for digit in line.digits)} else ""


def _with_margin(page: Any, margin: int, at_right: int = 3) -> tuple[Any, Any]:
    """Return a canvas with a page and margins, `at_right` of them at the right, and the object that draws on it."""
    size = page.width + (1 + at_right) * margin, page.height + 2 * margin
    canvas = require("PIL.Image", "vision").new("RGB", size, "white")
    canvas.paste(page, (margin, margin))
    return canvas, require("PIL.ImageDraw", "vision").Draw(canvas)


def _draw_line(draw: Any, line: Line, scale: float, margin: int, taken: list[Box]) -> None:
    """Draw a line; its percentages avoid the boxes in `taken`, to which their own are added."""
    fonts = require("PIL.ImageFont", "vision")
    height = float(np.median([digit.box[3] - digit.box[1] for digit in line.digits])) * scale
    large, small = fonts.load_default(max(12.0, 0.5 * height)), fonts.load_default(max(12.0, 0.3 * height))
    pen = max(1, round(height / 24))
    for digit in line.digits:
        left, top, right, bottom = (place * scale + margin for place in digit.box)
        colour = _NON_DIGIT_COLOUR if digit.label is None else _colour(digit.probability)
        draw.rectangle((left - pen, top - pen, right + pen, bottom + pen), outline=colour, width=pen)
        middle = (left + right) / 2
        _write(draw, (middle, top - 2 * pen), digit.text, colour, large, "ms", [])
        if digit.label is not None and digit.probability < _SURE:
            text = rounded_down(100 * digit.probability, 0)
            _write(draw, (middle, bottom + 2 * pen), text, colour, small, "ma", taken)
    _, top, right, bottom = (place * scale + margin for place in line.box)
    place = right + 4 * pen + 4, (top + bottom) / 2
    text = f"{_marked_text(line)}{rounded_down(100 * line.confidence, 0)}%"
    _write(draw, place, text, _colour(line.confidence), large, "lm", taken)


def _colour(probability: float) -> tuple[int, int, int]:
    return _UNSURE_COLOUR if probability < _SURE else _SURE_COLOUR


def _clearance(box: Box, others: list[Box]) -> float:
    """Return how far a box must move down so that it overlaps no other."""
    left, top, right, bottom = box
    down = 0.0
    below = [other for other in others if left < other[2] and other[0] < right and top < other[3]]
    for other in sorted(below, key=lambda each: each[1]):
        if top + down < other[3] and other[1] < bottom + down:
            down = other[3] - top
    return down


def _write(
    draw: Any,
    place: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    font: Any,
    anchor: str,
    taken: list[Box],
) -> None:
    """Write a text, outlined in white, at a place or below the boxes in `taken` that cover it; add its box to them."""
    left, top, right, bottom = draw.textbbox(place, text, font, anchor, stroke_width=_OUTLINE)
    down = _clearance((left, top, right, bottom), taken)
    where = place[0], place[1] + down
    draw.text(where, text, colour, font, anchor, stroke_width=_OUTLINE, stroke_fill="white")
    taken.append((left, top + down, right, bottom + down))


def _png(image: Any) -> bytes:
    metadata = require("PIL.PngImagePlugin", "vision").PngInfo()
    metadata.add_text("Software", "lenet")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=metadata)
    return buffer.getvalue()
