"""IDX files, built byte by byte from the specification: valid, and broken in every way."""

import gzip
import hashlib
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lenet.data import idx, load_idx_folder, read_idx
from lenet.errors import DataError

LABELS = bytes.fromhex("00000801 00000003 070201")
IMAGES = bytes.fromhex("00000803 00000002 00000001 00000003 0001ff 102030")
ONE_IMAGE = bytes.fromhex("00000803 00000001 0000001c 0000001c") + bytes(range(196)) * 4
PACKED = gzip.compress(LABELS, mtime=0)  # of no time, which would be part of the names of tests
ONE_LABEL = bytes.fromhex("00000801 00000001 07")


def file(folder, content, name="file"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_hand_built_file_gives_its_numbers(tmp_path, pack):
    labels = read_idx(file(tmp_path, pack(LABELS)))
    assert labels.dtype == np.uint8
    assert labels.tolist() == [7, 2, 1]
    images = read_idx(str(file(tmp_path, pack(IMAGES))))
    assert images.tolist() == [[[0, 1, 255]], [[16, 32, 48]]]
    images[0, 0, 0] = 9  # the array is the caller's own


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path):
    assert read_idx(file(tmp_path, gzip.compress(LABELS[:9]) + gzip.compress(LABELS[9:]))).tolist() == [7, 2, 1]


def wrong_checksum(content):
    packed = bytearray(gzip.compress(content, mtime=0))
    packed[-8] ^= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "begins with 00 00 08;"),
        (b"\x89PNG\r\n", r"begins with 89 50 4e 47.*; expected 00 00 08, as in the files of MNIST\.$"),
        (LABELS.replace(b"\x08", b"\x0d"), "type 0x0d; expected bytes, type 0x08"),
        (bytes.fromhex("00000802 00000001 00000001 05"), "2 dimensions; expected 1 .labels"),
        (bytes.fromhex("00000800"), "0 dimensions"),
        (bytes.fromhex("000008ff") + b"\0\0\0\1" * 255, "255 dimensions"),
        (LABELS[:6], "ends within its header"),
        (IMAGES[:15], "ends within its header"),
        (LABELS[:-1], "claims 3 bytes.*contains only 2. It is truncated"),
        (LABELS + b"\0", "claims 3 bytes.*contains more"),
        (IMAGES[:-6], r"claims 6 bytes of data \(2x1x3\) but contains only 0"),
        (bytes.fromhex("00000801 00000000"), "claims a size of 0;"),
        (bytes.fromhex("00000803 00000000 ffffffff ffffffff"), "claims a size of 0x4294967295"),
        (bytes.fromhex("00000803 ffffffff 00000000 00000000"), "claims a size of 4294967295x0"),
        (bytes.fromhex("00000801 000f4241") + bytes(1_000_001), "claims a size of 1000001"),
        (bytes.fromhex("00000803 000f4240 0000001c 0000001c"), r"784,000,000 bytes of data \(1000000x28x28\)"),
        (bytes.fromhex("00000803 000f4240 0000001c 0000001d"), "at most 784,000,000 bytes"),
        (bytes.fromhex("00000803 000f4240 000f4240 000f4240"), "at most 784,000,000 bytes"),
        (PACKED[:-9], "truncated or damaged"),
        (PACKED[:-4], "truncated or damaged"),
        (PACKED[:5], "truncated or damaged"),
        (b"\x1f\x8b", "truncated or damaged"),
        (wrong_checksum(LABELS), "truncated or damaged.*CRC"),
        (PACKED[:10] + b"\xff" + PACKED[11:], "truncated or damaged"),
        (PACKED + b"more", "truncated or damaged"),
        (PACKED + gzip.compress(b"more", mtime=0), "contains more"),
    ],
)
def test_a_broken_file_is_one_clear_error_that_names_it(tmp_path, content, wanted):
    path = file(tmp_path, content, "broken-ubyte")
    with pytest.raises(DataError, match=wanted) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_million_labels_are_not_too_many(tmp_path):
    labels = read_idx(file(tmp_path, bytes.fromhex("00000801 000f4240") + bytes(1_000_000)))
    assert labels.shape == (1_000_000,)


@pytest.mark.parametrize("content", [IMAGES, gzip.compress(ONE_IMAGE)], ids=["plain", "gzip"])
def test_every_cut_of_a_file_is_found(tmp_path, content):
    for length in range(len(content)):
        with pytest.raises(DataError):
            read_idx(file(tmp_path, content[:length]))


def test_a_false_claim_and_a_gzip_bomb_cost_no_memory(tmp_path):
    claim = gzip.compress(bytes.fromhex("00000803 000f4240 0000001c 0000001c") + b"few")
    bomb = gzip.compress(LABELS + bytes(100_000_000))
    for content in (claim, bomb):
        path = file(tmp_path, content)
        tracemalloc.start()
        with pytest.raises(DataError):
            read_idx(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 5_000_000


def test_a_missing_file_and_a_folder_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match=r"missing cannot be read \(No such file or directory\)\. Pass the path"):
        read_idx(tmp_path / "missing")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


