"""Drawings of what was read: the 28x28 image that the network sees, and boxes and digits over a picture."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require

if TYPE_CHECKING:
    from lenet.reading.reader import Line, Reading

MARK = b"Software\0lenet"  # in each drawing, near its beginning
_LARGEST = 2000  # pixels on the longer side
_READABLE = 48  # pixels: smaller writing is enlarged, that there is room for what is said of it
_SURE = 0.9
# Okabe and Ito's palette, which colour-blind people can tell apart.
_SURE_COLOUR, _UNSURE_COLOUR, _NO_DIGIT_COLOUR = (0, 114, 178), (213, 94, 0), (130, 130, 130)


def enlarged(image: NDArray[np.uint8], factor: int = 10) -> bytes:
    """Draw each pixel of a grey image as a square; return a PNG.

    Examples
    --------
    >>> enlarged(np.zeros((28, 28), np.uint8))[1:4]
    b'PNG'
    """
    return _png(require("PIL.Image", "vision").fromarray(np.kron(image, np.ones((factor, factor), np.uint8))))


def drawn(picture: NDArray[np.uint8], reading: "Reading") -> bytes:
    """Draw boxes, digits and probabilities over a picture; return a PNG of at most 2000 pixels a side, and margins.

    What is sure is blue, what is less probable than 0.9 orange, and what is no digit grey. At the end of each line
    stands its confidence.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W) or (H, W, 3)
        The picture that was read.
    reading : Reading
    """
    image_module = require("PIL.Image", "vision")
    page = image_module.fromarray(picture).convert("RGB")
    tall = min((line.box[3] - line.box[1] for line in reading.lines), default=_READABLE)
    scale = min(max(1.0, _READABLE / max(1, tall)), _LARGEST / max(page.size))
    page = page.resize([max(1, round(length * scale)) for length in page.size])
    margin = max([24, *(round(0.7 * (line.box[3] - line.box[1]) * scale) for line in reading.lines)])
    wide = image_module.new("RGB", (page.width + 4 * margin, page.height + 2 * margin), "white")
    wide.paste(page, (margin, margin))
    draw = require("PIL.ImageDraw", "vision").Draw(wide)
    for line in reading.lines:
        _draw_line(draw, line, scale, margin)
    return _png(wide)


def _draw_line(draw: Any, line: "Line", scale: float, margin: int) -> None:
    fonts = require("PIL.ImageFont", "vision")
    tall = float(np.median([digit.box[3] - digit.box[1] for digit in line.digits])) * scale
    large, small = fonts.load_default(max(12.0, 0.5 * tall)), fonts.load_default(max(10.0, 0.24 * tall))
    pen = max(1, round(tall / 24))
    for digit in line.digits:
        left, top, right, bottom = (place * scale + margin for place in digit.box)
        colour = _UNSURE_COLOUR if digit.probability < _SURE else _SURE_COLOUR
        colour = _NO_DIGIT_COLOUR if digit.label is None else colour
        draw.rectangle((left - pen, top - pen, right + pen, bottom + pen), outline=colour, width=pen)
        middle = (left + right) / 2
        _say(draw, (middle, top - 2 * pen), "?" if digit.label is None else str(digit.label), colour, large, "ms")
        if digit.label is not None:
            _say(draw, (middle, bottom + 2 * pen), f"{100 * digit.probability:.0f}", colour, small, "ma")
    _, top, right, bottom = (place * scale + margin for place in line.box)
    colour = _UNSURE_COLOUR if line.confidence < _SURE else _SURE_COLOUR
    _say(draw, (right + 4 * pen + 4, (top + bottom) / 2), f"{100 * line.confidence:.0f}%", colour, large, "lm")


def _say(
    draw: Any, place: tuple[float, float], text: str, colour: tuple[int, int, int], font: Any, anchor: str
) -> None:
    """Write a text with a white rim, which can be read on any ground."""
    draw.text(place, text, colour, font, anchor, stroke_width=2, stroke_fill="white")


def _png(image: Any) -> bytes:
    facts = require("PIL.PngImagePlugin", "vision").PngInfo()
    facts.add_text("Software", "lenet")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=facts)
    return buffer.getvalue()
