"""Report the accuracy, the precision and recall of each class, and the confusion matrix on the test set.

If DATA has no test set of its own, all its images are used. If the model was trained on DATA, only the images that
training held out are used. With --corruptions, the command reports the accuracy and the calibration error under the 15
corruptions of MNIST-C at five severities instead. That takes about 1 minute for 10,000 images on one core of an
AMD EPYC (Zen 5), and requires OpenCV: pip install 'lenet[vision]'.
"""

import argparse
import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lenet._bar import Bar
from lenet.cli.options import (
    COUNT,
    DATA_NAMES,
    add_common,
    add_data,
    add_model,
    load_data,
    load_model,
    note_other_size,
    warn_if_changed,
)
from lenet.cli.output import note, standard_output, warn
from lenet.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet.data import Dataset
    from lenet.evaluation import Report, RobustnessReport
    from lenet.model import LeNet5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet evaluate`."""
    add_data(parser)
    add_model(parser)
    parser.add_argument(
        "--as-mnist",
        action="store_true",
        help="give digits of other data sets the size, position, slant and stroke width of MNIST's (requires OpenCV)",
    )
    parser.add_argument(
        "--corruptions", action="store_true", help="report the accuracy under noise, blur, fog and other corruptions"
    )
    parser.add_argument("--images", type=COUNT, metavar="N", help="evaluate at most N images, chosen at random")
    add_common(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet evaluate`."""
    from lenet.evaluation import classification_report, robustness_report
    from lenet.reading import as_mnist

    model = load_model(arguments.model, quiet=arguments.quiet)
    data = load_test_set(model, arguments)
    chosen = chosen_images(len(data.y_test), arguments)
    images, labels = data.X_test[chosen], data.y_test[chosen]
    note_other_size(model, images, converted=arguments.as_mnist, quiet=arguments.quiet)
    if arguments.as_mnist:
        images = as_mnist(images)
    outcome: Report | RobustnessReport
    if arguments.corruptions:
        with Bar(shown=not arguments.quiet) as bar:
            outcome = robustness_report(model, images, labels, n_jobs=arguments.n_jobs, progress=bar.update)
    else:
        outcome = classification_report(model.logits(images, n_jobs=arguments.n_jobs), labels, model.classes)
    with standard_output():
        print(json.dumps(outcome.as_dict()) + "\n" if arguments.json else outcome, end="")
    return 0


def chosen_images(count: int, arguments: argparse.Namespace) -> "slice | NDArray[np.int64]":
    """Return an index of at most --images images, chosen at random; print a note if it omits some."""
    import numpy as np

    if arguments.images is None or arguments.images >= count:
        return slice(None)
    note(f"{arguments.images:,} of the {count:,} test images, chosen at random, are used.", quiet=arguments.quiet)
    return np.random.default_rng(0).permutation(count)[: arguments.images]


def load_test_set(model: "LeNet5", arguments: argparse.Namespace) -> "Dataset":
    """Load the data; print a note if they have no test set of their own, and a warning if names are assumed."""
    from lenet.training.runs import shown_name

    source = arguments.data
    name = shown_name(Path(os.path.realpath(source)))  # realpath does not raise for circular links
    is_training_set = source not in DATA_NAMES and model.metadata.get("data") == name
    raw = arguments.raw or "raw" in model.metadata
    data = load_data(source, raw=raw, strict=arguments.strict, hold_out=is_training_set, quiet=arguments.quiet)
    text = ""
    if is_training_set:
        warn_if_changed(model, name, data)
        text = f"The model was trained on data named {name}: only its test set, {len(data.X_test):,} images, is used."
    elif (held_out := held_out_part(model, data)) is not None:
        data, count = held_out, len(held_out.X_test)
        text = f"The model was trained on the images of {source}: only their test set, {count:,} images, is used."
    elif not len(data.X_train):
        text = (
            f"All {len(data.X_test):,} images of {source} are used, as it has no separate training set. If the model "
            "was trained on some of them, the accuracy is overestimated."
        )
    numbered = data.numbered_as(model.classes, source)
    if text:
        note(text, quiet=arguments.quiet)
    named = [f"{n} is {name}" for n, name in enumerate(model.classes) if name != str(n)]
    if numbered.classes is None and named:
        text = f"{source} has labels without names, so they are taken as positions among the model's classes"
        warn(f"{text}: {', '.join(named[:10])}{', ...' * (len(named) > 10)}.")
    return numbered


def held_out_part(model: "LeNet5", data: "Dataset") -> "Dataset | None":
    """Split a data set without a training set, if the result has the test set of the model; otherwise, return None."""
    from lenet.data.dataset import ONE_PICTURE_IN, ONE_ROW_IN, stratified_split

    expected = model.metadata.get("test_sha256")
    if expected is None or len(data.X_train):
        return None
    for one_in in (ONE_PICTURE_IN, ONE_ROW_IN):
        with contextlib.suppress(DataError):  # too few images, or gaps in the labels
            parts = stratified_split(data.X_test, data.y_test, one_in, "data")
            if parts.sha256(test_only=True) == expected:
                return data._replace(**parts._asdict())
    return None
