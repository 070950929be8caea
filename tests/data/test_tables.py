"""The columns, labels and pixels of tables, by hand."""

import io

import numpy as np
import pytest

from lenet.data import csv, table
from lenet.data.csv import _layout, _Lines
from lenet.errors import DataError

NAMES = [f"pixel{k}" for k in range(784)]


def columns(*, first=(), last=(), count=784):
    return [*first, *NAMES[:count], *last]


@pytest.mark.parametrize(
    ("names", "label", "start"),
    [
        (columns(), None, 0), (columns(first=["Label"]), 0, 1), (columns(last=["y"]), 784, 0),
        (columns(first=["id", "digit"]), 1, 2), (columns(first=["ImageId"], last=["CLASS"]), 785, 1),
        (columns(first=["", "image_id"]), None, 2), (columns(first=["index", "labels"], last=["ID"]), 1, 2),
        (columns(first=["", "Unnamed: 0", "y"]), 2, 3), (columns(first=["Unnamed: 0.1", "Unnamed: 0", "y"]), 2, 3),
        (columns(last=["Unnamed: 784"]), None, 0), (columns(first=["label"], last=["Unnamed: 785"]), 0, 1),
        (["y", *(f"Unnamed: {place}" for place in range(1, 785))], 0, 1),
        (columns(first=["target"], last=["Index"]), 0, 1), (columns(first=["number"]), 0, 1),
        (columns(last=["number"]), 784, 0), (columns(first=["a"], last=["id"]), 0, 1),
        ([f"{name}x" for name in columns(last=["number"])], 0, 1),
    ],
)  # fmt: skip
def test_columns_of_labels_and_of_row_numbers_are_known_by_their_names(names, label, start):
    found, pixels = table.pixel_columns(names, "mine")
    assert found == label
    assert pixels == list(range(start, start + 784))


WIDE = [str(place) for place in range(785)]


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ([], 0), (["1", "2"], 0), (["a", "2"], 0), (["1", "b"], 784), (["a", "b"], 0), (["", "b"], 784), (["1", ""], 0),
        ([("1", "2"), ("3", "b")], 784), ([("1", "b"), ("a", "3")], 0),
    ],
)  # fmt: skip
def test_the_last_of_785_columns_has_the_labels_if_only_it_has_text(rows, label):
    ends = [rows] if rows and isinstance(rows[0], str) else rows
    whole = [[first, *["0"] * 783, last] for first, last in ends]
    found, pixels = table.pixel_columns(WIDE, "mine", [*whole, ["x"] * 784, ["1", *["0"] * 784, "x"]])
    assert found == label
    assert pixels == [place for place in range(785) if place != label]


@pytest.mark.parametrize(
    ("names", "columns_found"),
    [
        (["x"], "one column"), ([], "0 columns"), (columns(count=783), "783 columns"),
        (columns(first=["label"], count=783), "784 columns: 'label' and 783 others"),
        (columns(first=["label", "more"]), "786 columns, among them 'more'"),
        (columns(first=["a", "b"], last="cd"), "788 columns, among them 'a', 'b', 'c'"),
        (columns(first=["id", "label"], count=783), "785 columns: 'label' and 783 others"),
    ],
)  # fmt: skip
def test_another_number_of_pixels_is_an_error(names, columns_found):
    with pytest.raises(DataError) as caught:
        table.pixel_columns(names, "mine")
    expected = f"mine has {columns_found}; expected 784 pixels per row (28x28), and a column 'label' for training. "
    assert str(caught.value) == f"{expected}To train on images of other sizes, save them as .npz."


@pytest.mark.parametrize(
    ("rows", "of_files"),
    [
        ([["1", "a"], ["b.png", "1"]], True),
        ([["1"], [], ["a/b.JPG", "a"]], True),
        ([["NA", "a.png2"], [], ["2"]], False),
    ],
)
def test_a_table_of_picture_files_is_an_error_that_names_folders(rows, of_files):
    with pytest.raises(DataError) as caught:
        table.pixel_columns(["file", "label"], "mine", rows)
    assert str(caught.value).startswith("mine has 2 columns: 'label' and 1 other; expected 784 pixels per row")
    assert ("put them into one subfolder per class" in str(caught.value)) is of_files


