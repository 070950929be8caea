"""Random distortions of images: affine maps, as in the paper (section III.B), strokes, backgrounds and defects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks, _compiled
from lenet._fused.batches import Distortions
from lenet.errors import InputError
from lenet.training.augment.defects import checked_seeds, random_defects, spoil

# Within these limits, a digit keeps its class: degrees, factors, horizontal shear, pixels.
ROTATION, SCALE, SHEAR, SHIFT = 10.0, (0.9, 1.1), 0.15, 2.0
BEND = 0.8  # pixels; standard deviation of the shift of each of 4 x 4 points


def random_affine(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw random affine maps.

    Rotations are up to 10 degrees in either direction, scales from 0.9 to 1.1, horizontal shears up to 0.15, and shifts
    up to 2 pixels.

    Parameters
    ----------
    n : int
        Number of maps.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape (n, 2, 3)
        Each maps an output pixel (x, y, 1) to its position in the input, both relative to the centre of the image.

    Raises
    ------
    InputError, InputTypeError
        If n is not an integer of at least 0, or rng is not a generator.

    Examples
    --------
    >>> random_affine(4, np.random.default_rng(0)).shape
    (4, 2, 3)
    """
    n, rng = _checks.size(n, "n", at_least=0), _checks.generator(rng)
    angle = np.radians(rng.uniform(-ROTATION, ROTATION, n))
    scale = rng.uniform(*SCALE, (2, n))
    shear = rng.uniform(-SHEAR, SHEAR, n)
    shift = rng.uniform(-SHIFT, SHIFT, (2, n))
    maps = np.empty((n, 2, 3))
    cos, sin = np.cos(angle), np.sin(angle)
    maps[:, 0, 0], maps[:, 0, 1] = cos * scale[0], (shear * cos - sin) * scale[0]
    maps[:, 1, 0], maps[:, 1, 1] = sin * scale[1], (shear * sin + cos) * scale[1]
    maps[:, :, 2] = shift.T
    return maps


def random_distortions(
    n: int, rng: np.random.Generator, *, distort: bool, vary: bool, defects: float
) -> Distortions | None:
    """Draw the distortions of a recipe: variations or affine maps, then defects, or none.

    Parameters
    ----------
    n : int
        Number of images.
    rng : numpy.random.Generator
    distort, vary : bool
    defects : float
        As for `lenet.training.Recipe`.

    Returns
    -------
    Defects, Variations, AffineMaps or None
        Variations if `vary` is true; otherwise, affine maps if `distort` is true. Defects, which follow these, if
        `defects` is above 0.

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid. The generator is then unchanged.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> drawn = random_distortions(4, rng, distort=True, vary=False, defects=0)
    >>> drawn[1:3].apply(np.zeros((2, 28, 28), np.uint8)).shape
    (2, 28, 28)
    """
    distort, vary = _checks.boolean(distort, "distort"), _checks.boolean(vary, "vary")
    defects = _checks.fraction(defects, "defects")
    n, rng = _checks.size(n, "n", at_least=0), _checks.generator(rng)
    before = random_variations(n, rng) if vary else AffineMaps(random_affine(n, rng)) if distort else None
    return Defects(before, random_defects(n, rng, defects)) if defects else before


