"""Sudokus and tables become cells, and text around them is ignored."""

import json

import numpy as np
import pytest

import lenet
from lenet import reading

Image = pytest.importorskip("PIL.Image")
ImageDraw, ImageFont = pytest.importorskip("PIL.ImageDraw"), pytest.importorskip("PIL.ImageFont")
cv2 = pytest.importorskip("cv2")


def sudoku(filled, level=60, fading=0.0):
    """A photographed grid of 9x9 cells of 50 pixels, thick around blocks, with digits in some cells.

    `level` is that of the lines within blocks. Fading digits are fainter on the left.
    """
    digits = lenet.data.load_digits()
    page = np.full((700, 600), 235, np.uint8)
    for n in range(10):
        drawn, width = (40, 4) if n % 3 == 0 else (level, 1)
        cv2.line(page, (60, 110 + 50 * n), (510, 110 + 50 * n), drawn, width)
        cv2.line(page, (60 + 50 * n, 110), (60 + 50 * n, 560), drawn, width)
    for (row, column), n in filled.items():
        part = page[121 + 50 * row : 149 + 50 * row, 71 + 50 * column : 99 + 50 * column]
        strength = 0.8 * (1 - fading * (8 - column) / 8)
        np.minimum(part, 235 - (digits.X_test[n] * strength).astype(np.uint8), out=part)
    corners = np.array([[0, 0], [600, 0], [600, 700], [0, 700]], np.float32)
    seen = np.array([[30, 10], [590, 30], [560, 690], [0, 650]], np.float32)
    view = cv2.getPerspectiveTransform(corners, seen)
    return cv2.warpPerspective(page, view, (600, 700), borderValue=235), digits.y_test


FILLED = dict(zip([(0, 0), (0, 8), (2, 3), (4, 4), (5, 7), (8, 1), (8, 8)], range(183, 190), strict=True))


def assert_cells_of_sudoku(found, labels):
    assert len(found.cells) == 81
    for cell in found.cells:
        n = FILLED.get((cell.row, cell.column))
        assert cell.text == ("" if n is None else str(labels[n])), cell
    assert sorted(found.text.replace("\n", "").replace(" ", "")) == sorted(str(labels[n]) for n in FILLED.values())


@pytest.mark.parametrize("look", [{}, {"level": 170}, {"level": 215}, {"fading": 0.6}])
def test_a_grid_becomes_a_table(look):
    page, labels = sudoku(FILLED, **look)
    found = reading.read(page)
    assert_cells_of_sudoku(found, labels)
    assert found.as_dict()["cells"][8]["column"] == 8
    box = found.cells[8 * 9 + 8].box  # the last one; warped, its middle, (485, 535), is at (457, 527)
    assert box[0] < 457 < box[2]
    assert box[1] < 527 < box[3]


def test_a_dark_blurred_grid_beside_the_edge_of_a_table_is_read():
    page, labels = sudoku(FILLED)
    light = np.linspace(0.75, 0.45, 700)[:, np.newaxis]
    page = cv2.GaussianBlur((page * light).astype(np.uint8), (0, 0), 1.2)
    page[:, -20:] = 8
    assert_cells_of_sudoku(reading.read(page), labels)


def test_a_crossword_beside_a_sudoku_is_ignored():
    page, labels = sudoku({(4, 4): 183})
    page = np.hstack([page, np.full((700, 200), 235, np.uint8)])
    for n in range(5):
        cv2.rectangle(page, (640, 100 + 60 * n), (740, 160 + 60 * n), 40, 2)
    cv2.rectangle(page, (500, 20), (740, 40), 40, 2)  # joins the lines of both
    cv2.line(page, (520, 40), (520, 120), 40, 2)
    cv2.line(page, (690, 40), (690, 100), 40, 2)
    found = reading.read(page)
    assert found.text == str(labels[183])
    assert len(found.cells) == 81


