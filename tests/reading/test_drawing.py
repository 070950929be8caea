"""The drawing of a reading over its picture."""

import io

import numpy as np
import pytest

from lenet._files import PNG_MARK
from lenet.cli.read import show, show_fields
from lenet.reading import FieldValue, drawing, results
from lenet.reading.results import Digit, Line, Reading

Image = pytest.importorskip("PIL.Image")
PAPER = np.full((120, 200, 3), 255, np.uint8)


@pytest.fixture
def labels(monkeypatch):
    """Return the labels of a drawing, each as its text and box."""
    written = []
    image_draw = pytest.importorskip("PIL.ImageDraw").ImageDraw
    write = image_draw.text

    def record(draw, place, text, colour, font, anchor, **outline):
        written.append((text, draw.textbbox(place, text, font, anchor, stroke_width=2)))
        write(draw, place, text, colour, font, anchor, **outline)

    monkeypatch.setattr(image_draw, "text", record)
    return written


def reading_of(*probabilities, width=14, left=20):
    """Return a line of narrow digits that touch, on a rising base line."""
    digits = tuple(
        Digit((left + n * width, 40 - n, left + (n + 1) * width, 90 - n), 1, probability, 7, 1 - probability)
        for n, probability in enumerate(probabilities)
    )
    return Reading((Line(digits, min(probabilities), "1" * len(digits)),))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_page_that_was_turned_is_drawn_upright(turns, labels):
    page = PAPER.copy()
    page[40:90, 20:34] = 0
    upright = drawing.drawn(page, reading_of(0.6))
    written = labels[:]
    labels.clear()
    height, width = page.shape[:2]
    box = [
        (20, 40, 34, 90), (height - 90, 20, height - 40, 34),
        (width - 34, height - 90, width - 20, height - 40), (40, width - 34, 90, width - 20),
    ][turns]  # fmt: skip
    given = np.rot90(page, -turns)
    assert (given[box[1] : box[3], box[0] : box[2]] == 0).all()
    reading = Reading((Line((Digit(box, 1, 0.6, 7, 0.4),), 0.6, "1"),), rotation=90 * turns)
    assert drawing.drawn(given, reading) == upright
    assert labels == written


@pytest.mark.parametrize("turns", [1, 2])
def test_a_form_that_was_turned_is_drawn_upright(turns, labels):
    upright = drawing.drawn_fields(PAPER, [FieldValue("a", "5", 0.5, (), (20, 40, 70, 90))])
    written = labels[:]
    labels.clear()
    box = [(120 - 90, 20, 120 - 40, 70), (200 - 70, 120 - 90, 200 - 20, 120 - 40)][turns - 1]
    given = FieldValue("a", "5", 0.5, (), box, rotation=90 * turns)
    content = drawing.drawn_fields(np.rot90(PAPER, -turns), [given])
    with Image.open(io.BytesIO(content)) as found, Image.open(io.BytesIO(upright)) as expected:
        assert found.size == (expected.width, expected.height + 36)
        above = np.s_[: 36 + 120]
        np.testing.assert_array_equal(np.asarray(found)[above], np.asarray(expected)[above])
    assert labels[:-1] == written
    text, (_, top, _, bottom) = labels[-1]
    assert text == f"rotated by {90 * turns} degrees"
    assert expected.height - 36 < top < bottom < expected.height + 36


def test_a_field_is_drawn_with_its_name_and_its_value_or_that_it_is_empty(labels):
    values = [FieldValue("a", "57", 0.996, (), (20, 40, 100, 90)), FieldValue("b", "", 0.0, (), (120, 40, 190, 90))]
    drawing.drawn_fields(PAPER, values)
    assert [text for text, _ in labels] == ["a: 57 (99%)", "b: empty"]


def test_no_box_is_drawn_over_the_label_of_a_field_above(labels):
    values = [FieldValue("a", "5", 0.5, (), (20, top, 60, top + 40)) for top in (70, 30)]
    content = drawing.drawn_fields(PAPER, values)
    (_, (left, top, right, bottom)), _ = labels
    with Image.open(io.BytesIO(content)) as found:
        label = np.asarray(found)[int(top) + 2 : int(bottom) - 2, int(left) : int(right)]
    assert (label == 255).all(axis=2).any(axis=0).mean() > 0.9


