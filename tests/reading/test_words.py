"""Words of letters in a line, told from numbers by the evidence of given characters."""

import math

import numpy as np
import pytest

from lenet.reading.words import log_odds, words_in

LABELS = {"?": None} | {str(digit): digit for digit in range(10)}


def read_after(text, probability=1.0, gaps=None):
    """The text of a line after the characters of words have become non-digits; ? is a non-digit."""
    labels = [LABELS[character] for character in text]
    rows = np.full((len(text), 11), probability)  # the last column, that of a non-digit, has no effect
    gaps = np.zeros(len(text) - 1) if gaps is None else np.array(gaps)
    words = [k for word in words_in(labels, rows, gaps) for k in word]
    return "".join("?" if label is None or k in words else str(label) for k, label in enumerate(labels))


def test_log_odds_are_computed_by_hand():
    assert log_odds(0.5) == 0
    assert log_odds(0.99) == pytest.approx(math.log(50))
    assert log_odds(1.0) == pytest.approx(math.log(101))
    assert log_odds(0.0) == pytest.approx(-math.log(101))


# Certain digits have log-odds of log(101) = 4.615.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("?", "?"), ("1", "1"), ("??", "??"),
        ("7?", "7?"), ("?12", "?12"), ("1?2", "1?2"),  # one non-digit: no word
        ("1??", "???"), ("??1", "???"),  # 4.6 of 6
        ("12??", "12??"), ("??12", "??12"), ("12??34", "12??34"),  # 9.2 of 6, as in 10km
        ("?12?", "????"), ("?1?2?", "?????"), ("?1?23", "???23"),
        ("12???", "12???"), ("12????", "??????"),  # 9.2 of 9 and 12
        ("1?2?3", "?????"), ("1?23?4", "1?23?4"),  # 13.8 and 18.5 of 14
        ("?3456?", "?3456?"), ("?345?", "?????"),
        ("12?3456?78", "12?3456?78"),
    ],
)  # fmt: skip
def test_digits_need_evidence_for_each_non_digit_beside_them(text, expected):
    assert read_after(text) == expected


@pytest.mark.parametrize(
    ("text", "probability", "expected"),
    [
        ("12??", 0.961, "????"),  # 2 log(0.971 / 0.049) = 5.973 of 6
        ("12??", 0.962, "12??"),  # 6.016
        ("1?23?4", 0.98, "??????"),  # 4 log(0.99 / 0.03) = 13.986 of 14
        ("1?23?4", 0.981, "1?23?4"),  # 14.126
    ],
)
def test_uncertain_digits_beside_letters_are_letters(text, probability, expected):
    assert read_after(text, probability) == expected


@pytest.mark.parametrize(("gap", "expected"), [(0.4, "????"), (0.41, "1???")])
def test_a_gap_above_0_4_heights_separates_a_number_from_a_word(gap, expected):
    assert read_after("1??2", gaps=[gap, 0, 0]) == expected


def test_the_non_digits_of_one_word_have_no_effect_on_another():
    assert read_after("12?3?", gaps=[0, 0.5, 0, 0]) == "12???"
    assert read_after("?3?12", gaps=[0, 0, 0.5, 0]) == "???12"
    assert read_after("??7?", gaps=[0, 0.5, 0]) == "??7?"
