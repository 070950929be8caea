"""What the commands print: text from outside, such as a file's name, neither commands a terminal nor forges a line."""

import sys


def printable(text: str) -> str:
    r"""Return a text in one line, with what no reader would see as it is in escapes.

    These are the characters that control a terminal, ends of lines, marks that turn the direction of writing, and the
    bytes of file names that are no UTF-8.

    Examples
    --------
    >>> print(printable("a\x1b[31m\nb: 7"))
    a\x1b[31m\nb: 7
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def say(text: str) -> None:
    """Print a line on the standard output, in escapes where its encoding lacks a character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding))