def test_the_column_of_labels_has_one_of_six_names_in_any_case():
    for name in ("label", "Labels", "class", "TARGET", "digit", "y"):
        assert table.label_column(["a", "b", name, "c"], "mine") == 2
    assert table.label_column(["x", "number", ""], "mine") is None
    with pytest.raises(DataError, match=r"^mine has the columns y and Digit; expected one column of labels\. Drop one"):
        table.label_column(["a", "y", "Digit", "b"], "mine")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (["", "0", "-1", "+1", "12.5", "12.", ".5", "-.5", "1e5", "1E-5", "1.5e+10"], False),
        (["a", "1a", "e5", ".", "-", "+", "1e", "1.2.3", "--1", "nan", "inf", " 1", "E-+", "1 2"], True),
    ],
)
def test_fields_that_are_not_numbers_are_text(fields, text):
    assert [table.is_text(field) for field in fields] == [text] * len(fields)


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        (["3", "0", "12"], [3, 0, 12], None), (["3.0", "1.00", "3"], [3, 1, 3], None),
        (["123456789"], [123456789], None),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")), (["1", "a"], [0, 1], ("1", "a")), (["007"], [7], None),
        (["e\u0301", "\xe9"], [0, 0], ("\xe9",)), (["a", "A"], [1, 0], ("A", "a")),
        (["1.5x", "2"], [0, 1], ("1.5x", "2")), ([], [], None),
    ],
)  # fmt: skip
def test_labels_are_numbers_or_names_in_alphabetical_order(labels, numbers, classes):
    found, names = table.numbered(labels, "mine")
    assert (found.tolist(), found.dtype, names) == (numbers, np.int64, classes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1", "0.5"], "mine has the label 0.5; expected integers from 0 to 999,999,999, or names."),
        (["-1"], "mine has the label -1; expected"), (["1e10"], "mine has the label 1e10; expected"),
        (["1234567890"], "mine has the label 1234567890; expected"),
        (["1", "2", "01"], "mine has the labels 01 and 1; expected one spelling of each number."),
        (["", "1", ""], "mine has no label in row 1; expected one in each row."),
        ([*["a"] * 1233, ""], "mine has no label in row 1,234; expected one in each row."),
        *(
            (["a", error], "mine has no label in row 2; expected one in each row.")  # the errors of a spreadsheet
            for error in ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!")
        ),
    ],
)  # fmt: skip
def test_missing_labels_and_fractions_are_errors(labels, message):
    with pytest.raises(DataError) as caught:
        table.numbered(labels, "mine")
    assert str(caught.value).startswith(message)


def rows_of(*values):
    """Rows of pixels, each of which is one value, except the last, which is 0."""
    rows = np.repeat(np.array(values, float)[:, np.newaxis], 784, axis=1)
    rows[:, -1] = 0
    return rows


def read(*parts):
    images, labels = table.images_of_rows(((rows_of(*part), [str(value) for value in part]) for part in parts), "mine")
    assert images.dtype == np.uint8
    assert images.shape[1:] == (28, 28)
    assert (images[:, -1, -1] == 0).all()
    assert labels == [str(value) for part in parts for value in part]
    return images[:, 3, 5].tolist()


