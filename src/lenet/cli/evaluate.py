"""Report the accuracy, the precision and recall of each class, and the confusion matrix on the test set.

If DATA has no test set of its own, all its images are used. If the model was trained on DATA, only the images that
training held out are used.
"""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lenet.cli.data import DATA_NAMES, add_data, load_data
from lenet.cli.options import add_common, add_model
from lenet.cli.output import note

if TYPE_CHECKING:
    from lenet.data import Dataset
    from lenet.model import LeNet5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet evaluate`."""
    add_data(parser)
    add_model(parser)
    add_common(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet evaluate`."""
    from lenet import _checks
    from lenet.cli.options import load_model
    from lenet.evaluation.report import classification_report

    model = load_model(arguments.model)
    data = load_test_set(model, arguments)
    labels = _checks.labels(data.y_test, len(data.X_test), model.num_classes)
    outcome = classification_report(model.logits(data.X_test, n_jobs=arguments.n_jobs), labels, model.classes)
    print(json.dumps(outcome.as_dict()) if arguments.json else outcome, end="\n" if arguments.json else "")
    return 0


def load_test_set(model: "LeNet5", arguments: argparse.Namespace) -> "Dataset":
    """Load the data, and print a note if they have no test set of their own."""
    from lenet.training.runs import shown_name

    source = arguments.data
    name = shown_name(Path(os.path.realpath(source)))  # which ignores links that lead to themselves
    is_training_set = source not in DATA_NAMES and model.metadata.get("data") == name
    data = load_data(
        source, raw=arguments.raw, strict=arguments.strict, hold_out=is_training_set, quiet=arguments.quiet
    )
    if is_training_set:
        text = f"The model was trained on {source}: only its test set of {len(data.X_test):,} images is tested."
        note(text, quiet=arguments.quiet)
    elif not len(data.X_train):
        text = f"{source} has no test set of its own: all of its {len(data.X_test):,} images are tested."
        note(text, quiet=arguments.quiet)
    return data.numbered_as(model.classes, source)
