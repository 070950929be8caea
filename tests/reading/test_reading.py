"""Lines and pages are read, upright or not, with boxes, confidences and the names of the classes."""

import re
import sys
from difflib import SequenceMatcher

import numpy as np
import pytest
from versions import FONTS_OF_OPENCV_5

import lenet
from lenet import reading
from lenet.errors import InputError

Image = pytest.importorskip("PIL.Image")
ImageDraw, ImageFont = pytest.importorskip("PIL.ImageDraw"), pytest.importorskip("PIL.ImageFont")
cv2 = pytest.importorskip("cv2")

from_benchmarks = pytest.importorskip("benchmarks.reading")
plain = pytest.importorskip("benchmarks.rows").plain


# Lines


def row_of(images, gaps):
    """Digits side by side on paper."""
    page, left = np.zeros((60, 60 + 30 * len(images)), np.uint8), 16
    for image, gap in zip(images, gaps, strict=True):
        columns = np.flatnonzero(image.any(axis=0))
        part = image[:, columns[0] : columns[-1] + 1]
        place = page[16:44, left : left + part.shape[1]]
        np.maximum(place, part, out=place)
        left += part.shape[1] + int(gap)
    return 255 - page


def test_boxes_are_where_the_digits_are(tmp_path):
    images = lenet.data.load_digits().X_test[:3]
    page = row_of(images, [10, 10, 10])
    Image.fromarray(page).save(tmp_path / "row.png")
    (line,) = reading.read(tmp_path / "row.png").lines
    left = 16
    for digit, image in zip(line.digits, images, strict=True):
        width = int(np.ptp(np.flatnonzero(image.any(axis=0)))) + 1
        assert digit.box[0] == pytest.approx(left, abs=4)
        assert digit.box[2] == pytest.approx(left + width, abs=4)
        assert digit.probability >= digit.second_probability
        left += width + 10
    assert reading.read(page).as_dict()["lines"][0]["text"] == line.text


def table_of(rows, margin):
    """A page with two digits in each row, 2 5 and 9 7 in turn."""
    images = lenet.data.load_digits().X_test[183:187]
    page = np.full((2 * margin + 70 * rows, 2 * margin + 72), 255, np.uint8)
    for k in range(2 * rows):
        top, left = margin + k // 2 * 70, margin + k % 2 * 36
        page[top : top + 28, left : left + 28] = 255 - images[k % 4]
    return page


def on_black(page, angle):
    """A scan that was turned by some degrees, with black corners."""
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return cv2.warpAffine(page, turn, (width, height), borderValue=0)


def with_line(page, left, width, top=0):
    page[top : len(page) - top, left : left + width] = 0
    return page


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        (np.pad(table_of(1, 40), ((0, 400), (0, 0)), constant_values=255), 1),  # as tall as a receipt
        (table_of(5, 100)[62:410, 98:172], 5),  # a column that was cropped to its digits
        (with_line(table_of(4, 100), 44, 2, top=60), 4),
        (with_line(table_of(4, 100), 210, 3), 4),
        (cv2.rectangle(table_of(4, 100), (34, 34), (237, 445), 0, 2), 4),
        (on_black(table_of(5, 80), 3), 5),
        (on_black(table_of(5, 80), -6), 5),
    ],
    ids=["tall", "cropped", "line", "line to the borders", "frame", "black corners", "large black corners"],
)
def test_digits_are_read_beside_lines_and_dark_corners(page, rows):
    assert [line.text.replace(" ", "") for line in reading.read(page).lines] == (["25", "97"] * rows)[:rows]