def fill(folder, spell=str, pack=bytes, **changed):
    parts = {"train_images": ONE_IMAGE, "train_labels": ONE_LABEL, "t10k_images": ONE_IMAGE, "t10k_labels": ONE_LABEL}
    for part, content in {**parts, **changed}.items():
        kind = "idx3" if part.endswith("images") else "idx1"
        file(folder, pack(content), spell(f"{part.replace('_', '-')}-{kind}-ubyte"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("dot", ["-idx", ".idx"])
def test_a_folder_is_read_in_each_spelling(tmp_path, pack, dot):
    suffix = "" if pack is bytes else ".gz"
    second = bytes.fromhex("00000801 00000001 03")
    fill(tmp_path, lambda name: name.replace("-idx", dot) + suffix, pack, t10k_labels=second)
    X_train, y_train, X_test, y_test = load_idx_folder(tmp_path)
    assert X_train.shape == X_test.shape == (1, 28, 28)
    assert X_train[0, 7, 0] == 0  # 196 pixels are 7 rows, so the bytes begin again here
    assert X_train[0, 1, 2] == 30
    assert (y_train.tolist(), y_test.tolist()) == ([7], [3])
    assert y_train.dtype == np.int64


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"train_images": ONE_LABEL}, "train-images-idx3-ubyte contains labels; expected images"),
        ({"t10k_labels": ONE_IMAGE}, "t10k-labels-idx1-ubyte contains images; expected labels"),
        ({"train_labels": LABELS}, "1 training images and 3 training labels"),
        ({"t10k_labels": LABELS}, "1 test images and 3 test labels"),
        ({"train_images": IMAGES}, r"training images of shape \(1, 3\); expected 28x28"),
        ({"t10k_images": IMAGES}, r"test images of shape \(1, 3\)"),
        ({"train_images": ONE_IMAGE[:16] + bytes([0, 1]) * 392}, "integer pixels of 0 and 1 only"),
        ({"train_labels": bytes.fromhex("00000801 00000001 0a")}, "from 10 to 10; expected 0 to 0 without gaps"),
        (
            {"t10k_labels": bytes.fromhex("00000801 00000001 0a")},
            r"test label 10, .*\. Number the classes of both parts from 0\.$",
        ),
        ({"train_images": bytes.fromhex("00000803 00000000 0000001c 0000001c")}, "claims a size of 0x28x28"),
    ],
)
def test_a_folder_with_a_wrong_file_is_one_clear_error(tmp_path, changed, wanted):
    fill(tmp_path, **changed)
    with pytest.raises(DataError, match=wanted) as caught:
        load_idx_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_more_than_ten_classes_are_accepted_without_gaps(tmp_path):
    labels = bytes.fromhex("00000801 0000000c") + bytes(range(12))
    images = bytes.fromhex("00000803 0000000c 0000001c 0000001c") + bytes(12 * 784)
    fill(tmp_path, train_images=images, train_labels=labels, t10k_labels=bytes.fromhex("00000801 00000001 0b"))
    assert load_idx_folder(tmp_path).y_test.tolist() == [11]


@pytest.mark.parametrize("name", ["train-images-idx3", "train-labels.idx1", "t10k-images-idx3", "t10k-labels-idx1"])
@pytest.mark.parametrize("suffix", ["-ubyte", "-ubyte.gz"])
def test_a_folder_with_any_of_the_four_has_idx_files(tmp_path, name, suffix):
    file(tmp_path, LABELS, f"{name}.txt")
    assert not idx.holds_idx_files(tmp_path)
    file(tmp_path, LABELS, name + suffix)
    assert idx.holds_idx_files(tmp_path)


def test_a_path_that_is_not_a_folder_is_reported(tmp_path):
    with pytest.raises(DataError, match="missing is not a folder; expected one with the four IDX files"):
        load_idx_folder(tmp_path / "missing")


def test_a_missing_file_of_the_four_is_named(tmp_path):
    fill(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has no t10k-labels-idx1-ubyte \(plain or \.gz\)\. Put all four"):
        load_idx_folder(tmp_path)


@pytest.mark.skipif(not os.environ.get("LENET_DATA"), reason="LENET_DATA does not name a folder with MNIST")
def test_mnists_own_files_are_read_to_the_byte():
    sums = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    for name, known in sums.items():
        path = Path(os.environ["LENET_DATA"], name)
        array = read_idx(path if path.exists() else path.with_name(f"{name}.gz"))
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        assert hashlib.sha256(header + array.tobytes()).hexdigest() == known
