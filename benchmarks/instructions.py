"""Count the instructions that each kernel executes, which hardly varies, and compare them with the stored figures.

    python -m benchmarks.instructions            # fails if a kernel takes 5% more than stored
    python -m benchmarks.instructions --store    # after an intended change

It runs the AVX2 build under valgrind's callgrind, which does not know AVX-512. The counts are those of the work below.
They depend on the compiler, so a figure is compared only with that of the same compiler.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

STORED = Path(__file__).with_name("instructions.json")
CPU, ROOM = "x86-64-v3", 0.05
KERNELS = (
    "c1_stage", "c3_stage", "c5_sums", "f6_sums", "output_sums", "sigmoids", "image_points", "s2_points", "to_filters",
    "transpose", "c3_sums_gradient", "gradients_of_point", "c3_filter_gradient", "s2_points_gradient", "s2_gradient",
    "c1_sums_gradient", "c1_filter_gradient", "weight_gradient", "matmul", "sgd_step",
)  # fmt: skip
WORK = """
import numpy as np
from lenet import LeNet5
from lenet._fused.batches import Learner
from lenet.training.optim import SGD
model = LeNet5(seed=0)
x, y = np.zeros((48, 28, 28), np.uint8), np.zeros(16, np.int64)
learner, sgd = Learner(model.parameters, model._kernels, model.num_classes), SGD(model, 0.1)
for _ in range(4):
    model.logits(x, n_jobs=1)
    _, _, gradients = learner(x[:16], y, 0.0, 1.0, n_jobs=1)
    sgd.step(gradients)
"""


def compiler() -> str:
    """Return the compiler of the build that is counted, as gcc 12 for gcc 12.4.0."""
    program = "import lenet; lenet.show_config()"
    environment = os.environ | {"LENET_CPU": CPU}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"^compiler (\S+ \d+)", done.stdout, re.MULTILINE)
    return found[1] if found else "unknown"


def count() -> dict[str, int]:
    """Return the instructions of each kernel, without those of the functions that it calls."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, "-c", WORK]
        environment = os.environ | {"LENET_CPU": CPU, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"valgrind failed: {done.stderr[-2000:]}")
        return parse(out.read_text(encoding="utf-8", errors="replace"))


def parse(profile: str) -> dict[str, int]:
    """Return the kernels' own costs from a callgrind profile, in which names are numbered and given once."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    kernel, skip = None, False
    for line in profile.splitlines():
        if match := re.match(r"(c?fn)=(\(\d+\))(?: (.*))?", line):
            if match[3]:
                names[match[2]] = match[3]
            if match[1] == "fn":
                kernel = _kernel(names[match[2]])
        elif line.startswith("calls="):
            skip = True  # the next line is the cost of the call
        elif re.match(r"[\d+*-]", line):
            if kernel and not skip:
                counts[kernel] += int(line.split()[1])
            skip = False
    return dict(counts)


def _kernel(name: str) -> str | None:
    """Return the kernel that a compiled function implements, perhaps as a copy."""
    match = re.search(r"__pyx_f_5lenet_6_fused_7kernels_(\w+?)(?:\.\w+)*$", name)
    return match[1] if match and match[1] in KERNELS else None


def main() -> None:
    """Print the counts beside the stored ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__.partition("\n")[0])
    parser.add_argument("--store", action="store_true", help="store the counts")
    store = parser.parse_args().store
    known = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    name, counts = compiler(), count()
    if store:
        STORED.write_text(json.dumps(known | {name: counts}, indent=1) + "\n", encoding="utf-8")
    stored = known.get(name, {})
    if not stored:
        print(f"WARNING: there are no figures of {name} to compare with; add them with --store.", file=sys.stderr)
    print(f"{name}, {CPU}, instructions of each kernel:")
    worse = []
    for kernel in KERNELS:
        number = counts.get(kernel, 0)
        change = number / stored[kernel] - 1 if kernel in stored else 0.0
        print(f"{kernel:<20} {number:>12,} {f'{change:+.1%}' if kernel in stored else 'not stored':>12}")
        if change > ROOM or not number:
            worse.append(kernel)
    if worse and not store:
        raise SystemExit(f"More than {ROOM:.0%} above the stored figure, or not found: {', '.join(worse)}.")


if __name__ == "__main__":
    main()
