"""Decode pictures, from files and arrays, to grey levels."""

import io
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._extras import require
from lenet.errors import DataError, InputError, InputTypeError

PictureLike = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | ArrayLike  # or a Pillow image
PixelsAndShape = tuple[NDArray[np.uint8], tuple[int, ...]]  # the shape is that of the whole picture
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 64_000_000
MAX_SCANS = 100
_MAX_PATH = 4096  # characters: no file system allows more
MAX_ASPECT = 100  # the longer side over the shorter: a line of more digits is cut into several pictures
# Pixels in forms that Pillow decodes with several copies (WebP) or by a loop in Python (PNM as text or of odd ranges).
_MAX_COSTLY = {"WEBP": 16_000_000, "ppm_plain": 1_000_000, "ppm": 1_000_000}
_STRIP = 2**20  # pixels: larger pictures are converted in strips, which saves memory
_ORIENTATION = 0x112  # Exif's tag
_ON_ITS_SIDE = (5, 6, 7, 8)  # values of the tag
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as in Pillow


def read_picture(
    file: str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO,
    *,
    colour: bool = False,
    largest: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Decode a picture file to grey levels.

    The rotation in the Exif data is applied. If the file is an animation, its first frame is decoded. Transparent
    pixels become white, or black if the ink is light.

    Parameters
    ----------
    file : str, path-like, bytes or seekable binary file
        A PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file, or its content.
    colour : bool, default False
        Whether to return red, green and blue instead of grey levels.
    largest : int, default 64,000,000
        The maximum number of pixels, H times W.

    Returns
    -------
    ndarray of uint8, shape (H, W), or (H, W, 3) with `colour`
        From 0 (black) to 255 (white).

    Raises
    ------
    DataError
        If the file is not a picture in one of these formats, is damaged or not seekable, has more than `largest`
        pixels (WebP: 16 million; PNM as text or with a maximum other than 255 and 65,535: 1 million), has a side more
        than 100 times as long as the other, or is a JPEG of more than 100 scans; if a URL is given.
    InputError, InputTypeError
        If an argument has another type, `largest` is not at least 1, or a path has a null character or more than 4,096
        characters.
    OSError
        If the file cannot be opened.
    MissingExtraError
        If Pillow is not installed.

    Examples
    --------
    >>> read_picture(b"P5 2 1 255 " + bytes([0, 255]))
    array([[  0, 255]], dtype=uint8)
    """
    colour, largest = _checks.boolean(colour, "colour"), _checks.whole(largest, "largest")
    return _read(file, "RGB" if colour else "L", largest)[0]


def _read(file: Any, mode: str, largest: int = MAX_PIXELS, min_pixels: int = MAX_PIXELS) -> PixelsAndShape:
    """Return the pixels of a file, as `read_picture`; a JPEG of more than `min_pixels` pixels is reduced."""
    is_path = isinstance(file, str | os.PathLike)
    if isinstance(file, bytes | bytearray | memoryview):
        file = io.BytesIO(file)
    if not is_path and (isinstance(file, io.TextIOBase) or not hasattr(file, "seekable")):
        raise InputTypeError(f"file is of type {type(file).__name__}; expected a path, bytes or a binary file.")
    image_module = require("PIL.Image", "vision")
    name = os.fspath(file) if is_path else "The file"
    if "\0" in name or len(name) > _MAX_PATH:
        raise InputError(
            f"The path starts with {name[:20]!r} and has {len(name):,} characters; expected that of a file. Pass the "
            "content of a file as bytes."
        )
    try:
        # Pillow leaves open what it cannot read, such as a pipe.
        with warnings.catch_warnings(), Path(file).open("rb", 2**16) if is_path else nullcontext(file) as opened:
            warnings.simplefilter("ignore")  # about harmless defects, and sizes that are rejected below
            return _decoded(opened, name, mode, largest, min_pixels)
    except DataError:
        raise
    except InputError:
        raise DataError(
            f"{name} has floating-point pixels out of range, or NaN; expected [0, 1] or [0, 255]. Save it again."
        ) from None
    except image_module.DecompressionBombError:
        raise DataError(
            f"{name} has too many pixels; expected at most {largest / 1e6:g} million. Scale it down."
        ) from None
    except image_module.UnidentifiedImageError:
        size = Path(file).stat().st_size if is_path else file.seek(0, os.SEEK_END)
        if not size:
            raise DataError(f"{name} is empty; expected a picture. Save it again.") from None
        raise DataError(
            f"{name} is not a picture; expected a PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file. Convert other formats, "
            "such as HEIC, to one of these."
        ) from None
    except (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, OSError, EOFError, struct.error) as error:
        if isinstance(error, OSError) and error.filename is not None:  # it could not be opened
            if "://" in name:
                raise DataError(f"{name} is a URL; expected a file. Download it first.") from None
            raise
        raise DataError(f"{name} is a damaged picture ({error}). Copy or download it again.") from None


def as_grey(image: PictureLike) -> NDArray[np.uint8]:
    """Return an encoded picture, as for `read_picture`, or pixels, as for `prepare`, as uint8 grey levels (H, W).

    Raises
    ------
    InputError, InputTypeError
        If an array has another shape or type, or pixels out of range; if one side is more than 100 times as long as
        the other.
    DataError, OSError
        As for `read_picture`.
    """
    return reduced_grey(image, MAX_PIXELS)[0]


def reduced_grey(image: PictureLike, min_pixels: int) -> PixelsAndShape:
    """Return the grey levels of a picture, as `as_grey`, and the height and width of the picture.

    A JPEG is decoded to half its size, or less, if at least `min_pixels` remain. This takes much less time and memory.
    """
    is_encoded = isinstance(image, str | os.PathLike | bytes | bytearray) or callable(getattr(image, "read", None))
    if is_encoded or (isinstance(image, memoryview) and image.ndim == 1):  # others are arrays of pixels
        return _read(image, "L", min_pixels=min_pixels)
    if callable(getattr(image, "getbands", None)):  # of Pillow
        grey = _pixels_of(image, "L")
    elif image is None or isinstance(image, int | float | complex):
        expected = "a path, bytes, a file, or an array of pixels"
        raise InputTypeError(f"The image is of type {type(image).__name__}; expected {expected}.")
    else:
        grey = _grey_of_array(_checks.array(cast("ArrayLike", image), "image", "expected (H, W) or (H, W, 3)"))
    height, width = grey.shape
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise InputError(
            f"The image has {width}x{height} pixels; expected sides with a ratio of at most {MAX_ASPECT}. Crop it."
        )
    return grey, grey.shape


def _grey_of_array(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3, 4):  # of PyTorch
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not values.size or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))):
        advice = " Pass several pictures one at a time." if values.ndim in (3, 4) else ""
        raise InputError(
            f"The image has shape {values.shape}; expected (H, W), (H, W, 3) or (H, W, 4), with at least one pixel."
            + advice
        )
    values = _as_bytes(values)
    if values.ndim == 3 and values.shape[2] == 4:
        return _pixels_of(require("PIL.Image", "vision").fromarray(np.ascontiguousarray(values)), "L")
    if values.ndim == 3:
        values = np.round(values @ _LUMINANCE).astype(np.uint8)
    return np.ascontiguousarray(values)


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise InputError("The image has floating-point pixels outside [0, 1], or NaN. Divide by 255 or pass uint8.")
        scaled = np.round(np.multiply(values, 255, dtype=np.promote_types(values.dtype, "f4")))
        return np.asarray(scaled.astype(np.uint8))
    if values.dtype.kind not in "iu":
        raise InputTypeError(
            f"The image has dtype {values.dtype}; expected integers from 0 to 255, or floats in [0, 1]."
        )
    if values.min() < 0 or values.max() > 255:
        raise InputError(
            f"The image has pixels from {values.min()} to {values.max()}; expected integers from 0 to 255."
        )
    return values.astype(np.uint8)


def _decoded(file: BinaryIO, name: str, mode: str, largest: int, min_pixels: int) -> PixelsAndShape:
    image_module = require("PIL.Image", "vision")
    if not file.seekable():  # Pillow would first read it to its end
        raise DataError(f"{name} is a stream; expected a file. Pass its bytes, or save it to a file.")
    with image_module.open(file, formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > largest:
            raise DataError(
                f"{name} has {width}x{height} pixels; expected at most {largest / 1e6:g} million. Scale it down."
            )
        costly = _MAX_COSTLY.get(picture.tile[0][0] if picture.tile else picture.format, largest)
        if width * height > costly:
            raise DataError(
                f"{name} has {width}x{height} pixels; expected at most {costly / 1e6:g} million in this format. "
                "Save it as PNG."
            )
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise DataError(
                f"{name} has {width}x{height} pixels; expected sides with a ratio of at most {MAX_ASPECT}. Crop it."
            )
        if picture.format == "JPEG" and _scans(picture.fp) > MAX_SCANS:
            raise DataError(
                f"{name} is a JPEG with more than {MAX_SCANS} scans; expected at most {MAX_SCANS}. Save it again."
            )
        if mode == "L":  # a JPEG has grey levels, too, and they can be decoded alone
            factor = (min_pixels / (width * height)) ** 0.5  # Pillow enlarges no picture
            picture.draft(mode, (math.ceil(width * factor), math.ceil(height * factor)))
        shape = (width, height) if _orientation(picture) in _ON_ITS_SIDE else (height, width)
        return _pixels_of(picture, mode), shape


def _orientation(picture: Any) -> Any:
    return picture.getexif().get(_ORIENTATION, 1)


def _pixels_of(picture: Any, mode: str) -> NDArray[np.uint8]:
    """Return the upright pixels of a picture of Pillow, in the mode "L" or "RGB"."""
    if 0 in picture.size:
        raise InputError("The image has no pixels; expected at least one.")
    picture.load()
    if picture.mode == "F":  # levels up to 1 or 255, which Pillow would not scale, but clip
        white = 255 if picture.getextrema()[1] > 1 else 1
        pixels = _in_strips(picture, lambda strip: _as_bytes(np.asarray(strip) / np.float32(white)))
    elif picture.mode.startswith("I"):  # 16 and 32 bits: Pillow would clip them at 255
        white = 65535 if picture.getextrema()[1] > 255 else 255
        pixels = _in_strips(picture, lambda strip: np.round(np.asarray(strip).clip(0, white) * (255 / white)))
    elif picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        page = "black" if _is_light_on_nothing(picture) else "white"
        pixels = _in_strips(picture, lambda strip: _on_page(strip, mode, page))
    elif picture.mode == mode:
        pixels = np.asarray(picture)
    else:
        pixels = _in_strips(picture, lambda strip: _rgb(strip).convert(mode))
    if mode == "RGB" and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    return _upright(pixels, _orientation(picture))


def _rgb(picture: Any) -> Any:
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _in_strips(picture: Any, convert: Callable[[Any], Any]) -> NDArray[np.uint8]:
    """Convert a picture some rows at a time."""
    parts = [np.asarray(convert(strip), np.uint8) for strip in _strips(picture)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _strips(picture: Any) -> Iterator[Any]:
    width, height = picture.size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        yield picture if rows >= height else picture.crop((0, top, width, min(top + rows, height)))


def _on_page(picture: Any, mode: str, colour: str) -> Any:
    """Return a transparent picture on a background of the given colour."""
    with_alpha = picture.convert("RGBA")
    page = require("PIL.Image", "vision").new(mode, picture.size, colour)
    page.paste(with_alpha.convert("RGB").convert(mode), mask=with_alpha.getchannel("A"))
    return page


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an Exif orientation to pixels."""
    if orientation in _ON_ITS_SIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _scans(file: BinaryIO) -> int:
    """Return the number of scans in a JPEG, each of which takes time to decode; a progressive JPEG has about ten."""
    place, count, last = file.tell(), 0, b""
    file.seek(0)
    while count <= MAX_SCANS and (chunk := file.read(1 << 20)):  # in blocks, as the file may have any size
        count += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    file.seek(place)
    return count


def _is_light_on_nothing(picture: Any) -> bool:
    """Return whether most of a picture is transparent and the rest is light."""
    opacity = light = 0
    for strip in _strips(picture):
        with_alpha = strip.convert("RGBA")
        alpha = np.asarray(with_alpha.getchannel("A"), np.int64)
        opacity += int(alpha.sum())
        light += int((alpha * np.asarray(with_alpha.convert("RGB").convert("L"))).sum())
    return opacity <= 127 * picture.width * picture.height and light > 127 * opacity
