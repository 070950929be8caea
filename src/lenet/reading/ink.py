"""From grey levels to ink: which of dark and light is ink, how the paper looks without it, and how dark ink is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.reading.sheet import find_sheet

_COARSE = 256  # pixels on the longer side, for what is smooth,
_COARSEST = 64  # and at least on the shorter one
_SMALLEST_WITH_SHEET = 100
_FAINTEST = 24  # the least contrast, of 255, that counts as ink
_NOISE = 5.0  # standard deviations of the paper's that are not ink


def find_ink(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how much ink there is in each pixel of a picture.

    Dark on light and light on dark are told apart by themselves, and shadows are levelled: ink is what is darker than
    the paper would be there, as a part of it. Where the paper is a light sheet on a darker ground, nothing else is
    looked at.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)

    Returns
    -------
    ndarray of uint8, shape (H, W)
        0 paper to 255 ink; all 0 where nothing stands out.

    Examples
    --------
    >>> grey = np.full((60, 60), 200, np.uint8)
    >>> grey[20:40, 28:32] = 90
    >>> ink = find_ink(grey)
    >>> int(ink[30, 30]), int(ink[5, 5])
    (255, 0)
    """
    cv2: Any = require("cv2", "vision")
    coarse = _coarse(cv2, grey)
    sheet = find_sheet(coarse) if min(coarse.shape) >= _SMALLEST_WITH_SHEET else None
    if sheet is not None:
        coarse = _spread(cv2, coarse, sheet)
        there = cv2.resize(sheet.astype(np.uint8), grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
        grey = np.where(there, grey, cv2.resize(coarse, grey.shape[::-1], interpolation=cv2.INTER_LINEAR))
    elif not is_dark_on_light(cv2, coarse):
        grey, coarse = 255 - grey, 255 - coarse
    paper = cv2.resize(_paper(cv2, coarse), grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    darkness = 255 - cv2.divide(grey, paper, scale=255)
    levels = cv2.calcHist([darkness], [0], None, [256], [0, 256]).ravel()
    noise = _noise(levels)
    levels[: int(max(noise, _FAINTEST)) + 1] = 0
    if levels.sum() < 4:
        return np.zeros_like(grey)
    full = int(np.searchsorted(levels.cumsum(), 0.8 * levels.sum()))  # most ink is darker at its core than at its edges
    low = min(noise, 0.5 * full)
    return np.asarray(cv2.convertScaleAbs(cv2.subtract(darkness, low), alpha=255 / (full - low)), np.uint8)


def _noise(levels: NDArray[np.float32]) -> float:
    """Return how dark paper may be, from a histogram: its median, and some standard deviations more."""
    half = float(levels.sum()) / 2
    median = int(np.searchsorted(levels.cumsum(), half))
    apart = np.bincount(np.abs(np.arange(len(levels)) - median), levels)
    return median + _NOISE * 1.5 * int(np.searchsorted(apart.cumsum(), half))  # 1.5 times their median is one


def is_dark_on_light(cv2: Any, grey: NDArray[np.uint8]) -> bool:
    """Return whether ink is dark: there is less of it than of paper, and more paper than ink at the border."""
    size = max(3, min(grey.shape) // 2) | 1
    local = grey - cv2.blur(grey.astype(np.float32), (size, size), borderType=cv2.BORDER_REPLICATE)
    local -= local.mean()
    squares = local * local
    skewness = float((squares * local).mean()) / (float(squares.mean()) ** 1.5 + 1e-6)
    border = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    return bool(skewness < (border - (int(grey.max()) + int(grey.min())) / 2) / 128)


def _coarse(cv2: Any, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = max(_COARSE / max(grey.shape), _COARSEST / min(grey.shape))
    if scale >= 1:
        return grey
    size = tuple(max(1, round(length * scale)) for length in reversed(grey.shape))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _paper(cv2: Any, coarse: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture without its dark ink: dark things narrower than a third of it are filled from around them."""
    size = max(3, min(coarse.shape) // 3) | 1
    brush = np.ones((size, size), np.uint8)
    if min(coarse.shape) <= 64:
        closed = cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, brush)
    else:
        beyond = size // 2
        closed = cv2.morphologyEx(_extended(cv2.medianBlur(coarse, 3), beyond), cv2.MORPH_CLOSE, brush)
        closed = closed[beyond:-beyond, beyond:-beyond]
        closed = cv2.medianBlur(np.ascontiguousarray(closed), size // 4 | 1)  # keeps the edge of a hard shadow
    return np.asarray(cv2.max(cv2.blur(closed, (max(1, size // 16),) * 2), 1), np.uint8)


def _extended(image: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Return an image continued beyond its border, where a shadow at the border grows darker still."""
    mirrored = np.pad(image.astype(np.int16), by, mode="reflect")
    turned = np.pad(image.astype(np.int16), by, mode="reflect", reflect_type="odd")
    return np.minimum(mirrored, turned).clip(0, 255).astype(np.uint8)


def _spread(cv2: Any, coarse: NDArray[np.uint8], sheet: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a picture whose sheet goes on beyond its edge, as light there as at the nearest place without ink."""
    brush = np.ones((max(3, min(coarse.shape) // 8),) * 2, np.uint8)
    grown = cv2.dilate(np.where(sheet, coarse, 0).astype(np.uint8), brush)
    bare = cv2.erode(np.where(sheet, grown, 255).astype(np.uint8), brush)
    _, nearest = cv2.distanceTransformWithLabels(
        1 - sheet.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    levels = np.zeros(int(nearest.max()) + 1, np.uint8)
    levels[nearest[sheet]] = bare[sheet]
    return np.where(sheet, coarse, cv2.blur(levels[nearest], (5, 5))).astype(np.uint8)
