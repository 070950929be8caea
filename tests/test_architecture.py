"""Imports point one way: a module imports only what stands above it in this list."""

import ast
import sys
from pathlib import Path

import pytest

import lenet

PACKAGE = Path(lenet.__file__).parent
# A room is a module or a folder; those in one line do not import one another.
ORDER = [
    ["errors", "_conv"],
    ["_checks", "_extras", "_files"],
    ["_flat", "_mnist_form"],
    ["_fused", "init"],
    ["layers", "losses"],
    ["rejection", "weights"],
    ["model"],
    ["loading", "evaluation"],
    ["data"],
    ["training"],
    ["plots", "estimator", "reading"],
    ["interop", "serving", "scale"],
    ["cli"],
    ["_pyinstaller"],
    ["__init__", "__main__"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(tree):
    """The rooms that a module imports, at its top or inside its functions; `lenet.model` for `lenet.LeNet5`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = ["lenet.relative"]  # no room: not our way
        elif isinstance(node, ast.ImportFrom) and node.module == "lenet":
            names = [lenet._HOMES.get(alias.name, f"lenet.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "lenet" and rest and rest != "__version__":
                yield rest.partition(".")[0]


def upward(room, source):
    """The imports of a room that do not point downwards."""
    imported = set(rooms_imported(ast.parse(source))) - {room}
    return sorted(other for other in imported if RANK.get(other, len(ORDER)) >= RANK[room])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_downwards(file):
    room = room_of(file)
    assert room in RANK, f"give {room} its place in ORDER"
    assert upward(room, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_numpy_is_imported_at_the_top(file):
    """Everything else costs time or comes with an extra, and is imported where it is used."""
    tops = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops.add(node.module.partition(".")[0])
    allowed = {"sklearn", "joblib"} if file.parent.name == "estimator" else set()  # scikit-learn's users import it
    if "serving" in file.relative_to(PACKAGE).parts:  # imported when it is served, by `lenet.serving.__getattr__`
        allowed = {"starlette", "uvicorn", "h11", "prometheus_client", "orjson"}
    if file.parent.name == "_pyinstaller":  # read by it
        allowed = {"PyInstaller"}
    assert tops - sys.stdlib_module_names <= {"numpy", "lenet", *allowed}


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("layers", "from lenet.model import LeNet5", ["model"]),
        ("layers", "def f():\n    import lenet.cli.train", ["cli"]),
        ("losses", "from lenet import layers", ["layers"]),
        ("model", "from lenet import load", ["loading"]),
        ("data", "from .idx import read_idx", ["relative"]),
        ("data", "from lenet.unheard_of import x", ["unheard_of"]),
        ("data", "from lenet.data.idx import read_idx\nfrom lenet import __version__\nimport numpy", []),
        ("model", "from lenet.layers import Conv2d\nimport lenet", []),
    ],
)
def test_the_check_sees_what_it_should(room, source, found):
    assert upward(room, source) == found
