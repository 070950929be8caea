"""Arguments that several commands share, and the loading of the data and models that they name."""

import argparse
import contextlib
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet._bar import Bar
from lenet._files import PNG_MARK, check_replaceable
from lenet.cli.output import note, printable, warn
from lenet.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet.data import Dataset
    from lenet.model import LeNet5

DATA_NAMES = ("digits", "mnist", "fashion-mnist")  # anything else is a path
DATA_HELP = (
    "digits (works offline), mnist, fashion-mnist, a FOLDER with a subfolder of pictures per class, a "
    "FOLDER of IDX, .npy or Parquet files, or a .csv, .npz or .parquet FILE"
)


def number_type(kind: type[float], is_allowed: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    """Return the type of an option, a function that converts its text to a number, and rejects those not allowed."""

    def convert(text: str) -> float:
        number = kind(text)
        if not is_allowed(number):
            raise argparse.ArgumentTypeError(f"{text} is out of range; expected {expected}.")
        return number

    convert.__name__ = "integer" if kind is int else "number"  # for argparse's message if text is not a number
    return convert


COUNT = number_type(int, lambda x: x >= 1, "at least 1")
CONFIDENCE = number_type(float, lambda x: 0 <= x <= 1, "a confidence from 0 to 1")
_THREADS = number_type(int, lambda x: x >= 1 or x == -1, "at least 1, or -1 for all cores")


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


def add_common(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add --n-jobs, with more help, --json and --quiet."""
    parser.add_argument(
        "--n-jobs",
        type=_THREADS,
        metavar="N",
        help=f"number of threads (default: LENET_NUM_THREADS, OMP_NUM_THREADS, or all cores){more}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    add_quiet(parser)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print only results, warnings and errors")


def at_most_one(parser: argparse.ArgumentParser, **given: object) -> None:
    """Reject more than one option or argument; the value of one that was not given is None or false."""
    names = [_option_of(name) for name, value in given.items() if value is not None and value is not False]
    if len(names) > 1:
        parser.error(f"{' and '.join(names[:2])} were both given; expected one of them.")


def _option_of(name: str) -> str:
    return name if name.isupper() else f"--{name.replace('_', '-')}"


@contextlib.contextmanager
def usage_errors(parser: argparse.ArgumentParser, *patterns: str) -> Iterator[None]:
    """Report an InputError as a usage error; parameters that match one of the patterns become options in its text."""
    try:
        yield
    except InputError as error:
        parser.error(re.sub(rf"\b({'|'.join(patterns)})\b", lambda name: _option_of(name[0]), str(error)))


def check_png(parser: argparse.ArgumentParser, option: str, output: str) -> None:
    """Reject a name that does not end in .png, and a file that lenet did not write."""
    if Path(output).suffix.lower() != ".png":
        parser.error(f"{option} is {output or 'an empty name'}; expected a name that ends in .png.")
    check_replaceable(output, PNG_MARK)


def load_model(name: str, *, quiet: bool) -> "LeNet5":
    """Return the model that --model names; warn if it expects other images, and unless quiet, note what it lacks."""
    from lenet._checks import SIDE
    from lenet.interop.loading import load_any

    model = load_any(name)
    note_weights_only(name, quiet=quiet)
    with contextlib.suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
        height, width, low, high, _ = json.loads(model.metadata["classifier"])["framing"].values()
        if (height, width, low) != (SIDE, SIDE, 0) or high not in (1, 255):
            text = f"{name} was trained on images of {height}x{width} pixels from {low:g} to {high:g}."
            text += " The commands pass it 28x28 pixels from 0 to 255, so its answers are unreliable."
            warn(f"{text} In Python, use LeNetClassifier.load.")
    return model


def note_weights_only(name: str, *, quiet: bool) -> None:
    """Print a note if the model file is one of PyTorch."""
    from lenet.weights.files import READERS

    if READERS.get(Path(name).suffix.lower()) == "from_torch":
        text = f"{name} contains only weights, so the model does not standardise pixels, name classes or reject images."
        note(f"{text} In Python, set its mean, std and classes, and save it as .safetensors.", quiet=quiet)


def load_data(
    source: str, *, raw: bool | None = None, strict: bool | None = None, hold_out: bool = True, quiet: bool = False
) -> "Dataset":
    """Load a data set, and print what the loader logs. Unless quiet, show a progress bar if that takes long."""
    from lenet.data import load

    with printed_log(quiet=quiet), Bar(shown=not quiet) as bar:
        return load(source, raw=bool(raw), strict=bool(strict), progress=bar.update, hold_out=hold_out)


def warn_if_changed(model: "LeNet5", name: str, data: "Dataset") -> None:
    """Print a warning if a model was last trained on data of this name with another test set."""
    known = model.metadata.get("test_sha256") if model.metadata.get("data") == name else None
    if known not in (None, data.sha256(test_only=True)):
        text = f"The test set of {name} has changed since the model was trained, so it may contain training images."
        warn(f"{text} Train from other weights; if this is another data set, rename it.")


def note_other_size(model: "LeNet5", images: "NDArray[np.uint8]", *, converted: bool, quiet: bool) -> None:
    """Print a note if a model of MNIST's digits gets images in which most digits are clearly larger or smaller."""
    from lenet._mnist_form import BOX
    from lenet.data.box import ink_form

    if not converted and model.metadata.get("data") != "mnist":
        return
    size, _ = ink_form(images)
    text = f"Most digits are about {size:.0f} pixels high or wide; those of MNIST are {BOX}."
    if size < BOX - 2:
        others = "" if converted else " --as-mnist converts others."
        note(f"{text} If images were larger than 28x28, convert them with lenet.reading.as_mnist.{others}", quiet=quiet)
    elif size > BOX + 2 and not converted:
        note(f"{text} --as-mnist converts them.", quiet=quiet)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        return printable(f"lenet: {kind}: {record.getMessage()}")


@contextlib.contextmanager
def printed_log(*, quiet: bool) -> Iterator[None]:
    """Print the log messages of the loaders to standard error; if quiet, only warnings."""
    logger = logging.getLogger("lenet.data")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
