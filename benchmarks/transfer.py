"""Measure the accuracy with few pictures per class, from random and from the shipped weights.

    python -m benchmarks.transfer

The letters and symbols are synthetic (`benchmarks.drawings`); the test letters have fonts of other families than the
training letters. Each accuracy is the mean over some seeds, which choose the pictures and the initial weights. Then
the command line trains on 320 files of symbols, and the shipped weights are adapted to scikit-learn's digits.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

import lenet
from benchmarks import drawings
from lenet.reading import prepare
from lenet.training import RECIPES, train, transfer

COUNTS = (5, 10, 20, 50)
TESTED = 40  # pictures per class
Labels = NDArray[np.int64]
Draw = Callable[[str, np.random.Generator], drawings.Image]


def drawn(draw: Draw, names: Sequence[str], count: int, seed: int) -> tuple[drawings.Image, Labels]:
    """Draw and prepare `count` pictures per class."""
    rng = np.random.default_rng(seed)
    images = [prepare(draw(name, rng), dark_on_light=True) for name in names for _ in range(count)]
    return np.stack(images), np.repeat(np.arange(len(names)), count)


def accuracies(training: Draw, testing: Draw, names: Sequence[str], count: int, seeds: int) -> NDArray[np.float64]:
    """Return the accuracy from scratch, from scratch with four times the epochs, and from the shipped weights."""
    shipped, outcome = lenet.load_pretrained("mnist"), []
    X_test, y_test = drawn(testing, names, TESTED, 1_000)
    for seed in range(seeds):
        X, y = drawn(training, names, count, seed)
        small, from_shipped = (
            RECIPES[name].with_changes(validation=0.0) if count < 10 else RECIPES[name]
            for name in ("small", "transfer")
        )
        for model, recipe in (
            (lenet.LeNet5(seed, num_classes=len(names)), small),
            (lenet.LeNet5(seed, num_classes=len(names)), small.with_changes(epochs=4 * small.epochs)),
            (transfer(shipped, names, seed=seed), from_shipped),
        ):
            train(model, X, y, recipe, seed=seed)
            outcome.append((model.predict(X_test) == y_test).mean())
    return np.reshape(outcome, (seeds, 3)).mean(axis=0)


def train_on_a_folder() -> None:
    """Print the accuracy and the duration of `lenet train` on files of symbols."""
    X_test, y_test = drawn(drawings.symbol, list(drawings.STROKES), 100, 1_001)
    with tempfile.TemporaryDirectory() as folder:
        drawings.write_symbols(Path(folder, "symbols"), 40, 0)
        command = [sys.executable, "-m", "lenet", "train", "symbols", "--from", "mnist"]
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        model = lenet.load(Path(folder, "runs/train-1/best.safetensors"))
    accuracy = (model.predict(X_test) == y_test).mean()
    print(
        f"`lenet train symbols --from mnist`, 320 files: {accuracy:.1%} of {len(y_test)} others right, {seconds:.1f} s"
    )


def adapt(count: int, seeds: int) -> None:
    """Print how a few digits by other writers change the accuracy on these writers and on MNIST."""
    mnist, others, shipped = lenet.data.load("mnist"), lenet.data.load_digits(), lenet.load_pretrained("mnist")
    outcome = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        chosen = np.concatenate([rng.permutation(np.flatnonzero(others.y_train == k))[:count] for k in range(10)])
        model = transfer(shipped, shipped.classes)
        recipe = RECIPES["adapt"].with_changes(validation=0.0)
        train(model, others.X_train[chosen], others.y_train[chosen], recipe, seed=seed)
        outcome.append([(each.predict(data.X_test) == data.y_test).mean() for data in (others, mnist)
                        for each in (shipped, model)])  # fmt: skip
    before, after, kept, left = np.mean(outcome, axis=0)
    print(f"scikit-learn's digits, {count} of each: {before:.1%} before, {after:.1%} after")
    print(f"MNIST's test digits: {kept:.2%} before, {left:.2%} after")


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    seeds = parser.parse_args().seeds
    tasks: dict[str, tuple[Draw, Draw, Sequence[str]]] = {
        "26 letters": (
            lambda name, rng: drawings.letter(name, drawings.TRAINING, rng),
            lambda name, rng: drawings.letter(name, drawings.TESTING, rng),
            list(ascii_uppercase),
        ),
        "8 symbols": (drawings.symbol, drawings.symbol, list(drawings.STROKES)),
    }
    print("| pictures | from scratch | from scratch, 800 epochs | from mnist |\n|---|---|---|---|")
    for task, (training, testing, names) in tasks.items():
        for count in COUNTS:
            cells = " | ".join(f"{each:.1%}" for each in accuracies(training, testing, names, count, seeds))
            print(f"| {task}, {count} of each | {cells} |", flush=True)
    train_on_a_folder()
    adapt(5, seeds)


if __name__ == "__main__":
    main()
