"""Data sets in .npz files: which are accepted, and which are rejected before they use memory."""

import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from lenet.data import load_npy_folder, load_npz
from lenet.errors import DataError


@pytest.fixture
def save(tmp_path):
    def save(save=np.savez, **arrays):
        path = tmp_path / "mine.npz"
        save(path, **arrays)
        return path

    return save


def small(n=70):
    """Images that each have their own value, and cyclic labels."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, np.newaxis, np.newaxis], (n, 28, 28)).copy()
    images[:, 0, 1], images[:, 1, 0] = 200, 100  # so that a transposition shows
    return images, np.arange(n) % 10


def as_fortran(X):
    return np.asfortranarray(X)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X,
        lambda X: X.reshape(-1, 784),
        lambda X: X.reshape(-1, 1, 28, 28),
        lambda X: X.reshape(-1, 28, 28, 1),
        as_fortran,
        lambda X: X.astype(np.int64),
        lambda X: X.astype(">u2"),
        lambda X: X / 255,
        lambda X: (X / 255).astype(np.float32),
        lambda X: (X / 255).astype(np.float16),
        lambda X: (X / 255).astype(">f8"),
    ],
)
@pytest.mark.parametrize("how", [np.savez, np.savez_compressed])
def test_every_form_of_the_same_images_gives_the_same_bytes(save, change, how):
    X, y = small()
    path = save(how, X_train=change(X[:50]), y_train=y[:50], X_test=change(X[50:]), y_test=y[50:].astype(np.uint8))
    dataset = load_npz(path)
    np.testing.assert_array_equal(dataset.X_train, X[:50])
    np.testing.assert_array_equal(dataset.X_test, X[50:])
    np.testing.assert_array_equal(dataset.y_train, y[:50])
    np.testing.assert_array_equal(dataset.y_test, y[50:])
    assert [a.dtype.name for a in dataset] == ["uint8", "int64", "uint8", "int64"]
    assert all(a.flags.writeable and a.flags.c_contiguous for a in dataset)


def test_x_and_y_alone_are_split_one_in_seven_of_each_class_always_the_same(save):
    X, y = small(210)
    first, second = (load_npz(save(X=X, y=y)) for _ in range(2))
    assert np.bincount(first.y_test).tolist() == [3] * 10
    assert np.bincount(first.y_train).tolist() == [18] * 10
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    numbers = np.concatenate([first.X_train[:, 5, 5], first.X_test[:, 5, 5]])
    assert sorted(numbers.tolist()) == list(range(210))
    for images, labels in (first[:2], first[2:]):
        np.testing.assert_array_equal(images[:, 5, 5] % 10, labels)


def test_x_and_y_may_be_for_testing_only(save, tmp_path):
    X, y = small()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    for data in (load_npz(save(X=X, y=y), hold_out=False), load_npy_folder(tmp_path, hold_out=False)):
        assert len(data.X_train) == len(data.y_train) == 0
        np.testing.assert_array_equal(data.X_test, X)
        np.testing.assert_array_equal(data.y_test, y)


def test_names_become_classes(save, tmp_path):
    X, y = small()
    names = np.array(["d", "cat", "b", "j", "i", "h", "g", "f", "e", "a"])
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", names[y])
    for data in (
        load_npz(save(X=X, y=names[y])),
        load_npy_folder(tmp_path),
        load_npz(save(X_train=X[:60], y_train=names[y[:60]], X_test=X[60:63], y_test=names[y[60:63]])),
        load_npz(save(X=X, y=names[y]), hold_out=False),
    ):
        assert data.classes == ("a", "b", "cat", "d", "e", "f", "g", "h", "i", "j")
        for images, labels in (data[:2], data[2:]):
            assert [data.classes[label] for label in labels] == names[images[:, 5, 5] % 10].tolist()


@pytest.mark.timing
def test_many_classes_are_rejected_at_once(save):
    path = save(X=np.zeros((30_000, 28, 28), np.uint8), y=np.arange(30_000))
    began = time.process_time()
    with pytest.raises(DataError, match="has at most 1 images per class"):
        load_npz(path)
    assert time.process_time() - began < 0.5


def test_lower_case_x_is_accepted_and_four_arrays_take_precedence(save):
    X, y = small()
    path = save(x_train=X[:5], y_train=y[:5], x_test=X[5:7], y_test=y[5:7], X=X, y=y)
    assert load_npz(path).X_test[:, 5, 5].tolist() == [5, 6]


def test_a_folder_without_readable_arrays(tmp_path):
    with pytest.raises(DataError, match=r"has no arrays; expected X\.npy and y\.npy"):
        load_npy_folder(tmp_path)
    (tmp_path / "X.npy").mkdir()
    np.save(tmp_path / "y.npy", np.arange(3))
    with pytest.raises(DataError, match=r"X\.npy cannot be read"):
        load_npy_folder(tmp_path)


X70, Y70 = small()


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"images": X70, "labels": Y70}, "contains images, labels; expected X and y"),
        ({"X": X70}, "contains X; expected X and y"),
        ({"X_train": X70, "y_train": Y70}, "X_train, y_train, X_test and y_test"),
        ({}, "contains nothing"),
        ({"X": X70[:, :3], "y": Y70}, r"shape \(70, 3, 28\); expected \(n, height, width\), perhaps"),
        (
            {"X": X70.astype(float), "y": Y70},
            r"pixels from 0 to \d+; expected 0 .* to 1 \(ink\)\. Scale them: \(X - background\)",
        ),
        (
            {"X": np.full((70, 28, 28), np.nan), "y": Y70},
            r"from nan to nan; .* \(ink\)\. Replace NaN and infinite values\.$",
        ),
        ({"X": np.full((70, 28, 28), np.inf), "y": Y70}, r"from inf to inf; .* Replace NaN and infinite values\.$"),
        ({"X": X70.astype(int) * 10, "y": Y70}, "pixels from 0 to 2000; expected 0"),
        ({"X": X70.astype(complex), "y": Y70}, "images of dtype complex128; expected numbers"),
        ({"X": np.full((70, 784), "0"), "y": Y70}, "images of dtype <U1; expected numbers"),
        ({"X": np.zeros(70, [("a", "u1", (28, 28))]), "y": Y70}, "not a plain array"),
        ({"X": X70, "y": Y70 / 2}, r"the label 0\.5; expected integers from 0, or names"),
        ({"X": X70, "y": np.where(Y70, "a", "")}, r"no label in row 1; expected one in each row"),
        ({"X": X70, "y": np.where(Y70, "a", "b\a")}, r"classes contains 'b\\x07'; expected 1 to 100 printable"),
        (
            {"X_train": X70, "y_train": np.where(Y70, "a", "b"), "X_test": X70, "y_test": np.where(Y70, "a", "c")},
            r"has no training images of class 'c'; expected at least one\.$",
        ),
        ({"X": X70, "y": np.eye(10, dtype=int)[Y70]}, r"labels of shape \(70, 10\)"),
        ({"X": X70, "y": Y70[:-1]}, "70 images and 69 labels"),
        ({"X": X70, "y": Y70 - 1}, "10 different training labels, from -1 to 8; expected 0 to 9 without gaps"),
        ({"X": X70, "y": Y70 * 3}, "from 0 to 27; expected 0 to 9"),
        (
            {"X": X70, "y": np.arange(70) // 4 + 1},
            r"from 1 to 18; expected 0 to 17 without gaps. Renumber them \(in NumPy: np.unique",
        ),
        ({"X": X70, "y": np.full(70, 2**64 - 1, dtype=np.uint64)}, "the label 18446744073709551615; expected integers"),
        ({"X": X70[:30], "y": Y70[:30]}, "at most 3 images per class; expected at least 4"),
        ({"X": X70[:0], "y": Y70[:0]}, r"X in .* has shape \(0, 28, 28\).*no dimension of 0"),
        (
            {"X_train": X70, "y_train": Y70, "X_test": X70, "y_test": Y70 + 10},
            r"test label 10, .*\. Number the classes of both parts from 0\.$",
        ),
    ],
)
def test_an_invalid_data_set_is_one_error_that_names_the_file(save, arrays, wanted):
    path = save(**arrays)
    with pytest.raises(DataError, match=wanted) as caught:
        load_npz(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_pickles_are_never_opened(save, tmp_path):
    mark = tmp_path / "mark"
    X = np.empty(70, dtype=object)
    X[0] = Trap(mark)
    for arrays in ({"X": X, "y": Y70}, {"X": X70, "y": X}):
        with pytest.raises(DataError, match=r"Python objects, which lenet never unpickles\. .* as y\.astype\(str\)\.$"):
            load_npz(save(**arrays))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(DataError, match=r"not a complete \.npz file"):
        load_npz(tmp_path / "bare.npz")
    assert not mark.exists()


def npy(header, data=b"", version=b"\x01\x00"):
    text = header.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def archive(tmp_path, member, compression=zipfile.ZIP_DEFLATED):
    path = tmp_path / "made.npz"
    labels = io.BytesIO()
    np.save(labels, Y70)
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr("X.npy", member)
        made.writestr("y.npy", labels.getvalue())
    return path


def header(shape, dtype="|u1"):
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    ("member", "wanted"),
    [
        (b"", "not a plain array"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a plain array"),
        (npy(header("(70, 784)"), bytes(54880)).replace(b"Y", b"X"), "not a plain array"),
        (npy(header("(" + "1" * 60_000 + "x)")), "not a plain array"),
        (npy(header("(" + "1" * 60_000 + ")")), "not a plain array"),
        (npy(header("(70 784)")), "not a plain array"),
        (npy(header("(70, 784)", "<f3")), "not a plain array"),
        (npy("nonsense"), "not a plain array"),
        (npy("[" * 9000), "not a plain array"),
        (npy("-" * 9000 + "1"), "not a plain array"),
        (npy(header("(70, 784)"), bytes(54880), version=b"\x02\x00"), "not a plain array"),
        (
            npy(header("(70, 784)"), bytes(54879)),
            r"claims 54,880 bytes of data but contains 54,879. It is damaged: save it again with NumPy\.$",
        ),
        (npy(header("(70, 784)"), bytes(54881)), "claims 54,880 bytes of data but contains 54,881"),
        (npy(header("(1000000, 784)")), "claims 784,000,000 bytes of data but contains 0"),
        (npy(header("(784000000,)")), "claims 784,000,000 bytes of data but contains 0"),
        (npy(header("(1000000, 785)")), "at most 784,000,000 bytes"),
        (npy(header("(250000, 784)", "<f8")), "at most 784,000,000 bytes"),
        (npy(header("(9999999999999999999, 0)")), "no dimension of 0"),
        (npy(header("(-70, -784)"), bytes(54880)), "not a plain array"),
        (npy(header("(0, 784)")), "no dimension of 0"),
    ],
)
def test_a_false_header_is_refused_before_anything_is_allocated(tmp_path, member, wanted):
    path = archive(tmp_path, member)
    tracemalloc.start()
    with pytest.raises(DataError, match=wanted) as caught:
        load_npz(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert "\n" not in str(caught.value)
    np.save(tmp_path / "y.npy", Y70)
    (tmp_path / "X.npy").write_bytes(member)
    with pytest.raises(DataError, match=wanted):
        load_npy_folder(tmp_path)


def test_a_compressed_bomb_is_not_unpacked(tmp_path):
    """The member unpacks to 100 MB, and neither its header nor the archive's table says so."""
    honest = npy(header("(70, 784)"), bytes(54880))
    path = archive(tmp_path, honest + bytes(100_000_000))
    lie = struct.pack("<I", len(honest) + 100_000_000), struct.pack("<I", len(honest))
    path.write_bytes(path.read_bytes().replace(*lie))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"not a complete \.npz file"):
        load_npz(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, compression):
    path = archive(tmp_path, npy(header("(70, 784)"), bytes(54880)), compression)
    with pytest.raises(DataError, match="a compression method that NumPy does not write"):
        load_npz(path)


