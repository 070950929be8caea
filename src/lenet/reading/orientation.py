"""Find the quarter turn in which the digits of a page are upright, by how well they can be read."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from lenet.errors import InputError
from lenet.reading.page import Page
from lenet.reading.results import Reading
from lenet.reading.segments import MAX_SEGMENTS_TURNED
from lenet.reading.words import NON_DIGIT_EVIDENCE, log_odds

# A page whose characters have this mean probability is not turned, if there is a row of them, or no other stroke.
_LEGIBLE = 0.98
_MIN_LEGIBLE = 0.85  # the minimum mean probability of a legible page; a less probable digit is evidence against it
# The lead required if the mean is lower, as in tables with words: a minimum, and per character. Words alone gain some
# evidence upside down.
_CLEAR_LEAD, _LEAD_OF_CHARACTER = 10.0, 0.8
_MAX_STROKES = 1000  # of a page; reading a larger one four times would take seconds
# The evidence that each number of quarter turns must gain. Upside down, 0 remains a 0, and 6 and 9 become each other.
_LEADS = {1: 3.5, 2: 5.25, 3: 3.5}
# The evidence of a non-digit against the page as it stands. It is lower than after a turn, as letters beside upright
# numbers must not favour a turn; but a page on its side has many strokes that resemble a 1.
_UPRIGHT_NON_DIGIT = 1.0
_LONE = 0.3  # the weight of the evidence of a character that is alone on its line
# A page with a single row of at least this many characters is rarely on its side: a quarter turn would make a column of
# it, in which the letters of a label resemble digits. Then a quarter turn requires this lead.
_ROW, _LEAD_OF_ROW = 3, 15.0


def read_upright(read_page: Callable[..., Reading], page: Page) -> Reading:
    """Read a page in the orientation that is clearly the most legible; if there is none, do not turn it.

    `read_page` reads a page as it stands. Its second argument is the maximum number of segments, above which it raises
    InputError.
    """
    reading = read_page(page)
    is_legible, num_strokes = _legibility(reading) >= _LEGIBLE, len(page.strokes.boxes)
    lengths = [len(line.digits) for line in reading.lines]
    is_complete = max(lengths, default=0) > 1 or sum(lengths) >= num_strokes
    if (is_legible and is_complete) or num_strokes > _MAX_STROKES:
        return reading
    # A number on its side is a column, of which sometimes only a 0 is legible; but digits may also stand in a column.
    upright_evidence = evidence_of(reading, _UPRIGHT_NON_DIGIT, 1.0 if is_legible else _LONE)
    best, best_evidence = reading, -math.inf
    is_row = len(lengths) == 1 and lengths[0] >= _ROW
    for turns in _LEADS:
        try:
            turned = replace(read_page(page.turned(turns), MAX_SEGMENTS_TURNED), rotation=90 * turns)
        except InputError:  # so many pieces or segments that this is not its orientation
            continue
        evidence = evidence_of(turned) if turns == 2 else _evidence_after_quarter_turn(turned)
        lead = evidence - max(upright_evidence, 0)
        if lead >= _least_lead(turns, turned, is_row) and evidence > best_evidence:
            best, best_evidence = turned, evidence
    return best


def _least_lead(turns: int, turned: Reading, is_row: bool) -> float:
    """Return the evidence that a turn must gain, given the reading after it, and whether the page is a row before."""
    least = _LEADS[turns]
    if _legibility(turned) < _MIN_LEGIBLE:
        least = max(_CLEAR_LEAD, _LEAD_OF_CHARACTER * sum(len(line.digits) for line in turned.lines))
    return max(least, _LEAD_OF_ROW) if is_row and turns != 2 else least


def _legibility(reading: Reading) -> float:
    """Return the mean probability of the digits; each non-digit counts as 0."""
    probabilities = [
        digit.probability if digit.label is not None else 0 for line in reading.lines for digit in line.digits
    ]
    return sum(probabilities) / max(len(probabilities), 1)


def evidence_of(reading: Reading, non_digit: float = NON_DIGIT_EVIDENCE, lone: float = _LONE) -> float:
    """Return how far the digits' log-odds are above those of `_MIN_LEGIBLE`, less `non_digit` for each non-digit.

    `lone` is the weight of a character that is alone on its line. It is low, because the letters of a word on its side
    are a column, and some resemble digits.
    """
    return sum(_evidence_by_character(reading, non_digit, lone).values())


def _evidence_after_quarter_turn(reading: Reading) -> float:
    """Return the evidence, at most half of which is that of 1s: rules, dashes and arrows become 1s."""
    evidence = _evidence_by_character(reading)
    of_ones = evidence.pop("1", 0.0)
    of_others = sum(evidence.values())
    return of_others + min(of_ones, max(of_others, 0.0))


def _evidence_by_character(
    reading: Reading, non_digit: float = NON_DIGIT_EVIDENCE, lone: float = _LONE
) -> dict[str, float]:
    evidence: dict[str, float] = defaultdict(float)
    for line in reading.lines:
        weight = lone if len(line.digits) == 1 else 1.0
        for digit in line.digits:
            of_digit = log_odds(digit.probability) - log_odds(_MIN_LEGIBLE)
            evidence[digit.text] += weight * (-non_digit if digit.label is None else of_digit)
    return evidence
