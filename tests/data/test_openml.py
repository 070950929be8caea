"""MNIST and Fashion-MNIST from OpenML, from LENET_DATA, and if neither is available."""

import gzip
import os
import socket
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from openml_fixture import answers, arff, fill_cache, load_small, point_at, served, small_set

from lenet import data
from lenet.data import openml
from lenet.errors import ConfigurationError, DataError, DownloadError, MissingExtraError

pytest.importorskip("sklearn")
pytest.importorskip("pandas")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty scikit-learn data folder, with OpenML unreachable."""
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
    monkeypatch.setattr("sklearn.datasets._openml.time", SimpleNamespace(sleep=lambda _: None))  # before a second try
    with socket.socket() as closed:  # bound, but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        point_at(monkeypatch, f"http://127.0.0.1:{closed.getsockname()[1]}")
        yield tmp_path / "home"


def write_idx_set(folder, first_pixel):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        pixels = bytes([first_pixel]) + bytes(783)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c" + pixels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x01\x07")


@pytest.mark.parametrize("quote", ["", "'"])
@pytest.mark.parametrize(("name", "at_openml"), [("mnist", "mnist_784"), ("fashion-mnist", "fashion-mnist")])
def test_the_data_set_is_read_from_scikit_learns_cache_in_order(home, name, at_openml, quote):
    images, labels = small_set(30)
    fill_cache(home, answers(at_openml, arff(at_openml, images, labels, quote)))
    X_train, y_train, X_test, y_test = load_small(name)
    assert [a.dtype.name for a in (X_train, y_train, X_test, y_test)] == ["uint8", "int64", "uint8", "int64"]
    np.testing.assert_array_equal(X_train, images[:20])
    np.testing.assert_array_equal(X_test, images[20:])
    np.testing.assert_array_equal(y_train, labels[:20])
    np.testing.assert_array_equal(y_test, labels[20:])
    assert X_train.flags.c_contiguous


def test_the_public_function_splits_after_60_000(home):
    """A set too small for MNIST's split has nothing left to test on, which shows where the split is."""
    fill_cache(home, answers("mnist_784", arff("mnist_784", *small_set(30))))
    with pytest.raises(DataError, match=r"^the table mnist_784 from OpenML has no test images"):
        data.load_mnist()
    assert openml._N_TRAIN == 60_000


def test_it_is_downloaded_once_and_then_read_from_the_cache(home, monkeypatch):
    images, labels = small_set(30)
    table = arff("mnist_784", images, labels)
    files: dict[str, bytes] = {}
    with served(files) as (address, asked):
        files.update(answers("mnist_784", table, address=address))
        point_at(monkeypatch, address)
        first = load_small()
        assert sorted(asked) == sorted(files)
    second = load_small()  # the server is gone
    for ours, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, again)
    np.testing.assert_array_equal(second.X_test, images[20:])


def test_the_cache_alone_is_enough_and_a_damaged_one_is_rebuilt(home):
    images, labels = small_set(30)
    fill_cache(home, answers("mnist_784", arff("mnist_784", images, labels)))
    load_small()
    copy = home / "lenet" / "mnist.npz"
    assert [path.name for path in copy.parent.iterdir()] == ["mnist.npz"]  # no temporary file is left
    whole = copy.read_bytes()

    copy.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(load_small().X_train, images[:20])
    assert copy.read_bytes()[:2] == b"PK"
    assert len(data.load_npz(copy).X_test) == 10

    (home / "openml").rename(home / "elsewhere")
    np.testing.assert_array_equal(load_small().X_train, images[:20])


def test_without_space_for_the_cache_the_data_set_is_still_loaded(home):
    images, labels = small_set(30)
    fill_cache(home, answers("mnist_784", arff("mnist_784", images, labels)))
    (home / "lenet").write_text("a file where the folder would be")
    np.testing.assert_array_equal(load_small().X_train, images[:20])


def test_a_failing_write_leaves_no_temporary_file(home, monkeypatch):
    fill_cache(home, answers("mnist_784", arff("mnist_784", *small_set(30))))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert len(load_small().X_train) == 20
    assert list((home / "lenet").iterdir()) == []


