"""Find the tests that run given lines: all tests run once under coverage.py, which records the lines of each test."""

import ast
import functools
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from coverage import CoverageData

from tests.mutation.building import environment
from tests.mutation.running import MARKS

SETTINGS = """
[run]
source_pkgs = lenet
data_file = {folder}/.coverage
parallel = true
sigterm = true
patch = subprocess
plugins = tests.mutation.contexts
"""


class Covering:
    """The tests of a copy of the tree that run each line of its sources.

    A test that fails although nothing is changed is left out; `failing` holds the names of these tests. The tests run
    once; later, the results are read from the copy.
    """

    def __init__(self, copy: Path):
        self.source = copy / "src" / "lenet"
        outcomes = copy / "outcomes.json"
        if not outcomes.exists():
            outcomes.write_text(json.dumps(self._run(copy)), "utf-8")
        known = json.loads(outcomes.read_text("utf-8"))
        self.failing = {test for test, outcome in known if outcome != "PASSED"}
        self._passing = {test for test, _ in known} - self.failing
        self._data = CoverageData(str(copy / ".coverage"))
        self._data.read()

    @staticmethod
    def _run(copy: Path) -> list[tuple[str, str]]:
        """Run all tests under coverage.py; return the name and the outcome of each that passes or fails."""
        settings = copy / "contexts.ini"
        settings.write_text(SETTINGS.format(folder=copy), "utf-8")
        pytest = [sys.executable, "-m", "pytest", "-q", "-rfEp", "--tb=no", "-n", "2", "-p", "no:cacheprovider", *MARKS]
        done = subprocess.run(
            [*pytest, "--cov", f"--cov-config={settings}", "--cov-report="], cwd=copy, text=True, check=False,
            env=environment(copy, PYTHONPATH=f"{copy / 'src'}:{copy}", PYTEST_CURRENT_TEST=""), capture_output=True,
        )  # fmt: skip
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest did not run: {done.stdout}{done.stderr}")
        lines = re.findall(r"^(PASSED|FAILED|ERROR) (.+)$", done.stdout, re.MULTILINE)
        return [(name if outcome == "PASSED" else name.partition(" - ")[0], outcome) for outcome, name in lines]

    def of(self, file: str, line: int) -> list[str]:
        """Return the tests that run the statement of a line, then the others of their test files; short ones first.

        The others may run it in a server that an earlier test has started, or when an exception passes, which makes
        coverage.py forget the test. If the statement runs on import, all tests that run any part of its file count.
        """
        path = self.source / file
        lines, on_import = statement(path.read_text("utf-8"), line)
        found = self._data.contexts_by_lineno(str(path))
        ran = {test for each in lines for test in found.get(each, [])} - {""}
        if on_import or not ran:
            ran = {test for each in found.values() for test in each} - {""}
        files = set(map(_file_of, ran))
        tests = {test for test in self._passing if _file_of(test) in files}
        return sorted(tests, key=lambda test: (test not in ran, self._lines_run_by[test], test))

    @functools.cached_property
    def _lines_run_by(self) -> Counter[str]:
        """The number of lines of the package that each test runs."""
        paths = self._data.measured_files()
        return Counter(
            test for path in paths for tests in self._data.contexts_by_lineno(path).values() for test in tests
        )


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def statement(text: str, line: int) -> tuple[range, bool]:
    """Return the lines of the innermost statement at a line, without its body, and whether it runs on import."""
    nodes = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.stmt)]
    around = [each for each in nodes if each.lineno <= line <= (each.end_lineno or 0)]
    functions = [each for each in around if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    on_import = all(line < each.body[0].lineno for each in functions)
    if not around:  # a decorator
        return range(line, line + 1), on_import
    innermost = max(around, key=lambda each: each.lineno)
    body = getattr(innermost, "body", [])
    end = body[0].lineno if body else (innermost.end_lineno or line) + 1
    return range(innermost.lineno, max(end, line + 1)), on_import
