"""Table rows as images, against values computed by hand."""

import statistics

import numpy as np
import pytest

from lenet.errors import InputError
from lenet.estimator.framing import Framing, framing_of, shape_of


@pytest.mark.parametrize(
    ("n_features", "image_shape", "given", "shape"),
    [
        (784, "auto", None, (28, 28)),
        (64, "auto", None, (8, 8)),
        (1, "auto", None, (1, 1)),
        (96, "auto", (12, 8), (12, 8)),
        (3, "auto", (1, 3), (1, 3)),
        (28, "auto", (28, 1), (28, 1)),
        (96, (12, 8), None, (12, 8)),
        (96, [12, 8], (12, 8), (12, 8)),
        (3, (1, 3), None, (1, 3)),
        (784, (28, 28), (28, 28), (28, 28)),
    ],
)
def test_shape(n_features, image_shape, given, shape):
    assert shape_of(n_features, image_shape, given) == shape


@pytest.mark.parametrize(("n_features", "side"), [(600, 25), (783, 28), (730, 28), (65, 9), (63, 8), (2, 2)])
def test_columns_that_are_not_a_square_are_a_warning(n_features, side):
    expected = (
        rf"X has {n_features} columns, .* {side}x{side} pixels, .*\. Set image_shape=\(height, width\) for images of"
    )
    with pytest.warns(UserWarning, match=expected):
        assert shape_of(n_features, "auto", None) == (side, side)


@pytest.mark.parametrize(
    ("n_features", "image_shape", "given", "says"),
    [
        (
            785,
            "auto",
            None,
            "785 columns; expected at most 784 (28x28 pixels). If one contains the labels, pass it as y",
        ),
        (786, "auto", None, "786 columns; expected at most 784 (28x28 pixels). Resize the images"),
        (1000, "auto", None, "1000 columns; expected at most 784 (28x28 pixels). Resize the images"),
        (841, "auto", None, "841 pixels per image, 29x29; expected at most 28x28. Convert digits with lenet"),
        (29, "auto", (29, 1), "29 pixels per image, 29x1; expected at most 28x28"),
        (29, (1, 29), None, "29 pixels per image, 1x29; expected at most 28x28"),
        (1024, "auto", None, "1024 pixels per image, 32x32; expected at most 28x28. Convert digits with lenet"),
        (1024, "auto", (32, 32), "1024 pixels per image, 32x32"),
        (64, (28, 28), None, "images of 64 pixels; expected 28x28, as in image_shape"),
        (784, (28, 28), (16, 49), "images of 16x49 pixels"),
        (64, "square", None, "image_shape is 'square'; expected 'auto' or (height, width)"),
        (64, 8, None, "image_shape is 8; expected"),
        (64, (8, 8, 1), None, "image_shape is (8, 8, 1); expected"),
        (64, (0, 8), None, "image_shape[0] is 0; expected at least 1"),
        (64, (8, 0), None, "image_shape[1] is 0; expected at least 1"),
    ],
)
def test_shape_that_is_refused(n_features, image_shape, given, says):
    with pytest.raises(InputError) as error:
        shape_of(n_features, image_shape, given)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.array([[0, 7]], np.uint8), 0, 255),
        (np.array([[0.2, 0.7]]), 0, 1),
        (np.array([[0.2, 1.0]]), 0, 1),
        (np.array([[0.0, 0.7]]), 0, 1),
        (np.array([[0.0, 16.0]]), 0, 16),
        (np.array([[0.5, 1.5]]), 0.5, 1.5),
        (np.array([[0.0] * 99 + [16.0]]), 0, 16),  # which is 10 standard deviations above the mean
        (np.array([[-3.0, 2.0]]), -3, 2),
        (np.array([[5, 200]]), 5, 200),
        (np.array([[4.0, 4.0]]), 0, 4),
        (np.array([[-4.0, -4.0]]), -4, 1),
        (np.array([[0.0, 0.0]]), 0, 1),
    ],
)
def test_range_of_the_pixels(values, low, high):
    framing = framing_of(values, (1, 2))
    assert (framing.low, framing.high) == (low, high)


