"""Convert a picture of one digit, or the images of other data sets, to images like MNIST's."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet._checks import SIDE, array, boolean, unit_floats
from lenet._extras import cv2
from lenet._mnist_form import BOX, FINE, deslanted, mnist_form, resized, square
from lenet.errors import InputError
from lenet.reading.coarse import border_of
from lenet.reading.ink import find_darkness, normalised
from lenet.reading.pictures import PictureLike, as_grey
from lenet.reading.strokes import Strokes, box_around, is_connected, mask_of, strokes_of

_MAX_SIDE = 640  # pixels, which suffice for one digit
_SPECK = 0.04  # fraction of the largest stroke's area
# The same at the border; and for strokes at the left or right border that are taller than wide, as parts of neighbours.
_SPECK_AT_BORDER, _NEIGHBOUR = 0.1, 0.6
_FRAME = 0.9  # fraction of the picture's sides
# The fraction of each side along which a frame runs; it is lower for digits cropped to their ink, and for rings.
_SIDE_OF_FRAME, _SIDE_OF_RING = 0.75, 0.5
_MAX_RING = 1.2  # height over width of a ring: a slash may be inside a 0
_MIN_INSIDE = 0.25  # heights of a frame: the minimum height of a stroke inside, unless the frame fills the picture
_EDGE = 0.12  # of the picture's shorter side: the strip along its border in which lines may be parts of a frame
_MAX_FILLED, _MIN_SIDE = 0.25, 8  # the fraction of its box that a frame covers; pixels
_MAX_PEN = 0.8  # the thickness of such lines over that of the digit: the strokes of symbols are thicker
_MIN_AREA = 16  # pixels of a stroke that may be a digit


def prepare(image: PictureLike, *, dark_on_light: bool | None = None) -> NDArray[np.uint8]:
    """Convert a picture of one digit to an image like MNIST's.

    The ink may be dark on light or light on dark, including on a dark panel such as a button, and the picture may be
    cropped to the ink. Shadows, specks, parts of neighbours at the left and right border, lines along the border, and a
    frame around the digit are removed. The digit is cropped, scaled to fit into 20x20 pixels, and given strokes of the
    usual width. Its centre of mass is placed in the middle of 28x28 pixels, as the paper describes (section III.A). A
    28x28 picture with a dark border is returned unchanged, unless `dark_on_light` is true.

    Parameters
    ----------
    image : path-like, bytes, binary file, PIL.Image.Image or array_like
        An encoded picture, as for `read_picture`, or pixels. Pixels are integers from 0 (black) to 255 (white) or
        floats in [0, 1], of shape (H, W), (H, W, 1), (H, W, 3) for RGB, (H, W, 4) for RGBA or, as in PyTorch,
        (1, H, W) or (3, H, W). A Pillow image of floats has pixels in [0, 1] or up to 255.
    dark_on_light : bool, optional
        Whether the ink is dark on light; by default, detected in the picture. Dark panels on light are inverted first.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
        From 0 (background) to 255 (ink); all 0 if there is no ink.

    Raises
    ------
    InputError, InputTypeError
        If an array has another shape or type, is empty, or has pixels out of range.
    DataError, OSError
        As for `read_picture`.
    MissingExtraError
        If OpenCV is not installed, or Pillow, which files and colours require.

    Examples
    --------
    >>> picture = np.full((100, 100), 255, np.uint8)
    >>> picture[20:80, 45:55] = 0
    >>> image = prepare(picture)
    >>> image.shape, int(image[14, 14]), int(image[0, 0])
    ((28, 28), 255, 0)
    """
    dark_on_light = None if dark_on_light is None else boolean(dark_on_light, "dark_on_light")
    grey = as_grey(image)
    if grey.shape == (SIDE, SIDE) and not dark_on_light:
        border = border_of(grey)
        if 2 * np.count_nonzero(border < 64) > border.size:  # the median is dark
            return grey.copy()
    darkness = find_darkness(shrunk(grey), dark_on_light, cropped=True)
    digit = _without_specks(normalised(darkness))
    return mnist_form(digit) if digit is not None else np.zeros((SIDE, SIDE), np.uint8)


def as_mnist(images: ArrayLike, *, deslant: bool = True) -> NDArray[np.uint8]:
    """Convert images of single digits from other data sets to MNIST's format.

    The ink must be light on dark, as in MNIST; `prepare` accepts any picture. An even background, specks, frames, and
    parts of neighbours at the left or right edge are removed. Each digit is cropped, made upright if its strokes lean
    by more than 11 degrees on average, scaled so that its longer side has 20 pixels, given strokes of the usual width,
    and centred by mass in 28x28 pixels (LeCun et al. 1998, section III.A).

    Parameters
    ----------
    images : array_like of uint8 or floats, shape (n, height, width)
        From 0 (background) to 255 (ink), or from 0 to 1.
    deslant : bool, default True
        Whether to make digits upright. Pass False for symbols that differ only in slant, such as a slash and a bar.

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)
        From 0 (background) to 255 (ink); all 0 if there is no ink.

    Raises
    ------
    InputError, InputTypeError
        If `images` has another shape or type, or pixels out of range.
    MissingExtraError
        If OpenCV is not installed.

    Examples
    --------
    >>> large = np.zeros((1, 60, 90))
    >>> large[0, 10:50, 60:70] = 1
    >>> image = as_mnist(large)[0]
    >>> np.flatnonzero(image.any(axis=1))[[0, -1]], int(image[14, 14])
    (array([ 4, 23]), 255)
    """
    deslant = boolean(deslant, "deslant")
    pixels = array(images, "images", "expected shape (n, height, width)")
    if pixels.ndim != 3 or 0 in pixels.shape[1:]:
        raise InputError(f"images has shape {pixels.shape}; expected (n, height, width).")
    if pixels.dtype != np.uint8:
        unit_floats(pixels, "images")
    converted = np.zeros((len(pixels), SIDE, SIDE), np.uint8)
    for n, image in enumerate(pixels):
        levels = np.ascontiguousarray(image, np.uint8 if image.dtype == np.uint8 else np.float32)
        digit = _without_specks(cv2.normalize(levels, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U))
        if digit is not None:
            digit = resized(digit, FINE * BOX / max(digit.shape))
            converted[n] = mnist_form(deslanted(digit) if deslant else digit)
    return converted


def shrunk(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a large picture to a size that is sufficient for one digit."""
    return resized(grey, min(1.0, _MAX_SIDE / max(grey.shape)))


