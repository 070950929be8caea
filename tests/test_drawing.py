"""The drawing of a reading over its picture."""

import io

import numpy as np
import pytest

from lenet.reading import drawing
from lenet.reading.results import Digit, Line, Reading

Image = pytest.importorskip("PIL.Image")
PAPER = np.full((120, 200, 3), 255, np.uint8)


@pytest.fixture
def labels(monkeypatch):
    """Return the labels of a drawing, each as its text and box."""
    written = []
    write = drawing._write

    def record(draw, place, text, colour, font, anchor):
        written.append((text, draw.textbbox(place, text, font, anchor, stroke_width=2)))
        write(draw, place, text, colour, font, anchor)

    monkeypatch.setattr(drawing, "_write", record)
    return written


def reading_of(*probabilities, width=14):
    """Return a line of narrow digits that touch, on a rising base line."""
    digits = tuple(
        Digit((20 + n * width, 40 - n, 20 + (n + 1) * width, 90 - n), 1, probability, 7, 1 - probability)
        for n, probability in enumerate(probabilities)
    )
    return Reading((Line(digits, min(probabilities), "1" * len(digits)),))


def test_only_unsure_digits_have_a_percentage(labels):
    content = drawing.drawn(PAPER, reading_of(0.91, 0.6, 0.9))
    assert [text for text, _ in labels] == ["1", "1", "60", "1", "60%"]
    with Image.open(io.BytesIO(content)) as image:
        colours = {colour for _, colour in image.getcolors(2**24)}
    assert {drawing._SURE_COLOUR, drawing._UNSURE_COLOUR} <= colours


@pytest.mark.parametrize(
    ("label", "probability", "colour"),
    [(1, 0.99, (0, 114, 178)), (1, 0.5, (213, 94, 0)), (None, 0.99, (130, 130, 130))],  # Okabe and Ito's; grey
)
def test_the_colour_of_a_box_tells_sure_unsure_and_non_digits_apart(label, probability, colour):
    digit = Digit((60, 40, 90, 90), label, probability, 7, 1 - probability)
    content = drawing.drawn(PAPER, Reading((Line((digit,), 0.99, digit.text),)))
    with Image.open(io.BytesIO(content)) as image:
        middle = image.crop((0, image.height // 2, image.width // 2, image.height // 2 + 1))
        assert colour in {found for _, found in middle.getcolors()}


@pytest.mark.parametrize("width", [3, 14, 40])
def test_percentages_of_neighbours_do_not_overlap(labels, width):
    drawing.drawn(PAPER, reading_of(0.5, 0.6, 0.7, 0.8, width=width))
    boxes = [box for text, box in labels if len(text) == 2]
    assert len(boxes) == 4
    for n, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:n]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom
