"""Arguments that several commands share."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet._files import PNG_MARK, check_replaceable
from lenet.cli.output import printable

if TYPE_CHECKING:
    from lenet.model import LeNet5


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model."""
    parser.add_argument(
        "--model",
        metavar="FILE",
        default="mnist",
        help="weights: a .safetensors, .onnx or .pt file, a run folder (its best epoch), or mnist, the pre-trained "
        "weights (default)",
    )


def add_network(parser: argparse.ArgumentParser, text: str, **options: Any) -> None:
    """Add --network."""
    parser.add_argument("--network", choices=("1998",), help=text, **options)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add --n-jobs, --json and --quiet."""
    parser.add_argument(
        "--n-jobs",
        type=_threads,
        metavar="N",
        help="number of threads (default: LENET_NUM_THREADS, OMP_NUM_THREADS, or all cores)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    add_quiet(parser)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print only results and errors")


def check_png(parser: argparse.ArgumentParser, option: str, output: str) -> None:
    """Reject a name that does not end in .png, and a file that lenet did not write."""
    if Path(output).suffix.lower() != ".png":
        parser.error(f"{option} is {output or 'an empty name'}; expected a name that ends in .png.")
    check_replaceable(output, PNG_MARK)


def error_line(error: BaseException) -> str:
    """Return the line that reports an error."""
    return f"lenet: error: {error_text(error)}"


def error_text(error: BaseException) -> str:
    """Return the message of an error as one line."""
    text = str(error) or "out of memory"
    if isinstance(error, OSError) and error.strerror:  # omit errno and quotes
        text = error.strerror if error.filename is None else f"{os.fspath(error.filename)}: {error.strerror}"
    return printable(text.replace("\n", " "))


def _threads(text: str) -> int:
    number = int(text)
    if number < 1 and number != -1:
        raise argparse.ArgumentTypeError(f"{number} is out of range; expected at least 1, or -1 for all cores.")
    return number


_threads.__name__ = "int"  # for argparse's message when int() fails


def load_model(name: str) -> "LeNet5":
    """Return the model that --model names."""
    from lenet.interop import from_onnx, from_torch
    from lenet.loading import load_named

    readers = {".onnx": from_onnx, ".pt": from_torch, ".pth": from_torch}
    reader = readers.get(Path(name).suffix.lower())
    return load_named(name) if reader is None or not Path(name).exists() else reader(Path(name))
