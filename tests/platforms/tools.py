"""Commands, packages of another platform, and a copy of the tree: what the scripts of this folder share."""

import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.building import ROOT, copy_tree

HERE = Path(__file__).parent
LEFT_OUT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def packages() -> list[str]:
    """Return what the quick tests need, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    found = [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]
    found += [each for name in ("train", "vision", "serve") for each in extras[name]]
    return [each for each in found if not each.startswith("lenet[")]


def require(*commands: str, packages: str) -> None:
    """End the program with advice if a command is missing."""
    if missing := [each for each in commands if not shutil.which(each)]:
        raise SystemExit(f"{', '.join(missing)} is missing. Run `sudo apt install {packages}`.")


def run(*command: str | Path, **options) -> None:
    """Run a command, and end the program with its output if it fails; print its name and its time."""
    began = time.monotonic()
    name = " ".join(Path(str(each)).name for each in command[:4])
    done = subprocess.run(
        [str(each) for each in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise SystemExit(f"{output}\n{name} failed with exit code {done.returncode}.")
    last = output.strip().rpartition("\n")[2]
    print(f"{time.monotonic() - began:5.0f} s  {name}: {last[:100]}", flush=True)


def install(target: Path, python: str, platforms: Iterable[str], packages: Iterable[str]) -> None:
    """Install wheels for another platform into a folder."""
    tags = [f"--platform={each}" for each in platforms]
    options = ["--only-binary=:all:", f"--python-version={python}", "--upgrade", f"--target={target}"]
    run(sys.executable, "-m", "pip", "install", "-q", *options, *tags, *packages)


def copy(folder: Path) -> Path:
    """Copy the tree to build in."""
    return copy_tree(folder / "tree")


def keep(wheel: Path, dist: Path = ROOT / "dist" / "cross") -> Path:
    """Copy a wheel into the folder of those for other platforms."""
    dist.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(wheel, dist))


def expected(folder: Path) -> Path:
    """Have this machine's Python predict and train; return the file of its results."""
    path = folder / "expected.json"
    done = subprocess.run([sys.executable, HERE / "check.py"], cwd=ROOT, check=True, capture_output=True, text=True)
    path.write_text(done.stdout, "utf-8")
    return path


def environment(**more: str) -> dict[str, str]:
    """Return the environment of another Python, which finds its own packages and keeps their bytecode."""
    return {name: value for name, value in os.environ.items() if name not in LEFT_OUT} | more
