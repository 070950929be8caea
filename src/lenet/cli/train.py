"""Train LeNet-5 and write a run folder: weights, history, figures and a report on the test set.

After Ctrl-C, a crash or a power cut, --resume continues the run with bit-identical results.
"""

import argparse
import json
import math
import re
import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet import __version__
from lenet._files import check_writable, remove_leftovers
from lenet.cli.options import DATA_NAMES, add_common, add_data, add_network, load_data, load_model, warn_if_changed
from lenet.cli.output import note, quoted, say, standard_output
from lenet.errors import DataError, InputError, SaveError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet.cli.progress import Progress
    from lenet.cli.signals import StopSignals
    from lenet.data import Dataset
    from lenet.evaluation.report import Report
    from lenet.model import LeNet5
    from lenet.training.communication import Communicator
    from lenet.training.recipes import Recipe
    from lenet.training.runs import Run
    from lenet.training.state import State

REPORT = "report.txt"  # written last
SMALL = 10_000
NUM_DIGITS = 10
EPOCH_SECONDS, CHECKPOINT_SECONDS = 1.0, 30.0  # between saves: after an epoch, and within one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet train`."""
    add_data(parser, nargs="?")
    parser.add_argument("--resume", metavar="RUN", help="resume a run from its folder, such as runs/train-1")
    add_network(parser, "train the network of the 1998 paper, with the recipe paper")
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="default; wild (most accurate and robust); drawn (wild, with more kinds of digits); small (few images); "
        "seed (the notebook's settings). With --from, also: transfer, adapt (few images). If omitted: paper with "
        f"--network 1998; with fewer than {SMALL:,} images, small or, with --from, adapt (same classes) or transfer "
        "(other classes); otherwise default",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="number of passes over the training set")
    parser.add_argument("--batch-size", type=int, metavar="N", help="number of images per step")
    parser.add_argument("--lr", type=float, metavar="X", help="learning rate, or its peak for one_cycle")
    parser.add_argument("--momentum", type=float, metavar="X", help="momentum of SGD, at least 0 and below 1")
    parser.add_argument("--weight-decay", type=float, metavar="X", help="weight decay of SGD, at least 0")
    parser.add_argument("--schedule", metavar="NAME", help="learning-rate schedule: constant, one_cycle or paper_steps")
    parser.add_argument(
        "--distort", action=argparse.BooleanOptionalAction,
        help="rotate, scale, shear and shift the training images at random, as most recipes do",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=float, metavar="X", help="fraction of the training set held out to choose the best epoch"
    )
    parser.add_argument("--patience", type=int, metavar="N", help="stop after N epochs without improvement")
    parser.add_argument(
        "--seed", type=int, metavar="N",
        help="seed of the initial weights, the order of the images and the distortions (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="start", metavar="MODEL",
        help="fine-tune the weights of a file, a run folder or mnist, with a new output layer if the classes differ; "
        "useful if there are few images per class",
    )  # fmt: skip
    parser.add_argument("--runs", metavar="DIR", help="parent of the run folder (default: runs)")
    parser.add_argument(
        "--tensorboard", action="store_true",
        help="write the results of each epoch to event files in the run folder, for TensorBoard",
    )  # fmt: skip
    parser.add_argument("--mpi", action="store_true", help="distribute training over the ranks of mpiexec")
    add_common(parser)


