"""The teeth of combs are found at the limits of their number, size, place and distance."""

import numpy as np
import pytest
from drawn_ink import bars

from lenet.data import load_digits
from lenet.reading import read
from lenet.reading.combs import find_teeth

pytest.importorskip("cv2")

SHAPE = (80, 340)
RULE = (60, 15, 2, 310)


def teeth(*lefts, tall=20, wide=2):
    """Bars that end on the last row of the rule."""
    return [(62 - tall, left, tall, wide) for left in lefts]


def found(*places):
    """For each place, whether a tooth is found in it."""
    teeth = find_teeth(bars(SHAPE, RULE, *places), bars(SHAPE, RULE), 2)
    return [bool(teeth[top + 2, left : left + wide].all()) for top, left, _, wide in places]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (teeth(20, 60, 100, 140, 180), True),
        (teeth(20, 60, 100, 140), False),
        (teeth(20, 60, 140, 180, 220), True),  # one is missing
        (teeth(20, 60, 100, 140, 182), True),  # a tenth of their height
        (teeth(20, 60, 100, 140, 183), False),
        (teeth(20, 60, 100, 140, 180, tall=32), True),  # 0.8 distances
        (teeth(20, 60, 100, 140, 180, tall=33), False),
        (teeth(20, 60, 100, 140, 180, tall=9), True),
        (teeth(20, 60, 100, 140, 180, tall=8), False),
        (teeth(20, 60, 100, 140, 180, wide=3), True),  # 0.08 * 20 pixels wider than the rule is thick
        (teeth(20, 60, 100, 140, 180, wide=4), False),
        ([*teeth(20, 60, 100, 140), *teeth(180, tall=21)], True),
        ([*teeth(20, 60, 100, 140), *teeth(180, tall=22)], False),
        (
            [*teeth(20, 60, 100, 140, 180), *teeth(40, 80, 120, 160, 200, tall=12)],
            False,
        ),  # half are as high as the median, 16
        ([(40, left, 18, 2) for left in (20, 60, 100, 140, 180)], False),  # above the rule
        ([(40, left, 26, 2) for left in (20, 60, 100, 140, 180)], False),  # across it
    ],
)
def test_teeth_are_five_equal_lines_at_equal_distances_on_a_rule(places, expected):
    assert set(found(*places)) == {expected}


def test_a_tooth_that_touches_a_digit_is_where_its_neighbours_say():
    """The places of the third and the last tooth follow from the others, although those are 1% farther apart each."""
    lefts = 20, 60, 100, 141, 182, 224, 266
    mask = bars(SHAPE, RULE, *teeth(*lefts), (45, 90, 3, 20), (50, 260, 3, 20))
    left = find_teeth(mask, bars(SHAPE, RULE), 2)
    for place in lefts:
        assert left[42:60, place : place + 2].all()
    assert not left[:, 300:].any()


@pytest.mark.parametrize("level", [0, 1])
def test_there_are_no_teeth_on_a_blank_or_black_page(level):
    page = np.full(SHAPE, level, np.uint8)
    assert not find_teeth(page, bars(SHAPE, RULE), 2).any()


def drawn(lefts, digits, tall=24, step=56):
    """A comb of paper and ink, with these teeth and a digit of 40 pixels in each place."""
    page = np.zeros((120, 120 + step * len(digits)), np.uint8)
    page[94:96, 40 : 40 + step * len(digits) + 2] = 200
    for left in lefts:
        page[96 - tall : 96, left : left + 2] = 200
    for n, image in enumerate(digits):
        place = page[38:94, 41 + step * n : 97 + step * n]
        np.maximum(place, np.kron(image, np.ones((2, 2), np.uint8)), out=place)
    return 255 - page


@pytest.mark.parametrize("shift", [0, 6], ids=["free", "touching"])
def test_the_digits_of_a_comb_are_read_and_not_its_teeth(shift):
    digits, members = load_digits(), [20, 43, 62, 83, 101, 125, 143, 162]
    images = digits.X_test[members]
    images[3] = np.roll(images[3], shift, axis=1)
    page = drawn(range(40, 500, 56), images)
    assert read(page).text.replace(" ", "") == "".join(map(str, digits.y_test[members]))


@pytest.mark.parametrize("pitch", [(0, 0, 0, 0, 0, 0), (0, 3, -4, 2, -3, 1)], ids=["even", "uneven"])
def test_ones_that_stand_on_a_rule_are_digits(pitch):
    digits = load_digits()
    ones = digits.X_test[digits.y_test == 1][:6]
    feet = [np.flatnonzero(image.max(axis=1) > 96)[-1] for image in ones]
    on_rule = [np.roll(image, (27 - foot, shift), (0, 1)) for image, foot, shift in zip(ones, feet, pitch, strict=True)]
    assert read(drawn([], on_rule)).text.replace(" ", "") == 6 * "1"
