"""The fifteen corruptions of MNIST-C at five severities, to measure robustness.

References
----------
Mu and Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019. Where the paper has only one strength
(stripe, lines and edges), the other severities are lenet's own, and the paper's strength is the published severity.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet._extras import cv2
from lenet.errors import InputError

Images = NDArray[np.float32]  # (n, 28, 28), in [0, 1]
Random = np.random.Generator

SEVERITIES = 5
_BLOCK = 500  # images corrupted at once
_MIDDLE = (SIDE - 1) / 2
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE]


def corrupt(images: ArrayLike, name: str, severity: int | None = None, *, seed: int = 0) -> NDArray[np.uint8]:
    """Apply one of the corruptions of MNIST-C to images.

    Parameters
    ----------
    images : array_like of uint8, shape (n, 28, 28)
        From 0 (background) to 255 (ink).
    name : str
        A key of `lenet.evaluation.corruptions.CORRUPTIONS`.
    severity : int, optional
        From 1 to 5; by default, the severity of the published data set.
    seed : int, default 0
        At least 0. The same seed corrupts the same images in the same way.

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid.
    MissingExtraError
        If `name` is "shear", "scale", "rotate" or "canny_edges", and OpenCV is not installed.

    Examples
    --------
    >>> image = np.zeros((1, 28, 28), np.uint8)
    >>> int(corrupt(image, "brightness", 1).max())
    26
    """
    pixels = _checks.byte_images(images)
    if not (isinstance(name, str) and name in CORRUPTIONS):
        raise InputError(f"name is {_checks.short_repr(name)}; expected one of {', '.join(CORRUPTIONS)}.")
    corruption = CORRUPTIONS[name]
    level = corruption.published if severity is None else _checks.whole(severity, "severity", at_most=SEVERITIES)
    rng = np.random.default_rng([_checks.whole(seed, "seed", at_least=0), [*CORRUPTIONS].index(name), level])
    out = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _BLOCK):
        block = np.divide(pixels[start : start + _BLOCK], 255, dtype=np.float32)
        changed = corruption.function(block, rng, corruption.levels[level - 1])
        out[start : start + _BLOCK] = np.round(255 * changed.clip(0, 1))
    return out


def _shot_noise(x: Images, rng: Random, photons: float) -> NDArray[Any]:
    return np.asarray(rng.poisson(x * photons) / photons)


def _impulse_noise(x: Images, rng: Random, fraction: float) -> NDArray[Any]:
    """Turn a fraction of the pixels black or white."""
    drawn = rng.random(x.shape)
    return np.where(drawn < fraction, drawn < fraction / 2, x)


def _glass_blur(x: Images, rng: Random, level: tuple[float, int, int]) -> NDArray[Any]:
    """Blur, swap half of the pixels with neighbours, and blur again."""
    sigma, reach, rounds = level
    x, images = _blurred(x, sigma), np.arange(len(x))
    for _ in range(rounds):
        for row in range(SIDE - reach, reach, -1):
            for column in range(SIDE - reach, reach, -1):
                swapped = images[rng.random(len(x)) < 0.5]
                rows, columns = np.array([[row], [column]]) + rng.integers(-reach, reach, (2, len(swapped)))
                neighbours = x[swapped, rows, columns]
                x[swapped, rows, columns] = x[swapped, row, column]
                x[swapped, row, column] = neighbours
    return _blurred(x, sigma)


def _motion_blur(x: Images, rng: Random, level: tuple[int, float]) -> NDArray[Any]:
    """Average the pixels along a line that begins at the pixel, with the weights of half a Gaussian."""
    radius, sigma = level
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    angles = np.radians(rng.uniform(-45, 45, len(x)))[:, np.newaxis, np.newaxis]
    out, images = np.zeros(x.shape), np.arange(len(x))[:, np.newaxis, np.newaxis]
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        rows = (_ROWS + np.ceil(step * np.sin(angles) - 0.5).astype(int)).clip(0, SIDE - 1)
        columns = (_COLUMNS + np.ceil(step * np.cos(angles) - 0.5).astype(int)).clip(0, SIDE - 1)
        out += weight * x[images, rows, columns]
    return out


def _shear(x: Images, rng: Random, angle: float) -> NDArray[Any]:
    angles = angle * _signs(rng, len(x))
    return _warped(x, np.stack([np.ones(len(x)), -np.sin(angles), np.zeros(len(x)), np.cos(angles)], 1))


def _scale(x: Images, rng: Random, factor: float) -> NDArray[Any]:
    return _warped(x, np.tile([1 / factor, 0, 0, 1 / factor], (len(x), 1)))


def _rotate(x: Images, rng: Random, angle: float) -> NDArray[Any]:
    angles = angle * _signs(rng, len(x))
    return _warped(x, np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], 1))


def _brightness(x: Images, rng: Random, added: float) -> NDArray[Any]:
    return x + added


def _translate(x: Images, rng: Random, pixels: int) -> NDArray[Any]:
    rows, columns = (pixels + pixels * _signs(rng, len(x)) for _ in range(2))
    padded = np.pad(x, [(0, 0), (pixels, pixels), (pixels, pixels)])
    shifted = zip(padded, rows, columns, strict=True)
    return np.stack([image[row : row + SIDE, column : column + SIDE] for image, row, column in shifted])


def _stripe(x: Images, rng: Random, width: int) -> NDArray[Any]:
    """Invert a stripe at the left and one at the right."""
    striped = (width > _COLUMNS) | (SIDE - width <= _COLUMNS)
    return np.where(striped, 1 - x, x)


def _fog(x: Images, rng: Random, level: tuple[float, float]) -> NDArray[Any]:
    strength, decay = level
    highest = x.max(axis=(1, 2), keepdims=True)
    return np.asarray((x + strength * _plasma(len(x), rng, decay)) * highest / (highest + strength))


def _spatter(x: Images, rng: Random, level: tuple[float, float, float, float, float]) -> NDArray[Any]:
    """Cover parts of the image with dark grey mud."""
    mean, deviation, sigma, threshold, edge = level
    drops = _blurred(rng.normal(mean, deviation, x.shape), sigma) > threshold
    mud = _blurred(drops.astype(np.float32), edge)
    mud[mud < 0.8] = 0
    return np.asarray(x * (1 - mud) + mud * 63 / 255)


def _dotted_line(x: Images, rng: Random, count: int) -> NDArray[Any]:
    dots = _COLUMNS // 2 % 2 == 1
    for _ in range(count):
        begin, end = rng.integers(0, SIDE - 1, (2, len(x)))
        x = x + dots * _lines(np.zeros(len(x)), begin, np.full(len(x), SIDE - 1), end)
    return x


def _zigzag(x: Images, rng: Random, count: int) -> NDArray[Any]:
    """Draw zigzags with legs 2 pixels high and 4 wide across the image."""
    for _ in range(count):
        begin = rng.integers(0, SIDE - 1, len(x))
        angles = np.arctan(rng.integers(-5, 5, len(x)) / 23)
        left, top = np.zeros(len(x)), np.zeros(len(x))
        for leg in range(6):
            right, bottom = _turned(4.0 * leg + 2, 2.0 * (-1) ** leg, angles)
            x = np.minimum(x + _lines(2 + left, begin + top, 2 + right, begin + bottom), 1)
            left, top = right, bottom
    return x


def _canny_edges(x: Images, rng: Random, sigma: float) -> NDArray[Any]:
    smooth = np.round(255 * _blurred(x, sigma)).astype(np.uint8)
    return np.stack([cv2.Canny(image, 25.5, 51, L2gradient=True) for image in smooth]) / 255


def _signs(rng: Random, n: int) -> NDArray[np.int64]:
    return rng.choice([-1, 1], n)


def _blurred(x: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Convolve images with a Gaussian, truncated at four standard deviations; edge pixels are repeated outside."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for step, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        np.add.at(matrix, (np.arange(SIDE), (np.arange(SIDE) + step).clip(0, SIDE - 1)), weight)
    return np.asarray(matrix @ x @ matrix.T)


def _warped(x: Images, maps: NDArray[np.float64]) -> NDArray[Any]:
    """Map images about their centre; each map (a, b, c, d) goes from output to input."""
    out = np.empty_like(x)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, place, map_ in zip(x, out, maps.reshape(-1, 2, 2), strict=True):
        shift = _MIDDLE - map_ @ [_MIDDLE, _MIDDLE]
        cv2.warpAffine(image, np.c_[map_, shift], (SIDE, SIDE), dst=place, flags=flags)
    return out


def _plasma(n: int, rng: Random, decay: float) -> NDArray[np.float64]:
    """Draw fractal clouds in [0, 1] by the diamond-square algorithm on 256x256 points, and cut out 28x28."""
    side, wobble, step = 256, 100.0, 256
    clouds = np.zeros((n, side, side), np.float32)

    def fill(total: NDArray[Any]) -> NDArray[Any]:
        return total / 4 + np.float32(wobble**2) * (2 * rng.random(total.shape, np.float32) - 1)

    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        clouds[:, half::step, half::step] = fill(pairs + np.roll(pairs, -1, axis=2))
        middles = clouds[:, half::step, half::step]
        sums = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        clouds[:, ::step, half::step] = fill(sums)
        sums = middles + np.roll(middles, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        clouds[:, half::step, ::step] = fill(sums)
        wobble, step = wobble / decay, half
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    return np.asarray(clouds[:, :SIDE, :SIDE] / clouds.max(axis=(1, 2), keepdims=True), np.float64)


def _turned(x: float, y: float, angles: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.cos(angles) * x - np.sin(angles) * y, np.sin(angles) * x + np.cos(angles) * y


def _lines(left: NDArray[Any], top: NDArray[Any], right: NDArray[Any], bottom: NDArray[Any]) -> NDArray[Any]:
    """Return a line from (left, top) to (right, bottom) for each image; it fades to 0 at a distance of 1.5 pixels."""
    left, top, right, bottom = (np.asarray(each)[:, np.newaxis, np.newaxis] for each in (left, top, right, bottom))
    distance = np.abs(_ROWS - top - (bottom - top) / (right - left) * (_COLUMNS - left))
    ink = (np.log(1 - np.minimum(distance / 2.3, 1 - 1e-9)) + 1).clip(0, 1)
    return np.where((np.floor(left) <= _COLUMNS) & (np.ceil(right) > _COLUMNS), ink, 0)


@dataclass(frozen=True)
class Corruption:
    """A corruption of images, its strength at each severity, and the severity of the published data set."""

    function: Callable[[Images, Random, Any], NDArray[Any]]
    levels: tuple[Any, ...]
    published: int


CORRUPTIONS = {
    "shot_noise": Corruption(_shot_noise, (60, 25, 12, 5, 3), 5),
    "impulse_noise": Corruption(_impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27), 4),
    "glass_blur": Corruption(_glass_blur, ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)), 1),
    "motion_blur": Corruption(_motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), 1),
    "shear": Corruption(_shear, (0.2, 0.4, 0.6, 0.8, 1), 2),
    "scale": Corruption(_scale, (0.9, 0.8, 0.7, 0.6, 0.5), 3),
    "rotate": Corruption(_rotate, (0.2, 0.4, 0.6, 0.8, 1), 2),
    "brightness": Corruption(_brightness, (0.1, 0.2, 0.3, 0.4, 0.5), 5),
    "translate": Corruption(_translate, (1, 2, 3, 4, 5), 3),
    "stripe": Corruption(_stripe, (3, 4, 5, 6, 7), 5),
    "fog": Corruption(_fog, ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)), 5),
    "spatter": Corruption(
        _spatter,
        (
            (0.65, 0.3, 4, 0.69, 0.6),
            (0.65, 0.3, 3, 0.68, 0.6),
            (0.65, 0.3, 2, 0.68, 0.5),
            (0.65, 0.3, 1, 0.65, 1.5),
            (0.67, 0.4, 1, 0.65, 1.5),
        ),
        4,
    ),
    "dotted_line": Corruption(_dotted_line, (1, 2, 3, 4, 5), 1),
    "zigzag": Corruption(_zigzag, (1, 2, 3, 4, 5), 1),
    "canny_edges": Corruption(_canny_edges, (0.5, 0.75, 1, 1.25, 1.5), 3),
}
