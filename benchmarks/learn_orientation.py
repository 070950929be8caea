"""Learn to distinguish upright digits from turned ones: `python -m benchmarks.learn_orientation FILE`.

The digits of MNIST's training split and drawn ones, distorted as in the recipe `drawn`, are turned by 0, 90, 180 or 270
degrees. Logistic regression (scikit-learn) learns the turn from the last stages of the shipped network, in about four
minutes. The command saves the weights as FILE, rounded to a byte each, and prints the accuracy for MNIST's validation
digits, also distorted.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import lenet
from lenet._files import atomic_write
from lenet.reading.orientation import features
from lenet.training import RECIPES
from lenet.training.augment.distortions import random_distortions
from lenet.training.training_set import TrainingSet
from lenet.weights import to_bytes
from lenet.weights.integers import STEPS, to_integers

RECIPE = RECIPES["drawn"].with_changes(non_digits=0.0)
EPOCHS = 2  # of the recipe: each draws and distorts other digits
BLOCK = 2000  # images at a time
LEVELS = 127  # of a rounded weight, on either side of 0


def turned_features(
    model: lenet.LeNet5, images: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features of distorted images after random quarter turns, shape (n, 604), and the number of turns."""
    distortions = random_distortions(len(images), rng, distort=RECIPE.distort, vary=RECIPE.vary, defects=RECIPE.defects)
    turns = rng.integers(0, 4, len(images))
    turned = np.stack([np.rot90(*each) for each in zip(distortions.apply(images), turns, strict=True)])
    blocks = [features(model, turned[start : start + BLOCK]) for start in range(0, len(turned), BLOCK)]
    return np.concatenate(blocks), turns


def main() -> None:
    """Learn, save and evaluate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learn_orientation", description=__doc__)
    parser.add_argument("file", type=Path, help="the file to save the weights in, such as orientation.safetensors")
    file = parser.parse_args().file
    X, y, _, _ = lenet.data.load("mnist")
    model, data = lenet.load_pretrained(), TrainingSet.prepare(X, y, None, lenet.LeNet5(seed=0), RECIPE, 0)
    examples = []
    for epoch in range(1, EPOCHS + 1):
        data = data.with_images_of(epoch, RECIPE, 1)
        examples.append(turned_features(model, data.batch(data.members)[0], np.random.default_rng([2, epoch])))
    inputs, turns = (np.concatenate(parts) for parts in zip(*examples, strict=True))
    found = LogisticRegression(solver="newton-cholesky").fit(inputs.astype(np.float64), turns)
    step = 2.0 ** math.ceil(math.log2(np.abs(found.coef_).max() / LEVELS))
    weights = (np.round(found.coef_ / step) * step).astype(np.float16)
    tensors, steps = to_integers({"weight": weights, "bias": found.intercept_.astype(np.float16)})
    atomic_write(file, to_bytes(tensors, {STEPS: json.dumps(steps)}))
    inputs, turns = turned_features(model, X[data.parts.validation], np.random.default_rng(3))
    right = (inputs @ weights.T.astype(np.float32) + found.intercept_).argmax(axis=1) == turns
    print(f"{right.mean():.1%} of {len(right):,} distorted validation digits: the right turn of four")


if __name__ == "__main__":
    main()
