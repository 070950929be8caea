"""The fields of forms are found, read and checked."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import fails, misused, run, succeeds

import lenet
from lenet.errors import DataError, InputError

cv2 = pytest.importorskip("cv2")
drawing = pytest.importorskip("docs.draw_reading")
reading = pytest.importorskip("lenet.reading")
Field, load_fields, read_form = reading.Field, reading.load_fields, reading.read_form

HEIGHT, WIDTH = 760, 900  # of the form
RULES = {"card": (16, "luhn"), "book": (13, "ean"), "staff": (6, "mod11"), "total": (4, None)}
FIELDS = [
    Field(name, box=(x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT), digits=RULES[name][0], checksum=RULES[name][1])
    for name, (x, y, w, h) in drawing.FORM.items()
]
FIELDS += [Field(f"q{n}", cell=(0, n), digits=1) for n in range(5)]
FILE = json.dumps([{key: value for key, value in vars(field).items() if value is not None} for field in FIELDS])


def value_of(field, rng):
    """A random value with the right checksum."""
    while True:
        value = "".join(map(str, rng.integers(0, 10, field.digits)))
        if not field.problems(value):
            return value


def form(seed):
    rng = np.random.default_rng(seed)
    values = {field.name: value_of(field, rng) for field in FIELDS}
    return drawing.photograph_of_a_form(values, rng), values


@pytest.fixture(scope="module")
def first():
    return form(0)


def test_19_of_20_fields_of_photographed_forms_are_read(first):
    right = []
    for picture, values in (first, form(1), form(2)):
        right += [each.value == values[each.name] for each in read_form(picture, FIELDS)]
    assert np.mean(right) >= 0.95


LANDING = pytest.mark.landing


@pytest.mark.parametrize(("seed", "turns"), [(0, 1), *(pytest.param(seed, 2, marks=LANDING) for seed in (0, 1, 2))])
def test_a_form_on_its_side_or_upside_down_is_turned(seed, turns):
    picture, values = form(seed)
    found = read_form(np.rot90(picture, turns), FIELDS)
    assert {each.name: each.value for each in found} == values


def test_places_refer_to_the_sheet_and_not_to_the_table(first):
    """The fields of a scan of the same form are read, too."""
    _, values = first
    scan = drawing.filled_form(values, np.random.default_rng(5)).astype(np.uint8)
    found = read_form(scan, FIELDS)
    assert {each.name: each.value for each in found} == values
    left, top, width, height = drawing.POINTS
    expected = [*drawing.FORM.values(), *((left + n * width, top, width, height) for n in range(5))]
    for value, (left, top, width, height) in zip(found, expected, strict=True):
        assert value.box == pytest.approx((left, top, left + width, top + height), abs=4)
    assert found[0].as_dict()["box"] == list(found[0].box)


def test_places_refer_to_a_whole_scan_even_if_all_writing_is_in_a_panel():
    """`read` would crop the picture to the panel."""
    panel = np.tile(np.linspace(150, 190, 200), (100, 1))
    for n, digit in enumerate(lenet.data.load_digits().X_test[:4]):
        panel[36:64, 36 + 32 * n : 64 + 32 * n] -= digit / 255 * 90
    page = np.pad(panel.clip(0, 255).astype(np.uint8), ((10, 20), (30, 20)), constant_values=255)
    (value,) = read_form(page, [Field("code", box=(30 / 250, 10 / 130, 200 / 250, 100 / 130), digits=4)])
    assert (value.value, value.box) == ("1470", (30, 10, 230, 110))


@pytest.mark.parametrize("turns", [pytest.param(1, marks=LANDING), 2])
def test_the_boxes_of_a_turned_form_are_in_the_picture(first, turns):
    scan = drawing.filled_form(first[1], np.random.default_rng(5)).astype(np.uint8)
    upright, found = (read_form(np.rot90(scan, n), FIELDS) for n in (0, turns))
    assert {each.name: each.value for each in found} == first[1]
    assert {each.as_dict()["rotation"] for each in found} == {360 - 90 * turns}
    for value, turned in zip(upright, found, strict=True):
        assert value.rotation == 0
        page = np.zeros(scan.shape[:2])
        page[value.box[1] : value.box[3], value.box[0] : value.box[2]] = 1
        y, x = np.rot90(page, turns).nonzero()
        assert turned.box == pytest.approx((x.min(), y.min(), x.max() + 1, y.max() + 1), abs=4)


@pytest.mark.parametrize("as_path", [str, Path])
def test_fields_are_loaded_from_a_path(as_path, tmp_path):
    path = tmp_path / "fields.json"
    path.write_text('[{"name": "a", "box": [0, 0, 0.5, 1]}, {"name": "b", "cell": [0, 0]}]')
    found = read_form(np.full((60, 90), 255, np.uint8), as_path(path))
    assert [(each.name, each.problems) for each in found] == [("a", ("empty",)), ("b", ("no cell",))]
    path.write_text("[]")
    with pytest.raises(DataError, match=r"fields\.json: There are 0 fields"):
        read_form(np.full((60, 90), 255, np.uint8), as_path(path))


@pytest.mark.parametrize("shade", [90, 232])
def test_a_table_is_read_although_the_lines_of_another_are_too_faint(shade):
    """Its number would then be that of the other."""
    digits = lenet.data.load_digits()
    page = np.full((420, 300), 240, np.uint8)
    tables = [((2, 3), (30, 20), shade), ((3, 2), (30, 130), 90), ((4, 2), (170, 130), 90)]
    fields = []
    for (rows, columns), (left, top), line in tables:
        for place in range(rows * columns):
            x, y = left + 44 * (place % columns), top + 44 * (place // columns)
            cv2.rectangle(page, (x, y), (x + 44, y + 44), line, 2)
            ink = 0.7 * digits.X_test[183 + (place + rows) % 4]
            page[y + 8 : y + 36, x + 8 : x + 36] -= ink.astype(np.uint8)
            fields.append(Field(f"f{len(fields)}", cell=divmod(place, columns), grid=(rows, columns), digits=1))
    first, *others = (read_form(page, part, check_below=0) for part in (fields[:6], fields[6:12], fields[12:]))
    assert ["".join(each.value for each in found) for found in others] == ["725972", "25972597"]
    assert "".join(each.value for each in first) == ("972597" if shade == 90 else "")
    assert {each.problems for each in first} == {() if shade == 90 else ("no cell",)}


def test_each_kind_of_problem_is_reported(first):
    picture, values = first
    card, book, *_ = FIELDS
    asked = [
        Field("long", box=card.box, digits=17),
        Field("sum", box=book.box, digits=13, checksum="luhn"),
        Field("none", box=(0, 0, 0.1, 0.1)),
        Field("cell", cell=(7, 0)),
        Field("grid", cell=(0, 0), grid=3),
    ]
    long, checked, *missing = read_form(picture, asked, check_below=0)
    assert (long.value, long.problems) == (values["card"], ("digits",))
    assert (checked.value, checked.problems) == (values["book"], ("checksum",))
    assert [(each.value, each.confidence, *each.problems) for each in missing] == [
        ("", 0.0, "empty"), ("", 0.0, "no cell"), ("", 0.0, "no cell")]  # fmt: skip
    assert read_form(picture, asked[:1], check_below=1)[0].problems == ("confidence", "digits")


def test_an_upside_down_form_is_turned_although_one_number_is_legible_either_way():
    """The fields of the others are empty, and must not be."""
    data, page = lenet.data.load_digits(), np.full((400, 300), 240, np.uint8)
    places = {"middle": (186, 136, 8), "a": (40, 40, 5), "b": (40, 120, 7), "c": (100, 40, 3), "d": (100, 120, 4)}
    for top, left, label in places.values():
        page[top : top + 28, left : left + 28] = 240 - 0.8 * data.X_test[np.flatnonzero(data.y_test == label)[1]]
    fields = [
        Field(name, box=((left - 10) / 300, (top - 10) / 400, 48 / 300, 48 / 400), digits=1)
        for name, (top, left, _) in places.items()
    ]
    found = read_form(np.rot90(page, 2), fields)
    assert [each.value for each in found] == [str(label) for _, _, label in places.values()]


def field_with(*digits):
    """A page with MNIST's digits of these labels beside each other, and the field around them."""
    data = lenet.data.load_digits()
    page = np.full((120, 80 + 40 * len(digits)), 240, np.uint8)
    for place, label in enumerate(digits):
        image = data.X_test[np.flatnonzero(data.y_test == label)[3]]
        page[46:74, 40 + 40 * place : 68 + 40 * place] = 240 - 0.8 * image
    return page, {"box": (0.05, 0.25, 0.9, 0.5)}


