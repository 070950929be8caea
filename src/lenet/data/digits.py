"""The digits of scikit-learn, converted to MNIST's format."""

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import require
from lenet._mnist_form import BOX
from lenet.data.dataset import Dataset, stratified_split


def load_digits() -> Dataset:
    """Load scikit-learn's 1,797 digits, enlarged from 8x8 to 28x28 pixels.

    A fifth of each class, always the same images, is held out for testing. Both parts are by the same 13 writers, so
    the test accuracy is higher than on digits by other writers.

    Returns
    -------
    Dataset
        1,438 training images and 359 test images of the classes 0 to 9.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.

    Notes
    -----
    The digits are the test set of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI Machine
    Learning Repository, 1998). Each value, 0 to 16, counts the inked pixels in a block of 4x4.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.X_train.shape, digits.X_test.shape
    ((1438, 28, 28), (359, 28, 28))
    >>> digits.y_test[:10]
    array([1, 4, 7, 0, 2, 8, 1, 9, 5, 5])
    """
    small = require("sklearn.datasets", "train").load_digits()
    return stratified_split(enlarge(small.images), small.target.astype(np.int64), 5, "digits")


def enlarge(small: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Enlarge 8x8 images to 20x20 pixels, centred by mass in 28x28, like MNIST.

    Parameters
    ----------
    small : ndarray of float64, shape (n, 8, 8)
        Values from 0 to 16; each image contains ink.

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)

    Examples
    --------
    >>> enlarge(np.full((1, 8, 8), 16.0))[0, 14, ::3]
    array([  0,  76, 255, 255, 255, 255, 255, 255,  76,   0], dtype=uint8)
    """
    rows, columns = _weights(small.sum(axis=2)), _weights(small.sum(axis=1))
    return np.rint(rows @ small @ columns.transpose(0, 2, 1) * (255 / 16)).astype(np.uint8)


def _weights(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (n, 28, 8) of linear interpolation from 8 rows with this ink (n, 8) to 28 rows."""
    small = np.arange(8)
    middle = (ink @ small / ink.sum(axis=1))[:, np.newaxis]
    at = middle + (np.arange(SIDE) - (SIDE - 1) / 2) * 8 / BOX  # position of each enlarged row among the small ones
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(at[:, :, np.newaxis] - small))
    return weights
