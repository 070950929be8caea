"""Train LeNet-5 and write a run folder: weights, history, figures and a report on the test set.

After Ctrl-C, a crash or a power cut, --resume continues the run with bit-identical results.
"""

import argparse
from typing import TYPE_CHECKING

from lenet._files import remove_leftovers
from lenet.cli.options import add_common, add_data, add_network, at_most_one
from lenet.cli.output import note
from lenet.cli.results import REPORT
from lenet.cli.runs import RECIPE_OPTIONS, SMALL, begin_run, open_run
from lenet.cli.training import resume_command, train_and_report
from lenet.errors import SaveError

if TYPE_CHECKING:
    from lenet.training.communication import Communicator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet train`."""
    add_data(parser, nargs="?")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="resume a run from its folder, such as runs/train-1; pass DATA as well if the data was moved",
    )
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
                resume = f"Resume with: {resume_command(folder, arguments)}"
                raise SaveError(f"{error} {advice} {resume}") from error
            except (KeyboardInterrupt, OSError):  # if `head` has closed standard output, for example
                if not (folder.folder / REPORT).exists():
                    note(f"Resume with: {resume_command(folder, arguments)}")
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
    if arguments.resume is not None:
        options = [name for name in OF_A_NEW_RUN if getattr(arguments, name) is not None]
        if options:
            option = {"start": "from"}.get(options[0], options[0].replace("_", "-"))
            option = "no-distort" if arguments.distort is False and option == "distort" else option
            parser.error(f"--resume keeps the options of the run. Omit --{option}.")
    at_most_one(parser, network=arguments.network, **{"from": arguments.start})
