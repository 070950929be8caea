"""Distinguish numbers from words by the evidence of their characters."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_DOUBT = 0.01  # added to both sides of the odds, as no digit is certain
_GAP = 0.4  # heights of the writing: wider gaps may separate a word from a number

_MIN_NON_DIGITS = 2  # of a word
# The evidence of digits is the sum of their log-odds.
NON_DIGIT_EVIDENCE = 3.0  # per non-digit: digits beside a word belong to it if their evidence is lower
_NUMBER_EVIDENCE = 7.0  # per non-digit: if the digits have at least this evidence, the non-digits are illegible digits


def log_odds(probability: float) -> float:
    """Return the log-odds of a digit with this probability; they are finite."""
    return math.log((probability + _DOUBT) / (1 - probability + _DOUBT))


def words_in(
    labels: Sequence[int | None], probabilities: NDArray[np.float64], gaps: NDArray[np.float64]
) -> list[range]:
    """Return the range of characters of each word in a line, without a number before or after it, as in 10km.

    `labels` are None for non-digits, `probabilities` has a row for each character, and `gaps` are between characters,
    in heights of the writing.
    """
    words = []
    evidence = [
        0.0 if label is None else log_odds(row[label]) for label, row in zip(labels, probabilities, strict=True)
    ]
    for start, end in pairwise([0, *(np.flatnonzero(gaps > _GAP) + 1), len(labels)]):
        non_digits = [k for k in range(start, end) if labels[k] is None]
        if len(non_digits) < _MIN_NON_DIGITS or sum(evidence[start:end]) >= _NUMBER_EVIDENCE * len(non_digits):
            continue
        first, last = non_digits[0], non_digits[-1] + 1
        if sum(evidence[start:first]) < NON_DIGIT_EVIDENCE * len(non_digits):
            first = start
        if sum(evidence[last:end]) < NON_DIGIT_EVIDENCE * len(non_digits):
            last = end
        words.append(range(first, last))
    return words
