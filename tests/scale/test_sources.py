"""The parts of images and of files of this machine, without a cluster."""

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scale_inputs import IN_BYTES, NAMES, N, X, check, csv_of, loaded, npy_of, save_parquet, thirds

from lenet.errors import DataError, InputError, InputTypeError
from lenet.scale import columns, parquet, sources
from lenet.scale.files import File, matching
from lenet.scale.sources import checked, parts_of

pytest_plugins = ["scale_fixture"]
pytestmark = [pytest.mark.landing, pytest.mark.usefixtures("folder")]
dask = pytest.importorskip("dask")
bag = pytest.importorskip("dask.bag")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
zarr = pytest.importorskip("zarr")


# ---- arrays and files of this machine ------------------------------------------------------------------


@pytest.mark.parametrize("images", [X, X[:, None], X.reshape(N, 784), X / 255], ids=["n", "n1", "rows", "floats"])
def test_an_array_is_cut_into_parts(images):
    check(images, thirds("The array"), pixels=np.reshape(images, (N, 28, 28)))


def test_lists_of_numbers_are_an_array():
    images = (X[:2] / 255).tolist()
    check(images, [("The array", 0, 2)], pixels=np.array(images))


def test_a_part_is_named_by_its_rows():
    _, second, third = parts_of(X, None)
    assert (str(second), str(third)) == ("The array, rows 11 to 20", "The array, rows 21 to 23")
    large = sources.Part("a", 12_345, 1_000, list)
    assert str(large) == "a, rows 12,346 to 13,345"
    assert str(sources.Part("a.csv", 0, None, list)) == "a.csv"


@pytest.mark.parametrize("cast", [str, Path, os.fsencode])
def test_a_path_is_text_bytes_or_path_like(cast):
    np.save("a.npy", X)
    if cast is os.fsencode:
        with pytest.raises(InputTypeError, match="has dtype"):
            parts_of(cast("a.npy"), None)
    else:
        check(cast("a.npy"), thirds("a.npy"))


def test_files_are_in_the_given_order_and_patterns_in_that_of_their_names():
    for name, part in (("b.npy", X[:4]), ("a.npy", X[4:9]), ("c.npy", X[9:9]), ("z.npy", X[9:])):
        np.save(name, part)
    check(
        ["z.npy", "[abc].npy"],
        [*(("z.npy", *each) for each in [(0, 10), (10, 4)]), ("a.npy", 0, 5), ("b.npy", 0, 4)],
        pixels=np.concatenate([X[9:], X[4:9], X[:4]]),
    )
    check(("z.npy",), [("z.npy", 0, 10), ("z.npy", 10, 4)], pixels=X[9:])


def test_a_name_with_brackets_is_not_a_pattern(folder):
    np.save("[ab].npy", X[:3])
    np.save("a.npy", X[3:5])
    check("[ab].npy", [("[ab].npy", 0, 3)], pixels=X[:3])
    Path("deep", "er").mkdir(parents=True)
    np.save("deep/er/x.npy", X[:1])
    assert [file.name for file in matching("**/x.npy")] == [str(Path("deep/er/x.npy"))]
    assert matching("a.npy") == [File("a.npy", str(folder / "a.npy"))]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_a_name_with_a_scheme_may_be_a_local_file():
    Path("memory:", "in").mkdir(parents=True)
    np.save("memory:/in/a.npy", X)
    (file,) = matching("memory://in/a.npy")
    assert file.system is None


@pytest.mark.parametrize("pattern", ["no.npy", "no-*.npy"])
def test_a_pattern_without_a_file_is_an_error(pattern):
    with pytest.raises(InputError) as caught:
        parts_of(pattern, None)
    assert str(caught.value) == f"{pattern} matches no file; expected at least one."


@pytest.mark.parametrize("images", [X[:0], [], ()], ids=["array", "list", "tuple"])
def test_there_is_at_least_one_image(images):
    with pytest.raises(InputError):
        parts_of(images, None)


@pytest.mark.parametrize("name", ["a.parquet", "b.PQ"])
def test_a_parquet_file_has_a_part_for_each_row_group(name):
    save_parquet(name)
    check(name, [(name, 0, 8), (name, 8, 8), (name, 16, 7)])
    save_parquet(name, group=30, label=[0] * N, scan=IN_BYTES)
    check(name, [(name, 0, 23)], column="scan")


def test_a_row_group_is_read_in_batches(monkeypatch):
    monkeypatch.setattr(columns, "AT_ONCE", 5)
    save_parquet("a.parquet", 12, label=[0] * N, image=[*IN_BYTES[:-2], b"short", IN_BYTES[0]])
    first, second = parts_of("a.parquet", None)
    assert [len(each) for each in first.load()] == [5, 5, 2]
    with pytest.raises(InputError, match=r"^a\.parquet, row 22: it is not an image"):
        list(second.load())


