"""From a table with a row an image, as scikit-learn passes them, to the images that the network reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE, whole
from lenet._mnist_form import BOX
from lenet.errors import InputError

_FRAMED_AT_ONCE = 1024  # rows, which are copied in double precision meanwhile


@dataclass(frozen=True)
class Framing:
    """How the rows of a table become images: the same for all that a classifier sees.

    Parameters
    ----------
    height, width : int
        The images that the rows hold, row by row; pixels that the table lacks at the end are background.
    low, high : float
        The values that count as background, 0, and as ink, 1; those beyond count as them.
    whole : bool
        Whether the values that settled these were whole numbers.
    """

    height: int
    width: int
    low: float
    high: float
    whole: bool = False

    def images(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return rows as images of shape (n, 28, 28): uint8 ones as they are where nothing is to be done, else float32.

        Images of up to 20x20 are enlarged bilinearly into 20x20, larger ones keep their size; both are centred in
        28x28, as MNIST's are.

        Examples
        --------
        >>> images = Framing(24, 24, 0, 16).images(np.arange(2 * 576).reshape(2, 576))
        >>> images.shape, images[0, 2, :6].tolist()
        ((2, 28, 28), [0.0, 0.0, 0.0, 0.0625, 0.125, 0.1875])
        """
        if X.dtype == np.uint8 and (self.height, self.width, self.low, self.high) == (SIDE, SIDE, 0, 255):
            return X.reshape(-1, SIDE, SIDE)
        images = np.empty((len(X), SIDE, SIDE), np.float32)
        for start in range(0, len(X), _FRAMED_AT_ONCE):
            part = slice(start, start + _FRAMED_AT_ONCE)
            images[part] = self._framed(X[part])
        return images

    def _framed(self, X: NDArray[Any]) -> NDArray[np.float32]:
        scaled = (X.astype(np.float64) - self.low) / (self.high - self.low)
        rows = np.zeros((len(X), self.height * self.width), np.float32)
        np.clip(scaled, 0, 1, out=rows[:, : X.shape[1]], casting="same_kind")
        pixels = rows.reshape(-1, self.height, self.width)
        if (self.height, self.width) == (SIDE, SIDE):
            return pixels
        down, across = self.interpolation()
        return np.minimum(down @ pixels @ across.T, 1)  # rounding may exceed 1

    def check(self, shape: tuple[int, int] | None) -> None:
        """Refuse images of another height or width than these; None is a table, whose length is checked elsewhere."""
        if shape is not None and shape != (self.height, self.width):
            raise InputError(
                f"X holds images of {shape[0]} x {shape[1]} pixels, and the classifier was fitted on {self.height} x "
                f"{self.width}: pass such."
            )

    def interpolation(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the shares of each row of an image in each row of 28, (28, height), and those of the columns."""
        scale = max(1.0, BOX / max(self.height, self.width))
        return _shares(self.height, scale), _shares(self.width, scale)

    def check_scale(self, X: NDArray[Any]) -> None:
        """Refuse pixels of evidently another scale, of which all would be background, or ink.

        Evident are fractions up to 1, or below 0, where whole numbers were fitted, what is ten times too high, and what
        lies below 0 by a tenth of what was fitted, as bytes do that were taken for int8.
        """
        if not X.size:
            return
        low, high = float(X.min()), float(X.max())
        below = low < 0 <= self.low
        shrunk = (
            X.dtype.kind == "b" or (below and low < -self.high / 10) or ((high <= 1 or below) and not _are_whole(X))
        )
        if self.whole and self.high > 1 and shrunk:
            advice = f"bring them back to {self.low:g} to {self.high:g}"
        elif self.low >= 0 and high > 10 * self.high:
            advice = "scale them as those were"
        else:
            return
        raise InputError(
            f"X holds {X.dtype} pixels from {low:g} to {high:g}, and the classifier was fitted on pixels from "
            f"{self.low:g} to {self.high:g}: {advice}."
        )


def _are_whole(X: NDArray[Any]) -> bool:
    if X.dtype.kind in "iub":
        return True
    parts = (X[start : start + _FRAMED_AT_ONCE] for start in range(0, len(X), _FRAMED_AT_ONCE))
    return not any((part % 1).any() for part in parts)


def _shares(length: int, scale: float) -> NDArray[np.float32]:
    at = (length - 1) / 2 + (np.arange(SIDE) - (SIDE - 1) / 2) / scale  # where each of 28 falls among the small ones
    if scale == 1:
        at = np.floor(at)  # whole pixels stay sharp
    shares: NDArray[np.float32] = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(length))).astype(np.float32)
    return shares


def frame(X: NDArray[Any], shape: tuple[int, int]) -> Framing:
    """Return the framing for a table of images of that shape, scaled by the values that it holds.

    uint8 counts from 0 to 255, values within [0, 1] as they are, all others from the least to the greatest. Where
    some are negative, which pixels are not, they have been standardised, and a few may be far out: then no more than
    3 standard deviations about the mean count.
    """
    if X.dtype == np.uint8:
        return Framing(*shape, 0.0, 255.0, whole=True)
    low, high = float(X.min()), float(X.max())
    if not math.isfinite(high - low):
        raise InputError(f"X holds values from {low:g} to {high:g}, too far apart to be scaled.")
    if (low >= 0 and high <= 1) or low == high:
        low, high = min(0.0, low), max(1.0, high)
    elif low < 0:
        mean, reach = float(X.mean(dtype=np.float64)), 3 * float(X.std(dtype=np.float64))
        low, high = max(low, mean - reach), min(high, mean + reach)
    return Framing(*shape, low, high, whole=_are_whole(X))


def shape_of(n_features: int, image_shape: str | Sequence[int], given: tuple[int, ...] | None) -> tuple[int, int]:
    """Return the height and width of the images in a table.

    Parameters
    ----------
    n_features : int
        Columns of the table.
    image_shape : "auto" or (height, width)
        As the caller wants it.
    given : tuple of int or None
        The height and width of images that came as images; None for a table.

    Raises
    ------
    InputError
        If the table does not hold images of that shape, or they are larger than 28x28.

    Examples
    --------
    >>> shape_of(64, "auto", None), shape_of(5, "auto", None), shape_of(96, (12, 8), None)
    ((8, 8), (3, 3), (12, 8))
    """
    if isinstance(image_shape, str):
        if image_shape != "auto":
            raise InputError(f"image_shape is {image_shape!r}; wanted: 'auto' or (height, width).")
        side = math.isqrt(n_features - 1) + 1  # the least square that holds them
        height, width = given or (side, side)
    else:
        height, width = _pair(image_shape)
        found = given or (n_features,)
        if found not in {(height, width), (height * width,)}:
            raise InputError(
                f"X holds images of {' x '.join(map(str, found))} pixels, and image_shape is ({height}, {width}): pass "
                "such images, or image_shape='auto'."
            )
    if max(height, width) > SIDE:
        raise InputError(
            f"X holds {n_features} pixels an image, {height} x {width}, and at most {SIDE} x {SIDE} can be read: make "
            "them smaller, and colours grey."
        )
    return height, width


def _pair(image_shape: Any) -> tuple[int, int]:
    try:
        height, width = image_shape
    except (TypeError, ValueError):
        raise InputError(f"image_shape is {image_shape!r}; wanted: 'auto' or (height, width).") from None
    return whole(height, "image_shape[0]"), whole(width, "image_shape[1]")
