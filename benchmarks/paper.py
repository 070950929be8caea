"""Compare LeNet-5 of 1998 and of today with the paper: errors, Figures 5 and 6, and rejection.

    python -m benchmarks.paper                        # train missing runs, then print the table
    python -m benchmarks.paper 1998-0 1998-distorted  # train only these
    python -m benchmarks.paper --table                # print the table of finished runs
    python -m benchmarks.paper --folder DIR           # store the runs in DIR; default: runs/paper

It requires MNIST. Each run writes its state after every epoch, and resumes there after an interruption. All images are
used for training, and the weights after the last epoch are tested.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lenet
from benchmarks import measure
from lenet.loading import network_class
from lenet.training import RECIPES, Recipe, State
from lenet.training.checkpoint import checkpoint_bytes, read_checkpoint

EPOCHS = (1, 2, 3, 5, 8, 12, 16, 20)
REJECTED_FOR = 0.005  # error rate on the accepted digits, for which the paper gives the rejected part
ALL = 60_000
ROWS = {  # the suffixes of the runs' names, and the paper's test error in percent, where its text gives one
    "without distortions": (("-0", "-1", "-2"), "0.95"),
    "with distortions": (("-distorted",), "0.8"),
    "15,000 images": (("-15000",), ""),
    "30,000 images": (("-30000",), ""),
}
NETWORKS = ("1998", "today")


@dataclass(frozen=True)
class Training:
    """A network, its recipe, and the number of training images."""

    network: str | None
    recipe: Recipe
    seed: int = 0
    images: int = ALL


COMPLETE = 20  # epochs
OF_1998 = RECIPES["paper"]
OF_TODAY = RECIPES["default"].with_changes(epochs=20, validation=0.0, distort=False)
TRAININGS = {
    "1998-0": Training("1998", OF_1998),
    "1998-distorted": Training("1998", OF_1998.with_changes(distort=True)),
    "1998-1": Training("1998", OF_1998, 1),
    "1998-2": Training("1998", OF_1998, 2),
    "1998-15000": Training("1998", OF_1998, images=15_000),
    "1998-30000": Training("1998", OF_1998, images=30_000),
    "today-0": Training(None, OF_TODAY),
    "today-1": Training(None, OF_TODAY, 1),
    "today-2": Training(None, OF_TODAY, 2),
    "today-distorted": Training(None, OF_TODAY.with_changes(distort=True)),
    "today-15000": Training(None, OF_TODAY, images=15_000),
    "today-30000": Training(None, OF_TODAY, images=30_000),
}


def run(name: str, folder: Path, data: Any, n_jobs: int | None) -> None:
    """Run or resume training; write the weights, the state, and the test error after each epoch."""
    training = TRAININGS[name]
    model = network_class(training.network)(seed=training.seed)
    checkpoint, record = folder / f"{name}.checkpoint", folder / f"{name}.json"
    args = {"name": name, "recipe": training.recipe.__dict__}
    state = read_checkpoint(checkpoint, model, training.recipe, args) if checkpoint.exists() else None
    errors: list[float] = json.loads(record.read_text("utf-8"))["errors"] if state else []

    def on_epoch(state: State) -> None:
        errors[len(state.history) - 1 :] = [100 * float((model.predict(data.X_test) != data.y_test).mean())]
        row = state.history[-1]
        print(f"{name}: epoch {row.epoch}, {errors[-1]:.2f}% test errors, {row.seconds:.0f} s", flush=True)
        result = {"errors": errors, "seconds": row.seconds, "cpu": measure.cpu()}
        record.write_text(json.dumps(result) + "\n", "utf-8")
        checkpoint.write_bytes(checkpoint_bytes(state, args))

    images, labels = data.X_train[: training.images], data.y_train[: training.images]
    lenet.train(model, images, labels, training.recipe, seed=training.seed, n_jobs=n_jobs, state=state,
                on_epoch=on_epoch)  # fmt: skip
    model.save(folder / f"{name}.safetensors")


def table(folder: Path, data: Any) -> str:
    """Return the table of finished runs."""
    records = {
        name: json.loads(path.read_text("utf-8")) for name in TRAININGS if (path := folder / f"{name}.json").exists()
    }
    lines = ["| test error, % | paper | 1998 | today |", "|---|---|---|---|"]
    for title, (suffixes, paper) in ROWS.items():
        lines.append(row(title, paper, *(error(records, network, suffixes, -1) for network in NETWORKS)))
    for epoch in EPOCHS:
        lines.append(row(f"after epoch {epoch}", "", *(error(records, each, ("-0",), epoch - 1) for each in NETWORKS)))
    rejected = (rejection(folder / f"{network}-0.safetensors", data) for network in NETWORKS)
    lines.append(row("digits to reject for 0.5% errors, %", "1.8 (LeNet-4)", *rejected))
    cpus = sorted({each["cpu"] for each in records.values()})
    return "\n".join([*lines, "", *(f"Measured on {cpu}." for cpu in cpus)])


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def error(records: dict[str, Any], network: str, suffixes: Sequence[str], epoch: int) -> str:
    """Return the test error after an epoch, a mean over seeds; the last epoch counts only if training was complete."""
    found = [records[network + each]["errors"] for each in suffixes if network + each in records]
    needed = COMPLETE if epoch < 0 else epoch + 1
    values = [errors[epoch] for errors in found if len(errors) >= needed]
    if not values:
        return ""
    each = f" ({', '.join(f'{value:.2f}' for value in values)})" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{each}"


def rejection(path: Path, data: Any) -> str:
    """Return the percentage of the test set to reject."""
    if not path.exists():
        return ""
    probabilities = lenet.load(path).predict_proba(data.X_test)
    return f"{100 * lenet.evaluation.rejection_rate(probabilities, data.y_test, REJECTED_FOR):.1f}"


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(TRAININGS)}")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--folder", type=Path, default=Path("runs/paper"), metavar="DIR")
    parser.add_argument("--n-jobs", type=int, metavar="N", help="number of threads")
    options = parser.parse_args()
    if unknown := set(options.names) - TRAININGS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: no such training; expected some of {', '.join(TRAININGS)}.")
    data = lenet.data.load("mnist")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in [] if options.table else options.names or TRAININGS:
        if not (options.folder / f"{name}.safetensors").exists():
            run(name, options.folder, data, options.n_jobs)
    print(table(options.folder, data))


if __name__ == "__main__":
    main()
