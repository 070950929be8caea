"""Decode pictures, from files and arrays, to grey levels."""

import io
import math
import mmap
import os
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._extras import require
from lenet._files import open_regular
from lenet.errors import DataError, InputError, InputTypeError
from lenet.reading.pixels import DAMAGED, grey_of_array, is_on_its_side, pixels_of

PixelsAndShape = tuple[NDArray[np.uint8], tuple[int, ...]]  # the shape is that of the whole picture
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 64_000_000
MAX_SCANS = 50
_SCAN = re.compile(rb"\xff\xda\0[\6\x08\x0a\x0c\x0e][\0-\4]")  # marker, length and number of components
_TILE_SIDES = 322, 323  # the tags TileWidth and TileLength (TIFF 6.0, section 15)
_MAX_PATH = 4096  # characters: no file system allows more
MAX_ASPECT = 100  # the longer side over the shorter: a line of more digits is cut into several pictures
# The maximum number of pixels of formats and modes that Pillow decodes with large copies (WebP, CMYK), or by a loop in
# Python (PNM as text or with odd ranges).
_MAX_COSTLY = {"WEBP": 16_000_000, "CMYK": 16_000_000, "ppm_plain": 1_000_000, "ppm": 1_000_000}


class PillowImage(Protocol):
    """A PIL.Image.Image, without importing Pillow."""

    def getbands(self) -> tuple[str, ...]:
        """Return the names of the channels."""


PictureFile = str | os.PathLike[str] | os.PathLike[bytes] | bytes | bytearray | memoryview | mmap.mmap | BinaryIO
PictureLike = PictureFile | PillowImage | ArrayLike


