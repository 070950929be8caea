"""Imports point downwards, files have no import cycles, and files import only numpy at the top."""

import ast
import importlib
import re
import runpy
import sys

import pytest

from docs import draw_imports
from tests import imports
from tests.imports import FILES, ORDER, imports_of, imports_of_packages

RANK = {package: rank for rank, row in enumerate(ORDER) for package in row}


def cycles(graph):
    """The groups of nodes that reach one another."""
    reached = {node: set(others) for node, others in graph.items()}
    for middle in graph:
        for node in graph:
            if middle in reached[node]:
                reached[node] |= reached[middle]
    return sorted({tuple(sorted(a for a in reached[b] if b in reached[a])) for b in graph if b in reached[b]})


def test_no_file_imports_itself_through_others():
    assert cycles({module: imports_of(module) for module in FILES}) == []


def test_packages_import_only_from_lower_rows():
    upward = {
        (package, other)
        for package, others in imports_of_packages().items()
        for other in others
        if RANK[other] >= RANK[package]
    }
    assert upward == set()


def test_no_public_name_of_a_package_is_that_of_a_module():
    """Importing the module would replace the function in the package."""
    taken = []
    for package in (name for name, path in FILES.items() if path.name == "__init__.py" and name != "lenet"):
        public = set(getattr(importlib.import_module(package), "__all__", ()))
        taken += [f"{package}.{name}" for name in public if f"{package}.{name}" in FILES]
    assert taken == []


def test_every_entry_of_the_order_exists():
    names = [name for row in ORDER for entry in row for name in entry.split(", ")]
    assert [name for name in names if f"lenet.{name}" not in FILES] == []
    assert len(set(names)) == len(names)


def test_the_picture_shows_the_imports():
    assert draw_imports.OUT.read_text("utf-8") == draw_imports.svg(), "run python -m docs.draw_imports"


ALLOWED = {
    "lenet.estimator": {"sklearn", "joblib"},  # scikit-learn's users import it
    "lenet.serving": {"starlette", "uvicorn", "httptools", "prometheus_client", "orjson"},  # imported on first use
    "lenet._pyinstaller": {"PyInstaller"},  # which imports it
}


def test_only_numpy_is_imported_at_the_top():
    """Other packages cost time or belong to an extra, so the function that needs one imports it."""
    for module, path in FILES.items():
        tops = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                tops.add(node.module.partition(".")[0])
        allowed = ALLOWED.get(".".join(module.split(".")[:2]), set())
        assert tops - sys.stdlib_module_names <= {"numpy", "lenet", *allowed}, module


def test_the_hook_of_reading_names_the_packages_that_it_requires():
    sources = [path.read_text(encoding="utf-8") for module, path in FILES.items() if module.startswith("lenet.reading")]
    required = set(re.findall(r'require\("([\w.]+)"', "".join(sources)))
    hook = runpy.run_path(str(imports.PACKAGE / "_pyinstaller" / "hook-lenet.reading.py"))
    assert set(hook["hiddenimports"]) == required | {"cv2"}


# ---- the check itself ----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Build a package from the given sources, to analyse instead of lenet."""

    def build(sources):
        for name, source in sources.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(source)
        monkeypatch.setattr(imports, "PACKAGE", tmp_path)
        monkeypatch.setattr(imports, "FILES", {imports.name_of(path): path for path in sorted(tmp_path.rglob("*.py"))})
        imports._tree.cache_clear()

    yield build
    imports._tree.cache_clear()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from lenet.layers import Conv2d", {"lenet.layers"}),
        ("from lenet.layers import base", {"lenet.layers.base"}),
        ("import lenet.layers.base, numpy", {"lenet.layers.base"}),
        ("def f():\n    if True:\n        from lenet.layers.base import Layer", {"lenet.layers.base"}),
        ("from lenet import load, __version__", {"lenet.weights"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lenet.layers import Conv2d", set()),
        ("import lenet\nimport lenets.layers", set()),
    ],
)
def test_imports_are_found(package, source, found):
    package({
        "__init__.py": "if TYPE_CHECKING:\n    from lenet.weights import load\nelse:\n    ...\n",
        "weights.py": source,
        "layers/__init__.py": "from lenet.layers.base import Layer",
        "layers/base.py": "",
    })  # fmt: skip
    assert imports.imports_of("lenet.weights") == found


@pytest.mark.parametrize("source", ["from . import errors", "from .errors import x", "from lenet.unknown import x"])
def test_imports_of_unknown_and_relative_modules_are_refused(package, source):
    package({"__init__.py": "", "errors.py": "", "weights.py": source})
    with pytest.raises(LookupError, match="is not a module of lenet"):
        imports.imports_of("lenet.weights")


def test_a_module_without_a_place_is_refused():
    assert imports.package_of("lenet.layers.base") == "layers"
    with pytest.raises(LookupError, match=r"lenet\.layers2 has no place in ORDER"):
        imports.package_of("lenet.layers2")


def test_cycles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert cycles(graph) == [("b", "c"), ("e",)]
