"""Read the digit in each picture: one digit a picture, dark on light or light on dark."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from lenet.cli.options import add_common, add_model, error_line
from lenet.cli.output import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lenet.model import LeNet5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet predict`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG, JPEG, BMP, GIF, TIFF or WebP file")
    parser.add_argument(
        "--reject-at", type=float, metavar="RATE",
        help="say that it is unsure where more than this part of the answers would be wrong, such as 0.005",
    )  # fmt: skip
    parser.add_argument("--show", metavar="PNG", help="write what the network sees of the picture, enlarged ten times")
    add_model(parser)
    add_common(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet predict`; pictures that cannot be read are told of, and the others read all the same."""
    from lenet._files import atomic_write
    from lenet.calibration import least_probability
    from lenet.cli.drawings import check_drawing
    from lenet.cli.options import load_model
    from lenet.errors import DataError
    from lenet.reading import prepare, read_picture
    from lenet.reading.drawing import enlarged

    model = load_model(arguments.model)
    if arguments.show is not None:
        check_drawing(parser, arguments.show, arguments.images)
    least = 0.0 if arguments.reject_at is None else least_probability(model, arguments.reject_at)
    failed = False
    for path in arguments.images:
        try:
            image = prepare(read_picture(path))
            if not image.any():
                raise DataError(f"{path} shows no ink: give a picture of a digit, dark on light or light on dark.")
        except (DataError, OSError) as error:
            print(error_line(error), file=sys.stderr)
            failed = True
            continue
        if arguments.show is not None:
            atomic_write(arguments.show, enlarged(image))
        answer = answer_for(model, model.predict_proba(image, n_jobs=arguments.n_jobs), least)
        say(json.dumps({"image": path, **answer}) if arguments.json else f"{path}: {in_words(answer)}")
    return int(failed)


def answer_for(model: "LeNet5", probabilities: "NDArray[Any]", least: float) -> dict[str, Any]:
    """Return the label, None where there is no digit or too little probability of one, and why."""
    from lenet.calibration import digit_score, looks_like_digit

    likeliest = int(probabilities[0].argmax())
    is_digit = bool(looks_like_digit(model, probabilities)[0])
    return {
        "label": likeliest if is_digit and probabilities[0, likeliest] >= least else None,
        "likeliest": likeliest,
        "is_digit": is_digit,
        "digit_score": float(digit_score(probabilities)[0]),
        "probabilities": probabilities[0].tolist(),
    }


def in_words(answer: dict[str, Any]) -> str:
    """Say an answer as a person reads it."""
    if not answer["is_digit"]:
        return f"not a digit ({answer['digit_score']:.2f})"
    probabilities = answer["probabilities"]
    said = f"{answer['likeliest']} ({probabilities[answer['likeliest']]:.3f})"
    return said if answer["label"] is not None else f"unsure, likeliest {said}"
