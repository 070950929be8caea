"""The command `lenet`: its parser, and how it ends.

Exit codes: 0 for success, 1 for a failure, told in one line, 2 for a usage error, 130 for Ctrl-C.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import lenet
from lenet.cli.options import error_line
from lenet.cli.output import printable
from lenet.errors import LenetError

COMMANDS = {
    "train": "train LeNet-5 and leave a run folder",
    "evaluate": "test a model on a data set",
    "predict": "read the digit in each picture",
    "read": "read numbers and pages of digits",
    "score": "score millions of images, by all cores or by a cluster",
    "serve": "serve models over HTTP, with a page to draw on",
    "page": "write that page as one file that needs no server",
    "export": "write a model as ONNX or C",
    "info": "tell about a model, or about this installation",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Examples
    --------
    >>> main(["info", "--network"])  # doctest: +ELLIPSIS
    Stage ...
    0
    """
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print("lenet: interrupted", file=sys.stderr)
        return 130
    except (LenetError, OSError, MemoryError) as error:
        if not isinstance(error, BrokenPipeError):  # else the reader of our output has gone, as `head` does
            print(error_line(error), file=sys.stderr)
        _give_up_broken_output()
        return 1


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
        module = importlib.import_module(f"lenet.cli.{arguments.command}")
        return int(module.run(arguments, parser))
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where an error can still be told in one line


def _give_up_broken_output() -> None:
    """Keep Python from telling of an output that cannot be written once more, with a traceback, when it exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line each, whatever was given."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit."""
        super().error(printable(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each adds its own arguments."""
    parser = _Parser(prog="lenet", description="LeNet-5 on CPUs: train it, test it, read digits with it.")
    parser.add_argument("--version", action="version", version=f"lenet {lenet.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        module = importlib.import_module(f"lenet.cli.{name}")
        module.add_arguments(commands.add_parser(name, help=help_text, description=module.__doc__))
    return parser
