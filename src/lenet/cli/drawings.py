"""Where --show writes its drawing: never over a picture that is not one."""

import argparse
from pathlib import Path

from lenet.reading.drawing import MARK


def check_drawing(parser: argparse.ArgumentParser, output: str, images: list[str]) -> None:
    """Refuse an output that is no PNG, is somebody's own file, or could hold one drawing of several.

    Raises
    ------
    InputError
        If a file is there that lenet did not draw.
    """
    from lenet._files import begins_with
    from lenet.errors import InputError

    path = Path(output)
    if path.suffix.lower() != ".png":
        parser.error(f"--show {output}: end the name in .png")
    if len(images) > 1:
        parser.error(f"--show {output}: give one picture, and {len(images)} are given")
    if path.is_dir():
        raise InputError(f"{output} is a folder: give the name of a file.")
    if path.exists() and not begins_with(path, MARK):
        raise InputError(f"{output} was not drawn by lenet, and the drawing would replace it: give another name.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it first.")