def test_the_labels_in_a_table_leave_most_of_the_cells_free(labels):
    cells = [(left, top, left + 40, top + 60) for top in (20, 80) for left in (20, 60, 100)]
    drawing.drawn_fields(np.full((200, 200), 255, np.uint8), [FieldValue("a", "5", 0.5, (), box) for box in cells])
    assert len(labels) == 6
    for left, top, right, bottom in cells:
        inside = left + 36, top + 36 + 12, right + 36, bottom + 36 - 12
        for _, (x0, y0, x1, y1) in labels:
            assert y1 <= inside[1] or y0 >= inside[3] or x1 <= inside[0] or x0 >= inside[2]


@pytest.mark.parametrize("count", [1, 2, 40])
def test_fields_without_a_cell_are_listed_below_the_form(labels, count):
    missing = [FieldValue(f"field {n}", "", 0.0, ("no cell",)) for n in range(count)]
    content = drawing.drawn_fields(np.full((60, 600), 255, np.uint8), missing)
    texts, boxes = zip(*labels, strict=True)
    assert " ".join(texts) == "no cell: " + ", ".join(f"field {n}" for n in range(count))
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (600 + 4 * 36, 60 + (2 + len(texts)) * 36)
        assert all(right <= image.width for _, _, right, _ in boxes)
    assert (len(texts) > 1) == (count == 40)
    edges = [36 + 60, *(edge for _, top, _, bottom in boxes for edge in (top, bottom)), 36 + 60 + (1 + len(texts)) * 36]
    assert edges == sorted(edges)


def test_labels_of_neighbouring_fields_do_not_overlap(labels):
    values = [FieldValue("a", "5", 0.5, (), (left, 40, left + 5, 90)) for left in (20, 25)]
    drawing.drawn_fields(PAPER, values)
    (_, (_, _, right, bottom)), (_, (left, top, _, _)) = labels
    assert left < right  # they are wider than the fields
    assert top >= bottom


@pytest.mark.parametrize(("width", "left"), [(3, 20), (14, 20), (40, 20), (3, 400), (14, 400)])
def test_percentages_of_neighbours_do_not_overlap(labels, width, left):
    drawing.drawn(np.full((120, 600), 255, np.uint8), reading_of(0.5, 0.6, 0.7, 0.8, width=width, left=left))
    boxes = [box for text, box in labels if len(text) == 2]
    assert len(boxes) == 4
    for n, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:n]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom


@pytest.mark.parametrize(
    ("probability", "percentage"),
    [(0, 0), (0.29, 29), (0.57, 57), (0.899, 89), (0.9962, 99), (1 - 1e-16, 100), (1, 100)],
)
def test_a_percentage_is_rounded_down(probability, percentage):
    """100 * 0.29 and 100 * 0.57 are slightly below 29 and 57."""
    assert results.rounded_down(100 * probability, 0) == str(percentage)
    assert results.rounded_down(probability, 2) == f"{percentage // 100}.{percentage % 100:02}"


def test_a_printed_confidence_is_rounded_down(capsys):
    reading = reading_of(0.9962)
    show("a.png", reading, as_json=False)
    show_fields("a.png", [FieldValue("total", "1", 0.9962, ())], as_json=False)
    assert capsys.readouterr().out == "a.png: 1 (0.99)\na.png: total: 1 (0.99)\n"


@pytest.fixture
def recorded(monkeypatch):
    """Return the texts of a drawing (text, x, y, colour, size, anchor) and its outlines (box, colour, width).

    Texts are not drawn.
    """
    texts, boxes = [], []
    image_draw = pytest.importorskip("PIL.ImageDraw")
    rectangle = image_draw.ImageDraw.rectangle

    def write(draw, place, text, colour, font, anchor, stroke_width, stroke_fill):
        assert (stroke_width, stroke_fill) == (2, "white")
        texts.append((text, *place, colour, round(font.size, 6), anchor))

    def draw_box(draw, box, fill=None, outline=None, width=1):
        if outline is not None:
            boxes.append((tuple(box), outline, width))
        rectangle(draw, box, fill, outline, width)

    monkeypatch.setattr(image_draw.ImageDraw, "text", write)
    monkeypatch.setattr(image_draw.ImageDraw, "rectangle", draw_box)
    return texts, boxes


BLUE, ORANGE, GREY = (0, 114, 178), (213, 94, 0), (130, 130, 130)


