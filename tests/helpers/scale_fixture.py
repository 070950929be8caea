"""A small cluster, an empty folder with small parts of files, and an empty file system in memory."""

import pytest

from lenet.scale import sources


@pytest.fixture(scope="module")
def client():
    """A client of two workers that are threads of this process, and thus share the files of memory://."""
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as client:
        yield client


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder, and parts of at most 10 images."""
    monkeypatch.setattr(sources, "ROWS", 10)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def memory():
    """The file system memory://, empty before and after."""
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.rm("/", recursive=True) if system.ls("/") else None
    yield system
    system.rm("/", recursive=True) if system.ls("/") else None
