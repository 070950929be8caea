"""Fuzz targets for a while: `python -m tests.fuzz idx --seconds 60`, or `--all`; needs `pip install --group fuzz`.

Each target begins from its corpus, in a process of its own, and ends at its first finding. The exit status is 1 if
there was one. `--file` runs files, such as findings, once through a target, without atheris.
"""

import argparse
import base64
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import CORPUS, TARGETS, target, timed
from tests.fuzz.driving import GOES_ON

LONGEST_SHOWN = 2**16  # bytes of a finding


def parse():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--seconds", type=int, default=0, help="for each target; 0, without end, by default")
    parser.add_argument("--runs", type=int, default=-1, help="for each target; without end by default")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time; 1 by default")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="where they are written; ./findings")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that reach more; they are thrown away otherwise")
    parser.add_argument("--file", type=Path, nargs="+", help="run these files once instead")
    options = parser.parse_args()
    options.targets = list(TARGETS) if options.all else options.targets
    if not options.targets or set(options.targets) - set(TARGETS):
        parser.error(f"give --all, or some of these targets: {', '.join(TARGETS)}")
    return options


def fuzz(name, options):
    """Fuzz one target; print the outcome, and return whether there was a finding."""
    options.findings.mkdir(parents=True, exist_ok=True)
    before, began, runs, status = set(options.findings.iterdir()), time.monotonic(), 0, GOES_ON
    with tempfile.TemporaryDirectory() as temporary:
        kept = options.keep / name if options.keep else Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        while status == GOES_ON:
            left = options.seconds and max(1, options.seconds - int(time.monotonic() - began))
            status, more, said = drive(name, options.findings, kept, max(-1, options.runs - runs), left)
            runs += more
    seconds = time.monotonic() - began
    found = sorted(path for path in set(options.findings.iterdir()) - before if path.name.startswith(f"{name}-"))
    if status:
        print(said[-8000:])
    for path in found:  # from a log, too, a finding can be run again
        print(f"{path.name}: {base64.b64encode(path.read_bytes()[:LONGEST_SHOWN]).decode()}")
    print(
        f"{name}: {runs:,} runs, {runs / seconds:,.0f} a second, {seconds:.0f} s, {len(found)} findings"
        f"{''.join(f', {path}' for path in found)}{f'; exit status {status}' if status else ''}",
        flush=True,
    )
    return status != 0


def drive(name, findings, kept, runs, seconds):
    """Run a process that fuzzes; return its exit status, its runs, and its output."""
    command = [sys.executable, "-m", "tests.fuzz.driving", name, str(findings), str(kept), str(CORPUS / name)]
    command += [f"-runs={runs}", f"-max_total_time={seconds}"]
    log = findings / f"{name}.log"
    with log.open("w") as lines:
        status = subprocess.run(command, stdout=lines, stderr=lines, check=False).returncode
    said = log.read_text(errors="replace")
    counts = re.findall(r"number_of_executed_units: +(\d+)", said)
    return status or not counts, int(counts[-1]) if counts else 0, said


def main():
    options = parse()
    if options.file:
        for path in options.file:
            timed(target(options.targets[0]).run)(path.read_bytes())
            print(f"{path}: right")
        return
    with ThreadPoolExecutor(options.jobs) as pool:
        failed = list(pool.map(lambda name: fuzz(name, options), options.targets))
    sys.exit(any(failed))


if __name__ == "__main__":
    main()
