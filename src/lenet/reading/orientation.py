"""Find the quarter turn in which the digits of a page are upright, by how well they can be read."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

from lenet.errors import InputError
from lenet.reading.page import Page
from lenet.reading.results import Digit, Line, Reading

_LEGIBLE = 0.9  # a page whose segments have this mean probability is not turned
_MIN_LEGIBLE = 0.7  # the minimum mean probability after a turn
_MAX_STROKES = 1000  # of a page; reading a larger one four times would take seconds
_MAX_SEGMENTS = 5_000  # of a page after a turn, for the same reason: upright, 1,000 digits have fewer
_READABLE_UPSIDE_DOWN = set("0125689? ")  # 3, 4 and 7 are not
_ROW_BONUS = 0.3  # digits: added for each digit that follows another on its line
_LETTERS = re.compile(r"\?{3,}")  # non-digits in a row are probably a word, in whatever orientation
_LONE = 0.2  # of a digit: what one that is alone on its line counts
# A turn must gain _LEAD digits of evidence, and _CHANCE times the square root of the evidence without a turn.
_LEAD, _CHANCE = 1.0, 1.3


def read_upright(read_page: Callable[..., Reading], page: Page) -> Reading:
    """Read a page in the orientation that is clearly the most legible; if there is none, do not turn it.

    `read_page` reads a page as it stands. Its second argument is the maximum number of segments, above which it raises
    InputError.
    """
    reading = read_page(page)
    if _legibility(reading) >= _LEGIBLE or len(page.strokes.boxes) > _MAX_STROKES:
        return reading
    best: Reading | None = None
    for turns in (1, 2, 3):
        try:
            turned = replace(read_page(page.turned(turns), _MAX_SEGMENTS), rotation=90 * turns)
        except InputError:  # so many pieces or segments that this is not its orientation
            continue
        if _legibility(turned) >= _MIN_LEGIBLE and (best is None or _evidence(turned) > _evidence(best)):
            best = turned
    return best if best is not None and _is_clear(best, reading) else reading


def _is_clear(turned: Reading, reading: Reading) -> bool:
    """Return whether a turn has clearly more evidence, and not merely from digits that are legible upside down."""
    if turned.rotation == 180 and set("".join(line.text for line in turned.lines)) <= _READABLE_UPSIDE_DOWN:
        return False
    lead = max(_LEAD, _CHANCE * math.sqrt(max(_evidence(reading), 0)))
    return _evidence(turned) >= max(_evidence(reading), 0) + lead


def _legibility(reading: Reading) -> float:
    """Return the mean probability of the digits; each non-digit counts as 0."""
    probabilities = [_probability(digit) for line in reading.lines for digit in line.digits]
    return sum(probabilities) / max(len(probabilities), 1)


def _evidence(reading: Reading) -> float:
    """Return the number of probable digits minus that of improbable ones, with a reward for digits in a row.

    A digit alone on its line counts little, as a letter on its side can be read as a digit. Letters do not count.
    """
    return sum(_evidence_of_line(line) for line in reading.lines)


def _evidence_of_line(line: Line) -> float:
    count = len(line.digits) - sum(map(len, _LETTERS.findall(line.text)))
    surplus = 2 * sum(map(_probability, line.digits)) - count
    return _LONE * surplus if len(line.digits) == 1 else surplus + _ROW_BONUS * max(count - 1, 0)


def _probability(digit: Digit) -> float:
    return digit.probability if digit.label is not None else 0.0
