"""The examples, each run as a user would, and what they print."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lenet

FOLDER = Path(__file__).parents[1] / "examples"

# What each needs besides the core, and a line that it prints.
PYTHON = {
    "dask_search.py": (["sklearn", "distributed"], r"^(\d\d\.\d\d%  .*\n){2}best: "),
    "fine_tune.py": (["sklearn"], r"as shipped +9\d\.\d\d%\nafter fitting +9[5-9]\.\d\d%"),
    "from_pytorch.py": (["sklearn", "torch"], r"differ by at most \de-(0[6-9]|10)\n"),
    "grid_search.py": (["sklearn"], r"for 4 candidates in five folds\n(\d\d\.\d\d%  .*\n){4}best: "),
    "keep_a_classifier.py": (
        ["sklearn", "skops"],
        r"joblib the same to the bit: True\nskops the same to the bit: True",
    ),
    "pipeline_to_onnx.py": (["skl2onnx", "onnxruntime"], r"the same labels: True\n.* at most \de-(0[6-9]|10)\n"),
    "serve_onnx.py": (["sklearn", "onnx", "onnxruntime"], r"labels: True\n.*e-0[6-9]\nthe same weights: True"),
}


def test_each_example_is_run_and_listed():
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert files == {*PYTHON, "read_pgm.c", "read_pgm.py", "serving"}
    listed = re.findall(r"\]\((.*?)\)", (FOLDER / "README.md").read_text())
    assert {each.partition("/")[0] for each in listed if not each.startswith("..")} == files


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "grid_search.py" else []) for name in PYTHON]
)
def test_an_example(name, tmp_path):
    needed, prints = PYTHON[name]
    for package in needed:
        pytest.importorskip(package)
    began = time.monotonic()
    done = subprocess.run([sys.executable, FOLDER / name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(prints, done.stdout), done.stdout
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


def pgm(image):
    return b"P5\n28 28\n255\n" + image.tobytes()


def test_the_program_in_c(tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    pytest.importorskip("sklearn")
    shutil.copy(FOLDER / "read_pgm.c", tmp_path)
    export = [sys.executable, "-m", "lenet", "export", "mnist", "digits.c"]
    said = subprocess.run(export, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"digits\.c \([\d,]+ bytes\)\ndigits\.h \([\d,]+ bytes\)\n", said)
    commands = re.findall(r"^ +(cc .*)$", (FOLDER / "read_pgm.c").read_text(), re.MULTILINE)
    subprocess.run(commands[0].split(), cwd=tmp_path, check=True)
    digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    for image in digits.X_test[:10]:
        done = subprocess.run(["./read_pgm"], input=pgm(image), cwd=tmp_path, capture_output=True, check=True)
        probabilities = model.predict_proba(image)[0]
        expected = f"{probabilities.argmax()} ({100 * probabilities.max():.1f}%)\n"
        assert done.stdout.decode() == expected
    for wrong in (b"", b"P5 9 9 255\n", pgm(digits.X_test[0])[:-1]):
        done = subprocess.run(["./read_pgm"], input=wrong, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"give a binary PGM picture" in done.stderr


# ---- the same program in one file that brings Python along ---------------------------------------------

LARGEST = 60_000_000


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """The program, as PyInstaller makes it of the command in its docstring."""
    pytest.importorskip("PyInstaller")
    folder = tmp_path_factory.mktemp("frozen")
    shutil.copy(FOLDER / "read_pgm.py", folder)
    command = re.findall(r"^ +pyinstaller (--.*?)  ", (FOLDER / "read_pgm.py").read_text(), re.MULTILINE)[0].split()
    done = subprocess.run(
        [sys.executable, "-m", "PyInstaller", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (program,) = (folder / "dist").iterdir()
    return program


def run_frozen(program, *arguments):
    """Run it where there is neither a Python nor anything else on the path."""
    nothing = program.parent.parent / "nothing"
    nothing.mkdir(exist_ok=True)
    env = {"PATH": str(nothing)} | {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP") if name in os.environ}
    done = subprocess.run(
        [program, *arguments], cwd=nothing, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_frozen_program_reads_digits_without_python(frozen, tmp_path):
    assert frozen.stat().st_size <= LARGEST
    pytest.importorskip("sklearn")
    digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    for number, image in enumerate(digits.X_test[:3]):
        path = tmp_path / f"{number}.pgm"
        path.write_bytes(pgm(image))
        probabilities = model.predict_proba(image)[0]
        expected = f"{probabilities.argmax()} ({100 * probabilities.max():.1f}%)\n"
        assert run_frozen(frozen, path) == (0, expected, "")


def test_the_frozen_program_says_what_is_wrong(frozen, tmp_path):
    path = tmp_path / "text.pgm"
    missing = f"read_pgm: {path}: No such file or directory\n"
    assert run_frozen(frozen, path) == (1, "", missing)
    for wrong in (b"", b"a letter\n", pgm(np.zeros((28, 28), np.uint8))[:-1]):
        path.write_bytes(wrong)
        assert run_frozen(frozen, path) == (
            1, "", f"read_pgm: {path} is no binary PGM picture of 28 x 28 pixels of 8 bits\n"
        )  # fmt: skip
    assert run_frozen(frozen) == (1, "", "usage: read_pgm PICTURE\n")
