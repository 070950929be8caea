"""Read a digit: read_pgm.c in Python, and then one file that runs where there is no Python.

In a shell:

    pyinstaller --onefile read_pgm.py    (writes dist/read_pgm)
    dist/read_pgm three.pgm              (28 x 28 pixels, binary PGM, light ink on a dark ground)
"""

import re
import sys
from pathlib import Path

import numpy as np

import lenet


def main(path: str) -> str | None:
    """Print the digit in a picture and how sure that is; return what is wrong, if anything is."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(1000)
    except OSError as error:
        return f"read_pgm: {path}: {error.strerror}"
    picture = re.fullmatch(rb"P5\s+28\s+28\s+255\s(.{784})", content, re.DOTALL)
    if picture is None:
        return f"read_pgm: {path} is no binary PGM picture of 28 x 28 pixels of 8 bits"
    image = np.frombuffer(picture[1], np.uint8).reshape(28, 28)
    probabilities = lenet.load_pretrained("mnist").predict_proba(image)[0]
    print(f"{probabilities.argmax()} ({100 * probabilities.max():.1f}%)")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else "usage: read_pgm PICTURE")
