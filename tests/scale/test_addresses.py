"""The parts of files of servers, whose addresses are URLs."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from scale_inputs import N, X, check, csv_of, npy_of, save_parquet, thirds

from lenet.errors import DataError, InputError, MissingExtraError
from lenet.scale import files, npy
from lenet.scale.files import File, matching, unreadable
from lenet.scale.sources import parts_of

pytest_plugins = ["scale_fixture"]
pytestmark = [pytest.mark.landing, pytest.mark.usefixtures("folder")]
fsspec = pytest.importorskip("fsspec")
pq = pytest.importorskip("pyarrow.parquet")
zarr = pytest.importorskip("zarr")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("images", [X, X[:, None].astype(">f4"), X.reshape(N, 784)], ids=["n", "n1", "rows"])
def test_rows_of_a_remote_array_are_read_by_their_position(memory, version, images):
    images = images / 255 if images.dtype.kind == "f" else images
    memory.pipe("/in/a.npy", npy_of(images, version))
    check("memory://in/a.npy", thirds("memory://in/a.npy"), pixels=images.reshape(N, 28, 28))


def test_a_remote_array_may_have_more_bytes_than_it_needs(memory):
    memory.pipe("/a.npy", npy_of(X) + b"x")
    check("memory://a.npy", thirds("memory://a.npy"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_of(X)[:-1], f"it ends after {128 + N * 784 - 1:,} bytes"),
        (npy_of(X)[:50], ""),
        (b"", ""),
        (b"\x93NUMPY\x09\x00" + bytes(200), "(9, 0)"),
        (b"\x93NUMPX" + bytes(200), ""),
        (npy_of(np.array([None] * 9)), "it contains Python objects"),
    ],
    ids=["short", "header", "empty", "version", "mark", "objects"],
)
def test_a_remote_array_that_is_not_complete_is_an_error(memory, content, message):
    memory.pipe("/a.npy", content)
    with pytest.raises(DataError) as caught:
        parts_of("memory://a.npy", None)
    assert str(caught.value).startswith(f"memory://a.npy is not a complete .npy file of numbers ({message}")
    assert str(caught.value).endswith("). Save it with numpy.save.")


def test_a_remote_array_in_fortran_order_is_an_error(memory):
    memory.pipe("/a.npy", npy_of(np.asfortranarray(X.reshape(N, 784))))
    with pytest.raises(DataError, match=r"^memory://a\.npy is in Fortran order, in which rows are not contiguous"):
        parts_of("memory://a.npy", None)


def test_the_last_byte_is_read_to_see_whether_the_server_supports_ranges(memory):
    reads = []

    class Recorded(io.BytesIO):
        def read(self, size=-1):
            reads.append((self.tell(), size))
            return super().read(size)

    content = npy_of(X)
    system = type("System", (), {"open": lambda self, path, mode, cache_type: Recorded(content)})()
    shape, dtype, rows = npy.reader(File("a.npy", "/a.npy", system))
    assert (shape, dtype) == (X.shape, np.uint8)
    assert reads == [(0, 2**14), (len(content) - 1, 1)]
    reads.clear()
    np.testing.assert_array_equal(rows(3, 5)[0], X[3:5])
    assert reads == [(128 + 3 * 784, 2 * 784)]


def test_only_remote_parquet_files_are_read_ahead(memory, monkeypatch):
    save_parquet("a.parquet")
    memory.pipe("/a.parquet", Path("a.parquet").read_bytes())
    ahead, opened = [], pq.ParquetFile

    def recorded(*arguments, **options):
        ahead.append(options["pre_buffer"])
        return opened(*arguments, **options)

    monkeypatch.setattr(pq, "ParquetFile", recorded)
    for name in ("a.parquet", "memory://a.parquet"):
        parts_of(name, None)
    assert ahead == [False, True]


def test_remote_files_of_other_kinds(memory):
    save_parquet("a.parquet")
    memory.pipe("/in/a.parquet", Path("a.parquet").read_bytes())
    memory.pipe("/in/b.csv.gz", gzip.compress(csv_of()))
    zarr.create_array("c.zarr", data=X, chunks=(10, 28, 28))
    memory.put("c.zarr", "/in/c.zarr", recursive=True)
    address = "memory://in/"
    check(f"{address}a.parquet", [(f"{address}a.parquet", *each) for each in [(0, 8), (8, 8), (16, 7)]])
    check(f"{address}b.csv.gz", [(f"{address}b.csv.gz", 0, None)])
    check(f"{address}c.zarr", thirds(f"{address}c.zarr"))


def test_a_pattern_matches_files_of_a_server_sorted_by_name(memory):
    for name in ("b", "a", "c"):
        memory.pipe(f"/in/{name}.npy", npy_of(X[:1]))
    memory.pipe("/in/[z].npy", npy_of(X[:1]))
    found = matching("memory://in/?.npy")
    assert [(file.name, file.path) for file in found] == [(f"memory:///in/{n}.npy", f"/in/{n}.npy") for n in "abc"]
    assert all(file.system is memory for file in found)
    assert matching("memory://in/[z].npy") == [File("memory://in/[z].npy", "/in/[z].npy", memory)]
    for address in ("memory://in/no.npy", "memory://in/no-*"):
        with pytest.raises(InputError, match="matches no file; expected at least one"):
            matching(address)


@pytest.mark.parametrize(
    ("path", "remote", "suffix"),
    [
        ("/a/b.NPY", False, ".npy"),
        ("/a/b.csv?x=1", False, ".csv?x=1"),
        ("/a/b.NPY?sign=a.b", True, ".npy"),
        ("/a.b/c", True, ""),
    ],
)
def test_the_suffix_of_an_address_is_that_before_its_query(path, remote, suffix):
    assert File("x", path, object() if remote else None).suffix == suffix


def test_a_remote_folder_is_a_name_that_ends_in_zarr(folder):
    assert File("x", str(folder)).is_folder
    assert not File("x", str(folder / "a.zarr")).is_folder
    assert File("x", "/a.zarr", object()).is_folder
    assert not File("x", str(folder), object()).is_folder


def test_a_remote_file_is_opened_without_a_cache_by_default():
    calls = []
    system = type("System", (), {"open": lambda self, *arguments, **options: calls.append((arguments, options))})()
    File("x", "/x", system).open()
    File("x", "/x", system).open("readahead")
    assert calls == [(("/x", "rb"), {"cache_type": "none"}), (("/x", "rb"), {"cache_type": "readahead"})]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MissingExtraError("needs x"), MissingExtraError, "^needs x$"),
        (
            ImportError("Install s3fs"),
            MissingExtraError,
            r"^s3://a requires another package \(Install s3fs\)\. Install",
        ),
        (InputError("mine"), InputError, "^mine$"),
        (ValueError("odd"), DataError, r"^s3://a cannot be read \(ValueError: odd\)\. Correct the address"),
    ],
)
def test_an_error_of_a_server_becomes_one_of_lenet(monkeypatch, error, kind, message):
    class Core:
        def url_to_fs(self, address):
            raise error

    monkeypatch.setattr(files, "require", lambda module, extra: Core())
    with pytest.raises(kind, match=message):
        matching("s3://a")


def test_an_unreadable_file_is_a_data_error_only_if_it_is_remote(monkeypatch, memory):
    np.save("a.npy", X)
    memory.pipe("/a.npy", npy_of(X))

    def fails(file):
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(npy, "reader", fails)
    with pytest.raises(ZeroDivisionError):
        parts_of("a.npy", None)
    with pytest.raises(DataError, match=r"^memory://a\.npy cannot be read \(ZeroDivisionError: odd\)"):
        parts_of("memory://a.npy", None)
    known = InputError("mine")
    assert unreadable("x", known) is known
