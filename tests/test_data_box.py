"""Images of any size in MNIST's box, against values computed by hand and by OpenCV."""

import numpy as np
import pytest

from lenet.data.box import fit_into_box


def test_one_small_pixel_becomes_a_smooth_pyramid():
    """A bilinear pyramid, worked out by hand: 2.5 large pixels to a small one, at 0.2 and 0.6 from the middle."""
    small = np.zeros((1, 8, 8))
    small[0, 2, 6] = 255
    large = fit_into_box(small)[0]
    profile = np.array([0.0, 0.4, 0.8, 0.8, 0.4, 0.0])
    # Its middle lies between two large pixels, so the peak is 0.8 x 0.8.
    np.testing.assert_array_equal(large[11:17, 11:17], np.round(np.outer(profile, profile) * 255))
    assert large.sum() == large[11:17, 11:17].sum()


def test_nothing_is_mirrored_or_turned():
    small = np.zeros((1, 8, 8))
    small[0, 1, 2], small[0, 5, 6], small[0, 1, 6] = 240, 120, 60
    large = fit_into_box(small)[0]
    top, left = np.argwhere(large == large.max())[0]
    step = 10  # four small pixels
    assert large[top, left + step] == pytest.approx(large[top, left] / 4, abs=1)
    assert large[top + step, left + step] == pytest.approx(large[top, left] / 2, abs=1)
    assert large[top + step, left] == 0


def test_no_ink_is_lost():
    small = np.random.default_rng(0).integers(0, 256, (20, 8, 8)) * np.pad(np.ones((4, 4)), 2)
    ratio = fit_into_box(small).sum(axis=(1, 2)) / small.sum(axis=(1, 2))
    np.testing.assert_allclose(ratio, 2.5**2, rtol=0.02)  # the weights of the 20 rows do not add up to 2.5 exactly


@pytest.mark.parametrize(("height", "width"), [(60, 60), (60, 30), (36, 90), (50, 50), (21, 42)])
def test_large_images_are_averaged_by_area(height, width):
    """Symmetric images have their centre of mass in the middle, so cv2.resize gives the same pixels."""
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    image = np.maximum(np.maximum(image, image[::-1]), np.maximum(image, image[::-1])[:, ::-1])
    rows, columns = (round(20 * length / max(height, width)) for length in (height, width))
    expected = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    fitted = fit_into_box(image[np.newaxis])[0]
    top, left = 14 - rows // 2, 14 - columns // 2
    np.testing.assert_allclose(fitted[top : top + rows, left : left + columns], expected, atol=1)
    assert fitted.sum() == fitted[top : top + rows, left : left + columns].sum()


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
