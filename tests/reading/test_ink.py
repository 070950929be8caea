"""Ink is separated from paper, and its connected strokes are numbered."""

import numpy as np
import pytest

import lenet
from lenet.reading import prepare, read
from lenet.reading.ink import _extrapolated, _skewness, _without_grain, is_dark_on_light
from lenet.reading.strokes import is_connected, mask_of, strokes_of

cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize("side", [28, 40, 200])
@pytest.mark.parametrize("inverted", [False, True])
def test_detecting_dark_or_light_ink(side, inverted):
    for image in lenet.data.load_digits().X_test[:50]:
        page = np.pad(cv2.resize(image, (side, side)), side // 6)
        assert is_dark_on_light(255 - page if inverted else page, cropped=True) == inverted


@pytest.mark.parametrize("shape", [(65, 90), (65, 3), (3, 65), (65, 2)])
def test_a_shadow_darkens_further_beyond_the_border(shape):
    height, width = shape
    slope = 60 + np.add.outer(np.arange(-13, height), np.arange(-13, width))
    found = _extrapolated(slope[13:, 13:].astype(np.uint8), 13)
    np.testing.assert_array_equal(found[: height + 13, : width + 13], slope)  # above and to the left


def test_blurred_digits_beside_a_shadow_keep_their_shape():
    """If a broad shadow ends at the border, the paper must not be estimated as dark as the shadow's end."""
    digits, rng, rows = lenet.data.load_digits(), np.random.default_rng(0), np.mgrid[:180, :180] / 180
    images = []
    for image in digits.X_test[:100]:
        ink = np.pad(cv2.GaussianBlur(cv2.resize(image, (120, 120)), (0, 0), 5), 30) / 255
        angle = rng.uniform(0, 2 * np.pi)
        inside = np.cos(angle) * rows[0] + np.sin(angle) * rows[1] - rng.uniform(0, 0.6)
        light = 230 * (1 - 0.45 / (1 + np.exp(-12 * inside)))
        images.append(prepare((light * (1 - 0.4 * ink)).round().astype(np.uint8)))
    read = lenet.load_pretrained("mnist").predict(np.stack(images))
    assert (read == digits.y_test[:100]).mean() >= 0.8


@pytest.mark.parametrize("shape", [(1, 2**16), (256, 256), (300, 300), (600, 600)])
def test_strokes_are_numbered_in_the_order_of_opencv(shape):
    ink = np.zeros(shape, np.uint8)
    ink[::2, ::2] = 255  # as many strokes as possible
    ink[:9, :40] = np.random.default_rng(0).integers(0, 256, ink[:9, :40].shape)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((ink >= 96).view(np.uint8), ltype=cv2.CV_32S)
    strokes = strokes_of(ink)
    np.testing.assert_array_equal(strokes.labels, labels)
    np.testing.assert_array_equal(strokes.areas, stats[1:, cv2.CC_STAT_AREA])
    assert strokes.labels.max() == count - 1
    assert not is_connected(mask_of(ink))


@pytest.mark.parametrize(("deviation", "blurs"), [(3.7, False), (4.3, True)])
def test_noise_with_a_standard_deviation_above_4_is_blurred(deviation, blurs):
    noise = np.random.default_rng(0).normal(60, deviation, (200, 300)).round().astype(np.uint8)
    found = _without_grain(noise)
    assert (found is not noise) == blurs
    # A Gaussian with a standard deviation s divides that of noise by about 2 s sqrt(pi).
    assert found.std() == pytest.approx(noise.std() / (1.8 * np.sqrt(np.pi) if blurs else 1), rel=0.06)


@pytest.mark.parametrize(("paper", "contrast", "noise"), [(200, 115, 25), (80, 51, 8), (60, 51, 6)])
def test_a_number_in_a_dim_photograph_with_noise_is_read(paper, contrast, noise):
    """The fainter the paper, the more its noise is amplified."""
    digits = lenet.data.load_digits()
    page = np.full((60, 220), paper, float)
    for place, image in enumerate(digits.X_test[183:189]):
        page[16:44, 20 + 30 * place : 48 + 30 * place] -= image * (contrast / 255)
    page += np.random.default_rng(1).normal(0, noise, page.shape)
    text = read(page.clip(0, 255).astype(np.uint8)).text
    assert text.replace(" ", "") == "".join(map(str, digits.y_test[183:189]))


@pytest.mark.parametrize("inverted", [False, True])
def test_digits_beside_a_reflection_or_a_round_shadow_are_read(inverted):
    """The digits cover less than the reflection, which is the only light area of the page."""
    digits = lenet.data.load_digits()
    y, x = np.mgrid[:300, :400]
    page = 110 + 140 * np.exp(-(((x - 270) / 50) ** 2) - ((y - 190) / 50) ** 2)
    for place, image in enumerate(digits.X_test[183:187]):
        page[36:64, 40 + 30 * place : 68 + 30 * place] -= image * 0.35
    page = page.clip(0, 255).astype(np.uint8)
    text = read(255 - page if inverted else page).text
    assert text.replace(" ", "") == "".join(map(str, digits.y_test[183:187]))


def test_the_skewness_is_negative_if_narrow_strokes_are_dark():
    """Of values of which a fraction p is 1 and the others are 0, the skewness is (1 - 2 p) / sqrt(p (1 - p))."""
    page = np.full((400, 400), 100, np.uint8)
    page[4::20, 4::20] = 60
    assert _skewness(page, 40) == pytest.approx(-(1 - 2 / 400) / np.sqrt(399 / 400**2), rel=0.05)
    assert _skewness(255 - page, 40) == pytest.approx(-_skewness(page, 40), rel=1e-4)
    assert _skewness(np.full((9, 9), 7, np.uint8), 3) == 0


def test_small_digits_without_noise_are_not_blurred():
    """At 8x8 pixels, edges are everywhere."""
    sklearn = pytest.importorskip("sklearn.datasets").load_digits()
    images = np.stack([prepare(255 - (image * 15).astype(np.uint8)) for image in sklearn.images[:600]])
    assert np.mean(lenet.load_pretrained().predict(images) == sklearn.target[:600]) > 0.92
