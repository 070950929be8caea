"""The examples that the orientation of digits is learned from."""

import numpy as np
import pytest

import lenet

pytestmark = pytest.mark.release
learning = pytest.importorskip("benchmarks.learn_orientation", reason="needs scikit-learn")


def stages(model, images):
    """The outputs of S4, C5 and F6, one after the other."""
    outputs = model.activations(images)
    return np.hstack([outputs["s4"].reshape(-1, 400), outputs["c5"], outputs["f6"]])


def test_examples_are_the_inputs_of_turned_digits(monkeypatch):
    """A bar at the top of an image is on the left after one counter-clockwise quarter turn."""

    class Undistorted:
        def apply(self, images):
            return images

    monkeypatch.setattr(learning, "random_distortions", lambda *_, **__: Undistorted())
    monkeypatch.setattr(learning, "BLOCK", 16)
    model, image = lenet.load_pretrained(), np.zeros((28, 28), np.uint8)
    image[3:6, 4:24] = 255
    inputs, turns = learning.turned_features(model, np.stack([image] * 40), np.random.default_rng(0))
    assert inputs.shape == (40, 604)
    assert set(turns) == {0, 1, 2, 3}
    turned = [image, image.T[::-1], image[::-1, ::-1], image.T[:, ::-1]]
    for found, k in zip(inputs, turns, strict=True):
        np.testing.assert_allclose(found, stages(model, turned[k])[0], atol=1e-5)


def test_digits_are_distorted_as_in_the_recipe():
    images = lenet.data.load_digits().X_test[:4]
    inputs, turns = learning.turned_features(lenet.load_pretrained(), images, np.random.default_rng(1))
    plain = [np.rot90(image, k) for image, k in zip(images, turns, strict=True)]
    assert (np.abs(inputs - stages(lenet.load_pretrained(), np.stack(plain))) > 0.1).any()
