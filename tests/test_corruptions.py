"""The corruptions agree with independent implementations, or have the properties that define them."""

import numpy as np
import pytest

import lenet
from lenet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

ndimage = pytest.importorskip("scipy.ndimage")
pytest.importorskip("cv2")

IMAGES = lenet.data.load_digits().X_test[:60]
GREY = np.full((60, 28, 28), 128, np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_decides_and_severity_matters(name):
    images = IMAGES[:20]
    mild, published = corrupt(images, name, 1), corrupt(images, name)
    np.testing.assert_array_equal(corrupt(images, name, 1), mild)
    np.testing.assert_array_equal(corrupt(images, name, CORRUPTIONS[name].published), published)
    error = [np.abs(each.astype(int) - images).mean() for each in (mild, corrupt(images, name, SEVERITIES))]
    assert error[0] > 0
    if name != "spatter":  # its first three severities have larger drops
        assert error[1] > 1.04 * error[0]


def test_brightness_adds_and_clips():
    np.testing.assert_allclose(corrupt(IMAGES, "brightness", 5), np.minimum(IMAGES + 127.5, 255), atol=0.51)


def test_stripes_invert_the_outer_columns():
    expected = IMAGES.copy()
    expected[:, :, :7] = 255 - expected[:, :, :7]
    expected[:, :, 21:] = 255 - expected[:, :, 21:]
    np.testing.assert_array_equal(corrupt(IMAGES, "stripe"), expected)


def test_translations_move_by_whole_pixels_in_both_directions():
    found = set()
    for image, moved in zip(IMAGES, corrupt(IMAGES, "translate", 2), strict=True):
        shifts = [(y, x) for y in (-2, 2) for x in (-2, 2)]
        found |= {shift for shift in shifts if (ndimage.shift(image, shift, order=0) == moved).all()}
    assert len(found) == 4


def by_scipy(image, map_xy):
    """The image under a map about its centre, from output to input, for (x, y)."""
    swapped = map_xy[::-1, ::-1]
    return ndimage.affine_transform(
        image.astype(float), swapped, 13.5 - swapped @ [13.5, 13.5], order=1, mode="grid-constant"
    )


@pytest.mark.parametrize(
    ("name", "map_at"),
    [
        ("rotate", lambda a: np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])),
        ("shear", lambda a: np.array([[1, -np.sin(a)], [0, np.cos(a)]])),
    ],
)
def test_rotations_and_shears_agree_with_scipy(name, map_at):
    signs = set()
    for image, turned in zip(IMAGES, corrupt(IMAGES, name, 2), strict=True):
        errors = {sign: np.abs(turned - by_scipy(image, map_at(0.4 * sign))).mean() for sign in (-1, 1)}
        signs.add(min(errors, key=errors.get))
        assert min(errors.values()) < 1  # OpenCV interpolates at 1/32 of a pixel
    assert signs == {-1, 1}


def test_scaling_agrees_with_scipy():
    for image, smaller in zip(IMAGES, corrupt(IMAGES, "scale", 3), strict=True):
        assert np.abs(smaller - by_scipy(image, np.eye(2) / 0.7)).mean() < 1


def test_shot_noise_is_poisson():
    noisy = corrupt(GREY, "shot_noise", 1) / 255.0
    assert noisy.mean() == pytest.approx(128 / 255, abs=0.003)
    assert noisy.var() == pytest.approx(128 / 255 / 60, rel=0.05)


def test_impulses_are_black_and_white_in_equal_parts():
    noisy = corrupt(GREY, "impulse_noise", 4)
    for level in (0, 255):
        assert (noisy == level).mean() == pytest.approx(0.085, abs=0.005)
    assert (noisy == 128).mean() == pytest.approx(0.83, abs=0.008)


def test_motion_spreads_a_point_along_a_line_to_one_side():
    dots = np.zeros((60, 28, 28), np.uint8)
    dots[:, 14, 20] = 255
    smeared = corrupt(dots, "motion_blur", 1).astype(float)
    np.testing.assert_allclose(smeared.sum(axis=(1, 2)), 255, atol=8)
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    np.testing.assert_allclose(smeared[:, 14, 20], 255 * weights[0] / weights.sum(), atol=1)
    y, x = np.nonzero(smeared.max(axis=0))
    assert x.max() == 20
    assert (np.abs(y - 14) <= 20 - x + 1).all(), "at most 45 degrees from the horizontal"


