"""Report the accuracy, the precision and recall of each class, and the confusion matrix on the test set."""

import argparse
import json

from lenet.cli.data import add_data, load_data
from lenet.cli.options import add_common, add_model


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
    data = load_data(arguments.data, raw=arguments.raw, strict=arguments.strict, quiet=arguments.quiet)
    data = data.numbered_as(model.classes, arguments.data)
    labels = _checks.labels(data.y_test, len(data.X_test), model.num_classes)
    outcome = classification_report(model.logits(data.X_test, n_jobs=arguments.n_jobs), labels, model.classes)
    print(json.dumps(outcome.as_dict()) if arguments.json else outcome, end="\n" if arguments.json else "")
    return 0
