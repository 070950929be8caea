"""The contributor's guide names the parts of the package and the commands."""

import re
import runpy
from pathlib import Path

import pytest

import lenet

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_map_names_every_module_and_folder():
    package = ROOT / "src" / "lenet"
    shown = GUIDE.partition("## Code layout")[2]
    names = re.findall(r"`([\w*./]+)`", shown)
    paths = [
        path for path in package.iterdir() if path.suffix in {".py", ".pyx", ""} and not path.name.startswith("__")
    ]
    missing = [path.name for path in paths if not any(path.match(name.rstrip("/")) for name in names)]
    assert missing == []


def test_every_session_of_nox_is_part_of_landing_or_release():
    pytest.importorskip("venv", reason="Python's embeddable build for Windows lacks it")
    sessions = set(re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    release = runpy.run_path(str(ROOT / ".ci" / "release"))["STEPS"]
    steps = {step.split()[0] for step in release.values()}
    landing = set(
        re.findall(r"\w+", " ".join(re.findall(r"/nox\".* -s (.+)", (ROOT / ".ci" / "run").read_text("utf-8"))))
    )
    assert landing | steps <= sessions
    matrix = (ROOT / ".github/workflows/release-checks.yml").read_text("utf-8")
    names = re.search(r"steps: \[(.+)\]", matrix)[1].split(", ")
    assert [name for name in names if not any(step.startswith(name) for step in release)] == []
    assert sessions - landing - steps == {"tests"}, "the README's command, which .ci/run calls"


def test_the_citation_and_the_package_have_the_version():
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert f"\nversion: {project[1]}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert lenet.__version__ == project[1]


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_a_repository_host_can_parse_its_settings(path):
    yaml = pytest.importorskip("yaml")
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)
