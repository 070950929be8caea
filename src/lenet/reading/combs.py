"""Find the teeth of combs: short upright lines on a rule, with a place for a digit between each two of them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet.reading.strokes import Mask, components_of

_MIN_TEETH = 5
_MIN_HEIGHT = 9  # pixels; odd, as OpenCV would shift the result by a pixel
_MAX_HEIGHT = 0.8  # of the distance between two teeth
_MAX_SLANT = 0.08  # of a tooth: across over down
_MAX_DIFFERENCE = 1  # pixels between the width or height of a tooth and the median
_MAX_SHIFT = 0.1  # heights of the teeth between a distance and the median


def find_teeth(binary: Mask, rules: Mask, thickness: float) -> Mask:
    """Return the pixels of the teeth of combs, given the horizontal rules of a page and their thickness.

    Teeth are at least five upright lines, as thin as the rule on which they end, of one height and at equal distances.
    Written ones seldom have all of these properties.
    """
    upright = np.asarray(cv2.morphologyEx(binary, cv2.MORPH_OPEN, np.ones((_MIN_HEIGHT, 1), np.uint8)), np.uint8)
    boxes = components_of(upright)[1][1:, :4]
    thin = boxes[boxes[:, 2] <= thickness + _MAX_SLANT * boxes[:, 3]]
    teeth = np.zeros_like(binary)
    for start, stop, boxes in _on_each_rule(thin, rules):
        for left, top, right, bottom in _places(boxes, start, stop).tolist():
            teeth[top:bottom, left:right] = 1
    return teeth & upright


def _on_each_rule(boxes: NDArray[np.int32], rules: Mask) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
    """Yield the ends of each rule, and the boxes (left, top, width, height) that end on it, if most are of one size."""
    labels, stats = components_of(cv2.dilate(rules, np.ones((3, 9), np.uint8)))  # connects the pieces of a rule
    left, top, width, height = boxes.T
    rule_of = labels[top + height - 1, left + width // 2]
    for n in np.flatnonzero(np.bincount(rule_of)[1:] >= _MIN_TEETH) + 1:
        on_rule = boxes[rule_of == n]
        sides = on_rule[:, 2:]
        equal = on_rule[(np.abs(sides - np.median(sides, axis=0)) <= _MAX_DIFFERENCE).all(axis=1)]
        if len(equal) >= max(_MIN_TEETH, len(on_rule) / 2):
            start, length = stats[n, [cv2.CC_STAT_LEFT, cv2.CC_STAT_WIDTH]].tolist()
            yield start, start + length, equal[np.argsort(equal[:, 0])]


def _places(boxes: NDArray[np.int32], start: int, stop: int) -> NDArray[np.int64]:
    """Return the boxes (left, top, right, bottom) of all teeth of a comb, given those of the teeth that touch no digit.

    The others are between these, or one beyond their ends. There are no boxes if the distances differ.
    """
    middle, bottom = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3]
    wide, tall = np.median(boxes[:, 2:], axis=0)
    gaps = np.diff(middle)
    step = max(1.0, np.median(gaps))
    counts = np.maximum(np.rint(gaps / step), 1)
    if tall > _MAX_HEIGHT * step or np.abs(gaps / counts - step).max() > _MAX_SHIFT * tall:
        return np.empty((0, 4), np.int64)
    numbers = np.append(0, counts.cumsum())
    numbers, middle, bottom = (np.pad(each, 1, "reflect", reflect_type="odd") for each in (numbers, middle, bottom))
    every = np.arange(numbers[0], numbers[-1] + 1)
    x, y = np.interp(every, numbers, middle), np.interp(every, numbers, bottom)
    side = wide / 2 + 1
    places = np.column_stack([x - side, y - tall - 1, x + side, y + 1])[(x >= start) & (x <= stop)]
    return places.round().clip(0).astype(np.int64)
