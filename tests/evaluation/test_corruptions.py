"""The seed and the severity decide what corruptions do to any number of images; other arguments are refused."""

import numpy as np
import pytest

import lenet
from lenet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

pytest.importorskip("cv2")

IMAGES = lenet.data.load_digits().X_test[:60]


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
