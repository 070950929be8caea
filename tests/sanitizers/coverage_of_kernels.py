"""Report which lines of the kernels have run; exit with an error if any has not.

gcc counts the lines of the C code that Cython generates; a comment above each statement names its line in the source.
Unlike Cython's own tracing, this counts code that runs without the GIL, at full speed, and in vectors.
"""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path


def forget(root: Path) -> None:
    """Forget what has run so far."""
    for path in root.glob("build/**/*.gcda"):
        path.unlink()


def check(root: Path) -> None:
    """Print the coverage of a tree whose tests have run, and exit with an error if a line has not run."""
    counts = line_counts(root)
    missed = sorted(place for place, count in counts.items() if not count)
    print(f"kernels: {len(counts) - len(missed)} of {len(counts)} lines have run")
    for file, number in missed:
        print(f"    {file}:{number}: {(root / 'src/lenet' / file).read_text().splitlines()[number - 1]}")
    if missed:
        raise SystemExit("Lines of the kernels have not run.")


def line_counts(root: Path) -> Counter[tuple[str, int]]:
    """Return how often each line of a .pyx or .pxi file has run, under the file's name and the line's number.

    A build of the kernels that this CPU does not run is left out.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for data in root.glob("build/**/*.gcda"):
        command = ["gcov", "--json-format", "--stdout", str(data)]
        output = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
        for file in json.loads(output)["files"]:
            if file["file"].endswith(".c") and any(line["count"] for line in file["lines"]):
                origins = origins_of_lines((root / file["file"]).read_text())
                for line in file["lines"]:
                    if line["line_number"] in origins:
                        counts[origins[line["line_number"]]] += line["count"]
    return counts


def origins_of_lines(c_code: str) -> dict[int, tuple[str, int]]:
    """Return for each line of the C code that a statement of ours became, the statement's file and line."""
    origins, origin = {}, None
    for number, line in enumerate(c_code.splitlines(), 1):
        comment = re.fullmatch(r' */\* "(?:src/)?lenet/([\w/]+\.(?:pyx|pxi))":(\d+)', line)
        if comment:
            origin = (comment[1], int(comment[2]))
        elif line.startswith("}"):  # the function's end
            origin = None
        if origin:
            origins[number] = origin
    return origins