@pytest.mark.parametrize(
    ("parts", "levels"),
    [
        ([[3, 255], [0], [2]], [3, 255, 0, 2]),
        ([[0.5, 0.1, 1]], [128, 26, 255]),  # 127.5 and 25.5 to the nearest even
        ([[1, 0], [0.25], [1]], [255, 0, 64, 255]),
        ([[0.25], [1, 0]], [64, 255, 0]),
        ([[0, 0]], [0, 0]),
    ],
)
def test_pixels_are_levels_or_decimals(parts, levels):
    assert read(*parts) == levels


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([[0.5, 2]], "mine mixes decimals and numbers above 1; expected integers from 0 to 255, or decimals in"),
        ([[1.5]], "mine mixes decimals"), ([[0.5], [2]], "mine mixes decimals"), ([[2], [0.5]], "mine mixes decimals"),
        ([[1, 0], [1]], "mine has integer pixels of 0 and 1 only"),
        ([[3, 256]], "mine has the pixel 256 in row 2; expected 0 (background) to 255 (ink)."),
        ([[3, 4], [5, 6, 255.5]], "mine has the pixel 255.5 in row 5; expected 0"),
        ([[-0.5]], "mine has the pixel -0.5 in row 1; expected 0"),
        ([[3], [np.nan]], "mine has a missing or non-numeric pixel in row 2; expected 0"),
        ([[3] * 1100, [np.inf]], "mine has the pixel inf in row 1,101; expected 0"),
    ],
)  # fmt: skip
def test_pixels_that_are_missing_mixed_or_out_of_range_are_errors(parts, message):
    with pytest.raises(DataError) as caught:
        read(*parts)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("pixels", "message"), [({5: 256, 9: 300}, "256 in row 2"), ({783: -2}, "-2 in row 2")])
def test_the_first_wrong_pixel_is_named(pixels, message):
    rows = rows_of(255, 3)
    rows[1, list(pixels)] = list(pixels.values())
    with pytest.raises(DataError, match=f"^mine has the pixel {message}; expected"):
        table.images_of_rows(iter([(rows, ["1", "2"])]), "mine")


@pytest.mark.parametrize(("levels", "warned"), [([200, 200, 9], True), ([200, 9], False)])
def test_a_table_of_light_images_is_a_warning(caplog, levels, warned):
    read(levels)
    assert [each.getMessage().startswith("mine: most images look dark on light") for each in caplog.records] == [
        True
    ] * warned


def test_a_table_without_rows_has_no_images():
    images, labels = table.images_of_rows(iter([]), "mine")
    assert (images.shape, images.dtype, labels) == ((0, 28, 28), np.uint8, [])
    assert table.images_of_rows(iter([(rows_of(), [])]), "mine")[0].shape == (0, 28, 28)


def test_a_table_has_at_most_the_limit_of_rows(monkeypatch):
    monkeypatch.setattr(table, "MAX_IMAGES", 4)
    assert read([5, 6, 7], [8]) == [5, 6, 7, 8]
    with pytest.raises(DataError, match=r"^mine has more than 4 rows\. Split it into several files\.$"):
        read([5, 6, 7], [8], [9])


# CSV files


def text_of(*rows, delimiter=","):
    return "\n".join(delimiter.join(row) for row in rows).encode()


ROW = [str(k % 256) for k in range(784)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("rows", "has_header", "width", "label", "is_named"),
    [
        ([ROW], False, 784, None, False),
        ([NAMES, ROW], True, 784, None, False),
        ([["label", *NAMES], ["3", *ROW]], True, 785, 0, True),
        ([["id", *NAMES, "Class"], ["1", *ROW, "3"]], True, 786, 785, True),
        ([[*NAMES, "number"], ["3", *ROW]], True, 785, 784, False),
        ([["3", *ROW], ["4", *ROW]], False, 785, 0, False),
        ([["cat", *ROW]], False, 785, 0, False),
        ([[*ROW, "cat"]], False, 785, 784, False),
        ([[*ROW, '"a,b;c\td"']], False, 785, 784, False),
        ([[*WIDE[:784], "cat"], [*ROW, "dog"]], True, 785, 784, False),  # 785 different fields
        ([["numeral", *WIDE[:784]], ["3", *ROW]], True, 785, 0, False),
        ([WIDE, ["3", *ROW]], True, 785, 0, False),  # as pandas writes by default
        ([[*ROW[:5], "ink", *ROW[6:]], ROW], False, 784, None, False),
        ([[ROW[0], "ink", *ROW[2:]], ROW], False, 784, None, False),
        ([[*ROW[:-2], "ink", ROW[-1]], ROW], False, 784, None, False),
    ],
)
def test_the_layout_of_a_table_is_inferred_from_its_first_lines(rows, has_header, width, label, is_named, delimiter):
    found = _layout(text_of(*rows, delimiter=delimiter), "mine")
    assert found[:4] == (delimiter, has_header, width, label)
    assert (found.label_name.lower() in table.LABELS) is is_named
    assert len(found.pixels) == 784


