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


def above(*probabilities):
    """The sum of how far the log-odds, with 0.01 on both sides, are above those of 0.85."""
    return sum(math.log((each + 0.01) / (1.01 - each)) - math.log(0.86 / 0.16) for each in probabilities)


@pytest.mark.parametrize(
    ("line", "evidence"),
    [
        (line_of("71", 0.85, 0.85), 0),
        (line_of("71", 0.99, 0.5), math.log(50) - 2 * math.log(5.375)),
        (line_of("71", 0.01, 0.5), -math.log(50) - 2 * math.log(5.375)),
        (line_of("7", 1.0), 0.3 * (math.log(101) - math.log(5.375))),  # alone
        (line_of("7 1", 0.9, 0.75), above(0.9, 0.75)),
        (line_of("718", 0.9, 0.75, 0.25), above(0.9, 0.75, 0.25)),
        (line_of("7?", 0.9, 0.8), above(0.9) - 3),  # whatever the probability of the non-digit
        (line_of("???7???", *[0.8] * 3, 0.9, *[0.8] * 3), above(0.9) - 18),
    ],
)
def test_the_evidence_of_a_line_is_computed_by_hand(line, evidence):
    assert orientation.evidence_of(reading_of(line)) == pytest.approx(evidence)
    both = orientation.evidence_of(reading_of(line, line_of("53", 1.0, 0.85)))
    assert both == pytest.approx(evidence + math.log(101 / 5.375))
    of_digits = evidence + 3 * sum(digit.label is None for digit in line.digits)
    assert orientation.evidence_of(reading_of(line), 0) == pytest.approx(of_digits)


def test_the_legibility_is_the_mean_probability_and_that_of_non_digits_is_0():
    assert orientation._legibility(reading_of()) == 0
    assert orientation._legibility(reading_of(line_of("7", 0.9))) == 0.9
    assert orientation._legibility(reading_of(line_of("7?", 0.9, 0.8), line_of("15", 0.3, 0.6))) == pytest.approx(0.45)


def chosen(*readings, strokes=4):
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
LONE = line_of("0", 1.0)
CLEAR = reading_of(even_line("347", 1.0))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((reading_of(even_line("77", 0.98)),), (0, 1)),  # legible
        ((reading_of(even_line("77", 0.979)), NOTHING, reading_of(even_line("3473", 1.0)), NOTHING), (180, 4)),
        ((reading_of(LONE, even_line("77", 1.0), LONE),), (0, 1)),
        ((reading_of(LONE), NOTHING, CLEAR, NOTHING), (180, 4)),  # legible, but not a row
        ((reading_of(LONE, LONE, LONE), NOTHING, CLEAR, NOTHING), (0, 4)),  # a column of as many digits
        ((reading_of(line_of("7?", 1.0, 1.0)), NOTHING, CLEAR, NOTHING), (180, 4)),
        ((NOTHING, NOTHING, NOTHING, NOTHING), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, NOTHING), (90, 4)),
        ((NOTHING, NOTHING, NOTHING, CLEAR), (270, 4)),
        ((NOTHING, None, None, CLEAR), (270, 4)),
        ((NOTHING, None, None, None), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, CLEAR), (90, 4)),  # equals: the first
        ((reading_of(even_line("66", 0.9)), NOTHING, reading_of(even_line("99", 0.9)), NOTHING), (0, 4)),
        ((NOTHING, CLEAR, reading_of(even_line("3473", 1.0)), CLEAR), (180, 4)),
        ((NOTHING, reading_of(line_of("3473", 1.0, 1.0, 1.0, 0.4)), NOTHING, NOTHING), (90, 4)),  # 0.85
        ((NOTHING, reading_of(line_of("3473", 1.0, 1.0, 1.0, 0.399)), NOTHING, NOTHING), (0, 4)),  # illegible
        ((NOTHING, reading_of(line_of("347347347?", *[1.0] * 3, *[0.7] * 7)), NOTHING, CLEAR), (270, 4)),
        ((NOTHING, reading_of(line_of("34734??", *[1.0] * 7)), NOTHING, NOTHING), (0, 4)),  # 5 of 7 are digits
        ((NOTHING, reading_of(line_of("347347??", *[1.0] * 8)), NOTHING, NOTHING), (90, 4)),  # clear nevertheless
        ((NOTHING, reading_of(line_of("3" * 14 + "?" * 8, *[1.0] * 22)), NOTHING, NOTHING), (0, 4)),  # 0.78 a character
        ((NOTHING, reading_of(line_of("3" * 15 + "?" * 8, *[1.0] * 23)), NOTHING, NOTHING), (90, 4)),  # 0.87
    ],
)
def test_a_page_is_turned_to_its_most_legible_orientation(readings, expected):
    assert chosen(*readings) == expected


