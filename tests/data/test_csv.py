"""Tables of pixels in CSV files."""

import gzip
import tracemalloc

import numpy as np
import pytest

import lenet.data.csv
from lenet.data import load, load_csv, read_csv
from lenet.errors import DataError

N = 21
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 784), dtype=np.uint8)
LABELS = np.arange(N) % 3
NAMES = [f"pixel{k}" for k in range(784)]


def table(header=("label", *NAMES), rows=None, delimiter=","):
    rows = [(label, *row) for label, row in zip(LABELS, PIXELS.tolist(), strict=True)] if rows is None else rows
    lines = [] if header is None else [delimiter.join(header)]
    return "\n".join(lines + [delimiter.join(map(str, row)) for row in rows]) + "\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


last = [(*row, label) for label, row in zip(LABELS, PIXELS.tolist(), strict=True)]
numbered = [(n, label, *row) for n, label, row in zip(range(N), LABELS, PIXELS.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (table(), "train.csv"),
        (table(header=None), "mnist_train.csv"),
        (table(header=["label", *(f"{r}x{c}" for r in range(1, 29) for c in range(1, 29))]), "mine.csv"),
        (table(header=[*NAMES, "Class"], rows=last), "mine.csv"),
        (table(header=[*NAMES, "species"], rows=last), "mine.csv"),  # the only name without a number
        (table(header=["Id", "target", *NAMES], rows=numbered), "mine.csv"),
        (table(delimiter=";"), "mine.csv"),
        (table(delimiter="\t"), "mine.tsv"),
        (table().replace("\n", "\r\n"), "windows.csv"),
        (table().replace("\n", "\r"), "mac.csv"),
        ("\ufeff" + table(), "excel.csv"),
        (table(), "mine.csv.gz"),
        ("sep=;\n" + table(delimiter=";"), "excel.csv"),
        ("sep=,\r\n" + table(header=None), "excel.csv"),
    ],
)
def test_every_form_of_the_same_table_gives_the_same_images(write, text, name):
    X, y, classes = read_csv(write(text, name))
    np.testing.assert_array_equal(X, PIXELS.reshape(-1, 28, 28))
    np.testing.assert_array_equal(y, LABELS)
    assert classes is None


def test_numbers_with_gaps_are_rejected_and_names_are_not(write):
    labels = [{0: 0, 1: 4, 2: 11}[label] for label in LABELS]
    with pytest.raises(DataError, match=r"to 11; expected 0 to 2 without gaps\. .*, or use names, such as c11\.$"):
        load(write(table(rows=[(label, *row) for label, row in zip(labels, PIXELS.tolist(), strict=True)])))
    data = load(write(table(rows=[(f"c{label}", *row) for label, row in zip(labels, PIXELS.tolist(), strict=True)])))
    assert data.classes == ("c0", "c11", "c4")


NUMBERS = [str(place) for place in range(784)]


def test_a_table_without_labels_has_images_only(write):
    X, y, _ = read_csv(write(table(header=NAMES, rows=PIXELS.tolist()), "test.csv"))
    np.testing.assert_array_equal(X, PIXELS.reshape(-1, 28, 28))
    assert y is None
    for header in (None, NUMBERS):  # pandas numbers the columns of an array
        np.testing.assert_array_equal(read_csv(write(table(header, PIXELS.tolist()), "test.csv")).X, X)


@pytest.mark.parametrize(
    ("header", "place"), [(None, 0), (None, 784), (["numeral", *NUMBERS], 0), ([*NAMES, "pixel784"], 784)]
)
def test_text_at_either_end_of_a_row_is_its_label(write, caplog, header, place):
    rows = PIXELS.tolist()
    for label, row in zip(LABELS, rows, strict=True):
        row.insert(place, "abc"[label])
    with caplog.at_level("INFO"):
        X, y, classes = read_csv(write(table(header, rows)))
    np.testing.assert_array_equal(X, PIXELS.reshape(-1, 28, 28))
    np.testing.assert_array_equal(y, LABELS)
    assert classes == ("a", "b", "c")
    where = f"mine.csv: the labels are in column {place + 1} of 785; if they are in another column, name it 'label'"
    assert [(each.levelname, each.getMessage().endswith(where)) for each in caplog.records] == [("INFO", True)]