def test_pixel_columns_of_parquet_are_read():
    pixels = dict(zip(NAMES, X.reshape(N, 784).T, strict=True))
    save_parquet("a.parquet", 30, label=[0] * N, **pixels)
    (part,) = parts_of("a.parquet", None)
    np.testing.assert_array_equal(loaded(part), X)


def test_columns_of_other_types_are_reported_before_anything_is_scored():
    save_parquet("a.parquet", image=["text"] * 3)
    with pytest.raises(DataError, match=r"^a\.parquet has type string in column image"):
        parts_of("a.parquet", None)


def test_columns_of_pixels_have_different_names():
    pq.write_table(pa.Table.from_arrays([pa.array([0])] * 784, ["p"] * 784), "a.parquet")
    with pytest.raises(DataError, match=r"^a\.parquet has columns with equal names; expected different names\."):
        parts_of("a.parquet", None)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), TimeoutError("Input/output error")])
def test_only_errors_of_arrow_mean_a_damaged_file(monkeypatch, error):
    Path("a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"^a\.parquet is not a complete Parquet file \(.+\)\. Write it again\.$"):
        parts_of("a.parquet", None)
    save_parquet("a.parquet")
    (file,) = matching("a.parquet")

    def fails(_):
        raise error

    monkeypatch.setattr(File, "open", fails)
    with pytest.raises(OSError, match="Input/output error"):
        parquet.row_groups(file, None)


@pytest.mark.parametrize(
    ("name", "encode"), [("a.csv", bytes), ("a.TSV", bytes), ("a.csv.gz", gzip.compress), ("b.Csv.Gz", gzip.compress)]
)
def test_a_csv_file_is_one_part(name, encode):
    Path(name).write_bytes(encode(csv_of()))
    check(name, [(name, 0, None)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"chunks": (4, 28, 28)}, [(0, 8), (8, 8), (16, 7)]),
        ({"chunks": (10, 28, 28)}, [(0, 10), (10, 10), (20, 3)]),
        ({"chunks": (15, 14, 28)}, [(0, 15), (15, 8)]),
        ({"chunks": (2, 28, 28), "shards": (6, 28, 28)}, [(0, 6), (6, 6), (12, 6), (18, 5)]),
        ({"chunks": (5, 28, 28), "zarr_format": 2}, [(0, 10), (10, 10), (20, 3)]),
    ],
)
def test_a_zarr_array_is_cut_between_its_chunks_or_shards(options, expected):
    zarr.create_array("a.zarr", data=X, **options)
    check("a.zarr", [("a.zarr", *each) for each in expected])


def test_a_zarr_array_of_something_else_is_an_error():
    zarr.create_array("a.zarr", data=X[:, 1:])
    with pytest.raises(InputError, match=r"^a\.zarr has shape \(23, 27, 28\)"):
        parts_of("a.zarr", None)
    zarr.create_array("b.zarr", data=X.astype(np.int64))
    with pytest.raises(InputTypeError, match=r"^b\.zarr has dtype int64"):
        parts_of("b.zarr", None)


def test_a_zarr_group_has_its_images_in_an_array_of_that_name():
    group = zarr.open_group("a.zarr", mode="w")
    with pytest.raises(DataError, match=r"^a\.zarr contains nothing; expected an array named images\. Pass the path"):
        parts_of("a.zarr", None)
    for k in range(11):
        group.create_group(f"g{k:02}")
    with pytest.raises(DataError) as caught:
        parts_of("a.zarr", None)
    assert f"contains {', '.join(f'g{k:02}' for k in range(10))}; expected" in str(caught.value)
    group.create_array("images", data=X, chunks=(10, 28, 28))
    check("a.zarr", thirds("a.zarr"))
    check("a.zarr/images", thirds("a.zarr/images"))
    other = zarr.open_group("b.zarr", mode="w")
    other.create_group("images")
    with pytest.raises(DataError, match=r"^b\.zarr contains images; expected an array"):
        parts_of("b.zarr", None)


