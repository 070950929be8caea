"""The images, labels and weights that a training uses, split and with non-digits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError
from lenet.model import LeNet5
from lenet.training.augment.non_digits import non_digits
from lenet.training.recipes import Recipe
from lenet.training.splits import Split, split

Batch = tuple[NDArray[Any], NDArray[np.int64], NDArray[Any] | None]


@dataclass(frozen=True)
class TrainingSet:
    """What a training learns from and validates on.

    Parameters
    ----------
    X : ndarray of uint8 or the model's dtype, shape (n, 28, 28)
    y : ndarray of int64, shape (n,)
    weights : ndarray of float64, shape (n,), or None
        With a mean of 1 within each part.
    parts : Split
        The indices of the images to learn from and to validate on.
    non_digits : ndarray, shape (m, 28, 28)
        Images that belong to no class, of the type of X.
    """

    X: NDArray[Any]
    y: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    parts: Split
    non_digits: NDArray[Any]

    @classmethod
    def prepare(
        cls, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, model: LeNet5, recipe: Recipe, seed: int
    ) -> "TrainingSet":
        """Validate and split images, labels and weights, and draw the non-digits of a recipe.

        Raises
        ------
        InputError, InputTypeError
            As `lenet.train` documents them.
        """
        images = _checks.images(X)
        if images.dtype != np.uint8:
            images = np.ascontiguousarray(images, model.dtype)
        labels = _checks.labels(y, len(images), model.num_classes)
        if not len(images):
            raise InputError("The training set is empty; expected at least one image.")
        weights = _checks.weights(sample_weight, len(images))
        parts = split(labels, recipe.validation, seed)
        if weights is not None:
            for part in parts:
                if len(part):
                    weights[part] = _checks.weights(weights[part], len(part))
        count = round(recipe.non_digits * len(parts.train))
        if count and images.dtype != np.uint8:
            raise InputError(f"X holds {images.dtype}; expected uint8 with non-digits. Pass uint8, or non_digits=0.")
        rng = np.random.default_rng([seed, 0, 1])
        others = non_digits(count, images[parts.train], rng) if count else images[:0]
        return cls(images, labels, weights, parts, others)

    @property
    def size(self) -> int:
        """Images per epoch."""
        return len(self.parts.train) + len(self.non_digits)

    @property
    def validation(self) -> Batch:
        """The images, labels and weights to validate on."""
        members = self.parts.validation
        return self.X[members], self.y[members], None if self.weights is None else self.weights[members]

    def batch(self, members: NDArray[np.int64]) -> Batch:
        """Return images, labels and weights by their positions in an epoch.

        The training images come first, then the non-digits, whose label is -1 and whose weight is 1.
        """
        is_digit = members < len(self.parts.train)
        digits = self.parts.train[members[is_digit]]
        if len(digits) == len(members):
            return self.X[digits], self.y[digits], None if self.weights is None else self.weights[digits]
        X, y = np.empty((len(members), *self.X.shape[1:]), self.X.dtype), np.full(len(members), -1)
        X[is_digit], y[is_digit] = self.X[digits], self.y[digits]
        X[~is_digit] = self.non_digits[members[~is_digit] - len(self.parts.train)]
        if self.weights is None:
            return X, y, None
        weights = np.ones(len(members))
        weights[is_digit] = self.weights[digits]
        return X, y, weights
