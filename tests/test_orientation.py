"""The orientation of a page, chosen by the probabilities of given digits."""

from types import SimpleNamespace

import pytest

from lenet.errors import InputError
from lenet.reading import orientation
from lenet.reading.results import Digit, Line, Reading


def line_of(text, *probabilities):
    """A line of digits, with their probabilities; ? is a non-digit, with that of a non-digit."""
    digits = [
        Digit((0, 0, 1, 1), None if character == "?" else int(character), probability, 0, 0.0)
        for character, probability in zip(text.replace(" ", ""), probabilities, strict=True)
    ]
    return Line(tuple(digits), 0.5, text)


def even_line(text, probability):
    return line_of(text, *[probability] * len(text))


def reading_of(*lines):
    return Reading(lines)


@pytest.mark.parametrize(
    ("line", "evidence"),
    [
        (line_of("7", 0.9), 0.2 * 0.8),  # alone, it counts a fifth
        (line_of("7", 0.25), 0.2 * -0.5),
        (line_of("?", 0.9), 0.2 * -1),
        (line_of("71", 0.9, 0.75), 0.8 + 0.5 + 0.3),
        (line_of("718", 0.9, 0.75, 1.0), 0.8 + 0.5 + 1 + 0.6),
        (line_of("7 1", 0.9, 0.75), 0.8 + 0.5 + 0.3),
        (line_of("7?", 0.9, 0.8), 0.8 - 1 + 0.3),
        (line_of("7??", 0.9, 0.8, 0.8), 0.8 - 2 + 0.6),
        (line_of("7???", 0.9, 0.8, 0.8, 0.8), 0.8),  # letters
        (line_of("71?????", 0.9, 0.75, *[0.8] * 5), 0.8 + 0.5 + 0.3),
        (line_of("???7???", *[0.8] * 3, 0.9, *[0.8] * 3), 0.8),
        (line_of("???", 0.8, 0.8, 0.8), 0),
    ],
)
def test_the_evidence_of_a_line_is_computed_by_hand(line, evidence):
    assert orientation._evidence(reading_of(line)) == pytest.approx(evidence)
    assert orientation._evidence(reading_of(line, line_of("5", 1.0))) == pytest.approx(evidence + 0.2)


def test_the_legibility_is_the_mean_probability_and_that_of_non_digits_is_0():
    assert orientation._legibility(reading_of()) == 0
    assert orientation._legibility(reading_of(line_of("7", 0.9))) == 0.9
    assert orientation._legibility(reading_of(line_of("7?", 0.9, 0.8), line_of("15", 0.3, 0.6))) == pytest.approx(0.45)


def chosen(*readings, strokes=1):
    """The rotation of a page with these readings after 0, 1, 2 and 3 turns; None stands for too many segments."""
    asked = []

    def read_page(page, *limit):
        asked.append((page.turns, *limit))
        if readings[page.turns] is None:
            raise InputError("The picture has too many segments.")
        return readings[page.turns]

    page = SimpleNamespace(turns=0, strokes=SimpleNamespace(boxes=range(strokes)))
    page.turned = lambda turns: SimpleNamespace(turns=turns)
    found = orientation.read_upright(read_page, page)
    assert asked in ([(0,)], [(0,), (1, 5000), (2, 5000), (3, 5000)])
    assert found.lines == readings[found.rotation // 90].lines
    return found.rotation, len(asked)


NOTHING = reading_of()
CLEAR = reading_of(even_line("347", 1.0))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((reading_of(line_of("7", 0.9)),), (0, 1)),  # legible
        ((reading_of(line_of("7", 0.89)), NOTHING, CLEAR, NOTHING), (180, 4)),
        ((NOTHING, NOTHING, NOTHING, NOTHING), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, NOTHING), (90, 4)),
        ((NOTHING, NOTHING, NOTHING, CLEAR), (270, 4)),
        ((NOTHING, None, None, CLEAR), (270, 4)),
        ((NOTHING, None, None, None), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, CLEAR), (90, 4)),  # equals: the first
        ((NOTHING, CLEAR, reading_of(even_line("3473", 1.0)), CLEAR), (180, 4)),
        ((NOTHING, reading_of(even_line("34", 0.7)), NOTHING, NOTHING), (90, 4)),
        ((NOTHING, reading_of(even_line("347", 0.69)), NOTHING, NOTHING), (0, 4)),  # illegible
        ((NOTHING, reading_of(even_line("347347", 0.69)), NOTHING, CLEAR), (270, 4)),
    ],
)
def test_a_page_is_turned_to_its_most_legible_orientation(readings, expected):
    assert chosen(*readings) == expected


@pytest.mark.parametrize(("strokes", "expected"), [(1000, (90, 4)), (1001, (0, 1))])
def test_a_page_of_more_than_1000_strokes_is_read_once(strokes, expected):
    assert chosen(NOTHING, CLEAR, NOTHING, NOTHING, strokes=strokes) == expected


@pytest.mark.parametrize("text", ["0125689", "0 1 2", "669?98", "01256 89?"])
def test_digits_that_are_legible_upside_down_do_not_turn_a_page_by_180_degrees(text):
    digits = reading_of(line_of(text, *[1.0] * len(text.replace(" ", ""))))
    assert chosen(NOTHING, NOTHING, digits, NOTHING) == (0, 4)
    assert chosen(NOTHING, digits, NOTHING, NOTHING) == (90, 4)
    for other in "347":
        both = reading_of(*digits.lines, line_of(other, 1.0))
        assert chosen(NOTHING, NOTHING, both, NOTHING) == (180, 4)


# With n digits of probability p in a row, the evidence is 2 n p - n + 0.3 (n - 1).
FOUR = even_line("34734", 0.78)
QUARTER = even_line("34", 0.4875)
NEGATIVE = even_line("34", 0.1)


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [
        (NEGATIVE, [line_of("3", 1.0)] * 5, 90),  # 1.0
        (NEGATIVE, [line_of("3", 1.0)] * 4, 0),
        (NEGATIVE, [line_of("3", 0.999)] * 5, 0),
        (QUARTER, [even_line("34", 0.738)], 90),  # 1.25 is needed
        (QUARTER, [even_line("34", 0.737)], 0),
        (FOUR, [even_line("347347", 0.926)], 90),  # 4 + 1.3 * 2
        (FOUR, [even_line("347347", 0.924)], 0),
    ],
)
def test_a_turn_gains_a_digit_and_1_3_roots_of_the_evidence(upright, turned, expected):
    assert chosen(reading_of(upright), reading_of(*turned), NOTHING, NOTHING)[0] == expected