@pytest.mark.parametrize("header", [None, [*NAMES, "pixel784"]])
def test_numbers_in_the_first_of_785_columns_are_labels_and_errors_say_so(write, caplog, header):
    path = write(table(header, last))
    np.testing.assert_array_equal(read_csv(path).y, PIXELS[:, 0])
    where = "mine.csv: the labels are in column 1 of 785; if they are in another column, name it 'label'"
    assert [(each.levelname, each.getMessage().endswith(where)) for each in caplog.records] == [("WARNING", True)]
    with pytest.raises(DataError, match=r"mine\.csv \(labels: column 1 of 785\) has at most 2 images per class"):
        load_csv(path)
    path.write_text(path.read_text().replace(f"\n{PIXELS[1, 0]},", "\n,"))
    with pytest.raises(DataError, match=r"mine\.csv \(labels: column 1 of 785\) has no label in row 2; expected one"):
        load_csv(path)


def test_an_assumed_column_with_one_label_is_an_error(write):
    """It is most likely a pixel at the border."""
    path = write(table(None, [[0, *row] for row in PIXELS.tolist()]))
    with pytest.raises(DataError, match=r"mine\.csv \(labels: column 1 of 785\) has one class; expected at least two"):
        load_csv(path)
    with pytest.raises(DataError, match=r"Name the column of labels 'label' in a header, or put it first\.$"):
        load_csv(path, hold_out=False)


def test_a_column_that_a_header_names_is_not_logged(write, caplog):
    with caplog.at_level("INFO"):
        read_csv(write(table()))
        read_csv(write(table(header=NAMES, rows=PIXELS.tolist())))
    assert caplog.records == []


def test_a_column_of_row_numbers_is_ignored_and_logged(write, caplog):
    with caplog.at_level("INFO"):
        read_csv(write(table(header=["", "Id", *NAMES], rows=numbered)))
    [message] = caplog.messages
    assert message.endswith("mine.csv: the column Id is ignored; rows are numbered from 1")


def test_names_become_classes(write):
    names = np.array(["cat", "bird", "dog"])
    rows = [(names[label], *row) for label, row in zip(LABELS, PIXELS.tolist(), strict=True)]
    data = load(write(table(rows=rows)))
    assert data.classes == ("bird", "cat", "dog")
    assert len(data.X_test) == 3  # one in seven
    expected = {PIXELS[n].tobytes(): names[LABELS[n]] for n in range(N)}
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert [expected[image.tobytes()] for image in X] == [data.classes[label] for label in y]


def test_an_invalid_name_of_a_class_is_an_error_of_the_file(write):
    rows = [("cat\a" if label else "dog", *row) for label, row in zip(LABELS, PIXELS.tolist(), strict=True)]
    with pytest.raises(DataError, match=r"mine\.csv: classes contains 'cat\\x07'; expected 1 to 100 printable"):
        load_csv(write(table(rows=rows)))


