"""Find the quarter turn in which the digits of a page are upright, by how well they can be read."""

from collections.abc import Callable

from lenet.errors import InputError
from lenet.reading.page import Page
from lenet.reading.results import Line

Lines = tuple[Line, ...]

_LEGIBLE = 0.9  # the mean probability of the segments of a page that needs no turn
_MIN_LEGIBLE = 0.7  # the same of a page after its turn
_MAX_STROKES = 1500  # of a page; reading a larger one four times would take seconds
_LINE = 0.3  # in digits: what each digit counts that follows another one on its line
_RATIO, _LEAD = 1.3, 1.0  # between the evidence for a turn and that for none; the lead is in digits


def read_upright(read_page: Callable[[Page], Lines], page: Page) -> tuple[Lines, int]:
    """Read a page in the orientation that is clearly the most legible, otherwise as it is.

    Parameters
    ----------
    read_page : callable
        Returns the lines of a page.
    page : Page

    Returns
    -------
    lines : tuple of Line
    rotation : int
        The degrees by which the page was turned counter-clockwise: 0, 90, 180 or 270.
    """
    lines = read_page(page)
    if _legibility(lines) >= _LEGIBLE or len(page.strokes.boxes) > _MAX_STROKES:
        return lines, 0
    turned = {}
    for turns in (1, 2, 3):
        try:
            turned[90 * turns] = read_page(page.turned(turns))
        except InputError:  # so many pieces that this is not its orientation
            continue
    best = max(turned, key=lambda rotation: _evidence(turned[rotation]), default=0)
    if best and _is_clear(turned[best], lines):
        return turned[best], best
    return lines, 0


def _is_clear(turned: Lines, lines: Lines) -> bool:
    """Return whether a page is clearly more legible after a turn."""
    needed = _RATIO * max(_evidence(lines), 0) + _LEAD
    return _legibility(turned) >= _MIN_LEGIBLE and _evidence(turned) >= needed


def _legibility(lines: Lines) -> float:
    """Return the mean probability of the digits; each non-digit counts as 0."""
    digits = [digit for line in lines for digit in line.digits]
    return _sum_of_probabilities(lines) / max(len(digits), 1)


def _evidence(lines: Lines) -> float:
    """Return the number of probable digits minus that of improbable ones, with a reward for digits in a row."""
    count = sum(len(line.digits) for line in lines)
    return 2 * _sum_of_probabilities(lines) - count + _LINE * (count - len(lines))


def _sum_of_probabilities(lines: Lines) -> float:
    return sum(digit.probability for line in lines for digit in line.digits if digit.label is not None)
