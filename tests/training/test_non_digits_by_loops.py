"""Each kind of non-digit is that of loops over digits, strokes and columns, from the same random numbers."""

import itertools

import numpy as np
import pytest
from generators import choosing

import lenet
from lenet._mnist_form import cropped, mnist_form
from lenet.training.augment import non_digits

cv2 = pytest.importorskip("cv2")

DIGITS = lenet.data.load_digits().X_train[:100]
LETTERS = "ABDEFGHJKLMNQRTVWXYadefijkmrtvwxy#$%&*+=<>@!(){}[]^~"


def canvas():
    return np.zeros((112, 112), np.uint8)


def shrunk(image):
    """Means of 4 x 4 pixels."""
    return cv2.resize(image, (28, 28), interpolation=cv2.INTER_AREA)


def bezier(knots, t):
    """The point of a curve, by de Casteljau's algorithm."""
    while len(knots) > 1:
        knots = [(1 - t) * one + t * other for one, other in itertools.pairwise(knots)]
    return knots[0]


def strokes(digits, rng):
    image = canvas()
    for _ in range(rng.integers(2, 7)):
        points = rng.uniform(8, 104, (rng.integers(2, 5), 2))
        if rng.random() < 0.6:
            points = [bezier(points, k / 23) for k in range(24)]
        is_closed, width = rng.random() < 0.1, int(rng.integers(6, 16))
        cv2.polylines(image, [np.round(points).astype(int)], bool(is_closed), 255, width, cv2.LINE_AA)
    return mnist_form(cropped(image))


def letter(digits, rng):
    image, text = canvas(), str(rng.choice(list(LETTERS)))
    if rng.random() < 0.1:
        text += str(rng.choice(list(LETTERS)))
    face = int(rng.integers(8))
    if rng.random() < 0.3:
        face += cv2.FONT_ITALIC
    scale, width = rng.uniform(1.5, 3), int(rng.integers(3, 12))
    cv2.putText(image, text, (20, 90), face, scale, 255, width, cv2.LINE_AA)
    return mnist_form(cropped(image))


def some_digit(digits, rng):
    image = digits[rng.integers(len(digits))]
    rows, columns = np.nonzero(image)
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def is_wide(part):
    height, width = part.shape
    return width > 0.4 * height


def half(digits, rng):
    digit = some_digit(digits, rng)
    turned = digit.T if rng.random() < 0.7 else digit  # always cut between rows
    rows = max(1, round(len(turned) * rng.uniform(0.25, 0.6)))
    part = turned[:rows] if rng.random() < 0.5 else turned[-rows:]
    part = cropped(np.ascontiguousarray(part.T if turned is not digit else part))
    return mnist_form(part) if is_wide(part) else half(digits, rng)


def row_of_four(digits, rng, narrow=None):
    parts = [some_digit(digits, rng) for _ in range(4)]
    if narrow is not None:
        parts[narrow] = sorted((some_digit(digits, rng) for _ in range(8)), key=lambda x: x.shape[1] / x.shape[0])[0]
    height, left, extents = max(map(len, parts)) + 4, 0, []
    image = np.zeros((height, 200), np.uint8)
    for part in parts:
        top, (rows, columns) = rng.integers(0, height - len(part) + 1), part.shape
        for y, x in itertools.product(range(rows), range(columns)):
            image[top + y, left + x] = max(image[top + y, left + x], part[y, x])
        extents.append((left, left + columns))
        left = max(0, left + columns + rng.integers(-3, 5))
    return image[:, : extents[3][1]], extents


def window(digits, rng):
    image, extents = row_of_four(digits, rng)
    begin = rng.integers(0, max(1, image.shape[1] - 6))
    end = begin + rng.integers(6, 44)
    inked = [x for x in range(begin, min(end, image.shape[1])) if image[:, x].any()]
    if not inked:
        return window(digits, rng)
    shown, complete, shares = set(range(inked[0], inked[-1] + 1)), 0, []
    for extent in extents:
        digit = set(range(*extent))
        complete += len(shown & digit) > 0.8 * len(digit)
        shares.append(len(shown & digit) / len(shown | digit))
    part = cropped(image[:, inked[0] : inked[-1] + 1])
    is_none = max(shares) < 0.7 or complete > 1
    return mnist_form(part) if is_none and is_wide(part) else window(digits, rng)