def with_shadow(page, depth):
    """A page in the soft shadow of a finger that points to its middle."""
    height, width = page.shape
    mask = np.zeros(page.shape, np.float32)
    cv2.fillPoly(mask, [np.array([(0, height), (width // 2, height // 5), (2 * width // 3, height // 3)])], 1.0)
    return (page * (1 - depth * cv2.GaussianBlur(mask, (0, 0), width / 40))).astype(np.uint8)


@pytest.mark.parametrize("depth", [0.2, 0.3, 0.4])
def test_a_soft_shadow_across_the_writing_does_not_matter(depth):
    page = with_shadow(np.kron(table_of(5, 60), np.ones((2, 2), np.uint8)), depth)
    assert [line.text.replace(" ", "") for line in reading.read(page).lines] == ["25", "97", "25", "97", "25"]


@pytest.mark.parametrize("phone", [0, 150, 220])
@pytest.mark.parametrize("blur", [2, 40])
@pytest.mark.parametrize("middle", [(330, 400), (620, 760)], ids=["across the writing", "beside it"])
@pytest.mark.parametrize("depth", [0.2, 0.4])
def test_the_shadow_of_a_hand_on_a_large_page_does_not_matter(depth, middle, blur, phone):
    """Before, a shadow was ink unless there was much darker ink in it, and most or all of the writing was lost."""
    page = np.full((1200, 900), 230, np.float32)
    page[100:580, 100:500] -= 255 - np.kron(table_of(3, 80), np.ones((2, 2), np.float32))[:480, :400]
    hand = cv2.ellipse(np.zeros(page.shape, np.float32), (middle, (260, 520), 20), 1.0, -1)
    page[900 : 900 + phone, 80 : 80 + phone] = 40
    page = (page.clip(40) * (1 - depth * cv2.GaussianBlur(hand, (0, 0), blur))).astype(np.uint8)
    assert [line.text.replace(" ", "") for line in reading.read(page).lines] == ["25", "97", "25"]


def test_the_grey_rows_of_a_table_are_read():
    page, rows = np.full((500, 600), 255, np.uint8), ["4711", "90210", "555", "1234", "876"]
    for row, text in enumerate(rows):
        page[20 + 90 * row : 111 + 90 * row] -= np.uint8(25 * (row % 2))
        cv2.putText(page, text, (50, 85 + 90 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 0, 6, cv2.LINE_AA)
    assert [line.text for line in reading.read(page).lines] == rows


def test_two_slashes_in_a_line_separate_numbers():
    """Before, each was read as a 1, with a confidence near 1."""
    digits = lenet.data.load_digits()
    page = np.full((110, 420), 255, np.uint8)
    places, labels = [20, 130, 240, 290], digits.y_test[183:187]
    for left, image in zip(places, digits.X_test[183:187], strict=True):
        page[27:83, left : left + 56] = 255 - cv2.resize(image, (56, 56), interpolation=cv2.INTER_CUBIC)
    for left in (85, 195):
        cv2.line(page, (left + 25, 28), (left, 84), 20, 4, cv2.LINE_AA)
    a, b, c, d = map(str, labels)
    assert reading.read(page).text == f"{a} {b} {c}{d}"
    assert reading.read(page, marks=True).text == f"{a}/{b}/{c}{d}"
    assert reading.read(page, only_digits=True).text == f"{a} {b} {c}{d}"
    field = reading.Field("date", box=(0, 0, 1, 1), digits=4)
    assert reading.read_form(page, [field])[0].value == f"{a}{b}{c}{d}"
    page[:, 180:230] = 255  # one may be a 1
    assert "/" not in reading.read(page, marks=True).text


def test_only_digits_leaves_no_question_marks():
    page = np.full((120, 300), 255, np.uint8)
    cv2.putText(page, "7K", (30, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 5, cv2.LINE_AA)
    assert reading.read(page).text == "7?"
    (line,) = reading.read(page, only_digits=True).lines
    assert re.fullmatch("7[0-9]+", line.text)
    assert line.confidence < 0.3  # the option does not raise the confidence


def written(text):
    """A picture of a text in a font of OpenCV."""
    page = np.full((120, 60 * len(text) + 60, 1), 255, np.uint8)
    cv2.putText(page, text, (30, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 5, cv2.LINE_AA)
    return page[..., 0]


@FONTS_OF_OPENCV_5
@pytest.mark.parametrize(
    ("text", "expected"), [("Room 12", "????12"), ("Form 1040", "????1040"), ("10km", "10??"), ("7K", "7?")]
)
def test_the_letters_of_a_word_are_no_digits(text, expected):
    found = reading.read(written(text))
    assert (found.text, found.rotation) == (expected, 0)


@FONTS_OF_OPENCV_5
@pytest.mark.parametrize("text", ["3.14", "7,5", "-5", "0.5", "1-2"])
def test_marks_are_kept_on_request(text):
    assert reading.read(written(text), marks=True).text == text
    assert reading.read(written(text)).text == re.sub("[^0-9]", "", text)


@pytest.mark.parametrize("text", ["12.50", "020-7946", "31.12.2024", "-5.5"])
def test_marks_of_the_usual_size_are_kept(text):
    """In Pillow's font, points and dashes are as small as specks."""
    page = Image.new("L", (500, 120), 255)
    ImageDraw.Draw(page).text((40, 30), text, 0, ImageFont.load_default(64))
    assert reading.read(page, marks=True).text == text
    assert reading.read(page).text.replace(" ", "") == re.sub("[^0-9]", "", text)


@pytest.mark.parametrize(("text", "pen", "slant"), [
    ("99,95", 2, 0), ("3,75", 2, 0), ("1.234,56", 2, 0), ("99,95", 0, 0.2), ("20:45", 1, 0.16), ("09:30", 1, 0.16),
])  # fmt: skip
def test_bold_and_slanted_marks_are_kept(text, pen, slant):
    """A bold comma is half as high as a digit, and belongs to its segment; the points of a slanted colon lie apart."""
    page = Image.new("L", (560, 140), 255)
    ImageDraw.Draw(page).text((60, 30), text, 0, ImageFont.load_default(64), stroke_width=pen)
    page = page.transform(
        page.size, Image.Transform.AFFINE, (1, slant, 0, 0, 1, 0), Image.Resampling.BICUBIC, fillcolor=255
    )
    assert reading.read(page, marks=True).text == text


@pytest.mark.parametrize(
    ("top", "stop", "text"),
    [
        (64, 82, "38,27"),  # 0.45 heights long
        (58, 86, "38,27"),  # 0.82 heights
        (64, 86, "38,27"),  # shares too few rows with the digits for their line
        (20, 66, "38127"),  # a 1
    ],
)
def test_a_long_comma_is_no_1(top, stop, text):
    """The digits are 40 pixels high and end at row 70."""
    images = lenet.data.load_digits().X_test
    page = np.zeros((120, 260), np.uint8)
    for n, left in zip((13, 17, 21, 11), (20, 66, 124, 172), strict=True):
        rows, columns = np.nonzero(images[n] > 60)
        digit = images[n][rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        page[30:70, left : left + 30] = cv2.resize(digit, (30, 40), interpolation=cv2.INTER_AREA)
    cv2.line(page, (112, top), (106, stop), 255, 4, cv2.LINE_AA)
    for only_digits in (False, True):
        assert reading.read(255 - page, marks=True, only_digits=only_digits).text == text
        assert reading.read(255 - page, only_digits=only_digits).text == text.replace(",", "")
    fields = [reading.Field("amount", (0, 0, 1, 1))]
    assert reading.read_form(255 - page, fields)[0].value == text.replace(",", "")


def test_a_comma_below_the_baseline_is_kept():
    """It is 14 pixels long, between those of specks and of digits, and begins 5 pixels above the end of the digits."""
    page = Image.new("L", (300, 140), 255)
    draw = ImageDraw.Draw(page)
    for x, text in ((60, "99"), (150, "95")):
        draw.text((x, 30), text, 0, ImageFont.load_default(64))
    draw.line((144, 90, 138, 102), 0, 4)
    assert reading.read(page, marks=True).text == "99,95"


@FONTS_OF_OPENCV_5
def test_the_digit_that_a_letter_resembles_is_the_second_choice():
    digit = reading.read(written("Room 12")).lines[0].digits[1]
    assert (digit.label, digit.name, digit.second) == (None, None, 0)
    assert digit.probability < 0.1
    assert digit.second_probability > 0.9


@FONTS_OF_OPENCV_5
@pytest.mark.parametrize("word", ["window", "paper", "BATH"])
def test_a_word_of_letters_has_no_line(word):
    assert reading.read(written(word)) == reading.Reading()


def test_a_line_is_made_of_the_names_of_the_classes():
    digits = lenet.data.load_digits()
    row = row_of(digits.X_test[183:187], [10] * 4)
    model = lenet.load_pretrained("mnist")
    model.classes = list("ABCDEFGHIJ")
    (line,) = reading.read(row, model).lines
    assert line.text == "".join("ABCDEFGHIJ"[label] for label in digits.y_test[183:187])
    assert [digit.label for digit in line.digits] == digits.y_test[183:187].tolist()
    assert [digit["class"] for digit in reading.Reading((line,)).as_dict()["lines"][0]["digits"]] == list(line.text)


def test_a_model_may_be_given_by_name_or_path(tmp_path):
    row, path = row_of(lenet.data.load_digits().X_test[183:187], [10] * 4), tmp_path / "letters.safetensors"
    model = lenet.load_pretrained("mnist")
    model.classes = list("ABCDEFGHIJ")
    model.save(path)
    field = reading.Field("all", box=(0, 0, 1, 1))
    assert reading.read(row, "mnist") == reading.read(row)
    assert reading.read_form(row, [field], "mnist") == reading.read_form(row, [field])
    for given in (path, str(path)):
        assert reading.read(row, given) == reading.read(row, model)
        assert reading.read_form(row, [field], given) == reading.read_form(row, [field], model)
    with pytest.raises(InputError, match=r"^mnits does not exist; expected a model file, a run folder or mnist\.$"):
        reading.read(row, "mnits")


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_page_has_no_lines(level):
    assert reading.read(np.full((300, 200), level, np.uint8)).lines == ()
    assert reading.read(np.full((300, 200), level, np.uint8)).text == ""


def test_a_blot_is_a_non_digit():
    page = np.full((100, 200), 255, np.uint8)
    cv2.fillPoly(page, [np.array([[30, 20], [75, 12], [92, 60], [60, 70], [66, 90], [35, 80]], np.int32)], 0)
    assert not any(digit.label is not None for line in reading.read(page).lines for digit in line.digits)


@pytest.mark.release
def test_strings_of_digits_that_touch_or_do_not(mnist):
    """1,000 strings of 3 to 8 digits with gaps of -1 to 4 pixels; the paper's figures for cheques are 82% and 1%."""
    rng, outcome = np.random.default_rng(1), []
    for _ in range(1000):
        row = plain(mnist.X_test, mnist.y_test, rng)
        found = reading.read(255 - row.ink, only_digits=True)
        confidence = min((line.confidence for line in found.lines), default=0)
        outcome.append((confidence, found.text.replace(" ", "") == row.text))
    right = np.array([each for _, each in sorted(outcome, reverse=True)])
    assert right.mean() >= 0.93
    accepted = np.flatnonzero((~right).cumsum() <= 10)[-1] + 1  # with at most 1% wrong
    assert right[:accepted].sum() >= 820  # 829 where this was written; other builds have other last bits


# Pages


def ruled_page(digits, rng, lines=8):
    """A page of digits at twice their size on ruled paper, slanted and with a shadow, and its text."""
    page, texts = np.full((lines * 90 + 60, 1000), 235.0), []
    for line in range(lines):
        members = rng.integers(0, len(digits.X_test), 12)
        row = cv2.resize(row_of(digits.X_test[members], np.full(12, 5)), None, fx=2, fy=2)[20:96]
        top = 30 + 90 * line
        page[top + 80 : top + 82, 10:-10] = 170
        part = page[top : top + 76, 20 : 20 + row.shape[1]]
        np.minimum(part, row[:, : part.shape[1]], out=part)
        texts.append("".join(map(str, digits.y_test[members])))
    turn = cv2.getRotationMatrix2D((500, 400), 3, 1)
    page = cv2.warpAffine(page, turn, page.shape[::-1], borderValue=235)
    shadow = np.linspace(1, 0.6, 1000)
    return (page * shadow).clip(0, 255).astype(np.uint8), texts


def test_a_page_is_read_line_by_line():
    rng = np.random.default_rng(1)
    page, texts = ruled_page(lenet.data.load_digits(), rng)
    found = reading.read(page)
    assert len(found.lines) == len(texts)
    likeness = [SequenceMatcher(None, line.text, text).ratio() for line, text in zip(found.lines, texts, strict=True)]
    assert np.mean(likeness) > 0.85  # these weights read 94% of such digits
    tops = [line.box[1] for line in found.lines]
    assert tops == sorted(tops)
    assert all(0 <= line.confidence <= 1 for line in found.lines)


@pytest.mark.landing
def test_pages_as_photographed(mnist):
    wrong = total = 0
    for number, pen in enumerate(from_benchmarks.PENS):
        rng = np.random.default_rng(number)
        picture, texts = from_benchmarks.page(mnist.X_test, mnist.y_test, rng, pen)
        found = [line.text.replace(" ", "") for line in reading.read(picture).lines]
        wrong += from_benchmarks.edits("".join(texts), "".join(found))
        total += sum(map(len, texts))
    assert wrong / total <= 0.03


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak in /proc")
def test_a_photograph_of_12_megapixels_takes_little_time_and_memory(mnist):
    seconds, megabytes, lines = from_benchmarks.read_photograph(mnist)
    assert lines >= 29
    assert seconds < 1.2  # of CPU time; 0.4 on a quiet core
    assert megabytes < 200


def place_of(box, picture, turns):
    """The box in a picture of the box in the picture after quarter turns."""
    left, top, right, bottom = box
    place = np.zeros(np.rot90(picture, turns).shape, bool)
    place[top:bottom, left:right] = True
    rows, columns = np.nonzero(np.rot90(place, -turns))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("turns", [1, *(pytest.param(turns, marks=pytest.mark.landing) for turns in (2, 3))])
def test_a_page_on_its_side_or_upside_down_is_read_like_an_upright_one(turns):
    digits = lenet.data.load_digits()
    page = np.pad(ruled_page(digits, np.random.default_rng(1))[0], ((0, 400), (0, 0)), mode="edge")
    for n, image in enumerate(digits.X_test[:12]):
        top, left = 800 + 80 * (n // 4), 400 + 100 * (n % 4)
        cv2.rectangle(page, (left, top), (left + 100, top + 80), 40, 2)
        place = page[top + 15 : top + 65, left + 25 : left + 75]
        np.minimum(place, 220 - cv2.resize(image, (50, 50)) // 2, out=place)
    upright, turned = reading.read(page), reading.read(np.rot90(page, turns))
    assert upright.rotation == 0
    assert turned.rotation == turned.as_dict()["rotation"] == 360 - 90 * turns
    for line, other in zip(upright.lines, turned.lines, strict=True):
        assert (other.text, other.confidence) == (line.text, line.confidence)
        boxes = [place_of(digit.box, page, turns) for digit in other.digits]
        assert boxes == [digit.box for digit in line.digits]
    assert len(upright.cells) == 12
    for cell, other in zip(upright.cells, turned.cells, strict=True):
        assert (other.row, other.column, other.text) == (cell.row, cell.column, cell.text)
        assert place_of(other.box, page, turns) == cell.box
    assert reading.read(np.rot90(page, turns), rotate=False).rotation == 0


def test_a_list_with_a_dash_before_each_digit_is_not_turned():
    """On its side, the dashes are a row of 1s."""
    data = lenet.data.load_digits()
    for start in range(0, 40, 4):
        page = np.full((320, 200), 255, np.uint8)
        for n, image in enumerate(data.X_test[start : start + 4]):
            digit = cv2.resize(image, (56, 56), interpolation=cv2.INTER_CUBIC)
            page[20 + 70 * n : 76 + 70 * n, 100:156] = 255 - digit
            cv2.line(page, (30, 48 + 70 * n), (75, 48 + 70 * n), 20, 5)
        assert reading.read(page).rotation == 0


@pytest.mark.landing
def test_a_whole_page_of_400_digits_on_its_side_is_turned():
    """On its side, it has 8,000 shapes that may be digits, and upright 1,400."""
    data = lenet.data.load_digits()
    page, texts = from_benchmarks.page(data.X_train, data.y_train, np.random.default_rng(0), pen=0)
    assert sum(map(len, texts)) > 400
    assert reading.read(np.rot90(page)).rotation == 270


@pytest.mark.landing
def test_a_whole_page_of_large_digits_on_its_side_is_turned():
    """Digits that are legible are not cut, and do not count as work."""
    data, page = lenet.data.load_digits(), np.full((2200, 1650), 255, np.uint8)
    for n in range(20 * 16):
        top, left = 60 + 105 * (n // 16), 60 + 95 * (n % 16)
        digit = cv2.resize(data.X_train[n][4:24, 4:24], (76, 76), interpolation=cv2.INTER_CUBIC)
        page[top : top + 76, left : left + 76] = 255 - digit
    assert reading.read(np.rot90(page)).rotation == 270