def class_list(marks):
    """A table with names, headings and few marks: the labels of MNIST's digits by row and column."""
    data, page = lenet.data.load_digits(), np.full((560, 720), 245, np.uint8)
    for n in range(9):
        cv2.line(page, (40, 40 + 60 * n), (680, 40 + 60 * n), 30, 2)
    for x in (40, 280, 380, 480, 580, 680):
        cv2.line(page, (x, 40), (x, 520), 30, 2)
    for n in range(4):
        cv2.putText(page, f"T{n + 1}", (305 + 100 * n, 82), 0, 0.9, 20, 2, cv2.LINE_AA)
    for n, name in enumerate(("Adler", "Bauer", "Can", "Dorn", "Ernst", "Fuchs", "Hahn")):
        cv2.putText(page, name, (55, 142 + 60 * n), 0, 0.9, 20, 2, cv2.LINE_AA)
    for (row, column), label in marks.items():
        image, (top, left) = data.X_test[np.flatnonzero(data.y_test == label)[2]], (56 + 60 * row, 206 + 100 * column)
        page[top : top + 28, left : left + 28] = 245 - 0.8 * image
    return page


@pytest.mark.parametrize("marks", [{}, {(4, 3): 6}])
def test_a_form_with_few_filled_in_fields_is_not_turned(marks):
    """Upside down, the names and headings were read as numbers in the fields, and the 6 as a 9."""
    fields = [Field(f"f{r}_{c}", cell=(r, c), grid=(8, 5), optional=True) for r in range(1, 8) for c in range(1, 5)]
    found = read_form(class_list(marks), fields)
    expected = {f"f{r}_{c}": str(k) for (r, c), k in marks.items()}
    assert {each.name: each.value for each in found if each.value} == expected
    assert {each.rotation for each in found} == {0}


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_form_with_many_empty_fields_is_turned(turns):
    """They need not be optional."""
    data = lenet.data.load_digits()
    page = np.full((640, 520), 240, np.uint8)
    for n in (3, 8, 13):
        for place in range(3):
            row, column = 30 + 60 * (n % 10), 30 + 250 * (n // 10) + 40 * place
            page[row : row + 28, column : column + 28] = 240 - 0.8 * data.X_test[183 + place]
    boxes = [((20 + 250 * (n // 10)) / 520, (20 + 60 * (n % 10)) / 640, 200 / 520, 48 / 640) for n in range(20)]
    found = read_form(np.ascontiguousarray(np.rot90(page, turns)), [Field(f"f{n}", box) for n, box in enumerate(boxes)])
    assert {each.rotation for each in found} == {-90 * turns % 360}
    assert [n for n, each in enumerate(found) if each.value == "259"] == [3, 8, 13]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_narrow_table_is_turned(turns):
    """On its side, it has none of the cells of its fields but one."""
    data = lenet.data.load_digits()
    page = np.full((460, 260), 240, np.uint8)
    for n in range(7):
        cv2.line(page, (50, 50 + 60 * n), (210, 50 + 60 * n), 30, 2)
    for x in (50, 210):
        cv2.line(page, (x, 50), (x, 410), 30, 2)
    for row in range(6):
        for place in range(3):
            top, left = 66 + 60 * row, 70 + 42 * place
            page[top : top + 28, left : left + 28] = 240 - 0.8 * data.X_test[183 + place]
    fields = [Field(f"f{row}", cell=(row, 0)) for row in range(1, 6)]
    found = read_form(np.ascontiguousarray(np.rot90(page, turns)), fields)
    assert [(each.value, each.rotation) for each in found] == [("259", -90 * turns % 360)] * 5


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_form_with_one_filled_in_field_of_four_is_turned(turns):
    """In one of the other orientations, a field had one digit, which counted as much as the whole number."""
    data = lenet.data.load_digits()
    page, members = np.full((440, 620), 240, np.uint8), (183, 184, 185, 186, 183, 184)
    for row, name in enumerate(("Number", "Card", "Staff", "Total")):
        cv2.putText(page, name, (30, 68 + 100 * row), 0, 1, 20, 2, cv2.LINE_AA)
        cv2.rectangle(page, (220, 30 + 100 * row), (580, 86 + 100 * row), 60, 2)
    for place, n in enumerate(members):
        page[244:272, 240 + 50 * place : 268 + 50 * place] = 240 - 0.8 * data.X_test[n]
    fields = [Field(f"f{n}", box=(0.34, 0.06 + 0.227 * n, 0.61, 0.15), optional=True) for n in range(4)]
    found = read_form(np.ascontiguousarray(np.rot90(page, turns)), fields)
    assert [each.value for each in found] == ["", "", "259725", ""]
    assert {each.rotation for each in found} == {360 - 90 * turns}


@pytest.mark.parametrize(("left", "top", "right", "bottom"), [(108, 58, 118, 61), (110, 66, 113, 76), (26, 58, 36, 61)])
def test_a_value_beside_a_dash_or_a_comma_has_a_problem(left, top, right, bottom):
    page, place = field_with(1, 2, 5, 7)
    for problems in ((), ("mark",)):
        [found] = read_form(page, [Field("number", **place)], check_below=0)
        assert (found.value, found.problems) == ("1257", problems)
        page[top:bottom, left:right] = 60


@pytest.mark.parametrize(
    ("checksum", "number"),
    [
        ("luhn", "79927398713"), ("luhn", "4111111111111111"),
        ("ean", "4006381333931"), ("ean", "9780306406157"), ("ean", "73513537"), ("ean", "036000291452"),
        ("mod11", "0306406152"), ("mod11", "9434765919"),
    ],
)  # fmt: skip
def test_published_numbers_pass_their_checksum_and_no_other_last_digit_does(checksum, number):
    field = Field("a", cell=(0, 0), checksum=checksum)
    passes = [last for last in "0123456789" if not field.problems(number[:-1] + last)]
    assert passes == [number[-1]]
    assert field.problems(number[:-1] + "?") == ("non-digit",)


A = '"name": "a", '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "fields.json is not a list; expected a JSON list of fields."),
        ("[]", "There are 0 fields; expected 1 to 1,000."),
        ("", "fields.json is empty; expected a JSON list of fields."),
        (" \n", "fields.json is empty; expected a JSON list of fields."),
        ("[", "fields.json is not JSON (Expecting value in line 1, column 2); expected a JSON list of fields."),
        ("\xff", "fields.json is not encoded in UTF-8; expected a JSON list of fields. Save it as UTF-8."),
        ("[3]", "entry 1: A field is 3; expected an object with a name."),
        ("[{}]", "entry 1: A field is {}; expected an object with a name."),
        ("[" * 100_000, "has too many nested lists"),
        ('[{"box": [0, 0, 1, 1]}]', "expected an object with a name"),
        ('[{"name": "=1", "cell": [0, 0]}]', "A field has the name '=1'; expected a letter, followed by"),
        ('[{"name": 3, "cell": [0, 0]}]', "A field has the name 3; expected a letter, followed by"),
        ("[{" + A + '"where": 1}]', "entry 1: The field 'a' has the key 'where'; expected box, cell"),
        ("[{" + A + '"name": "b"}]', "entry 1: The field 'b' has the keys ['name', 'name']; expected each once."),
        ("[{" + A + '"cell": {"row": 0, "column": 0}}]', "cell of the field a is {'column': 0, 'row': 0}; expected a"),
        ("[{" + A + '"digits": 3}]', "The field a has neither a box nor a cell; expected a box or a cell, or"),
        (
            "[{" + A + '"cell": [0, 0], "box": [0, 0, 1, 1]}]',
            "a has both a box and a cell; expected a box or a cell, or both with the rows and columns of a grid.",
        ),
        (
            "[{" + A + '"box": [0, 0, 1, 1], "grid": [9, 2]}]',
            "The field a has a grid, but no cell; expected",
        ),
        ("[{" + A + '"box": [0, 0, 1, 1], "grid": 1}]', "The field a has a grid, but no cell; expected a box or a"),
        ("[{" + A + '"grid": [9, 2]}]', "The field a has neither a box nor a cell; expected"),
        ("[{" + A + '"cell": [9, 0], "grid": [9, 2]}]', "cell of the field a is [9, 0]; expected a row below 9 and a"),
        ("[{" + A + '"cell": [0, 2], "grid": [9, 2]}]', "cell of the field a is [0, 2]; expected a row below 9 and a"),
        ("[{" + A + '"cell": [0, 0], "grid": [9]}]', "grid of the field a is [9]; expected a list of 2 numbers."),
        (
            "[{" + A + '"cell": [0, 0], "grid": {"rows": 9}}]',
            "grid of the field a is {'rows': 9}; expected a list of 2",
        ),
        ("[{" + A + '"cell": [0, 0], "grid": [9, 0]}]', "grid of the field a is 0; expected at least 1."),
        ("[{" + A + '"box": [0, 0, 1]}]', "box of the field a is [0, 0, 1]; expected a list of 4 numbers."),
        ("[{" + A + '"box": [0, 0, 1, "1"]}]', "box of the field a is '1'; expected a number."),
        ("[{" + A + '"box": [0, 0, 1, NaN]}]', "expected left, top, width and height"),
        ("[{" + A + '"box": [0.5, 0, 0.6, 1]}]', "expected left, top, width and height"),
        (
            '[{"name": "b", "cell": [0, 0]}, {' + A + '"cell": [0]}]',
            "entry 2: cell of the field a is [0]; expected a list",
        ),
        ("[{" + A + '"cell": [0, -1]}]', "entry 1: cell of the field a is -1; expected at least 0."),
        ("[{" + A + '"cell": [0, 0], "digits": 65}]', "digits of the field a is too large; expected at most 64."),
        ("[{" + A + '"cell": [0, 0], "digits": true}]', "digits of the field a is True; expected an integer."),
        ("[{" + A + '"cell": [0, 0], "checksum": []}]', "checksum of the field a is []; expected luhn, ean, mod11."),
        ('[{"name": "a", "cell": [0, 0]}, {"name": "a", "cell": [0, 1]}]', "Field 2 has the name a, but there is"),
        (
            '[{"name": "b", "cell": [0, 0]}, {"name": "check", "cell": [0, 0]}]',
            "Field 2 has the name check, but there is",
        ),
        ('[{"name": "image", "cell": [0, 0]}]', "already a column image; expected a name other than image, check and"),
        (
            '[{"name": "a_confidence", "cell": [0, 0]}, {"name": "a", "cell": [0, 0]}]',
            "Field 2 has the name a, but there is already a column a_confidence",
        ),
    ],
)
def test_a_file_without_valid_fields_is_rejected(tmp_path, text, message):
    path = tmp_path / "fields.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=re.escape(str(path))) as raised:
        load_fields(path)
    assert message in str(raised.value)
    assert str(raised.value).count(str(path)) == 1


# ---- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def forms(first, cwd):
    (cwd / "forms").mkdir()
    cv2.imwrite("forms/a.png", cv2.cvtColor(first[0], cv2.COLOR_RGB2BGR))
    cv2.imwrite("forms/b.png", np.full((90, 90), 255, np.uint8))
    (cwd / "fields.json").write_text(FILE)
    return cwd


def test_a_folder_of_forms_becomes_a_table(first, forms, capsys):
    assert succeeds(capsys, "read", "forms", "--fields", "fields.json", "--csv", "out.csv", "-q") == ""
    with (forms / "out.csv").open(newline="") as file:
        filled, blank = csv.DictReader(file)
    assert {name: filled[name] for name in first[1]} == first[1]
    assert (Path(filled["image"]), filled["check"]) == (Path("forms/a.png"), "")
    assert all(0.9 <= float(filled[f"{name}_confidence"]) <= 1 for name in first[1])
    reasons = [f"{name}: {'no cell' if name[0] == 'q' else 'empty'}" for name in first[1]]
    assert blank["check"] == "; ".join(reasons)
    assert {blank[name] for name in first[1]} == {""}
    (forms / "one.json").write_text('[{"name": "größe", "box": [0, 0, 1, 1]}]', encoding="utf-8")
    for columns in ("image,check,größe", "image,check"):
        assert f"out.csv exists and is not a table with the columns {columns}" in fails(
            capsys, "read", "forms", "--fields", "one.json", "--csv", "out.csv", "-q"
        )
        (forms / "out.csv").write_text("image,check\n")
    (forms / "out.csv").write_text("image,check,größe,größe_confidence\nforms/a.png,,1,1\n", encoding="utf-8")
    for _ in range(2):
        succeeds(capsys, "read", "forms", "--fields", "one.json", "--csv", "out.csv", "-q")
    text = (forms / "out.csv").read_text(encoding="utf-8")
    assert text.startswith("image,check,größe,größe_confidence\nforms/a.png,")


def test_fields_are_printed_as_text_and_as_json(first, forms, capsys):
    text = succeeds(capsys, "read", "forms/a.png", "--fields", "fields.json", "--check-below", "1")
    assert text.startswith(f"forms/a.png: card: {first[1]['card']} (0.99) check: confidence\n")
    found = json.loads(succeeds(capsys, "read", "forms/a.png", "--fields", "fields.json", "--json"))
    assert [(each["name"], each["value"]) for each in found["fields"]] == list(first[1].items())
    assert found["fields"][0]["problems"] == []


def test_the_fields_are_drawn_on_the_sheet(first, forms, capsys):
    succeeds(capsys, "read", "forms/a.png", "--fields", "fields.json", "--show", "out.png")
    sheet = reading.forms.straightened(cv2.cvtColor(first[0], cv2.COLOR_RGB2GRAY))
    drawn = cv2.imread("out.png")
    assert drawn.shape[0] - sheet.shape[0] == 2 * 36
    blue = (drawn == (178, 114, 0)).all(axis=2)
    left, top, right, bottom = np.array(read_form(first[0], FIELDS)[0].box) + 36
    assert blue[top, left:right].all()
    assert blue[bottom, left:right].all()
    assert blue[top:bottom, left].all()


def test_wrong_arguments_are_rejected(forms, capsys):
    command = "read", "forms/b.png", "--fields", "fields.json"
    assert "--show is out.jpg; expected a name that ends in .png" in misused(capsys, *command, "--show", "out.jpg")
    assert "--check-below: 2 is out of range; expected a confidence" in misused(capsys, *command, "--check-below", "2")
    assert "--check-below requires --fields." in misused(capsys, *command[:2], "--check-below", "0.5")
    assert "missing.json" in fails(capsys, "read", "forms/b.png", "--fields", "missing.json")
    (forms / "fields.json").write_text('[{"name": "check", "cell": [0, 0]}]')
    assert "fields.json: Field 1 has the name check, but there is" in fails(
        capsys, *command[:1], "none.png", *command[2:]
    )


def test_a_picture_that_cannot_be_read_is_reported_and_the_others_are_read(forms, capsys):
    code, out, err = run(capsys, "read", "fields.json", "forms/b.png", "--fields", "fields.json")
    assert code == 1
    assert "fields.json is not a picture" in err
    assert out.count("check: empty") == 4


@pytest.mark.parametrize(
    ("classes", "message"), [(["one", "two"], "names of one character"), (["a", "b"], "has a checksum")]
)
def test_a_model_that_cannot_read_the_fields_is_reported_once(forms, capsys, classes, message):
    model = lenet.LeNet5(seed=0, num_classes=2)
    model.classes = classes
    model.save("model.safetensors")
    assert message in fails(capsys, "read", "forms", "--fields", "fields.json", "--model", "model.safetensors")


def test_a_form_that_cannot_be_read_has_a_row(forms, capsys):
    (forms / "forms" / "aa.png").write_bytes(b"no picture")
    (forms / "fields.json").write_text('[{"name": "a", "box": [0, 0, 1, 1]}, {"name": "b", "cell": [0, 0]}]')
    code, _, err = run(capsys, "read", "forms", "none.png", "--fields", "fields.json", "--csv", "out.csv", "-q")
    assert (code, err.count("\n")) == (1, 2)
    with (forms / "out.csv").open(newline="") as file:
        rows = {Path(row[0]).name: row[1:] for row in csv.reader(file)}
    assert list(rows) == ["image", "a.png", "aa.png", "b.png", "none.png"]
    assert rows["aa.png"][0].startswith("not read: ")
    assert "aa.png is not a picture; expected" in rows["aa.png"][0]
    assert rows["aa.png"][1:] == [""] * 4
    assert rows["b.png"] == ["a: empty; b: no cell", "", "0.0", "", "0.0"]
    assert rows["none.png"][0] == "not read: none.png: No such file or directory"


def test_the_strokes_of_all_fields_together_are_limited(monkeypatch):
    """Noise in each of many fields took minutes, as the limit was one of each field."""
    digits = lenet.data.load_digits()
    page = np.full((60, 340), 240, np.uint8)
    for place in range(8):
        page[16:44, 20 + 40 * place : 48 + 40 * place] -= (0.7 * digits.X_test[183 + place % 4]).astype(np.uint8)
    monkeypatch.setattr(reading.reader, "MAX_PIECES", 15)
    halves = [Field("left", box=(0, 0, 0.5, 1)), Field("right", box=(0.5, 0, 0.5, 1))]
    assert [read_form(page, [half])[0].value for half in halves] == ["2597", "2597"]
    with pytest.raises(InputError, match="pieces of strokes; expected at most 15"):
        read_form(page, [*halves, Field("all", box=(0, 0, 1, 1))])


@pytest.mark.parametrize("noise", [0, 1, 3])
@pytest.mark.parametrize("on_table", [True, False])
def test_a_blank_form_is_empty(noise, on_table):
    """Its edges were read as 1, and the noise of bright paper as light ink."""
    picture = np.full((700, 1000), 235, np.uint8)
    if on_table:
        corners = np.array([[0, 0], [1000, 0], [1000, 700], [0, 700]], np.float32)
        seen = np.array([[150, 120], [1180, 90], [1230, 860], [110, 830]], np.float32)
        view = cv2.getPerspectiveTransform(corners, seen)
        picture = cv2.warpPerspective(picture, view, (1400, 1000), borderValue=60, flags=cv2.INTER_AREA)
    picture = np.clip(picture + np.random.default_rng(0).normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    fields = [Field("left", box=(0, 0, 0.5, 1)), Field("right", box=(0.5, 0, 0.5, 1))]
    assert [value.problems for value in read_form(picture, fields)] == [("empty",)] * 2
    assert reading.read(picture).lines == ()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_an_empty_box_is_an_empty_field_however_the_form_is_turned(turns):
    digits = lenet.data.load_digits()
    page = np.full((400, 560), 240, np.uint8)
    for row in range(4):
        cv2.rectangle(page, (160, 30 + 90 * row), (360, 80 + 90 * row), 90, 2)
        for place in range(4 if row != 2 else 0):
            ink = 0.7 * digits.X_test[183 + (row + place) % 4]
            page[41 + 90 * row : 69 + 90 * row, 180 + 40 * place : 208 + 40 * place] -= ink.astype(np.uint8)
    fields = [Field(f"row {row}", box=(0.25, 0.05 + 0.225 * row, 0.43, 0.175)) for row in range(4)]
    found = read_form(np.ascontiguousarray(np.rot90(page, turns)), fields)
    assert [each.value for each in found] == ["2597", "5972", "", "7259"]
    assert found[2].problems == ("empty",)
    assert {each.rotation for each in found} == {(360 - 90 * turns) % 360}
