"""What the docstrings and the README show, run."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import lenet

README = Path(__file__).parents[1] / "README.md"
MODULES = [
    each.name
    for each in pkgutil.walk_packages(lenet.__path__, "lenet.")
    if not each.name.rpartition(".")[2].startswith(("_conv", "_distort", "__main__"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(name):
    pytest.importorskip("sklearn")
    for room, package in (
        ("lenet.reading", "PIL"),
        ("lenet.reading", "cv2"),
        ("lenet.data.rubbish", "cv2"),
        ("lenet.interop.onnx", "onnx"),
        ("lenet.serving.", "uvicorn"),
        ("lenet.serving.", "orjson"),
    ):
        if name.startswith(room):
            pytest.importorskip(package)
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


def test_examples_are_there():
    counted = sum(
        len(test.examples) for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name))
    )
    assert counted > 100


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL))
def test_python_of_the_readme(block, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102
