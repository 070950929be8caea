"""Run test files with another platform's Python, and summarise the results of each file."""

import re
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

OPTIONS = ("-n", "2", "-p", "no:cacheprovider")


def run(*command: str | Path, folder: Path, environment: dict[str, str]) -> None:
    """Run pytest's command in a tree, and print a line for each file; exit if a test fails."""
    results = folder / "results.xml"
    whole = [str(each) for each in (*command, *OPTIONS, f"--junitxml={results.name}")]
    code = subprocess.run(whole, cwd=folder, env=environment, check=False).returncode
    if results.exists():
        print(*summary(results), sep="\n", flush=True)
    if code:
        raise SystemExit(code)


def summary(results: Path) -> list[str]:
    """Return a line for each test file: how many tests passed, failed and were skipped, and why."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    reasons: defaultdict[str, set[str]] = defaultdict(set)
    for case in ElementTree.parse(results).iter("testcase"):  # noqa: S314 - written by pytest a moment ago
        file = re.match(r"(?:[\w.]*\.)?test_\w+", case.get("classname") or case.get("name", ""))
        name = file[0] if file else "?"
        kinds = {each.tag: each for each in case if each.tag in {"skipped", "failure", "error"}}
        counts[name].update([*kinds] or ["passed"])
        if "skipped" in kinds:
            whole_file = re.search(r"Skipped: (.*)['\"]\)$", kinds["skipped"].text or "", re.DOTALL)
            reasons[name].add(whole_file[1] if whole_file else kinds["skipped"].get("message", ""))
    lines = []
    for name, found in sorted(counts.items()):
        numbers = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items()))
        lines.append(f"{name}: {numbers}" + (f" ({'; '.join(sorted(reasons[name]))})" if reasons[name] else ""))
    return lines