RECIPE_OPTIONS = (
    "epochs", "batch_size", "lr", "momentum", "weight_decay", "schedule", "distort", "validation", "patience",
)  # fmt: skip
OF_A_NEW_RUN = ("network", "recipe", "seed", "start", "raw", "strict", "runs", *RECIPE_OPTIONS)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet train`."""
    check_options(arguments, parser)
    from lenet.training.communication import SingleProcess

    def lead(comm: "Communicator") -> int:
        folder, data = begin_run(arguments, parser) if arguments.resume is None else open_run(arguments)
        with folder.locked():
            remove_leftovers(folder.folder)
            try:
                return train_and_report(folder, data, arguments, comm)
            except SaveError as error:
                advice = "If the disk is full, free space."
                if isinstance(error.__cause__, PermissionError):  # on Windows, also while Excel has results.csv open
                    advice = "Make it writable, or close the program that has it open."
                resume = f"Resume with: {resume_command(folder)}"
                raise SaveError(f"{error} {advice} {resume}") from error
            except (KeyboardInterrupt, OSError):  # if `head` has closed standard output, for example
                note(f"Resume with: {resume_command(folder)}", quiet=False)
                raise

    if arguments.mpi:
        from lenet.cli.ranks import train_together

        return train_together(arguments, lead)
    return lead(SingleProcess())


def check_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Reject options that are empty or contradict each other."""
    for option in ("resume", "runs"):
        if getattr(arguments, option) == "":
            parser.error(f"The value of --{option} is empty; expected a folder.")
    if arguments.data is None and arguments.resume is None:
        parser.error("DATA is missing; expected a data set, or --resume RUN.")
    if arguments.data is not None and arguments.resume is not None:
        parser.error("DATA and --resume were both given; expected one of them.")
    if arguments.resume is not None:
        options = [name for name in OF_A_NEW_RUN if getattr(arguments, name) is not None]
        if options:
            option = {"start": "from"}.get(options[0], options[0].replace("_", "-"))
            option = "no-distort" if arguments.distort is False and option == "distort" else option
            parser.error(f"--resume keeps the options of the run. Omit --{option}.")
    if arguments.network is not None and arguments.start is not None:
        parser.error("--network and --from were both given; expected one of them.")


def begin_run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> "tuple[Run, Dataset]":
    """Load the data, choose the recipe, and create the run folder."""
    from lenet.training.fine_tuning import transfer
    from lenet.training.recipes import recipe_named
    from lenet.training.runs import Run, shown_name

    try:
        recipe = chosen_recipe(arguments)
        changes = {name: getattr(arguments, name) for name in RECIPE_OPTIONS}
        recipe.with_changes(**changes)
    except InputError as error:
        names = rf"^\w+|\b({'|'.join(RECIPE_OPTIONS)})\b"
        parser.error(re.sub(names, lambda name: f"--{name[0].replace('_', '-')}", str(error)))
    require_extras(recipe, tensorboard=arguments.tensorboard)
    old = None if arguments.start is None else load_model(arguments.start)
    data = load_data(arguments.data, raw=arguments.raw, strict=arguments.strict, quiet=arguments.quiet)
    classes = classes_of(data, arguments)
    inspect_data(data, classes, arguments)
    start = None if old is None else transfer(old, classes, seed=arguments.seed or 0)
    if arguments.recipe is None and arguments.network is None and len(data.X_train) < SMALL:
        recipe = recipe_named("small" if old is None else fine_tuning_recipe(old, classes, data, arguments))
        if arguments.validation is None:
            recipe = with_possible_validation(recipe, data.y_train, classes, arguments)
    recipe = recipe.with_changes(**changes)
    check_early(data, classes, recipe, start, arguments)
    args = args_of(data, classes, recipe, arguments)
    if old is not None and arguments.data not in DATA_NAMES and bool(arguments.raw) == ("raw" in old.metadata):
        warn_if_changed(old, shown_name(str(args["data"])), data, quiet=arguments.quiet)
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
    """Report classes without training or test images, and test images that are also in the training set."""
    import numpy as np

    def names(labels: "NDArray[np.int64]") -> str:
        return ", ".join(classes[label] for label in labels[:10]) + ", ..." * (len(labels) > 10)

    if len(unseen := np.setdiff1d(range(len(classes)), data.y_train)):
        from_1 = data.classes is None and min(data.y_train.min(), data.y_test.min()) == 1
        advice = " If the classes are not digits, subtract 1 from all labels." if from_1 else ""
        text = f"The model cannot learn classes without training images: {names(unseen)}.{advice}"
        note(text, quiet=arguments.quiet, kind="warning")
    if len(untested := np.setdiff1d(data.y_train, data.y_test)):
        note(f"The report does not cover classes without test images: {names(untested)}.", quiet=arguments.quiet)
    training = {hash(image.tobytes()) for image in data.X_train}
    if copies := sum(hash(image.tobytes()) in training for image in data.X_test):
        text = f"The training set contains {copies:,} of the {len(data.X_test):,} test images, so the accuracy may be"
        note(f"{text} overestimated. Remove them from the training set.", quiet=arguments.quiet, kind="warning")


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
    """Return the recipe; if a class has fewer than 1 / validation images, disable validation and print a note."""
    import numpy as np

    found, counts = np.unique(labels, return_counts=True)
    name, fewest = classes[found[counts.argmin()]], int(counts.min())
    if fewest >= math.ceil(1 / recipe.validation):
        return recipe
    text = f"Class {name} has too few training images ({fewest}) to hold out {recipe.validation:.0%} for validation."
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
    from lenet.training.loop import optimizer_of
    from lenet.training.splits import split
    from lenet.training.training_set import check_classes

    resolve_n_jobs(arguments.n_jobs)
    check_classes(classes, recipe)
    optimizer_of(recipe, network_class(arguments.network)() if start is None else start)
    split(data.y_train, recipe.validation, arguments.seed or 0)


def open_run(arguments: argparse.Namespace) -> "tuple[Run, Dataset]":
    """Open a run folder, and load the data of the run."""
    from lenet._fused.dispatch import chosen
    from lenet.cli.progress import has_events
    from lenet.training.runs import Run

    folder = arguments.resume
    opened = Run(folder)
    arguments.tensorboard |= has_events(opened.folder)
    require_extras(opened.recipe, tensorboard=arguments.tensorboard)
    check_writable(opened.folder)
    try:
        data = load_data(opened.args["data"], raw=opened.args.get("raw") is True, quiet=arguments.quiet)
    except DataError as error:
        raise DataError(f"{error} The path is stored in {folder}. Restore the data, or start a new run.") from error
    if data.sha256() != opened.args["data_sha256"]:
        raise InputError(
            f"{opened.args['data']} has changed since {folder} was started. Restore the data, or start a new run."
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


def train_and_report(folder: "Run", data: "Dataset", arguments: argparse.Namespace, comm: "Communicator") -> int:
    """Train until the end or a signal, and write the files of the run."""
    from threadpoolctl import threadpool_limits

    from lenet.cli.progress import EventFile, Progress, progress_for
    from lenet.cli.signals import StopSignals
    from lenet.training.loop import train
    from lenet.training.splits import split
    from lenet.training.training_set import added_counts

    recipe, seed = folder.recipe, folder.args["seed"]
    model = folder.initial_model()
    state = folder.load_checkpoint(model)
    done = len(state.history) if state is not None else 0
    parts = split(data.y_train, recipe.validation, seed)
    images = len(parts.train) + sum(added_counts(recipe, len(parts.train)))
    steps = math.ceil(images / recipe.batch_size)
    progress = Progress() if arguments.quiet else progress_for(recipe.epochs, steps, arguments.json)
    metadata = {
        "run": str(folder.folder), "data": folder.args["data"], "recipe": recipe.name, "seed": seed,
        "train": len(parts.train), "validation": len(parts.validation), "test": len(data.X_test),
    }  # fmt: skip
    progress.start(metadata)
    comm.broadcast((model, data.X_train, data.y_train, recipe, seed))  # for lenet.cli.ranks.follow
    events = EventFile(folder.folder, state.history if state else ()) if arguments.tensorboard else Progress()
    saver = Saver(folder, model, progress, events, state.seconds if state else 0.0)
    with StopSignals() as signals, threadpool_limits(1, "blas"):  # more would compete with the kernels
        try:
            state = train(
                model, data.X_train, data.y_train, recipe, seed=seed, n_jobs=arguments.n_jobs, state=state, comm=comm,
                on_step=lambda now: saver.on_step(now, signals), on_epoch=saver.on_epoch,
            )  # fmt: skip
        finally:
            try:
                saver.save()
            finally:
                progress.stop()  # raises OSError if the terminal was closed
                events.stop()
        if done == len(state.history) and not state.step and (folder.folder / REPORT).exists():
            again = f"To train further, start a new run with --from {quoted(folder.folder)}."
            note(f"{folder.folder} is already complete. {again}", quiet=arguments.quiet)
        if state.step:  # stopped, perhaps by a signal to another rank
            folder.save_checkpoint(state)
            print_stopped(folder, state, arguments.json)
            return 128 + (signals.received or signal.SIGINT)
    report = write_results(folder, model, data, state, parts.validation, arguments.n_jobs)
    print_report(report, folder, data, state, len(parts.validation), as_json=arguments.json)
    return 0


class Saver:
    """Saves the state after epochs, but not for each of many short ones, and at intervals within long ones."""

    def __init__(self, folder: "Run", model: "LeNet5", progress: "Progress", events: "Progress", saved_at: float):
        self.folder, self.model, self.progress, self.events = folder, model, progress, events
        self.saved_at = saved_at  # in seconds of training
        self.unsaved: State | None = None  # after the last epoch

    def on_step(self, state: "State", signals: "StopSignals") -> bool:
        """Show the step; return whether to stop."""
        self.progress.step(state)
        if state.seconds - self.saved_at > CHECKPOINT_SECONDS:
            self.save()
            self.folder.save_checkpoint(state)
            self.saved_at = state.seconds
        return bool(signals.received)

    def on_epoch(self, state: "State") -> None:
        """Save and show the epoch."""
        changing = state.parameters.copy(), state.velocity.copy()
        self.unsaved = replace(state, parameters=changing[0], velocity=changing[1], history=[*state.history])
        # The first epoch is always saved: later ones without a checkpoint mean that it was lost.
        if len(state.history) == 1 or state.seconds - self.saved_at > EPOCH_SECONDS:
            self.save()
        self.events.epoch(state)
        self.progress.epoch(state)

    def save(self) -> None:
        """Save the last epoch unless it is saved already."""
        if self.unsaved is not None:
            self.folder.save_epoch(self.model, self.unsaved)
            self.saved_at, self.unsaved = self.unsaved.seconds, None


def resume_command(folder: "Run") -> str:
    """Return the command that resumes a run."""
    return f"lenet train --resume {quoted(folder.folder)}"


def print_stopped(folder: "Run", state: "State", as_json: bool) -> None:
    """Print where the training stopped, and how to resume it."""
    command = resume_command(folder)
    if as_json:
        say(json.dumps({"event": "stopped", "epoch": state.epoch, "step": state.step, "resume": command}))
    else:
        say(f"Stopped in epoch {state.epoch} after step {state.step}; the state is saved. Resume with: {command}")


def write_results(
    folder: "Run", model: "LeNet5", data: "Dataset", state: "State", held_out: "NDArray[np.int64]", n_jobs: int | None
) -> "Report":
    """Calibrate and test the best weights, write the figures and the report, and return the report."""
    from lenet import plots
    from lenet.evaluation.calibration import MIN_IMAGES, calibrate
    from lenet.evaluation.report import classification_report
    from lenet.loading import BEST
    from lenet.losses import softmax

    folder.write("results.png", plots.learning_curves([asdict(row) for row in state.history], folder.folder.name))
    folder.write("filters.png", plots.filters(model.parameters["c1.weight"]))
    model.metadata = folder.metadata(state.history[state.best_epoch - 1])
    if len(held_out) >= MIN_IMAGES:
        calibrate(model, data.X_train[held_out], data.y_train[held_out], n_jobs=n_jobs)
    logits = model.logits(data.X_test, n_jobs=n_jobs)
    report = classification_report(logits, data.y_test, model.classes)
    model.metadata["test_accuracy"] = str(report.accuracy)
    model.save(folder.folder / BEST)
    folder.write("confusion_matrix.png", plots.confusion_matrix(report.confusion_matrix, model.classes))
    worst = plots.worst(data.X_test, data.y_test, logits.argmax(axis=1), softmax(logits), model.classes)
    folder.write("worst.png", worst)
    folder.write(REPORT, str(report))
    return report


def print_report(
    report: "Report", folder: "Run", data: "Dataset", state: "State", held_out: int, *, as_json: bool
) -> None:
    """Print the results on the test set, advice, and how to use the weights."""
    import numpy as np

    from lenet.evaluation.calibration import MIN_FOR_NON_DIGITS, MIN_IMAGES

    if as_json:
        result = {"event": "test", "run": str(folder.folder), "best_epoch": state.best_epoch, **report.as_dict()}
        say(json.dumps(result))
        return
    with standard_output():
        print(f"\nTest set, with the weights of epoch {state.best_epoch}:\n{report}")
    guessing = np.bincount(data.y_test).max() / len(data.y_test)
    if report.accuracy < guessing + (1 - guessing) / 10:
        reason = "Sigmoid networks start on a plateau: pass --from mnist, or increase --epochs."
        if "from" in folder.args:
            reason = "Increase --epochs."
        if report.loss > 1.5 * np.log(len(report.classes)):  # the logarithm is the loss of equal probabilities
            reason = "The loss is higher than that of equal probabilities: lower --lr."
        say(f"This is hardly better than guessing. {reason}")
    if held_out < MIN_IMAGES:
        say(
            f"The model cannot reject images: calibration requires at least {MIN_IMAGES} validation images; "
            f"{held_out} were held out."
        )
    elif held_out < MIN_FOR_NON_DIGITS:
        say(
            "The model cannot reject pictures that resemble none of its classes: calibration requires at least "
            f"{MIN_FOR_NON_DIGITS:,} validation images for this; {held_out} were held out."
        )
    say(f"{folder.folder} contains the weights, the figures and the history. To use the weights:")
    say(f"lenet predict PICTURE --model {quoted(folder.folder)}")
