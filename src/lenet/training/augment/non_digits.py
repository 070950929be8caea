"""Images of non-digits to train on, like the paper's rubbish class (section II.C).

They are drawn at random or cut out of the training digits.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet._extras import cv2, require
from lenet._mnist_form import cropped, mnist_form
from lenet.errors import InputError

Image = NDArray[np.uint8]
Random = np.random.Generator

_CANVAS = 112  # pixels; four times the side of the image
# Without characters that can be read as a digit, such as O, l, h (a 4), C (an open 0), P (a 9) or ? (a 2).
_LETTERS = "ABDEFGHJKLMNQRTVWXYadefijkmrtvwxy#$%&*+=<>@!(){}[]^~"
_FACES = 8  # Hershey fonts of OpenCV
_MAX_TRIES = 100  # of drawing a half or a window: a set of thin bars has none that is wide enough


def non_digits(n: int, digits: Image, rng: Random) -> Image:
    """Draw images of non-digits in MNIST's format.

    Parameters
    ----------
    n : int
        Number of images, at least 1.
    digits : ndarray of uint8, shape (m, 28, 28)
        Some non-digits are made of these: halves, shuffled quarters, pairs and negatives.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid.
    MissingExtraError
        If OpenCV is not installed.

    Examples
    --------
    >>> import lenet
    >>> digits = lenet.data.load_digits().X_train
    >>> non_digits(5, digits, np.random.default_rng(0)).shape
    (5, 28, 28)
    """
    n, rng = _checks.size(n, "n"), _checks.generator(rng)
    digits = _checks.byte_images(digits, "digits")
    _checks.not_empty(digits)
    if not digits.any():
        raise InputError("All images are blank; expected some with ink. Correct the pixels: 255 is ink.")
    require("cv2", "vision")  # before the kinds that do not require it
    kinds: list[Callable[[Image, Random], Image]] = [
        _strokes, _strokes, _strokes, _strokes, _strokes, _letter, _letter, _half, _window, _window, _window, _pair,
        _pair, _pair, _shuffled, _negative, _blot, _blot, _garment, _garment, _noise, _blank,
    ]  # fmt: skip
    return np.stack([kinds[k](digits, rng) for k in rng.integers(0, len(kinds), n)])


def _random_digit(digits: Image, rng: Random) -> Image:
    return cropped(digits[rng.integers(len(digits))])


def _strokes(digits: Image, rng: Random) -> Image:
    """Draw two to six random curves or polylines."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    for _ in range(rng.integers(2, 7)):
        knots = rng.uniform(8, _CANVAS - 8, (rng.integers(2, 5), 2))
        if rng.random() < 0.6:  # a Bezier curve instead of a polyline
            n, t = len(knots) - 1, np.linspace(0, 1, 24)[:, np.newaxis]
            knots = sum(math.comb(n, k) * (t**k * (1 - t) ** (n - k)) * knot for k, knot in enumerate(knots))
        points = np.round(knots).astype(np.int32)
        cv2.polylines(canvas, [points], bool(rng.random() < 0.1), 255, int(rng.integers(6, 16)), cv2.LINE_AA)
    return mnist_form(cropped(canvas))


def _letter(digits: Image, rng: Random) -> Image:
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    text = str(rng.choice(list(_LETTERS)))
    if rng.random() < 0.1:
        text += str(rng.choice(list(_LETTERS)))
    face = int(rng.integers(_FACES)) | (16 if rng.random() < 0.3 else 0)  # 16 is italic
    cv2.putText(canvas, text, (20, 90), face, float(rng.uniform(1.5, 3)), 255, int(rng.integers(3, 12)), cv2.LINE_AA)
    return mnist_form(cropped(canvas))


def _half(digits: Image, rng: Random) -> Image:
    """Cut off part of a digit, like a cut between touching digits in the wrong place."""
    for _ in range(_MAX_TRIES):
        digit = _random_digit(digits, rng)
        axis = int(rng.random() < 0.7)
        length = digit.shape[axis]
        cut = max(1, round(length * rng.uniform(0.25, 0.6)))
        keep = slice(0, cut) if rng.random() < 0.5 else slice(length - cut, length)
        part = cropped(digit[:, keep] if axis else digit[keep])
        if part.shape[1] > 0.4 * part.shape[0]:  # a narrower part may look like a 1
            break
    return mnist_form(part)


def _window(digits: Image, rng: Random) -> Image:
    """Cut a row of digits in two wrong places, so that the window contains two digits or parts of digits."""
    for _ in range(_MAX_TRIES):
        row, extents = _row(digits, rng)
        left = int(rng.integers(0, max(1, row.shape[1] - 6)))
        right = left + int(rng.integers(6, 44))
        part = cropped(row[:, left:right])
        columns = left + np.flatnonzero(row[:, left:right].any(axis=0))
        if not len(columns):
            continue
        left, right = int(columns[0]), int(columns[-1]) + 1
        shared = np.minimum(right, extents[:, 1]) - np.maximum(left, extents[:, 0])
        whole = np.maximum(right, extents[:, 1]) - np.minimum(left, extents[:, 0])
        has_two = ((shared > 0.8 * np.diff(extents)[:, 0]).sum()) > 1
        # A narrower part may look like a 1.
        if ((shared / whole).max() < 0.7 or has_two) and part.shape[1] > 0.4 * part.shape[0]:
            break
    return mnist_form(part)


