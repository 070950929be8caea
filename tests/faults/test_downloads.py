"""Truncated downloads and damaged cached copies are detected, and never give wrong images."""

import gzip
import os
import sys

import numpy as np
import pytest
from openml_fixture import answers, arff, fill_cache, load_small, point_at, served, small_set

from lenet.data import openml
from lenet.errors import DataError, DownloadError
from tests.faults.folders import changed

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

IMAGES, LABELS = small_set(30)
TABLE = arff("mnist_784", IMAGES, LABELS)
TABLE_AT = "data/v1/download/1/mnist_784.arff"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty scikit-learn data folder."""
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def files(monkeypatch):
    """What OpenML serves, by path."""
    files: dict[str, bytes] = {}
    with served(files) as (address, _):
        files.update(answers("mnist_784", TABLE, address=address))
        point_at(monkeypatch, address)
        yield files


def check(dataset):
    """Check that these are the requested images."""
    for found, wanted in zip(dataset, (IMAGES[:20], LABELS[:20], IMAGES[20:], LABELS[20:]), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.fixture
def copy(home, monkeypatch):
    """The cached copy; its replacement is fetched immediately, and not cached."""
    fill_cache(home, answers("mnist_784", TABLE))
    check(load_small())
    table = openml._fetch(openml.require("sklearn.datasets", "train"), "mnist")
    monkeypatch.setattr(openml, "_fetch", lambda *_: table)
    monkeypatch.setattr(openml, "_keep", lambda *_: None)
    return home / "lenet" / "mnist.npz"


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.landing)])
def test_the_cache_with_any_byte_changed(copy, step):
    for place in range(0, copy.stat().st_size, step):
        for other in (None, copy.read_bytes()[place] ^ 32):  # which makes a capital a small letter
            with changed(copy, place, other):
                check(load_small())


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.landing)])
def test_the_cache_truncated_anywhere(copy, monkeypatch, step):
    size, fetched, fetch = copy.stat().st_size, [], openml._fetch
    monkeypatch.setattr(openml, "_fetch", lambda *_: fetched.append(1) or fetch())
    lengths = range(0, size, step)
    for length in reversed(lengths):
        os.truncate(copy, length)
        check(load_small())
    assert len(fetched) == len(lengths)


@pytest.mark.skipif(sys.platform == "win32", reason="scikit-learn deletes a damaged copy while it is open")
@pytest.mark.parametrize("share", [997, pytest.param(199, marks=pytest.mark.release)])
def test_scikit_learns_cache_with_a_byte_changed(home, files, monkeypatch, share):
    monkeypatch.setattr(openml, "_keep", lambda *_: None)
    fill_cache(home, files)
    copies = sorted((home / "openml").rglob("*.gz"))
    assert len(copies) == 5
    for copy in copies:
        content = copy.read_bytes()
        for place in range(0, len(content), share):
            with changed(copy, place):
                check(load_small())
            copy.write_bytes(content)  # it may have been fetched again


@pytest.mark.parametrize("share", [997, pytest.param(199, marks=pytest.mark.release)])
def test_scikit_learns_cache_truncated_without_a_network(home, monkeypatch, share):
    monkeypatch.setattr("time.sleep", lambda _: None)  # scikit-learn waits a second before it asks again
    with served({}, status_of_others=404) as (address, _):
        point_at(monkeypatch, address)
        whole = answers("mnist_784", TABLE, address=address)
        for path, content in whole.items():
            packed = gzip.compress(content)
            for length in range(0, len(packed), share):
                fill_cache(home, whole)
                (home / "openml" / "openml.org" / f"{path}.gz").write_bytes(packed[:length])
                with pytest.raises(DownloadError):
                    load_small()


@pytest.mark.parametrize("share", [2003, pytest.param(499, marks=pytest.mark.release)])
@pytest.mark.parametrize("packed", [False, True])
def test_a_download_that_is_cut(home, files, packed, share):
    whole = dict(files)
    for path, content in whole.items():
        sent = gzip.compress(content) if packed else content
        step = share * (20 if path == TABLE_AT and not packed else 1)  # of 60 KB, most of it zeros
        for length in range(0, len(sent), step):
            files[path] = sent[:length]
            with pytest.raises((DownloadError, DataError)):
                load_small()
            assert not (home / "lenet").exists()
        files[path] = content
    check(load_small())
