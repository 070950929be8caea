"""Build each wrong kernel of kernel_mutants.py, test it, and print what noticed it.

    python -m tests.mutation.kernels                              # all of them
    python -m tests.mutation.kernels pool-dx-assigned c3-rows-overlap

The tests have to fail for each, and to pass for the kernels as they are. Needs an x86-64 CPU with AVX-512.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutation.building import build, changed, copy_tree, environment
from tests.mutation.kernel_mutants import MUTANTS, Mutant

FLAGS = ["-O1"]  # is compiled in half the time, and computes the same
KERNELS = ["tests/test_network.py", "-k"]
TESTS = {
    "_conv": ["tests/test_conv.py"],
    "_fused.lenet5": [*KERNELS, "x86-64-v2 and not mnist"],
    "_fused.lenet5_v3": [*KERNELS, "x86-64-v3 and not mnist"],
    "_fused.lenet5_v4": [*KERNELS, "x86-64-v4 and not mnist"],
    "_distort": ["tests/test_distortions.py"],
}
LONGEST = 600  # seconds of a run of the tests, that takes some 10: a loop that does not end is noticed by that


def noticed_by(copy: Path, extension: str, **variables: str) -> str:
    """Return the first test that fails in the copy, or "" where all pass."""
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", "not release"]
    command = [sys.executable, "-m", "pytest", *options, *TESTS[extension]]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment(copy, **variables), capture_output=True, text=True, check=False,
            timeout=LONGEST,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{LONGEST} seconds"
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    if done.returncode > 1:
        raise RuntimeError(f"pytest did not run: {done.stdout}{done.stderr}")
    failed = re.search(r"^(?:FAILED|ERROR) \S+?::(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return failed[1] if failed else ""


def verdict(copy: Path, extension: str) -> str:
    """Return what notices the copy's kernels, or "": a look beyond the end of an array only shows at that of a page."""
    return noticed_by(copy, extension) or noticed_by(copy, extension, LENET_TEST_PAGES="1")


def verdicts_of(extension: str, mutants: dict[str, Mutant]) -> dict[str, str]:
    """Build and test the mutants of an extension one after the other, and return what noticed each."""
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder, "lenet"))
        build(copy, flags=FLAGS)
        if by := verdict(copy, extension):
            sys.exit(f"The tests fail for {extension} as it is: {by}")
        for name, mutant in mutants.items():
            with changed(copy, mutant.change):
                build(copy, extension, flags=FLAGS)
            verdicts[name] = verdict(copy, extension)
            print(f"{name:40} {verdicts[name] or 'SURVIVED'}", flush=True)
    return verdicts


def table(verdicts: dict[str, str]) -> str:
    made = Counter(MUTANTS[name].change.file for name in verdicts)
    killed = Counter(MUTANTS[name].change.file for name, by in verdicts.items() if by)
    lines = [f"{'file':18}{'mutants':>8}{'killed':>8}"]
    lines += [f"{file:18}{number:8}{killed[file]:8}" for file, number in made.items()]
    return "\n".join([*lines, f"{'total':18}{made.total():8}{killed.total():8}"])


def main(names: list[str]) -> int:
    if unknown := set(names) - MUTANTS.keys():
        sys.exit(f"There is no mutant {', '.join(sorted(unknown))}: see tests/mutation/kernel_mutants.py.")
    verdicts: dict[str, str] = {}
    for extension in TESTS:
        mutants = {name: MUTANTS[name] for name in names or MUTANTS if MUTANTS[name].extension == extension}
        if mutants:
            verdicts |= verdicts_of(extension, mutants)
    print(table(verdicts))
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
