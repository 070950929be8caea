"""That the contributor's guide names every file of the package, and every habit that nox has."""

import re
from pathlib import Path

import lenet

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MADE = {".c", ".so", ".pyd", ".pyc"}  # by a build


def test_the_table_names_all_files_and_no_others():
    package = ROOT / "src" / "lenet"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix not in MADE]
    named = re.findall(r"^\| `([^`]+)` \| .+ \|$", GUIDE.partition("| file | purpose |")[2], re.MULTILINE)
    assert sorted(named) == sorted(path.relative_to(package).as_posix() for path in files)


def test_every_habit_of_nox_is_in_the_guide():
    sessions = re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE)
    assert len(sessions) > 9
    habits = GUIDE.partition("## The habits")[2].partition("## What is asked")[0]
    for session in sessions:
        assert re.search(rf"`(nox -s )?{session}\b", habits), session


def test_the_citation_and_the_package_have_the_version():
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert f"\nversion: {project[1]}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert lenet.__version__ == project[1]
