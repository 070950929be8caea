"""If the disk is full after any number of bytes, each file is the old one or the new one."""

import pytest

import lenet
from tests.faults.tasks import CLASSES

COMMANDS = {
    "save": ["save", "10.safetensors", "digits.safetensors"],
    "c": ["command", "export", "10.safetensors", "digits.c"],
    "onnx": ["command", "export", "10.safetensors", "digits.onnx"],
    "page": ["command", "page", "digits.html", "--model", "10.safetensors"],
    "run": ["create", "runs"],
}
# How many of the first and last numbers of bytes, and the number about whose multiples there are three more.
QUICK, WIDE, PAGES, EVERY = (64, 65536), (256, 16384), (512, 4096), (0, 1)


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("run", EVERY),
        ("save", QUICK),
        ("c", QUICK),
        pytest.param("save", PAGES, marks=pytest.mark.release),
        pytest.param("c", WIDE, marks=pytest.mark.release),
        pytest.param("onnx", WIDE, marks=pytest.mark.release),
        pytest.param("page", WIDE, marks=pytest.mark.release),
    ],
)
@pytest.mark.timeout(7200)
def test_the_disk_is_full(forks, tmp_path, request, name, grid):
    """Every number of bytes of a model with --exhaustive."""
    for module in {"onnx": ["onnx"], "page": ["starlette"]}.get(name, []):
        pytest.importorskip(module)
    for classes in CLASSES:
        lenet.LeNet5(seed=classes, num_classes=classes).save(tmp_path / f"{classes}.safetensors")
    (tmp_path / "runs").mkdir()
    given = COMMANDS[name]
    if name != "run":
        old = [each.replace("10.", f"{CLASSES[0]}.") for each in given]
        assert forks.run(*old, cwd=tmp_path).code == 0
    if name == "save" and grid == PAGES and request.config.getoption("--exhaustive"):
        grid = EVERY
    child = forks.run("fill", *grid, *given, cwd=tmp_path)
    assert child.code == 0, child.err
    print(f"\n{name}: {child.out.strip()}")
