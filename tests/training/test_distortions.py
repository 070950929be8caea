"""Affine maps of images agree with SciPy's, and random ones stay in range."""

from dataclasses import replace

import numpy as np
import pytest

import lenet
from lenet.training.augment.defects import random_defects
from lenet.training.augment.distortions import (
    AffineMaps,
    Variations,
    random_affine,
    random_distortions,
    random_variations,
)

ndimage = pytest.importorskip("scipy.ndimage")


def by_scipy(image, affine):
    """The same map: SciPy counts (y, x) from the corner, we (x, y) from the centre."""
    swapped = affine[::-1, [1, 0]]
    centre = (np.array(image.shape) - 1) / 2
    offset = affine[::-1, 2] + centre - swapped @ centre
    return ndimage.affine_transform(image.astype(float), swapped, offset, order=1, mode="grid-constant")


@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distort_agrees_with_scipy(shape, dtype):
    rng = np.random.default_rng(0)
    images, maps = rng.random((20, *shape)).astype(dtype), random_affine(20, rng)
    for image, affine, ours in zip(images, maps, AffineMaps(maps).apply(images), strict=True):
        np.testing.assert_allclose(ours, by_scipy(image, affine), atol=1e-6)


def test_distort_rounds_uint8_to_the_nearest():
    rng = np.random.default_rng(1)
    images, maps = rng.integers(0, 256, (20, 28, 28)).astype(np.uint8), random_affine(20, rng)
    for image, affine, ours in zip(images, maps, AffineMaps(maps).apply(images), strict=True):
        assert np.abs(ours - by_scipy(image, affine)).max() <= 0.5 + 1e-9


def test_the_identity_changes_nothing():
    images = np.random.default_rng(2).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    identity = np.tile(np.eye(2, 3), (3, 1, 1))
    np.testing.assert_array_equal(AffineMaps(identity).apply(images), images)


def test_a_map_that_looks_elsewhere_shows_background():
    images = np.full((1, 28, 28), 255, np.uint8)
    away = np.array([[[1, 0, 1e18], [0, 1, 0]]], float)
    assert not AffineMaps(away).apply(images).any()


def test_angles_scales_and_shears_are_those_of_the_model_card():
    """Each map is the product of a scaling of x and y, a rotation and a shear, into which this takes it apart."""
    (a, b, x), (c, d, y) = random_affine(20_000, np.random.default_rng(3)).transpose(1, 2, 0)
    difference = d / c - b / a  # tangent + 1 / tangent
    tangent = (difference - np.sign(difference) * np.sqrt(difference**2 - 4)) / 2
    found = {
        "angle": np.degrees(np.arctan(tangent)),
        "shear": b / a + tangent,
        "scale": a * np.sqrt(1 + tangent**2),
        "x": x,
        "y": y,
    }
    for name, low, high in (
        ("angle", -10, 10),
        ("shear", -0.15, 0.15),
        ("scale", 0.9, 1.1),
        ("x", -2, 2),
        ("y", -2, 2),
    ):
        assert low <= found[name].min() < low + 0.01 * (high - low), name
        assert high - 0.01 * (high - low) < found[name].max() <= high, name


class Drawn(np.random.Generator):
    """A generator that draws given values."""

    def __init__(self, *values):
        super().__init__(np.random.PCG64(0))
        self.values = [np.array(value) for value in values]

    def uniform(self, low, high, shape):
        value = self.values.pop(0)
        assert value.shape == np.zeros(shape).shape
        assert low <= value.min() <= value.max() <= high
        return value


def test_a_map_shears_then_turns_then_scales_then_shifts():
    turn, shear = np.radians(8), 0.1
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    expected = np.diag([0.95, 1.05]) @ turned @ [[1, shear], [0, 1]]
    (affine,) = random_affine(1, Drawn([8.0], [[0.95], [1.05]], [shear], [[1.5], [-0.5]]))
    np.testing.assert_allclose(affine, np.column_stack([expected, [1.5, -0.5]]), rtol=1e-14)


