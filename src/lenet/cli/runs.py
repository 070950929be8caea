"""Begin or resume a run of `lenet train`: load its data, choose its recipe, and create or open its folder."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet import __version__
from lenet._files import check_writable
from lenet.cli.options import DATA_NAMES, load_data, load_model, usage_errors, warn_if_changed
from lenet.cli.output import note, quoted, warn
from lenet.errors import DataError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet.data import Dataset
    from lenet.model import LeNet5
    from lenet.training.recipes import Recipe
    from lenet.training.runs import Run

SMALL = 10_000
NUM_DIGITS = 10
RECIPE_OPTIONS = (
    "epochs", "batch_size", "lr", "momentum", "weight_decay", "schedule", "distort", "validation", "patience",
)  # fmt: skip


def begin_run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> "tuple[Run, Dataset]":
    """Load the data, choose the recipe, and create the run folder."""
    from lenet.training.fine_tuning import transfer
    from lenet.training.recipes import recipe_named
    from lenet.training.runs import Run, shown_name

    changes = {name: getattr(arguments, name) for name in RECIPE_OPTIONS}
    with usage_errors(parser, r"^\w+", *RECIPE_OPTIONS):
        recipe = chosen_recipe(arguments)
        recipe.with_changes(**changes)
    require_extras(recipe, tensorboard=arguments.tensorboard)
    old = None if arguments.start is None else load_model(arguments.start, quiet=arguments.quiet)
    data = load_data(arguments.data, raw=arguments.raw, strict=arguments.strict, quiet=arguments.quiet)
    classes = classes_of(data, arguments)
    inspect_data(data, classes, arguments)
    start = None if old is None else transfer(old, classes, seed=arguments.seed or 0)
    if arguments.recipe is None and arguments.network is None and len(data.X_train) < SMALL:
        recipe = recipe_named("small" if old is None else fine_tuning_recipe(old, classes, data, arguments))
    if arguments.validation is None and recipe.validation:
        recipe = with_possible_validation(recipe, data.y_train, classes, arguments)
    recipe = recipe.with_changes(**changes)
    check_early(data, classes, recipe, start, arguments)
    args = args_of(data, classes, recipe, arguments)
    if old is not None and arguments.data not in DATA_NAMES and bool(arguments.raw) == ("raw" in old.metadata):
        warn_if_changed(old, shown_name(str(args["data"])), data)
    return Run.create(arguments.runs or "runs", args, start), data


def args_of(
    data: "Dataset", classes: tuple[str, ...], recipe: "Recipe", arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return the arguments of a run, which `Run.create` documents."""
    from lenet._fused.dispatch import chosen

    args = {
        "lenet": __version__,
        "cpu": chosen(),
        "data": arguments.data if arguments.data in DATA_NAMES else str(Path(arguments.data).resolve()),
        "data_sha256": data.sha256(),
        "test_sha256": data.sha256(test_only=True),
        "num_classes": len(classes),
        "seed": arguments.seed or 0,
        "recipe": asdict(recipe),
    }
    if arguments.network is not None:
        args["network"] = arguments.network
    if data.classes is not None:
        args |= {"classes": data.classes, "raw": bool(arguments.raw)}
    if arguments.start is not None:
        args["from"] = arguments.start
    return args


def chosen_recipe(arguments: argparse.Namespace) -> "Recipe":
    """Return the recipe before the options that change it; raise InputError if it contradicts the other options."""
    from lenet.training.recipes import recipe_named

    recipe = recipe_named(arguments.recipe or ("default" if arguments.network is None else "paper"))
    if arguments.network is not None and recipe.optimizer == "foof":
        raise InputError(f"recipe {recipe.name} does not suit --network 1998. Omit one of them.")
    if arguments.start is None:
        if arguments.network is None and recipe.optimizer == "levenberg_marquardt":
            raise InputError(f"recipe {recipe.name} requires --network 1998.")
        if recipe.name in ("transfer", "adapt"):
            raise InputError(f"recipe {recipe.name} requires --from.")
    if arguments.seed is not None and arguments.seed < 0:
        raise InputError(f"seed is {arguments.seed}; expected at least 0.")
    return recipe


