"""Measure the time and memory to load a folder of small pictures: `python -m benchmarks.loading`.

The pictures are synthetic: letters (`benchmarks.drawings`), as PNG files of 96x96 pixels.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import drawings

DRAWN = 500  # pictures, which the files repeat
LOAD = """
import re, sys, time
import lenet.data
import lenet.reading
def memory(name):
    return int(re.search(name + r":\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1000
lenet.data.load(sys.argv[1] + "/warm")
before, began, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
data = lenet.data.load(sys.argv[1] + "/pictures")
wall, cpu, n = time.perf_counter() - began, time.process_time() - cpu, len(data.X_train) + len(data.X_test)
print(n, wall, cpu, memory("VmHWM") - before, data.X_train.nbytes + data.X_test.nbytes)
"""


def write(folder: Path, count: int) -> None:
    """Write pictures of ten letters."""
    rng, names = np.random.default_rng(0), "ABCDEFGHIJ"
    pictures = [drawings.letter(names[n % 10], drawings.TRAINING, rng) for n in range(min(DRAWN, count))]
    for n in range(count):
        path = folder / names[n % 10] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[n % DRAWN]).save(path)


def measure(count: int) -> tuple[int, float, float, float, int]:
    """Load `count` files in a process; return their number, the seconds, those of the CPU, the memory and the images'.

    The memory is in MB, in addition to what a small folder takes; that of the images is in bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "warm"), 100)
        write(Path(folder, "pictures"), count)
        command = [sys.executable, "-c", LOAD, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    n, wall, cpu, memory, images = map(float, done.stdout.split())
    return int(n), wall, cpu, memory, int(images)


def main() -> None:
    """Print the speed and the memory of two numbers of pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, metavar="N")
    for count in (2_000, parser.parse_args().count):
        n, wall, cpu, memory, images = measure(count)
        print(
            f"{n:,} files: {n / wall:,.0f} pictures a second on {os.cpu_count()} cores; each takes "
            f"{cpu / n * 1e6:.0f} us of a core; together {memory:.0f} MB, {images / 1e6:.0f} MB of them the images",
            flush=True,
        )


if __name__ == "__main__":
    main()
