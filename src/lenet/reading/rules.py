"""Ink without what is printed on paper: rules, grids, and the frames of boxes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet._mnist_form import pen_width
from lenet.reading.strokes import INK, LONGEST, Strokes, strokes_of

Mask = NDArray[np.uint8]

_SLOPES = (-0.07, -0.035, 0.0, 0.035, 0.07)  # of rules, where the camera looked askance
_SPANNING = 0.5  # of the extent of all ink, that printed rules have
_SHORTEST, _LONG = 200, 80  # pixels, and pen's widths, of what may be a rule
_THIN = 25  # times longer than thick
_AT_LEAST = 4  # so many rules are printed on paper that has any
_PIECE = 25  # pixels of a rule, at least, that are looked for at a time
_FRAME_INK = 0.35  # of its box, that a frame's ink fills at most
_MOST_FRAMES = 300
_FRAMED = 0.1  # of a frame's ink, that what it encloses has at least


def may_have_rules(strokes: Strokes) -> bool:
    """Return whether the longest stroke is so long and thin that it may be a printed rule, or hang on one."""
    if not len(strokes.boxes):
        return False
    longest = int(np.maximum(strokes.widths, strokes.heights).argmax())
    left, top, right, bottom = strokes.boxes[longest]
    length = max(right - left, bottom - top)
    if length < max(_SHORTEST, _SPANNING * max(_extent(strokes))):
        return False
    stroke = np.asarray(strokes.names[top:bottom, left:right] == longest + 1, np.uint8)
    return bool(length > _LONG * pen_width(255 * stroke))


def without_rules(ink: NDArray[np.uint8], height: float) -> NDArray[np.uint8]:
    """Return ink without straight lines that are long beside the height of the writing, across and down."""
    if strokes_of(ink).longest < LONGEST * height:
        return ink
    for turned in (False, True):
        lines = _lines(_binary(ink, turned), round(LONGEST * height))
        ink = _erased(ink, lines, min(_thickness(lines), height / 9), turned)
    return ink


def without_paper_rules(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ink without rules and grids, whatever the height of the writing: many long thin lines, across or down."""
    extent = _extent(strokes_of(ink))
    for turned, span in ((False, extent[0]), (True, extent[1])):
        lines, thick = _printed(_binary(ink, turned), span)
        if lines.any():
            ink = _erased(ink, lines, thick, turned)
    return ink


def without_frames(ink: NDArray[np.uint8], strokes: Strokes) -> NDArray[np.uint8]:
    """Return ink without those of its strokes that frame others; what touches a frame loses little."""
    hollow = strokes.areas < _FRAME_INK * strokes.widths * strokes.heights
    hollow &= np.minimum(strokes.widths, strokes.heights) > 12
    largest = np.argsort(-strokes.areas)
    ink = ink.copy()
    for n in largest[hollow[largest]][:_MOST_FRAMES]:
        left, top, right, bottom = strokes.boxes[n]
        inside = (strokes.boxes[:, :2] > [left, top]).all(axis=1) & (strokes.boxes[:, 2:] < [right, bottom]).all(axis=1)
        inside &= strokes.heights > 0.15 * (bottom - top)
        if strokes.areas[inside].sum() < _FRAMED * strokes.areas[n]:
            continue
        window = slice(top, bottom), slice(left, right)
        frame = np.asarray(strokes.names[window] == n + 1, np.uint8)
        enclosed = _enclosed(frame) & np.isin(strokes.names[window], 1 + np.flatnonzero(inside))
        if enclosed.sum() >= _FRAMED * strokes.areas[n]:
            ink[window] = _without_sides(ink[window], frame)
    return ink


