"""Convert tables with one image per row, the form that scikit-learn uses, to the input of the network."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE, short_repr, whole
from lenet._mnist_form import BOX
from lenet.errors import InputError

_FRAMED_AT_ONCE = 1024  # rows per block, which is copied in double precision


@dataclass(frozen=True)
class Framing:
    """How a classifier converts the rows of a table to images.

    Parameters
    ----------
    height, width : int
        Shape of the images in the rows; pixels missing at the end are background.
    low, high : float
        Values that become background, 0, and ink, 1; values outside this range are clipped.
    whole : bool
        Whether the values of the first fit were integers.
    """

    height: int
    width: int
    low: float
    high: float
    whole: bool = False

    def images(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return rows as images of shape (n, 28, 28): unchanged if uint8 of that size, otherwise float32.

        Images smaller than 20x20 are enlarged bilinearly, until their longer side has about 20 pixels. All are centred
        in 28x28.

        Examples
        --------
        >>> images = Framing(24, 24, 0, 16).images(np.arange(2 * 576).reshape(2, 576))
        >>> images.shape, images[0, 2, :6].tolist()
        ((2, 28, 28), [0.0, 0.0, 0.0, 0.0625, 0.125, 0.1875])
        """
        full_size = X.shape[1] == SIDE * SIDE and (self.height, self.width) == (SIDE, SIDE)
        if X.dtype == np.uint8 and full_size and (self.low, self.high) == (0, 255):
            return X.reshape(len(X), SIDE, SIDE)
        images = np.empty((len(X), SIDE, SIDE), np.float32)
        for start in range(0, len(X), _FRAMED_AT_ONCE):
            part = slice(start, start + _FRAMED_AT_ONCE)
            images[part] = self._framed(X[part])
        return images

    def _framed(self, X: NDArray[Any]) -> NDArray[np.float32]:
        scaled = (X.astype(np.float64) - self.low) / (self.high - self.low)
        rows = np.zeros((len(X), self.height * self.width), np.float32)
        with np.errstate(under="ignore"):
            np.clip(scaled, 0, 1, out=rows[:, : X.shape[1]], casting="same_kind")
        pixels = rows.reshape(len(X), self.height, self.width)
        if (self.height, self.width) == (SIDE, SIDE):
            return pixels
        down, across = self.interpolation()
        enlarged: NDArray[np.float32] = np.matmul(down @ pixels, across.T)
        return enlarged  # at most 1, since a row has at most two weights above 0

    def check(self, shape: tuple[int, int] | None) -> None:
        """Check the shape of images; None means a table, whose length is checked elsewhere."""
        if shape is not None and shape != (self.height, self.width):
            raise InputError(
                f"X has images of {shape[0]}x{shape[1]} pixels; expected {self.height}x{self.width}, as in fit."
            )

    def interpolation(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the interpolation weights of rows, (28, height), and of columns, (28, width)."""
        scale = max(1.0, BOX / max(self.height, self.width))
        return _interpolation_weights(self.height, scale), _interpolation_weights(self.width, scale)

    def check_scale(self, X: NDArray[Any]) -> None:
        """Reject pixels whose scale clearly differs from that of the first fit.

        After a fit on integers, it rejects booleans, fractions up to 1, pixels of 0 and 1 and, if the fit had none,
        clearly negative values, such as those of uint8 pixels read as int8. After any fit, it rejects X if a quarter of
        the pixels above the background exceed ten times the maximum of the fit; if they are fewer, they may be
        outliers. If the fit had negative values and X has none, the limit is twice the range of the fit instead.
        """
        if not X.size:
            return
        low, high = float(X.min()), float(X.max())
        limit = 10 * self.high if self.low >= 0 else 2 * (self.high - self.low)
        below = low < 0 <= self.low
        shrunk = (
            X.dtype.kind == "b"
            or (below and low < -self.high / 10)
            or ((high <= 1 or below) and not _are_whole(X))
            or ((low, high) == (0, 1) and self.high >= 10 and X.mean() >= 0.06)  # as in 96% of MNIST, binarised
        )
        if self.whole and self.high > 1 and shrunk:
            advice = f"Scale them back to {self.low:g} to {self.high:g}"
        elif max(low, self.low) >= 0 and high > limit and np.quantile(X[max(0, self.low) < X], 0.75) > limit:
            advice = "Scale them as for fit"
        else:
            return
        raise InputError(
            f"X has {X.dtype} pixels from {low:g} to {high:g}; expected {self.low:g} to {self.high:g}, as in fit. "
            f"{advice}."
        )


def _are_whole(X: NDArray[Any]) -> bool:
    if X.dtype.kind in "iub":
        return True
    parts = (X[start : start + _FRAMED_AT_ONCE] for start in range(0, len(X), _FRAMED_AT_ONCE))
    return not any((part % 1).any() for part in parts)


def _interpolation_weights(length: int, scale: float) -> NDArray[np.float32]:
    at = (length - 1) / 2 + (np.arange(SIDE) - (SIDE - 1) / 2) / scale  # position of each of 28 in the original
    if scale == 1:
        at = np.floor(at)  # whole pixels, so that images that are only shifted stay sharp
    weights: NDArray[np.float32] = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(length))).astype(np.float32)
    return weights


def framing_of(X: NDArray[Any], shape: tuple[int, int]) -> Framing:
    """Return the framing of a table of images of this shape, with the range described in `LeNetClassifier`.

    A table with negative values is assumed to be standardised; the limit of 3 standard deviations excludes outliers.
    """
    if X.dtype == np.uint8:
        return Framing(*shape, 0.0, 255.0, whole=True)
    low, high = float(X.min()), float(X.max())
    if not math.isfinite(high - low):
        raise InputError(f"X has values from {low:g} to {high:g}; expected a range that fits in a float.")
    if (low >= 0 and high <= 1) or low == high:
        low, high = min(0.0, low), max(1.0, high)
    elif low < 0:
        with np.errstate(over="ignore", invalid="ignore"):  # if squares overflow, nothing is an outlier
            mean, reach = float(X.mean(dtype=np.float64)), 3 * float(X.std(dtype=np.float64))
        low, high = max(low, mean - reach), min(high, mean + reach)
    return Framing(*shape, low, high, whole=_are_whole(X))


def shape_of(
    n_features: int, image_shape: str | Sequence[int], given: tuple[int, ...] | None, stacklevel: int = 4
) -> tuple[int, int]:
    """Return the height and width of the images in a table; warn if they must be guessed and are not square.

    The table has `n_features` columns; `given` is the height and width if X was an array of images. The warning has
    this stacklevel.

    Examples
    --------
    >>> shape_of(64, "auto", None), shape_of(96, (12, 8), None)
    ((8, 8), (12, 8))
    """
    if isinstance(image_shape, str):
        if image_shape != "auto":
            raise InputError(f"image_shape is {short_repr(image_shape)}; expected 'auto' or (height, width).")
        side = math.isqrt(n_features - 1) + 1  # of the smallest square that holds them
        height, width = given or (side, side)
        if given is None and n_features < side**2 <= SIDE**2:
            warnings.warn(
                f"X has {n_features} columns, which is not a square number. They are read as images of {side}x{side} "
                "pixels, padded with background. Set image_shape=(height, width) for images of another shape.",
                stacklevel=stacklevel,
            )
    else:
        height, width = _pair(image_shape)
        found = given or (n_features,)
        if found not in {(height, width), (height * width,)}:
            raise InputError(
                f"X has images of {'x'.join(map(str, found))} pixels; expected {height}x{width}, as in image_shape. "
                "Pass images of that size, or image_shape='auto'."
            )
    if max(height, width) > SIDE:
        if height * width != n_features:  # a table whose columns do not fill the square of "auto"
            advice = "Resize the images, and convert colours to grey."
            if n_features == SIDE * SIDE + 1:
                advice = "If one contains the labels, pass it as y instead."
            raise InputError(
                f"X has {n_features} columns; expected at most {SIDE * SIDE} ({SIDE}x{SIDE} pixels). {advice}"
            )
        raise InputError(
            f"X has {n_features} pixels per image, {height}x{width}; expected at most {SIDE}x{SIDE}. Convert "
            "digits with lenet.reading.as_mnist, or resize the images, and convert colours to grey."
        )
    return height, width


def _pair(image_shape: Any) -> tuple[int, int]:
    try:
        height, width = image_shape
    except (TypeError, ValueError):
        raise InputError(f"image_shape is {short_repr(image_shape)}; expected 'auto' or (height, width).") from None
    return whole(height, "image_shape[0]"), whole(width, "image_shape[1]")
