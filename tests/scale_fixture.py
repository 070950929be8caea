"""An empty folder with small parts of files, and an empty file system in memory, for the tests of parts."""

import pytest

from lenet.scale import sources


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
