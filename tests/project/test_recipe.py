"""The recipe for conda-forge agrees with pyproject.toml."""

import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.landing  # needs PyYAML
ROOT = Path(__file__).parents[2]
RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]


def requirements(section):
    """The packages of a section, without spaces, as in pyproject.toml."""
    return {each.replace(" ", "") for each in RECIPE["requirements"][section]}


def test_the_package_has_the_projects_dependencies():
    assert requirements("run") == {*PROJECT["dependencies"], f"python{PROJECT['requires-python']}"}
    assert RECIPE["build"]["skip"] == f'match(python, "<{PROJECT["requires-python"].removeprefix(">=")}")'


def test_the_package_is_built_with_the_projects_build_requirements():
    assert requirements("host") == {*map(str.lower, PYPROJECT["build-system"]["requires"]), "python", "pip"}


def test_the_package_has_the_name_the_version_and_the_licence_of_the_project():
    assert RECIPE["package"] == {"name": PROJECT["name"], "version": "${{ version }}"}
    assert RECIPE["context"]["version"] == PROJECT["version"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert [RECIPE["about"]["license_file"]] == PROJECT["license-files"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]


def test_the_package_has_the_commands_of_the_project():
    assert RECIPE["build"]["python"]["entry_points"] == [f"{name} = {to}" for name, to in PROJECT["scripts"].items()]
