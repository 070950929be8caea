"""Run the tests in a copy of the tree and report which one catches a fault."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.mutation.building import environment

MAX_SECONDS = 600  # for tests that take 10 s: a fault that causes an infinite loop is noticed this way
# Tests that measure time may fail by accident, and would then seem to notice a fault.
MARKS = ("-m", "not release and not timing")


def noticed_by(copy: Path, tests: Sequence[str], max_seconds: float = MAX_SECONDS, **variables: str) -> str:
    """Return the first test that fails in the copy, or "" if all pass.

    `tests` are arguments of pytest, `variables` are added to the environment. A crash and a timeout count as noticed.
    Raises RuntimeError if no test runs.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *MARKS]
    try:
        done = subprocess.run(
            [*command, *tests], cwd=copy, env=environment(copy, **variables), capture_output=True, text=True,
            check=False, timeout=max_seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{max_seconds:g} seconds"
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    failed = re.search(r"^(?:FAILED|ERROR) (?:\S+?::)?(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    failed = failed or re.search(r"^(ImportError while loading conftest)", done.stderr, re.MULTILINE)
    if not failed and done.returncode:
        raise RuntimeError(f"pytest did not run: {done.stdout}{done.stderr}")
    return failed[1] if failed else ""


def report(name: str, noticed: str) -> None:
    """Print the line of one fault."""
    print(f"{name:40} {noticed or 'SURVIVED'}", flush=True)


def table(heading: Sequence[str], kinds: Mapping[str, str], verdicts: Mapping[str, str]) -> str:
    """Return a table of the faults of each kind, and how many of them the tests noticed.

    `kinds` and `verdicts` hold the kind of each fault, and the test that noticed it or "".
    """
    planted = Counter(kinds[name] for name in verdicts)
    caught = Counter(kinds[name] for name, noticed in verdicts.items() if noticed)
    lines = [f"{heading[0]:18}{heading[1]:>8}{heading[2]:>8}"]
    lines += [f"{kind:18}{number:8}{caught[kind]:8}" for kind, number in planted.items()]
    return "\n".join([*lines, f"{'total':18}{planted.total():8}{caught.total():8}"])
