"""Run the command `lenet`, also as `python -m lenet`."""

import signal
import sys
from typing import NoReturn

from lenet.cli import main


def program() -> NoReturn:
    """Run the command and exit."""
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C would interrupt Python's own exit
    sys.exit(code)


if __name__ == "__main__":
    program()
