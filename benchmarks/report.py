"""The figures of a run as a table, as JSON and as a chart."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]
COLOURS = {"lenet": "#d1495b", "onnxruntime": "#30638e", "OpenVINO": "#66a182", "PyTorch": "#b0a8b9"}


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown: microseconds an image, the ratio to the best peer, the share of the peak."""
    lines = [f"CPU: {results['cpu']}, {results['cores']} cores; kernels: {results['build']}, {results['compiler']}"]
    lines += [", ".join(f"{name} {version}" for name, version in results["versions"].items())]
    lines += [f"A call of lenet without an image, in microseconds: {results['call_microseconds']:.1f}"]
    for title, rows in (("Predicting", results["predict"]), ("A training step", results["train"])):
        names = list(rows[0]["microseconds"])
        lines += ["", f"{title}, microseconds an image:", ""]
        lines += [_line("batch", "threads", *names, "lenet / best peer", "peak, GFLOP/s", "share of it")]
        lines += [_line(*["---"] * (len(names) + 5))]
        for row in rows:
            cells = row["batch"], row["threads"], *_times(row), _ratio(row)
            lines += [_line(*cells, f"{row['peak_gflops']:.0f}", f"{row['share']:.0%}")]
    lines += ["", "Builds of the kernels on this CPU, predicting at batch 64, one thread:", ""]
    lines += [_line("build", "microseconds an image", "its peak, GFLOP/s", "share", "time / best build")]
    lines += [_line(*["---"] * 5)]
    best = min(row["microseconds"] for row in results["builds"])
    for row in results["builds"]:
        cells = f"{row['microseconds']:.2f}", f"{row['peak_gflops']:.0f}", f"{row['share']:.0%}"
        lines += [_line(row["build"], *cells, f"{row['microseconds'] / best:.2f}")]
    worst = max(row["spread"] for row in results["predict"] + results["train"])
    lines += ["", f"The middle half of lenet's turns lay within {worst:.0%} of the median, in the worst row."]
    lines += ["Where that is more than some percent, something else was at work on this machine."]
    return "\n".join(lines)


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _times(row: Row) -> list[str]:
    return [f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in row["microseconds"].values()]


def _ratio(row: Row) -> str:
    ours, *peers = row["microseconds"].values()
    return f"{ours / min(peers):.2f}" if peers else ""


def write(results: dict[str, Any], folder: Path) -> None:
    """Write results.json and results.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    chart(results, folder / "results.png")


def chart(results: dict[str, Any], path: Path) -> None:
    """Draw a bar for each library, a group for each batch size, a panel for each kind of work: times lenet's time."""
    from matplotlib.figure import Figure

    panels = [
        (f"{title}, {threads} thread{'s' * (threads > 1)}", [row for row in rows if row["threads"] == threads])
        for title, rows in (("Predicting", results["predict"]), ("Training step", results["train"]))
        for threads in sorted({row["threads"] for row in rows})
    ]
    figure = Figure(figsize=(11.5, 7), layout="constrained")
    axes = figure.subplots(2, (len(panels) + 1) // 2, squeeze=False).flat
    for axis, (title, rows) in zip(axes, panels, strict=False):
        _bars(axis, title, rows)
    handles, labels = max((axis.get_legend_handles_labels() for axis in figure.axes), key=lambda pair: len(pair[1]))
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    footer = (
        f"Labels: microseconds an image, median of {results['repetitions']} turns; lower is better. {results['cpu']}, "
        f"{results['cores']} cores.\nAll compute in float32; lenet reads uint8 pixels, the others float32 images made "
        "of them beforehand. PyTorch is eager."
    )
    figure.supxlabel(footer, fontsize=9)
    figure.savefig(path, dpi=150)


def _bars(axis: Any, title: str, rows: list[Row]) -> None:
    names = list(rows[0]["microseconds"])
    width = 0.84 / len(names)
    for number, name in enumerate(names):
        places = [place + (number - (len(names) - 1) / 2) * width for place in range(len(rows))]
        times = [row["microseconds"][name] for row in rows]
        ratios = [row["microseconds"][name] / row["microseconds"]["lenet"] for row in rows]
        bars = axis.bar(places, ratios, width, label=name, color=COLOURS[name.partition(" ")[0]])
        axis.bar_label(bars, [f"{value:.1f}" if value < 100 else f"{value:.0f}" for value in times], fontsize=6.5)
    axis.set_title(title, fontsize=10)
    axis.set_xticks(range(len(rows)), [f"{row['batch']:,}" for row in rows])
    axis.set_xlabel("images a call" if title.startswith("Predicting") else "images a step")
    axis.set_ylabel("times lenet's time")
    axis.spines[["top", "right"]].set_visible(False)
