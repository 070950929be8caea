"""Classifiers and small images that the tests of LeNetClassifier share; a file that imports them needs scikit-learn."""

import pytest

import lenet

datasets = pytest.importorskip("sklearn.datasets")

SMALL = datasets.load_digits()  # 1,797 of 8x8, 0 to 16
X, Y = SMALL.data[:600], SMALL.target[:600]
X_TEST, Y_TEST = SMALL.data[600:], SMALL.target[600:]
FEW = Y < 3  # three classes are enough for some tests


def quick(**parameters):
    """A classifier that trains very quickly, and badly."""
    return lenet.LeNetClassifier(**{"max_iter": 2, "random_state": 0, **parameters})
