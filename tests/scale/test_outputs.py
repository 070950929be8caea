"""Files of scores, without a cluster: they are complete, and replace nothing."""

import contextlib
import itertools
import os

import numpy as np
import pytest

from lenet.errors import InputError, SaveError
from lenet.scale import outputs
from lenet.scale.outputs import check_free, score_dtype, written

PLAIN = score_dtype(10, np.float32, probabilities=False)
WHOLE = score_dtype(3, np.float64, probabilities=True)


def rows(n, dtype=WHOLE):
    scores = np.zeros(n, dtype)
    scores["digit"], scores["probability"] = np.arange(n) % 3, np.arange(n) / 100
    if "probabilities" in dtype.names:
        scores["probabilities"] = np.arange(3 * n).reshape(n, 3) / 1000
    return scores


def write(out, blocks, dtype=WHOLE):
    with written(out, dtype) as write_block:
        for block in blocks:
            write_block(block)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("num_classes", "digit"), [(2, "u1"), (256, "u1"), (257, "i4"), (100_000, "i4")])
def test_digits_are_bytes_for_at_most_256_classes(num_classes, digit):
    assert score_dtype(num_classes, np.float64, probabilities=False) == [("digit", digit), ("probability", "f8")]
    assert score_dtype(num_classes, np.float32, probabilities=True) == [
        ("digit", digit), ("probability", "f4"), ("probabilities", "f4", (num_classes,)),
    ]  # fmt: skip


class Recorded:
    """Rows that are kept instead of written."""

    def __init__(self, path, dtype):
        self.path, self.dtype, self.blocks, self.closed = path, dtype, [], 0
        self.error = None
        path.touch()

    def write(self, block):
        assert not self.closed
        self.blocks.append(block.copy())

    def close(self):
        self.closed += 1
        if self.error:
            raise self.error


@pytest.fixture
def recorded(monkeypatch):
    made = []
    monkeypatch.setattr(outputs, "_Npy", lambda *arguments: made.append(Recorded(*arguments)) or made[-1])
    monkeypatch.setattr(outputs, "AT_ONCE", 5)
    return made


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([3], [3]),
        ([5], [5]),
        ([6], [5, 1]),
        ([2, 2, 2], [5, 1]),
        ([3, 12, 0, 1], [5, 5, 5, 1]),
        ([5, 5], [5, 5]),
        ([0], []),
        ([], []),
    ],
    ids=str,
)
def test_rows_are_passed_on_in_batches_of_equal_size(tmp_path, recorded, sizes, expected):
    everything = rows(sum(sizes))
    ends = np.cumsum([0, *sizes])
    write(tmp_path / "out.npy", [everything[a:b] for a, b in itertools.pairwise(ends)])
    (target,) = recorded
    assert [len(block) for block in target.blocks] == expected
    np.testing.assert_array_equal(np.concatenate([rows(0), *target.blocks]), everything)
    assert target.closed
    assert target.dtype == WHOLE


def test_rows_are_in_a_hidden_file_until_they_are_complete(tmp_path, recorded):
    with written(tmp_path / "out.npy", WHOLE) as write_block:
        write_block(rows(7))
        (name,) = names(tmp_path)
        assert name == recorded[0].path.name
        assert name.startswith(".out.npy.")
        assert name.endswith(".tmp")
    assert names(tmp_path) == ["out.npy"]


def test_a_block_that_raises_leaves_nothing(tmp_path, recorded):
    error = KeyboardInterrupt()

    def blocks():
        yield rows(7)
        recorded[0].error = OSError(28, "No space left on device")  # hidden by the first error
        raise error

    with pytest.raises(KeyboardInterrupt) as caught:
        write(tmp_path / "out.npy", blocks())
    assert caught.value is error
    assert recorded[0].closed
    assert names(tmp_path) == []


@pytest.mark.parametrize("when", ["open", "write", "close", "sync"])
@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(28, "No space left on device"), "No space left on device"), (OSError("odd"), "odd")]
)
def test_an_error_of_the_system_becomes_one_that_names_the_file(tmp_path, monkeypatch, recorded, when, error, reason):
    def fails(*_):
        raise error

    if when == "open":
        monkeypatch.setattr(outputs, "_Npy", fails)
    if when == "write":
        monkeypatch.setattr(Recorded, "write", fails)
    if when == "sync":
        monkeypatch.setattr(os, "fsync", fails)
    if when == "close":
        monkeypatch.setattr(Recorded, "close", fails)
    out = tmp_path / "out.npy"
    with pytest.raises(SaveError) as caught:
        write(out, [rows(7)])
    assert str(caught.value) == f"{out} could not be written ({reason}); no file was created."
    assert names(tmp_path) == []


def test_files_and_folders_are_synced_before_they_get_their_name(tmp_path, monkeypatch, recorded):
    synced = []
    monkeypatch.setattr(outputs, "sync_folder", lambda path: synced.append((path.name, names(tmp_path))))
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(("a file", len(names(tmp_path)))))
    write(tmp_path / "out.npy", [rows(2)])
    assert synced == [("a file", 1), (tmp_path.name, ["out.npy"])]
    synced.clear()
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "x").touch()
    outputs._sync(tmp_path / "folder")
    assert [name for name, _ in synced] == ["folder", "inner", "a file"]