def _without_sides(ink: NDArray[np.uint8], frame: Mask) -> NDArray[np.uint8]:
    """Return ink without the long straight parts of a frame."""
    own, others = np.where(frame, ink, 0).astype(np.uint8), np.where(frame, 0, ink).astype(np.uint8)
    for turned in (False, True):
        mask = np.ascontiguousarray(frame.T) if turned else frame
        lines = _lines(mask, max(6, mask.shape[1] // 3), np.linspace(-0.25, 0.25, 15))
        own = _erased(own, lines, _thickness(lines), turned)
    return np.maximum(own, others)


def _enclosed(frame: Mask) -> NDArray[np.bool_]:
    """Return the holes of a frame."""
    cv2: Any = require("cv2", "vision")
    padded = cv2.copyMakeBorder(frame, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] == 0)


def _extent(strokes: Strokes) -> tuple[int, int]:
    """Return the width and the height of the box around all strokes but specks."""
    boxes = strokes.boxes[strokes.areas >= 12]
    if not len(boxes):
        return 1, 1
    width, height = boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
    return int(width), int(height)


def _binary(ink: NDArray[np.uint8], turned: bool) -> Mask:
    binary = np.asarray(ink >= INK, np.uint8)
    return np.ascontiguousarray(binary.T) if turned else binary


def _lines(binary: Mask, length: int, slopes: Any = _SLOPES) -> Mask:
    """Return the pixels of lines across, so long at least, that may be a little aslant."""
    cv2: Any = require("cv2", "vision")
    lines = np.zeros_like(binary)
    for slope in slopes:
        level = _sheared(binary, slope)
        wide = cv2.dilate(level, np.ones((3, 1), np.uint8))  # it may be a little aslant yet
        lines |= _sheared(_opened(wide, (1, length)), -slope)
    return lines & binary


def _printed(binary: Mask, span: int) -> tuple[Mask, float]:
    """Return the pixels of printed rules across, and their thickness."""
    cv2: Any = require("cv2", "vision")
    pieces = _lines(binary, max(_PIECE, span // 20))
    linked = cv2.morphologyEx(pieces, cv2.MORPH_CLOSE, np.ones((3, max(_PIECE, span // 20)), np.uint8))
    _, names, facts, _ = cv2.connectedComponentsWithStats(linked)
    width, area = facts[:, cv2.CC_STAT_WIDTH], facts[:, cv2.CC_STAT_AREA]
    rules = 1 + np.flatnonzero((width[1:] >= _SPANNING * span) & (area[1:] * _THIN < width[1:].astype(float) ** 2))
    if len(rules) < _AT_LEAST:
        return np.zeros_like(binary), 0.0
    thick = float(np.median(area[rules] / width[rules]))
    return np.asarray(pieces & np.isin(names, rules), np.uint8), thick


def _thickness(lines: Mask) -> float:
    """Return the median thickness of lines across, in pixels."""
    cv2: Any = require("cv2", "vision")
    _, _, facts, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    return float(np.median(facts[1:, cv2.CC_STAT_AREA] / facts[1:, cv2.CC_STAT_WIDTH])) if len(facts) > 1 else 0.0


def _erased(ink: NDArray[np.uint8], lines: Mask, thick: float, turned: bool) -> NDArray[np.uint8]:
    """Return ink without lines so thick; strokes that cross them stay whole."""
    cv2: Any = require("cv2", "vision")
    crossing = _opened(_binary(ink, turned), (round(1.5 * thick) + 2, 1))
    gone = cv2.dilate(lines & ~crossing, np.ones((3, 1), np.uint8)) & ~crossing
    return np.where(gone.T if turned else gone, 0, ink).astype(np.uint8)


def _opened(binary: Mask, shape: tuple[int, int]) -> Mask:
    """Return the pixels of bars of so many rows and columns; beyond the border there is nothing."""
    cv2: Any = require("cv2", "vision")
    brush = np.ones(shape, np.uint8)
    return np.asarray(
        cv2.morphologyEx(binary, cv2.MORPH_OPEN, brush, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.uint8
    )


def _sheared(binary: Mask, slope: float) -> Mask:
    """Return an image whose columns are shifted up by slope times their number, counted from the middle."""
    if not slope:
        return binary
    cv2: Any = require("cv2", "vision")
    shift = np.array([[1, 0, 0], [-slope, 1, slope * binary.shape[1] / 2]])
    return np.asarray(cv2.warpAffine(binary, shift, binary.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)
