"""The orientation of a page, chosen by the probabilities and the shapes of given digits."""

import math

import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.reading import orientation
from lenet.reading.orientation import Characters
from lenet.reading.results import Digit, Line

NO_IMAGES = np.zeros((0, 28, 28), np.uint8)


def line_of(text, *probabilities):
    """A line of digits, with their probabilities; ? is a non-digit, with that of a non-digit."""
    digits = [
        Digit((0, 0, 1, 1), None if character == "?" else int(character), probability, 0, 0.0)
        for character, probability in zip(text.replace(" ", ""), probabilities, strict=True)
    ]
    return Line(tuple(digits), 0.5, text)


def even_line(text, probability):
    return line_of(text, *[probability] * len(text))


def page_of(*lines):
    """The characters of lines, each of a stroke of its own."""
    return [Characters.of(line, np.ones(len(line.digits)), NO_IMAGES) for line in lines]


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
    assert orientation.evidence_of(page_of(line)) == pytest.approx(evidence)
    both = orientation.evidence_of(page_of(line, line_of("53", 1.0, 0.85)))
    assert both == pytest.approx(evidence + math.log(101 / 5.375))
    of_digits = evidence + 3 * sum(digit.label is None for digit in line.digits)
    assert orientation.evidence_of(page_of(line), non_digit=0) == pytest.approx(of_digits)


def test_characters_cut_from_one_stroke_count_as_one():
    lines = line_of("7133", 0.9, 0.75, 0.99, 0.97), line_of("6?", 0.8, 0.9), line_of("4", 1.0)
    shares = [np.array(each) for each in ([1, 1, 0.5, 0.5], [0.5, 0.5], [1])]
    expected = above(0.9, 0.75) + above(0.99, 0.97) / 2 + 0.3 * (above(0.8) - 3) / 2 + 0.3 * above(1.0)
    page = [Characters.of(line, each, NO_IMAGES) for line, each in zip(lines, shares, strict=True)]
    assert orientation.evidence_of(page) == pytest.approx(expected)


def test_two_digits_cut_from_one_stroke_are_less_evidence_for_a_turn(chosen):
    """On its side, an 8 is two 0s that touch: 2 * above(1.0) = 5.867."""
    upright, turned = page_of(even_line("88", 0.9)), page_of(even_line("0000", 1.0))
    assert chosen(upright, turned, NOTHING, NOTHING) == (90, 4)
    assert chosen(upright, turned, NOTHING, NOTHING, shares=(1, 0.5, 1, 1)) == (0, 4)


def test_two_digits_cut_from_one_stroke_are_less_evidence_against_a_turn(chosen):
    """4 * above(1.0) = 11.733, and 4 * above(0.97) = 6.448 or half of it."""
    upright, turned = page_of(even_line("0000", 0.97)), page_of(even_line("3473", 1.0))
    assert chosen(upright, turned, NOTHING, NOTHING) == (0, 4)
    assert chosen(upright, turned, NOTHING, NOTHING, shares=(0.5, 1, 1, 1)) == (90, 4)


def test_the_legibility_is_the_mean_probability_and_that_of_non_digits_is_0():
    assert orientation._legibility(page_of()) == 0
    assert orientation._legibility(page_of(line_of("7", 0.9))) == 0.9
    assert orientation._legibility(page_of(line_of("7?", 0.9, 0.8), line_of("15", 0.3, 0.6))) == pytest.approx(0.45)


@pytest.fixture
def chosen(monkeypatch):
    def chosen(*pages, strokes=4, shapes=(0, 0, 0, 0), shares=(1, 1, 1, 1)):
        """The rotation of a page with these characters and log-odds after 0 to 3 turns, and how many are read.

        None stands for too many segments. `shares` are those of every character, after 0, 1, 2 and 3 turns.
        """
        asked = []

        def read_after_turns(turns, max_segments):
            asked.append((turns, max_segments))
            if pages[turns] is None:
                raise InputError("The picture has too many segments.")
            images = [shapes[turns], *[0] * len(pages[turns])]  # the first line has those of the page
            lines = [line._replace(images=image, shares=np.full(len(line.texts), shares[turns]))
                     for line, image in zip(pages[turns], images, strict=False)]  # fmt: skip
            return f"read after {turns}", lines

        monkeypatch.setattr(orientation, "upright_log_odds", sum)
        found, turns = orientation.read_upright(read_after_turns, strokes)
        assert asked in ([(0, 15_000)], [(0, 15_000), (1, 3300), (2, 3300), (3, 3300)])
        assert found == f"read after {turns}"
        return 90 * turns, len(asked)

    return chosen


