"""Ink becomes an image like MNIST's: each step against its definition."""

import numpy as np
import pytest

from lenet import _mnist_form
from lenet._mnist_form import cropped, deslanted, mnist_form, pen_width, reduced, resized

pytest.importorskip("cv2")


def random_ink(shape, low=0, high=256):
    return np.random.default_rng(0).integers(low, high, shape, np.uint8)


def place_of(image):
    """The top, left, bottom and right of the pixels above 0; the last two are exclusive."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def block_means(image, block):
    height, width = (side // block for side in image.shape)
    return image[: height * block, : width * block].reshape(height, block, width, block).mean(axis=(1, 3))


def bar(shape, place, level=255):
    """An image of a rectangle at top, left, bottom and right."""
    image = np.zeros(shape, np.uint8)
    top, left, bottom, right = place
    image[top:bottom, left:right] = level
    return image


# Size


@pytest.mark.parametrize("resize", [resized, reduced])
@pytest.mark.parametrize("block", [2, 3, 5])
def test_a_picture_shrunk_by_a_whole_number_has_the_means_of_blocks(resize, block):
    image = random_ink((30, 60))
    np.testing.assert_allclose(resize(image, 1 / block), block_means(image, block), atol=0.51)


def test_rows_and_columns_beyond_the_last_block_are_left_out_of_a_reduced_picture():
    image = random_ink((13, 22))
    np.testing.assert_allclose(reduced(image, 0.32), block_means(image, 3), atol=0.51)


def interpolated(image, shape):
    """Bilinear interpolation at the centres of the new pixels, along one axis after the other."""
    for axis, length in enumerate(shape):
        places = (np.arange(length) + 0.5) * image.shape[axis] / length - 0.5
        image = np.apply_along_axis(lambda line: np.interp(places, np.arange(len(line)), line), axis, image)  # noqa: B023
    return image


@pytest.mark.parametrize(
    ("resize", "factor", "shape"),
    [(reduced, 0.75, (6, 9)), (reduced, 0.6, (5, 7)), (resized, 1.5, (12, 18)), (resized, 2, (16, 24))],
)
def test_pictures_are_interpolated_for_other_factors(resize, factor, shape):
    image = random_ink((8, 12))
    np.testing.assert_allclose(resize(image, factor), interpolated(image, shape), atol=1)


def test_whole_blocks_are_averaged_before_a_picture_is_interpolated():
    image = random_ink((24, 40))
    np.testing.assert_allclose(reduced(image, 0.4), interpolated(block_means(image, 2), (10, 16)), atol=2)


@pytest.mark.parametrize("resize", [resized, reduced])
def test_a_picture_of_the_right_size_is_returned_itself(resize):
    image = random_ink((8, 12))
    assert resize(image, 1.0) is image
    assert reduced(image, 1.5) is image


@pytest.mark.parametrize(("shape", "expected"), [((30, 2), (6, 1)), ((2, 30), (1, 6)), ((23, 28), (5, 6))])
def test_sides_are_rounded_and_at_least_one_pixel(shape, expected):
    assert resized(np.zeros(shape, np.uint8), 0.2).shape == expected


# Strokes

PER_EDGE = np.pi / 4  # pixels counted along the sides of a bar become this much of its edge


def width_of_bar(height, width):
    return 2 * height * width / (2 * (height + width) * PER_EDGE)


@pytest.mark.parametrize("level", [1, 90, 255])
def test_the_width_of_a_bar_does_not_depend_on_its_level_or_place(level):
    assert pen_width(bar((9, 12), (2, 3, 8, 5), level)) == pytest.approx(width_of_bar(6, 2))
    assert pen_width(bar((6, 2), (0, 0, 6, 2), level)) == pytest.approx(width_of_bar(6, 2))


def test_no_ink_has_no_width():
    assert pen_width(np.zeros((4, 5), np.uint8)) == 0


@pytest.mark.parametrize(
    ("thick", "change"),
    [
        (1, 6),  # 0.31 of MNIST's pixels at a scale of 4: 1.49 too thin, which are 5.95 pixels
        (4, 2),  # 1.21
        (5, 1),  # 1.50
        (6, 0),  # 1.78
        (11, 0),  # 3.08
        (14, -1),  # 3.79
        (20, -6),  # 5.09
        (28, -12),  # 6.60, below a blot
        (32, 0),  # 7.28
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_strokes_of_bars_get_a_usual_width(thick, change, turned):
    """The middle of a long bar grows or shrinks by the difference from 1.8 or 3.5 of MNIST's pixels."""
    width = width_of_bar(80, thick) / 4
    assert round(4 * (np.clip(width, 1.8, 3.5) - width if width < 7 else 0)) == change
    around = 0 if change > 0 else 10
    ink = bar((80 + 2 * around, thick + 2 * around), (around, around, around + 80, around + thick))
    found = _mnist_form._with_usual_pen(ink.T.copy() if turned else ink, 4.0)
    found = found.T if turned else found
    margin = around + (max(change, 0) + 1) // 2
    assert found.shape == (80 + 2 * margin, thick + 2 * margin)
    top, left, bottom, right = place_of(found)
    assert (right - left, bottom - top) == (thick + change, 80 + change)
    assert np.unique(found).tolist() == [0, 255]
    assert abs(left + right - 2 * margin - thick) <= 1  # about the same middle
    assert (found[found.shape[0] // 2] > 0).sum() == thick + change


def blurred(image, deviation):
    """Convolution with a normal distribution, and 0 around the image."""
    reach = round(3 * deviation)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    result = np.pad(image.astype(float), reach)
    for axis in (0, 1):
        result = np.apply_along_axis(np.convolve, axis, result, weights / weights.sum(), "same")
    return result[reach:-reach, reach:-reach]


def test_thick_strokes_are_sharpened():
    """A grey hole becomes paper, and the difference from the blurred ink is added."""
    ink = bar((30, 24), (4, 5, 26, 19), 140)
    ink[12:18, 10:14] = 60
    scale = pen_width(ink) / 3.7
    found = _mnist_form._with_usual_pen(ink, scale)
    expected = (2.0 * ink - blurred(ink, 2 * scale)).clip(0, 255)
    assert 1.8 < pen_width(found) / scale < 3.5  # no pixel needs to be eroded
    np.testing.assert_allclose(found, expected, atol=1)
    assert (found - expected)[(expected > 0) & (expected < 255)].mean() == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(("width", "sharp"), [(3.49, False), (3.5, False), (3.51, True), (6.99, True), (7.0, False)])
def test_strokes_from_3_5_to_7_pixels_are_sharpened(width, sharp):
    ink = bar((30, 24), (4, 5, 26, 19), 140)
    ink[12:18, 10:14] = 60
    scale = pen_width(ink) / width
    assert pen_width(ink) / scale == pytest.approx(width, rel=1e-15)
    assert np.array_equal(_mnist_form._with_usual_pen(ink, scale), ink) is not sharp


# The image


@pytest.mark.parametrize("side", [20, 80, 160])
def test_widths_are_changed_on_a_grid_of_at_most_80_pixels(side):
    """A bar of 80 pixels and its enlargement are the same digit; a smaller one is not enlarged."""
    ink = bar((20, 12), (0, 4, 20, 5))
    ink[0] = 255
    found = mnist_form(np.kron(ink, np.ones((side // 20,) * 2, np.uint8)))
    if side == 160:
        np.testing.assert_array_equal(found, mnist_form(np.kron(ink, np.ones((4, 4), np.uint8))))
    else:
        scale = side // 20
        thick = np.kron(ink, np.ones((scale,) * 2, np.uint8))
        changed = _mnist_form._with_usual_pen(thick, float(scale))
        np.testing.assert_array_equal(found, mnist_form(changed, pen=False))


@pytest.mark.parametrize("shape", [(20, 12), (7, 20), (20, 20), (20, 1)])
@pytest.mark.parametrize("largest", [1, 51, 255])
def test_the_darkest_pixel_becomes_255_and_the_centre_of_mass_as_close_to_the_middle_as_possible(shape, largest):
    ink = random_ink(shape, 0, largest + 1)
    ink[0, 0] = ink[-3:, -1] = largest
    found = mnist_form(ink, pen=False)
    weights = ink / ink.sum()
    centre = [(weights * np.indices(shape)[axis]).sum() for axis in (0, 1)]
    top, left = (
        min(range(28 - side + 1), key=lambda start: abs(start + middle - 14))
        for side, middle in zip(shape, centre, strict=True)
    )
    expected = np.zeros((28, 28))
    expected[top : top + shape[0], left : left + shape[1]] = ink * (255 / largest)
    np.testing.assert_allclose(found, expected, atol=0.51)


@pytest.mark.parametrize(("heavy", "top"), [(0, 8), (19, 0)])
def test_a_digit_whose_mass_is_at_one_end_stays_in_the_image(heavy, top):
    ink = np.ones((20, 5), np.uint8)
    ink[heavy] = 255
    assert place_of(mnist_form(ink, pen=False)) == (top, 12, top + 20, 17)
    assert place_of(mnist_form(ink.T.copy(), pen=False)) == (12, top, 17, top + 20)


def test_no_ink_is_an_image_without_ink():
    assert not mnist_form(np.zeros((9, 4), np.uint8)).any()
    assert cropped(np.zeros((9, 4), np.uint8)).shape == (1, 1)


# Slant


def leaning(slant, height=40, width=6):
    """A bar, smooth at its sides, that moves by `slant` columns per row; it has more height than slant."""
    middles = 60 + slant * (np.arange(height)[:, np.newaxis] - (height - 1) / 2)
    distance = np.abs(np.arange(120) - middles)
    return cropped(np.rint(255 * np.clip((width + 1) / 2 - distance, 0, 1)).astype(np.uint8))


@pytest.mark.parametrize("slant", [-0.9, -0.5, -0.25, 0.25, 0.5, 0.9])
def test_a_bar_that_leans_becomes_upright(slant):
    ink = leaning(slant)
    found = deslanted(ink).astype(float)
    assert abs(found.shape[0] - 40) <= 1
    columns = found @ np.arange(found.shape[1]) / found.sum(axis=1)  # the centre of each row
    assert abs(np.polyfit(np.arange(len(columns)), columns, 1)[0]) < 0.06  # its corners are edges, too
    np.testing.assert_allclose(found.sum(), ink.sum(), rtol=0.02)


@pytest.mark.parametrize("slant", [-0.18, 0, 0.1, 0.18])
def test_a_bar_that_hardly_leans_is_left_unchanged(slant):
    ink = leaning(slant)
    np.testing.assert_array_equal(deslanted(ink), ink)


def test_a_lying_bar_is_left_unchanged():
    """A slope of a third: its long edges are closer to the horizontal, and say nothing about the slant."""
    ink = leaning(-0.1).T.copy()
    np.testing.assert_array_equal(deslanted(ink), ink)


def test_blank_ink_stays_blank():
    assert not deslanted(np.zeros((9, 4), np.uint8)).any()
