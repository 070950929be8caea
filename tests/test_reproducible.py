"""The wheel depends on the sources alone: not on the folder that it is built in, nor on the time."""

import hashlib
import os
import subprocess
import sys
import zipfile

import pytest
from mutation.building import copy_tree


@pytest.mark.slow
def test_two_builds_in_different_folders_are_the_same_bytes(tmp_path):
    wheels = []
    for name in ("here", "and-a-longer-name/there"):
        folder = copy_tree(tmp_path / name)
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "dist", folder],
            check=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1000000000"},
        )  # fmt: skip
        wheels += (folder / "dist").iterdir()
    first, second = wheels
    assert first.name == second.name
    assert contents(first) == contents(second)
    assert first.read_bytes() == second.read_bytes()


def contents(wheel):
    """The files in a wheel, by the SHA-256 of what they hold: where wheels differ, the assertion names the file."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