def _pair(digits: Image, rng: Random) -> Image:
    """Put two or three digits side by side, often with a narrow one, as narrow digits are easily overlooked."""
    row, extents = _row(digits, rng, narrow=int(rng.integers(2)) if rng.random() < 0.6 else None)
    return mnist_form(cropped(row[:, : extents[1 if rng.random() < 0.8 else 2, 1]]))


def _row(digits: Image, rng: Random, narrow: int | None = None) -> tuple[Image, NDArray[np.int64]]:
    """Return four digits side by side, touching or slightly apart, and the extent of each.

    An extent is the first column of a digit and the one after its last. The digit at index `narrow` is the narrowest
    of eight.
    """
    parts = [_random_digit(digits, rng) for _ in range(4)]
    if narrow is not None:
        candidates = [_random_digit(digits, rng) for _ in range(8)]
        parts[narrow] = min(candidates, key=lambda part: part.shape[1] / part.shape[0])
    height = max(len(part) for part in parts) + 4
    row = np.zeros((height, sum(part.shape[1] for part in parts) + 16), np.uint8)
    extents, left = [], 0
    for part in parts:
        top, right = int(rng.integers(0, height - len(part) + 1)), left + part.shape[1]
        place = row[top : top + len(part), left:right]
        np.maximum(place, part, out=place)
        extents.append((left, right))
        left = max(0, right + int(rng.integers(-3, 5)))
    return row[:, : extents[-1][1]], np.array(extents)


def _shuffled(digits: Image, rng: Random) -> Image:
    image = digits[rng.integers(len(digits))]
    half = SIDE // 2
    quarters = [image[:half, :half], image[:half, half:], image[half:, :half], image[half:, half:]]
    a, b, c, d = (quarters[k] for k in rng.permutation(4))
    return np.asarray(np.block([[a[::-1], b], [c, d[:, ::-1]]]), np.uint8)


def _negative(digits: Image, rng: Random) -> Image:
    return np.asarray(255 - digits[rng.integers(len(digits))], np.uint8)


def _blot(digits: Image, rng: Random) -> Image:
    """Draw filled polygons and ellipses."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    for _ in range(rng.integers(1, 4)):
        ink = int(rng.integers(90, 256))
        if rng.random() < 0.5:
            cv2.fillPoly(
                canvas, [rng.integers(4, _CANVAS - 4, (rng.integers(3, 8), 2)).astype(np.int32)], ink, cv2.LINE_AA
            )
        else:
            centre, axes = rng.integers(20, _CANVAS - 20, 2).tolist(), rng.integers(5, 50, 2).tolist()
            cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, ink, -1, cv2.LINE_AA)
    return mnist_form(cropped(canvas), pen=False) if rng.random() < 0.5 else _reduced(canvas)


def _garment(digits: Image, rng: Random) -> Image:
    """Draw a large symmetric silhouette with a texture, like a piece of clothing."""
    height, width = rng.uniform(30, 54, 2)
    rows = np.linspace(-height, height, 7)
    sides = width * rng.uniform(0.3, 1, 7)
    right, left = np.stack([sides, rows], axis=1), np.stack([-sides, rows], axis=1)
    outline = _CANVAS / 2 + np.concatenate([right, left[::-1]])
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    cv2.fillPoly(canvas, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.4:  # a gap, as between trouser legs or under a handle
        middle = [_CANVAS // 2 + int(rng.integers(-10, 11)), _CANVAS // 2 + int(rng.integers(-10, 50))]
        cv2.ellipse(canvas, middle, rng.integers(3, 25, 2).tolist(), 0, 0, 360, 0, -1, cv2.LINE_AA)
    image = _reduced(canvas).astype(np.float32)
    texture = np.full((SIDE, SIDE), rng.uniform(0.3, 1))
    if rng.random() < 0.7:
        coarse = rng.uniform(0.2, 1, tuple(rng.integers(2, 15, 2))).astype(np.float32)
        texture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.round(image * texture), np.uint8)


def _noise(digits: Image, rng: Random) -> Image:
    """Draw noise of random grain size, sometimes thresholded."""
    side = int(rng.integers(4, SIDE + 1))
    grains = rng.normal(rng.uniform(-0.5, 0.7), rng.uniform(0.1, 0.7), (side, side)).clip(0, 1).astype(np.float32)
    if rng.random() < 0.3:
        grains = (grains > rng.uniform(0.2, 0.95)).astype(np.float32)
    method = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_LINEAR
    return np.asarray(np.round(255 * cv2.resize(grains, (SIDE, SIDE), interpolation=method)), np.uint8)


def _blank(digits: Image, rng: Random) -> Image:
    """Draw an empty image, a uniform grey, a gradient, or a few dots."""
    image = np.zeros((SIDE, SIDE), np.float64)
    kind = rng.integers(4)
    if kind == 1:
        image += rng.uniform(0, 255)
    elif kind == 2:
        image += np.linspace(0, rng.uniform(0, 255), SIDE)[:: rng.choice([-1, 1]), np.newaxis]
        image = image if rng.random() < 0.5 else image.T
    elif kind == 3:
        for y, x in rng.integers(2, SIDE - 3, (rng.integers(1, 6), 2)):
            image[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = rng.uniform(80, 255)
    return image.round().astype(np.uint8)


def _reduced(canvas: Image) -> Image:
    return np.asarray(cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
