"""Draw docs/benchmark.png from the results of `python -m benchmarks`."""

import json
import re
from collections import defaultdict
from pathlib import Path

COLOURS = {"lenet": "#d1495b", "onnxruntime": "#30638e", "OpenVINO": "#66a182", "PyTorch": "#8d6a9f"}
KEY = re.compile(r"(predict|training step), ([\d,]+) images?, (\d) threads?, (.+) \(us\)")


def draw(values: dict[str, float], path: Path) -> None:
    """Draw microseconds per image by batch size: a line for each library, a panel for each kind of work.

    The file also contains the values as text, so that a test can compare them.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    times = {key: value for key, value in values.items() if KEY.fullmatch(key)}
    panels: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for key, value in times.items():
        work, batch, threads, library = KEY.fullmatch(key).groups()  # type: ignore[union-attr]
        panels[work, threads][library][batch] = value
    figure = Figure(figsize=(7, 6.6), layout="constrained")
    grid = figure.subplots(2, (len(panels) + 1) // 2, squeeze=False, sharey=True).flat
    for axis, ((work, threads), lines) in zip(grid, panels.items(), strict=True):
        for library, points in lines.items():
            colour = COLOURS[library.partition(" ")[0]]
            axis.plot([*points], [*points.values()], "o-", color=colour, label=library, zorder=3)
        axis.set_title(f"{work.capitalize()}, {threads} thread{'s' * (threads != '1')}", fontsize=11)
        axis.set_xlabel("images per call" if work == "predict" else "images per step")
        axis.set_yscale("log")
        axis.set_yticks(ticks := [2, 5, 10, 20, 50, 100, 200], [str(tick) for tick in ticks])
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.grid(axis="y", color="#dddddd")
        axis.margins(x=0.1)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supylabel("microseconds per image (lower is better)", fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9.5)
    figure.savefig(path, dpi=200, metadata={"Description": json.dumps(times), "Software": None})
