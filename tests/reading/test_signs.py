"""Plus and multiplication signs: by hand, and on pages."""

import numpy as np
import pytest

import lenet
from lenet.reading import read
from lenet.reading.signs import crosses_of

cv2 = pytest.importorskip("cv2")


def image_of(*ends, pen=2):
    """Lines from a point to others, centred by mass."""
    image = np.zeros((28, 28), np.uint8)
    for end in ends:
        cv2.line(image, (14, 14), end, 255, pen, cv2.LINE_AA)
    shift = 14 - np.argwhere(image).mean(axis=0).round().astype(int) if ends else (0, 0)
    return np.roll(image, shift, axis=(0, 1))


UP, DOWN, LEFT, RIGHT = (14, 4), (14, 24), (4, 14), (24, 14)
DIAGONALS = (6, 6), (22, 22), (6, 22), (22, 6)


@pytest.mark.parametrize(
    ("ends", "sign"),
    [
        ((UP, DOWN, LEFT, RIGHT), "+"), (((16, 4), (12, 24), (4, 13), (24, 15)), "+"), (DIAGONALS, "x"),
        ((UP, DOWN), ""), ((LEFT, RIGHT), ""), ((UP, DOWN, RIGHT), ""), ((DOWN, LEFT, RIGHT), ""),
        ((UP, DOWN, (7, 14), (21, 14)), "+"), ((UP, DOWN, (8, 14), (20, 14)), ""),  # arms of 10 pixels, and of 7 or 6
        ((UP, DOWN, LEFT, RIGHT, *DIAGONALS), ""), ((UP, (5, 20), (23, 20)), ""), ((), ""),
    ],
)  # fmt: skip
def test_a_sign_has_four_similar_arms_at_right_angles(ends, sign):
    assert crosses_of(image_of(*ends)[np.newaxis]).tolist() == [sign]


def test_the_arms_of_a_sign_may_be_thick():
    assert crosses_of(image_of(UP, DOWN, LEFT, RIGHT, pen=3)[np.newaxis]).tolist() == ["+"]


def test_digits_are_not_signs():
    digits = lenet.data.load_digits()
    assert not (crosses_of(np.concatenate([digits.X_train, digits.X_test])) != "").any()


def sum_of(first, second, arms):
    """A page with a sign between two digits."""
    page = np.full((100, 260), 255, np.uint8)
    for left, digit in ((20, first), (184, second)):
        page[22:78, left : left + 56] = 255 - cv2.resize(digit, (56, 56))
    for x, y in arms:
        cv2.line(page, (130, 52), (130 + x, 52 + y), 0, 4, cv2.LINE_AA)
    return page


@pytest.mark.parametrize(
    ("arms", "text"),
    [(((3, -20), (-3, 20), (-21, 2), (21, -2)), "{}+{}"), (((-15, -15), (15, 15), (-15, 15), (15, -15)), "{}x{}")],
)
def test_signs_between_digits_are_not_digits(arms, text):
    digits = lenet.data.load_digits()
    eight, three = (digits.X_test[list(digits.y_test).index(digit)] for digit in (8, 3))
    page = sum_of(eight, three, arms)
    assert read(page, marks=True).text == text.format(8, 3)
    for only_digits in (False, True):
        assert read(page, only_digits=only_digits).text == "8 3"


def test_a_model_of_other_classes_has_no_signs():
    model = lenet.load_pretrained()
    model.classes = tuple("012+456789")
    digits = lenet.data.load_digits().X_test
    (line,) = read(sum_of(digits[0], digits[1], ((3, -20), (-3, 20), (-21, 2), (21, -2))), model).lines
    assert len(line.digits) == 3
