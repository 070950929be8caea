"""Picture files of every kind, decoded to grey levels."""

import os
import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
LARGEST = 64_000_000
MOST_SCANS = 100


def read_picture(
    file: str | os.PathLike[str] | BinaryIO, *, colour: bool = False, largest: int = LARGEST
) -> NDArray[np.uint8]:
    """Decode a picture file to grey levels, as it is meant to be seen.

    The camera's rotation is applied, and of an animation the first frame is taken. What is transparent becomes white,
    or black where light ink stands on it.

    Parameters
    ----------
    file : path-like, or a binary file that is open, and can be sought in
        A PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file.
    colour : bool, default False
        Whether to return red, green and blue.
    largest : int, default 64,000,000
        The most pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W) or (H, W, 3)
        0 black to 255 white.

    Raises
    ------
    DataError
        If it is not such a file, too large, or damaged.
    OSError
        If it cannot be read.
    MissingExtraError
        If Pillow is not installed.

    Examples
    --------
    >>> import io
    >>> read_picture(io.BytesIO(b"P5 2 1 255 " + bytes([0, 255])))
    array([[  0, 255]], dtype=uint8)
    """
    image_module = require("PIL.Image", "vision")
    name, mode = os.fspath(file) if isinstance(file, str | os.PathLike) else "This", "RGB" if colour else "L"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's: of blemishes that do not matter, and of sizes that we refuse
            if not isinstance(file, str | os.PathLike):
                return _decoded(file, name, mode, largest)
            with Path(file).open("rb") as opened:  # Pillow would not close what it cannot read, such as a pipe
                return _decoded(opened, name, mode, largest)
    except DataError:
        raise
    except image_module.DecompressionBombError:
        raise DataError(f"{name} has too many pixels: at most {largest / 1e6:g} million are read, reduce it.") from None
    except image_module.UnidentifiedImageError:
        raise DataError(f"{name} is no picture that can be read: give a PNG, JPEG, BMP, GIF, TIFF or WebP.") from None
    except (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error) as error:
        raise DataError(f"{name} is a damaged picture ({error}).") from None
    except OSError as error:
        if error.filename is not None:  # it could not be opened
            raise
        raise DataError(f"{name} is a damaged picture ({error}).") from None


def _decoded(file: BinaryIO, name: str, mode: str, largest: int) -> NDArray[np.uint8]:
    image_module = require("PIL.Image", "vision")
    operations = require("PIL.ImageOps", "vision")
    if not file.seekable():  # Pillow would read it to its end first
        raise DataError(f"{name} is a stream, and a file is wanted: save it first.")
    with image_module.open(file, formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > largest:
            raise DataError(
                f"{name} has {width} x {height} pixels: at most {largest / 1e6:g} million are read, reduce it."
            )
        if picture.format == "JPEG" and _scans(picture.fp) > MOST_SCANS:
            raise DataError(
                f"{name} is a JPEG of more than {MOST_SCANS} scans, each of which takes time: save it anew."
            )
        picture = operations.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 and 32 bits: Pillow would clip them at 255
            grey = _of_many_levels(picture)
            return grey if mode == "L" else np.repeat(grey[..., np.newaxis], 3, axis=2)
        if picture.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in picture.info:
            return np.asarray(picture.convert("RGB").convert(mode))
        with_alpha = picture.convert("RGBA")
        page = image_module.new(mode, picture.size, "black" if _is_light_on_nothing(with_alpha) else "white")
        page.paste(with_alpha.convert("RGB").convert(mode), mask=with_alpha.getchannel("A"))
        return np.asarray(page)


def _scans(file: BinaryIO) -> int:
    """Return how many times a JPEG goes over its pixels; a progressive one has some ten scans."""
    place, count, last = file.tell(), 0, b""
    file.seek(0)
    while count <= MOST_SCANS and (chunk := file.read(1 << 20)):  # of a file of any size
        count += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    file.seek(place)
    return count


def _of_many_levels(picture: Any) -> NDArray[np.uint8]:
    """Return the grey levels of a picture of 16 or 32 bits, which Pillow would clip at 255; some rows at a time."""
    levels = np.asarray(picture)
    white = 65535 if levels.max() > 255 else 255
    grey = np.empty(levels.shape, np.uint8)
    for top in range(0, len(levels), 256):
        rows = slice(top, top + 256)
        grey[rows] = np.round(levels[rows].clip(0, white) * (255 / white))
    return grey


def _is_light_on_nothing(picture: Any) -> bool:
    """Return whether most of a picture is transparent and the rest is light."""
    alpha = np.asarray(picture.getchannel("A"), np.float32)
    if alpha.mean() > 127 or not alpha.any():
        return False
    return bool(np.average(np.asarray(picture.convert("RGB").convert("L")), weights=alpha) > 127)
