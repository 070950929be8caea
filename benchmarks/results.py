"""Measure the figures of the README and the pages, and store them in docs/results.json.

    pip install '.[train,vision,serve,onnx,bench,dask,mpi]' mpich    # and the Debian packages wrk and hey
    python -m benchmarks.results                  # the everyday parts: half an hour on two cores
    python -m benchmarks.results speed growth     # some parts
    python -m benchmarks.results --list           # all parts, and the command of each

Each part runs a command that anybody can run, and takes the figures from its output. The file is written after each
part, and the results of the other parts stay. Without names, the parts that were measured on this commit and CPU are
skipped, so an interrupted run resumes. tests/benchmarks/test_results.py compares the pages with the file.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import chart, measure
from benchmarks.parts import PARTS, Part, Values, derived

ROOT = Path(__file__).parents[1]
RESULTS, CHART = ROOT / "docs/results.json", ROOT / "docs/benchmark.png"
Results = dict[str, dict[str, Any]]


def flat(results: Results) -> Values:
    """Return all values by part and name."""
    return {f"{part}/{name}": value for part, result in results.items() for name, value in result["values"].items()}


def measured(part: Part) -> dict[str, Any]:
    """Run a part's command in an empty folder, and return its result."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("benchmarks", "docs", "examples", "tests"):
            Path(folder, name).symlink_to(ROOT / name)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        began = time.perf_counter()
        done = subprocess.run(
            ["/bin/sh", "-ec", part.command], cwd=folder, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE,
            text=True, check=True,
        )  # fmt: skip
        values = part.read(done.stdout, time.perf_counter() - began)
    if not values:
        raise ValueError("The output has no figures.")
    return {"command": part.command, **here(), "date": f"{datetime.date.today():%Y-%m-%d}", "values": values}


def here() -> dict[str, Any]:
    """Return the conditions that the results depend on."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    return {"cpu": measure.cpu(), "cores": os.cpu_count(), "commit": commit.stdout.strip()}


def load() -> Results:
    """Return the stored results."""
    results: Results = json.loads(RESULTS.read_text("utf-8"))
    return results


def keep(results: Results) -> None:
    """Write the results, with those derived from them."""
    results["derived"] = {"command": "python -m benchmarks.results", "values": derived(flat(results).__getitem__)}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    """Measure the parts, and store their results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all everyday parts by default")
    parser.add_argument("--list", action="store_true", help="list the parts")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: no such part; --list lists them")
    if options.list:
        for name, part in PARTS.items():
            print(f"{name:10} {'' if part.everyday else '(if named)':10} {part.command}")
        return 0
    results, now = load(), here()
    names = options.parts or [
        name for name, part in PARTS.items() if part.everyday and not now.items() <= results.get(name, {}).items()
    ]
    failed = []
    for name in names:
        print(f"{time.strftime('%H:%M:%S')} {name}: {PARTS[name].command}", flush=True)
        try:
            results[name] = measured(PARTS[name])
        except KeyboardInterrupt:
            print("Interrupted. What was measured before is kept; run the command again to resume.", file=sys.stderr)
            return 130
        except (subprocess.CalledProcessError, ValueError) as error:
            print(f"{name} failed: {error}", file=sys.stderr)
            failed.append(name)
            continue
        keep(results)
        if name == "speed":
            chart.draw(results[name]["values"], CHART)
        for value, figure in results[name]["values"].items():
            print(f"    {value}: {figure:g}")
    if failed:
        print(f"Failed: {', '.join(failed)}. The stored results of these are unchanged.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
