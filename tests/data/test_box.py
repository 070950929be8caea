"""Images of any size in MNIST's box, against values computed by hand and with np.interp."""

import numpy as np
import pytest

from lenet.data.box import fit_into_box


def test_one_small_pixel_becomes_a_smooth_blot():
    """By hand: 19/8 large pixels to a small one, in the middle of four. (11/19)²/2 of a tent lies above 8/19."""
    small = np.zeros((1, 8, 8))
    small[0, 2, 6] = 255
    large = fit_into_box(small)[0]
    scale = 19 / 8
    tail, edge = (1 - 1 / scale) ** 2 / 2, (1 - 2 / scale) ** 2 / 2
    profile = scale * np.array([edge, tail - edge, 0.5 - tail, 0.5 - tail, tail - edge, edge])
    np.testing.assert_array_equal(large[11:17, 11:17], np.round(np.outer(profile, profile) * 255))
    assert large.sum() == large[11:17, 11:17].sum()


def test_nothing_is_mirrored_or_turned():
    small = np.zeros((1, 19, 19))  # which keeps its size
    small[0, 4, 5], small[0, 12, 13], small[0, 4, 13] = 240, 120, 60
    large = fit_into_box(small)[0]
    top, left = np.argwhere(large == large.max())[0]
    step = 8
    assert large[top, left + step] == pytest.approx(large[top, left] / 4, abs=1)
    assert large[top + step, left + step] == pytest.approx(large[top, left] / 2, abs=1)
    assert large[top + step, left] == 0


def test_no_ink_is_lost():
    small = np.random.default_rng(0).integers(0, 256, (20, 8, 8)) * np.pad(np.ones((4, 4)), 2)
    ratio = fit_into_box(small).sum(axis=(1, 2)) / small.sum(axis=(1, 2))
    np.testing.assert_allclose(ratio, (19 / 8) ** 2, rtol=0.02)  # up to rounding


@pytest.mark.parametrize(("height", "width"), [(8, 8), (19, 12), (60, 60), (60, 30), (36, 90)])
def test_a_pixel_is_the_mean_over_its_area(height, width):
    """np.interp at 400 points per new pixel; symmetric images have their centre of mass in the middle."""
    image = np.random.default_rng(0).integers(0, 256, (height, width))
    image = np.maximum(np.maximum(image, image[::-1]), np.maximum(image, image[::-1])[:, ::-1]).astype(float)
    points = (np.arange(28 * 400) + 0.5) / 400 - 14  # of new rows, from the middle
    expected = image
    for _ in range(2):  # rows, then columns
        old = np.arange(-1, len(expected) + 1)
        at = points * max(height, width) / 19 + (len(expected) - 1) / 2
        padded = np.pad(expected, ((1, 1), (0, 0)))
        fine = np.stack([np.interp(at, old, column, 0, 0) for column in padded.T])
        expected = fine.reshape(len(fine), 28, 400).mean(axis=2)
    np.testing.assert_allclose(fit_into_box(image[np.newaxis])[0], expected, atol=0.6)


@pytest.mark.parametrize("side", [16, 32, 60])
def test_digits_take_20_pixels_with_their_soft_edges(side):
    """As in MNIST. Edges fainter than 2% do not count, nor do images of 8x8, whose edges are wider."""
    fitted = fit_into_box(np.full((1, side, side), 255))[0]
    assert [np.ptp(np.flatnonzero(fitted.max(axis=axis) > 5)) + 1 for axis in (0, 1)] == [20, 20]


def test_images_are_centred_by_mass():
    """A digit in a corner of its image moves to the middle, 13.5, like MNIST's."""
    image = np.zeros((3, 16, 16), np.uint8)
    image[0, :4, :4], image[1, 12:, :4] = 255, 255
    for fitted in fit_into_box(image)[:2].astype(float):
        for axis in (0, 1):
            assert fitted.sum(axis=axis) @ np.arange(28) / fitted.sum() == pytest.approx(13.5, abs=0.05)
    assert not fit_into_box(image)[2].any()


def test_large_sets_are_scaled_in_blocks(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 40, 32), dtype=np.uint8)
    expected = fit_into_box(images)
    monkeypatch.setattr("lenet.data.box._PIXELS_AT_ONCE", 3000)
    np.testing.assert_array_equal(fit_into_box(images), expected)


def test_the_faintest_pixel_is_centred_like_any_other():
    small = np.zeros((2, 8, 8))
    small[:, 2, 6] = 1, 255
    faint, dark = fit_into_box(small)
    assert faint.any()
    np.testing.assert_array_equal(faint > 0, dark > 127)
