"""Parquet files of encoded pictures."""

import json
import tracemalloc

import cv2
import numpy as np
import pytest

import lenet.data.parquet
from lenet.data import load, load_parquet
from lenet.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.landing

N = 20


def digits():
    """Pictures like MNIST's, each different."""
    images = np.zeros((N, 28, 28), np.uint8)
    for number, image in enumerate(images):
        cv2.putText(image, str(number % 2), (8, 21), 0, 0.6, 255, 2)
        image[10, 10] = number + 1
    return images


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def write(path, images=None, labels=None, struct=True, names=None, columns=("image", "label"), content=None):
    images = digits() if images is None else images
    labels = [n % 2 for n in range(len(images))] if labels is None else labels
    encoded = [png(image) if isinstance(image, np.ndarray) else image for image in images]
    pictures = [{"bytes": each, "path": None} for each in encoded] if struct else encoded
    content = content or pa.binary()
    kind = pa.struct([("bytes", content), ("path", pa.string())]) if struct else content
    table = pa.table({columns[0]: pa.array(pictures, kind), columns[1]: labels})
    if names is not None:
        features = {columns[1]: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("struct", [True, False])
def test_pictures_of_28x28_are_returned_unchanged(tmp_path, struct):
    data = load(write(tmp_path / "mnist.parquet", struct=struct))
    assert data.classes == ("0", "1")
    expected = {image.tobytes(): n % 2 for n, image in enumerate(digits())}
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert [expected[image.tobytes()] for image in X] == y.tolist()
    assert len(data.X_test) == 4  # one in five


@pytest.mark.parametrize("content", [pa.large_binary(), pa.binary_view()])
def test_other_types_of_bytes_are_read(tmp_path, content):
    assert len(load(write(tmp_path / "mnist.parquet", content=content)).X_test) == 4


def test_files_of_a_folder_are_the_two_parts(tmp_path):
    write(tmp_path / "train-00000-of-00002.parquet", digits()[:8])
    write(tmp_path / "train-00001-of-00002.parquet", digits()[8:12])
    write(tmp_path / "test-00000-of-00001.parquet", digits()[12:])
    data = load(str(tmp_path))
    assert (len(data.X_train), len(data.X_test)) == (12, 8)
    np.testing.assert_array_equal(data.X_train, digits()[:12])


def test_the_names_of_a_class_label_are_the_classes(tmp_path):
    assert load(write(tmp_path / "a.parquet", names=["z\xe9ro", "une"])).classes == ("z\xe9ro", "une")
    assert load(write(tmp_path / "a.parquet", names=["ze\u0301ro", "une"])).classes == ("z\xe9ro", "une")


def test_names_as_labels_are_the_classes(tmp_path):
    labels = ["one" if n % 2 else "a zero" for n in range(N)]
    assert load(write(tmp_path / "a.parquet", labels=labels)).classes == ("a zero", "one")


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_names_of_any_type_before_the_pictures_are_labels(tmp_path, kind):
    names = pa.array(["one" if n % 2 else "a zero" for n in range(N)]).cast(kind)
    pq.write_table(pa.table({"label": names, "image": [*map(png, digits())]}), tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet", hold_out=False)
    assert (data.classes, data.y_test.tolist()) == (("a zero", "one"), [0, 1] * (N // 2))


@pytest.mark.parametrize("damage", [b"no picture", None, b""])
def test_a_damaged_picture_is_skipped_with_its_row(tmp_path, caplog, damage):
    images = [*digits(), damage]
    data = load_parquet(write(tmp_path / "a.parquet", images))
    assert len(data.X_train) + len(data.X_test) == N
    assert f"a.parquet, row 21 is {'not a picture' if damage else 'empty; expected a picture'}" in caplog.text


def test_rows_are_numbered_in_their_file(tmp_path, caplog):
    write(tmp_path / "train-0.parquet")
    write(tmp_path / "train-1.parquet", [*digits()[:3], b"no picture"])
    load(tmp_path)
    assert "train-1.parquet, row 4 is not a picture" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("image", "name")}, "has no column of labels; expected 'label' and 'image'"),
        ({"labels": [None] + [0] * (N - 1)}, "has no label in row 1"),
        ({"labels": [0.0, float("nan")] * (N // 2)}, "has no label in row 2"),
        ({"labels": [[0]] * N}, "has labels of type list<"),
        ({"labels": [b"\xe4"] * N}, "has labels of type binary; expected numbers, or names in UTF-8."),
        ({"names": ["zero"]}, "has the label 1, but names for only 1 classes"),
        ({"names": ["zero", "zero"]}, "a.parquet: classes contains 'zero' twice"),
    ],
)
def test_an_invalid_set_of_pictures_is_an_error(tmp_path, options, message):
    with pytest.raises(DataError) as caught:
        load_parquet(write(tmp_path / "a.parquet", **options))
    assert message in str(caught.value)


def test_a_table_without_pictures_is_an_error(tmp_path):
    for other in ({"size": [1, 2]}, {"image": [{"bytes": 1}, {"bytes": 2}]}):
        pq.write_table(pa.table({"label": [0, 1], **other}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match="has no column of encoded pictures"):
            load_parquet(tmp_path / "a.parquet")


PIXELS = np.random.default_rng(0).integers(0, 256, (42, 784), dtype=np.uint8)


def write_pixels(path, pixels=PIXELS, labels=None, **columns):
    labels = [n % 3 for n in range(len(pixels))] if labels is None else labels
    pq.write_table(pa.table({"label": labels} | {f"pixel{k}": pixels[:, k] for k in range(784)} | columns), path)
    return path


@pytest.mark.parametrize("rows", [5, 1024])
def test_a_table_of_pixels_equals_the_same_csv_file(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(lenet.data.parquet, "_ROWS_AT_ONCE", rows)
    lines = [",".join(["label", *(f"pixel{k}" for k in range(784))])]
    lines += [",".join(map(str, [n % 3, *row])) for n, row in enumerate(PIXELS.tolist())]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    expected = load(tmp_path / "train.csv")
    found = load(write_pixels(tmp_path / "train.parquet"))
    assert found.classes is None
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("names", [["ant", "cat"], [b"ant", b"cat"]])
def test_pixels_may_be_decimals_and_labels_names(tmp_path, names):
    names = names * 21
    data = load(write_pixels(tmp_path / "a.parquet", (PIXELS / 255).astype("f4"), names))
    assert data.classes == ("ant", "cat")
    expected = {row.tobytes(): n % 2 for n, row in enumerate(PIXELS)}
    assert [expected[image.tobytes()] for image in data.X_train] == data.y_train.tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pixel0": ["x"] * 42}, "is not a table of numbers"),
        ({"pixel0": [0] * 40 + [256, 300]}, r"has the pixel 256 in row 41; expected 0 \(background\) to 255 \(ink\)\."),
        ({"pixel0": [None] + [0] * 41}, "has a missing or non-numeric pixel in row 1; expected 0"),
        ({"more": [0] * 42}, "has 786 columns, among them 'more'; expected 784 pixels"),
        ({"label": [None] + [0] * 41}, "has no label in row 1"),
        ({"label": [0.0] * 41 + [float("nan")]}, "has no label in row 42"),
    ],
)
def test_an_invalid_table_of_pixels_is_an_error(tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        load(write_pixels(tmp_path / "a.parquet", **columns))


def test_the_first_of_785_columns_has_the_labels_as_in_a_csv_file(tmp_path):
    columns = {"number": [n % 3 for n in range(42)]} | {f"pixel{k}": PIXELS[:, k] for k in range(784)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert sorted(load(tmp_path / "a.parquet").y_test) == [0, 0, 1, 1, 2, 2]


def test_the_index_that_pandas_writes_is_no_pixel(tmp_path):
    pandas = pytest.importorskip("pandas")
    columns = {"label": [n % 3 for n in range(42)]} | {f"pixel{k}": PIXELS[:, k] for k in range(784)}
    pandas.DataFrame(columns).sample(frac=1, random_state=0).to_parquet(tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    expected = {row.tobytes(): n % 3 for n, row in enumerate(PIXELS)}
    assert [expected[image.tobytes()] for image in data.X_train] == data.y_train.tolist()


def test_columns_of_pixels_may_have_one_name(tmp_path):
    columns = [[n % 3 for n in range(42)], *PIXELS.T.tolist()]
    pq.write_table(pa.Table.from_arrays([*map(pa.array, columns)], ["label", *["p"] * 784]), tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    expected = {row.tobytes(): n % 3 for n, row in enumerate(PIXELS)}
    assert [expected[image.tobytes()] for image in data.X_train] == data.y_train.tolist()


def test_a_table_without_rows_is_an_error(tmp_path):
    with pytest.raises(DataError, match="has no rows; expected at least one"):
        load(write_pixels(tmp_path / "a.parquet", PIXELS[:0]))


def test_pixels_without_labels_cannot_train(tmp_path):
    pq.write_table(pa.table({f"pixel{k}": PIXELS[:, k] for k in range(784)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has no labels; expected a column 'label' in addition to 784 pixels"):
        load(tmp_path / "a.parquet")


def test_a_truncated_parquet_file_is_an_error(tmp_path):
    path = write(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="is not a complete Parquet file"):
        load_parquet(path)


def test_a_large_label_takes_no_memory_for_the_labels_below_it(tmp_path):
    path = write(tmp_path / "a.parquet", labels=[5, 3_000_000] * (N // 2))
    load_parquet(path)  # imports packages
    tracemalloc.start()
    assert load_parquet(path).classes == ("5", "3000000")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
