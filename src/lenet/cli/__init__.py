"""The command `lenet`: its parser, and how it ends.

Exit codes: 0 for success, 1 for a failure, told in one line, 2 for a usage error, 130 for Ctrl-C.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import lenet
from lenet.errors import LenetError

COMMANDS = {
    "train": "train LeNet-5 and leave a run folder",
    "evaluate": "test a model on a data set",
    "predict": "read the digit in each picture",
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
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        module = importlib.import_module(f"lenet.cli.{arguments.command}")
        return int(module.run(arguments, parser))
    except KeyboardInterrupt:
        print("lenet: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LenetError, OSError, MemoryError) as error:
        print(f"lenet: error: {error or 'out of memory'}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each adds its own arguments."""
    parser = argparse.ArgumentParser(
        prog="lenet", description="LeNet-5 on CPUs: train it, test it, read digits with it."
    )
    parser.add_argument("--version", action="version", version=f"lenet {lenet.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        module = importlib.import_module(f"lenet.cli.{name}")
        module.add_arguments(commands.add_parser(name, help=help_text, description=module.__doc__))
    return parser
