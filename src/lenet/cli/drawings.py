"""Check the output of --show, so that it never replaces a file that lenet did not draw."""

import argparse
from pathlib import Path

from lenet.reading.drawing import MARK


def check_drawing(parser: argparse.ArgumentParser, output: str, images: list[str]) -> None:
    """Reject a name that is not a PNG, several pictures, and a file that lenet did not draw."""
    from lenet._files import begins_with
    from lenet.errors import InputError

    path = Path(output)
    if path.suffix.lower() != ".png":
        parser.error(f"--show is {output}; expected a name that ends in .png.")
    if len(images) > 1:
        parser.error(f"--show was given with {len(images)} pictures; expected one.")
    if path.is_dir():
        raise InputError(f"{output} is a folder; expected the name of a file.")
    if path.exists() and not begins_with(path, MARK):
        raise InputError(f"{output} exists and was not written by lenet. Choose another name, or remove it first.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder. Create it first.")
