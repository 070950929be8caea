"""Check the argument of --show, so that it never replaces a file that lenet did not draw."""

import argparse
from pathlib import Path

from lenet.reading.drawing import MARK


def check_drawing(parser: argparse.ArgumentParser, output: str, images: list[str]) -> None:
    """Reject a name that does not end in .png, several pictures, and a file that lenet did not draw."""
    from lenet._files import check_replaceable

    if Path(output).suffix.lower() != ".png":
        parser.error(f"--show is {output}; expected a name that ends in .png.")
    if len(images) > 1:
        parser.error(f"--show was given with {len(images)} pictures; expected one.")
    check_replaceable(output, MARK)