@pytest.mark.parametrize("how", [np.savez, np.savez_compressed])
def test_every_cut_and_changed_pixel_bytes_are_found(save, how):
    rng = np.random.default_rng(0)
    path = save(how, X=rng.integers(0, 256, (20, 28, 28), dtype=np.uint8), y=np.zeros(20, dtype=int))
    assert len(load_npz(path).X_train) == 17
    whole = path.read_bytes()
    for length in range(0, len(whole), 211):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"not a complete \.npz file"):
            load_npz(path)
    for place in range(500, 15_000, 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError):
            load_npz(path)


@pytest.mark.parametrize("y", [Y70, Y70.astype(str), Y70.astype(float)], ids=["integers", "text", "floats"])
def test_random_damage_never_raises_anything_else(save, y):
    rng = np.random.default_rng(1)
    path = save(np.savez_compressed, X=X70, y=y)
    whole = path.read_bytes()
    for _ in range(1000):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            load_npz(path)
        except DataError:
            continue


def test_a_missing_file_and_a_folder_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz cannot be read \(No such file or directory\)\. Pass the path"):
        load_npz(tmp_path / "none.npz")
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(tmp_path)


def test_other_arrays_may_differ_only_in_case(save):
    X, y = small()
    assert len(load_npz(save(X=X, y=y, k=np.ones(1), K=np.ones(1))).X_test) == 10


def test_an_array_that_occurs_twice_is_refused(save):
    X, y = small()
    with pytest.raises(DataError, match=r"mine\.npz has X twice, in upper or lower case\. Remove one\."):
        load_npz(save(x=X, X=X, y=y))
