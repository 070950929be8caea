"""The argument DATA, shared by several commands, and its loading."""

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lenet._bar import Bar
from lenet.cli.output import printable

if TYPE_CHECKING:
    from lenet.data import Dataset

DATA_NAMES = ("digits", "mnist", "fashion-mnist")  # anything else is a path
DATA_HELP = (
    "digits (works offline), mnist, fashion-mnist, a FOLDER with a subfolder of pictures per class, a "
    "FOLDER of IDX, .npy or Parquet files, or a .csv, .npz or .parquet FILE"
)


def add_data(parser: argparse.ArgumentParser, *, nargs: str | None = None) -> None:
    """Add DATA, --raw and --strict."""
    parser.add_argument("data", nargs=nargs, metavar="DATA", help=DATA_HELP)
    parser.add_argument(
        "--raw",
        action="store_true",
        default=None,
        help="use pictures of 28x28 pixels without cropping, centring or cleaning them",
    )
    parser.add_argument(
        "--strict", action="store_true", default=None, help="stop at a damaged or blank picture instead of skipping it"
    )


def load_data(
    source: str, *, raw: bool | None = None, strict: bool | None = None, hold_out: bool = True, quiet: bool = False
) -> "Dataset":
    """Load a data set. Unless quiet, show a progress bar if that takes long, and print what the loader logs."""
    from lenet.data import load

    with contextlib.ExitStack() as stack:
        stack.enter_context(printed_log(quiet=quiet))
        bars: list[Bar] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(Bar(total, shown=not quiet)))
            bars[0].update(done)

        return load(source, raw=bool(raw), strict=bool(strict), progress=progress, hold_out=hold_out)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        return printable(f"lenet: {kind}: {record.getMessage()}")


@contextlib.contextmanager
def printed_log(*, quiet: bool) -> Iterator[None]:
    """Print the log messages of the loaders to standard error, or none of them."""
    logger = logging.getLogger("lenet.data")
    handler: logging.Handler = logging.NullHandler() if quiet else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
