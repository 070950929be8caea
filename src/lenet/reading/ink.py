"""Separate ink from paper: decide whether the ink is dark, estimate the paper under it, and normalise it."""

import math

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import disc, pen_width, reduced, resized, square
from lenet.reading.coarse import (
    border_of,
    coarsened,
    continued,
    levels_of,
    with_outside,
    without_ink,
)
from lenet.reading.panels import find_panels, with_inverted
from lenet.reading.sheet import DARK, find_sheets
from lenet.reading.strokes import INK, mask_of, strokes_of

_PAPER_SIDES = 256, 64  # pixels: the shorter side of the picture in which paper is estimated, of a page and of a digit
_MIN_CONTRAST = 24  # levels
_BRIGHT = 255 - 2 * _MIN_CONTRAST
# Ink and paper are distinct if the between-class variance exceeds this fraction of the total (0.64 for pure noise).
_DISTINCT = 0.68
_MAX_PAPER = 0.9  # fraction of the pixels: with more paper, Otsu's threshold is not needed
_ABOVE_PAPER = 0.75  # fraction of Otsu's threshold above which pixels are ink
_NARROW, _MIXED = 2.5, 0.02  # height over width; a middle with a lower fraction of light or dark pixels is uniform
# The widest ink: a fraction of the shorter side and, in small pictures, a number of pixels of the coarse picture.
_WIDEST, _WIDEST_BESIDE_SHADOWS = (0.31, 21), (0.085, 11)
_MIN_SHADOWS = 0.01  # fraction of the picture: the minimum area of such shadows
_MIN_DEPTH = 0.1  # fraction of the darkness of ink: fainter shadows do not matter
_PENS = 2.6  # widths of the pen: a shadow is wider, the stroke of a bold digit is not
_MAX_WRITTEN = 0.4  # fraction of the shadows that is ink: photographs and logos have more
_FRAME = 0.04  # shorter sides: of a frame along the border
_MIXED_BORDER = 0.1  # fractions of light and dark pixels: borders with more of both are no frames
_MOSTLY = 2 / 3  # more than this fraction of the pixels, and the whole border, are paper
_EVEN = 16  # maximum range of levels along the border of a picture without a shadow
_INK_OF_STROKE = 0.7  # the fraction of a stroke that must be ink even if the border is in a shadow
_MANY = 2**20  # pixels
_LEVELS = np.arange(256)
_STEEP = 0.75  # the quantile of the slopes at edges taken as the slope across them; slanted ones have less
_MIN_BLUR, _MAX_BLUR = 0.5, 3.0  # pixels: less is not undone, and more is undone in a smaller picture
_ITERATIONS = 40  # of the deconvolution
_PALE_CORE = 1.15  # the blur over that of an edge, in strokes four times as wide as the blur
_PALE, _CORE = 0.15, 0.65  # darkness of a stroke's edges relative to its core; the core's quantile of its darkness
_MIN_CERTAIN = 0.25  # the fraction of ink that is darker than noise
_DECISIVE = 2.5  # a skewness of this size tells dark from light ink, even beside reflections and shadows
_NOISE = 5.0  # standard deviations from the paper's level that still count as paper
_MAX_GRAIN, _GRAIN_BLUR = 4.0, 0.9  # the standard deviation of grain that is not blurred; the blur in pixels
_SECOND_DIFFERENCE = np.array([1, -2, 1], np.float32)
_MAX_DIFFERENCE = round(0.6745 * 6 * _MAX_GRAIN)  # the median of such differences along both axes, in normal noise
_FLAT = 2  # the largest such difference on flat paper


def find_darkness(
    grey: NDArray[np.uint8], dark_on_light: bool | None = None, *, cropped: bool = False
) -> NDArray[np.uint8]:
    """Return how much darker each pixel is than light paper, or lighter than dark paper, from 0 to 255.

    If `dark_on_light` is None, the function detects whether the ink is dark. Ink is measured relative to the paper
    around it, which removes shadows. If there are light sheets on a darker background, only they count. Light ink on
    dark panels counts in any case. If the picture shows one digit and may be `cropped` to its ink, strokes at the
    border are not treated as shadows. To save time, only sheets on dark tables are then found, and the paper is
    estimated in a picture with a shorter side of at most 64 instead of 256 pixels.

    Examples
    --------
    >>> grey = np.full((60, 60), 200, np.uint8)
    >>> grey[20:40, 28:32] = 90
    >>> ink = normalised(find_darkness(grey))
    >>> int(ink[30, 30]), int(ink[5, 5])
    (255, 0)
    """
    coarse = coarsened(grey)
    darkest, lightest = levels_of(border_of(coarse))
    sheets = None
    if dark_on_light is not False:
        sheets = find_sheets(coarse, max_around=DARK) if cropped else find_sheets(coarse, may_be_blank=True)
    if sheets is not None:
        coarse = np.where(sheets, coarse, continued(without_ink(coarse, sheets), sheets))
        grey = with_outside(grey, coarse, sheets)
    factor = min(1.0, _PAPER_SIDES[cropped] / min(coarse.shape))
    needs_averages = factor < 0.5 or darkest != lightest  # because of noise
    coarse = resized(coarse, factor) if needs_averages else reduced(coarse, factor)
    panels = find_panels(coarse)
    if dark_on_light is None:
        dark_on_light = sheets is not None or panels is not None or is_dark_on_light(coarse, cropped=cropped)
    if not dark_on_light:
        grey, coarse = 255 - grey, 255 - coarse
        panels = find_panels(coarse)
    if panels is not None:
        grey, coarse = with_inverted(grey, coarse, panels)
    darkness = _darkness(grey, _paper(coarse, cropped=True)) if cropped else _darkness_of_page(grey, coarse)
    return _without_grain(darkness, sheets)


