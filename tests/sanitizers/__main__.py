"""Run tests on instrumented kernels, after a planted fault has shown that the instrumentation works.

    python -m tests.sanitizers address    # AddressSanitizer and UndefinedBehaviorSanitizer
    python -m tests.sanitizers checked    # Cython's bounds checks, and the coverage of the kernels
    python -m tests.sanitizers memcheck   # valgrind

Everything is built in a copy of the tree, by gcc on Linux. The tests are those of the kernels, since only compiled
code can access memory out of bounds. Further arguments go to pytest instead, and no fault is planted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.mutation.building import Change, build, changed, copy_tree, environment
from tests.sanitizers import coverage_of_kernels
from tests.sanitizers.planted import OUT_OF_BOUNDS, OVERFLOW

# Tests are several times slower, so each has half an hour. Those that repeat others at the end of a page are left out.
OPTIONS = ("--timeout=1800", "-p", "no:cacheprovider", "-m", "not release",
           "--deselect=tests/fused/test_network.py::test_no_kernel_touches_the_page_behind_its_arrays")  # fmt: skip
FILES = (
    "layers/test_conv", "fused/test_network", "training/test_distortions", "test_model", "test_gradients",
    "test_model_input", "test_model_state", "fused/test_threads_and_cpu",
)  # fmt: skip
TESTS = ("-n", str(os.cpu_count()), *OPTIONS, *(f"tests/{name}.py" for name in FILES))
# The stack is left to UndefinedBehaviorSanitizer, which knows how long its arrays are: watched by the other one, they
# could be no registers, and the kernels would take sixteen times as long instead of four.
INSTRUMENTED = ["-fno-omit-frame-pointer", "-fno-wrapv", "--param=asan-stack=0", "-fsanitize=address,undefined",
                "-fno-sanitize=null,object-size,pointer-overflow", "-fno-sanitize-recover=undefined"]  # fmt: skip


@dataclass(frozen=True)
class Watch:
    """A way to build the kernels and to run them."""

    flags: Sequence[str]
    faults: dict[Change, str]  # with what the report says of each
    building: Mapping[str, str] = field(default_factory=dict)  # the environment of either
    running: Mapping[str, str] = field(default_factory=dict)
    under: Sequence[str] = ()  # the program that runs Python
    tests: Sequence[str] = TESTS


def library(name: str) -> str:
    """Return the path of one of gcc's libraries."""
    return subprocess.run(
        ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    ).stdout.strip()


WATCHES = {
    "address": Watch(
        INSTRUMENTED,
        {OUT_OF_BOUNDS: "heap-buffer-overflow", OVERFLOW: "left shift of 1 by 63 places"},
        running={
            "LD_PRELOAD": library("libasan.so"),
            # Of UBSan, no report goes to a file: it is behind what the test has printed, which -s shows.
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    ),
    "checked": Watch(
        ["--coverage"],
        {OUT_OF_BOUNDS: "IndexError: Out of bounds on buffer access"},
        building={"LENET_BOUNDSCHECK": "1"},
    ),
    "memcheck": Watch(
        ["-O1", "-g"],
        {OUT_OF_BOUNDS: "Invalid write of size"},
        running={"PYTHONMALLOC": "malloc"},
        under=["valgrind", "--quiet", "--error-exitcode=99", "--log-file=reports/memcheck.%p",
               "--suppressions=tests/sanitizers/memcheck.supp", sys.executable],
        tests=[*OPTIONS, "tests/layers/test_conv.py", "tests/fused/test_network.py",
               "tests/training/test_distortions.py"],
    ),
}  # fmt: skip


def main() -> None:
    """Parse the arguments, and run the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("watch", choices=WATCHES)
    parser.add_argument("tests", nargs=argparse.REMAINDER, help="arguments of pytest")
    arguments = parser.parse_args()
    watch = WATCHES[arguments.watch]
    with tempfile.TemporaryDirectory() as folder:
        root = copy_tree(Path(folder, "lenet"))
        build(root, flags=watch.flags, env=watch.building)
        if not arguments.tests:
            plant(root, watch)
            coverage_of_kernels.forget(root)
        outcome = run(root, watch, arguments.tests or watch.tests)
        print(outcome.output, outcome.reports, flush=True)
        if outcome.failed:
            raise SystemExit(f"The tests failed with {arguments.watch}.")
        if arguments.watch == "checked" and not arguments.tests:
            coverage_of_kernels.check(root)


def plant(root: Path, watch: Watch) -> None:
    """Plant each fault in the copy; exit with an error if it is not found."""
    for fault, report in watch.faults.items():
        with changed(root, fault):
            build(root, flags=watch.flags, env=watch.building)
            found = run(root, watch, ["-x", "-s", "-p", "no:cacheprovider", "tests/training/test_distortions.py"])
        if not found.failed or report not in found.output + found.reports:
            raise SystemExit(f"The planted fault was not found: {fault}\n{found.output}{found.reports}")
        print(f"The planted fault was found: {report}.", flush=True)
    build(root, flags=watch.flags, env=watch.building)


class Outcome(NamedTuple):
    """The outcome of a run of pytest."""

    failed: bool
    output: str
    reports: str  # those that went to files


def run(root: Path, watch: Watch, tests: Sequence[str]) -> Outcome:
    """Run pytest in the copy."""
    reports = root / "reports"
    reports.mkdir(exist_ok=True)
    command = [*(watch.under or [sys.executable]), "-m", "pytest", "-q", *tests]
    options = f"detect_leaks=0:malloc_context_size=1:log_path={reports}/address"
    env = environment(root, ASAN_OPTIONS=options, **watch.running)
    done = subprocess.run(
        command, cwd=root, env=env, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    texts = [path.read_text(errors="replace") for path in sorted(reports.iterdir())]
    for path in reports.iterdir():
        path.unlink()
    found = "".join(texts)
    return Outcome(bool(done.returncode or found), done.stdout, found)


if __name__ == "__main__":
    main()
