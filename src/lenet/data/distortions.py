"""Random affine distortions of images, as the 1998 paper trains with (section III.A)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _affine, _checks
from lenet.errors import InputError

# A digit stays itself within these: degrees, factors, horizontal shear, pixels.
ROTATION, SCALE, SHEAR, SHIFT = 10.0, (0.9, 1.1), 0.15, 2.0


def random_affine(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw n maps: rotation up to 10 degrees, scale 0.9 to 1.1, shear up to 0.15, shift up to 2 pixels.

    Parameters
    ----------
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape (n, 2, 3)
        Each takes an output pixel (x, y, 1), counted from the image's centre, to the place in the input that
        it shows.

    Examples
    --------
    >>> random_affine(4, np.random.default_rng(0)).shape
    (4, 2, 3)
    """
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


def distort(images: NDArray[Any], maps: NDArray[np.float64]) -> NDArray[Any]:
    """Return images under affine maps, interpolated bilinearly, with background where they show no input.

    Parameters
    ----------
    images : ndarray of uint8, float32 or float64, shape (n, H, W)
    maps : ndarray of float64, shape (n, 2, 3)
        As `random_affine` draws them.

    Returns
    -------
    ndarray of the same shape and dtype

    Raises
    ------
    InputError
        If the images or the maps are not such arrays.

    Examples
    --------
    >>> image = np.zeros((1, 3, 3), np.uint8)
    >>> image[0, 1, 1] = 200
    >>> right = np.array([[[1, 0, -1], [0, 1, 0]]], float)
    >>> distort(image, right)[0]
    array([[  0,   0,   0],
           [  0,   0, 200],
           [  0,   0,   0]], dtype=uint8)
    """
    if images.ndim != 3 or images.dtype not in (np.uint8, np.float32, np.float64):
        raise InputError(
            f"images are {images.dtype} of shape {images.shape}; wanted: uint8, float32 or float64, (n, H, W)."
        )
    maps = _checks.tensor(maps, np.float64, (len(images), 2, 3), "maps")
    images = np.ascontiguousarray(images, images.dtype.newbyteorder("="))
    out = np.empty_like(images)
    _affine.affine(images, maps, out)
    return out
