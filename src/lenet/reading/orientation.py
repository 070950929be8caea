"""Find the quarter turn in which the digits of a page are upright, by how well they can be read."""

import math
from collections.abc import Callable
from dataclasses import replace

from lenet.errors import InputError
from lenet.reading.page import Page
from lenet.reading.results import Digit, Reading
from lenet.reading.words import NON_DIGIT_EVIDENCE, log_odds

_LEGIBLE = 0.95  # a page whose segments have this mean probability is not turned
_MIN_LEGIBLE = 0.85  # the minimum mean probability after a turn
_MAX_STROKES = 1000  # of a page; reading a larger one four times would take seconds
_MAX_SEGMENTS = 5_000  # of a page after a turn, for the same reason: upright, 1,000 digits have fewer
_LEAD = 6.0  # the evidence that a turn must gain: odds of 400 to 1
# The evidence of a non-digit against the page as it stands. It is lower than after a turn, as letters beside upright
# numbers must not favour a turn; but a page on its side has many strokes that resemble a 1.
_UPRIGHT_NON_DIGIT = 1.0
# Upside down, 0 remains a 0, and 6 and 9 become each other, so their evidence for or against a half turn is weak. If 1,
# 5 and 8 also count less, some numbers that are upside down are no longer turned.
_REVERSIBLE, _REVERSIBLE_WEIGHT = frozenset("069"), 0.5
_LONE = 0.3  # the weight of the evidence of a character that is alone on its line


def read_upright(read_page: Callable[..., Reading], page: Page) -> Reading:
    """Read a page in the orientation that is clearly the most legible; if there is none, do not turn it.

    `read_page` reads a page as it stands. Its second argument is the maximum number of segments, above which it raises
    InputError.
    """
    reading = read_page(page)
    if _legibility(reading) >= _LEGIBLE or len(page.strokes.boxes) > _MAX_STROKES:
        return reading
    best, best_evidence = reading, -math.inf
    for turns in (1, 2, 3):
        try:
            turned = replace(read_page(page.turned(turns), _MAX_SEGMENTS), rotation=90 * turns)
        except InputError:  # so many pieces or segments that this is not its orientation
            continue
        weight = _REVERSIBLE_WEIGHT if turns == 2 else 1.0
        lead = _evidence(turned, reversible=weight) - max(_evidence(reading, _UPRIGHT_NON_DIGIT, weight), 0)
        evidence = _evidence(turned)
        if _legibility(turned) >= _MIN_LEGIBLE and lead >= _LEAD and evidence > best_evidence:
            best, best_evidence = turned, evidence
    return best


def _legibility(reading: Reading) -> float:
    """Return the mean probability of the digits; each non-digit counts as 0."""
    probabilities = [
        digit.probability if digit.label is not None else 0 for line in reading.lines for digit in line.digits
    ]
    return sum(probabilities) / max(len(probabilities), 1)


def _evidence(reading: Reading, non_digit: float = NON_DIGIT_EVIDENCE, reversible: float = 1.0) -> float:
    """Return the sum of the digits' log-odds; each non-digit reduces it by `non_digit`.

    The log-odds of digits in `_REVERSIBLE` are multiplied by `reversible`. A character that is alone on its line counts
    less: the letters of a word on its side are a column, and some resemble digits.
    """

    def of(digit: Digit) -> float:
        if digit.label is None:
            return -non_digit
        return log_odds(digit.probability) * (reversible if digit.text in _REVERSIBLE else 1)

    return sum((_LONE if len(line.digits) == 1 else 1) * sum(map(of, line.digits)) for line in reading.lines)