def check_download_error(message):
    for wanted in ("could not be downloaded", "folder", "LENET_DATA", "digits"):
        assert wanted in message
    assert "\n" not in message
    assert "<" not in message
    assert message.count(". ") == 1
    assert message.endswith("or use digits, which works offline.")


def test_without_a_network_one_error_names_the_alternatives(home):
    with pytest.raises(DownloadError) as caught:
        data.load_mnist()
    check_download_error(str(caught.value))
    assert "Connection refused" in str(caught.value)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_refuses_is_a_download_error(home, monkeypatch, status):
    with served({}, status) as (address, asked):
        point_at(monkeypatch, address)
        with pytest.raises(DownloadError, match=f"HTTP Error {status}") as caught:
            data.load_fashion_mnist()
    check_download_error(str(caught.value))
    assert 1 <= len(asked) <= 2  # who waits for an error does not wait long


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("the first line\nand the second"), "the first line"),
        (ValueError("One sentence. And another."), "One sentence"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_the_reason_is_the_first_sentence_of_the_first_line(home, monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setattr(openml, "_fetch", fail)
    with pytest.raises(DownloadError, match=rf"OpenML \({reason}\)\. Try again") as caught:
        data.load_mnist()
    check_download_error(str(caught.value))


@pytest.mark.parametrize("page", [b"<html>Log in</html>", b"{}", b"[]", b"\xff", b""])
def test_an_html_page_instead_of_data_is_a_download_error(home, monkeypatch, page):
    """For example, the login page of a hotel's network."""
    first = next(iter(answers("mnist_784", b"")))
    with served({first: page}) as (address, asked):
        point_at(monkeypatch, address)
        with pytest.raises(DownloadError) as caught:
            data.load_mnist()
    assert first in asked
    check_download_error(str(caught.value))


TABLE = arff("mnist_784", *small_set(30))
PACKED = gzip.compress(TABLE)


@pytest.mark.parametrize(
    "sent",
    [TABLE[:-100], PACKED[:-100], PACKED[:10] + b"\xff" + PACKED[11:], b"\x1f\x8b"],
    ids=["cut", "gzip cut", "gzip damaged", "gzip empty"],
)
def test_a_table_damaged_on_the_way_is_a_download_error(home, monkeypatch, sent):
    files: dict[str, bytes] = {}
    with served(files) as (address, _):
        files.update(answers("mnist_784", TABLE, address=address))
        files["data/v1/download/1/mnist_784.arff"] = sent
        point_at(monkeypatch, address)
        with pytest.raises(DownloadError) as caught:
            load_small()
    check_download_error(str(caught.value))
    assert not (home / "lenet").exists()


def test_a_damaged_cache_without_network_is_a_download_error(home):
    files = answers("mnist_784", arff("mnist_784", *small_set(30)))
    fill_cache(home, files)
    cached = home / "openml" / "openml.org" / "data" / "v1" / "download" / "1" / "mnist_784.arff.gz"
    cached.write_bytes(cached.read_bytes()[:-200])
    with pytest.raises(DownloadError):
        load_small()


@pytest.mark.parametrize("pixel", [256, -1])
def test_an_out_of_range_pixel_is_never_wrapped(home, pixel):
    images, labels = small_set(30)
    images = images.astype(np.int64)
    images[3, 5, 5] = pixel
    fill_cache(home, answers("mnist_784", arff("mnist_784", images, labels)))
    with pytest.raises(DataError, match=f"pixels from .*{pixel}" if pixel < 0 else f"to {pixel}"):
        load_small()


def test_a_table_of_other_images_is_refused(home):
    images, labels = small_set(30)
    table = arff("mnist_784", images[:, :27], labels)
    fill_cache(home, answers("mnist_784", table, n_pixels=27 * 28))
    with pytest.raises(DataError, match=r"^the table mnist_784 from OpenML has 756 pixels per row; expected 784"):
        load_small()


@pytest.mark.parametrize(("module", "package"), [("pandas", "pandas"), ("sklearn.datasets", "scikit-learn")])
def test_a_missing_package_is_named_with_the_pip_command(home, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*pip install 'lenet\[train\]'"):
        data.load_mnist()


def test_only_warnings_that_an_error_repeats_are_hidden():
    def fetch_openml(*_, **__):
        warnings.warn("A network error occurred while downloading it. Retrying...", stacklevel=1)
        warnings.warn("Invalid cache, redownloading file", stacklevel=1)
        warnings.warn("Version 1 of dataset mnist_784 is inactive", stacklevel=1)
        return "the table"

    with pytest.warns(UserWarning, match="is inactive") as seen:
        assert openml._fetch(SimpleNamespace(fetch_openml=fetch_openml), "mnist") == "the table"
    assert len(seen) == 1


@pytest.mark.parametrize(("name", "at_openml"), [("mnist", "mnist_784"), ("fashion-mnist", "Fashion-MNIST")])
def test_the_first_version_of_a_table_is_fetched_as_arrays_of_16_bits(name, at_openml):
    calls = []
    datasets = SimpleNamespace(fetch_openml=lambda *names, **options: calls.append((names, options)) or "the table")
    assert openml._fetch(datasets, name) == "the table"
    reading = {"dtype": "int16", "quotechar": "'"}
    options = {"version": 1, "as_frame": False, "n_retries": 1, "read_csv_kwargs": reading}
    assert calls == [((at_openml,), options)]


@pytest.mark.parametrize("exists", [True, False])
def test_a_copy_of_the_data_set_is_kept(tmp_path, exists):
    if exists:
        (tmp_path / "lenet").mkdir()
    images, labels = small_set(30)
    openml._keep(data.Dataset(images[:20], labels[:20], images[20:], labels[20:]), tmp_path / "lenet" / "mine.npz")
    found = data.load_npz(tmp_path / "lenet" / "mine.npz")
    np.testing.assert_array_equal(found.X_test, images[20:])
    np.testing.assert_array_equal(found.y_train, labels[:20])
    openml._keep(found, tmp_path / "no" / "such" / "folder" / "mine.npz")
    assert not (tmp_path / "no").exists()


def test_a_folder_comes_before_the_environment(tmp_path, monkeypatch):
    write_idx_set(tmp_path / "given", 4)
    write_idx_set(tmp_path / "set", 2)
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "set"))
    assert data.load_mnist(tmp_path / "given").X_train[0, 0, 0] == 4
    assert data.load_mnist().X_train[0, 0, 0] == 2
    write_idx_set(tmp_path / "set" / "mnist", 3)
    assert data.load_mnist().X_train[0, 0, 0] == 3


def test_fashion_mnist_is_never_read_from_mnists_folder(home, tmp_path, monkeypatch):
    write_idx_set(tmp_path / "set", 2)
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "set"))
    with pytest.raises(DownloadError):
        data.load_fashion_mnist()
    write_idx_set(tmp_path / "set" / "fashion-mnist", 4)
    assert data.load_fashion_mnist().X_train[0, 0, 0] == 4


def test_lenet_data_is_ignored_only_if_it_has_the_other_set(home, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    monkeypatch.setenv("LENET_DATA", str(folder))
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        data.load_mnist()
    (folder / "fashion-mnist").mkdir()
    with pytest.raises(DownloadError):
        data.load_mnist()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x07"))
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        data.load_mnist()


def test_lenet_data_must_be_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match=r"missing.*expected a folder of IDX files"):
        data.load_mnist()


@pytest.mark.skipif(not os.environ.get("LENET_DATA"), reason="LENET_DATA does not name a folder with MNIST")
def test_mnist_has_its_known_counts_mean_and_deviation():
    X_train, y_train, X_test, y_test = data.load_mnist()
    assert X_train.shape == (60_000, 28, 28)
    assert X_test.shape == (10_000, 28, 28)
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert X_train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert X_train.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_has_its_known_counts_and_mean():
    X_train, y_train, X_test, y_test = data.load_fashion_mnist(FASHION)
    assert np.bincount(y_train).tolist() == [6000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    assert X_train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert X_train.std() / 255 == pytest.approx(0.3530, abs=5e-5)
    assert len(X_test) == 10_000
