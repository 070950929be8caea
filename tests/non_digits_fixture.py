"""Kinds of non-digits drawn many times, with a note of what is asked of OpenCV."""

from collections import defaultdict

import numpy as np
import pytest

import lenet
from lenet.training.augment import non_digits

cv2 = pytest.importorskip("cv2")

DIGITS = lenet.data.load_digits().X_train[:100]


class Recorder:
    """OpenCV, or a generator, that notes the arguments of each call by its name."""

    def __init__(self, target):
        self.target, self.calls = target, defaultdict(list)

    def __getattr__(self, name):
        function = getattr(self.target, name)
        if not callable(function):
            return function

        def call(*arguments, **options):
            self.calls[name].append((*arguments, *options.values()))
            return function(*arguments, **options)

        return call


def draw(kind, n, digits=DIGITS, form=False):
    """Draw n images of a kind, and return them and the calls for each.

    What is put into the form of MNIST's images is left as it is, unless `form`.
    """
    rng, images, recorded = np.random.default_rng(0), [], []
    with pytest.MonkeyPatch.context() as patched:
        if not form:
            patched.setattr(non_digits, "mnist_form", lambda ink, *, pen=True: ink)
        for _ in range(n):
            opencv, generator = Recorder(cv2), Recorder(rng)
            patched.setattr(non_digits, "cv2", opencv)
            images.append(kind(digits, generator))
            recorded.append(opencv.calls | generator.calls)
    return images, recorded


def share(truths):
    return np.mean([bool(truth) for truth in truths])


def about(value):
    return pytest.approx(value, abs=0.04)