@pytest.mark.parametrize(
    ("shape", "unit", "scale", "margin", "pen", "sizes"),
    [
        ((120, 200, 3), 1, 1, 42, 2, (30, 18)),  # 0.7 heights of 60 around; pens of a 24th
        ((24, 40), 1 / 5, 4, 34, 2, (24, 14.4)),  # writing 12 high becomes 48 high
        ((2400, 4000), 20, 0.5, 420, 25, (300, 180)),  # 2000 pixels at most
        ((120, 200), 1 / 2, 1.6, 34, 2, (24, 14.4)),
    ],
)
def test_positions_in_a_drawing_are_those_computed_by_hand(recorded, shape, unit, scale, margin, pen, sizes):
    boxes = [
        [round(unit * side) for side in box] for box in ((20, 40, 60, 100), (80, 40, 120, 100), (130, 40, 170, 100))
    ]
    digits = [
        Digit(tuple(box), *rest)
        for box, rest in zip(boxes, ((1, 0.95, 7, 0), (2, 0.504, 7, 0), (None, 0.3, 7, 0)), strict=True)
    ]
    content = drawing.drawn(np.full(shape, 255, np.uint8), Reading((Line(tuple(digits), 0.899, "12?"),)))
    left, top, right, bottom = (scale * np.array(boxes) + margin).T
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (round(shape[1] * scale) + 4 * margin, round(shape[0] * scale) + 2 * margin)
        assert image.info["Software"] == "lenet"
        assert image.getpixel((0, 0)) == (255, 255, 255)
    texts, outlines = recorded
    colours = BLUE, ORANGE, GREY
    for n, (box, colour, width) in enumerate(outlines):
        assert box == pytest.approx((left[n] - pen, top[n] - pen, right[n] + pen, bottom[n] + pen))
        assert (colour, width) == (colours[n], pen)
    middle = (left + right) / 2
    expected = [
        ("1", middle[0], top[0] - 2 * pen, BLUE, sizes[0], "ms"),
        ("2", middle[1], top[1] - 2 * pen, ORANGE, sizes[0], "ms"),
        ("50", middle[1], bottom[1] + 2 * pen, ORANGE, sizes[1], "ma"),
        ("?", middle[2], top[2] - 2 * pen, GREY, sizes[0], "ms"),
        ("89%", right[2] + 4 * pen + 4, (top[1] + bottom[0]) / 2, ORANGE, sizes[0], "lm"),
    ]
    assert [(text, *rest) for text, _, _, *rest in texts] == [(text, *rest) for text, _, _, *rest in expected]
    for found, place in zip(texts, expected, strict=True):
        assert found[1:3] == pytest.approx(place[1:3])


def test_the_percentages_of_two_lines_do_not_overlap(recorded):
    lines = [Line((Digit((20, top, 40, top + 60), 1, 0.5, 7, 0),), 0.5, "1") for top in (10, 20)]
    drawing.drawn(PAPER, Reading(tuple(lines)))
    (digit, x, y, _, size, _), (_, *first, _, large, _) = recorded[0][1:3]
    below, second = recorded[0][4:]
    assert digit == below[0] == "50"
    assert below[1] == x
    assert below[2] >= y + 0.7 * size  # a digit's height
    assert second[1] == first[0]
    assert second[2] >= first[1] + 0.7 * large


def test_the_text_of_a_line_with_marks_is_written_beside_it(recorded):
    digits = tuple(Digit((left, 10, left + 20, 70), 1, 0.95, 7, 0) for left in (20, 60))
    widths = []
    for text, label in (("1 1", "95%"), ("1,1", "1,1  95%"), ("-1 1", "-1 1  95%")):
        picture = drawing.drawn(PAPER, Reading((Line(digits, 0.95, text),)))
        assert recorded[0][-1][0] == label
        widths.append(Image.open(io.BytesIO(picture)).width)
    assert widths[0] < widths[1] == widths[2]


def test_a_field_to_check_is_orange(recorded):
    values = [
        FieldValue("total", "512", 0.9962, (), (20, 20, 120, 44)),
        FieldValue("card", "7", 0.95, ("checksum",), (20, 62, 120, 86)),
        FieldValue("date", "", 0.0, ("empty",), (20, 90, 120, 114)),
        FieldValue("mark", "", 0.0, ("no cell",)),
    ]
    content = drawing.drawn_fields(PAPER, values)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (2 * 200 + 4 * 36, 2 * 120 + 3 * 36)  # 24 pixels high: enlarged twice
    assert recorded[0] == [
        ("total: 512 (99%)", 76, 72, BLUE, 24, "ls"),
        ("card: 7 (95%)", 76, 156, ORANGE, 24, "ls"),
        ("date: empty", 80, 216, ORANGE, 12, "lm"),  # close below another
        ("no cell: mark", 36, 312, ORANGE, 24, "ls"),
    ]
    assert recorded[1] == [
        ((76, 76, 276, 124), BLUE, 3),
        ((76, 160, 276, 208), ORANGE, 3),
        ((76, 216, 276, 264), ORANGE, 3),
    ]