@pytest.mark.parametrize("draw", [
    random_affine,
    lambda n, rng: random_variations(n, rng).seeds,
    lambda n, rng: random_defects(n, rng, 0.5),
    lambda n, rng: random_distortions(n, rng, distort=True, vary=False, defects=0).maps,
])  # fmt: skip
def test_nothing_is_drawn_for_no_images_and_negative_numbers_are_refused(draw):
    rng = np.random.default_rng(0)
    assert len(draw(0, rng)) == 0
    with pytest.raises(lenet.errors.InputError, match="n is -1; expected at least 0"):
        draw(-1, rng)


def test_the_same_seed_draws_the_same_maps():
    a, b = (random_affine(5, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, random_affine(5, np.random.default_rng(5)))


@pytest.mark.parametrize("images", [np.zeros((3, 28, 28), int), np.zeros((28, 28)), np.zeros((1, 2, 3, 4), np.uint8)])
def test_other_images_are_refused(images):
    with pytest.raises(
        lenet.errors.InputError, match=r"images has dtype .* and shape .*; expected uint8, float32 or float64"
    ):
        AffineMaps(np.zeros((len(images), 2, 3))).apply(images)


@pytest.mark.parametrize("maps", [np.zeros((1, 2, 3)), np.zeros((3, 2, 2)), np.zeros((4, 2, 3))])
def test_maps_of_another_shape_are_refused(maps):
    with pytest.raises(lenet.errors.InputError, match="maps has shape"):
        AffineMaps(maps).apply(np.zeros((3, 28, 28), np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_map_of_nan_gives_background(dtype):
    assert not AffineMaps(np.full((1, 2, 3), np.nan)).apply(np.ones((1, 4, 4), dtype)).any()


# ---- variations ----------------------------------------------------------------------------------------


def plain(n):
    """Variations that change nothing."""
    pens = np.zeros((n, 7), np.float32)
    pens[:, 2] = 1
    maps = np.tile(np.eye(2, 3), (n, 1, 1))
    return Variations(maps, np.zeros((n, 2, 4, 4), np.float32), pens, np.arange(n, dtype=np.uint64))


IMAGES = lenet.data.load_digits().X_test[:20]
NAMES = ("maps", "bends", "pens", "seeds")


def noise(seed, n):
    """n numbers of Marsaglia's xorshift generator of 64 bits, from -1 to 1."""
    numbers, state = [], int(seed) | 1
    for _ in range(n):
        state ^= state << 13 & 2**64 - 1
        state ^= state >> 7
        state ^= state << 17 & 2**64 - 1
        numbers.append((state >> 11) / 2**52 - 1)
    return np.array(numbers)


def varied(image, affine, bend, pen, seed):
    """The same by SciPy, in float64, step by step. The rim of an image has no neighbours there, and is not changed."""
    thick, soft, ink, level, slope_x, slope_y, amplitude = pen.astype(float)
    y, x = np.mgrid[:28, :28]
    places = np.tensordot(affine, np.stack([x - 13.5, y - 13.5, np.ones((28, 28))]), 1) + 13.5
    u, v = (
        place + ndimage.map_coordinates(part, [y / 9, x / 9], order=1) for place, part in zip(places, bend, strict=True)
    )
    image = ndimage.map_coordinates(image.astype(float), [v, u], order=1, mode="grid-constant")
    if thick:
        change = ndimage.grey_dilation if thick > 0 else ndimage.grey_erosion
        extreme = change(image, footprint=ndimage.generate_binary_structure(2, 1))
        image[1:-1, 1:-1] += abs(thick) * (extreme - image)[1:-1, 1:-1]
    if soft:
        blurred = image.copy()
        blurred[:, 1:-1] = ndimage.convolve1d(image, [0.25, 0.5, 0.25], axis=1)[:, 1:-1]
        image[1:-1] += soft * (ndimage.convolve1d(blurred, [0.25, 0.5, 0.25], axis=0) - image)[1:-1]
    ground = level + (slope_x * (x - 13.5) + slope_y * (y - 13.5)) / 28
    shown = 255 * ground + (ink - ground) * image + 255 * amplitude * noise(seed, 784).reshape(28, 28)
    return shown.clip(0, 255)


def test_variations_agree_with_scipy():
    images, variations = np.tile(IMAGES, (10, 1, 1)), random_variations(200, np.random.default_rng(1))
    variations.pens[:40] *= [1, 1, 1, 2, 2, 2, 3]  # also to where levels are cut at 0 and 255
    each = zip(images, variations.maps, variations.bends, variations.pens, variations.seeds, strict=True)
    expected = np.stack([varied(*arguments) for arguments in each])
    assert np.abs(variations.apply(images) - expected).max() <= 0.51


def test_plain_variations_change_nothing():
    np.testing.assert_array_equal(plain(20).apply(IMAGES), IMAGES)


def test_each_parameter_is_drawn_for_all_images_even_for_those_that_do_not_have_it():
    ours, rng, n = random_variations(40, np.random.default_rng(7)), np.random.default_rng(7), 40
    pens = np.zeros((n, 7))

    def fill(place, fraction, low, high, otherwise=0.0):
        for image, drawn, value in zip(range(n), rng.random(n), rng.uniform(low, high, n), strict=True):
            pens[image, place] = value if drawn < fraction else otherwise

    has_ground = [drawn < 1 / 6 for drawn in rng.random(n)]
    fill(0, 1 / 2, -0.6, 0.8)
    fill(1, 1 / 3, 0, 1)
    fill(2, 1 / 4, 0.6, 1, otherwise=1)
    for place, low in ((3, 0), (4, -0.12), (5, -0.12)):
        pens[:, place] = [value if has else 0 for has, value in zip(has_ground, rng.uniform(low, 0.12, n), strict=True)]
    fill(6, 1 / 6, 0, 0.12)
    assert (ours.bends.dtype, ours.pens.dtype, ours.seeds.dtype) == (np.float32, np.float32, np.uint64)
    np.testing.assert_allclose(ours.pens, pens, rtol=1e-6)
    np.testing.assert_array_equal(ours.maps, random_affine(n, rng))
    np.testing.assert_allclose(ours.bends, 0.8 * rng.standard_normal((n, 2, 4, 4)), rtol=1e-6)
    np.testing.assert_array_equal(ours.seeds, rng.integers(0, 2**64, n, np.uint64))


def test_variations_of_another_number_or_type_are_refused():
    with pytest.raises(lenet.errors.InputError, match=r"images has shape \(20, 28, 27\)"):
        plain(20).apply(IMAGES[:, :, :27])
    with pytest.raises(lenet.errors.InputError, match="maps has shape"):
        plain(3).apply(IMAGES)
    with pytest.raises(lenet.errors.InputTypeError, match="images has dtype float64"):
        plain(20).apply(IMAGES / 255)
    with pytest.raises(lenet.errors.InputError, match="seeds has shape"):
        replace(plain(20), seeds=np.zeros(3, np.uint64)).apply(IMAGES)


def test_the_error_for_a_non_array_states_what_was_expected():
    ragged = [[1, 2], [3]]
    variations = plain(20)
    with pytest.raises(lenet.errors.InputError, match=r"^images is not .*; expected shape \(n, H, W\)\.$"):
        AffineMaps(np.zeros((2, 2, 3))).apply(ragged)
    with pytest.raises(lenet.errors.InputError, match=r"^images is not .*; expected uint8 of shape \(n, 28, 28\)\.$"):
        variations.apply(ragged)
    seeds = replace(variations, seeds=ragged)
    with pytest.raises(lenet.errors.InputError, match=r"^seeds is not .*; expected shape \(20,\)\.$"):
        seeds.apply(IMAGES)


def test_invalid_pens_and_seeds_are_refused():
    variations = plain(20)
    floats = replace(variations, seeds=np.zeros(20))
    with pytest.raises(lenet.errors.InputTypeError, match="seeds has dtype float64; expected unsigned integers"):
        floats.apply(IMAGES)
    variations.pens[3, 1] = np.inf
    with pytest.raises(lenet.errors.InputError, match=r"^pens contains NaN or infinite values"):
        variations.apply(IMAGES)
