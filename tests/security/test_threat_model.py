"""The tests and limits that the threat model names exist."""

import importlib
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security" / "threat-model.md").read_text("utf-8")
SIZES = {"KiB": 2**10, "MiB": 2**20}


def section(heading):
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def limits():
    """The rows of the table of limits, each as its cells."""
    rows = [line.strip("|").split("|") for line in section("Limits").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


INPUTS = {}  # the texts under "Promised", "Not promised" and "Tests" for each untrusted input
for part in section("Untrusted input").split("\n### ")[1:]:
    name, _, text = part.partition("\n")
    INPUTS[name] = dict(re.findall(r"^- \*\*(.+?)\*\*: (.+?)(?=\n- |\Z)", text.strip(), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", INPUTS)
def test_each_input_names_tests_that_exist(name):
    """In the form `file`: `test`, `test`; `file`: `test`."""
    named = [
        (file, test)
        for part in INPUTS[name]["Tests"].split(";")
        for file, *tests in [re.findall(r"`([\w/]+)`", part)]
        for test in tests
    ]
    assert named
    for file, test in named:
        (path,) = TESTS.rglob(f"{file}.py")
        assert re.search(rf"^def {test}\(", path.read_text("utf-8"), re.MULTILINE), f"{path} has no {test}"


@pytest.mark.parametrize(("of", "limit", "constant"), limits())
def test_each_limit_is_the_constant(of, limit, constant):
    module, _, name = constant.strip("`").rpartition(".")
    number, _, unit = limit.replace(",", "").partition(" ")
    assert getattr(importlib.import_module(module), name) == int(number) * SIZES.get(unit, 1)


def test_each_input_has_a_promise_except_pickles():
    assert len(INPUTS) == PAGE.count("\n### ") > 20
    assert all(
        text.keys() in ({"Promised", "Tests"}, {"Promised", "Not promised", "Tests"}) for text in INPUTS.values()
    )
    nothing = [name for name, text in INPUTS.items() if text["Promised"] == "nothing."]
    assert nothing == ["Pickles and joblib files of models and classifiers"]
