"""Defects for training images, like those that pens, paper, cameras and transmission cause.

They belong to the same families as the corruptions of `lenet.evaluation.corruptions`, such as noise, blur and lines,
but are drawn in other ways, so that the corruptions measure robustness to defects that were not used in training.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks, _compiled
from lenet._checks import SIDE
from lenet.errors import InputError, InputTypeError

Image = NDArray[np.float32]  # (28, 28), in [0, 1]
Random = np.random.Generator

SECOND_DEFECT = 0.3  # the fraction of the spoiled images that have two defects
_MIDDLE = (SIDE - 1) / 2
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)


def random_defects(n: int, rng: Random, fraction: float) -> NDArray[np.uint64]:
    """Draw which of n images to spoil, and the seed of the defects of each.

    Parameters
    ----------
    n : int
        Number of images.
    rng : numpy.random.Generator
    fraction : float
        The probability that an image is spoiled, from 0 to 1.

    Returns
    -------
    ndarray of uint64, shape (n,)
        0 for images without a defect.

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid.

    Examples
    --------
    >>> int((random_defects(1000, np.random.default_rng(0), 0.1) > 0).sum())
    89
    """
    n, rng = _checks.size(n, "n", at_least=0), _checks.generator(rng)
    fraction = _checks.fraction(fraction, "fraction")
    return np.where(rng.random(n) < fraction, rng.integers(1, 2**64, n, np.uint64), np.uint64(0))


def spoil(images: ArrayLike, seeds: ArrayLike) -> NDArray[np.uint8]:
    """Spoil images with one or two random defects each.

    Parameters
    ----------
    images : array_like of uint8, shape (n, 28, 28)
    seeds : array_like of unsigned integers, shape (n,)
        The seed of the defects of each image; those with 0 are left unchanged.

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)

    Raises
    ------
    InputError, InputTypeError
        If an array has another shape or dtype.

    Examples
    --------
    >>> images = np.zeros((2, 28, 28), np.uint8)
    >>> spoil(images, np.array([0, 8], np.uint64)).any(axis=(1, 2))
    array([False,  True])
    """
    out = _checks.byte_images(images).copy()
    seeds = checked_seeds(seeds, len(out))
    for i in np.flatnonzero(seeds):
        rng = np.random.default_rng(int(seeds[i]))
        image = np.divide(out[i], 255, dtype=np.float32)
        for _ in range(1 + (rng.random() < SECOND_DEFECT)):
            image = DEFECTS[rng.integers(len(DEFECTS))](image, rng).clip(0, 1)
        out[i] = 255 * image + 0.5
    return out


def checked_seeds(seeds: ArrayLike, n: int) -> NDArray[Any]:
    """Return the seeds of n images, or raise an error if they are not unsigned integers of shape (n,)."""
    seeds = _checks.array(seeds, "seeds", f"expected shape ({n},)")
    if seeds.dtype.kind != "u":
        raise InputTypeError(f"seeds has dtype {seeds.dtype}; expected unsigned integers.")
    if seeds.shape != (n,):
        raise InputError(f"seeds has shape {seeds.shape}; expected ({n},).")
    return seeds


def _bands(image: Image, rng: Random) -> NDArray[Any]:
    """Draw one to three parallel bands, or one at each of two opposite edges.

    In a band, the paper has a random grey level, and the ink a random contrast, which may be negative.
    """
    angle = rng.integers(2) * np.pi / 2 + rng.normal(0, 0.1 if rng.random() < 0.7 else 1)
    if rng.random() < 0.5:
        inside = np.abs(_across(rng.uniform(-2, 2), angle)) > rng.uniform(6, 13)
    else:
        inside = np.zeros(image.shape, bool)
        for _ in range(rng.integers(1, 4)):
            inside |= np.abs(_across(rng.uniform(-15, 15), angle)) < rng.uniform(1, 4)
    return np.where(inside, _grey(rng) + np.float32(rng.uniform(-0.9, 0.9)) * image, image)


def _lines(image: Image, rng: Random) -> NDArray[Any]:
    """Draw one to four straight, wavy or dashed lines across the image."""
    ink = np.zeros_like(image)
    for _ in range(rng.integers(1, 5)):
        angle, wave = rng.uniform(0, np.pi), rng.uniform(0, 3) * (rng.random() < 0.5)
        along = _across(0, angle + np.pi / 2)
        distance = _across(rng.uniform(-12, 12), angle) + wave * np.sin(along * rng.uniform(0.3, 1.2))
        line = _pen(distance, rng)
        if rng.random() < 0.4:
            line = line * (np.sin(along * rng.uniform(0.6, 2.5)) > rng.uniform(-0.7, 0.5))
        ink = np.maximum(ink, line)
    return np.maximum(image, ink) if rng.random() < 0.7 else np.minimum(image, 1 - ink)


def _ruling(image: Image, rng: Random) -> NDArray[Any]:
    """Draw ruled or squared paper, or a raster of dots."""
    angle, kind = rng.normal(0, 0.1) + rng.integers(2) * np.pi / 2, rng.integers(3)
    pitch, shift = rng.uniform(3, 12), rng.uniform(0, 12, 2)
    down, right = (
        _pen((_across(-float(shift[axis]), angle + axis * np.pi / 2) % pitch) - pitch / 2, rng) for axis in range(2)
    )
    ink = down if kind == 0 else np.maximum(down, right) if kind == 1 else np.minimum(down, right)
    return np.asarray(np.maximum(image, ink))


def _patches(image: Image, rng: Random) -> NDArray[Any]:
    """Cover one to three rectangles or ellipses of the image with a grey level."""
    for _ in range(rng.integers(1, 4)):
        y, x = (np.abs(grid - rng.uniform(0, SIDE)) / rng.uniform(1, 5) for grid in (_ROWS, _COLUMNS))
        image = _covered(image, (np.maximum(y, x) if rng.random() < 0.5 else y * y + x * x) < 1, rng)
    return image


def _blots(image: Image, rng: Random) -> NDArray[Any]:
    """Cover irregular spots of the image with a grey level."""
    field = _field(rng, int(rng.integers(6, 15)))
    return _covered(image, ((field - rng.uniform(0.65, 0.85)) * rng.uniform(5, 40)).clip(0, 1), rng)


def _levels(image: Image, rng: Random) -> NDArray[Any]:
    """Change the contrast, the brightness and the gamma."""
    contrast = rng.uniform(0.2, 1)
    return rng.uniform(0, 1.1 - contrast) + contrast * image ** np.float32(2 ** rng.uniform(-1.5, 1.5))


def _clouds(image: Image, rng: Random) -> NDArray[Any]:
    """Put an uneven layer over the image."""
    strength = rng.uniform(0.2, 0.8)
    return image * (1 - strength) + strength * _field(rng, int(rng.integers(2, 9)))


def _grains(image: Image, rng: Random) -> NDArray[Any]:
    """Replace pixels, or squares of 2x2 pixels, by black, white or random levels."""
    size = int(rng.integers(1, 3))
    side = SIDE // size
    replaced = rng.random((side, side), np.float32) < rng.uniform(0.02, 0.25)
    levels = rng.random((side, side), np.float32)
    if rng.random() < 0.6:
        levels = np.where(levels < rng.uniform(0.2, 0.8), np.float32(0), np.float32(1))
    square = np.ones((size, size), np.float32)
    return np.where(np.kron(replaced, square) > 0, np.kron(levels, square), image)


def _noise(image: Image, rng: Random) -> NDArray[Any]:
    """Add noise to all pixels, or to the ink."""
    noise = rng.normal(0, rng.uniform(0.05, 0.35), image.shape).astype(np.float32)
    return image + (noise if rng.random() < 0.5 else 2 * noise * image)


def _smear(image: Image, rng: Random) -> NDArray[Any]:
    """Average pixels along a line in a random direction, or over a square."""
    length = int(rng.integers(2, 6))
    angle = rng.uniform(0, np.pi)
    steps = np.arange(length) - (length - 1) / 2
    rows, columns = np.round(steps * np.sin(angle)).astype(int), np.round(steps * np.cos(angle)).astype(int)
    if rng.random() < 0.5:
        reach = np.arange(length // 2 + 1)
        rows, columns = (each.ravel() for each in np.meshgrid(reach, reach))
    padded = np.pad(image, 4)
    shifted = (padded[4 + y : 4 + y + SIDE, 4 + x : 4 + x + SIDE] for y, x in zip(rows, columns, strict=True))
    return sum(shifted, np.zeros_like(image)) / len(rows)


def _scatter(image: Image, rng: Random) -> NDArray[Any]:
    """Replace each pixel by a random one nearby."""
    moved = np.stack([_ROWS, _COLUMNS]) + rng.normal(0, rng.uniform(0.4, 1.1), (2, SIDE, SIDE))
    rows, columns = moved.round().astype(int).clip(0, SIDE - 1)
    return np.asarray(image[rows, columns])


def _blocks(image: Image, rng: Random) -> NDArray[Any]:
    """Lower the resolution to blocks of 2 or 3 pixels, sometimes of two levels only."""
    size, begin = int(rng.integers(2, 4)), int(rng.integers(0, 2))
    begins = np.arange(begin, SIDE, size)
    begins[0] = 0
    sizes = np.diff(begins, append=SIDE)
    means = np.add.reduceat(np.add.reduceat(image, begins, axis=0), begins, axis=1) / np.outer(sizes, sizes)
    if rng.random() < 0.4:
        means = means > rng.uniform(0.3, 0.5)
    return np.asarray(means.repeat(sizes, axis=0).repeat(sizes, axis=1), np.float32)


def _outline(image: Image, rng: Random) -> NDArray[Any]:
    """Keep the edges of the strokes only: the pixels with both ink and paper next to them."""
    ink = image > rng.uniform(0.2, 0.7) if rng.random() < 0.7 else image
    padded = np.pad(ink.astype(np.float32), 1)
    neighbours = [padded[y : y + SIDE, x : x + SIDE] for y, x in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))]
    low, high = np.minimum.reduce(neighbours), np.maximum.reduce(neighbours)
    centre, kind = neighbours[0], rng.integers(3)
    edges = centre - low if kind == 0 else high - centre if kind == 1 else high - low
    return np.asarray(edges * rng.uniform(0.5, 1))


def _misplacement(image: Image, rng: Random) -> NDArray[Any]:
    """Rotate, shrink, slant and shift the digit further than `random_affine` does."""
    angle, slant, scale = rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), rng.uniform(0.95, 1.5)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    shift = rng.uniform(-4, 4, 2)
    maps = np.array([[[cos, slant * cos - sin, shift[0]], [sin, slant * sin + cos, shift[1]]]])
    images = image[np.newaxis].astype(np.float64)
    out = np.empty_like(images)
    _compiled.affine(images, maps, out)
    return np.asarray(out[0], np.float32)


def _across(offset: float, angle: float) -> NDArray[Any]:
    """Return the distance of each pixel from a line at an angle and an offset from the middle."""
    return np.asarray(
        (_COLUMNS - _MIDDLE) * np.float32(np.cos(angle)) - (_ROWS - _MIDDLE) * np.float32(np.sin(angle)) - offset
    )


def _pen(distance: NDArray[Any], rng: Random) -> NDArray[Any]:
    """Return the ink of a pen stroke of random width and darkness at each pixel, by its distance from the stroke."""
    return np.asarray((rng.uniform(0.8, 1.6) - np.abs(distance)).clip(0, 1) * np.float32(rng.uniform(0.3, 1)))


def _covered(image: Image, opacity: NDArray[Any], rng: Random) -> NDArray[Any]:
    """Blend the image with a grey level, by the opacity of each pixel."""
    return image + opacity.astype(np.float32) * (_grey(rng) - image)


def _grey(rng: Random) -> np.float32:
    """Return a level, often black or white."""
    return np.float32(rng.random() if rng.random() < 0.6 else rng.integers(2))


def _field(rng: Random, points: int) -> Image:
    """Return a smooth random field from 0 to 1, interpolated between points x points random levels."""
    place = np.linspace(0, points - 1, SIDE)
    weights = np.maximum(0, 1 - np.abs(place[:, np.newaxis] - np.arange(points))).astype(np.float32)
    field = weights @ rng.random((points, points), np.float32) @ weights.T
    field -= field.min()
    return np.asarray(field / field.max())


# A defect that occurs twice is drawn twice as often.
DEFECTS: tuple[Callable[[Any, Random], NDArray[Any]], ...] = (
    _bands, _bands, _lines, _lines, _ruling, _patches, _blots, _levels, _clouds, _clouds, _grains, _noise, _smear,
    _scatter, _blocks, _outline, _outline, _misplacement,
)  # fmt: skip