@dataclass(frozen=True, eq=False)
class AffineMaps:
    """One affine map per image.

    Parameters
    ----------
    maps : ndarray of float64, shape (n, 2, 3)
        From output to input pixels, as `random_affine` draws them.

    Examples
    --------
    >>> image = np.zeros((1, 3, 3), np.uint8)
    >>> image[0, 1, 1] = 200
    >>> right = np.array([[[1, 0, -1], [0, 1, 0]]], float)
    >>> AffineMaps(right).apply(image)[0]
    array([[  0,   0,   0],
           [  0,   0, 200],
           [  0,   0,   0]], dtype=uint8)
    """

    maps: NDArray[np.float64]

    def __getitem__(self, part: Any) -> "AffineMaps":
        return AffineMaps(self.maps[part])

    def apply(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the images, with bilinear interpolation; pixels outside the input are background.

        Parameters
        ----------
        images : ndarray of uint8, float32 or float64, shape (n, H, W)

        Returns
        -------
        ndarray of the same shape and dtype

        Raises
        ------
        InputError, InputTypeError
            If the images or the maps have another shape or dtype.
        """
        given = _checks.array(images, "images", "expected shape (n, H, W)")
        dtype = given.dtype.newbyteorder("=")
        if given.ndim != 3 or dtype not in (np.uint8, np.float32, np.float64):
            raise InputError(
                f"images has dtype {given.dtype} and shape {given.shape}; expected uint8, float32 or float64, "
                "and (n, H, W)."
            )
        maps = _checks.tensor(self.maps, np.float64, (len(given), 2, 3), "maps")
        kernel_dtype = np.uint8 if dtype == np.uint8 else np.float64
        out = np.empty(given.shape, kernel_dtype)
        _compiled.affine(_checks.plain(given, kernel_dtype), maps, out)
        return out.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Defects:
    """The defects of n images, and the distortions applied before them.

    Parameters
    ----------
    before : Distortions or None
    seeds : ndarray of uint64, shape (n,)
        As `random_defects` draws them.

    Examples
    --------
    >>> Defects(None, random_defects(4, np.random.default_rng(0), 0.5))[:2].seeds.shape
    (2,)
    """

    before: Distortions | None
    seeds: NDArray[np.uint64]

    def __getitem__(self, part: Any) -> "Defects":
        return Defects(None if self.before is None else self.before[part], self.seeds[part])

    def apply(self, images: NDArray[Any]) -> NDArray[Any]:
        """Distort the images, then spoil some, as `spoil` does.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, 28, 28)

        Returns
        -------
        ndarray of uint8, shape (n, 28, 28)
        """
        return spoil(images if self.before is None else self.before.apply(images), self.seeds)


@dataclass(frozen=True, eq=False)
class Variations:
    """Parameters of the variations of n images, one row per image.

    Parameters
    ----------
    maps : ndarray of float64, shape (n, 2, 3)
        As `random_affine` draws them.
    bends : ndarray of float32, shape (n, 2, 4, 4)
        Shifts in x and y at 4 x 4 points, in pixels.
    pens : ndarray of float32, shape (n, 7)
        Strength of thickening, -1 to 1, and of blurring, 0 to 1; level of the ink; level of the background and its
        slopes in x and y; amplitude of the noise. Levels are fractions of 255.
    seeds : ndarray of uint64, shape (n,)
        Seeds of the noise.

    Examples
    --------
    >>> images = np.zeros((2, 28, 28), np.uint8)
    >>> random_variations(4, np.random.default_rng(0))[:2].apply(images).shape
    (2, 28, 28)
    """

    maps: NDArray[np.float64]
    bends: NDArray[np.float32]
    pens: NDArray[np.float32]
    seeds: NDArray[np.uint64]

    def __getitem__(self, part: Any) -> "Variations":
        return Variations(self.maps[part], self.bends[part], self.pens[part], self.seeds[part])

    def apply(self, images: NDArray[Any]) -> NDArray[Any]:
        """Warp the images, change their strokes, and add a background.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, 28, 28)

        Returns
        -------
        ndarray of uint8, shape (n, 28, 28)

        Raises
        ------
        InputError, InputTypeError
            If the images or the parameters have another shape or dtype, or the pens are not finite.
        """
        pixels = _checks.byte_images(images)
        n = len(pixels)
        maps = _checks.tensor(self.maps, np.float64, (n, 2, 3), "maps")
        bends = _checks.tensor(self.bends, np.float32, (n, 2, 4, 4), "bends")
        pens = _checks.tensor(self.pens, np.float32, (n, 7), "pens")
        if not np.isfinite(pens).all():
            raise InputError("pens contains NaN or infinite values; expected finite numbers.")
        seeds = checked_seeds(self.seeds, n).astype(np.uint64)
        out = np.empty_like(pixels)
        _compiled.vary(pixels, maps, bends, pens, seeds, out)
        return out


def random_variations(n: int, rng: np.random.Generator) -> Variations:
    """Draw the parameters of variations of n images.

    Every image is mapped and bent. On average, half are thickened or thinned, a third are blurred, a quarter are faded,
    one in six has an uneven background, and one in six has noise.

    Parameters
    ----------
    n : int
        Number of images.
    rng : numpy.random.Generator

    Returns
    -------
    Variations

    Raises
    ------
    InputError, InputTypeError
        If n is not an integer of at least 0, or rng is not a generator.

    Examples
    --------
    >>> random_variations(4, np.random.default_rng(0)).bends.shape
    (4, 2, 4, 4)
    """
    n, rng = _checks.size(n, "n", at_least=0), _checks.generator(rng)

    def some(fraction: float, low: float, high: float, otherwise: float = 0.0) -> NDArray[np.float64]:
        return np.where(rng.random(n) < fraction, rng.uniform(low, high, n), otherwise)

    ground = rng.random(n) < 1 / 6
    pens = [
        some(1 / 2, -0.6, 0.8),
        some(1 / 3, 0, 1),
        some(1 / 4, 0.6, 1, 1),
        *(ground * rng.uniform(low, high, n) for low, high in ((0, 0.12), (-0.12, 0.12), (-0.12, 0.12))),
        some(1 / 6, 0, 0.12),
    ]
    return Variations(
        random_affine(n, rng),
        rng.normal(0, BEND, (n, 2, 4, 4)).astype(np.float32),
        np.stack(pens, axis=1).astype(np.float32),
        rng.integers(0, 2**64, n, np.uint64),
    )
