"""The orientation of a page, chosen by the probabilities of given digits."""

import math
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


def log_odds(probability):
    """The log-odds with 0.01 on both sides."""
    return math.log((probability + 0.01) / (1.01 - probability))


@pytest.mark.parametrize(
    ("line", "evidence"),
    [
        (line_of("7", 0.5), 0),
        (line_of("71", 0.99, 0.5), math.log(50)),
        (line_of("71", 0.01, 0.5), -math.log(50)),
        (line_of("71", 1.0, 0.0), 0),
        (line_of("7", 1.0), 0.3 * math.log(101)),  # alone
        (line_of("7 1", 0.9, 0.75), log_odds(0.9) + log_odds(0.75)),
        (line_of("718", 0.9, 0.75, 0.25), log_odds(0.9)),
        (line_of("7?", 0.9, 0.8), log_odds(0.9) - 3),  # whatever the probability of the non-digit
        (line_of("???7???", *[0.8] * 3, 0.9, *[0.8] * 3), log_odds(0.9) - 18),
    ],
)
def test_the_evidence_of_a_line_is_computed_by_hand(line, evidence):
    assert orientation._evidence(reading_of(line)) == pytest.approx(evidence)
    assert orientation._evidence(reading_of(line, line_of("53", 1.0, 0.5))) == pytest.approx(evidence + math.log(101))
    of_digits = evidence + 3 * sum(digit.label is None for digit in line.digits)
    assert orientation._evidence(reading_of(line), 0) == pytest.approx(of_digits)


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
NEGATIVE = even_line("34", 0.1)
CLEAR = reading_of(even_line("347", 1.0))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((reading_of(line_of("7", 0.95)),), (0, 1)),  # legible
        ((reading_of(line_of("7", 0.949)), NOTHING, CLEAR, NOTHING), (180, 4)),
        ((reading_of(line_of("7?", 1.0, 1.0)), NOTHING, CLEAR, NOTHING), (180, 4)),
        ((NOTHING, NOTHING, NOTHING, NOTHING), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, NOTHING), (90, 4)),
        ((NOTHING, NOTHING, NOTHING, CLEAR), (270, 4)),
        ((NOTHING, None, None, CLEAR), (270, 4)),
        ((NOTHING, None, None, None), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, CLEAR), (90, 4)),  # equals: the first
        ((reading_of(even_line("66", 0.9)), NOTHING, reading_of(even_line("99", 0.9)), NOTHING), (0, 4)),
        ((NOTHING, CLEAR, reading_of(even_line("3473", 1.0)), CLEAR), (180, 4)),
        ((NOTHING, reading_of(even_line("347347", 0.85)), NOTHING, NOTHING), (90, 4)),
        ((NOTHING, reading_of(even_line("347347", 0.849)), NOTHING, NOTHING), (0, 4)),  # illegible
        ((NOTHING, reading_of(even_line("347347347347", 0.849)), NOTHING, CLEAR), (270, 4)),
        ((NOTHING, reading_of(line_of("3473??", *[1.0] * 6)), NOTHING, NOTHING), (0, 4)),  # 4 of 6 are digits
    ],
)
def test_a_page_is_turned_to_its_most_legible_orientation(readings, expected):
    assert chosen(*readings) == expected


@pytest.mark.parametrize(
    ("quarter", "half", "expected"),
    [
        ("3473", "0690966", 180),  # 4 and 7 log(101), 18.5 and 32.3; half of the latter is enough
        ("34", "00", 90),  # 9.2 both; half of it is too little
    ],
)
def test_the_best_turn_is_chosen_by_all_evidence(quarter, half, expected):
    turned = (reading_of(even_line(text, 1.0)) for text in (quarter, half))
    assert chosen(reading_of(NEGATIVE), *turned, NOTHING)[0] == expected


@pytest.mark.parametrize(("strokes", "expected"), [(1000, (90, 4)), (1001, (0, 1))])
def test_a_page_of_more_than_1000_strokes_is_read_once(strokes, expected):
    assert chosen(NOTHING, CLEAR, NOTHING, NOTHING, strokes=strokes) == expected


TEN = even_line("3473473473", 0.7)  # 10 log(0.71 / 0.31) = 8.287
WITH_NON_DIGIT = line_of("347347?", *[1.0] * 7)  # 6 log(101) - 3 = 24.691; legibility 0.857


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [
        (line_of("????12", *[1.0] * 6), [even_line("347", 0.986)], 0),  # 11.18, and 2 log(101) - 4 + 6 = 11.23
        (line_of("????12", *[1.0] * 6), [even_line("347", 0.987)], 90),  # 3 log(0.997 / 0.023) = 11.31
        (NEGATIVE, [even_line("34", 0.961)], 0),  # 2 log(0.971 / 0.049) = 5.973
        (NEGATIVE, [even_line("34", 0.962)], 90),  # 2 log(0.972 / 0.048) = 6.016
        (NEGATIVE, [line_of("3", 1.0)] * 4, 0),  # 4 * 0.3 log(101) = 5.538
        (NEGATIVE, [line_of("3", 1.0)] * 5, 90),  # 6.923
        (TEN, [even_line("347347", 0.923)], 0),  # 6 log(0.933 / 0.087) = 14.235
        (TEN, [even_line("347347", 0.924)], 90),  # 6 log(0.934 / 0.086) = 14.311
        (even_line("3473473473", 0.873), [WITH_NON_DIGIT], 90),  # 10 log(0.883 / 0.137) = 18.634
        (even_line("3473473473", 0.874), [WITH_NON_DIGIT], 0),  # 18.718
    ],
)
def test_a_turn_requires_at_least_6_more_evidence(upright, turned, expected):
    assert chosen(reading_of(upright), reading_of(*turned), NOTHING, NOTHING)[0] == expected


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [
        (NEGATIVE, even_line("069096", 0.886), (90, 0, 270)),  # 6 log(0.896 / 0.124) = 11.865; half of it is 5.932
        (NEGATIVE, even_line("069096", 0.889), (90, 180, 270)),  # half of 6 log(0.899 / 0.121) is 6.016
        (NEGATIVE, even_line("1818", 0.86), (90, 180, 270)),  # 4 log(0.87 / 0.15) = 7.032
        (NEGATIVE, even_line("2525", 0.86), (90, 180, 270)),
        (NEGATIVE, even_line("3737", 0.86), (90, 180, 270)),
        (even_line("66", 0.9), even_line("2347", 0.9), (0, 180, 0)),  # 8.452, and half of 4.226 upright
    ],
)
def test_reversible_digits_count_half_for_a_half_turn(upright, turned, expected):
    found = [
        chosen(reading_of(upright), *(reading_of(turned) if turns == k else NOTHING for k in (1, 2, 3)))[0]
        for turns in (1, 2, 3)
    ]
    assert tuple(found) == expected
