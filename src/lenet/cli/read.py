"""Read numbers, or pages of numbers, from pictures, line by line."""

import argparse
import json
import sys

from lenet.cli.options import add_common, add_model, error_line
from lenet.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet read`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG, JPEG, BMP, GIF, TIFF or WebP file")
    parser.add_argument(
        "--least", type=float, default=0.0, metavar="X", help="omit lines with a lower confidence, from 0 to 1"
    )
    parser.add_argument(
        "--only-digits", action="store_true", help="read every character as a digit, none as a non-digit (?)"
    )
    parser.add_argument(
        "--show", metavar="PNG", help="draw the picture with boxes, digits and probabilities to a PNG file"
    )
    add_model(parser)
    add_common(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet read`; a picture that cannot be read is reported, and the others are read."""
    from lenet._files import atomic_write
    from lenet.cli.drawings import check_drawing
    from lenet.cli.options import load_model
    from lenet.errors import DataError, InputError
    from lenet.reading import Reading, read, read_picture
    from lenet.reading.drawing import drawn

    if not 0 <= arguments.least <= 1:
        parser.error(f"--least is {arguments.least:g}; expected a confidence from 0 to 1.")
    model = load_model(arguments.model)
    if arguments.show is not None:
        check_drawing(parser, arguments.show, arguments.images)
    failed = False
    for path in arguments.images:
        try:
            found = read(path, model, only_digits=arguments.only_digits, n_jobs=arguments.n_jobs)
        except (DataError, InputError, OSError) as error:
            print(error_line(error), file=sys.stderr)
            failed = True
            continue
        lines = tuple(line for line in found.lines if line.confidence >= arguments.least)
        if arguments.show is not None:
            atomic_write(arguments.show, drawn(read_picture(path, colour=True), Reading(lines)))
        if arguments.json:
            say(json.dumps({"image": path, **Reading(lines).as_dict()}))
            continue
        for line in lines:
            say(f"{path}: {line.text} ({line.confidence:.2f})")
        if not lines:
            say(f"{path}: no digits")
    return int(failed)