def _without_specks(ink: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return ink cropped to the digit, without specks or a frame, or None if there is no digit."""
    mask = mask_of(ink)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    window = np.s_[top : top + height, left : left + width]
    if is_connected(mask[window]):
        return ink[window]
    strokes = strokes_of(ink)
    areas = strokes.areas
    is_frame = _are_lines_at_border(strokes)
    for n in strokes.hollow(_MIN_SIDE, _MAX_FILLED):
        is_frame[n] |= _is_frame(strokes, n)
    if is_frame.any() and (areas[~is_frame] > _MIN_AREA).any():
        areas = np.where(is_frame, 0, areas)
    at_side = (strokes.boxes[:, 0] == 0) | (strokes.boxes[:, 2] == ink.shape[1])
    is_neighbour = at_side & (strokes.heights > strokes.widths)
    least = np.where(is_neighbour, _NEIGHBOUR, np.where(strokes.at_border, _SPECK_AT_BORDER, _SPECK))
    kept = areas >= least * areas.max()
    if not kept.all():
        with_soft_edges = cv2.dilate(strokes.pixels_of(kept).view(np.uint8), square(5))
        ink = np.where(with_soft_edges, ink, 0).astype(np.uint8)
    left, top, right, bottom = box_around(strokes.boxes[kept])
    return ink[top:bottom, left:right]


def _is_frame(strokes: Strokes, n: int) -> bool:
    """Return whether a stroke runs along all four sides of the picture, or is a box or ring around a high stroke."""
    width, height = strokes.widths[n], strokes.heights[n]
    fills_picture = height >= _FRAME * strokes.labels.shape[0] and width >= _FRAME * strokes.labels.shape[1]
    is_around_stroke = _height_inside(strokes, n) >= _MIN_INSIDE * height
    if not fills_picture and not is_around_stroke:
        return False
    stroke = strokes.mask(n)
    band_y, band_x = -(-height // 10), -(-width // 10)
    sides = (stroke[:band_y], stroke[-band_y:], stroke[:, :band_x].T, stroke[:, -band_x:].T)
    shortest = min(side.any(axis=0).mean() for side in sides)
    may_be_ring = is_around_stroke and height <= _MAX_RING * width
    return bool(shortest >= (_SIDE_OF_RING if may_be_ring else _SIDE_OF_FRAME))


def _height_inside(strokes: Strokes, n: int) -> int:
    """Return the height of the highest stroke in the box of another one; 0 if there is none."""
    inside = strokes.labels[strokes.window(n)]
    others = np.unique(inside[(inside > 0) & (inside != n + 1)]).astype(np.int64) - 1
    starts, stops = strokes.boxes[others, :2], strokes.boxes[others, 2:]
    are_inside = ((starts > strokes.boxes[n, :2]) & (stops < strokes.boxes[n, 2:])).all(axis=1)
    return int(strokes.heights[others][are_inside].max(initial=0))


def _are_lines_at_border(strokes: Strokes) -> NDArray[np.bool_]:
    """Return whether each stroke is thin, near the border, along a side, and longer than the ink in the middle."""
    shape = strokes.labels.shape
    edge = max(1, round(_EDGE * min(shape)))
    in_middle = strokes.areas_in(np.s_[edge:-edge, edge:-edge]) > 0
    are_others = in_middle & (strokes.areas > _MIN_AREA)
    starts, stops = strokes.boxes[:, :2], strokes.boxes[:, 2:]
    if not are_others.any():
        return are_others
    are_long = stops - starts >= _FRAME * np.array(shape[::-1])
    exceed = (starts < starts[are_others].min(axis=0)) & (stops > stops[are_others].max(axis=0))
    thickness = strokes.areas / (strokes.widths + strokes.heights)
    are_thin = thickness < _MAX_PEN * thickness[are_others].max()
    return np.asarray((are_long & exceed).any(axis=1) & are_thin & ~in_middle)
