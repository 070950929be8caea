"""The small set that scikit-learn carries, made to look like MNIST; it needs no network."""

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import require
from lenet._mnist_form import BOX
from lenet.data.dataset import Dataset, stratified_split


def load_digits() -> Dataset:
    """Return scikit-learn's 1,797 digits, enlarged from 8x8 to MNIST's 28x28.

    One digit in five of each class is set aside for testing, always the same ones: a smaller part, such as MNIST's
    seventh, would leave so few that one digit more or less moves the accuracy by 0.4%. The set does not say who
    wrote which digit, so both parts hold digits of the same 13 people, and the accuracy on the test part
    flatters: new writers are harder to read.

    Returns
    -------
    Dataset
        1,438 images to train on and 359 to test on, classes 0 to 9.

    Raises
    ------
    MissingExtraError
        When scikit-learn is not installed.

    Notes
    -----
    The digits are the test part of E. Alpaydin's and C. Kaynak's "Optical Recognition of Handwritten Digits"
    (UCI Machine Learning Repository, 1998): each number, 0 to 16, counts the inked pixels in a block of 4x4.

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
    """Enlarge 8x8 images of 0 to 16 to 20x20 within 28x28, 0 to 255, as MNIST frames its digits.

    The centre of mass of the ink comes to the centre of the image, and edges are smooth.

    Parameters
    ----------
    small : ndarray of float64, shape (n, 8, 8)
        Images that each have some ink.

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
    """From the ink in each of 8 rows, (n, 8), the share that each has in each of 28 enlarged rows, (n, 28, 8)."""
    small = np.arange(8)
    middle = (ink @ small / ink.sum(axis=1))[:, np.newaxis]
    at = middle + (np.arange(SIDE) - (SIDE - 1) / 2) * 8 / BOX  # where each enlarged row falls among the small ones
    # Bilinear interpolation: the two neighbours share by nearness, and beyond the edge lies background.
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(at[:, :, np.newaxis] - small))
    return weights
