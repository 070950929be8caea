"""Images of other data sets as those of MNIST, against bars and lines whose places follow by hand."""

import numpy as np
import pytest

from lenet.errors import InputError, InputTypeError
from lenet.reading import as_mnist

pytest.importorskip("cv2")


def test_a_large_bar_becomes_as_high_as_the_digits_of_mnist():
    """By hand: 40 rows and 6 columns become 20 and 3, in the middle."""
    images = np.zeros((2, 60, 90), np.uint8)
    images[0, 10:50, 60:66] = 200
    images[1, 20:60, :6] = 200
    found = as_mnist(images)
    rows, columns = np.flatnonzero(found[0].any(axis=1)), np.flatnonzero(found[0].max(axis=0) > 127)
    assert (rows[0], rows[-1], len(columns)) == (4, 23, 3)
    assert found[0].max() == 255
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("grey", [40, 100])
def test_a_grey_background_is_removed(grey):
    image = np.zeros((1, 40, 40), np.uint8)
    image[0, 5:35, 18:22] = 255
    np.testing.assert_array_equal(as_mnist(np.maximum(image, grey)) > 127, as_mnist(image) > 127)


@pytest.mark.parametrize("size", [1, 2])
def test_specks_are_removed(size):
    image = np.zeros((2, 40, 40), np.uint8)
    image[:, 5:35, 18:22] = 200
    image[0, 37 : 37 + size, 3 : 3 + size] = 255
    assert as_mnist(image)[0].any()
    np.testing.assert_array_equal(*(as_mnist(image) > 127))


def test_a_leaning_bar_is_made_upright_if_wanted():
    image = np.zeros((1, 50, 50), np.uint8)
    for row in range(10, 50):
        image[0, row, 40 - row // 2 :][:4] = 255
    widths = [np.count_nonzero(as_mnist(image, deslant=each)[0].max(axis=0) > 127) for each in (True, False)]
    assert widths[0] <= 4
    assert widths[1] >= 11  # half of 20 rows, and the pen


def test_floats_and_bytes_are_converted_alike():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 30, 20), dtype=np.uint8)
    np.testing.assert_array_equal(as_mnist(pixels / 255), as_mnist(pixels))
    np.testing.assert_array_equal(as_mnist(pixels[:, ::-1, ::-1]), as_mnist(pixels[:, ::-1, ::-1].copy()))
    assert as_mnist(np.zeros((0, 9, 9), np.uint8)).shape == (0, 28, 28)
    assert not as_mnist(np.zeros((1, 9, 9), np.uint8)).any()


@pytest.mark.parametrize("shape", [(28, 28), (2, 784), (2, 0, 9), (2, 1, 9, 9)])
def test_other_shapes_are_rejected(shape):
    with pytest.raises(InputError, match=r"images has shape .*; expected \(n, height, width\)\."):
        as_mnist(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("pixels", "error"), [(np.full((1, 9, 9), 3.0), InputError), (np.zeros((1, 9, 9), int), InputTypeError)]
)
def test_other_pixels_are_rejected(pixels, error):
    with pytest.raises(error, match="expected"):
        as_mnist(pixels)
