"""Find the quarter turn in which the digits of a page are upright.

The evidence is how well they can be read after each turn, and whether their shapes are those of upright digits.
"""

import functools
import math
from collections.abc import Callable, Sequence
from importlib import resources
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.loading import given_model
from lenet.model import LeNet5
from lenet.reading.results import Line
from lenet.reading.segments import MAX_SEGMENTS, MAX_SEGMENTS_TURNED, Segments
from lenet.reading.strokes import Floats, Ints
from lenet.reading.words import NON_DIGIT_EVIDENCE, log_odds
from lenet.weights import read_tensors
from lenet.weights.integers import from_integers

Images = NDArray[np.uint8]


class Characters(NamedTuple):
    """The characters of a line, as evidence of its orientation."""

    texts: Sequence[str]  # n names of classes, or "" for a non-digit
    probabilities: Floats  # (n,)
    shares: Floats  # (n,): 1/m for each of m characters cut from one stroke
    images: Images  # (k, 28, 28): of the digits; none if the classes are not ASCII digits

    @classmethod
    def of(cls, line: Line, shares: Floats, images: Images) -> "Characters":
        """Return the characters of a line."""
        texts = ["" if digit.label is None else digit.text for digit in line.digits]
        return cls(texts, np.array([digit.probability for digit in line.digits]), shares, images)


Result = TypeVar("Result")

# A page whose characters have this mean probability is not turned, if their shapes are upright, and there is a row of
# them or no other stroke.
_SURE = 0.98
_MIN_LEGIBLE = 0.85  # the minimum mean probability of a legible page; a less probable digit is evidence against it
_CLEAR_LEAD = 10.0  # required if the mean is lower
# The evidence that each number of quarter turns must gain. Upside down, 0 remains a 0, and 6 and 9 become each other.
_LEADS = {1: 6.0, 2: 7.0, 3: 6.0}
# The evidence of a non-digit against the page as it stands. It is lower than after a turn, as letters beside upright
# numbers must not favour a turn; but a page on its side has many strokes that resemble a 1.
_UPRIGHT_NON_DIGIT = 1.0
_LONE = 0.3  # the weight of the evidence of a character that is alone on its line
# The shapes of at most this many digits are evidence. A digit's log-odds are clipped to the first limit, and what they
# gain in all to the second, since the digits of one hand have the same peculiarities.
_MAX_SHAPES = 32
_MAX_OF_SHAPE, _MAX_OF_SHAPES = 3.0, 6.0


def read_upright(
    read_after_turns: Callable[[int, int], tuple[Result, Sequence[Characters]]], num_strokes: int
) -> tuple[Result, int]:
    """Return what is read in the orientation that is clearly the best, and its quarter turns; 0 if there is none.

    `read_after_turns` returns what it reads on the page after some quarter turns, and the characters of each line. Its
    second argument is the maximum number of segments, above which it raises InputError. The page has `num_strokes`.
    """
    as_it_is, lines = read_after_turns(0, MAX_SEGMENTS)
    is_sure, lengths = _legibility(lines) >= _SURE, [len(line.texts) for line in lines]
    is_complete = max(lengths, default=0) > 1 or sum(lengths) >= num_strokes
    shapes_before = upright_log_odds([line.images for line in lines])
    if is_sure and is_complete and shapes_before >= 0:
        return as_it_is, 0
    is_column = max(lengths, default=0) == 1
    best, best_lead = (as_it_is, 0), -math.inf
    for turns, least in _LEADS.items():
        try:
            turned, turned_lines = read_after_turns(turns, MAX_SEGMENTS_TURNED)
        except InputError:  # so many pieces or segments that this is not its orientation
            continue
        lone = 1.0 if is_column and turns == 2 else _LONE  # upside down, a column of digits remains one
        # A number on its side is a column, of which sometimes only a 0 is legible; but it may be a list of digits.
        limit_ones, lone_before = turns != 2, 1.0 if is_sure else lone
        before = max(evidence_of(lines, _UPRIGHT_NON_DIGIT, lone_before, limit_ones=limit_ones), 0)
        lead = evidence_of(turned_lines, lone=lone, limit_ones=limit_ones) - before
        shapes = upright_log_odds([line.images for line in turned_lines])
        lead += max(-_MAX_OF_SHAPES, min(shapes - shapes_before, _MAX_OF_SHAPES))
        if lead > best_lead and lead >= (least if _legibility(turned_lines) >= _MIN_LEGIBLE else _CLEAR_LEAD):
            best, best_lead = (turned, turns), lead
    return best