def test_the_range_of_values_with_an_outlier_is_three_standard_deviations():
    values = [-1.0] * 50 + [1.0] * 49 + [100.0]
    framing = framing_of(np.array([values]), (10, 10))
    high = statistics.fmean(values) + 3 * statistics.pstdev(values)
    assert (framing.low, framing.high) == (-1, pytest.approx(high))
    framing = framing_of(-np.array([values]), (10, 10))
    assert (framing.low, framing.high) == (pytest.approx(-high), 1)


def test_bytes_of_full_size_are_not_copied():
    X = np.arange(2 * 784).astype(np.uint8).reshape(2, 784)
    images = Framing(28, 28, 0, 255).images(X)
    assert np.shares_memory(images, X)
    np.testing.assert_array_equal(images, X.reshape(2, 28, 28))


def test_pixels_are_scaled_and_those_beyond_count_as_the_ends():
    X = np.zeros((1, 784))
    X[0, :5] = [-10, -2, 1, 4, 90]
    images = Framing(28, 28, -2, 4).images(X)
    assert images.dtype == np.float32
    assert images[0, 0, :6].tolist() == [0, 0, 0.5, 1, 1, np.float32(1 / 3)]


def test_images_above_20_pixels_keep_their_size():
    X = np.random.default_rng(0).random((3, 24 * 21))
    expected = np.zeros((3, 28, 28))
    expected[:, 2:26, 4:25] = X.reshape(3, 24, 21)  # 4 rows left: 2 and 2; 7 columns left: 4 and 3
    np.testing.assert_allclose(Framing(24, 21, 0, 1).images(X), expected, rtol=1e-6)


def test_small_images_are_enlarged_to_20_pixels():
    """A bright row among 10 becomes two rows, with edges that fade over two rows each."""
    X = np.zeros((1, 10, 5))
    X[0, 4] = 1
    image = Framing(10, 5, 0, 1).images(X.reshape(1, 50))[0]
    # Row r of 28 lies at 4.5 + (r - 13.5) / 2 of 10; its share of row 4 is 1 minus the distance.
    np.testing.assert_allclose(image[:, 13], np.maximum(0, 1 - np.abs((np.arange(28) - 13.5) / 2 + 0.5)), atol=1e-6)
    # 5 columns become 10 in the middle; outside of them, half a column of 5 fades out on either side.
    assert np.flatnonzero(image[12]).tolist() == [*range(8, 20)]


def test_missing_pixels_are_background():
    image = Framing(2, 2, 0, 1).images(np.ones((1, 3)))[0]
    np.testing.assert_allclose(Framing(2, 2, 0, 1).images(np.array([[1.0, 1, 1, 0]]))[0], image)


@pytest.mark.parametrize("shape", [(5, 9), (20, 3), (1, 1), (7, 19), (10, 10), (21, 4), (23, 28)])
def test_images_are_interpolated_linearly_within_zeros(shape):
    """As by np.interp, in both directions: up to a longer side of 20, or in whole pixels above."""
    image = expected = np.random.default_rng(0).random(shape)
    scale = max(1, 20 / max(shape))
    for length in shape:
        at = (length - 1) / 2 + (np.arange(28) - 13.5) / scale
        at = np.floor(at) if scale == 1 else at
        lines = [np.interp(at, np.arange(-1, length + 1), [0, *line, 0]) for line in expected.T]
        expected = np.array(lines)  # transposed, so that the columns are next
    np.testing.assert_allclose(Framing(*shape, 0, 1).images(image.reshape(1, -1))[0], expected, atol=1e-6)


def test_ink_never_exceeds_1():
    for height in range(1, 21):
        for width in range(1, 21):
            assert Framing(height, width, 0, 1).images(np.ones((1, height * width))).max() <= 1


