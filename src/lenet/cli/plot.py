"""Compare training runs in one figure: loss and error rate by epoch, in one colour per run."""

import argparse
from dataclasses import asdict
from pathlib import Path

from lenet._files import atomic_write
from lenet.cli.options import add_quiet, check_png
from lenet.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet plot`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run folder, such as runs/train-1; it may be unfinished"
    )
    parser.add_argument(
        "-o", "--out", metavar="PNG", default="comparison.png", help="output file (default: comparison.png)"
    )
    add_quiet(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet plot`."""
    from lenet import plots
    from lenet.training.runs import Run

    check_png(parser, "--out", arguments.out)
    histories = {str(Path(name)): [asdict(row) for row in Run(name).history()] for name in arguments.runs}
    atomic_write(arguments.out, plots.comparison(histories))
    if not arguments.quiet:
        say(f"{arguments.out}: {', '.join(histories)}")
    return 0
