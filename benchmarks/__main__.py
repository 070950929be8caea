"""Compare lenet with onnxruntime, OpenVINO and PyTorch on this machine, as far as they are installed.

    pip install '.[bench]'
    python -m benchmarks

Prints a table, or JSON for benchmarks.results, which stores the published figures. See also benchmarks.growth, which
shows that time grows in proportion to the number of images and memory does not; and benchmarks.instructions, which
counts what the kernels execute.
"""

import argparse
import json
import os
import sys
from statistics import median
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.peers import installed
from lenet import LeNet5, load_pretrained
from lenet._fused.dispatch import available, chosen, kernels
from lenet.cli.bench import MULTIPLY_ADDS, gflops, peak_work

BATCHES, TRAIN_BATCHES = (1, 4, 64, 1024, 10_000), (4, 64, 256)
LIBRARIES = ("onnxruntime", "openvino", "torch")
Row = dict[str, Any]


def parse() -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each library, 9 by default")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="1 and 2 by default")
    parser.add_argument(
        "--variants", action="store_true", help="also torch.compile, and OpenVINO for throughput (minutes)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="small batches, two turns: a check that all of it works")
    return parser.parse_args()


def check(peers: list[Any], pixels: Any) -> float:
    """Return the largest difference between the libraries' logits; a large one is an error."""
    logits = {peer.name: peer.predictor(len(pixels), 1)(peer.images(pixels)) for peer in peers}
    ours, *others = logits.values()
    worst = max((float(np.abs(ours - other).max()) for other in others), default=0.0)
    if not worst <= 1e-5 * np.abs(ours).max():
        raise SystemExit(f"The libraries do not compute the same network: logits differ by {worst:g}.")
    return worst


def predict_row(peers: list[Any], pixels: Any, threads: int, repetitions: int) -> dict[str, Any]:
    """Time one batch in each library."""
    functions = {}
    for peer in peers:
        predict, images = peer.predictor(len(pixels), threads), peer.images(pixels)
        functions[peer.name] = lambda predict=predict, images=images: predict(images)
    return _row(functions, len(pixels), threads, repetitions, MULTIPLY_ADDS)


def train_row(peers: list[Any], pixels: Any, threads: int, repetitions: int) -> dict[str, Any]:
    """Time one step in each library that trains."""
    y = np.random.default_rng(1).integers(0, 10, len(pixels))
    functions = {peer.name: peer.trainer(peer.images(pixels), y, threads) for peer in peers if peer.trainer}
    return _row(functions, len(pixels), threads, repetitions, measure.TRAIN_MULTIPLY_ADDS)


def _row(functions: dict[str, Any], batch: int, threads: int, repetitions: int, multiply_adds: int) -> dict[str, Any]:
    """Time the functions and, in the same turns, the peak, because clock rates change."""
    build = kernels()
    turns = measure.interleaved(functions | {"peak": peak_work(build, threads)}, repetitions)
    peak = gflops(build, threads, median(turns.pop("peak")))
    microseconds = {name: 1e6 * median(each) / batch for name, each in turns.items()}
    share = 2e-3 * multiply_adds / microseconds["lenet"] / peak
    spread = measure.spread(turns["lenet"])
    return {
        "batch": batch, "threads": threads, "microseconds": microseconds, "peak_gflops": peak, "share": share,
        "spread": spread,
    }  # fmt: skip


def float_rows(model: LeNet5, pixels: Any, repetitions: int) -> list[dict[str, Any]]:
    """Time lenet on uint8 and on float32 images, one thread."""
    rows = []
    for batch in (1, 64):
        images = {"uint8": pixels[:batch], "float32": (pixels[:batch] / 255).astype(np.float32)}
        functions = {name: lambda x=x: model.logits(x, n_jobs=1) for name, x in images.items()}
        turns = measure.interleaved(functions, repetitions)
        rows.append({"batch": batch} | {name: 1e6 * median(each) / batch for name, each in turns.items()})
    return rows


def build_rows(model: LeNet5, pixels: Any, repetitions: int) -> list[dict[str, Any]]:
    """Time each build of the kernels that this CPU runs, on one thread, and its peak."""
    out = np.empty((len(pixels), model.num_classes), np.float32)
    functions = {}
    for name, build in available().items():
        functions[name] = lambda build=build: build.logits(model.parameters.flat, pixels, model.mean, model.std, out)
        functions[f"{name} peak"] = peak_work(build)
    seconds = {name: median(turns) for name, turns in measure.interleaved(functions, repetitions).items()}
    rows = []
    for name, build in available().items():
        peak, microseconds = gflops(build, 1, seconds[f"{name} peak"]), 1e6 * seconds[name] / len(pixels)
        share = 2e-3 * MULTIPLY_ADDS / microseconds / peak
        rows.append({"build": name, "microseconds": microseconds, "peak_gflops": peak, "share": share})
    return rows


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown: microseconds per image, ratio to the best peer, fraction of the peak."""
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


def main() -> None:
    """Run the comparison."""
    options = parse()
    repetitions = 2 if options.quick else options.repetitions
    batches, train_batches = (BATCHES[:3], TRAIN_BATCHES[:2]) if options.quick else (BATCHES, TRAIN_BATCHES)
    model = load_pretrained("mnist")
    pixels = np.random.default_rng(0).integers(0, 256, (max(batches), 28, 28), dtype=np.uint8)
    peers = installed(model, options.variants)
    difference = check(peers, pixels[:64])
    if len(peers) == 1:
        print("No other library is installed: pip install '.[bench]' adds those to compare with.", file=sys.stderr)
    else:
        print(f"{', '.join(peer.name for peer in peers)}: the logits agree to {difference:.1g}.", file=sys.stderr)
    results = {
        "cpu": measure.cpu(),
        "cores": os.cpu_count(),
        "build": chosen(),
        "compiler": kernels().build()["compiler"],
        "versions": measure.versions(LIBRARIES),
        "repetitions": repetitions,
        "call_microseconds": 1e6 * median(measure.interleaved({"call": lambda: model.logits(pixels[:0])}, 9)["call"]),
        "predict": [
            predict_row(peers, pixels[:batch], threads, repetitions) for threads in options.threads for batch in batches
        ],
        "train": [
            train_row(peers, pixels[:batch], threads, repetitions)
            for threads in options.threads
            for batch in train_batches
        ],
        "floats": float_rows(model, pixels, repetitions),
        "builds": build_rows(model, pixels[:64], repetitions),
    }
    print(json.dumps(results) if options.json else table(results))


if __name__ == "__main__":
    main()
