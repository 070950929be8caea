"""Digits drawn with a pen, in forms that MNIST lacks, and printed ones.

MNIST's writers were American. In other countries, a 1 may have a long upstroke, a 4 may look like a lightning bolt, and
a 7 may have a bar.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import cv2
from lenet._mnist_form import cropped, mnist_form

Image = NDArray[np.uint8]
Random = np.random.Generator

DIGITS = tuple("0123456789")
_PRINTED = 0.3  # the fraction of the digits that are printed
_FACES = 8  # Hershey fonts of OpenCV
_CANVAS = 160  # pixels
# The forms of each digit: strokes, separated by |. Each point is given by its column and its row, from 0 to 9. A stroke
# is a smooth curve through its points, with a corner where a point is repeated.
FORMS: tuple[tuple[str, ...], ...] = (
    (  # 0
        "40 11 04 07 29 59 87 84 71 40",
        "81 40 11 04 07 29 59 87 84 72",
        "62 40 11 04 07 29 59 87 84",  # open at the top
        "73 60 30 03 07 29 59 87",  # open to the right
        "61 21 04 07 29 59 87 84 71 40 22 34 75",  # the pen ends inside
        "61 30 11 04 07 29 59 87 84 71 50 33",
        "28 05 13 40 71 84 87 69",  # open at the bottom
        "11 30 70 83 87 69 29 17",  # open to the left
        "02 06 29 59 86 82 60",  # open at the top left
    ),
    (  # 1
        "40 40 49 49",
        "12 40 40 49",
        "14 40 40 49",
        "06 40 40 49",  # a long upstroke
        "08 50 50 59",
        "05 50 50 49",
        "12 40 40 49 | 19 79",  # on a base
        "14 40 40 49 | 29 69",
        "03 22 40 40 49",
    ),
    (  # 2
        "12 20 50 72 65 09 09 79",
        "12 20 50 72 55 18 07 17 38 79",  # a loop at the base
        "33 13 11 30 60 72 64 36 08 28 58 89",  # a loop at the top
        "34 13 11 30 60 72 64 36 09 09 79",
        "33 12 11 30 60 72 64 36 08 17 38 79",
        "11 30 60 72 64 28 19 19 59",  # a short base
        "02 10 50 71 63 36 18 09 29 79",
        "11 71 71 09 09 79",
    ),
    (  # 3
        "11 30 60 72 54 34 34 64 76 68 39 08",
        "10 70 70 34 34 65 77 69 39 08",
        "11 30 60 72 54 33 44 65 77 59 29 08",
        "22 11 30 60 72 54 34 34 64 76 68 39 08 17",
        "00 40 71 43 33 64 76 68 39 09",
    ),
    (  # 4
        "20 06 06 86 | 62 69",
        "20 14 14 84 | 60 69",
        "60 06 06 86 | 60 69",
        "40 16 16 65 65 59",  # a bolt of lightning
        "50 07 07 74 74 49",
        "40 07 07 35 54 56 49",
        "30 27 27 75 75 69",
        "40 06 06 76 | 54 49",
        "20 14 24 75 75 | 60 59",
    ),
    (  # 5
        "70 20 20 14 14 44 75 77 49 18 07",
        "20 14 14 44 75 77 49 08 | 20 70",
        "20 14 14 44 75 77 49 08 | 31 80",
        "70 30 13 34 65 77 49 08",
        "80 20 20 13 13 43 64 77 59 19",
        "60 20 24 24 54 65 58 39 09",
        "20 15 15 54 66 58 29 | 30 80",
    ),
    (  # 6
        "60 22 06 08 39 69 77 55 25 07",
        "40 06 18 49 68 66 45 16",
        "72 50 20 05 08 39 69 77 55 25 06",
        "50 13 06 08 29 59 77 64 34 15",
        "30 05 08 39 69 77 65 35 17",
    ),
    (  # 7
        "00 70 70 29",
        "00 70 70 39 | 24 74",  # with a bar
        "00 70 70 39 | 15 65",
        "03 01 01 71 71 39",
        "03 01 01 71 71 39 | 24 74",
        "12 20 41 70 70 45 39 | 15 75",
        "12 20 41 70 70 45 39",
        "00 70 70 44 39",
        "02 31 60 60 29 | 05 85",
        "12 41 70 39 | 05 84",
        "02 21 31 70 39 | 14 75",
    ),
    (  # 8
        "71 40 11 23 54 76 59 29 07 15 53 72 70",
        "40 21 23 44 63 61 40 | 44 16 18 49 78 76 44",
        "40 11 23 54 77 59 29 07 15 53 72 60 40",
        "72 60 40 21 33 65 78 49 18 16 44 72",
        "80 54 16 18 39 68 65 33 12 30 60 72",  # open at the top
    ),
    (  # 9
        "71 40 11 03 25 55 73 71 71 67 49 29",
        "71 40 11 03 25 55 72 70 70 59",
        "71 40 11 03 25 55 71 71 77 59 29 17",
        "24 12 20 50 72 64 34 24 46 59",  # a loop, and a tail that begins at its left
        "24 12 20 50 72 64 34 24 56 67 49",
        "25 20 50 71 63 44 24 46 49",
        "62 40 11 03 25 55 63 61 61 66 49",
        "72 40 11 03 25 45 72 | 72 70 59",
    ),
)


def drawn_digits(n: int, rng: Random) -> tuple[Image, NDArray[np.int64]]:
    """Draw images of digits in MNIST's format.

    About 70% are handwritten: each follows one of several forms of its digit, with randomly shifted points and a random
    slant, width and pen. The others are printed in OpenCV's Hershey fonts.

    Parameters
    ----------
    n : int
        Number of images, at least 1.
    rng : numpy.random.Generator

    Returns
    -------
    images : ndarray of uint8, shape (n, 28, 28)
    labels : ndarray of int64, shape (n,)

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid.
    MissingExtraError
        If OpenCV is not installed.

    Examples
    --------
    >>> images, labels = drawn_digits(5, np.random.default_rng(0))
    >>> images.shape, labels.shape
    ((5, 28, 28), (5,))
    """
    n, rng = _checks.size(n, "n"), _checks.generator(rng)
    labels = rng.integers(0, len(DIGITS), n)
    drawn = [printed(DIGITS[k], rng) if rng.random() < _PRINTED else _written(k, rng) for k in labels]
    return np.stack(drawn), labels


def printed(character: str, rng: Random) -> Image:
    """Draw an image of a character in one of OpenCV's Hershey fonts, in MNIST's format."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    face, size, pen = int(rng.integers(_FACES)), float(rng.uniform(2.5, 4)), int(rng.integers(4, 19))
    cv2.putText(canvas, character, (30, 120), face, size, 255, pen, cv2.LINE_AA)
    ink = cropped(canvas)
    width = round(ink.shape[1] * rng.uniform(0.6, 1.1))
    return mnist_form(np.asarray(cv2.resize(ink, (width, len(ink)), interpolation=cv2.INTER_AREA), np.uint8))


