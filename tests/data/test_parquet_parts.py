"""The files, columns and limits of data sets in Parquet files."""

import json

import numpy as np
import pytest

from lenet.data import load, load_parquet, parquet
from lenet.errors import DataError

cv2 = pytest.importorskip("cv2")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.landing

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 784), np.uint8)


def png(level, margin=4):
    return cv2.imencode(".png", np.pad(np.full((20, 20), level, np.uint8), margin))[1].tobytes()


def write(path, columns, metadata=None, **options):
    table = pa.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, path, **options)
    return path


def pictures(levels=range(2, 12), margin=4):
    return {"label": [n % 2 for n in range(len(levels))], "image": [png(level, margin) for level in levels]}


def pixels(rows=PIXELS, **more):
    return {"label": [n % 2 for n in range(len(rows))], **more} | {f"p{k}": rows[:, k] for k in range(784)}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["b.parquet", "a.pq", "c.txt"], {"a.pq": "all", "b.parquet": "all"}),
        (["test-1.PARQUET", "t.pq", "Testing.pq"], {"Testing.pq": "test", "t.pq": "train", "test-1.PARQUET": "test"}),
        (["test.pq", "tests.pq"], {"test.pq": "all", "tests.pq": "all"}), (["atest.pq"], {"atest.pq": "all"}),
        (["test.pq", "x.pq"], {"test.pq": "test", "x.pq": "train"}),
    ],
)  # fmt: skip
def test_files_whose_names_start_with_test_are_the_test_set(tmp_path, names, splits):
    for name in names:
        (tmp_path / name).touch()
    assert [(path.name, split) for split, path in parquet._files(tmp_path)] == list(splits.items())
    assert parquet.holds_parquet_files(tmp_path)
    assert parquet._files(tmp_path / names[0]) == [("all", tmp_path / names[0])]


def test_a_path_without_parquet_files_is_an_error(tmp_path):
    (tmp_path / "a.txt").touch()
    assert not parquet.holds_parquet_files(tmp_path)
    with pytest.raises(DataError, match=r"has no Parquet files; expected at least one\.$"):
        parquet._files(tmp_path)
    with pytest.raises(DataError, match="is neither a file nor a folder"):
        parquet._files(tmp_path / "missing.parquet")


def test_pictures_are_prepared_unless_they_are_raw(tmp_path):
    path = write(tmp_path / "a.parquet", pictures(range(50, 60), margin=10))
    for data in (load(path), load_parquet(path)):
        assert (len(data.y_train), len(data.y_test), data.X_train.max()) == (8, 2, 255)
    with pytest.raises(DataError, match="has 40x40 pixels; expected 28x28 for a raw picture"):
        load_parquet(path, raw=True, strict=True)


def test_damaged_pictures_are_skipped_unless_strict(tmp_path):
    columns = pictures()
    columns["image"][3] = b"none"
    path = write(tmp_path / "a.parquet", columns)
    assert len(load_parquet(path).y_train) == 7
    with pytest.raises(DataError, match=r"a\.parquet, row 4 is not a picture"):
        load_parquet(path, strict=True)


def test_limits_are_reached_before_they_are_exceeded(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", pictures())
    table = write(tmp_path / "b.parquet", pixels())
    with parquet._opened(path) as file:
        size = sum(batch.column(1).nbytes for batch in file.iter_batches())
    monkeypatch.setattr(parquet, "MAX_IMAGES", 10)
    monkeypatch.setattr(parquet, "_MAX_BYTES", size)
    assert len(load(path, hold_out=False).y_test) == 10
    monkeypatch.setattr(parquet, "MAX_IMAGES", 9)
    with pytest.raises(DataError, match="has more than 9 pictures"):
        load(path)
    monkeypatch.setattr(parquet, "MAX_IMAGES", 10)
    monkeypatch.setattr(parquet, "_MAX_BYTES", size - 1)
    with pytest.raises(DataError, match=f"has more than {size - 1:,} bytes of pictures"):
        load(path)
    monkeypatch.setattr(parquet, "MAX_IMAGES", 8)
    assert len(load(table, hold_out=False).y_test) == 8
    monkeypatch.setattr(parquet, "MAX_IMAGES", 7)
    with pytest.raises(DataError, match="has more than 7 rows"):
        load(table)


def test_the_bytes_of_all_parts_of_a_file_are_counted(tmp_path, monkeypatch):
    assert parquet._MAX_BYTES == 4 * 10**9
    path = write(tmp_path / "a.parquet", pictures())
    monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", 2)
    with parquet._opened(path) as file:
        sizes = [batch.column(1).nbytes for batch in file.iter_batches(2)]
    assert len(sizes) == 5
    monkeypatch.setattr(parquet, "_MAX_BYTES", sum(sizes))
    assert len(load(path, hold_out=False).y_test) == 10
    monkeypatch.setattr(parquet, "_MAX_BYTES", sum(sizes) - 1)
    with pytest.raises(DataError, match="bytes of pictures"):
        load(path)


def test_a_table_has_a_column_for_each_pixel_and_no_pictures(tmp_path):
    path = tmp_path / "a.parquet"
    assert parquet._has_pixels(write(path, pixels()))
    columns = pixels()
    del columns["label"]
    assert parquet._has_pixels(write(path, columns))
    del columns["p5"]
    assert not parquet._has_pixels(write(path, columns))
    assert not parquet._has_pixels(write(path, pixels(image=[b"x"] * 8)))
    with pytest.raises(DataError) as caught:
        load(write(path, columns))
    first = ", ".join(f"p{k}" for k in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10))
    assert str(caught.value) == (
        f"{path} has no column of labels; expected 'label' and 'image', or 'label' and 784 pixels. Its columns are "
        f"{first}."
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.struct([("path", pa.string()), ("bytes", pa.binary())]), True),
        (pa.struct([("bytes", pa.large_binary())]), True),
        (pa.struct([("bytes", pa.string())]), False), (pa.struct([("path", pa.binary())]), False), (pa.binary(), False),
    ],
)  # fmt: skip
def test_a_picture_is_a_struct_with_bytes(kind, expected):
    assert parquet.is_picture(kind) is expected