def read_picture(
    file: PictureFile,
    *,
    colour: bool = False,
    largest: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Decode a picture file to grey levels.

    The rotation in the Exif data is applied. Transparent pixels become white, or black if the ink is light.

    Parameters
    ----------
    file : str, path-like, bytes, mmap or seekable binary file
        A PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file, or its content.
    colour : bool, default False
        Whether to return red, green and blue instead of grey levels.
    largest : int, default 64,000,000
        The maximum number of pixels, H times W. Pillow's own limit is 178,956,970.

    Returns
    -------
    ndarray of uint8, shape (H, W), or (H, W, 3) with `colour`
        From 0 (black) to 255 (white).

    Raises
    ------
    DataError
        If the file is not a picture in one of these formats, is damaged or not seekable, has more than `largest`
        pixels (WebP and CMYK: 16 million; PNM as text or with a maximum other than 255 and 65,535: 1 million), has a
        side more than 100 times as long as the other, has several pages or frames, or is a JPEG of more than 50 scans
        or a TIFF with tiles of more than `largest` pixels; if a URL is given.
    InputError, InputTypeError
        If an argument has another type, `largest` is not at least 1, a file is closed, or a path is empty, has more
        than 4,096 characters, or has characters that no path can have.
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
    if not is_path and getattr(file, "closed", False):
        raise InputError("The file is closed; expected an open file. Open it again.")
    if isinstance(file, bytes | bytearray | memoryview | mmap.mmap):
        file = io.BytesIO(bytes(file))  # a memoryview may have gaps
    if not is_path and (isinstance(file, io.TextIOBase) or not hasattr(file, "seekable")):
        raise InputTypeError(f"file is of type {type(file).__name__}; expected a path, bytes or a binary file.")
    image_module = require("PIL.Image", "vision")
    name = os.fsdecode(file) if is_path else "The file"
    if not name or "\0" in name or len(name) > _MAX_PATH:
        raise InputError(
            f"The path starts with {name[:20]!r} and has {len(name):,} characters; expected the path of a file. Pass "
            "the content of a file as bytes."
        )
    try:
        # Pillow does not close files that it cannot read.
        with open_regular(name) if is_path else nullcontext(file) as opened:
            return _decoded(opened, name, mode, largest, min_pixels)
    except DataError:
        raise
    except InputError as error:
        raise DataError(f"{name}: {error}") from None
    except UnicodeEncodeError:
        raise InputError(f"The path {name!r} cannot be encoded; expected a valid path. Rename the file.") from None
    except image_module.DecompressionBombError:
        most = min(largest, 2 * image_module.MAX_IMAGE_PIXELS) / 1e6
        raise DataError(f"{name} has too many pixels; expected at most {most:g} million. Scale it down.") from None
    except image_module.UnidentifiedImageError:
        size = Path(name).stat().st_size if is_path else file.seek(0, os.SEEK_END)
        if not size:
            raise DataError(f"{name} is empty; expected a picture. Save it again.") from None
        raise DataError(
            f"{name} is not a picture; expected a PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file. Convert other formats, "
            "such as HEIC, to one of these."
        ) from None
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # it could not be opened
            if "://" in name:
                raise DataError(f"{name} is a URL; expected a file. Download it first.") from None
            raise
        raise DataError(f"{name} is a damaged picture ({error}). Copy or download it again.") from None


def as_grey(image: PictureLike) -> NDArray[np.uint8]:
    """Return the grey levels, uint8 of shape (H, W), of an encoded picture (see `read_picture`) or of pixels.

    Pixels are an array or a Pillow image, as for `prepare`.
    """
    return reduced_grey(image, MAX_PIXELS)[0]


def reduced_grey(image: PictureLike, min_pixels: int) -> PixelsAndShape:
    """Return the grey levels of a picture, as `as_grey`, and the height and width of the picture.

    A JPEG is decoded to half its size, or less, if at least `min_pixels` remain. This takes much less time and memory.
    """
    is_encoded = isinstance(image, str | os.PathLike | bytes | bytearray) or callable(getattr(image, "read", None))
    if is_encoded or (isinstance(image, memoryview) and image.ndim == 1):  # others are arrays of pixels
        return _read(image, "L", min_pixels=min_pixels)
    if callable(getattr(image, "getbands", None)):  # a Pillow image
        try:
            cast("Any", image).load()
        except (*DAMAGED, AssertionError, AttributeError) as error:  # depending on the version of Pillow
            raise InputError(
                f"The image is closed or damaged ({error!r}); expected an open one. Open it again."
            ) from None
        grey = pixels_of(image, "L")
    elif image is None or isinstance(image, int | float | complex):
        expected = "a path, bytes, a file, or an array of pixels"
        raise InputTypeError(f"The image is of type {type(image).__name__}; expected {expected}.")
    else:
        grey = grey_of_array(_checks.array(cast("ArrayLike", image), "image", "expected (H, W) or (H, W, 3)"))
    height, width = grey.shape
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise InputError(
            f"The image has {width}x{height} pixels; expected sides with a ratio of at most {MAX_ASPECT}. Crop it."
        )
    return grey, grey.shape


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
        if picture.format == "TIFF" and _tile_area(picture) > largest:
            raise DataError(
                f"{name} is a TIFF with tiles of more than {largest / 1e6:g} million pixels, which are decoded whole. "
                "Save it as PNG."
            )
        codec = picture.tile[0][0] if picture.tile else picture.format
        costly = min(_MAX_COSTLY.get(kind, largest) for kind in (codec, picture.mode))
        if width * height > costly:
            raise DataError(
                f"{name} has {width}x{height} pixels; expected at most {costly / 1e6:g} million in this format. "
                "Save it as a PNG in RGB."
            )
        if picture.format != "MPO" and getattr(picture, "is_animated", False):  # phones add previews to MPO files
            raise DataError(f"{name} has several pages or frames; expected one. Save each as a file.")
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise DataError(
                f"{name} has {width}x{height} pixels; expected sides with a ratio of at most {MAX_ASPECT}. Crop it."
            )
        if picture.format in ("JPEG", "MPO") and _scans(picture.fp) > MAX_SCANS:
            raise DataError(
                f"{name} is a JPEG with more than {MAX_SCANS} scans; expected at most {MAX_SCANS}. Save it again."
            )
        if mode == "L":  # a JPEG has grey levels, too, and they can be decoded alone
            factor = (min_pixels / (width * height)) ** 0.5  # Pillow enlarges no picture
            picture.draft(mode, (math.ceil(width * factor), math.ceil(height * factor)))
        shape = (width, height) if is_on_its_side(picture) else (height, width)
        return pixels_of(picture, mode), shape


def _tile_area(picture: Any) -> int:
    """Return the number of pixels of a tile in a TIFF, which may be larger than the picture; 0 if it has strips."""
    width, length = (int(picture.tag_v2.get(tag, 0)) for tag in _TILE_SIDES)
    return width * length


def _scans(file: BinaryIO) -> int:
    """Return the number of scans in a JPEG, each of which takes time to decode; a progressive JPEG has about ten."""
    place, count, last = file.tell(), 0, b""
    file.seek(0)
    while count <= MAX_SCANS and (chunk := file.read(1 << 20)):  # in blocks, as the file may have any size
        count += len(_SCAN.findall(last + chunk))
        last = chunk[-4:]
    file.seek(place)
    return count
