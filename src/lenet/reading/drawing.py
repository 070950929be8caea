"""Draw the 28x28 image that the network sees, and the results of reading over a picture."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.reading.fields import FieldValue
from lenet.reading.results import Line, Reading, rounded_down, turned_box, with_turned_boxes

Place = tuple[float, float]  # x and y
Box = tuple[float, float, float, float]  # left, top, right, bottom
Colour = tuple[int, int, int]

_MAX_SIDE = 2000  # pixels
_MIN_HEIGHT = 48  # pixels: smaller writing is enlarged to make room for the labels
_SURE = 0.9  # probability
_OUTLINE = 2  # pixels, of texts
_FIELD_MARGIN, _FIELD_FONT, _FIELD_LETTER, _FIELD_PEN = 36, 24, 12, 3  # pixels
_MIN_FONT, _LETTER = 8, 0.6  # pixels; the width of a letter, relative to the size of the font
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
        reading = with_turned_boxes(reading, picture.shape[1])
        picture = np.ascontiguousarray(np.rot90(picture))
    heights = [line.box[3] - line.box[1] for line in reading.lines]
    page, scale = _scaled(picture, heights)
    margin = max([24, *(round(0.7 * height * scale) for height in heights)])
    canvas = _Canvas(page, scale, margin, 7 if any(map(_marked_text, reading.lines)) else 3)
    for line in reading.lines:
        _draw_line(canvas, line)
    return _png(canvas.image)


def drawn_fields(sheet: NDArray[np.uint8], values: Sequence[FieldValue]) -> bytes:
    """Draw the box of each field over a form, with its name, value and confidence above; return a PNG, as for `drawn`.

    Fields that a person should check are orange, and the others blue. Each has its name, and its value with the
    confidence. Where another field is close above or beside it, as in a table, the text is smaller, and on the upper
    line of the box; in a narrow box, the name is left out. The sheet of the form is straightened. If it was read after
    quarter turns, it is drawn as it was read. Below are the rotation and the names of the fields whose cells were not
    found.
    """
    found = [(value, value.box) for value in values if value.box is not None]
    rotation, missing = values[0].rotation, [value.name for value in values if value.box is None]
    for _ in range(rotation // 90):
        found = [(value, turned_box(box, sheet.shape[1])) for value, box in found]
        sheet = np.ascontiguousarray(np.rot90(sheet))
    page, scale = _scaled(sheet, [bottom - top for _, (_, top, _, bottom) in found])
    notes = [f"rotated by {rotation} degrees"] if rotation else []
    notes += textwrap.wrap(f"no cell: {', '.join(missing)}", max(40, page.width // _FIELD_LETTER)) if missing else []
    canvas = _Canvas(page, scale, _FIELD_MARGIN, below=_FIELD_MARGIN * len(notes))
    fonts = require("PIL.ImageFont", "vision")
    places = [canvas.placed(box) for _, box in found]
    colours = [_UNSURE_COLOUR if value.problems else _SURE_COLOUR for value, _ in found]
    for box, colour in zip(places, colours, strict=True):  # before the texts, which would be crossed out
        canvas.draw.rectangle(box, outline=colour, width=_FIELD_PEN)
    for (value, _), (left, top, right, bottom), colour in zip(found, places, colours, strict=True):
        shown = f"{value.value} ({rounded_down(100 * value.confidence, 0)}%)" if value.value else "empty"
        text = f"{value.name}: {shown}"
        end = left + _FIELD_LETTER * len(text)
        if end > canvas.image.width:
            text = shown  # there is no room for the name
        around = left - _FIELD_MARGIN, top - _FIELD_MARGIN, max(right + _FIELD_MARGIN, end), bottom
        if _clearance(around, [other for other in places if other != (left, top, right, bottom)]):
            if (right - left) / (_LETTER * len(text)) < _MIN_FONT:
                text = shown
            size = max(_MIN_FONT, min(_FIELD_FONT, (bottom - top) / 4, (right - left) / (_LETTER * len(text))))
            canvas.write_apart((left + 4, top), text, colour, fonts.load_default(size), "lm", on_line=True)
        else:
            canvas.write_apart((left, top - 4), text, colour, fonts.load_default(_FIELD_FONT), "ls")
    for number, note in enumerate(notes, 1):
        place = _FIELD_MARGIN, canvas.image.height - _FIELD_MARGIN * (len(notes) - number + 1)
        canvas.write(place, note, _UNSURE_COLOUR, fonts.load_default(_FIELD_FONT), "ls")
    return _png(canvas.image)


def _scaled(picture: NDArray[np.uint8], heights: Sequence[int]) -> tuple[Any, float]:
    """Return a picture as an image in which the heights are large enough for labels, and its scale."""
    page = require("PIL.Image", "vision").fromarray(picture).convert("RGB")
    height = max(1, min(heights, default=_MIN_HEIGHT))
    scale = min(max(1.0, _MIN_HEIGHT / height), _MAX_SIDE / max(page.size))
    return page.resize([max(1, round(length * scale)) for length in page.size]), scale


def _marked_text(line: Line) -> str:
    """Return the text of a line with marks, and "" if it has only digits, which are drawn above their boxes."""
    return f"{line.text}  " if set(line.text) - {" ", *(digit.text for digit in line.digits)} else ""


class _Canvas:
    """A page with margins, `at_right` of them at the right and `below` more pixels, and the texts written on it."""

    def __init__(self, page: Any, scale: float, margin: int, at_right: int = 3, below: int = 0):
        size = page.width + (1 + at_right) * margin, page.height + 2 * margin + below
        self.image = require("PIL.Image", "vision").new("RGB", size, "white")
        self.image.paste(page, (margin, margin))
        self.draw = require("PIL.ImageDraw", "vision").Draw(self.image)
        self.scale, self._margin = scale, margin
        self._taken: list[Box] = []  # by the texts that others must not cover

    def placed(self, box: tuple[int, int, int, int]) -> Box:
        """Return where a box of the picture is on the canvas."""
        left, top, right, bottom = (place * self.scale + self._margin for place in box)
        return left, top, right, bottom

    def write(self, place: Place, text: str, colour: Colour, font: Any, anchor: str) -> None:
        """Write a text, outlined in white."""
        self.draw.text(place, text, colour, font, anchor, stroke_width=_OUTLINE, stroke_fill="white")

    def write_apart(
        self, place: Place, text: str, colour: Colour, font: Any, anchor: str, *, on_line: bool = False
    ) -> None:
        """Write a text at a place, or below any text that this method has already written there.

        If `on_line`, erase what is behind the text: parts of the line between its letters would look like minus signs.
        """
        left, top, right, bottom = self.draw.textbbox(place, text, font, anchor, stroke_width=_OUTLINE)
        down = _clearance((left, top, right, bottom), self._taken)
        box = left, top + down, right, bottom + down
        if on_line:
            self.draw.rectangle(box, fill="white")
        self.write((place[0], place[1] + down), text, colour, font, anchor)
        self._taken.append(box)


def _draw_line(canvas: _Canvas, line: Line) -> None:
    fonts = require("PIL.ImageFont", "vision")
    height = float(np.median([digit.box[3] - digit.box[1] for digit in line.digits])) * canvas.scale
    large, small = fonts.load_default(max(12.0, 0.5 * height)), fonts.load_default(max(12.0, 0.3 * height))
    pen = max(1, round(height / 24))
    for digit in line.digits:
        left, top, right, bottom = canvas.placed(digit.box)
        colour = _NON_DIGIT_COLOUR if digit.label is None else _colour(digit.probability)
        canvas.draw.rectangle((left - pen, top - pen, right + pen, bottom + pen), outline=colour, width=pen)
        middle = (left + right) / 2
        canvas.write((middle, top - 2 * pen), digit.text, colour, large, "ms")
        if digit.label is not None and digit.probability < _SURE:
            text = rounded_down(100 * digit.probability, 0)
            canvas.write_apart((middle, bottom + 2 * pen), text, colour, small, "ma")
    _, top, right, bottom = canvas.placed(line.box)
    place = right + 4 * pen + 4, (top + bottom) / 2
    text = f"{_marked_text(line)}{rounded_down(100 * line.confidence, 0)}%"
    canvas.write_apart(place, text, _colour(line.confidence), large, "lm")


def _colour(probability: float) -> Colour:
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


def _png(image: Any) -> bytes:
    metadata = require("PIL.PngImagePlugin", "vision").PngInfo()
    metadata.add_text("Software", "lenet")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=metadata)
    return buffer.getvalue()
