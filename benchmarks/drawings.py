"""Synthetic pictures of symbols and letters by class: `python -m benchmarks.drawings FOLDER` writes eight symbols.

Symbols are drawn stroke by stroke, letters with the 30 fonts that matplotlib brings: those of `TESTING` are of other
families than those of `TRAINING`. Each picture is bent, rotated and scaled at random, with another pen and paper.
"""

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Image = NDArray[np.uint8]
Font = tuple[str, int]  # a file without its suffix, and the code point of its A
SIDE = 96  # pixels

DEJAVU = ("", "-Bold", "-Oblique", "-BoldOblique")
TRAINING: tuple[Font, ...] = (
    *((f"DejaVuSans{style}", 65) for style in DEJAVU),
    *((f"DejaVuSerif{style}", 65) for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *((f"STIXGeneral{style}", 65) for style in ("", "Bol", "Italic", "BolIta")),
    *((f"{name}10", 65) for name in ("cmr", "cmb", "cmti", "cmmi", "cmsy")),
    *(("STIXGeneral", first) for first in (0x1D4D0, 0x1D56C, 0x1D670)),  # script, Fraktur, typewriter
)
TESTING: tuple[Font, ...] = (
    *((f"DejaVuSansMono{style}", 65) for style in DEJAVU),
    *(("STIXGeneral", first) for first in (0x1D5A0, 0x1D5D4, 0x1D608, 0x1D63C)),  # four styles of a sans serif
    *((f"{name}10", 65) for name in ("cmss", "cmtt")),
)


def polygon(corners: int, step: int = 1, closed: bool = True) -> NDArray[np.float64]:
    """Return the corners of a regular polygon or star, one of them on top."""
    angles = 2 * np.pi * step * np.arange(corners + closed) / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)


TURN = np.linspace(0, 2 * np.pi, 24)
STROKES: dict[str, list[NDArray[np.float64]]] = {  # x to the right and y down, from -1 to 1
    "arrow": [np.array([[-1, 0], [1, 0]]), np.array([[0.4, -0.6], [1, 0], [0.4, 0.6]])],
    "circle": [polygon(24)],
    "cross": [np.array([[-0.8, -0.8], [0.8, 0.8]]), np.array([[0.8, -0.8], [-0.8, 0.8]])],
    "heart": [
        np.stack([np.sin(TURN) ** 3, -(13 * np.cos(TURN) - 5 * np.cos(2 * TURN) - 2 * np.cos(3 * TURN)) / 17], 1)
    ],
    "house": [np.array([[-0.7, 1], [-0.7, -0.1], [0, -1], [0.7, -0.1], [0.7, 1], [-0.7, 1]])],
    "spiral": [np.linspace(0, 1, 40)[:, np.newaxis] * polygon(16, closed=False)[np.arange(40) % 16]],
    "star": [polygon(5, 2)],
    "triangle": [polygon(3)],
}


def symbol(name: str, rng: np.random.Generator) -> Image:
    """Return a picture of a symbol, drawn by an unsteady hand."""
    page = np.zeros((SIDE, SIDE), np.uint8)
    for stroke in STROKES[name]:
        points = SIDE / 2 + 0.3 * SIDE * (stroke + rng.normal(0, 0.06, stroke.shape))
        cv2.polylines(page, [np.round(points * 16).astype(np.int32)], False, 255, 3, cv2.LINE_AA, shift=4)
    return _drawn(page, rng)


def letter(name: str, fonts: Sequence[Font], rng: np.random.Generator) -> Image:
    """Return a picture of a capital letter in one of the fonts."""
    file, first = fonts[rng.integers(len(fonts))]
    page = Pillow.new("L", (SIDE, SIDE))
    place, text = (SIDE / 2, SIDE / 2), chr(first + ord(name) - ord("A"))
    ImageDraw.Draw(page).text(place, text, 255, _font(file), anchor="mm")
    return _drawn(np.asarray(page), rng)


@cache
def _font(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf", f"{file}.ttf")), SIDE // 2)


def _drawn(ink: Image, rng: np.random.Generator) -> Image:
    """Return ink, bent and with another pen, on paper."""
    turn, lean = np.radians(rng.normal(0, 6)), rng.normal(0, 0.12)
    shape = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, lean], [0, 1]]
    shape = shape * rng.uniform(0.85, 1.2, (2, 1))
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1) - SIDE / 2
    bend = cv2.resize(rng.normal(0, 2.5, (4, 4, 2)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    source = (grid @ shape.T + bend + SIDE / 2).astype(np.float32)
    bent = cv2.remap(ink, source[..., 0], source[..., 1], cv2.INTER_LINEAR)
    pen = int(rng.integers(0, 3))
    thick = cv2.dilate(bent, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen + 1, pen + 1)))
    paper, darkest = rng.uniform(190, 255), rng.uniform(0, 90)
    grey = paper + (darkest - paper) * thick / 255 + rng.normal(0, 4, ink.shape)
    return np.asarray(grey.clip(0, 255), np.uint8)


def write_symbols(folder: Path, count: int, seed: int) -> None:
    """Write `count` pictures of each symbol into subfolders by name."""
    rng = np.random.default_rng(seed)
    for name in STROKES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Pillow.fromarray(symbol(name, rng)).save(folder / name / f"{number:03}.png")


def main() -> None:
    """Write the symbols."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawings", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=40, metavar="N", help="pictures of each symbol (default: 40)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    write_symbols(arguments.folder, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()