NOTHING = page_of()
NEGATIVE = even_line("34", 0.1)
LONE = line_of("0", 1.0)
CLEAR = page_of(even_line("3473", 1.0))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((page_of(even_line("77", 0.98)),), (0, 1)),  # legible
        ((page_of(even_line("77", 0.979)), NOTHING, CLEAR, NOTHING), (180, 4)),
        ((page_of(LONE, even_line("77", 1.0), LONE),), (0, 1)),
        ((page_of(LONE), NOTHING, CLEAR, NOTHING), (180, 4)),  # legible, but not a row
        ((page_of(LONE, LONE, LONE), NOTHING, CLEAR, NOTHING), (0, 4)),  # a column of as many digits
        ((page_of(line_of("7?", 1.0, 1.0)), NOTHING, CLEAR, NOTHING), (180, 4)),
        ((NOTHING, NOTHING, NOTHING, NOTHING), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, NOTHING), (90, 4)),
        ((NOTHING, NOTHING, NOTHING, CLEAR), (270, 4)),
        ((NOTHING, None, None, CLEAR), (270, 4)),
        ((NOTHING, None, None, None), (0, 4)),
        ((NOTHING, CLEAR, NOTHING, CLEAR), (90, 4)),  # equals: the first
        ((page_of(even_line("66", 0.9)), NOTHING, page_of(even_line("99", 0.9)), NOTHING), (0, 4)),
        ((NOTHING, CLEAR, page_of(even_line("34734", 1.0)), CLEAR), (180, 4)),
        ((NOTHING, page_of(line_of("3473", 1.0, 1.0, 1.0, 0.4)), NOTHING, NOTHING), (90, 4)),  # 0.85
        ((NOTHING, page_of(line_of("3473", 1.0, 1.0, 1.0, 0.399)), NOTHING, NOTHING), (0, 4)),  # illegible
        ((NOTHING, page_of(line_of("347347347?", *[1.0] * 3, *[0.7] * 7)), NOTHING, CLEAR), (270, 4)),
        ((NOTHING, page_of(line_of("34734??", *[1.0] * 7)), NOTHING, NOTHING), (0, 4)),  # 5 * 2.933 - 6 = 8.667
        ((NOTHING, page_of(line_of("347347??", *[1.0] * 8)), NOTHING, NOTHING), (90, 4)),  # 11.600
    ],
)
def test_a_page_is_turned_to_its_most_legible_orientation(chosen, readings, expected):
    assert chosen(*readings) == expected


@pytest.mark.parametrize(("strokes", "expected"), [(3, (0, 1)), (4, (90, 4))])
def test_a_legible_column_is_turned_only_if_strokes_are_left(chosen, strokes, expected):
    """Of a number on its side, few digits may be legible; a list of digits has no other strokes."""
    row = page_of(even_line("347347", 1.0))
    assert chosen(page_of(LONE, LONE, LONE), row, NOTHING, NOTHING, strokes=strokes) == expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((page_of(*[line_of("3", 0.9)] * 3), NOTHING, page_of(*[line_of("3", 1.0)] * 4), NOTHING), (180, 4)),
        ((page_of(*[line_of("3", 0.9)] * 3), NOTHING, page_of(*[line_of("3", 1.0)] * 3), NOTHING), (180, 4)),
        ((page_of(*[line_of("3", 0.95)] * 3), NOTHING, page_of(*[line_of("3", 1.0)] * 3), NOTHING), (0, 4)),
        ((page_of(*[line_of("3", 0.9)] * 3), page_of(*[line_of("3", 1.0)] * 4), NOTHING, NOTHING), (0, 4)),
    ],
)
def test_digits_alone_on_their_lines_count_in_full_for_a_half_turn(chosen, readings, expected):
    """A column of digits remains one: 4 * 2.933 - 3 * 0.431 = 10.440; of three, 7.507 and 5.528."""
    assert chosen(*readings) == expected


WITH_NON_DIGIT = line_of("347347?", *[1.0] * 7)  # 6 * 2.933 - 3 = 14.600; legibility 0.857


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [
        (NEGATIVE, [even_line("347", 0.984)], (0, 0, 0)),  # above(0.984, 0.984, 0.984) = 5.940
        (NEGATIVE, [even_line("347", 0.985)], (90, 0, 270)),  # 6.061
        (NEGATIVE, [even_line("347", 0.991)], (90, 0, 270)),  # 6.848
        (NEGATIVE, [even_line("347", 0.992)], (90, 180, 270)),  # 7.013
        (NEGATIVE, [line_of("3", 1.0)] * 6, (0, 0, 0)),  # 6 * 0.3 * 2.933 = 5.280
        (NEGATIVE, [line_of("3", 1.0)] * 7, (90, 0, 270)),  # 6.160
        (line_of("????72", *[1.0] * 6), [even_line("347", 0.996)], (0, 0, 0)),  # 7.779, and 2 * 2.933 - 4 = 1.867
        (line_of("????72", *[1.0] * 6), [even_line("347", 0.997)], (90, 0, 270)),
        (line_of("1111111??", *[1.0] * 9), [even_line("347", 0.985)], (90, 0, 270)),  # 6.061; the 1s may be rules
        (line_of("0", 0.98), [even_line("347", 0.996)], (0, 0, 0)),  # 7.779, and 1.815, as the 0 is legible
        (line_of("0", 0.98), [even_line("347", 0.997)], (90, 0, 270)),
        (line_of("0", 0.979), [even_line("347", 0.988)], (0, 0, 0)),  # 6.446, and 0.3 * 1.781
        (line_of("0", 0.979), [even_line("347", 0.989)], (90, 0, 270)),  # 6.571
        (even_line("3473473473", 0.935), [WITH_NON_DIGIT], (90, 0, 270)),  # 8.536
        (even_line("3473473473", 0.936), [WITH_NON_DIGIT], (0, 0, 0)),  # 8.677
    ],
)
def test_a_turn_requires_more_evidence_and_a_half_turn_even_more(chosen, upright, turned, expected):
    found = [chosen(page_of(upright), *(page_of(*turned) if turns == k else NOTHING for k in (1, 2, 3)))
             for turns in (1, 2, 3)]  # fmt: skip
    assert tuple(rotation for rotation, _ in found) == expected


