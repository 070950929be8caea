"""Coarse pictures, which show sheets and shadows but no details, and regions of them."""

import numpy as np
from numpy.typing import NDArray

from lenet._extras import cv2
from lenet._mnist_form import reduced, square

COARSE_LONGER, COARSE_SHORTER = 256, 64  # pixels: the sides of a coarse picture are at least as long


def coarsened(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a picture to a size that is sufficient for estimating the paper."""
    return reduced(grey, max(COARSE_LONGER / max(grey.shape), COARSE_SHORTER / min(grey.shape)))


def border_of(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels along the border of a picture."""
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def levels_of(grey: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the darkest and the lightest level of a picture."""
    darkest, lightest, *_ = cv2.minMaxLoc(grey)
    return int(darkest), int(lightest)


def without_ink(coarse: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace anything dark and narrow in a region by the level around it, whatever is outside the region."""
    kernel = square(max(3, min(coarse.shape) // 8) | 1)
    grown = cv2.dilate(np.where(region, coarse, 0).astype(np.uint8), kernel)
    return np.asarray(cv2.erode(np.where(region, grown, 255).astype(np.uint8), kernel), np.uint8)


def continued(coarse: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the level of the nearest pixel of a region for each pixel, smoothed."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~region).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    levels = np.zeros(int(nearest.max()) + 1, np.uint8)
    levels[nearest[region]] = coarse[region]
    return np.asarray(cv2.blur(levels[nearest], (5, 5)), np.uint8)


def with_outside(grey: NDArray[np.uint8], coarse: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace the pixels outside a region by those of a coarse picture, which has the region's shape."""
    outside = cv2.resize(coarse, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(enlarged(region, grey.shape), grey, outside).astype(np.uint8)


def enlarged(region: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a region of a coarse picture, as 0 and 1, in the shape of the picture."""
    return np.asarray(cv2.resize(region.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
