"""Convert arrays and Pillow images to upright grey levels, or to red, green and blue."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import InputError, InputTypeError

_STRIP = 2**20  # pixels: larger pictures are converted in strips, which saves memory
_MAX_DARK = 0.1  # the fraction of dark pixels in light ink on a transparent page
# The exceptions that Pillow raises for damaged pictures and damaged Exif data.
DAMAGED = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
_ORIENTATION = 0x112  # Exif's tag
_ON_ITS_SIDE = (5, 6, 7, 8)  # values of the tag


def grey_of_array(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the grey levels of an array of pixels, as for `prepare`."""
    if values.dtype.kind in "OSU":
        raise InputTypeError(f"The image has dtype {values.dtype}; expected pixels. Pass one path or image at a time.")
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3, 4):  # as in PyTorch
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not values.size or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))):
        advice = " Pass several pictures one at a time." if values.ndim in (3, 4) else ""
        raise InputError(
            f"The image has shape {values.shape}; expected (H, W), (H, W, 1), (H, W, 3), (H, W, 4), (1, H, W) or "
            f"(3, H, W), with at least one pixel.{advice}"
        )
    values = np.ascontiguousarray(_as_bytes(values))
    return values if values.ndim == 2 else pixels_of(require("PIL.Image", "vision").fromarray(values), "L")


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise InputError(
                "The image has floating-point pixels outside [0, 1], or NaN. Scale them to [0, 1] or pass uint8."
            )
        scaled = np.round(np.multiply(values, 255, dtype=np.promote_types(values.dtype, "f4")))
        return np.asarray(scaled.astype(np.uint8))
    if values.dtype.kind not in "iu":
        raise InputTypeError(
            f"The image has dtype {values.dtype}; expected integers from 0 to 255, or floats in [0, 1]."
        )
    if values.min() < 0 or values.max() > 255:
        raise InputError(
            f"The image has pixels from {values.min()} to {values.max()}; expected integers from 0 to 255. For 16 "
            'bits, pass (image // 257).astype("uint8"), or the path of the file.'
        )
    return values.astype(np.uint8)


def is_on_its_side(picture: Any) -> bool:
    """Return whether a Pillow image must be turned by 90 or 270 degrees to be upright."""
    return _orientation(picture) in _ON_ITS_SIDE


def _orientation(picture: Any) -> Any:
    try:
        return picture.getexif().get(_ORIENTATION, 1)
    except DAMAGED:
        return 1


def pixels_of(picture: Any, mode: str) -> NDArray[np.uint8]:
    """Return the upright pixels of a Pillow image, in the mode "L" or "RGB"."""
    if 0 in picture.size:
        raise InputError("The image has no pixels; expected at least one.")
    picture.load()
    if picture.mode == "La":  # Pillow converts it to LA only
        picture = picture.convert("LA")
    if picture.mode == "F":  # levels up to 1 or 255, which Pillow would not scale, but clip
        white = 255 if picture.getextrema()[1] > 1 else 1
        try:
            pixels = _in_strips(picture, lambda strip: _as_bytes(np.asarray(strip) / np.float32(white)))
        except InputError:
            raise InputError(
                "The image has floating-point pixels outside [0, 1] and [0, 255], or NaN. Scale them to [0, 1]."
            ) from None
    elif picture.mode.startswith("I"):  # 16 and 32 bits: Pillow would clip them at 255
        # Pillow has no extrema of big-endian pixels.
        highest = max(np.asarray(strip).max() for strip in _strips(picture))
        if highest > 65535:
            raise InputError(
                f"The image has pixels up to {highest:,}; expected integers up to 65,535. Scale them to 0 to 65,535."
            )
        white = 65535 if highest > 255 else 255
        pixels = _in_strips(picture, lambda strip: np.round(np.asarray(strip).clip(0, white) * (255 / white)))
    elif picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        page = "black" if _is_light_on_transparent(picture) else "white"
        pixels = _in_strips(picture, lambda strip: _on_page(strip, mode, page))
    elif picture.mode == mode:
        pixels = np.asarray(picture)
    else:
        pixels = _in_strips(picture, lambda strip: strip.convert("RGB").convert(mode))
    if mode == "RGB" and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    return _upright(pixels, _orientation(picture))


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


def _is_light_on_transparent(picture: Any) -> bool:
    """Return whether most of a picture is transparent, and most of the rest is light.

    If no pixel is partly transparent, hardly any may be dark: if only the exact colour of paper is transparent, many
    light pixels remain around dark ink.
    """
    opacity = dark = partial = 0
    for strip in _strips(picture):
        with_alpha = strip.convert("RGBA")
        alpha = np.asarray(with_alpha.getchannel("A"), np.int64)
        opacity += int(alpha.sum())
        partial += int(np.count_nonzero((alpha > 0) & (alpha < 255)))
        dark += int(alpha[np.asarray(with_alpha.convert("RGB").convert("L")) < 128].sum())
    return opacity <= 127 * picture.width * picture.height and dark < (0.5 if partial else _MAX_DARK) * opacity
