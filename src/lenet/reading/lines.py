"""From a picture to its lines: ink without rules and frames, level and of a readable size, and the strokes of each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import InputError
from lenet.reading.chaining import chained
from lenet.reading.ink import find_ink
from lenet.reading.levelling import slope_of_lines, slope_of_rules, upright
from lenet.reading.rules import may_have_rules, without_frames, without_paper_rules, without_rules
from lenet.reading.strokes import Strokes, is_writing, strokes_of, writing_height

_LARGEST = 3_000_000  # pixels that are looked at
_SMALLEST, _TALLEST = 4, 80  # pixels, of writing: what is smaller cannot be read, what is larger is made smaller
_MOST_STROKES = 6000  # of a picture: a page of writing has fewer
_LOWEST = 0.4  # of the height of all writing, that a line's has


@dataclass
class Lines:
    """The lines of a picture.

    Parameters
    ----------
    ink : ndarray of uint8, shape (H, W)
        Of the whole picture, level, without rules, and at a size that suits reading.
    strokes : Strokes
        Of this ink.
    members : list of ndarray of int64
        The strokes of each line from left to right; lines in reading order.
    back : ndarray of float64, shape (2, 3)
        The affine map from places in the ink to places in the picture.
    shape : tuple of int
        Height and width of the picture.
    """

    ink: NDArray[np.uint8]
    strokes: Strokes
    members: list[NDArray[np.int64]]
    back: NDArray[np.float64]
    shape: tuple[int, ...]


def find_lines(grey: NDArray[np.uint8]) -> Lines:
    """Return the lines of writing in a picture.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)

    Raises
    ------
    InputError
        If there are more strokes than on any page of writing.
    """
    shape = grey.shape
    grey, scale = _reduced(grey, (_LARGEST / grey.size) ** 0.5)
    ink, back = find_ink(grey), np.eye(3)
    strokes = strokes_of(ink)
    refuse_texture(int((strokes.areas >= 6).sum()), _MOST_STROKES, "strokes")
    ink = without_frames(ink, strokes)
    strokes = strokes_of(ink)
    if may_have_rules(strokes):
        ink, back = upright(ink, slope_of_rules(ink))
        ink = without_paper_rules(ink)
        strokes = strokes_of(ink)
    height = writing_height(strokes)
    if height < _SMALLEST:
        return Lines(ink, strokes, [], back[:2], shape)
    if height > _TALLEST:
        ink, smaller = _reduced(ink, _TALLEST / height)
        height, scale = height * smaller, scale * smaller
        back[:2, 2] *= smaller
    ink, turned_back = upright(without_rules(ink, height), slope_of_lines(strokes_of(ink), height))
    ink, back = without_rules(ink, height), back @ turned_back
    strokes = strokes_of(ink)
    height = writing_height(strokes) or height
    kept = np.flatnonzero(is_writing(strokes, height))
    lines = [kept[line] for line in chained(strokes.boxes[kept], height)] if len(kept) else []
    lines = [line for line in lines if typical_height(strokes, line) >= _LOWEST * height]
    return Lines(ink, strokes, lines, back[:2] / scale, shape)


def refuse_texture(count: int, most: int, what: str) -> None:
    """Refuse a picture with more strokes or pieces than a page of writing has, which would take long.

    Raises
    ------
    InputError
    """
    if count > most:
        raise InputError(
            f"The picture has {count:,} {what}, and at most {most:,} are read: it shows noise or a texture; "
            "crop it to the writing."
        )


def typical_height(strokes: Strokes, members: NDArray[np.int64]) -> float:
    """Return the height of a line's writing: half of its ink is in strokes at least so high."""
    order = members[np.argsort(strokes.heights[members])]
    middle = np.searchsorted(strokes.areas[order].cumsum(), strokes.areas[order].sum() / 2)
    return float(strokes.heights[order[middle]])


def _reduced(image: NDArray[np.uint8], scale: float) -> tuple[NDArray[np.uint8], float]:
    """Return an image made smaller, and by which factor: 1 for those that are small enough."""
    if scale >= 1:
        return image, 1.0
    cv2: Any = require("cv2", "vision")
    size = tuple(max(1, round(length * scale)) for length in reversed(image.shape))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale
