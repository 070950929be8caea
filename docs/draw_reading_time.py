"""Draw the flame graph of docs/recognition.md: `python -m docs.draw_reading_time` writes docs/images/reading/time.png.

It shows the page of 12 megapixels that `python -m benchmarks.reading` measures, so it needs MNIST.
"""

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

import lenet
from benchmarks.reading import page
from lenet.reading import read

OUT = Path(__file__).parent / "images" / "reading" / "time.png"
READINGS = 20
PERIOD = 0.001  # seconds from sample to sample
MIN_SHARE = 0.004  # of the time: functions that take less are not drawn
LETTER_WIDTH = 0.0075  # the width of a letter, as a fraction of the figure's
Stack = tuple[str, ...]  # the names of functions, callers first


class Sampler(threading.Thread):
    """A thread that counts which functions of lenet the main thread is in."""

    def __init__(self) -> None:
        super().__init__()
        self.stacks: Counter[Stack] = Counter()
        self.done = threading.Event()

    def run(self) -> None:
        """Count until `done` is set."""
        main = threading.main_thread().ident or 0
        while not self.done.wait(PERIOD):
            self.stacks[stack_of(sys._current_frames()[main])] += 1


def stack_of(frame: FrameType | None) -> Stack:
    """Return the functions of lenet.reading that are running, as module.name, and "network" if they called it."""
    names: list[str] = []
    while frame is not None:
        package, _, module = frame.f_globals["__name__"].rpartition(".")
        name = frame.f_code.co_name
        if package == "lenet.reading" and not name.startswith("<"):  # such as <lambda>
            names.append(f"{module}.{name}")
        elif (package, module) == ("lenet", "model") and not names:
            names.append("network")
        frame = frame.f_back
    return tuple(reversed(names))


def sample(path: Path) -> Counter[Stack]:
    """Return how often each stack was seen while the picture was read, on one thread."""
    cv2.setNumThreads(1)
    read(path, n_jobs=1)
    sampler = Sampler()
    sampler.start()
    for _ in range(READINGS):
        read(path, n_jobs=1)
    sampler.done.set()
    sampler.join()
    del sampler.stacks[()]
    return sampler.stacks


def draw(ax: Any, stacks: Counter[Stack], total: int, left: float = 0.0, depth: int = 0) -> None:
    """Draw a box for each function that is first in a stack, and above it the functions that it calls."""
    callees: dict[str, Counter[Stack]] = {}
    for (name, *rest), count in stacks.items():
        callees.setdefault(name, Counter())[tuple(rest)] += count
    for name, above in sorted(callees.items()):
        width = above.total() / total
        if width >= MIN_SHARE:
            module, _, function = name.rpartition(".")
            colour = mpl.colormaps["Pastel1"](sum(module.encode()) % 8)
            ax.add_patch(Rectangle((left, depth), width, 1, facecolor=colour, edgecolor="white", linewidth=1))
            text = next((text for text in (name, function) if len(text) * LETTER_WIDTH < width - 0.004), "")
            ax.text(left + 0.004, depth + 0.5, text, va="center", fontsize=7, family="monospace")
            above.pop((), None)
            draw(ax, above, total, left, depth + 1)
        left += width


def main() -> None:
    """Draw the page, read it, and save the figure."""
    data = lenet.data.load("mnist")
    picture, _ = page(data.X_test, data.y_test, np.random.default_rng(0), 0)
    path = OUT.with_suffix(".jpg")
    cv2.imwrite(str(path), cv2.resize(picture, (3000, 4000), interpolation=cv2.INTER_CUBIC))
    try:
        stacks = sample(path)
    finally:
        path.unlink()
    figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
    draw(ax, stacks, stacks.total())
    ax.set(xlim=(0, 1), ylim=(0, ax.dataLim.y1))
    ax.axis("off")
    figure.savefig(OUT, dpi=150)


if __name__ == "__main__":
    main()