@pytest.mark.parametrize(
    ("turned", "expected"),
    [
        (line_of("1111", *[1.0] * 4), (0, 180, 0)),  # dashes
        (line_of("1134", 1.0, 1.0, 0.85, 0.85), (0, 0, 0)),  # 5.867
        (line_of("11134", 1.0, 1.0, 1.0, 0.95, 0.95), (0, 180, 0)),  # 2 * above(0.95, 0.95) = 4.363
        (line_of("11134", 1.0, 1.0, 1.0, 0.98, 0.98), (90, 180, 270)),  # 7.259
    ],
)
def test_after_a_quarter_turn_1s_count_at_most_as_much_as_other_characters(chosen, turned, expected):
    found = [chosen(page_of(NEGATIVE), *(page_of(turned) if turns == k else NOTHING for k in (1, 2, 3)))
             for turns in (1, 2, 3)]  # fmt: skip
    assert tuple(rotation for rotation, _ in found) == expected


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ((0, 0, 9, 0), (0, 1)),  # legible, and not of another shape
        ((-0.1, 0, 6, 0), (180, 4)),  # 4 * 2.933 - 2 * above(0.98) + 6.1 = 14.202
        ((-0.1, 0, -0.1, 0), (180, 4)),  # 8.102
        ((-0.1, 0, -1.2, 0), (180, 4)),  # 7.002
        ((-0.1, 0, -1.3, 0), (0, 4)),  # 6.902
        ((-99, 0, -99, 0), (180, 4)),
        ((-9, 0, -19, 0), (0, 4)),
    ],
)
def test_a_page_is_turned_to_where_shapes_are_upright(chosen, shapes, expected):
    assert chosen(page_of(even_line("77", 0.98)), NOTHING, CLEAR, NOTHING, shapes=shapes) == expected


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("7", 9, (0, 4)),  # 0.3 * 2.933 + 6 = 6.880
        ("77", 1.1, (0, 4)),  # 2 * 2.933 + 1.1 = 6.967
        ("77", 1.2, (180, 4)),
        ("34734??", 1.3, (0, 4)),  # illegible: 8.667 + 1.3 = 9.967, less than 10
        ("34734??", 1.4, (180, 4)),
        ("3473???", 9, (0, 4)),  # 3.733 + 6
    ],
)
def test_shapes_count_at_most_6_and_more_is_required_of_an_illegible_page(chosen, text, shape, expected):
    assert chosen(NOTHING, NOTHING, page_of(even_line(text, 1.0)), NOTHING, shapes=(0, 0, shape, 0)) == expected


@pytest.fixture(scope="module")
def rows():
    """Rows of ten different test digits of MNIST."""
    data = lenet.data.load_digits()
    ten = [data.X_test[data.y_test == label][:20] for label in range(10)]
    return np.stack(ten, axis=1)


@pytest.mark.parametrize(("turns", "least"), [(0, 17), (1, 20), (2, 20), (3, 20)])
def test_the_shapes_of_ten_digits_tell_whether_they_are_upright(rows, turns, least):
    odds = np.array([orientation.upright_log_odds([np.rot90(row, turns, (1, 2))]) for row in rows])
    assert len(odds) == 20
    assert ((odds > 0) == (turns == 0)).sum() >= least


def test_digits_alone_on_their_line_count_less(rows):
    one = orientation.upright_log_odds([rows[0, 7:8]])
    assert orientation.upright_log_odds([rows[0, [7, 7]]]) == pytest.approx(2 * one / 0.3, rel=1e-3)
    assert orientation.upright_log_odds([rows[0, 7:8], rows[0, [7, 7]]]) == pytest.approx(one + 2 * one / 0.3, rel=1e-3)
    assert orientation.upright_log_odds([]) == orientation.upright_log_odds([rows[0, :0]]) == 0


@pytest.mark.parametrize(("count", "seen"), [(32, 32), (33, 17), (64, 32), (65, 22)])
def test_at_most_32_digits_at_equal_distances_are_looked_at(rows, count, seen):
    two = orientation.upright_log_odds([rows[0, [4, 4]]])
    assert orientation.upright_log_odds([rows[0, [4] * count]]) == pytest.approx(seen * two / 2, rel=1e-3)
