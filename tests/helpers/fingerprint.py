"""The SHA-256 of predictions, to compare threads, batch sizes and processes."""

import hashlib

import numpy as np

from lenet import LeNet5


def draw_images(n=257):
    """Noise, from sparse to dense, as bytes."""
    rng = np.random.default_rng(n)
    return (rng.integers(0, 256, (n, 28, 28)) * (rng.random((n, 28, 28)) < rng.random((n, 1, 1)))).astype(np.uint8)


def make_model(seed=0):
    """An untrained model that predicts each of its classes for some of these images."""
    model = LeNet5(seed=0)
    model.parameters.flat[...] = np.random.default_rng(seed).normal(scale=0.3, size=model.parameters.flat.shape)
    model.parameters["output.bias"] -= model.logits(draw_images(), n_jobs=1).mean(axis=0)
    return model


def fingerprint(model, x, batch=None, n_jobs=1):
    """The SHA-256 of the probabilities and of the classes of x, predicted in batches of a size, or in one."""
    batch = batch or len(x)
    probabilities, classes = hashlib.sha256(), hashlib.sha256()
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        probabilities.update(model.predict_proba(part, n_jobs=n_jobs))
        classes.update(model.predict(part, n_jobs=n_jobs))
    return probabilities.hexdigest() + classes.hexdigest()
