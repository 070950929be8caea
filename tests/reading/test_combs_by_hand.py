"""Combs without an upper rule are found at the limits of the number, size, place and distance of their uprights."""

import numpy as np
import pytest
from drawn_ink import bars

from lenet.data import load_digits
from lenet.reading import Field, read, read_form
from lenet.reading.boxes import lines_of_boxes

pytest.importorskip("cv2")

SHAPE = (80, 340)
RULE = (60, 15, 2, 310)


def teeth(*lefts, tall=20, wide=2):
    """Bars that end on the last row of the rule."""
    return [(62 - tall, left, tall, wide) for left in lefts]


def found(mask):
    """The uprights that are found on a rule."""
    lines = lines_of_boxes(mask[:62])
    return None if lines is None else lines.uprights


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (teeth(20, 60, 100, 140, 180), True),
        (teeth(20, 60, 100, 140), False),
        (teeth(20, 60, 140, 180, 220), True),  # one of six is missing
        (teeth(20, 60, 180, 220, 260), False),  # two of seven
        (teeth(20, 60, 100, 140, 180, wide=3), True),  # a pixel thicker than the rule
        (teeth(20, 60, 100, 140, 180, wide=4), False),  # strokes of digits, such as ones
        (teeth(20, 60, 104, 140, 180), True),  # 0.08 distances and a pixel from its place
        (teeth(20, 60, 105, 140, 180), False),
        (teeth(20, 40, 60, 80, 100), True),
        (teeth(20, 39, 58, 77, 96), False),
        (teeth(20, 60, 100, 140, 180, tall=42), True),  # as high as the boxes are wide
        (teeth(20, 60, 100, 140, 180, tall=43), False),
        (teeth(20, 60, 100, 140, 180, tall=12), True),  # 0.23 distances above the rule
        (teeth(20, 60, 100, 140, 180, tall=11), False),
        ([*teeth(20, 60, 100, 140), *teeth(180, tall=23)], True),
        ([*teeth(20, 60, 100, 140), *teeth(180, tall=24)], False),
    ],
)
def test_combs_are_five_uprights_of_one_height_at_equal_distances_on_a_rule(places, expected):
    drawn = bars(SHAPE, *places)
    uprights = found(drawn | bars(SHAPE, RULE))
    assert (uprights is not None) == expected


def test_a_tooth_that_touches_a_digit_is_where_its_neighbours_say():
    """The places of the third and the last tooth follow from the others, although those are 1% farther apart each."""
    lefts = 20, 60, 100, 141, 182, 224, 266
    uprights = found(bars(SHAPE, RULE, *teeth(*lefts), (45, 90, 3, 20), (50, 260, 3, 20)))
    for place in lefts:
        assert uprights[42:60, place : place + 2].all()
    assert not uprights[:, 300:].any()


@pytest.mark.parametrize("level", [0, 1])
def test_there_is_no_comb_on_a_blank_or_black_page(level):
    assert found(np.full(SHAPE, level, np.uint8)) is None


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
    expected = "".join(map(str, digits.y_test[members]))
    for turns in range(4):
        turned = np.rot90(page, turns)
        assert read(turned).text.replace(" ", "") == expected
        [value] = read_form(turned, [Field("number", box=(0, 0, 1, 1), digits=8)])
        assert value.value == expected


@pytest.mark.parametrize(("left", "tall", "expected"), [(20, 32, True), (20, 33, False), (17, 32, False)])
def test_boxes_open_at_the_top_have_their_sides_at_the_ends_of_the_rule(left, tall, expected):
    """The sides are 30 or 31 pixels above the rule, 1.5 widths of a box; 3 pixels of rule beyond one are too many."""
    drawn = bars(SHAPE, (60, left, 2, 122 - left), *teeth(20, 40, 60, 80, 100, 120, tall=tall))[:, left:122]
    assert (lines_of_boxes(drawn) is not None) == expected


@pytest.mark.parametrize(("wide", "expected"), [(25, True), (26, False)])
def test_digits_may_cross_the_rule_in_half_of_its_columns(wide, expected):
    """Six tails of 25 or 26 columns extend 10 pixels below a rule of 310."""
    tails = [(60, left + 5, 12, wide) for left in range(20, 260, 40)]
    drawn = bars(SHAPE, RULE, *teeth(20, 60, 100, 140, 180, 220, 260), *tails)
    assert (lines_of_boxes(drawn[:72, 15:325]) is not None) == expected


def test_the_tops_of_digits_are_not_an_upper_rule():
    """The ink begins in row 30 in 136 of 310 columns, above it in 92, and below it in 82."""
    comb = [RULE, *teeth(20, 60, 100, 140, 180, 220, 260)]
    tops = {20: 30, 60: 30, 100: 30, 140: 30, 180: 10}
    digits = [(top, left + 4, 52 - top, 34) for left, top in tops.items()]
    stems = [(52, left + 27, 8, 2) for left in tops]
    drawn = bars(SHAPE, *comb, *digits, *stems, (10, 262, 42, 58))[:62, 15:325]
    assert lines_of_boxes(drawn) is not None
    first = drawn.argmax(axis=0)
    assert [(first == 30).sum(), (first < 30).sum(), (first > 30).sum()] == [136, 92, 82]


@pytest.mark.parametrize("pitch", [(0, 0, 0, 0, 0, 0), (0, 3, -4, 2, -3, 1)], ids=["even", "uneven"])
def test_ones_that_stand_on_a_rule_are_digits(pitch):
    digits = load_digits()
    ones = digits.X_test[digits.y_test == 1][:6]
    feet = [np.flatnonzero(image.max(axis=1) > 96)[-1] for image in ones]
    on_rule = [np.roll(image, (27 - foot, shift), (0, 1)) for image, foot, shift in zip(ones, feet, pitch, strict=True)]
    assert read(drawn([], on_rule)).text.replace(" ", "") == 6 * "1"