def _written(digit: int, rng: Random) -> Image:
    form = FORMS[digit][rng.integers(len(FORMS[digit]))]
    shifts = rng.normal(0, rng.uniform(0.2, 0.6), (10, 10, 2))  # of a point at each column and row
    width, slant = rng.uniform(4, 10), rng.normal(0, 2.5)
    shape = np.array([[width, 0], [-slant, 10]])  # pixels for a column and for a row
    strokes = []
    for stroke in form.split("|"):
        points = np.array([[int(place) for place in point] for point in stroke.split()])
        strokes.append(smooth((points + shifts[tuple(points.T)] - 4.5) @ shape))
    return pen_strokes(strokes, rng)


def pen_strokes(strokes: Sequence[NDArray[np.float64]], rng: Random) -> Image:
    """Draw strokes with a pen of random width, and return the image in MNIST's format.

    Each stroke has shape (n, 2): the columns and rows of its points, in pixels from the middle, from -80 to 80.
    """
    canvas, pen = np.zeros((_CANVAS, _CANVAS), np.uint8), int(rng.integers(5, 17))
    for stroke in strokes:
        points = np.round((stroke + _CANVAS / 2) * 8).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, pen, cv2.LINE_AA, shift=3)
    return mnist_form(cropped(canvas))


def smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on the Catmull-Rom spline through the given ones, with corners where a point is repeated.

    Between two points, the curve is the cubic with their positions and tangents (Hermite). The tangent at a point is
    half the step from the point before it to the one after it; at ends and corners, it is the step to the other point.

    The n points, at least two, have shape (n, 2); the result has shape (8 * m, 2) for m pairs of successive points that
    differ, each pair with 8 points from one to the other.

    Examples
    --------
    >>> smooth(np.array([[0.0, 0.0], [7.0, 0.0]]))[:, 0]
    array([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    around = np.concatenate([points[:1], points, points[-1:]])
    quadruples = np.stack([around[k : len(around) - 3 + k] for k in range(4)], axis=1)
    apart = (quadruples[:, 1] != quadruples[:, 2]).any(axis=1)
    before, start, end, after = quadruples[apart].transpose(1, 0, 2)[:, :, np.newaxis]
    step = end - start
    leaving = np.where((before == start).all(axis=2, keepdims=True), step, (end - before) / 2)
    arriving = np.where((end == after).all(axis=2, keepdims=True), step, (after - start) / 2)
    t = np.linspace(0, 1, 8)[:, np.newaxis]
    from_start = (1 - t) ** 2 * ((1 + 2 * t) * start + t * leaving)
    to_end = t**2 * ((3 - 2 * t) * end - (1 - t) * arriving)
    curve: NDArray[np.float64] = from_start + to_end
    return curve.reshape(-1, 2)