def test_fields_of_a_header_may_have_quotes_and_spaces_and_the_file_a_mark():
    names = [f' "{name}" ' for name in ("label", *NAMES)]
    found = _layout(b"\xef\xbb\xbf" + text_of(names, ["3", *ROW]), "mine")
    assert (found.skipped, found.label, found.label_name) == (1, 0, "label")
    with pytest.raises(DataError, match=r"^mine is empty; expected a CSV file\. Save it again\.$"):
        _layout(b"", "mine")


def test_the_reason_of_an_error_is_its_first_line_up_to_200_characters(monkeypatch):
    pytest.importorskip("pandas")

    def fail(*_):
        raise ValueError("x" * 250 + "\nmore")

    monkeypatch.setattr(csv, "_layout", fail)
    with pytest.raises(DataError) as caught:
        csv.read_table(io.BytesIO(b"1,2"), "mine")
    assert str(caught.value) == f"mine is not a table of numbers ({'x' * 200}). Correct the file."


class Chunks:
    """A file that returns one given part for each call."""

    def __init__(self, *parts):
        self.parts, self.sizes = [*parts, b""], []

    def read(self, size):
        self.sizes.append(size)
        return self.parts.pop(0)


@pytest.mark.parametrize(
    ("parts", "valid"),
    [
        ([b"x" * 65536], True), ([b"x" * 65537], False), ([b"x" * 65536 + b"\n" + b"x" * 65536], True),
        ([b"x" * 65536 + b"\r" + b"x" * 65536], True),
        ([b"ab\n" + b"x" * 65537 + b"\ncd"], False), ([b"x" * 65536, b"\n", b"x" * 65536], True),
        ([b"x" * 65536, b"x"], False), ([b"ab\n" + b"x" * 65530, b"x" * 6 + b"\nab"], True),
        ([b"ab\n" + b"x" * 65530, b"x" * 7 + b"\nab"], False),
        ([b"x" * 40000, b"x" * 20000, b"x" * 5536 + b"\n"], True),
        ([b"x" * 40000, b"x" * 20000, b"x" * 5537 + b"\n"], False), ([b"x" * 40000 + b"\n", b"x" * 40000], True),
        ([b"x" * 40000, b"\n" + b"x" * 40000 + b"\n", b"x" * 40000], True),
    ],
)  # fmt: skip
def test_a_line_has_at_most_65536_bytes(parts, valid):
    lines = _Lines(Chunks(*parts), "mine")
    if valid:
        assert b"".join(iter(lambda: lines.read(9), b"")) == b"".join(parts)
    else:
        with pytest.raises(DataError, match=r"^mine has a line of more than 65,536 bytes; expected 784 pixels per row"):
            [lines.read(9) for _ in parts]


def test_all_of_a_file_is_read_in_parts_of_a_line():
    file = Chunks(*[b"a\n"] * 4)
    lines = _Lines(file, "mine")
    assert lines.readable()
    assert [lines.read(), lines.read(None), lines.read(-1), lines.read1(0)] == [b"a\n"] * 4
    assert file.sizes == [65536, 65536, 65536, 0]


def test_labels_in_any_notation_are_numbers():
    """NumPy's savetxt writes 7 as 7.000000000000000000e+00."""
    found, names = table.numbered(["7.000000000000000000e+00", "1e3", "+2", "3.", "999999999"], "mine")
    assert (found.tolist(), names) == ([7, 1000, 2, 3, 999_999_999], None)


def test_pixels_are_in_the_order_of_the_numbers_in_their_names():
    names = ["label", *sorted(f"pixel{k}" for k in range(784))]
    label, pixels = table.pixel_columns(names, "mine")
    assert (label, [names[place] for place in pixels]) == (0, [f"pixel{k}" for k in range(784)])
    assert table.pixel_columns(["label", *(f"p{k}{'9' * 5000}" for k in range(784))], "mine")[1] == [*range(1, 785)]
    names = ["label", *(f"{row}x{column}" for column in range(28) for row in range(28))]  # the numbers repeat
    assert table.pixel_columns(names, "mine") == (0, list(range(1, 785)))