def test_other_folders_and_files_are_errors():
    Path("folder").mkdir()
    with pytest.raises(InputError) as caught:
        parts_of("folder", None)
    assert str(caught.value) == "folder is a folder; expected a Zarr store, or files such as folder/*.npy."
    Path("a.txt").touch()
    with pytest.raises(InputError) as caught:
        parts_of("a.txt", None)
    assert str(caught.value) == "a.txt has an unknown format; expected .npy, .parquet, .csv or a Zarr folder."
    Path("b.zarr").mkdir()
    Path("b.zarr/zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(DataError, match=r"^b\.zarr is not a readable Zarr store \(.+\)\. Write it again\.$"):
        parts_of("b.zarr", None)


@pytest.mark.parametrize(
    ("save", "error", "message"),
    [
        (lambda: np.save("a.npy", X[:, 1:]), InputError, r"^a\.npy has shape \(23, 27, 28\)"),
        (lambda: np.save("a.npy", X.astype(int)), InputTypeError, r"^a\.npy has dtype int64"),
        (lambda: np.save("a.npy", np.array([None])), DataError, r"^a\.npy is not a complete \.npy file of numbers \("),
        (lambda: Path("a.npy").write_bytes(npy_of(X)[:-1]), DataError, r"^a\.npy is not a complete \.npy file of num"),
        (lambda: Path("a.npy").write_bytes(b""), DataError, r"^a\.npy is not a complete \.npy file of numbers \("),
    ],
    ids=["shape", "dtype", "objects", "cut", "empty"],
)
def test_an_npy_file_of_something_else_is_an_error(save, error, message):
    save()
    with pytest.raises(error, match=message):
        parts_of("a.npy", None)


# ---- Dask ----------------------------------------------------------------------------------------------


def test_a_dask_array_has_a_part_for_each_block_of_rows():
    images = da.from_array(X, chunks=((6, 0, 17), (14, 14), (28,)))
    name = "The Dask array"
    check(images, [(name, 0, 6), (name, 6, 17)])
    assert all(type(part.rows) is int for part in parts_of(images, None))


def test_blocks_of_unknown_size_are_numbered():
    images = da.from_array(X.reshape(N, 784), chunks=((6, 17), (784,)))[da.ones(N, dtype=bool, chunks=((6, 17),))]
    check(images, [("Block 1 of the Dask array", 0, None), ("Block 2 of the Dask array", 0, None)])


def test_a_dask_array_of_something_else_is_an_error():
    with pytest.raises(InputError, match=r"^The Dask array has shape \(23,\)"):
        parts_of(da.zeros(23, dtype=np.uint8), None)
    with pytest.raises(InputTypeError, match=r"^The Dask array has dtype int64"):
        parts_of(da.from_array(X.astype(np.int64)), None)
    frame = dd.from_pandas(pd.DataFrame({"image": [1, 2]}), npartitions=1)
    others = [frame["image"], dask.delayed(X), bag.from_sequence([X])]
    for other, kind in zip(others, ("Series", "Delayed", "Bag"), strict=True):
        with pytest.raises(InputTypeError, match=rf"^images is a Dask {kind}\w*; expected a Dask array or data frame"):
            parts_of(other, None)


def test_a_data_frame_has_a_part_for_each_partition():
    frame = pd.DataFrame({"label": 0, "image": IN_BYTES, "scan": IN_BYTES[::-1]})
    with dask.config.set({"dataframe.convert-string": False}):
        cuts = [dask.delayed(frame.iloc[a:b]) for a, b in ((0, 9), (9, 9), (9, N))]
        lazy = dd.from_delayed(cuts, meta=frame.iloc[:0])
    names = [(f"Partition {k} of the data frame", 0, None) for k in (1, 2, 3)]
    parts = parts_of(lazy, None)
    assert [(part.name, part.start, part.rows) for part in parts] == names
    found = [list(part.load(part.block.compute())) for part in parts]
    assert found[1] == []
    np.testing.assert_array_equal(np.concatenate(found[0] + found[2]).reshape(-1, 28, 28), X)
    last = parts_of(lazy, "scan")[2]
    np.testing.assert_array_equal(loaded(last), X[::-1][9:])
    with pytest.raises(DataError, match=r"^The data frame has no column ink; expected one of label, image, scan\.$"):
        parts_of(lazy, "ink")


def test_columns_of_a_data_frame_may_be_numbers():
    frame = pd.DataFrame(X.reshape(N, 784).astype(int), columns=range(784))
    check(dd.from_pandas(frame, npartitions=1), [("Partition 1 of the data frame", 0, None)])


# ---- the images of a part ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [(4, 784), (4, 1, 28, 28), (4, 28, 28)], ids=str)
def test_images_of_a_part_have_28_rows(form):
    found = checked(X[:4].reshape(form), "a.npy", 0)
    np.testing.assert_array_equal(found, X[:4])


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 784), (4, 1, 28, 28)], ids=str)
def test_the_first_invalid_image_is_named(shape):
    images = np.zeros(shape, np.float32)
    images[2:] = 7
    with pytest.raises(InputError, match=r"^a\.npy, row 1,003: x has floating-point pixels from 7"):
        checked(images, "a.npy", 1000)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (X[:3, 1:], InputError, r"^a\.npy, row 6: x has shape \(1, 27, 28\)"),
        (X.astype(int), InputTypeError, r"^a\.npy, row 6: x has dtype int64"),
        (X[0, 0], InputError, r"^a\.npy: x has shape \(28,\)"),
        (np.zeros((0, 5)), InputError, r"^a\.npy: x has shape \(0, 5\)"),
    ],
)
def test_other_invalid_images_are_named_by_the_file(images, error, message):
    with pytest.raises(error, match=message):
        checked(images, "a.npy", 5)


def test_an_empty_path_is_not_the_current_folder(cwd):
    with pytest.raises(InputError, match=r"^The path of the images is empty"):
        parts_of("", None)