def test_lines_behind_a_label_on_them_are_erased(recorded):
    """The line of the box, and a printed one: they would look like minus signs between the letters."""
    page = PAPER.copy()
    page[90, 20:120] = 0
    values = [
        FieldValue(name, "", 0.0, ("empty",), (20, top, 120, top + 24)) for name, top in (("card", 62), ("d", 90))
    ]
    content = drawing.drawn_fields(page, values)
    assert recorded[0][1] == ("d: empty", 80, 216, ORANGE, 12, "lm")
    with Image.open(io.BytesIO(content)) as image:
        assert (np.asarray(image)[212:221, 80:124] == 255).all()
        assert image.getpixel((200, 217)) == ORANGE


def test_texts_of_a_drawing_have_at_least_12_points_and_margins_24_pixels(recorded):
    content = drawing.drawn(
        np.zeros((2000, 200), np.uint8), Reading((Line((Digit((5, 5, 9, 15), 1, 0.9, 7, 0),), 0.9, "1"),))
    )
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (200 + 96, 2000 + 48)
        assert image.getpixel((24, 24)) == (0, 0, 0)
        assert image.getpixel((23, 24)) == (255, 255, 255)
    assert [(text, colour, size) for text, _, _, colour, size, _ in recorded[0]] == [("1", BLUE, 12), ("90%", BLUE, 12)]
    assert recorded[1] == [((28, 28, 34, 40), BLUE, 1)]
    with Image.open(io.BytesIO(drawing.drawn(PAPER, Reading()))) as image:
        assert image.size == (200 + 96, 120 + 48)


@pytest.mark.parametrize(("height", "scale"), [(0, 48), (1, 48), (2, 24), (47, 48 / 47), (48, 1), (60, 1)])
def test_the_lowest_field_becomes_48_pixels_high(recorded, height, scale):
    values = [FieldValue(name, "5", 0.5, (), (3, 2, 9, 2 + each)) for name, each in (("a", 61), ("b", height))]
    content = drawing.drawn_fields(np.zeros((30, 20), np.uint8), values)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (round(20 * scale) + 4 * 36, round(30 * scale) + 2 * 36)
    lower = (3 * scale + 36, 2 * scale + 36, 9 * scale + 36, (2 + height) * scale + 36)
    assert recorded[1][1][0] == pytest.approx(lower)


@pytest.mark.parametrize(("shape", "size"), [((1, 4000), (2000, 1)), ((4000, 1), (1, 2000)), ((2000, 3), (3, 2000))])
def test_a_side_has_1_to_2000_pixels(shape, size):
    with Image.open(io.BytesIO(drawing.drawn(np.zeros(shape, np.uint8), Reading()))) as image:
        assert image.size == (size[0] + 96, size[1] + 48)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], 0), ([(0, 0, 10, 10)], 0), ([(5, 5, 15, 15)], 5), ([(11, 5, 19, 25)], 15), ([(20, 5, 30, 15)], 0),
        ([(5, 20, 15, 30)], 0), ([(5, 19, 15, 29)], 19), ([(5, 16, 15, 26), (5, 5, 15, 16)], 16),
        ([(5, 26, 15, 40), (5, 5, 15, 16)], 6), ([(0, 5, 10, 15)], 0), ([(5, 0, 15, 10)], 0),
        ([(5, 20, 15, 30), (5, 5, 30, 16)], 20), ([(5, 5, 15, 16), (5, 6, 15, 12)], 6),
    ],
)  # fmt: skip
def test_a_label_moves_below_those_that_it_overlaps(others, expected):
    assert drawing._clearance((10, 10, 20, 20), others) == expected


def test_an_enlarged_image_has_ten_pixels_for_each():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    content = drawing.enlarged(image)
    with Image.open(io.BytesIO(content)) as opened:
        np.testing.assert_array_equal(np.asarray(opened), image.repeat(10, axis=0).repeat(10, axis=1))
    assert PNG_MARK in content[:100]