def test_glass_moves_ink_by_a_few_pixels():
    dots = np.zeros((60, 28, 28), np.uint8)
    dots[:, 14, 14] = 255
    blurred = corrupt(dots, "glass_blur", 1).astype(float)
    y, x = np.nonzero(blurred.max(axis=0) > 3)
    assert 2 < np.hypot(y - 14, x - 14).max() < 9
    np.testing.assert_array_equal(corrupt(GREY, "glass_blur", 3), GREY)


def test_fog_lightens_and_lowers_the_contrast():
    dark, light = (corrupt(np.full((20, 28, 28), level, np.uint8), "fog", 2).astype(float) for level in (1, 255))
    assert dark.max() <= 1, "fog is in proportion to the brightest pixel"
    image = np.zeros((20, 28, 28), np.uint8)
    image[:, :14] = 255
    foggy = corrupt(image, "fog", 2).astype(float)
    np.testing.assert_allclose(light[:, :14], foggy[:, :14], atol=1)
    np.testing.assert_allclose(light[:, 14:] - foggy[:, 14:], 85, atol=1)  # 1 / (1 + strength)


def test_mud_is_dark_grey():
    muddy = corrupt(np.full((60, 28, 28), 255, np.uint8), "spatter", 4)
    assert 0.02 < (muddy < 255).mean() < 0.5
    assert muddy.min() >= 63


@pytest.mark.parametrize(("name", "legs"), [("dotted_line", 7), ("zigzag", 1)])
def test_lines_add_ink_from_side_to_side(name, legs):
    added = corrupt(IMAGES, name, 1).astype(int) - IMAGES
    assert added.min() == 0
    blank = corrupt(np.zeros_like(IMAGES), name, 1)
    columns = blank.any(axis=1).astype(int)
    runs = (np.diff(columns, prepend=0) == 1).sum(axis=1)
    assert np.median(runs) == legs
    assert 200 < blank.max() <= 255


def test_edges_are_those_of_the_strokes():
    square = np.zeros((1, 28, 28), np.uint8)
    square[0, 8:20, 8:20] = 255
    edges = corrupt(square, "canny_edges")[0]
    assert set(np.unique(edges)) == {0, 255}
    near = ndimage.binary_dilation(square[0] > 0, iterations=2) & ~ndimage.binary_erosion(square[0] > 0, iterations=2)
    assert not edges[~near].any()
    assert 35 < (edges > 0).sum() < 60


def test_any_number_of_images_is_corrupted():
    images = np.zeros((1001, 28, 28), np.uint8)
    images[:, 3, 4] = np.arange(1001) % 200
    expected = images + 25.5  # 10% of 255
    assert np.abs(corrupt(images, "brightness", 1) - expected).max() <= 0.5
    assert corrupt(images[:0], "brightness").shape == (0, 28, 28)


def test_the_seed_is_0_by_default_and_not_negative():
    np.testing.assert_array_equal(corrupt(IMAGES, "shot_noise"), corrupt(IMAGES, "shot_noise", seed=0))
    assert (corrupt(IMAGES, "shot_noise", seed=1) != corrupt(IMAGES, "shot_noise")).any()
    with pytest.raises(lenet.errors.InputError, match="seed is -1; expected at least 0"):
        corrupt(IMAGES, "shot_noise", seed=-1)


@pytest.mark.parametrize(("severity", "says"), [(0, "severity is 0; expected at least 1"),
                                                (6, "severity is too large; expected at most 5")])  # fmt: skip
def test_other_severities_than_1_to_5_are_refused(severity, says):
    with pytest.raises(lenet.errors.InputError, match=says):
        corrupt(IMAGES, "fog", severity)


def test_other_names_and_images_are_refused():
    with pytest.raises(lenet.errors.InputError, match=r"name is 'rain'; expected one of shot_noise, .*, canny_edges"):
        corrupt(IMAGES, "rain")
    with pytest.raises(lenet.errors.InputTypeError, match="images has dtype float64; expected uint8"):
        corrupt(IMAGES / 255, "fog")


# The parameters that Hendrycks and Dietterich (ICLR 2019) publish for ImageNet-C, which MNIST-C uses.
PUBLISHED = {
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_strengths_are_the_published_ones(name):
    assert CORRUPTIONS[name].levels == PUBLISHED[name]
