"""Print untrusted text, such as file names and errors, so that it cannot control a terminal or forge a line."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path


def printable(text: str) -> str:
    r"""Escape control characters, line breaks, direction marks, and bytes of file names that are not UTF-8.

    Examples
    --------
    >>> print(printable("a\x1b[31m\nb: 7"))
    a\x1b[31m\nb: 7
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def note(text: str, *, quiet: bool = False) -> None:
    """Print a note to standard error, unless quiet."""
    if not quiet:
        print(printable(f"lenet: note: {text}"), file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning to standard error, even if quiet."""
    print(printable(f"lenet: warning: {text}"), file=sys.stderr)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Flush standard output at the end, and name it in errors while printing, such as a full disk."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        error.filename = "Standard output"
        raise


def say(text: str) -> None:
    """Print untrusted text as one line, at once."""
    with standard_output():
        print(printable(text))


def error_line(error: BaseException) -> str:
    """Return the line that reports an error."""
    return f"lenet: error: {error_text(error)}"


def error_text(error: BaseException) -> str:
    """Return the message of an error as one line."""
    text = str(error) or "out of memory"
    if isinstance(error, OSError) and error.strerror:  # omit errno and quotes
        text = error.strerror if error.filename is None else f"{os.fspath(error.filename)}: {error.strerror}"
    return printable(text.replace("\n", " "))


def quoted(path: Path | str) -> str:
    """Return a path as one argument of the system's shell."""
    text = str(path)
    if os.name == "posix":
        return shlex.quote(text)
    return f'"{text}"' if set(text) & set(" &()^,;=") else text