def test_the_first_column_of_bytes_has_the_pictures(tmp_path):
    columns = pictures()
    columns |= {"other": [b"none"] * 10, "y2": [7] * 10}
    assert load(write(tmp_path / "a.parquet", columns), hold_out=False).X_test[:, 9, 9].tolist() == list(range(2, 12))


def features(names, column="label"):
    return json.dumps({"info": {"features": {column: {"names": names}}}})


LONGEST = "x" * (2**20 - len(features([""])))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, None), ("", None), ("[]", None), ("{}", None), ("[" * 100_000, None), (features(["a", 3]), ("a", "3")),
        (features(["a"], "other"), None), (features("ab"), None), (features(None), None),
        (features(["a"]).ljust(2**20 + 1), ("a",)), (features([LONGEST]), (LONGEST,)),
        (features([LONGEST + "x"]), None),
    ],
)  # fmt: skip
def test_the_names_of_classes_are_in_the_description_of_the_schema(tmp_path, metadata, expected):
    assert parquet._class_label(write(tmp_path / "a.parquet", {"label": [0]}, metadata)) == expected
    assert parquet._class_label(write(tmp_path / "a.parquet", {"number": [0]}, metadata)) is None


@pytest.mark.parametrize(
    ("names", "expected"), [(["a", "b"], ("a", "b")), (["a", "b", "c"], ("a", "b", "c")), (None, None)]
)
def test_each_label_has_a_name(tmp_path, names, expected):
    path = write(tmp_path / "a.parquet", {"label": [0]}, names and features(names))
    y, found = parquet._classes(["0", "1", "1"], [("all", path)], "mine")
    assert (y.tolist(), found) == ([0, 1, 1], expected)
    if names is not None:
        last = [str(len(names))]
        with pytest.raises(
            DataError, match=rf"^mine has the label {len(names)}, but names for only {len(names)} classes\."
        ):
            parquet._classes(last, [("all", path)], "mine")


def test_pixels_are_in_the_order_of_the_numbers_of_their_columns(tmp_path):
    rows = (PIXELS // 2) * 2 + np.array([0, 1] * 392, np.uint8)
    columns = pixels(rows)
    shuffled = {name: columns[name] for name in sorted(columns)}
    [(values, labels)] = list(parquet._rows_of_pixels(write(tmp_path / "a.parquet", shuffled)))
    np.testing.assert_array_equal(values, rows)
    assert (values.dtype, labels) == (np.float32, ["0", "1"] * 4)


def test_a_changed_byte_is_found_by_the_checksum_of_its_page(tmp_path):
    options = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    rows = np.full((8, 784), 99, np.uint8)
    path = write(tmp_path / "a.parquet", pixels(rows), **options)
    content = path.read_bytes()
    place = content.index(b"c\0\0\0" * 8)
    path.write_bytes(content[:place] + b"d" + content[place + 1 :])
    with pytest.raises(DataError, match="is not a complete Parquet file"):
        load(path)


@pytest.mark.parametrize("split", ["test", "tests-0"])
def test_parts_of_tables_remain_separate(tmp_path, split):
    write(tmp_path / f"{split}.parquet", pixels(PIXELS[:3]))
    write(tmp_path / "a.parquet", pixels(PIXELS[3:]), features(["x", "y"]))
    data = load(tmp_path)
    np.testing.assert_array_equal(data.X_test.reshape(-1, 784), PIXELS[:3])
    np.testing.assert_array_equal(data.X_train.reshape(-1, 784), PIXELS[3:])
    assert (data.y_train.tolist(), data.y_test.tolist(), data.classes) == ([0, 1, 0, 1, 0], [0, 1, 0], ("x", "y"))


def test_a_seventh_of_a_table_is_held_out(tmp_path):
    data = load(write(tmp_path / "a.parquet", pixels(PIXELS[np.arange(70) % 8])))
    assert (len(data.y_train), data.y_test.tolist().count(0), len(data.y_test), data.classes) == (60, 5, 10, None)


def test_text_labels_keep_their_own_names(tmp_path):
    path = write(tmp_path / "a.parquet", {"label": ["dog", "ant"]}, features(["dog", "ant"]))
    y, names = parquet._classes(["dog", "ant", "dog"], [("all", path)], "mine")
    assert [names[label] for label in y] == ["dog", "ant", "dog"]
