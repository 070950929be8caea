"""The examples that the orientation of digits is learned from."""

import numpy as np
import pytest

import lenet

pytestmark = pytest.mark.release
learning = pytest.importorskip("benchmarks.learn_orientation", reason="needs scikit-learn")


def test_examples_are_turned_digits(monkeypatch):
    """A bar at the top of an image is on the left after one counter-clockwise quarter turn."""

    class Undistorted:
        def apply(self, images):
            return images

    monkeypatch.setattr(learning, "random_distortions", lambda *_, **__: Undistorted())
    image = np.zeros((28, 28), np.uint8)
    image[3:6, 4:24] = 255
    found, turns = learning.turned(np.stack([image] * 40), np.random.default_rng(0))
    assert set(turns) == {0, 1, 2, 3}
    turned = [image, image.T[::-1], image[::-1, ::-1], image.T[:, ::-1]]
    np.testing.assert_array_equal(found, [turned[k] for k in turns])


def test_digits_are_distorted_as_in_the_recipe():
    images = lenet.data.load_digits().X_test[:4]
    found, turns = learning.turned(images, np.random.default_rng(1))
    plain = [np.rot90(image, k) for image, k in zip(images, turns, strict=True)]
    assert (found != np.stack(plain)).any()