def test_each_of_many_rows_is_framed():
    """They are framed in blocks of 1,024."""
    X = np.arange(2500.0).reshape(-1, 1)
    pixels = Framing(28, 28, 0, 2500).images(X)[:, 0, 0]
    np.testing.assert_allclose(pixels, np.arange(2500) / 2500, rtol=1e-6)


@pytest.mark.parametrize("at", [0, 1023, 1024, 2499])
def test_one_fraction_in_many_rows_is_found(at):
    X = np.full((2500, 1), 3.0)
    assert framing_of(np.vstack([X, [[4]]]), (1, 1)).whole
    X[at] = 4.5
    assert not framing_of(X, (1, 1)).whole


@pytest.mark.parametrize(
    ("X", "whole"),
    [
        (np.array([[3, 200]], np.uint8), True),
        (np.array([[3, -5]], np.int64), True),
        (np.array([[False, True]]), True),
        (np.array([[3.0, -5.0]]), True),
        (np.array([[3.0, 2.5]]), False),
        (np.array([[-0.5, 3.0]]), False),
    ],
)
def test_a_framing_knows_whether_the_values_were_integers(X, whole):
    assert framing_of(X, (1, 2)).whole is whole


def test_rows_do_not_depend_on_their_neighbours():
    X = np.random.default_rng(0).normal(size=(9, 64))
    framing = framing_of(X, (8, 8))
    one_by_one = np.concatenate([framing.images(X[n : n + 1]) for n in range(9)])
    np.testing.assert_array_equal(framing.images(X), one_by_one)


BYTES, FRACTIONS = Framing(28, 28, 0, 255, whole=True), Framing(28, 28, 0, 1)


@pytest.mark.parametrize(
    ("framing", "X", "advice"),
    [
        (BYTES, np.full((1, 784), 0.5), "Scale them back to 0 to 255"),
        (Framing(28, 28, 0, 16, whole=True), np.full((1, 784), 0.5), "Scale them back to 0 to 16"),
        (BYTES, np.full((1, 784), -0.4), "Scale them back to 0 to 255"),
        (BYTES, np.full((1, 784), 200, np.uint8).view(np.int8), "Scale them back to 0 to 255"),
        (BYTES, np.ones((1, 784), bool), "Scale them back to 0 to 255"),
        (FRACTIONS, np.full((1, 784), 200, np.uint8), "Scale them as for fit"),
        (FRACTIONS, np.full((1, 784), 16.0), "Scale them as for fit"),
        (Framing(8, 8, 0, 16), np.repeat([16.0, 200.0], [47, 17])[np.newaxis], "Scale them as for fit"),
        (Framing(28, 28, -1, 1), np.repeat([0, 255], [700, 84])[np.newaxis].astype(np.uint8), "Scale them as for fit"),
    ],
)
def test_another_scale_is_refused(framing, X, advice):
    with pytest.raises(InputError, match=advice):
        framing.check_scale(X)


def accepted(framing, values):
    try:
        framing.check_scale(np.array([values]))
    except InputError:
        return False
    return True


