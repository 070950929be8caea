"""The types that mypy and pyright see in an installed lenet."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.landing
USER = Path(__file__).with_name("typed_user.py")
CHECKERS = {
    "mypy": ["--strict", "--no-pretty", "--python-executable", sys.executable],
    "pyright": ["--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_an_application_has_types_and_its_mistakes_are_found(checker, tmp_path):
    pytest.importorskip(checker)
    pytest.importorskip("sklearn")
    shutil.copy(USER, tmp_path)  # away from our settings
    command = [sys.executable, "-m", checker, *CHECKERS[checker], USER.name]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    found = {int(line) for line in re.findall(r"typed_user\.py:(\d+):(?:\d+)?.*\berror\b", said)}
    wrong = {number for number, line in enumerate(USER.read_text().splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, said