def test_a_file_created_in_the_meantime_is_left_unchanged(tmp_path):
    out = tmp_path / "scores.npy"

    def score():
        with written(out, PLAIN) as write_block:
            write_block(np.zeros(3, PLAIN))
            out.write_bytes(b"by another process")

    with pytest.raises(InputError, match=r"scores\.npy already exists"):
        score()
    assert names(tmp_path) == ["scores.npy"]
    assert out.read_bytes() == b"by another process"


def test_the_suffix_may_be_in_capitals(tmp_path):
    write(tmp_path / "SCORES.NPY", [np.zeros(3, PLAIN)], PLAIN)
    assert np.load(tmp_path / "SCORES.NPY").shape == (3,)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.pq", "a.zarr", "a.ZARR"])
def test_new_files_of_these_kinds_are_free(tmp_path, name):
    check_free(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.csv", "a.csv has an unknown suffix; expected .parquet, .zarr or .npy."),
        ("a", "a has an unknown suffix; expected .parquet, .zarr or .npy."),
        ("here.npy", "{folder}/here.npy already exists. Choose another name, or remove it first."),
        ("link.npy", "{folder}/link.npy already exists. Choose another name, or remove it first."),
        ("no/a.npy", "{folder}/no is not a folder. Create it first."),
        ("here.npy/a.npy", "{folder}/here.npy is not a folder. Create it first."),
    ],
)
def test_names_that_are_not_free(tmp_path, name, message):
    (tmp_path / "here.npy").touch()
    if name == "link.npy":
        with contextlib.suppress(OSError):  # Wine raises no error
            (tmp_path / name).symlink_to(tmp_path / "nowhere")
        if not (tmp_path / name).is_symlink():
            pytest.skip("this system makes no symbolic links")
    with pytest.raises(InputError) as caught:
        check_free(tmp_path / name)
    assert str(caught.value).replace(os.sep, "/") == message.format(folder=tmp_path).replace(os.sep, "/")


def test_a_relative_name_is_in_the_working_directory_of_the_start(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with written("a.npy", PLAIN):
        monkeypatch.chdir("elsewhere")
    assert names(tmp_path) == ["a.npy", "elsewhere"]


@pytest.mark.parametrize("dtype", [PLAIN, WHOLE], ids=["plain", "probabilities"])
@pytest.mark.parametrize("n", [0, 1, 13])
def test_an_array_has_a_row_for_each_image(tmp_path, monkeypatch, n, dtype):
    monkeypatch.setattr(outputs, "AT_ONCE", 5)
    write(tmp_path / "a.npy", [rows(n, dtype)], dtype)
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, rows(n, dtype))
    assert np.load(tmp_path / "a.npy", mmap_mode="r").flags.c_contiguous


def test_the_header_of_an_array_has_room_for_any_number_of_rows(tmp_path):
    array = outputs._Npy(tmp_path / "a.npy", PLAIN)
    start = array._start
    array.write(rows(4, PLAIN))
    for n in (10**6, 10**12, 10**18):
        array._n = n
        array._file.seek(0)
        array._head()
        assert array._start == start
    array._n = 4
    array.close()
    array.close()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows(4, PLAIN))


def test_a_header_that_grows_into_the_rows_is_an_error(tmp_path):
    array = outputs._Npy(tmp_path / "a.npy", PLAIN)
    array._start -= 64
    with pytest.raises(OSError, match=r"the header of the \.npy file has grown into the rows"):
        array.close()
    assert array._file.closed


def test_an_array_replaces_no_file(tmp_path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(FileExistsError):
        outputs._Npy(tmp_path / "a.npy", PLAIN)


@pytest.mark.landing
@pytest.mark.parametrize("n", [0, 13])
def test_a_parquet_file_has_a_column_for_each_field(tmp_path, monkeypatch, n):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(outputs, "AT_ONCE", 5)
    write(tmp_path / "a.parquet", [rows(n)])
    file = pq.ParquetFile(tmp_path / "a.parquet")
    groups = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
    assert groups == ([5, 5, 3] if n else [])
    table = file.read()
    assert {field.name: str(field.type).replace("element", "item") for field in table.schema} == {
        "digit": "uint8", "probability": "double", "probabilities": "fixed_size_list<item: double>[3]",
    }  # fmt: skip
    for name in WHOLE.names:
        np.testing.assert_array_equal(np.array(table[name].to_pylist()).reshape(rows(n)[name].shape), rows(n)[name])


@pytest.mark.landing
@pytest.mark.parametrize("n", [0, 13])
def test_a_zarr_group_has_an_array_for_each_field(tmp_path, monkeypatch, n):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr(outputs, "AT_ONCE", 5)
    write(tmp_path / "a.zarr", [rows(n)])
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert sorted(group) == sorted(WHOLE.names)
    for name in WHOLE.names:
        np.testing.assert_array_equal(group[name][:], rows(n)[name])
        assert group[name].dtype == WHOLE[name].base
        assert group[name].chunks == (5, *WHOLE[name].shape)


@pytest.mark.landing
def test_a_zarr_group_that_fails_leaves_no_folder(tmp_path):
    pytest.importorskip("zarr")

    def blocks():
        yield rows(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "a.zarr", blocks())
    assert names(tmp_path) == []
