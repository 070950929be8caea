"""Which parts of the recipe of the shipped weights make them accurate and robust.

    python -m benchmarks.ablation

Each row trains on the first images of MNIST's training set with some parts of the recipe, and prints the accuracy on
MNIST's first test images: as they are, and under the corruptions of `lenet.evaluation.corruptions`. The trainings are
short, so the figures are below those of the shipped weights.
"""

import argparse

import lenet
from lenet.evaluation import robustness_report
from lenet.training import RECIPES

WILD = RECIPES["wild"]
PARTS = {  # and how the recipe of a row differs from `wild`
    "no distortions, no non-digits": {"distort": False, "vary": False, "defects": 0.0, "non_digits": 0.0},
    "distortions": {"vary": False, "defects": 0.0, "non_digits": 0.0},
    "variations": {"defects": 0.0, "non_digits": 0.0},
    "variations, non-digits": {"defects": 0.0},
    "variations, defects": {"non_digits": 0.0},
    "variations, defects, non-digits": {},
    "the same, standardised by the training set": {"standardise": True},
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="training images (default: 20000)")
    parser.add_argument("--tested", type=int, default=2_000, metavar="N", help="test images (default: 2000)")
    parser.add_argument("--epochs", type=int, default=30, metavar="N", help="default: 30")
    options = parser.parse_args()
    X, y, X_test, y_test = lenet.data.load("mnist")
    X, y, X_test, y_test = X[: options.images], y[: options.images], X_test[: options.tested], y_test[: options.tested]
    print("| trained with | clean | corrupted, mean | worst corruption |\n|---|---|---|---|")
    for name, changes in PARTS.items():
        model = lenet.LeNet5(seed=0)
        lenet.train(model, X, y, WILD.with_changes(epochs=options.epochs, **changes))
        report = robustness_report(model, X_test, y_test)
        found = report.summary()
        print(
            f"| {name} | {report.clean_accuracy:.1%} | {found['accuracy']:.1%} | {found['worst_accuracy']:.1%} "
            f"({found['worst_corruption']}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
