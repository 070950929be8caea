"""The names of data sets."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet import data
from lenet.errors import DataError


@pytest.fixture
def idx_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for part, label in (("train", b"\x07"), ("t10k", b"\x03")):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c" + bytes(784))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x01" + label)
    return folder


def test_a_folder_and_a_file_are_distinguished(idx_folder):
    assert data.load(idx_folder).y_test.tolist() == [3]
    assert data.load(str(idx_folder)).y_train.tolist() == [7]
    path = idx_folder / "mine.NPZ"
    with path.open("wb") as stream:
        np.savez(stream, X_train=np.zeros((1, 784)), y_train=[4], X_test=np.zeros((1, 784)), y_test=[5])
    assert data.load(path).y_train.tolist() == [4]


def test_the_same_images_are_equal_as_idx_files_tables_and_arrays(tmp_path):
    pytest.importorskip("pandas")
    images = np.random.default_rng(0).integers(0, 256, (84, 28, 28), np.uint8)
    labels = np.arange(84, dtype=np.uint8) % 10
    for part, each in (("train", slice(0, 70)), ("t10k", slice(70, 84))):
        count = len(images[each]).to_bytes(4, "big")
        header = b"\0\0\x08\x03" + count + b"\0\0\0\x1c\0\0\0\x1c"
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + images[each].tobytes())
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count + labels[each].tobytes())
    pixels = ",".join(f"pixel{k}" for k in range(784))
    rows = images.reshape(84, 784)
    table = np.column_stack([labels, rows])[:70]
    np.savetxt(tmp_path / "train.csv", table, "%d", ",", header=f"label,{pixels}", comments="")
    np.savetxt(tmp_path / "test.csv", rows[70:], "%d", ",", header=pixels, comments="")
    np.savez(tmp_path / "train.npz", X=images[:70], y=labels[:70])

    idx, (X, y, _) = data.load(tmp_path), data.read_csv(tmp_path / "train.csv")
    for found, expected in ((X, idx.X_train), (y, idx.y_train), (data.read_csv(tmp_path / "test.csv").X, idx.X_test)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert data.load(tmp_path / "train.csv").sha256() == data.load(tmp_path / "train.npz").sha256()


def saved_as(kind, folder, images, labels):
    """Save images, shape (n, height, width), as a data set of one kind, and return its path."""
    if kind == "idx":
        header = b"\0\0\x08\x03" + b"".join(length.to_bytes(4, "big") for length in images.shape)
        for part in ("train", "t10k"):
            (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
            count = len(labels).to_bytes(4, "big")
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count + labels.astype("u1").tobytes())
        return folder
    if kind == "npy":
        np.save(folder / "X.npy", images)
        np.save(folder / "y.npy", labels)
        return folder
    path = folder / f"mine.{kind}"
    if kind == "npz":
        np.savez(path, X=images, y=labels)
        return path
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(images.reshape(len(images), -1), columns=[f"pixel{k}" for k in range(784)])
    table.insert(0, "label", labels)
    if kind == "csv":
        table.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("idx", (28, 28)),
        ("csv", (28, 28)),
        ("parquet", (28, 28)),
        ("npy", (28, 28)),
        ("npz", (28, 28)),
        ("npz", (9, 6)),
    ],
)
@pytest.mark.parametrize("paper", [0, 127, 128, 255])
def test_dark_ink_on_a_light_background_is_a_warning(kind, shape, paper, tmp_path, caplog):
    images = np.full((280, *shape), paper, np.uint8)
    images[:, 3:6, 2:4] = 255 - paper
    images[:70] = 0  # a quarter
    data.load(saved_as(kind, tmp_path, images, np.arange(280) % 10))
    found = [each.getMessage() for each in caplog.records]
    advice = "most images look dark on light; expected light ink on a dark background. Invert them: 255 - X."
    assert len(found) == (0 if paper < 128 else 2 if kind == "idx" else 1)
    assert all(str(tmp_path) in each and each.endswith(f": {advice}") for each in found)


def test_a_digit_that_fills_its_image_is_light_on_dark(tmp_path, caplog):
    ones = np.zeros((70, 9, 6), np.uint8)
    ones[:, :, 1:5] = 255  # 8 of the 12 pixels of the rows, and none of those of the columns
    images, labels = data.load_digits()[:2]
    data.load(saved_as("npz", tmp_path, ones, np.arange(70) % 10))
    data.load(saved_as("npz", tmp_path, images, labels))
    assert caplog.records == []


def test_the_names_load_their_data_sets(idx_folder, monkeypatch):
    sets = idx_folder.parent
    (sets / "fashion-mnist").mkdir()
    for path in idx_folder.iterdir():
        (sets / "fashion-mnist" / path.name).write_bytes(path.read_bytes().replace(b"\x01\x07", b"\x01\x09"))
    idx_folder.rename(sets / "mnist")
    monkeypatch.setenv("LENET_DATA", str(sets))
    assert data.load("mnist").y_train.tolist() == [7]
    assert data.load("fashion-mnist").y_train.tolist() == [9]


def test_a_name_takes_precedence_over_a_folder_and_this_is_logged(idx_folder, monkeypatch, caplog):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(idx_folder.parent)
    caplog.set_level(logging.INFO, "lenet.data")
    assert len(data.load("digits").X_test) == 359
    assert caplog.messages == []
    idx_folder.rename("digits")
    assert len(data.load("digits").X_test) == 359
    assert caplog.messages == ["digits is the built-in data set; write ./digits for the file or folder of that name"]
    assert len(data.load("./digits").X_test) == 1
    assert len(data.load(Path("digits").resolve()).X_test) == 1


@pytest.mark.parametrize("source", ["MNIST", "no/such/folder", "picture.png", ""])
def test_an_unknown_source_is_an_error_that_lists_the_choices(source, cwd):
    with pytest.raises(DataError) as caught:
        data.load(source)
    message = str(caught.value)
    for wanted in ("digits", "mnist", "fashion-mnist", "IDX, .npy or Parquet files", ".npz", repr(source)):
        assert wanted in message


@pytest.mark.parametrize("name", ["mine.csv", "mine.npz", "mine.parquet"])
def test_an_empty_file_is_reported(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name} is empty; expected a data set\. Save or download it again\.$"):
        data.load(path)


def test_anything_but_a_path_is_a_type_error():
    with pytest.raises(TypeError):
        data.load(5)


def test_importing_imports_nothing_heavy():
    code = (
        "import sys, lenet.data; names = ['sklearn', 'pandas', 'scipy', 'urllib.request']; "
        "print([name for name in names if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
