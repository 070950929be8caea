"""Show that time grows in proportion to the number of images, and that memory does not grow beyond them.

    python -m benchmarks.growth

Each row is a separate process, whose peak memory is read before and after. The images are uint8, 784 bytes each; the
fastest of five processes is shown.
"""

import argparse
import subprocess
import sys

PROGRAM = """
import resource, sys, time
import numpy as np, lenet

def highest():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)

n = int(sys.argv[1])
model = lenet.load_pretrained("mnist")
images = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
model.predict(images[:100])
before = highest()
began = time.perf_counter()
labels = model.predict(images)
print(time.perf_counter() - began, images.nbytes, highest() - before)
"""


def row(n: int) -> tuple[float, int, int]:
    """Return the seconds, the bytes of n images, and the increase of peak memory while they were read."""
    command = [sys.executable, "-c", PROGRAM, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, images, more = done.stdout.split()
    return float(seconds), int(images), int(more)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    counts = parser.parse_args().images
    print("| images | seconds | microseconds an image | MB of images | MB more while predicting |")
    print("| --- | --- | --- | --- | --- |")
    for n in counts:
        seconds, images, more = min(row(n) for _ in range(5))
        cells = f"{n:,}", f"{seconds:.4f}", f"{1e6 * seconds / n:.2f}", f"{images / 1e6:.1f}", f"{more / 1e6:.1f}"
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