def shares_of(segments: Segments, arcs: Ints) -> Floats:
    """Return 1/m for each segment of a path, where m is the number of segments cut from its stroke."""
    strokes, starts = segments.pieces.strokes, segments.starts[arcs][1:]
    is_other = (strokes[starts] != strokes[starts - 1]).any(axis=1)  # the boxes of the strokes on both sides
    groups = np.append(0, is_other.cumsum())
    return np.asarray(1 / np.bincount(groups)[groups])


def images_of(segments: Segments, digits: Ints, classes: Sequence[str]) -> Images:
    """Return the images of digits; none unless all classes are ASCII digits.

    Upside down, the Arabic-Indic digits 7 and 8 are each other.
    """
    names = "".join(classes)
    return segments.images[digits if names.isascii() and names.isdecimal() else digits[:0]]


def upright_log_odds(lines: Sequence[Images]) -> float:
    """Return the sum of the log-odds that digits are upright, rather than turned in their most probable way.

    A linear classifier of the `features` estimates them; `python -m benchmarks.learn_orientation` learned its weights.
    Characters that are alone on their line have a lower weight, as in `evidence_of`.
    """
    if not any(map(len, lines)):
        return 0.0
    model, weight, bias = _classifier()
    digits = np.concatenate(lines)
    of_line = np.concatenate([np.full(len(line), _LONE if len(line) == 1 else 1.0) for line in lines])
    step = math.ceil(len(digits) / _MAX_SHAPES)
    odds = log_odds_of_turns(features(model, digits[::step]) @ weight.T + bias)
    of_shape = (odds[:, 0] - odds[:, 1:].max(axis=1)).clip(-_MAX_OF_SHAPE, _MAX_OF_SHAPE)
    return float(of_line[::step] @ of_shape)


def log_odds_of_turns(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithm of the odds of each number of quarter turns, from the scores of digits and of letters."""
    return np.logaddexp(scores[:, :4], scores[:, 4:])


def features(model: LeNet5, digits: Images) -> NDArray[np.float32]:
    """Return the outputs of the stages S4, C5 and F6, shape (n, 604)."""
    outputs = model.activations(digits)
    return np.concatenate([outputs[stage].reshape(len(digits), -1) for stage in ("s4", "c5", "f6")], axis=1)


@functools.cache
def _classifier() -> tuple[LeNet5, NDArray[np.float32], NDArray[np.float32]]:
    """Return the network whose features are classified, the weights, shape (8, 604), and the biases.

    The first four rows are those of digits after 0 to 3 quarter turns, and the others those of letters.
    """
    with resources.as_file(resources.files("lenet.weights") / "pretrained" / "orientation.safetensors") as path:
        tensors = from_integers(*read_tensors(path))
    return given_model("mnist"), tensors["weight"].astype(np.float32), tensors["bias"].astype(np.float32)


def _legibility(lines: Sequence[Characters]) -> float:
    """Return the mean probability of the digits; each non-digit counts as 0."""
    probabilities = [
        probability if text else 0.0
        for line in lines
        for text, probability in zip(line.texts, line.probabilities.tolist(), strict=True)
    ]
    return sum(probabilities) / max(len(probabilities), 1)


def evidence_of(
    lines: Sequence[Characters],
    non_digit: float = NON_DIGIT_EVIDENCE,
    lone: float = _LONE,
    *,
    limit_ones: bool = False,
) -> float:
    """Return how far the digits' log-odds are above those of `_MIN_LEGIBLE`, less `non_digit` for each non-digit.

    Characters cut from one stroke count as one: on its side, an 8 is two 0s that touch. `lone` is the weight of a line
    of one character or stroke. It is low, because the letters of a word on its side are a column, and some resemble
    digits. With `limit_ones`, at most half of the evidence is that of 1s, as dashes and the rules of paper become 1s
    after a quarter turn.
    """
    of_ones = of_others = 0.0
    for line in lines:
        weight = lone if line.shares.sum() < 1.5 else 1.0  # the shares of one stroke add up to 1
        for text, probability, share in zip(line.texts, line.probabilities.tolist(), line.shares.tolist(), strict=True):
            of_digit = log_odds(probability) - log_odds(_MIN_LEGIBLE)
            evidence = weight * share * (of_digit if text else -non_digit)
            if text == "1":
                of_ones += evidence
            else:
                of_others += evidence
    return of_others + (min(of_ones, max(of_others, 0.0)) if limit_ones else of_ones)
