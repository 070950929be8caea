"""Build and test each mutant of kernel_mutants.py, and print the test that catches it.

    python -m tests.mutation.kernels                              # all of them
    python -m tests.mutation.kernels pool-dx-assigned c3-rows-overlap

The tests have to fail for each, and to pass for the kernels as they are. Requires an x86-64 CPU with AVX2, and for
`mask-one-less`, so for all of them, one with AVX-512.
"""

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from tests.mutation import running
from tests.mutation.building import build, changed, copy_tree
from tests.mutation.kernel_mutants import MUTANTS, Mutant

FLAGS = ["-O1"]  # is compiled in half the time, and computes the same
KERNELS = ["tests/fused/test_network.py", "-k"]
TESTS = {
    "layers": ["tests/layers/test_conv.py"],
    "x86-64-v2": [*KERNELS, "x86-64-v2 and not mnist"],
    "x86-64-v3": [*KERNELS, "x86-64-v3 and not mnist"],
    "x86-64-v4": [*KERNELS, "x86-64-v4 and not mnist"],
    "distortions": ["tests/training/test_distortions.py"],
    "subnormals": ["tests/fused/test_subnormals.py"],
}


def verdict(copy: Path, tested: str) -> str:
    """Return the test that notices the copy's kernels, or "".

    The second run ends each array at the end of a page, where a read beyond the array is a crash.
    """
    full_of_3 = {"MALLOC_PERTURB_": "191"}  # each byte of new memory is 255 - 191, each float32 number 3.004
    return running.noticed_by(copy, TESTS[tested], **full_of_3) or running.noticed_by(
        copy, TESTS[tested], LENET_TEST_PAGES="1", **full_of_3
    )


def verdicts_of(tested: str, mutants: dict[str, Mutant]) -> dict[str, str]:
    """Build and test the mutants of one kind one after the other, and return what noticed each."""
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder, "lenet"))
        build(copy, flags=FLAGS)
        if by := verdict(copy, tested):
            sys.exit(f"The tests fail for {tested} as it is: {by}")
        for name, mutant in mutants.items():
            with changed(copy, mutant.change):
                build(copy, flags=FLAGS)
            verdicts[name] = verdict(copy, tested)
            running.report(name, verdicts[name])
    return verdicts


def verdicts_of_all(names: Collection[str]) -> dict[str, str]:
    """Build and test the mutants of these names, each kind in a copy of its own."""
    verdicts: dict[str, str] = {}
    for tested in TESTS:
        mutants = {name: MUTANTS[name] for name in names if MUTANTS[name].tested == tested}
        if mutants:
            verdicts |= verdicts_of(tested, mutants)
    return verdicts


def table(verdicts: dict[str, str]) -> str:
    files = {name: mutant.change.file for name, mutant in MUTANTS.items()}
    return running.table(("file", "mutants", "killed"), files, verdicts)


def main(names: list[str]) -> int:
    if unknown := set(names) - MUTANTS.keys():
        sys.exit(f"There is no mutant {', '.join(sorted(unknown))}: see tests/mutation/kernel_mutants.py.")
    verdicts = verdicts_of_all(names or MUTANTS)
    print(table(verdicts))
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
