"""Show how much faster two Dask workers score, and two MPI ranks train, than one process with one thread.

    pip install '.[dask,mpi]' mpich
    python -m benchmarks.scale [--images 1000000] [--repetitions 5]

One and two take turns, so that a busy moment affects both, and the median ratio is shown. Each run's scores
are compared with those of one process, row by row: the images are noise, and no two are equal. At the end, a worker
is killed halfway, and all rows must still be present.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lenet
from benchmarks import measure
from lenet.scale import score
from lenet.scale.sources import ROWS

PROGRAM = """
import sys, time
import numpy as np, lenet
from lenet.training.mpi import Ranks
ranks, times = Ranks(), []
rng = np.random.default_rng(0)
X, y = rng.integers(0, 256, (256 * 40, 28, 28), dtype=np.uint8), rng.integers(0, 10, 256 * 40)
recipe = lenet.training.recipes.Recipe("timed", epochs=int(sys.argv[1]), batch_size=256, lr=0.01)
note = lambda state: times.append(state.seconds)
lenet.train(lenet.LeNet5(seed=0), X, y, recipe, n_jobs=1, comm=ranks, on_epoch=note)
gradient, began = np.zeros(61706, np.float32), time.perf_counter()
for _ in range(500):
    ranks.all_reduce(gradient, 0.0)
reduce = (time.perf_counter() - began) / 500
if ranks.rank == 0:
    print(min(np.diff([0.0, *times])) / 40, reduce)
"""


def main() -> None:
    """Run both, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000, help="to score (default: 1,000,000)")
    parser.add_argument("--repetitions", type=int, default=5, help="turns (default: 5)")
    parser.add_argument("--epochs", type=int, default=10, help="of 40 steps, a turn of MPI (default: 10)")
    parser.add_argument("--only", choices=["dask", "mpi"], help="one of the two")
    options = parser.parse_args()
    print(f"{measure.cpu()}, {os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}", flush=True)
    if options.only != "dask":
        ranks(options.repetitions, options.epochs)
    if options.only == "mpi":
        return
    with tempfile.TemporaryDirectory() as folder:
        workers(Path(folder), options.images, options.repetitions)


def workers(folder: Path, n: int, repetitions: int) -> None:
    """Score n images with one process and with two workers, in turns; then kill one worker halfway."""
    from distributed import Client, LocalCluster

    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (n, 28, 28))
    rng = np.random.default_rng(0)
    for start in range(0, n, ROWS):
        images[start : start + ROWS] = rng.integers(0, 256, images[start : start + ROWS].shape, dtype=np.uint8)
    environment, options = {"LENET_NUM_THREADS": "1"}, {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, env=environment, silence_logs=50, **options) as cluster, Client(cluster) as client:
        score(images[:1000], folder / "warm.npy", client=client)  # the workers import lenet
        one, two = [], []
        for k in range(repetitions):
            began = time.perf_counter()
            expected = by_one_process(images)
            one.append(time.perf_counter() - began)
            began = time.perf_counter()
            score(folder / "images.npy", folder / f"{k}.npy", client=client)
            two.append(time.perf_counter() - began)
            check(np.load(folder / f"{k}.npy"), expected)
            print(f"turn {k + 1}: {one[-1]:.2f} s and {two[-1]:.2f} s", flush=True)
        print_turns("one process", one, n)
        print_turns("two workers", two, n)
        print(f"two workers: {median(a / b for a, b in zip(one, two, strict=True)):.2f} times one process's speed")
        killer = threading.Timer(median(two) / 2, kill_one, [client])
        killer.start()
        began = time.perf_counter()
        score(folder / "images.npy", folder / "killed.npy", client=client)
        seconds = time.perf_counter() - began
        when = "after the end: take more images" if killer.is_alive() else "half way"
        killer.join()
        check(np.load(folder / "killed.npy"), expected)
        print(f"one of them killed {when}: {seconds:.2f} s; all {n:,} rows are there, once, right")


def kill_one(client: Any) -> None:
    """Kill a worker."""
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


def by_one_process(images: NDArray[np.uint8]) -> NDArray[Any]:
    """Return what `score` writes, computed by this process with one thread."""
    model = lenet.load_pretrained("mnist")
    rows = np.empty(len(images), [("digit", np.uint8), ("probability", np.float32)])
    for start in range(0, len(images), ROWS):
        probabilities = model.predict_proba(images[start : start + ROWS], n_jobs=1)
        rows["digit"][start : start + ROWS] = probabilities.argmax(axis=1)
        rows["probability"][start : start + ROWS] = probabilities.max(axis=1)
    return rows


def check(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """End with an error unless all rows are there, in order."""
    if not np.array_equal(found, expected):
        raise SystemExit("The scores are not those of one process.")


def print_turns(name: str, turns: list[float], n: int) -> None:
    """Print a row."""
    seconds = median(turns)
    print(
        f"{name}: {seconds:.2f} s, {1e6 * seconds / n:.2f} microseconds an image, best {min(turns):.2f} s", flush=True
    )


def ranks(repetitions: int, epochs: int) -> None:
    """Time steps of 256 images on one rank and on two, with one thread each, in turns."""
    turns = [(step(1, epochs), step(2, epochs)) for _ in range(repetitions)]
    one, two = (median(turn[k][0] for turn in turns) for k in (0, 1))
    ratio = median(turn[0][0] / turn[1][0] for turn in turns)
    print(
        f"a step of 256 images: {1e3 * one:.2f} ms by one rank, {1e3 * two:.2f} ms by two: {ratio:.2f} times the speed"
    )
    print("each turn:", *(f"{turn[0][0] / turn[1][0]:.2f}" for turn in turns))
    print(f"an all-reduce of the gradient between two: {1e6 * min(turn[1][1] for turn in turns):.0f} microseconds")


def step(count: int, epochs: int) -> tuple[float, float]:
    """Return the seconds of a step of so many ranks, in the best epoch, and of an all-reduce."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    launcher = shutil.which("mpiexec", path=path)
    if launcher is None:
        raise SystemExit("There is no mpiexec: python -m pip install mpich brings one.")
    command = [launcher, "-n", str(count), sys.executable, "-c", PROGRAM, str(epochs)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, reduce = out.split()
    return float(seconds), float(reduce)


if __name__ == "__main__":
    main()
