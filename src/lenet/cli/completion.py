"""Print a script that completes commands, options and file names in a shell."""

import argparse
from collections.abc import Iterator
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
PATHS = ("DATA", "DIR", "FILE", "FILE.html", "IMAGE", "IMAGES", "JSON", "MODEL", "PATH", "PNG", "RUN", "[NAME=]FILE")


class PrintCompletion(argparse.Action):
    """An option that prints the script and exits."""

    def __init__(self, option_strings: list[str], dest: str, help: str):  # noqa: A002 # argparse's name
        super().__init__(option_strings, dest=argparse.SUPPRESS, choices=SHELLS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Print the script for a shell."""
        from lenet._extras import require

        shtab = require("shtab", "completion")
        for action in _actions(parser):
            if action.metavar in PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, values))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
