"""Classify pictures of one digit each, dark on light or light on dark."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from lenet.cli.options import add_common, add_model, error_line
from lenet.cli.output import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lenet.rejection import RejectionRule


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet predict`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG, JPEG, BMP, GIF, TIFF or WebP file")
    parser.add_argument(
        "--reject-at", type=float, metavar="RATE",
        help="print \"unsure\" for the least confident digits, so that the error rate of the others is at most RATE, "
        "such as 0.005",
    )  # fmt: skip
    parser.add_argument(
        "--show", metavar="PNG", help="draw the input of the network, enlarged ten times, to a PNG file"
    )
    add_model(parser)
    add_common(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet predict`; a picture that cannot be read is reported, and the others are read."""
    from lenet._files import atomic_write
    from lenet.cli.drawings import check_drawing
    from lenet.cli.options import load_model
    from lenet.errors import DataError
    from lenet.reading import prepare, read_picture
    from lenet.reading.drawing import enlarged
    from lenet.rejection import RejectionRule

    model = load_model(arguments.model)
    if arguments.show is not None:
        check_drawing(parser, arguments.show, arguments.images)
    rule = RejectionRule.from_metadata(model.metadata, arguments.reject_at)
    failed = False
    for path in arguments.images:
        try:
            image = prepare(read_picture(path))
            if not image.any():
                raise DataError(f"{path} shows no ink; expected a digit, dark on light or light on dark.")
        except (DataError, OSError) as error:
            print(error_line(error), file=sys.stderr)
            failed = True
            continue
        if arguments.show is not None:
            atomic_write(arguments.show, enlarged(image))
        answer = answer_for(rule, model.predict_proba(image, n_jobs=arguments.n_jobs))
        say(json.dumps({"image": path, **answer}) if arguments.json else f"{path}: {in_words(answer)}")
    return int(failed)


def answer_for(rule: "RejectionRule", probabilities: "NDArray[Any]") -> dict[str, Any]:
    """Return the answer for one image; its label is None if the image is rejected."""
    answers = rule.answers(probabilities)
    likeliest, label = int(answers.likeliest[0]), int(answers.labels[0])
    return {
        "label": None if label < 0 else label,
        "likeliest": likeliest,
        "is_digit": bool(answers.is_digit[0]),
        "digit_score": float(answers.digit_scores[0]),
        "probabilities": probabilities[0].tolist(),
    }


def in_words(answer: dict[str, Any]) -> str:
    """Return an answer in words."""
    if not answer["is_digit"]:
        return f"not a digit ({answer['digit_score']:.2f})"
    probabilities = answer["probabilities"]
    digit = f"{answer['likeliest']} ({probabilities[answer['likeliest']]:.3f})"
    return digit if answer["label"] is not None else f"unsure, likeliest {digit}"
