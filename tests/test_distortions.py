"""Affine maps of images against SciPy's, and the range of the random ones."""

import numpy as np
import pytest

import lenet
from lenet.data.distortions import distort, random_affine

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
    for image, affine, ours in zip(images, maps, distort(images, maps), strict=True):
        np.testing.assert_allclose(ours, by_scipy(image, affine), atol=1e-6)


def test_distort_rounds_uint8_to_the_nearest():
    rng = np.random.default_rng(1)
    images, maps = rng.integers(0, 256, (20, 28, 28)).astype(np.uint8), random_affine(20, rng)
    for image, affine, ours in zip(images, maps, distort(images, maps), strict=True):
        assert np.abs(ours - by_scipy(image, affine)).max() <= 0.5 + 1e-9


def test_the_identity_changes_nothing():
    images = np.random.default_rng(2).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    identity = np.tile(np.eye(2, 3), (3, 1, 1))
    np.testing.assert_array_equal(distort(images, identity), images)


def test_a_map_that_looks_elsewhere_shows_background():
    images = np.full((1, 28, 28), 255, np.uint8)
    away = np.array([[[1, 0, 1e18], [0, 1, 0]]], float)
    assert not distort(images, away).any()


def test_maps_stay_within_their_ranges_and_fill_them():
    maps = random_affine(20_000, np.random.default_rng(3))
    shifts = np.abs(maps[:, :, 2])
    assert 1.99 < shifts.max() <= 2
    first_row, second_row = np.linalg.norm(maps[:, 0, :2], axis=1), np.linalg.norm(maps[:, 1, :2], axis=1)
    lengths = np.concatenate([first_row, second_row])
    assert lengths.min() > 0.85
    assert lengths.max() < 1.28
    angles = np.degrees(np.arctan2(maps[:, 1, 0] / second_row, maps[:, 0, 0] / first_row))
    assert 9 < np.abs(angles).max() < 11.5
    assert np.linalg.det(maps[:, :, :2]).min() > 0.8
    np.testing.assert_allclose(maps.mean(axis=0), np.eye(2, 3), atol=0.03)


def test_the_same_seed_draws_the_same_maps():
    a, b = (random_affine(5, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, random_affine(5, np.random.default_rng(5)))


@pytest.mark.parametrize("maps", [np.zeros((1, 2, 3)), np.zeros((3, 2, 2)), np.zeros((4, 2, 3))])
def test_maps_of_another_shape_are_refused(maps):
    with pytest.raises(lenet.errors.InputError, match="maps has shape"):
        distort(np.zeros((3, 28, 28), np.uint8), maps)


def test_a_map_that_is_no_number_shows_background():
    assert not distort(np.full((1, 4, 4), 9, np.uint8), np.full((1, 2, 3), np.nan)).any()
