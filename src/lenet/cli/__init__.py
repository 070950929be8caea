"""The command `lenet`.

Exit codes: 0 for success, 1 for a failure (reported in one line), 2 for a usage error, 130 for Ctrl-C, 143 for
SIGTERM.
"""

import _thread
import argparse
import functools
import importlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import lenet
from lenet.cli.completion import PrintCompletion
from lenet.cli.output import error_line, printable, standard_output
from lenet.errors import LenetError

COMMANDS = {
    "train": "train LeNet-5 and write a run folder",
    "evaluate": "test a model on a data set",
    "predict": "classify pictures of one digit each",
    "read": "read numbers and pages of digits",
    "score": "score millions of images on all cores or on a cluster",
    "serve": "serve models over HTTP, with a page to draw digits on",
    "page": "write the drawing page as one HTML file that needs no server",
    "export": "export a model to ONNX or C",
    "info": "describe a model, or this installation",
    "plot": "compare training runs in one figure",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Examples
    --------
    >>> main(["info", "--network"])  # doctest: +ELLIPSIS
    Stage ...
    0
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, or no console; print would write errors to stdout
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, open(nowhere, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    warnings.filterwarnings("ignore", module="PIL")  # about harmless defects of pictures
    os.environ.pop("MPLBACKEND", None)  # a notebook's may be missing here, and no window is opened
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_interrupt_again, hook)
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print("lenet: interrupted", file=sys.stderr)
        return 130
    except (LenetError, OSError, MemoryError) as error:
        if not isinstance(error, BrokenPipeError):  # the reader of the output, such as `head`, has closed it
            print(error_line(error), file=sys.stderr)
        _discard_broken_output()
        return 1
    finally:
        sys.unraisablehook = hook


def _interrupt_again(hook: "Callable[[sys.UnraisableHookArgs], object]", unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that arrived in a finalizer, where Python prints and then ignores it."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        later = threading.Timer(0.01, _thread.interrupt_main)  # at once, it would arrive here and be ignored again
        later.daemon = True
        later.start()
    else:
        hook(unraisable)


def _run(argv: Sequence[str] | None) -> int:
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # its encoding may lack letters of a name
        parser = build_parser()
        arguments = parser.parse_args(argv)
        if arguments.command == "help":
            parser.parse_args([*filter(None, [arguments.topic]), "--help"])  # prints the help and exits
        module = importlib.import_module(f"lenet.cli.{arguments.command}")
        return int(module.run(arguments, arguments.parser))
    finally:
        with standard_output():
            pass  # flushes it here, where an error can still be reported in one line


def _discard_broken_output() -> None:
    """Prevent a traceback at exit, when Python flushes an output that cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser that escapes control characters in its error messages, and reports unknown options itself."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse all arguments; otherwise, argparse reports a subcommand's unknown options with the usage of `lenet`."""
        arguments, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments, unknown

    def error(self, message: str) -> NoReturn:
        """Print the usage, the message and the source of the defaults, if a subcommand names one, and exit."""
        super().error(printable(message + (self.get_default("source") or "")))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="lenet", description="Train and test LeNet-5 on CPUs, and read handwritten digits with it.")
    parser.add_argument("-V", "--version", action="version", version=f"lenet {lenet.__version__}")
    parser.add_argument("--print-completion", action=PrintCompletion, help="print a completion script for a shell")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        module = importlib.import_module(f"lenet.cli.{name}")
        command = commands.add_parser(name, help=help_text, description=module.__doc__)
        command.set_defaults(parser=command)  # for usage errors that `run` finds
        module.add_arguments(command)
    command = commands.add_parser("help", help="show the help of a command", description="Show the help of a command.")
    command.add_argument(
        "topic", nargs="?", choices=list(COMMANDS), metavar="COMMAND", help="a command (default: list all)"
    )
    return parser
