"""Read a digit, like read_pgm.c.

PyInstaller packs this program into one file that runs without Python:

    pyinstaller --onefile read_pgm.py    (writes dist/read_pgm)
    dist/read_pgm three.pgm              (binary PGM, 28x28 pixels, light ink on a dark background)
"""

import re
import sys
from pathlib import Path

import numpy as np

import lenet


def main(path: str) -> str | None:
    """Print the digit in a picture and its probability. Return an error message, or None."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(1000)
    except OSError as error:
        return f"read_pgm: {path} cannot be read ({error.strerror})."
    picture = re.fullmatch(rb"P5\s+28\s+28\s+255\s(.{784})", content, re.DOTALL)
    if picture is None:
        return f"read_pgm: {path} has another format; expected a binary PGM picture of 28x28 pixels, 8 bits each."
    image = np.frombuffer(picture[1], np.uint8).reshape(28, 28)
    probabilities = lenet.load_pretrained("mnist").predict_proba(image)[0]
    print(f"{probabilities.argmax()} ({100 * probabilities.max():.1f}%)")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else "usage: read_pgm PICTURE")