def test_a_quoted_name_may_contain_the_delimiter(write):
    names = ['"one, two"', "three"]
    rows = [(*row, names[label // 2]) for label, row in zip(LABELS, PIXELS.tolist(), strict=True)]
    for header in (None, [*NAMES, "number"]):
        _, y, classes = read_csv(write(table(header, rows)))
        assert classes == ("one, two", "three")
        np.testing.assert_array_equal(y, LABELS // 2)


@pytest.mark.parametrize("more", [0, 3])  # the layout is inferred from 131,072 bytes, about twice the table
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_than_utf_8_is_an_error(tmp_path, more, encoding):
    text = table() + more * table(header=None) + replaced("\xe4", column=0)
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"mine\.csv is not text in UTF-8\. Save it again as a CSV file in UTF-8\.$"):
        read_csv(tmp_path / "mine.csv")


def test_parts_are_read_in_turn(write, monkeypatch):
    monkeypatch.setattr(lenet.data.csv, "_ROWS_AT_ONCE", 4)
    np.testing.assert_array_equal(read_csv(write(table())).X, PIXELS.reshape(-1, 28, 28))


def replaced(value, row=3, column=9):
    rows = [[label, *pixels] for label, pixels in zip(LABELS, PIXELS.tolist(), strict=True)]
    rows[row][column] = value
    return table(rows=rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.csv is empty; expected a CSV file. Save it again."),
        ("\n", "has 0 columns; expected 784 pixels per row"),
        ("a,b\n1,2\n", "has 2 columns; expected 784 pixels per row"),
        (table(rows=[]), "has no rows; expected at least one"),
        (table(rows=[]).rstrip("\n"), "has no rows; expected at least one"),
        (table(rows=[]) + "\n\n", "has no rows; expected at least one"),
        (replaced(256), "mine.csv has the pixel 256 in row 4; expected 0 (background) to 255 (ink)."),
        (replaced(-1, row=20), "has the pixel -1 in row 21; expected 0"),
        (replaced(""), "has a missing or non-numeric pixel in row 4; expected 0"),
        (replaced("nan", column=784), "has a missing or non-numeric pixel in row 4; expected 0"),
        (replaced("inf"), "has the pixel inf in row 4; expected 0"),
        (replaced("1e300"), "has the pixel inf in row 4; expected 0"),
        (replaced(10**400), "is not a table of numbers (int too large to convert to float)."),
        (table() + "1,2,3\n", "has a missing or non-numeric pixel in row 22; expected 0"),
        (replaced("ink"), "mine.csv has 'ink' in row 4, column 10; expected 0 (background) to 255 (ink)."),
        (
            table(delimiter=";").replace(f";{PIXELS[0, 0]};", ";0,5;", 1),
            "has '0,5' in row 1, column 2; expected 0 (background) to 255 (ink). Write decimals with a point.",
        ),
        (replaced(0.5), "mixes decimals and numbers above 1"),
        (replaced("", column=0), "has no label in row 4"),
        (replaced("1.5", column=0), "has the label 1.5; expected integers"),
        (replaced("-1", column=0), "has the label -1; expected integers"),
        (
            replaced("7,7"),  # with the header, line 5 is row 4
            "mine.csv is not a table of numbers (Expected 785 fields in line 5, saw 786). Correct the file.",
        ),
        (table() + "1," * 900 + "\n", "Expected 785 fields in line 23, saw 901"),
        (replaced("7,7", row=0), "has more than 785 values in row 1; expected one for each column."),
        (replaced(",".join(["7"] * 9), row=0), "has more than 785 values in row 1"),
        (replaced("7,7", row=1).replace(f"\n{LABELS[0]},", "\n", 1), "Expected 785 fields in line 3, saw 786"),
        ("1," * 40_000, "has a line of more than 65,536 bytes"),
    ],
)
def test_an_invalid_table_of_images_is_a_one_sentence_error(write, text, message):
    with pytest.raises(DataError) as caught:
        read_csv(write(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_without_labels_cannot_train(write):
    with pytest.raises(DataError, match="has no labels; expected a column 'label' in addition to 784 pixels"):
        load_csv(write(table(header=NAMES, rows=PIXELS.tolist())))


def test_a_table_may_be_for_testing_only(write):
    data = load(write(table()), hold_out=False)
    assert len(data.X_train) == len(data.y_train) == 0
    np.testing.assert_array_equal(data.X_test, PIXELS.reshape(-1, 28, 28))
    np.testing.assert_array_equal(data.y_test, LABELS)


def test_a_long_line_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(table().encode())
        for _ in range(100):
            file.write(b"1," * 500_000)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb\.csv\.gz has a line of more than 65,536 bytes"):
        read_csv(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no\.csv cannot be read \(No such file or directory\)"):
        read_csv(tmp_path / "no.csv")


def test_a_truncated_gzip_file_is_an_error(write):
    path = write(table(), "mine.csv.gz")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="mine"):
        read_csv(path)


def test_names_that_pandas_takes_for_missing_are_names(write):
    names = np.array(["NA", "None", "null"])
    rows = [(names[label], *row) for label, row in zip(LABELS, PIXELS.tolist(), strict=True)]
    _, y, classes = read_csv(write(table(rows=rows)))
    assert [classes[label] for label in y] == names[LABELS].tolist()


def test_a_column_of_booleans_is_no_column_of_pixels(write):
    rows = [(n % 3, *row[:7], n % 2 == 1, *row[8:]) for n, row in enumerate(PIXELS.tolist())]
    with pytest.raises(DataError, match=r"mine\.csv has True or False in column 9; expected 0 "):
        read_csv(write(table(rows=rows)))
