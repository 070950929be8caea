"""Erase straight lines that are longer than any stroke of a digit: the rules and grids printed on paper."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import pen_width
from lenet.reading.page import Page
from lenet.reading.skew import skew_of_rules
from lenet.reading.strokes import INK, MAX_LENGTH, Mask, Strokes, components_of, mask_of

_SLOPES = (-0.07, -0.035, 0.0, 0.035, 0.07)  # of rules seen in perspective
_SPANNING = 0.5  # the minimum length of a printed rule, as a fraction of the extent of all ink
_PART = 0.15  # the minimum length of a part of another rule beside printed ones, as a fraction of the same extent
_MIN_LENGTH = 200  # pixels
_MIN_LENGTH_IN_PENS = 80  # stroke widths
_MIN_ASPECT = 25  # length over thickness
_MIN_RULES = 4  # on ruled paper
_MIN_PIECE = 25  # pixels of a rule that may be broken
_MIN_INKED = 0.75  # the fraction of the area of a margin that has ink, unlike that of a column of 1s
_PALE = INK // 2  # the minimum level of the pixels of a printed rule, which may be paler than writing
# If a page has more than this number of strokes without any darker ink, they may be parts of pale rules that noise
# broke; the level of these is averaged along 19 pixels.
_MIN_BROKEN, _DARK, _BLUR = 400, 200, 19
_FOLD_ASPECT = 50  # length over thickness
_STRAIGHT = 4  # the area of the rectangle around a straight stroke, as a multiple of the stroke's
_NEAR = 2  # pixels: the maximum gap between the end of a rule and the border of the picture
_MIN_CLOSING = 0.4  # the fraction of the bottoms of linked digits that is next to their loops
# Ink that is darker than these multiples of the upper quartile or the median of rules belongs to strokes.
_DARKER, _MUCH_DARKER = 1.25, 2.0


def without_printed_rules(page: Page) -> Page:
    """Level a page and remove the printed rules or grid, whatever the height of the writing.

    A page whose longest stroke is too short or too thick for a rule is returned unchanged, unless it has so many pale
    strokes that they may be parts of rules that noise broke. Averaging along these closes their gaps.
    """
    are_broken = _may_be_broken(page)
    if not are_broken and not _may_have_rule(page.strokes):
        return page
    level = page.levelled(skew_of_rules(page))
    ink, min_count = level.ink, _MIN_RULES
    for span in level.strokes.extent:  # across, then down
        mean = cv2.blur(ink, (_BLUR, 1)) if are_broken else ink
        lines, thickness = _printed((mean >= _PALE).view(np.uint8), span, min_count)
        if thickness:
            ink, min_count = erased(ink, lines, thickness), 1  # a margin is a single line
        ink = ink.T
    cleaned = level.with_ink(ink)
    return page if cleaned is level else cleaned  # without rules, the angle has no meaning


def without_rules(page: Page, height: float) -> Page:
    """Remove straight lines that are long compared with the height of the writing."""
    ink = page.ink
    for lengths in (page.strokes.widths, page.strokes.heights):
        if lengths.max(initial=0) >= MAX_LENGTH * height:
            lines = straight_lines(_binary(ink), round(MAX_LENGTH * height))
            if lines.any():
                if lengths is page.strokes.widths:
                    lines = _without_bottoms(page, lines, round(height))
                ink = erased(ink, lines, min(thickness_of(lines), height / 9))
        ink = ink.T
    return page.with_ink(ink)


def _without_bottoms(page: Page, lines: Mask, height: int) -> Mask:
    """Remove the bottoms of linked digits, such as 000, from horizontal lines.

    They close loops along much of their length, and do not reach the border of the picture.
    """
    binary, thickness = _binary(page.ink), math.ceil(thickness_of(lines))
    paper = components_of(1 - binary, connectivity=4)
    loops = paper.pixels_of(~paper.at_border & (paper.lengths <= height)).view(np.uint8)
    closes_loop = lines & cv2.dilate(loops, np.ones((2 * thickness + 5, 1), np.uint8))
    padded = np.pad(lines, height)  # at the border of an image, OpenCV would continue the lines to it
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((5, height | 1), np.uint8))
    whole = components_of(np.ascontiguousarray(joined[height:-height, height:-height]))
    areas = np.maximum(whole.areas_in(lines > 0), 1)
    are_bottoms = whole.areas_in(closes_loop > 0) >= _MIN_CLOSING * areas
    is_cut = page.touched(whole.boxes + np.array([-_NEAR, 0, _NEAR, 0])).any(axis=1)
    return np.where(whole.pixels_of(are_bottoms & ~is_cut), 0, lines).astype(np.uint8)


def without_folds(page: Page) -> Page:
    """Remove lines that begin at the picture's border, touch nothing else, and are too thin and long for a digit.

    These are folds of the paper and edges of tables, which would resemble a 1.
    """
    strokes = page.strokes
    is_thin = strokes.lengths.astype(float) ** 2 > _FOLD_ASPECT * strokes.areas
    min_length = MAX_LENGTH * strokes.lengths[~is_thin].max(initial=0)
    max_length = 2 * min(page.ink.shape)  # a narrower page may be a 1 that was cropped to its ink
    thin = np.flatnonzero(is_thin & (strokes.lengths > min_length) & (strokes.lengths < max_length))
    thin = thin[page.touched(strokes.boxes[thin]).any(axis=1)]
    return page.without_strokes(np.array([n for n in strokes.limited(thin) if _is_straight(strokes, n)]))


def straight_lines(binary: Mask, length: int, slopes: Iterable[float] = _SLOPES) -> Mask:
    """Return the pixels of horizontal lines of at least this length, with about one of the slopes."""
    columns = cv2.transpose(binary)  # shears and openings take a third of the time down the image
    lines = lines_along(columns, slopes, lambda level: _opened(level, length))
    return np.asarray(cv2.transpose(lines & columns), np.uint8)


def lines_along(image: Mask, slopes: Iterable[float], find: Callable[[Mask], Mask]) -> Mask:
    """Return the pixels of lines that run down an image with one of the slopes, given how to find vertical ones."""
    lines = np.zeros_like(image)
    for slope in slopes:
        level = sheared(image, slope)
        bridged = cv2.dilate(level, np.ones((1, 3), np.uint8))  # over the steps of lines between two slopes
        found = find(np.asarray(bridged, np.uint8))
        if found.any():
            lines |= sheared(found, -slope)
    return lines


def thickness_of(lines: Mask) -> float:
    """Return the median thickness of horizontal lines, in pixels."""
    each = components_of(lines)
    return float(np.median(each.areas / each.widths)) if len(each.areas) else 0.0


def erased(ink: NDArray[np.uint8], lines: Mask, thickness: float) -> NDArray[np.uint8]:
    """Remove horizontal lines of this thickness; strokes that cross the lines, or are much darker, stay whole."""
    if not lines.any():
        return ink
    middle, upper = np.percentile(ink[lines > 0], [50, 75])
    level = min(255, int(_DARKER * upper), int(_MUCH_DARKER * middle))  # NumPy 2.1 crashes on higher ones
    dark = ink > level
    length = (round(1.5 * thickness) + 2) | 1  # odd: a bar that is shorter by one keeps more of the rules
    kept = _opened(_binary(ink), length) | dark.view(np.uint8)
    gone = cv2.dilate(lines & ~kept, np.ones((3, 1), np.uint8)) & ~kept
    return np.where(gone, 0, ink).astype(np.uint8)


def _is_straight(strokes: Strokes, n: int) -> bool:
    """Return whether a stroke covers a large part of the smallest rectangle around it, at any angle."""
    length, thickness = cv2.minAreaRect(cv2.findNonZero(strokes.mask(n)))[1]
    return bool(length * thickness < _STRAIGHT * strokes.areas[n])


def _may_be_broken(page: Page) -> bool:
    """Return whether there are so many pale strokes that they may be parts of broken rules."""
    return int(np.count_nonzero(page.strokes.areas_in(page.ink >= _DARK) == 0)) > _MIN_BROKEN


def _may_have_rule(strokes: Strokes) -> bool:
    """Return whether the longest stroke may contain a printed rule."""
    if not len(strokes.boxes):
        return False
    longest = int(strokes.lengths.argmax())
    length = strokes.lengths[longest]
    if length < max(_MIN_LENGTH, _SPANNING * max(strokes.extent)):
        return False
    return bool(length > _MIN_LENGTH_IN_PENS * pen_width(255 * strokes.mask(longest)))


def _printed(binary: Mask, span: int, min_count: int) -> tuple[Mask, float]:
    """Return the pixels of horizontal printed rules, and their thickness; 0 if there are fewer than `min_count`."""
    piece = max(_MIN_PIECE, span // 20)
    pieces = straight_lines(binary, piece)
    linked = components_of(cv2.morphologyEx(pieces, cv2.MORPH_CLOSE, np.ones((3, piece | 1), np.uint8)))
    thickness = linked.areas / linked.widths
    are_parts = linked.areas * _MIN_ASPECT < linked.widths**2
    are_rules = are_parts & (linked.widths >= _SPANNING * span)
    if are_rules.sum() < _MIN_RULES:  # a margin has neither gaps, unlike a column of 1s, nor parts
        are_rules = are_parts = are_rules & (linked.areas_in(pieces > 0) > _MIN_INKED * linked.areas)
    are_parts &= linked.widths >= _PART * span
    if are_rules.sum() < min_count:
        return np.zeros_like(binary), 0.0
    return np.asarray(pieces & linked.pixels_of(are_parts), np.uint8), float(np.median(thickness[are_rules]))


def _binary(ink: NDArray[np.uint8]) -> Mask:
    return np.ascontiguousarray(mask_of(ink))


def _opened(image: Mask, length: int) -> Mask:
    """Return the pixels that a vertical bar of this length covers without leaving the ink or the image.

    This is a morphological opening. The bar is composed of shorter ones, so the time grows with the logarithm of
    its length; with OpenCV, it grows with the length.
    """
    opened, fits = np.zeros_like(image), image  # fits: whether a bar that begins at each pixel fits, once complete
    if length > len(image):
        return opened
    steps = _doubling(length)
    for step in steps:
        fits = fits[:-step] & fits[step:]
    if not fits.any():
        return opened
    opened[: len(fits)] = fits
    for step in steps:
        opened[step:] |= opened[:-step]
    return opened


def _doubling(length: int) -> list[int]:
    """Return steps that sum to length - 1, each at most 1 more than the sum of those before it.

    Examples
    --------
    >>> _doubling(13)
    [1, 2, 4, 5]
    """
    steps, reached = [], 1
    while reached < length:
        steps.append(min(reached, length - reached))
        reached += steps[-1]
    return steps


def sheared(image: Mask, slope: float) -> Mask:
    """Return an image with each row shifted left by the slope times its distance from the middle row."""
    count, width = image.shape
    shifts = np.rint(slope * (np.arange(count) - count / 2)).clip(-width, width).astype(np.int64)
    starts = [0, *(1 + np.flatnonzero(np.diff(shifts))).tolist()]  # of neighbours with the same shift
    result = np.zeros_like(image)
    for start, stop, shift in zip(starts, [*starts[1:], count], shifts[starts].tolist(), strict=True):
        left, right = max(0, shift), max(0, -shift)
        result[start:stop, right : width - left] = image[start:stop, left : width - right]
    return result
