"""Convert ink to MNIST's format: 20x20 pixels, strokes of the usual width, centred by mass in 28x28."""

import functools

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import cv2

MIDDLE = 14.0  # row and column of the centre of mass of MNIST's images, to within 0.3
BOX = 20  # pixels: MNIST fits each digit into a square of this side, keeping its aspect ratio
FINE = 4  # stroke widths are measured and changed on a grid that is finer by this factor
_PENS = (1.8, 3.5)  # pixels of MNIST: the widths of nearly all its strokes
_BLUR = 2.0  # pixels of MNIST: the standard deviation of the blur that sharpening removes
_BLOT = 7.0  # pixels of MNIST: anything this wide is not a stroke and is left unchanged
_MAX_SLANT = 0.2  # columns per row, 11 degrees: as upright as most of MNIST's digits


def mnist_form(ink: NDArray[np.uint8], *, pen: bool = True) -> NDArray[np.uint8]:
    """Convert cropped ink, from 0 to 255, to MNIST's format; with `pen`, also give strokes the usual width."""
    if pen:
        ink = resized(ink, min(1.0, FINE * BOX / max(ink.shape)))
        ink = _with_usual_pen(ink, max(ink.shape) / BOX)
    digit = resized(ink, BOX / max(ink.shape))
    return _centred(cv2.convertScaleAbs(digit, alpha=255 / max(1.0, cv2.norm(digit, cv2.NORM_INF))))


def deslanted(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shear ink whose strokes lean by more than 11 degrees, until they are upright on average; crop it to its extent.

    An edge that moves by s columns per row is at right angles to its gradient (x, y): s x + y = 0. The slant is the
    least-squares solution for all edges that are closer to the vertical than to the horizontal.

    Examples
    --------
    >>> slash = np.zeros((40, 24), np.uint8)
    >>> for row in range(40):
    ...     slash[row, (39 - row) // 2 :][:4] = 255
    >>> deslanted(slash).shape  # with soft edges
    (40, 7)
    """
    padded = cv2.copyMakeBorder(ink, *[1] * 4, cv2.BORDER_CONSTANT)
    x, y = (gradient.astype(np.float32) for gradient in cv2.spatialGradient(padded))
    upright = np.abs(x) >= np.abs(y)
    sum_xx = float((x[upright] ** 2).sum())
    slant = -float((x * y)[upright].sum()) / sum_xx if sum_xx else 0.0
    if abs(slant) <= _MAX_SLANT:
        return ink
    height, width = ink.shape
    margin = int(abs(slant) * height / 2) + 1
    shear = np.array([[1, -slant, margin + slant * (height - 1) / 2], [0, 1, 0]])
    return cropped(np.asarray(cv2.warpAffine(ink, shear, (width + 2 * margin, height)), np.uint8))


def cropped(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop an image to its ink, or to one pixel if there is none."""
    left, top, width, height = cv2.boundingRect(ink)
    return ink[top : top + max(1, height), left : left + max(1, width)]


def resized(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Scale both sides of an image by a factor; return the image itself for a factor of 1."""
    if factor == 1:
        return image
    height, width = image.shape
    size = max(1, round(width * factor)), max(1, round(height * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR  # INTER_AREA averages, which keeps thin strokes
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def reduced(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Shrink a large image several times as fast as `resized`; return the image itself for a factor of at least 1.

    Whole blocks of pixels are averaged; the result is then interpolated.
    """
    if factor >= 1:
        return image
    height, width = image.shape
    size, block = (round(width * factor), round(height * factor)), int(1 / factor)
    across, down = width // block, height // block
    image = cv2.resize(image[: down * block, : across * block], (across, down), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def pen_width(ink: NDArray[np.uint8]) -> float:
    """Return the mean stroke width in pixels: twice the area of the strokes over the length of their edges.

    Examples
    --------
    >>> ink = np.zeros((40, 40), np.uint8)
    >>> ink[5:35, 10:14] = 255
    >>> round(pen_width(ink), 1)  # of a line 4 wide; slanted ones count a little less
    4.5
    """
    padded = cv2.copyMakeBorder(ink, *[1] * 4, cv2.BORDER_CONSTANT)
    across = cv2.norm(padded[:, 1:], padded[:, :-1], cv2.NORM_L1)
    down = cv2.norm(padded[1:], padded[:-1], cv2.NORM_L1)
    # Both sums count a slanted edge: together 4/pi times its length, averaged over all directions.
    edges = float(across + down) * np.pi / 4
    return 2 * float(cv2.norm(ink, cv2.NORM_L1)) / edges if edges else 0.0


def _with_usual_pen(ink: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Bring the stroke width of ink into the usual range, at `scale` pixels for each of MNIST's.

    Thick strokes are sharpened first, because their holes may be grey: the loops of small, blurred print.
    """
    width = pen_width(ink) / scale
    if _PENS[1] < width < _BLOT:
        levels = ink.astype(np.float32)  # OpenCV takes four times as long to blur integers
        blurred = cv2.GaussianBlur(levels, (0, 0), _BLUR * scale, borderType=cv2.BORDER_CONSTANT)  # paper outside
        ink = np.asarray(cv2.addWeighted(levels, 2, blurred, -1, 0, dtype=cv2.CV_8U), np.uint8)
        width = pen_width(ink) / scale
    change = min(max(width, _PENS[0]), _PENS[1]) - width if width < _BLOT else 0.0
    size = round(abs(change) * scale)
    if not size:
        return ink
    kernel = disc(size + 1)
    if change < 0:
        return np.asarray(cv2.erode(ink, kernel), np.uint8)
    return np.asarray(
        cv2.dilate(cv2.copyMakeBorder(ink, *[(size + 1) // 2] * 4, cv2.BORDER_CONSTANT), kernel), np.uint8
    )


@functools.cache
def disc(side: int) -> NDArray[np.uint8]:
    """Return a disc as a kernel for cv2.dilate and cv2.erode."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def square(side: int) -> NDArray[np.uint8]:
    """Return a square as a kernel for cv2.dilate and cv2.erode."""
    return np.ones((side, side), np.uint8)


def _centred(digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Place a digit in 28x28 pixels, with its centre of mass as close to the middle as possible."""
    moments = cv2.moments(digit)
    mass, (height, width) = moments["m00"] or 1.0, digit.shape
    top = min(max(round(MIDDLE - moments["m01"] / mass), 0), SIDE - height)
    left = min(max(round(MIDDLE - moments["m10"] / mass), 0), SIDE - width)
    out = np.zeros((SIDE, SIDE), np.uint8)
    out[top : top + height, left : left + width] = digit
    return out