def pair(digits, rng):
    image, extents = row_of_four(digits, rng, rng.integers(2) if rng.random() < 0.6 else None)
    last = 1 if rng.random() < 0.8 else 2
    return mnist_form(cropped(image[:, : extents[last][1]]))


def shuffled(digits, rng):
    digit, out = digits[rng.integers(len(digits))], np.zeros((28, 28), np.uint8)
    for place, quarter in enumerate(rng.permutation(4)):
        for y, x in itertools.product(range(14), range(14)):
            down = 13 - y if place == 0 else y  # the first is upside down
            right = 13 - x if place == 3 else x  # the last is mirrored
            out[14 * (place // 2) + down, 14 * (place % 2) + right] = digit[
                14 * (quarter // 2) + y, 14 * (quarter % 2) + x
            ]
    return out


def negative(digits, rng):
    return 255 - digits[rng.integers(len(digits))]


def blot(digits, rng):
    image = canvas()
    for _ in range(rng.integers(1, 4)):
        ink = int(rng.integers(90, 256))
        if rng.random() < 0.5:
            corners = rng.integers(4, 108, (rng.integers(3, 8), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], ink, cv2.LINE_AA)
        else:
            (x, y), (a, b) = rng.integers(20, 92, 2).tolist(), rng.integers(5, 50, 2).tolist()
            cv2.ellipse(image, (x, y), (a, b), rng.uniform(0, 180), 0, 360, ink, cv2.FILLED, cv2.LINE_AA)
    return mnist_form(cropped(image), pen=False) if rng.random() < 0.5 else shrunk(image)


def garment(digits, rng):
    (height, width), image = rng.uniform(30, 54, 2), canvas()
    reaches = [width * part for part in rng.uniform(0.3, 1, 7)]
    right = [(56 + reach, 56 + height * (k - 3) / 3) for k, reach in enumerate(reaches)]
    left = [(112 - x, y) for x, y in right]
    cv2.fillPoly(image, [np.round(right + left[::-1]).astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.4:
        x, y = 56 + int(rng.integers(-10, 11)), 56 + int(rng.integers(-10, 50))
        cv2.ellipse(image, (x, y), rng.integers(3, 25, 2).tolist(), 0, 0, 360, 0, cv2.FILLED, cv2.LINE_AA)
    texture = np.full((28, 28), rng.uniform(0.3, 1))
    if rng.random() < 0.7:
        levels = rng.uniform(0.2, 1, rng.integers(2, 15, 2).tolist()).astype(np.float32)
        texture = cv2.resize(levels, (28, 28), interpolation=cv2.INTER_LINEAR)
    return np.round(shrunk(image) * texture)


def noise(digits, rng):
    side = int(rng.integers(4, 29))
    grains = rng.normal(rng.uniform(-0.5, 0.7), rng.uniform(0.1, 0.7), (side, side))
    grains = np.minimum(np.maximum(grains, 0), 1)
    if rng.random() < 0.3:
        grains = 1.0 * (grains > rng.uniform(0.2, 0.95))
    method = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_LINEAR
    return np.round(255 * cv2.resize(grains.astype(np.float32), (28, 28), interpolation=method))


def blank(digits, rng):
    kind, image = rng.integers(4), np.zeros((28, 28))
    if kind == 1:
        image[:] = rng.uniform(0, 255)
    if kind == 2:
        slope = rng.uniform(0, 255) * np.arange(28) / 27
        if rng.choice([-1, 1]) < 0:
            slope = slope[::-1]
        image[:] = slope[:, np.newaxis] if rng.random() < 0.5 else slope
    if kind == 3:
        for y, x in rng.integers(2, 25, (rng.integers(1, 6), 2)):
            ink = rng.uniform(80, 255)
            height, width = rng.integers(1, 4, 2)
            image[y : y + height, x : x + width] = ink
    return np.round(image)


def test_letters_exclude_those_that_look_like_digits():
    assert non_digits._LETTERS == LETTERS


KINDS = strokes, letter, half, window, pair, shuffled, negative, blot, garment, noise, blank


@pytest.mark.parametrize("generator", [np.random.Generator, choosing(0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_agrees_with_loops(kind, generator):
    ours, digits = getattr(non_digits, f"_{kind.__name__}"), DIGITS[:30]
    for seed in range(20):
        one, other = (generator(np.random.PCG64(seed)) for _ in range(2))
        found, expected = ours(digits, one), kind(digits, other)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
        assert one.bit_generator.state == other.bit_generator.state
