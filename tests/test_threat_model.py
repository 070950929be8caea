"""The tests and limits that the threat model names exist."""

import importlib
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security" / "threat-model.md").read_text("utf-8")
SIZES = {"KiB": 2**10, "MiB": 2**20}


def table(heading):
    """The rows of the first table under a heading, each as its cells."""
    lines = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


ROWS = table("Untrusted input")


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:30] for row in ROWS])
def test_each_line_names_tests_that_are_there(row):
    """In the form `file`: `test`, `test`; `file`: `test`."""
    named = [
        (file, test) for part in row[-1].split(";") for file, *tests in [re.findall(r"`(\w+)`", part)] for test in tests
    ]
    assert named
    for file, test in named:
        (path,) = TESTS.rglob(f"{file}.py")
        assert re.search(rf"^def {test}\(", path.read_text("utf-8"), re.MULTILINE), f"{path} has no {test}"


@pytest.mark.parametrize(("of", "limit", "constant"), table("Limits"))
def test_each_limit_is_the_codes(of, limit, constant):
    module, _, name = constant.strip("`").rpartition(".")
    number, _, unit = limit.replace(",", "").partition(" ")
    assert getattr(importlib.import_module(module), name) == int(number) * SIZES.get(unit, 1)


def test_each_line_says_what_is_promised():
    """But for pickles, of which nothing is."""
    assert [row[0] for row in ROWS if not row[1]] == ["Pickles and joblib files of models and classifiers"]
    assert {len(row) for row in ROWS} == {4}
