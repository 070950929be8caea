"""Run the thread tests under ThreadSanitizer, and check that it reports planted races.

    python -m tests.sanitizers.thread        # on Linux, with gcc and its libtsan; some two minutes
    python -m tests.sanitizers.thread 20     # with each race run into 20 times

It works on a copy of the tree, with the usual interpreter. The GIL orders what Python does, and hides races there; but
the kernels run without it, and are watched. numpy's are not.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutation.building import build, changed, copy_tree, environment
from tests.sanitizers.planted import RACES

FLAGS = ["-O1", "-g", "-fsanitize=thread"]
FILES = ("fused/test_concurrency", "test_model", "test_gradients", "training/test_training")
TESTS = [f"tests/{name}.py" for name in FILES]
REPORTED = 66


def run(copy: Path, tests: str, *options: str) -> tuple[int, str]:
    """Run the tests of a name, to the first report; return the exit code, and the report or pytest's words."""
    library = subprocess.run(["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        watched = environment(
            copy,
            LD_PRELOAD=library.stdout.strip(),
            # pytest would keep the report to itself; and the accesses of a whole kernel are to be remembered
            TSAN_OPTIONS=f"log_path={folder}/report exitcode={REPORTED} halt_on_error=1 history_size=7",
            LENET_TEST_PREDICTIONS="50000",
            OPENBLAS_NUM_THREADS="1",  # numpy's products order their threads in ways that are not seen here
        )
        options = ("-q", "-p", "no:cacheprovider", "-k", tests, *options)
        command = [sys.executable, "-m", "pytest", *TESTS, *options]
        done = subprocess.run(command, cwd=copy, env=watched, stdout=subprocess.PIPE, text=True, check=False)
        reports = "".join(each.read_text() for each in sorted(Path(folder).iterdir()))
        return done.returncode, reports or done.stdout


def main(times: int) -> int:
    """Return the exit code: 0 if what is planted is reported, each time, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder, "lenet"))
        build(copy, flags=FLAGS)
        code, said = run(copy, "threads")
        print(said, flush=True)
        if code:
            return 1
        for test, change in RACES.items():
            with changed(copy, change):
                # Memory that nothing was written to, where the race has led elsewhere, may hold numbers of any size.
                outcomes = [run(copy, test, "-W", "ignore::RuntimeWarning") for _ in range(times)]
            seen = sum(code == REPORTED and "data race" in said and "_compiled" in said for code, said in outcomes)
            print(f"{change.new!r} in {change.file}: reported {seen} times of {times}", flush=True)
            if seen < times:
                print(next(said for code, said in outcomes if code != REPORTED))
                return 1
    return 0


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
