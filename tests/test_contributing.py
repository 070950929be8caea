"""The contributor's guide names the parts of the package and the commands."""

import re
from pathlib import Path

import lenet

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
# Small modules that a newcomer need not know.
HELPERS = ["_distort.pyx", "_features.py", "_flat.py", "_mnist_form.py", "_peers.py", "_pyinstaller"]


def test_the_map_names_every_module_and_folder():
    package = ROOT / "src" / "lenet"
    shown = GUIDE.partition("## Where things are")[2]
    names = re.findall(r"`([\w*./]+)`", shown)
    paths = [
        path for path in package.iterdir() if path.suffix in {".py", ".pyx", ""} and not path.name.startswith("__")
    ]
    missing = [path.name for path in paths if not any(path.match(name.rstrip("/")) for name in names)]
    assert sorted(missing) == HELPERS


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
