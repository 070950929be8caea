"""MNIST's format, ink of 20 pixels in 28x28, centred by mass: whether images have it, and scaling others to it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._mnist_form import BOX, MIDDLE
from lenet.data.dataset import SAMPLE

_INK = BOX - 1  # pixels of the longer side: its two soft edges take half a pixel each
_PIXELS_AT_ONCE = 2**20  # per block, which is copied in double precision


def ink_form(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the longer side of the ink, and how far its centre is from that of MNIST's digits, for typical images."""
    sample = images[:: max(1, -(-len(images) // SAMPLE))]
    low, high = sample.min(axis=(1, 2), keepdims=True), sample.max(axis=(1, 2), keepdims=True)
    is_ink = sample > low + (high - low) / 4
    inked = is_ink.mean(axis=(1, 2))
    is_ink = is_ink[(inked > 0) & (inked < 0.5)]  # others are blank, noisy or dark on light
    if not len(is_ink):
        return BOX, 0.0
    sides = np.maximum(is_ink.any(axis=1).sum(axis=1), is_ink.any(axis=2).sum(axis=1))
    areas, places = is_ink.sum(axis=(1, 2)), np.arange(SIDE)
    rows, columns = is_ink.sum(axis=2) @ places / areas, is_ink.sum(axis=1) @ places / areas
    offsets = np.maximum(np.abs(rows - MIDDLE), np.abs(columns - MIDDLE))
    return float(np.median(sides)), float(np.median(offsets))


def fit_into_box(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale images, (n, height, width), so that their longer side has 20 pixels, and centre each by mass in 28x28.

    The method is that of LeCun et al. (1998), section III.A: the 20 pixels include the soft edges. A new pixel is the
    mean over its area of the linearly interpolated image. The whole image is scaled, so crop it to the ink of the
    digit first. Pixels are from 0 (background) to 255 (ink).

    Examples
    --------
    >>> fit_into_box(np.full((1, 8, 8), 255))[0, 14, ::3]
    array([  0,  25, 255, 255, 255, 255, 255, 255,  25,   0], dtype=uint8)
    """
    fitted = np.empty((len(images), SIDE, SIDE), np.uint8)
    height, width = images.shape[1:]
    scale, size = _INK / max(height, width), max(1, _PIXELS_AT_ONCE // (height * width))
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        block = images[part].astype(np.float64)
        rows, columns = _weights(block.sum(axis=2), scale), _weights(block.sum(axis=1), scale)
        np.rint(rows @ block @ columns.transpose(0, 2, 1), out=fitted[part], casting="unsafe")
    return fitted


def _weights(ink: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the weights (n, 28, length) that map rows with this ink (n, length) to 28 rows."""
    rows = np.arange(ink.shape[1])
    total = ink.sum(axis=1)
    middle = np.divide(ink @ rows, total, out=np.full(len(ink), rows.mean()), where=total > 0)
    at = middle[:, np.newaxis] + (np.arange(SIDE) - (SIDE - 1) / 2) / scale  # of each new row among the old ones
    distance, half = at[:, :, np.newaxis] - rows, 0.5 / scale
    weights: NDArray[np.float64] = scale * (_integral(distance + half) - _integral(distance - half))
    return weights


def _integral(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integrate the weight of linear interpolation, 1 - |t| between -1 and 1, up to a distance."""
    t = np.clip(distance, -1, 1)
    integral: NDArray[np.float64] = (1 + t * (2 - np.abs(t))) / 2
    return integral
