"""Run the examples in docstrings and the tutorial, and check the code and the names that pages contain."""

import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest

import lenet

DOCS = Path(__file__).parents[2] / "docs"
MODULES = [
    each.name
    for each in pkgutil.walk_packages(lenet.__path__, "lenet.")
    if not each.name.rpartition(".")[2].startswith(("_compiled", "__main__", "hook-"))
]


LANDING = {  # modules whose examples train for seconds, or need packages beyond .[train,serve]
    "lenet.estimator.classifier",
    "lenet.interop.onnx_graph",
    "lenet.interop.onnx_reader",
    "lenet.interop.onnx_writer",
    "lenet.training.mpi",
    "lenet.scale.scoring",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.landing if name in LANDING else ()) for name in MODULES]
)
def test_examples_of_the_docstrings(name):
    pytest.importorskip("sklearn")
    for room, package in (
        ("lenet.reading", "PIL"),
        ("lenet.reading", "cv2"),
        ("lenet.training.augment.drawn_digits", "cv2"),
        ("lenet.training.augment.non_digits", "cv2"),
        ("lenet.interop.onnx", "onnx"),
        ("lenet.scale.scoring", "distributed"),
        ("lenet.training.mpi", "mpi4py"),
        ("lenet.serving.", "uvicorn"),
        ("lenet.serving.", "orjson"),
    ):
        if name.startswith(room):
            pytest.importorskip(package)
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


@pytest.mark.release
def test_the_tutorial_learns(monkeypatch):
    pytest.importorskip("sklearn")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setenv("MPLBACKEND", "agg")
    pyplot.switch_backend("agg")
    names = runpy.run_path(str(DOCS / "tutorial" / "plot_lenet.py"))
    pyplot.close("all")
    assert names["accuracy"] > 0.95
    assert names["plain"].history[-1].loss > 2.2  # still on the plateau
    assert names["state"].history[-1].loss < 0.5
    np.testing.assert_allclose(names["computed"], names["moved"], rtol=1e-5, atol=1e-8)


# ---- the code that pages quote -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mathematics.md", "notebook.md"])
def test_quoted_code_is_that_of_the_source(name):
    """Each block is part of the last file that is linked before it."""
    page = (DOCS / name).read_text("utf-8")
    blocks = list(re.finditer(r"^```(?:py|cython)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert len(blocks) > 10
    for block in blocks:
        path = re.findall(r"\]\((\.\./src/[^)]+)\)", page[: block.start()])[-1]
        source = (DOCS / path).read_text("utf-8")
        assert any(textwrap.indent(block[1], " " * indent) in source for indent in (0, 4, 8)), (path, block[1])


# ---- the reference -------------------------------------------------------------------------------------


def public_names():
    """The names that the public modules define or, if they have __all__, list."""
    for name in lenet.__all__:
        value = getattr(lenet, name)
        if not inspect.ismodule(value):
            yield name
            continue
        listed = getattr(value, "__all__", None) or [
            each
            for each, thing in vars(value).items()
            if not each.startswith("_")
            and (inspect.isclass(thing) or inspect.isfunction(thing))
            and thing.__module__ == value.__name__
        ]
        yield from (f"{name}.{each}" for each in listed)


def test_backticks_keep_a_leading_dot_or_tilde():
    """Sphinx interprets a single `.npz` as the name of an object, and shows npz; two backticks show it unchanged."""
    for file in Path(lenet.__file__).parent.rglob("*.py"):
        docstrings = re.findall(r'"""(.*?)"""', file.read_text("utf-8"), re.DOTALL)
        quoted = [text for each in docstrings for text in re.findall(r"``.*?``|`[^`]*`", each, re.DOTALL)]
        assert [text for text in quoted if re.match("`[.~!]", text)] == [], file


WITHOUT_EXAMPLE = {  # which the doctests of their modules could not run everywhere
    "serving.serve": "returns when it is told to end: tests/serving/test_shutdown.py",
    "interop.to_torch_state_dict": "wants torch: examples/from_pytorch.py",
    "interop.register_skl2onnx": "wants skl2onnx: examples/pipeline_to_onnx.py",
}


def test_the_reference_lists_every_public_name_with_an_example():
    for package in (
        "sklearn",
        "starlette",
        "httptools",
        "prometheus_client",
        "python_multipart",
        "orjson",
        "PIL",
        "cv2",
    ):
        pytest.importorskip(package)
    listed = set(re.findall(r"^   ([\w.]+)$", (DOCS / "reference.rst").read_text("utf-8"), re.MULTILINE))
    listed_as_lenets_own = {"estimator.LeNetClassifier", "training.SGD", "training.train"}
    constants = {"__version__", "interop.SKOPS_TRUSTED", "training.RECIPES", "training.SCHEDULES", "weights.PRETRAINED"}
    missing = set(public_names()) - listed - listed_as_lenets_own - constants
    assert missing == set()
    assert len(listed) > 80
    without = set()
    for name in listed:
        value = pkgutil.resolve_name(f"lenet.{name}")
        is_error = inspect.isclass(value) and issubclass(value, Exception)
        if not is_error and not any(each.examples for each in doctest.DocTestFinder().find(value)):
            without.add(name)
    assert without == set(WITHOUT_EXAMPLE)


def test_the_table_of_versions_has_the_lowest_ones_that_the_project_allows():
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| \S+ \| (?:`(\w+)` )?\|", (DOCS / "environments.md").read_text("utf-8"), re.MULTILINE
    )
    shown = {(extra, name.lower(), lowest) for name, lowest, extra in rows}
    requirements = [(extra, each) for extra in ("", "train", "vision", "serve") for each in extras[extra]]
    allowed = {(extra, *re.split("[>=,]+", each)[:2]) for extra, each in requirements if ">=" in each}
    assert shown == allowed
