"""Run the command `lenet` as `python -m lenet`."""

import sys

from lenet.cli import main

if __name__ == "__main__":
    sys.exit(main())