def test_cells_show_that_a_line_is_below_the_least_confidence(tmp_path, capsys):
    page, labels = sudoku({(4, 4): 183})
    cv2.imwrite(str(tmp_path / "page.png"), page)
    texts = []
    for least in ("0", "1"):
        assert lenet.cli.main(["read", str(tmp_path / "page.png"), "--least", least, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        texts.append(["".join(cell["text"] for cell in found["cells"]), len(found["cells"]), len(found["lines"])])
    assert texts == [[str(labels[183]), 81, 1], ["?", 81, 0]]


def test_text_around_a_large_grid_is_ignored():
    page, labels = sudoku({(4, 4): 183})
    cv2.putText(page, "35 and 17", (120, 80), cv2.FONT_HERSHEY_SIMPLEX, 1, 40, 3)
    assert reading.read(page).text == str(labels[183])


def test_two_tables_with_headings_are_numbered_from_the_top():
    """Each has a heading over all columns, with a word, and two rows of 8 cells; digits in the second row."""
    digits, page = lenet.data.load_digits(), np.full((600, 500), 235, np.uint8)
    texts = {}
    for grid, top in enumerate((80, 350)):
        cv2.rectangle(page, (50, top), (450, top + 150), 60, 2)
        cv2.putText(page, "MARKS", (200, top + 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 60, 2)
        for row in (1, 2):
            cv2.line(page, (50, top + 50 * row), (450, top + 50 * row), 60, 2)
        for column in range(8):
            n, left = 183 + 8 * grid + column, 50 + 50 * column
            cv2.line(page, (left, top + 50), (left, top + 150), 60, 2)
            part = page[top + 111 : top + 139, left + 11 : left + 39]
            np.minimum(part, 235 - (digits.X_test[n] * 0.8).astype(np.uint8), out=part)
            texts[grid, 2, column] = str(digits.y_test[n])
    found = reading.read(page)
    assert len(found.cells) == 2 * (1 + 8 + 8)
    assert {(each.grid, each.row, each.column): each.text for each in found.cells if each.row == 2} == texts
    assert not any(each.text for each in found.cells if each.row == 1)


def table_of(text, shape, size, place, thickness):
    """A table of 8 rows and 4 columns of cells of this shape with a printed text, at a place from their lower left."""
    font = ImageFont.load_default(size)
    (height, width), (right, up) = shape, place
    image = Image.new("L", (4 * width + 120, 8 * height + 120), 235)
    draw = ImageDraw.Draw(image)
    for n in range(9):
        draw.line((60, 60 + n * height, 60 + 4 * width, 60 + n * height), 60, thickness)
    for n in range(5):
        draw.line((60 + n * width, 60, 60 + n * width, 60 + 8 * height), 60, thickness)
    left, _, _, bottom = draw.textbbox((0, 0), text, font)
    for row, column in np.ndindex(8, 4):
        draw.text((60 + column * width + right - left, 60 + (row + 1) * height - up - bottom), text, 30, font)
    return np.array(image)


@pytest.mark.parametrize(
    ("text", "shape", "size", "place", "thickness"),
    [
        ("723", (110, 60), 24, (6, 5), 2),  # at the lower left
        ("77777", (110, 90), 22, (6, 4), 2),
        ("7777777", (36, 72), 10, (5, 12), 2),  # bars of digits are no lines
        ("2222222", (36, 72), 14, (5, 12), 2),
        ("2357325", (40, 84), 18, (4, 12), 2),
        ("3555723", (36, 72), 16, (3, 10), 1),
    ],
)
def test_print_in_the_cells_of_a_table(text, shape, size, place, thickness):
    found = reading.read(table_of(text, shape, size, place, thickness))
    assert [cell.text for cell in found.cells] == [text] * 32


def test_text_outside_is_ignored_even_if_the_largest_table_has_few_cells():
    page = np.full((900, 1000), 235, np.uint8)
    for top, rows, columns in ((40, 3, 3), (500, 4, 8)):
        for row in range(rows + 1):
            at = top + (400 if rows == 3 else 320) * row // rows
            cv2.line(page, (60, at), (860, at), 60, 2)
        for column in range(columns + 1):
            at = 60 + 800 * column // columns
            cv2.line(page, (at, top), (at, top + (400 if rows == 3 else 320)), 60, 2)
    cv2.putText(page, "12345", (300, 880), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 40, 3)
    found = reading.read(page)
    assert len(found.cells) == 9 + 32
    assert not found.lines


@pytest.mark.parametrize("columns", [4, 6])
def test_a_table_is_read_although_most_digits_touch_its_lines(columns):
    """Unlike those of squared paper, its cells are wider than high."""
    data, width, height = lenet.data.load_digits(), 480 // columns, 34
    page = np.full((320, 560), 240, np.uint8)
    for n in range(9):
        cv2.line(page, (40, 24 + height * n), (520, 24 + height * n), 60, 2)
    for n in range(columns + 1):
        cv2.line(page, (40 + width * n, 24), (40 + width * n, 24 + 8 * height), 60, 2)
    texts = []
    for n in range(8 * columns):
        image, (row, column) = data.X_test[n], divmod(n, columns)
        top, left = 24 + height * row + (7 if n % 2 else 0), 50 + width * column  # ink begins four pixels lower
        part = page[top : top + 28, left : left + 28]
        np.minimum(part, 240 - (0.75 * image).astype(np.uint8), out=part)
        texts.append(str(data.y_test[n]))
    cells = reading.read(page).cells
    assert len(cells) == len(texts)
    assert np.mean([cell.text == text for cell, text in zip(cells, texts, strict=True)]) > 0.8


def test_writing_across_all_lines_of_a_ledger_is_no_table():
    data, page = lenet.data.load_digits(), np.full((560, 760), 240, np.uint8)
    for n in range(16):
        cv2.line(page, (20, 20 + 34 * n), (740, 20 + 34 * n), 150, 1)
    for n in range(13):
        cv2.line(page, (20 + 60 * n, 20), (20 + 60 * n, 530), 150, 1)
    texts = []
    for row in range(6):
        members = range(8 * row, 8 * row + 8)
        for n in members:
            large = cv2.resize(data.X_test[n], (68, 68))
            part = page[30 + 80 * row : 98 + 80 * row, 60 + 64 * (n % 8) : 128 + 64 * (n % 8)]
            np.minimum(part, 240 - (0.85 * large).astype(np.uint8), out=part)
        texts.append("".join(str(data.y_test[n]) for n in members))
    found = reading.read(page)
    assert found.cells == ()
    assert np.mean([line.text == text for line, text in zip(found.lines, texts, strict=True)]) > 0.6