def classes_of(data: "Dataset", arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of the classes, after checking their number."""
    from lenet.evaluation.report import MAX_CLASSES

    if (data.y_train == data.y_train[0]).all():
        raise DataError(f"{arguments.data} has one class; expected at least two. Add images of another class.")
    num_classes = len(data.classes or ()) or int(max(data.y_train.max(), data.y_test.max(initial=0))) + 1
    if num_classes > MAX_CLASSES:
        raise DataError(f"{arguments.data} has {num_classes:,} classes; expected at most {MAX_CLASSES:,}.")
    if arguments.network is not None and num_classes != NUM_DIGITS:
        raise DataError(f"{arguments.data} has {num_classes} classes; expected 10, the digits. Omit --network.")
    return data.classes or tuple(map(str, range(num_classes)))


def inspect_data(data: "Dataset", classes: tuple[str, ...], arguments: argparse.Namespace) -> None:
    """Report classes without training or test images, images in several classes, and test images for training."""
    from itertools import chain

    import numpy as np

    def names(labels: "NDArray[np.int64]") -> str:
        return ", ".join(classes[label] for label in labels[:10]) + ", ..." * (len(labels) > 10)

    if len(unseen := np.setdiff1d(range(len(classes)), data.y_train)):
        from_1 = data.classes is None and min(data.y_train.min(), data.y_test.min()) == 1
        advice = " If the classes are not digits, subtract 1 from all labels." if from_1 else ""
        text = f"The model cannot learn classes without training images: {names(unseen)}.{advice}"
        warn(text)
    if len(untested := np.setdiff1d(data.y_train, data.y_test)):
        note(f"The report does not cover classes without test images: {names(untested)}.", quiet=arguments.quiet)
    images = [hash(image.tobytes()) for image in chain(data.X_train, data.X_test)]
    labelled = list(zip(images, chain(data.y_train.tolist(), data.y_test.tolist()), strict=True))
    label_of = dict(labelled)
    if others := {image: label for image, label in labelled if label != label_of[image]}:
        image, label = next(iter(others.items()))
        text = f"The same image is in the classes {classes[label]} and {classes[label_of[image]]}."
        warn(f"{text} Images in more than one class: {len(others):,}. Remove them from the wrong classes.")
    training = set(labelled[: len(data.X_train)])
    if copies := sum(pair in training for pair in labelled[len(data.X_train) :]):
        text = f"The training set contains {copies:,} of the {len(data.X_test):,} test images, with the same class,"
        warn(f"{text} so the accuracy may be overestimated. Remove them from the training set.")


def fine_tuning_recipe(old: "LeNet5", classes: tuple[str, ...], data: "Dataset", arguments: argparse.Namespace) -> str:
    """Return the name of the recipe: adapt for the classes of the old model, otherwise transfer.

    Labels without names count as its classes if its accuracy on them is at least halfway between guessing and 1.
    """
    import numpy as np

    if data.classes is not None or old.classes != classes:
        return "adapt" if old.classes == classes else "transfer"
    y = data.y_train
    right = np.count_nonzero(old.predict(data.X_train, n_jobs=arguments.n_jobs) == y)
    name = "adapt" if 2 * right >= np.bincount(y).max() + len(y) else "transfer"
    text = f"{arguments.start} classifies {right:,} of the {len(y):,} training images correctly"
    note(f"{text}, so the recipe is {name}. Pass --recipe to choose another.", quiet=arguments.quiet)
    return name


def with_possible_validation(
    recipe: "Recipe", labels: "NDArray[np.int64]", classes: Sequence[str], arguments: argparse.Namespace
) -> "Recipe":
    """Return the recipe, and print a note if there are classes with fewer than 1 / validation images.

    `split` holds out at most one image of such a class. If the fraction of their images is above that held out, the
    others do not represent the data: validation is disabled.
    """
    import numpy as np

    found, counts = np.unique(labels, return_counts=True)
    name, fewest = classes[found[counts.argmin()]], int(counts.min())
    needed = math.ceil(1 / recipe.validation)
    if fewest >= needed:
        return recipe
    few = int(np.count_nonzero(counts < needed))
    text = f"{few} of {len(found)} classes {'has' if few == 1 else 'have'} too few training images"
    text += f" ({name}: {fewest}{', ...' * (few > 1)}) to hold out {recipe.validation:.0%} for validation."
    is_small_part = counts[counts < needed].sum() <= recipe.validation * len(labels)
    if is_small_part and round(recipe.validation * fewest) < fewest:
        text += f" At most one image is held out of each class with fewer than {needed}."
        note(text, quiet=arguments.quiet)
        return recipe
    if arguments.patience is not None:
        enough = math.ceil(100 / max(2, fewest)) / 100
        raise InputError(f"{text} Set --validation, for example to {enough:g}, or omit --patience.")
    note(f"{text} The weights of the last epoch are kept.", quiet=arguments.quiet)
    return recipe.with_changes(validation=0.0)


def require_extras(recipe: "Recipe", *, tensorboard: bool) -> None:
    """Report a missing package before training rather than after it."""
    from lenet._extras import require

    require("matplotlib", "train")
    require("threadpoolctl", "train")
    if recipe.drawn_digits or recipe.non_digits:
        require("cv2", "vision")
    if tensorboard:
        require("tensorboardX", "tensorboard")


def check_early(
    data: "Dataset",
    classes: tuple[str, ...],
    recipe: "Recipe",
    start: "LeNet5 | None",
    arguments: argparse.Namespace,
) -> None:
    """Raise the errors that training would raise, before the run folder is created."""
    from lenet._fused.threads import resolve_n_jobs
    from lenet.loading import network_class
    from lenet.training.recipes import optimizer_of
    from lenet.training.splits import split
    from lenet.training.training_set import check_classes

    resolve_n_jobs(arguments.n_jobs)
    check_classes(classes, recipe)
    optimizer_of(recipe, network_class(arguments.network)() if start is None else start)
    split(data.y_train, recipe.validation, arguments.seed or 0)


def open_run(arguments: argparse.Namespace) -> "tuple[Run, Dataset]":
    """Open a run folder, and load the data of the run, which may have been moved to DATA."""
    from lenet._fused.dispatch import chosen
    from lenet.cli.progress import has_events
    from lenet.training.runs import Run

    folder = arguments.resume
    opened = Run(folder)
    arguments.tensorboard |= has_events(opened.folder)
    require_extras(opened.recipe, tensorboard=arguments.tensorboard)
    check_writable(opened.folder)
    path = opened.args["data"] if arguments.data is None else arguments.data
    try:
        data = load_data(path, raw=opened.args.get("raw") is True, quiet=arguments.quiet)
    except DataError as error:
        if arguments.data is not None:
            raise
        raise DataError(
            f"{error} The path is stored in {folder}. If the data was moved, pass its new path: lenet train DATA "
            f"--resume {quoted(folder)}."
        ) from error
    if data.sha256() != opened.args["data_sha256"]:
        raise InputError(
            f"{path} differs from the data that {folder} was started with. Pass the original data, or start a new run."
        )
    cpu = opened.args.get("cpu", chosen())
    if cpu != chosen():
        note(
            f"{folder} was started with the {cpu} kernels. With the {chosen()} kernels, the last bits of its results "
            "will differ.",
            quiet=arguments.quiet,
        )
    if opened.args["lenet"] != __version__:
        text = f"{folder} was started with lenet {opened.args['lenet']}. With {__version__}, its results may differ."
        note(text, quiet=arguments.quiet)
    return opened, data
