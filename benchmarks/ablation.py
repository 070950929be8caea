"""Show which parts of the recipe `drawn` make the shipped weights accurate and robust.

    python -m benchmarks.ablation

Each row trains on the first images of MNIST's training set with some parts of the recipe, and prints the accuracy on
MNIST's first test images: clean, and under the corruptions of `lenet.evaluation.corruptions`. The training runs are
short, so the figures are below those of the shipped weights.
"""

import argparse
from itertools import product

import lenet
from lenet.evaluation import robustness_report
from lenet.training import RECIPES

BASE = RECIPES["drawn"].with_changes(optimizer="sgd", lr=0.08)  # as the published table was measured
NO_IMAGES = {"drawn_digits": 0.0, "non_digits": 0.0}
ROWS = {  # changes to the recipe
    "neither distortions nor added images": {"distort": False, "vary": False, "defects": 0.0, **NO_IMAGES},
    "variations": {"defects": 0.0, **NO_IMAGES},
    "variations and non-digits": {"defects": 0.0, "drawn_digits": 0.0},
    "variations and drawn digits": {"defects": 0.0, "non_digits": 0.0},
    "variations and defects": NO_IMAGES,
    "all": {},
}
STANDARDISATION = {"training set": True, "image": "image"}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="training images (default: 10000)")
    parser.add_argument("--tested", type=int, default=2_000, metavar="N", help="test images (default: 2000)")
    parser.add_argument("--epochs", type=int, default=40, metavar="N", help="default: 40")
    options = parser.parse_args()
    X, y, X_test, y_test = lenet.data.load("mnist")
    X, y, X_test, y_test = X[: options.images], y[: options.images], X_test[: options.tested], y_test[: options.tested]
    print("| trained with | mean and standard deviation of | clean | corrupted, mean | worst |\n|---|---|---|---|---|")
    for (name, changes), (of, standardise) in product(ROWS.items(), STANDARDISATION.items()):
        model = lenet.LeNet5(seed=0)
        lenet.train(model, X, y, BASE.with_changes(epochs=options.epochs, standardise=standardise, **changes))
        report = robustness_report(model, X_test, y_test)
        found = report.summary(published=True)
        accuracies = (report.clean_accuracy, found["accuracy"], found["worst_accuracy"])
        print(f"| {name} | the {of} | {' | '.join(f'{each:.1%}' for each in accuracies)} |", flush=True)


if __name__ == "__main__":
    main()