@pytest.mark.parametrize(
    ("low", "high", "values", "is_accepted"),
    [
        (0, 250, [0, 1], False),
        (0, 250, [0.0, 1.0], False),
        (-9, 250, [0, 1], False),
        (0, 10, [0, 1], False),
        (0, 9, [0, 1], True),
        (0, 250, [1, 1], True),
        (0, 250, [-1, 1], True),
        (0, 250, [0] * 47 + [1] * 3, False),
        (0, 250, [0] * 19 + [1], True),  # nearly blank
        (0, 250, [0.5, 1.0], False),
        (0, 250, [0.5, 1.5], True),
        (0, 250, [0.0, 100.5], True),
        (0, 250, [False, True], False),
        (-9, 250, [False, True], False),
        (0, 250, [-25, 100], True),  # a tenth of the range
        (0, 250, [-26, 100], False),
        (0, 250, [-0.5, 100], False),
        (1, 250, [-0.5, 100], False),
        (-9, 250, [-0.5, 100], True),
        (-9, 250, [-100, 100], True),
        (-9, 250, [0.5, 0.5], False),
        (0, 2, [0.5, 0.5], False),
        (0, 1, [0.5, 0.5], True),
        (0, 250, [0, 2500], True),
        (0, 250, [0, 2501], False),
        (5, 250, [0, 2501], False),
        (-9, 250, [0, 518], True),
        (-9, 250, [0, 519], False),
        (-9, 250, [-1, 9999], True),
        (-9, -2, [0, 14], True),
        (-9, -2, [0, 15], False),
    ],
)
def test_the_scale_of_integers(low, high, values, is_accepted):
    assert accepted(Framing(1, 2, low, high, whole=True), values) == is_accepted


@pytest.mark.parametrize(
    ("values", "is_accepted"),
    [([0.5, 0.5], True), ([-100, 0], True), ([False, True], True), ([0, 2500], True), ([0, 2500.5], False)],
)
def test_the_scale_of_fractions(values, is_accepted):
    assert accepted(Framing(1, 2, 0, 250), values) == is_accepted


@np.errstate(under="raise")
def test_pixels_too_small_for_single_precision_are_background():
    assert not Framing(28, 28, 0, 1).images(np.full((1, 784), 1e-300)).any()


def test_the_shape_of_images_is_checked():
    framing = Framing(3, 5, 0, 1)
    framing.check(None)
    framing.check((3, 5))
    for shape in ((5, 3), (3, 4), (2, 5)):
        with pytest.raises(InputError, match=f"images of {shape[0]}x{shape[1]} pixels; expected 3x5, as in fit"):
            framing.check(shape)


@pytest.mark.parametrize(
    ("framing", "X"),
    [
        *((framing, X) for framing in (BYTES, FRACTIONS) for X in (np.zeros((1, 784)), np.full((1, 784), 1.5))),
        (BYTES, np.ones((1, 784))),  # a faint one
        (BYTES, np.full((1, 784), 100.5)),
        (BYTES, np.full((1, 784), -20)),
        (BYTES, np.zeros((0, 784))),
        (Framing(28, 28, 0, 1, whole=True), np.full((1, 784), 2)),
        (Framing(28, 28, 0, 1, whole=True), np.full((1, 784), 0.5)),
        (Framing(8, 8, -2.8, 2.8), np.repeat([-0.1, 138.0], [1, 63])[np.newaxis]),  # rare values of standardised data
        (FRACTIONS, np.where(np.arange(784) == 3, 255.0, np.linspace(0, 1, 784))[np.newaxis]),  # an outlier
        (Framing(8, 8, 0, 16), np.repeat([16.0, 200.0], [49, 15])[np.newaxis]),  # less than a quarter
    ],
)
def test_pixels_that_may_have_the_fitted_scale_are_accepted(framing, X):
    framing.check_scale(X)


def test_numbers_too_far_apart():
    with pytest.raises(InputError, match="a range that fits in a float"):
        framing_of(np.array([[1e308, -1e308]]), (1, 2))


def test_small_images_of_bytes_are_enlarged_too():
    X = np.arange(64, dtype=np.uint8).reshape(1, 64)
    np.testing.assert_allclose(Framing(8, 8, 0, 255).images(X), Framing(8, 8, 0, 1).images(X / 255), rtol=1e-6)
    whole = Framing(28, 28, 0, 16).images(np.full((1, 784), 8, np.uint8))
    assert (whole == 0.5).all()


def test_missing_pixels_of_bytes_are_background():
    images = Framing(28, 28, 0, 255).images(np.full((2, 783), 255, np.uint8))
    expected = np.ones((2, 784))
    expected[:, 783] = 0
    np.testing.assert_array_equal(images, expected.reshape(2, 28, 28))
