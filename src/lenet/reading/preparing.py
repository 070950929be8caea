"""One digit in a picture, made to look like MNIST's: light on dark, 20x20, its centre of mass in the middle."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet._extras import require
from lenet._mnist_form import mnist_form
from lenet.errors import InputError, InputTypeError
from lenet.reading.ink import find_ink
from lenet.reading.strokes import INK

_LARGEST = 640  # pixels on the longer side that one digit needs
_SPECK = 0.04  # of the largest part's area
_FRAME = 0.9  # of the picture's sides


def prepare(image: ArrayLike) -> NDArray[np.uint8]:
    """Make a picture of one digit look like MNIST's.

    Ink is told from paper whichever is darker, shadows are levelled, specks and a frame around the digit are left out.
    The digit is cropped, fitted with its aspect into 20x20, its strokes brought to a usual width, and placed with its
    centre of mass in the middle of 28x28, as the paper describes (section III.A). A 28x28 picture whose border is
    already dark is taken as it is.

    Parameters
    ----------
    image : array_like of shape (H, W), or (H, W, 3) in RGB
        Of uint8, or floating from 0, black, to 1, white.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
        0 background to 255 ink; all 0 where there is no ink.

    Raises
    ------
    InputError, InputTypeError
        If the image is no such array, empty, or has pixels that are not finite or outside of [0, 1].
    MissingExtraError
        If OpenCV is not installed.

    Examples
    --------
    >>> picture = np.full((100, 100), 255, np.uint8)
    >>> picture[20:80, 45:55] = 0
    >>> image = prepare(picture)
    >>> image.shape, int(image[14, 14]), int(image[0, 0])
    ((28, 28), 255, 0)
    """
    cv2: Any = require("cv2", "vision")
    grey = as_grey(image)
    if grey.shape == (SIDE, SIDE):
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        if 2 * np.count_nonzero(border < 64) > border.size:  # the median is dark
            return grey.copy()
    scale = _LARGEST / max(grey.shape)
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in reversed(grey.shape))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    digit = _digit_alone(cv2, find_ink(grey))
    return mnist_form(digit) if digit is not None else np.zeros((SIDE, SIDE), np.uint8)


def as_grey(image: ArrayLike) -> NDArray[np.uint8]:
    """Return an image as grey levels of uint8, shape (H, W).

    Raises
    ------
    InputError, InputTypeError
        If it is no image.
    """
    values = _checks.array(image, "image", "(H, W) or (H, W, 3) is wanted")
    if values.ndim not in (2, 3) or not values.size or (values.ndim == 3 and values.shape[2] != 3):
        raise InputError(f"The image has shape {values.shape}; wanted: (H, W), or (H, W, 3), with at least one pixel.")
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise InputError(
                "The image's floating pixels must be finite and lie in [0, 1]: divide by 255 or pass uint8."
            )
        values = np.round(np.multiply(values, 255, dtype=np.promote_types(values.dtype, "f4"))).astype(np.uint8)
    if values.dtype != np.uint8:
        raise InputTypeError(f"The image holds {values.dtype}, and uint8 or floating grey levels are wanted.")
    if values.ndim == 3:  # the luminance of ITU-R 601, as Pillow's
        values = np.round(values @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.ascontiguousarray(values)


def _digit_alone(cv2: Any, ink: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the ink of the digit, cropped, without specks and frames; None where there is none."""
    count, names, facts, _ = cv2.connectedComponentsWithStats(np.asarray(ink >= INK, np.uint8), connectivity=8)
    if count < 2:
        return None
    left, top, width, height, area = facts[1:].T
    is_frame = (width >= _FRAME * ink.shape[1]) & (height >= _FRAME * ink.shape[0]) & (area < 0.25 * width * height)
    if is_frame.any() and (area[~is_frame] > 16).any():
        area = np.where(is_frame, 0, area)
    kept = area >= _SPECK * area.max()
    if count > 2 and not kept.all():
        ink = np.where(_near(cv2, np.isin(names, 1 + np.flatnonzero(kept))), ink, 0).astype(np.uint8)
    left, top, right, bottom = left[kept].min(), top[kept].min(), (left + width)[kept].max(), (top + height)[kept].max()
    return ink[top:bottom, left:right]


def _near(cv2: Any, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask with the soft edges of strokes around it."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)), bool)
