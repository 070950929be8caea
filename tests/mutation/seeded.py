"""Plant 60 faults, one at a time, and report which test catches each.

    python -m tests.mutation.seeded                         # all of them
    python -m tests.mutation.seeded file-not-synced tile-assigned

30 faults are in the Python code (python_faults.py), and 30 in the kernels (KERNEL_FAULTS, from kernel_mutants.py).
For each one the command prints the first test that fails, or SURVIVED. A table of the results follows. The exit code
is 1 if more than 2 faults survive. The kernels need an x86-64 CPU with AVX2.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.mutation import running
from tests.mutation.building import build, changed, copy_tree
from tests.mutation.kernels import verdicts_of_all
from tests.mutation.python_faults import FAULTS, Fault

KERNEL_FAULTS = [
    "avg-pool-backward-by-a-half", "bend-in-x-twice", "biases-of-the-batch-before", "bytes-cut-and-not-rounded",
    "bytes-with-a-sign", "c1-without-bias", "c3-next-map-too-near", "c3-weights-of-the-last-image",
    "col2im-assigned", "decay-of-the-velocity", "dense-dx-not-zeroed", "dots-without-bias",
    "every-image-the-first", "ground-slopes-the-other-way", "ink-on-top-of-the-ground", "last-tile-too-high",
    "logits-of-the-first-group-overwritten", "map-of-nan", "noise-of-an-even-seed", "padding-of-one-row",
    "panel-of-c-back-without-its-last", "part-writes-on", "pool-dx-assigned", "pool-total-kept",
    "pooled-by-a-half", "row-left-out", "s2-gradient-last-tap", "sigmoid-of-nan", "softmax-by-the-least",
    "softmax-unclipped",
]  # fmt: skip
KINDS = dict.fromkeys(FAULTS, "Python") | dict.fromkeys(KERNEL_FAULTS, "kernels")
MAX_SURVIVORS = 2
MAX_SECONDS = 3600  # all tests take 8 minutes on two cores
OPTIONS = ("-n", "2")


def noticed_by(copy: Path, *files: str) -> str:
    return running.noticed_by(copy, (*OPTIONS, *files), MAX_SECONDS, may_skip=bool(files))


def verdict(copy: Path, fault: Fault) -> str:
    """Return the test that notices the fault, or "". The fault's own test files run first, then all tests."""
    with changed(copy, fault.change):
        return noticed_by(copy, *fault.tests) or noticed_by(copy)


def verdicts_of(faults: Mapping[str, Fault]) -> dict[str, str]:
    """Plant the faults one after the other in a copy, and return the test that notices each."""
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder, "lenet"))
        build(copy)
        own = sorted({file for fault in faults.values() for file in fault.tests})
        if failed := noticed_by(copy, *own):
            sys.exit(f"The tests fail without a fault: {failed}")
        for name, fault in faults.items():
            verdicts[name] = verdict(copy, fault)
            running.report(name, verdicts[name])
    return verdicts


def main(names: list[str]) -> int:
    if unknown := set(names) - KINDS.keys():
        sys.exit(f"Unknown faults: {', '.join(sorted(unknown))}. See python_faults.py and KERNEL_FAULTS in seeded.py.")
    chosen = [name for name in KINDS if not names or name in names]
    faults = {name: FAULTS[name] for name in chosen if name in FAULTS}
    verdicts = verdicts_of(faults) if faults else {}
    verdicts |= verdicts_of_all([name for name in chosen if name not in FAULTS])
    print(running.table(("kind", "planted", "caught"), KINDS, verdicts))
    return 1 if list(verdicts.values()).count("") > MAX_SURVIVORS else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