def _without_grain(darkness: NDArray[np.uint8], sheets: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Blur a picture slightly if it has much noise, such as a photograph taken in dim light.

    If there are sheets, given by a coarse mask, only they and what is between them count.

    The second differences along both axes are small at edges and on slopes; in noise with a standard deviation s, their
    own is 6 s (Immerkaer, "Fast noise variance estimation", 1996). They are large in small print, too, but there, the
    paper between the strokes is flat.
    """
    part = darkness if sheets is None else _around(darkness, sheets)
    differences = cv2.sepFilter2D(part, cv2.CV_16S, _SECOND_DIFFERENCE, _SECOND_DIFFERENCE)
    smooth = cv2.countNonZero(cv2.inRange(differences, -_MAX_DIFFERENCE, _MAX_DIFFERENCE))
    flat = cv2.countNonZero(cv2.inRange(differences, -_FLAT, _FLAT))
    if 2 * smooth >= part.size or 2 * flat > smooth:
        return darkness
    return np.asarray(cv2.GaussianBlur(darkness, (0, 0), _GRAIN_BLUR), np.uint8)


def _around(image: NDArray[np.uint8], coarse_mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the smallest window of an image that contains a mask of its coarse version."""
    scale = len(image) / len(coarse_mask)
    left, top, width, height = cv2.boundingRect(coarse_mask.view(np.uint8))
    return image[int(top * scale) : round((top + height) * scale), int(left * scale) : round((left + width) * scale)]


def is_dark_on_light(grey: NDArray[np.uint8], *, cropped: bool) -> bool:
    """Return whether the ink is dark: there is less ink than paper, and the border shows more paper than ink.

    The border may be a frame, such as the box of a field in a form. The levels inside it then count as the border; if
    the picture may be `cropped` to its ink, only if the border has nearly one colour. If it may not, and its narrow
    parts are mostly much darker or lighter than what is around them, these are the ink.
    """
    height, width = grey.shape
    darkest, lightest = levels_of(grey)
    if darkest >= _BRIGHT and lightest - darkest < _MIN_CONTRAST:  # blank paper, whose noise is not light ink
        return True
    if not cropped:
        skewness = _skewness(grey, min(grey.shape) // 8)
        if abs(skewness) > _DECISIVE:
            return skewness < 0
    midrange = (darkest + lightest) / 2
    is_light = np.greater(grey, midrange).view(np.uint8)
    light, border = np.count_nonzero(is_light) / grey.size, border_of(is_light)
    if light > _MOSTLY and border.all():
        return True
    if light < 1 - _MOSTLY and not border.any():
        return False
    if cropped and height >= _NARROW * width:
        middle_light = float(is_light[:, width // 3 : width - width // 3].mean())
        if not _MIXED < middle_light < 1 - _MIXED:
            return middle_light <= _MIXED  # a 1 that was cropped to its ink
    is_frame = not cropped or not _MIXED_BORDER <= border.mean() <= 1 - _MIXED_BORDER
    frame = round(_FRAME * min(grey.shape)) if is_frame else 0
    border = np.sort(border_of(grey[frame : height - frame, frame : width - frame]))  # NumPy's median takes longer
    middle = border.size // 2  # the size is even
    typical = (int(border[middle - 1]) + int(border[middle])) / 2
    # The window is wider than strokes, and narrower than most reflections and shadows.
    return _skewness(grey, min(grey.shape) // 4) < (typical - midrange) / 128


def _skewness(grey: NDArray[np.uint8], side: int) -> float:
    """Return the skewness of the differences from the means in windows: negative if narrow parts are mostly dark."""
    size = max(3, side) | 1
    local = (grey - cv2.blur(grey.astype(np.float32), (size, size), borderType=cv2.BORDER_REPLICATE)).ravel()
    local -= local.mean()
    squares = local * local
    scale = float(squares.mean()) ** 1.5
    return float(squares @ local) / local.size / scale if scale else 0.0


def normalised(darkness: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ink from 0 (paper) to 255 (the dark core of strokes)."""
    low, full = _range_of_ink(darkness)
    return _scaled(darkness, low, full) if full else np.zeros_like(darkness)


def _range_of_ink(darkness: NDArray[np.uint8]) -> tuple[float, int]:
    """Return the darkest level of paper, and the level of the core of strokes, which is 0 if there is no ink."""
    counts = _counts(darkness[:: 1 + darkness.size // _MANY])  # some rows suffice
    noise = _noise(counts)
    certain = counts.copy()
    certain[: int(max(noise, _MIN_CONTRAST)) + 1] = 0
    below = certain.cumsum()
    full = int(below.searchsorted(0.8 * below[-1]))  # most of a stroke is darker than its edges
    low = min(noise, 0.5 * full)
    threshold = math.ceil(low + (full - low) * INK / 255)
    return low, (full if below[-1] >= max(4, _MIN_CERTAIN * counts[threshold:].sum()) else 0)


def blur_of(darkness: NDArray[np.uint8], ink: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the blur of strokes, in pixels, from the slope of their edges; 0 without any.

    A Gaussian blur with a standard deviation s turns an edge of a contrast c into a slope of c / (s sqrt(2 pi)). It
    makes the cores of strokes paler, too, so that the measured contrast is too low.
    """
    mask, levels = mask_of(ink), darkness.astype(np.float32)
    slopes = np.concatenate([np.abs(np.diff(levels, axis=n))[np.diff(mask, axis=n) != 0] for n in (0, 1)])
    if not len(slopes):
        return 0.0
    contrast, slope = np.quantile(levels[mask > 0], _CORE), np.quantile(slopes, _STEEP)
    return float(_PALE_CORE * contrast / (math.sqrt(2 * math.pi) * max(slope, 1.0)))


def deblurred(darkness: NDArray[np.uint8], blur: float) -> NDArray[np.uint8]:
    """Undo a Gaussian blur, which closes the loops of small digits, by Richardson-Lucy deconvolution.

    Each iteration multiplies the picture by the blurred ratio between the given picture and the blurred estimate
    (Richardson, "Bayesian-based iterative method of image restoration", 1972).
    """
    if blur < _MIN_BLUR:
        return darkness
    if blur > _MAX_BLUR:  # a smaller picture takes less time, and loses nothing
        small = deblurred(resized(darkness, _MAX_BLUR / blur), _MAX_BLUR)
        return np.asarray(cv2.resize(small, darkness.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    seen = darkness.astype(np.float32) + 1  # so that no level is 0
    estimate = seen
    for _ in range(_ITERATIONS):
        ratio = seen / cv2.GaussianBlur(estimate, (0, 0), blur)
        estimate = estimate * cv2.GaussianBlur(ratio, (0, 0), blur)
    return np.asarray(cv2.convertScaleAbs(estimate, beta=-1), np.uint8)


def strengthened(ink: NDArray[np.uint8], darkness: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rescale ink to the darkness of its own strokes, since others on the page may be darker or lighter."""
    counts = _counts(darkness, mask_of(ink))
    if not counts.any():
        return ink
    full = max(2, int(counts.cumsum().searchsorted(_CORE * counts.sum())))
    return np.where(ink > 0, _scaled(darkness, _PALE * full, full), 0).astype(np.uint8)


def _counts(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
    return np.asarray(cv2.calcHist([image], [0], mask, [256], [0, 256]).ravel(), np.float32)


def _scaled(darkness: NDArray[np.uint8], low: float, full: float) -> NDArray[np.uint8]:
    return np.asarray(cv2.convertScaleAbs(cv2.subtract(darkness, low), alpha=255 / (full - low)), np.uint8)


def _noise(counts: NDArray[np.float32]) -> float:
    """Return the darkest level of paper from a histogram: the median plus some standard deviations.

    If there is so much ink that it shifts the median, Otsu's threshold is lower.
    """
    half = counts.sum() / 2
    median = counts.cumsum().searchsorted(half)
    deviation = np.bincount(np.abs(_LEVELS - median), counts).cumsum().searchsorted(half)
    noise = median + _NOISE * 1.5 * deviation  # 1.5 median absolute deviations are about a standard one
    return float(min(noise, _ABOVE_PAPER * _threshold(counts))) if noise else 0.0


def _threshold(counts: NDArray[np.float32]) -> float:
    """Return Otsu's threshold of a histogram; infinity if there are no two distinct classes."""
    count, mass = counts.cumsum(dtype=np.float64), (counts * _LEVELS).cumsum()
    total, mean = count[-1], mass[-1] / count[-1]
    between = (mean * count - mass) ** 2 / np.maximum(count * (total - count), 1)
    threshold = int(between.argmax())
    variance = float((counts * (_LEVELS - mean) ** 2).sum()) / total
    is_distinct = between[threshold] > _DISTINCT * variance and count[threshold] <= _MAX_PAPER * total
    return threshold if is_distinct else np.inf


def _darkness(grey: NDArray[np.uint8], paper: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how much darker each pixel is than the paper, which may be coarser."""
    enlarged_paper = cv2.resize(paper, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(255 - cv2.divide(grey, enlarged_paper, scale=255), np.uint8)


def _darkness_of_page(grey: NDArray[np.uint8], coarse: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how much darker each pixel is than the paper of a page, also in shadows as narrow as bold strokes may be.

    Dark regions that are too wide for the pen are shadows if they are paler than the ink, and little of them is ink.
    """
    paper, side = _paper(coarse), _side(coarse, _WIDEST_BESIDE_SHADOWS)
    shaded = _paper(coarse, disc(side))
    darkness, depth = _darkness(grey, paper), _darkness(shaded, paper)
    low, full = _range_of_ink(darkness)
    if full and _is_small(depth > low + _MIN_DEPTH * (full - low)):
        return darkness
    rows = grey[:: 1 + grey.size // _MANY]  # some rows suffice for a histogram
    _, full = _range_of_ink(_darkness(rows, shaded))
    ink, shadows = mask_of(normalised(_darkness(coarse, shaded))), (depth > _MIN_DEPTH / 2 * full) & (depth < full)
    is_writing = 1 <= pen_width(ink) <= side / _PENS  # rather than noise or bold digits
    if _is_small(shadows) or not is_writing or ink[shadows].mean() > _MAX_WRITTEN:
        return darkness
    with_edges = cv2.dilate(shadows.view(np.uint8), square(5))
    return _darkness(grey, np.where(with_edges, shaded, paper).astype(np.uint8))


def _is_small(region: NDArray[np.generic]) -> bool:
    return bool(np.count_nonzero(region) < _MIN_SHADOWS * region.size)


def _paper(
    coarse: NDArray[np.uint8], kernel: NDArray[np.uint8] | None = None, cropped: bool = False
) -> NDArray[np.uint8]:
    """Estimate the paper of a coarse picture: replace anything dark and narrow by the level around it."""
    kernel = square(_side(coarse, _WIDEST)) if kernel is None else kernel
    darkest, lightest = levels_of(border_of(coarse))
    if lightest - darkest <= _EVEN:
        closed = cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, kernel)
    else:
        closed = _paper_with_shadows(coarse, kernel, cropped)
    return np.asarray(cv2.max(cv2.blur(closed, (max(1, len(kernel) // 16),) * 2), 1), np.uint8)


def _side(coarse: NDArray[np.uint8], widest: tuple[float, int]) -> int:
    """Return the odd side of the square that closes anything narrower."""
    fraction, pixels = widest
    return int(max(3, fraction * min(coarse.shape), min(max(coarse.shape) // 2, pixels))) | 1


def _paper_with_shadows(coarse: NDArray[np.uint8], kernel: NDArray[np.uint8], cropped: bool) -> NDArray[np.uint8]:
    """Return the paper of a picture with shadows at its border or, if it may be `cropped`, strokes."""
    smooth, margin = cv2.medianBlur(coarse, 3), len(kernel) // 2
    shaded = _closed(_extrapolated(smooth, margin), kernel)
    if not cropped:
        return shaded
    lit = _closed(_mirrored(smooth, margin), kernel)  # if nothing at the border is a shadow
    strokes = strokes_of(normalised(_darkness(coarse, lit)))
    certain = normalised(_darkness(coarse, shaded)) >= INK  # whether the border has shadows or not
    are_ink = strokes.areas_in(certain) > _INK_OF_STROKE * strokes.areas
    return np.where(strokes.pixels_of(are_ink), lit, shaded).astype(np.uint8)


def _extrapolated(image: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    """Return an image with a margin, in which a shadow at the border darkens further."""
    continued = np.pad(image.astype(np.int16), margin, mode="reflect", reflect_type="odd")
    return np.asarray(np.minimum(_mirrored(image, margin), continued).clip(0), np.uint8)


def _mirrored(image: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_REFLECT_101), np.uint8)


def _closed(padded: NDArray[np.uint8], kernel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a padded picture without dark ink and without its margin."""
    margin = len(kernel) // 2
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    closed = cv2.medianBlur(closed, len(kernel) // 4 | 1)  # keeps the edge of a hard shadow
    return np.asarray(closed[margin:-margin, margin:-margin], np.uint8)
