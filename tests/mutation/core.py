"""Mutate the pure-Python core with mutmut, test each mutant, and print what was killed.

    python -m tests.mutation.core                       # 200 mutants, drawn by the seed 0
    python -m tests.mutation.core --count 50 --seed 1
    python -m tests.mutation.core 'lenet.losses.*'      # some mutants, by their names
    python -m tests.mutation.core 'lenet.*'             # all of them

The work is done in a copy of the tree, build/mutation/core; there `mutmut show NAME` tells what a survivor changed.
Constants of modules, and functions with decorators of their own, are left out by mutmut.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.mutation.building import ROOT, build, copy_tree, environment

COPY = ROOT / "build" / "mutation" / "core"
MODULES = [
    "layers.avg_pool2d", "layers.base", "layers.conv2d", "layers.flatten", "layers.linear", "layers.rbf",
    "layers.scaled_tanh", "layers.sigmoid", "layers.sparse_conv2d", "layers.subsample2d",
    "losses", "training.optim", "weights.container", "weights.files", "loading",
    "data.box", "data.csv", "data.dataset", "data.digits", "data.idx", "data.image_folder", "data.npz", "data.openml",
    "data.parquet", "data.pictures", "data.sources",
    "training.augment.defects", "training.augment.distortions", "training.augment.drawn_digits",
    "training.augment.non_digits", "training.splits",
]  # fmt: skip
TESTS = [
    "layers", "losses", "optim", "weights",
    "data_box", "data_csv", "data_digits", "data_idx", "data_image_folder", "data_npz", "data_openml", "data_parquet",
    "data_sources", "splits",
    "distortions", "drawn_digits", "non_digits", "non_digits_drawn", "non_digits_of_digits", "misread", "threats_files",
]  # fmt: skip
SLOW = ["tests/test_non_digits.py::test_a_network_trained_on_non_digits_recognises_them"]


def settings() -> str:
    """What mutmut reads from pyproject.toml: what to mutate, and the tests that are to kill it."""
    sources = [f"src/lenet/{module.replace('.', '/')}.py" for module in MODULES]
    documentation = "tests/test_documentation.py::test_examples_of_the_docstrings"
    tests = [f"tests/test_{name}.py" for name in TESTS] + [f"{documentation}[lenet.{module}]" for module in MODULES]
    options = ["-p", "no:cacheprovider", "-m", "not release", *(f"--deselect={name}" for name in SLOW)]
    return f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = {sources}
also_copy = ["README.md"]
timeout_multiplier = 60
pytest_add_cli_args = {options}
pytest_add_cli_args_test_selection = {tests}
"""


def prepare() -> None:
    """Make the copy, with kernels and settings."""
    shutil.rmtree(COPY, ignore_errors=True)
    copy_tree(COPY)
    build(COPY, flags=["-O1"])
    (COPY / "mutants" / "src").mkdir(parents=True)  # a folder in PYTHONPATH has to be there when Python starts
    path = COPY / "pyproject.toml"
    path.write_text(path.read_text("utf-8") + settings(), "utf-8")


def mutmut(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run mutmut in the copy, which imports lenet from the mutated copy of that."""
    command = [Path(sys.executable).with_name("mutmut"), *arguments]
    return subprocess.run(command, cwd=COPY, env=environment(COPY / "mutants"), text=True, check=False, **options)


KILLED = {"killed", "timeout", "segfault", "suspicious"}  # the last is any other end of the process, such as abort


def statuses() -> dict[str, str]:
    """Return the status of each mutant by its name."""
    lines = mutmut("results", "--all", "true", capture_output=True).stdout
    return dict(re.findall(r"^ *(lenet\.\S+): (.+)$", lines, re.MULTILINE))


def draw(count: int, seed: int) -> list[str]:
    """Draw so many mutants; mutmut generates all of them when it runs some."""
    mutmut("run", "--max-children", "1", "lenet.layers.flatten.*").check_returncode()
    return sorted(random.Random(seed).sample(sorted(statuses()), count))  # noqa: S311


def table(found: dict[str, str]) -> str:
    """From the status of each mutant, the numbers of each module."""
    counted = {module: Counter() for module in MODULES}
    for name, status in found.items():
        counted[re.fullmatch(r"lenet\.(\S+)\.x\S+", name)[1]][status] += 1
    lines = [f"{'module':18}{'mutants':>8}{'killed':>8}{'part':>8}  others"]
    for module, statuses in [*counted.items(), ("total", sum(counted.values(), Counter()))]:
        killed = sum(statuses[status] for status in KILLED)
        others = ", ".join(f"{number} {status}" for status, number in statuses.items() if status != "killed")
        total = statuses.total()
        lines.append(f"{module:18}{total:8}{killed:8}{killed / max(1, total):8.1%}  {others}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.core", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to test (default: a random sample)")
    parser.add_argument("--count", type=int, default=200, help="size of the sample; 200 by default")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample; 0 by default")
    options = parser.parse_args()
    prepare()
    drawn = [] if options.names else draw(options.count, options.seed)
    run = mutmut("run", "--max-children", "1", *(options.names or drawn))
    found = {name: status for name, status in statuses().items() if status != "not checked"}
    if drawn:
        found = {name: found[name] for name in drawn}
        print(f"{len(drawn)} mutants, drawn by the seed {options.seed}")
    print("\n".join(f"{name}: {status}" for name, status in found.items() if status != "killed"))
    print(table(found))
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
