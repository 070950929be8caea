"""The summary of the tests on other platforms."""

import subprocess
import sys

import pytest

from tests.platforms.suite import summary

pytestmark = pytest.mark.release

MIXED = """
import pytest

@pytest.mark.parametrize("n", [1, 2, 3])
def test_passes(n):
    pass

def test_fails():
    raise ValueError

def test_errs(missing):
    pass

@pytest.mark.skipif(True, reason="needs POSIX")
@pytest.mark.parametrize("n", [1, 2])
def test_skipped(n):
    pass

def test_skipped_late():
    pytest.skip("needs MNIST: set LENET_DATA")
"""


def test_each_file_is_summarised_with_its_counts_and_the_reasons_of_skips(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mixed.py").write_text(MIXED)
    (tmp_path / "tests" / "test_passing.py").write_text("class TestAll:\n    def test_passes(self): pass\n")
    (tmp_path / "tests" / "test_whole.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "--junitxml=results.xml"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert summary(tmp_path / "results.xml") == [
        "tests.test_mixed: 1 error, 1 failure, 3 passed, 3 skipped (needs MNIST: set LENET_DATA; needs POSIX)",
        "tests.test_passing: 1 passed",
        "tests.test_whole: 1 skipped (could not import 'no_such_module': No module named 'no_such_module')",
    ]
