"""Kinds of rubbish drawn many times, with a note of what is asked of OpenCV."""

from collections import defaultdict

import numpy as np
import pytest

import lenet
from lenet.data import rubbish

cv2 = pytest.importorskip("cv2")

DIGITS = lenet.data.load_digits().X_train[:100]


class Recorder:
    """OpenCV, and a note of each call: a dict of the arguments by function, for each image."""

    def __init__(self):
        self.images = []

    def __getattr__(self, name):
        function = getattr(cv2, name)
        if not callable(function):
            return function

        def call(*arguments, **options):
            self.images[-1][name].append((*arguments, *options.values()))
            return function(*arguments, **options)

        return call


def draw(kind, n, digits=DIGITS, form=False):
    """Draw n images of a kind, and return them and the calls for each.

    What is put into the form of MNIST's images is left as it is, unless `form`.
    """
    recorder, rng, images = Recorder(), np.random.default_rng(0), []
    with pytest.MonkeyPatch.context() as patched:
        if not form:
            patched.setattr(rubbish, "mnist_form", lambda ink, *, pen=True: ink)
        for _ in range(n):
            recorder.images.append(defaultdict(list))
            images.append(kind(recorder, digits, rng))
    return images, recorder.images


def share(truths):
    return np.mean([bool(truth) for truth in truths])


def about(value):
    return pytest.approx(value, abs=0.04)
