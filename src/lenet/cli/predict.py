"""Read the digit in each picture: one digit a picture, dark on light or light on dark."""

import argparse
import json
import sys

from lenet.cli.options import add_common, add_model, error_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet predict`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG, JPEG, BMP, GIF, TIFF or WebP file")
    add_model(parser)
    add_common(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet predict`; pictures that cannot be read are told of, and the others read all the same."""
    from lenet.cli.options import load_model
    from lenet.errors import DataError
    from lenet.reading import prepare, read_picture

    model = load_model(arguments.model)
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
        probabilities = model.predict_proba(image, n_jobs=arguments.n_jobs)[0]
        digit = int(probabilities.argmax())
        if arguments.json:
            print(json.dumps({"image": path, "label": digit, "probabilities": probabilities.tolist()}))
        else:
            print(f"{path}: {digit} ({probabilities[digit]:.3f})")
    return int(failed)
