"""One digit in a picture, made to look like MNIST's: light on dark, 20x20, its centre of mass in the middle."""

import os
import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import DataError, InputError, InputTypeError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
LARGEST = 64_000_000
_SIDE, _BOX = 28, 20


def read_picture(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode a picture file to grey levels, as it is meant to be seen.

    The camera's rotation is applied, what is transparent becomes white, and of an animation the first frame is taken.

    Parameters
    ----------
    path : path-like
        A PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file of at most 64 megapixels.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        0 black to 255 white.

    Raises
    ------
    DataError
        If it is not such a file, too large, or damaged.
    OSError
        If it cannot be read.
    MissingExtraError
        If Pillow is not installed.
    """
    image_module = require("PIL.Image", "vision")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's: of blemishes that do not matter, and of sizes that we refuse
            return _decoded(path)
    except DataError:
        raise
    except image_module.DecompressionBombError:
        raise DataError(f"{path} has too many pixels: at most 64 megapixels are read, reduce it.") from None
    except image_module.UnidentifiedImageError:
        raise DataError(f"{path} is no picture that can be read: give a PNG, JPEG, BMP, GIF, TIFF or WebP.") from None
    except (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error) as error:
        raise DataError(f"{path} is a damaged picture ({error}).") from None
    except OSError as error:
        if error.filename is not None:  # it could not be opened
            raise
        raise DataError(f"{path} is a damaged picture ({error}).") from None


def _decoded(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    image_module = require("PIL.Image", "vision")
    operations = require("PIL.ImageOps", "vision")
    with image_module.open(path, formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > LARGEST:
            raise DataError(f"{path} has {width} x {height} pixels: at most 64 megapixels are read, reduce it.")
        picture = operations.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 and 32 bits: Pillow would clip them at 255
            levels = np.asarray(picture, np.float64)
            white = 65535 if levels.max() > 255 else 255
            return np.round(levels.clip(0, white) * (255 / white)).astype(np.uint8)
        with_alpha = picture.convert("RGBA")
        page = image_module.new("RGBA", with_alpha.size, "white")
        return np.asarray(image_module.alpha_composite(page, with_alpha).convert("L"))


def prepare(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Make a picture of one digit look like MNIST's.

    The background is told from the ink by the picture's border, the digit cropped, fitted with its aspect into 20x20
    and placed with its centre of mass in the middle of 28x28, as the paper describes (section III.A). A 28x28 picture
    whose border is already dark is taken as it is.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W)

    Returns
    -------
    ndarray of uint8, shape (28, 28)
        0 background to 255 ink; all 0 where there is no ink.

    Raises
    ------
    InputError, InputTypeError
        If the picture is no such array, or empty.
    MissingExtraError
        If Pillow is not installed.

    Examples
    --------
    >>> picture = np.full((100, 100), 255, np.uint8)
    >>> picture[20:80, 45:55] = 0
    >>> image = prepare(picture)
    >>> image.shape, int(image[14, 14]), int(image[0, 0])
    ((28, 28), 255, 0)
    """
    if picture.dtype != np.uint8:
        raise InputTypeError(f"The picture holds {picture.dtype}, and uint8 grey levels are wanted.")
    if picture.ndim != 2 or not picture.size:
        raise InputError(f"The picture has shape {picture.shape}, and (H, W) with at least one pixel is wanted.")
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    background = float(np.median(border))
    if picture.shape == (_SIDE, _SIDE) and background < 64:
        return picture.copy()
    sign = -1.0 if background >= 128 else 1.0  # dark ink on light paper, or light on dark
    ink = np.maximum(sign * (picture - background), 0)
    if ink.max() < 32:  # nothing but paper
        return np.zeros((_SIDE, _SIDE), np.uint8)
    ink *= 255 / ink.max()
    rows, columns = np.flatnonzero((ink > 96).any(axis=1)), np.flatnonzero((ink > 96).any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _centred(_fitted(digit))


def _fitted(digit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the digit scaled, with anti-aliasing, so that its longer side is 20 pixels."""
    image_module = require("PIL.Image", "vision")
    scale = _BOX / max(digit.shape)
    size = [max(1, round(length * scale)) for length in reversed(digit.shape)]
    small = image_module.fromarray(digit.astype(np.float32)).resize(size, image_module.Resampling.BILINEAR)
    fitted: NDArray[np.float64] = np.asarray(small, np.float64)
    fitted *= 255 / max(1.0, float(fitted.max()))
    return fitted


def _centred(digit: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return 28x28 pixels with the digit's centre of mass as near the middle as it fits."""
    out = np.zeros((_SIDE, _SIDE), np.uint8)
    starts = []
    for axis, length in enumerate(digit.shape):
        mass = digit.sum(axis=1 - axis)
        centre = float((np.arange(length) * mass).sum() / mass.sum())
        starts.append(min(max(round((_SIDE - 1) / 2 - centre), 0), _SIDE - length))
    top, left = starts
    out[top : top + digit.shape[0], left : left + digit.shape[1]] = np.round(digit)
    return out