@pytest.mark.parametrize(("strokes", "expected"), [(1000, (90, 4)), (1001, (0, 1))])
def test_a_page_of_more_than_1000_strokes_is_read_once(strokes, expected):
    assert chosen(NOTHING, CLEAR, NOTHING, NOTHING, strokes=strokes) == expected


@pytest.mark.parametrize(("strokes", "expected"), [(3, (0, 1)), (4, (90, 4))])
def test_a_legible_column_is_turned_only_if_strokes_are_left(strokes, expected):
    """Of a number on its side, few digits may be legible; a list of digits has no other strokes."""
    row = reading_of(even_line("347347", 1.0))
    assert chosen(reading_of(LONE, LONE, LONE), row, NOTHING, NOTHING, strokes=strokes) == expected


WITH_NON_DIGIT = line_of("347347?", *[1.0] * 7)  # 6 * 2.933 - 3 = 14.600; legibility 0.857


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [
        (NEGATIVE, [even_line("34", 0.978)], (0, 0, 0)),  # above(0.978, 0.978) = 3.496
        (NEGATIVE, [even_line("34", 0.979)], (90, 0, 270)),  # 3.562
        (NEGATIVE, [even_line("347", 0.978)], (90, 0, 270)),  # 5.245
        (NEGATIVE, [even_line("347", 0.979)], (90, 180, 270)),  # 5.343
        (NEGATIVE, [even_line("34", 1.0)], (90, 180, 270)),  # 5.867
        (NEGATIVE, [line_of("3", 1.0)] * 3, (0, 0, 0)),  # 3 * 0.3 * 2.933 = 2.640
        (NEGATIVE, [line_of("3", 1.0)] * 4, (90, 0, 270)),  # 3.520
        (line_of("????12", *[1.0] * 6), [even_line("347", 0.979)], (0, 0, 0)),  # 5.343, and 2 * 2.933 - 4 = 1.867
        (line_of("????12", *[1.0] * 6), [even_line("347", 0.980)], (90, 0, 270)),  # 5.444
        (line_of("0", 0.98), [even_line("347", 0.978)], (0, 0, 0)),  # 5.245, and 1.815, as the 0 is legible
        (line_of("0", 0.98), [even_line("347", 0.979)], (90, 0, 270)),  # 5.343
        (line_of("0", 0.979), [even_line("347", 0.970)], (90, 0, 270)),  # 4.551, and 0.3 * 1.781
        (even_line("3473473473", 0.951), [WITH_NON_DIGIT], (90, 0, 270)),  # 11.087
        (even_line("3473473473", 0.952), [WITH_NON_DIGIT], (0, 0, 0)),  # 11.268
    ],
)
def test_a_turn_requires_more_evidence_and_a_half_turn_even_more(upright, turned, expected):
    others = [line_of("7", 0.85)] if len(upright.digits) > 2 else []  # without evidence, so that it is no single row
    assert rotations(reading_of(upright, *others), reading_of(*turned)) == expected


def rotations(upright, turned):
    """The rotations that are chosen if a reading is found after 1, 2 or 3 quarter turns only."""
    return tuple(chosen(upright, *(turned if turns == k else NOTHING for k in (1, 2, 3)))[0] for turns in (1, 2, 3))


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [
        ("3?", "34", (90, 180, 270)),
        ("3??", "34734", (0, 180, 0)),  # 5 * 2.933 = 14.667
        ("3??", "347347", (90, 180, 270)),  # 17.600
    ],
)
def test_a_single_row_becomes_a_column_only_with_much_evidence(upright, turned, expected):
    assert rotations(reading_of(even_line(upright, 0.1)), reading_of(even_line(turned, 1.0))) == expected


@pytest.mark.parametrize(
    ("turned", "expected"),
    [
        (line_of("1111", *[1.0] * 4), (0, 180, 0)),  # dashes
        (line_of("1134", 1.0, 1.0, 0.85, 0.85), (0, 180, 0)),
        (line_of("1134", 1.0, 1.0, 0.92, 0.92), (0, 180, 0)),  # 2 * above(0.92, 0.92) = 2.614
        (line_of("1134", 1.0, 1.0, 0.94, 0.94), (90, 180, 270)),  # 3.705
        (line_of("134", 0.85, 0.979, 0.979), (90, 0, 270)),  # 3.562, and nothing of the 1
    ],
)
def test_after_a_quarter_turn_1s_count_at_most_as_much_as_other_characters(turned, expected):
    assert rotations(reading_of(NEGATIVE), reading_of(turned)) == expected
