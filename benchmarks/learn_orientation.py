"""Learn to distinguish upright digits from turned ones: `python -m benchmarks.learn_orientation FILE`.

The digits of MNIST's training split and drawn ones, distorted as in the recipe `drawn`, are turned by 0, 90, 180 or 270
degrees; so are letters in OpenCV's fonts, of which those that resemble digits count. Logistic regression (scikit-learn)
learns the turn from the last stages of the shipped network, and which are letters, in about two minutes. The command
saves the weights as FILE, rounded to a byte each, and prints the accuracy for MNIST's validation digits, also
distorted.
"""

import argparse
import json
import math
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import lenet
from lenet._files import atomic_write
from lenet.reading.orientation import features, log_odds_of_turns
from lenet.rejection import digit_score
from lenet.training import RECIPES
from lenet.training.augment.distortions import random_distortions
from lenet.training.augment.drawn_digits import printed
from lenet.training.training_set import TrainingSet
from lenet.weights import to_bytes
from lenet.weights.integers import STEPS, to_integers

RECIPE = RECIPES["drawn"].with_changes(non_digits=0.0)
EPOCHS = 2  # of the recipe: each draws and distorts other digits
BLOCK = 2000  # images at a time
LETTERS = 80_000  # drawn; nearly half of them resemble digits after the turn
MIN_SCORE = 0.3  # the digit score of a letter that resembles a digit
MAX_STEPS = 200  # of the optimizer
MIN_VARIANCE = 0.1  # added to that of each feature, as some hardly vary
LEVELS = 127  # of a rounded weight, on either side of 0

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def turned(images: Images, rng: np.random.Generator) -> tuple[Images, Labels]:
    """Return distorted images after random quarter turns, and the number of turns."""
    distortions = random_distortions(len(images), rng, distort=RECIPE.distort, vary=RECIPE.vary, defects=RECIPE.defects)
    turns = rng.integers(0, 4, len(images))
    return np.stack([np.rot90(*each) for each in zip(distortions.apply(images), turns, strict=True)]), turns


def blocks_of_digits(data: TrainingSet) -> Iterator[tuple[Images, Labels]]:
    """Yield blocks of turned digits, and the number of turns."""
    for epoch in range(1, EPOCHS + 1):
        data = data.with_images_of(epoch, RECIPE, 1)
        images, rng = data.batch(data.members)[0], np.random.default_rng([2, epoch])
        for start in range(0, len(images), BLOCK):
            yield turned(images[start : start + BLOCK], rng)


def blocks_of_letters(model: lenet.LeNet5) -> Iterator[tuple[Images, Labels]]:
    """Yield blocks of turned letters that resemble digits, and the number of turns."""
    rng = np.random.default_rng(4)
    for _ in range(0, LETTERS, BLOCK):
        letters = rng.choice(list(string.ascii_letters), BLOCK)
        images, turns = turned(np.stack([printed(letter, rng) for letter in letters]), rng)
        resemble = digit_score(model.predict_proba(images)) >= MIN_SCORE
        yield images[resemble], turns[resemble]


def main() -> None:
    """Learn, save and evaluate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learn_orientation", description=__doc__)
    parser.add_argument("file", type=Path, help="the file to save the weights in, such as orientation.safetensors")
    file = parser.parse_args().file
    X, y, _, _ = lenet.data.load("mnist")
    data, model = TrainingSet.prepare(X, y, None, lenet.LeNet5(seed=0), RECIPE, 0), lenet.load_pretrained()
    examples = [(features(model, images), turns) for images, turns in blocks_of_digits(data)]
    examples += [(features(model, images), 4 + turns) for images, turns in blocks_of_letters(model)]
    inputs, labels = (np.concatenate(parts) for parts in zip(*examples, strict=True))
    mean, covariance = inputs.mean(axis=0), np.cov(inputs.T) + MIN_VARIANCE * np.eye(inputs.shape[1])
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)  # so that it converges
    found = LogisticRegression(max_iter=MAX_STEPS).fit((inputs - mean) @ whitening.T, labels)
    weights = found.coef_ @ whitening
    bias = (found.intercept_ - weights @ mean).astype(np.float16)
    step = 2.0 ** math.ceil(math.log2(np.abs(weights).max() / LEVELS))
    weights = (np.round(weights / step) * step).astype(np.float16)
    tensors, steps = to_integers({"weight": weights, "bias": bias})
    atomic_write(file, to_bytes(tensors, {STEPS: json.dumps(steps)}))
    images, turns = turned(X[data.parts.validation], np.random.default_rng(3))
    odds = log_odds_of_turns(features(model, images) @ weights.T.astype(np.float32) + bias)
    right = odds.argmax(axis=1) == turns
    print(f"{right.mean():.1%} of {len(right):,} distorted validation digits: the right turn of four")


if __name__ == "__main__":
    main()
