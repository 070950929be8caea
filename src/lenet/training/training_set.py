"""The images, labels and weights of a training run, split for validation, and its non-digits."""

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

Batch = tuple[NDArray[Any], NDArray[Any], NDArray[np.int64], NDArray[Any] | None]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The data of a training run, split for validation.

    Parameters
    ----------
    X : ndarray of uint8 or the model's dtype, shape (n, 28, 28)
    non_digits : ndarray of the same dtype, shape (m, 28, 28)
        Separate from X, so that X need not be copied.
    y : ndarray of int64, shape (n + m,)
        The labels of X, then -1 for each non-digit.
    targets : ndarray of shape (n + m,) or (n + m, num_classes)
        y or, if X has target probabilities, these and then uniform ones for the non-digits.
    weights : ndarray of float64, shape (n + m,), or None
        With a mean of 1 in the training and in the validation split; 1 for non-digits.
    parts : Split
        The indices of the training digits and of the validation digits.
    members : ndarray of int64
        The images of an epoch: the indices of the training digits, then n, n + 1, ... for the non-digits.
    """

    X: NDArray[Any]
    non_digits: NDArray[Any]
    y: NDArray[np.int64]
    targets: NDArray[Any]
    weights: NDArray[np.float64] | None
    parts: Split
    members: NDArray[np.int64]

    @classmethod
    def prepare(
        cls, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, model: LeNet5, recipe: Recipe, seed: int
    ) -> "TrainingSet":
        """Validate and split images, labels and weights, and draw the non-digits of a recipe.

        Raises
        ------
        InputError, InputTypeError
            As for `lenet.train`.
        """
        images = _checks.images(X)
        if images.dtype != np.uint8:
            images = np.ascontiguousarray(images, model.dtype)
        targets = _checks.targets(y, len(images), model.num_classes, model.dtype)
        labels = _checks.labels_of(targets)
        if not len(images):
            raise InputError("The training set is empty; expected at least one image.")
        if images.dtype == np.uint8 and images.max() == 1:
            raise InputError("X has integer pixels of 0 and 1 only; expected 0 to 255. Multiply them by 255.")
        weights = _checks.weights(sample_weight, len(images))
        parts = split(labels, recipe.validation, seed)
        if weights is not None:
            for part in filter(len, parts):
                weights[part] = _checks.weights(weights[part], len(part))
        if images.dtype != np.uint8:
            for field in ("defects", "non_digits"):
                if getattr(recipe, field):
                    raise InputError(
                        f"X has dtype {images.dtype}; expected uint8, as the recipe has {field}. Pass uint8, or "
                        f"{field}=0."
                    )
        count = round(recipe.non_digits * len(parts.train))
        if not count:
            return cls(images, images[:0], labels, targets, weights, parts, parts.train)
        others = non_digits(count, images[parts.train], np.random.default_rng([seed, 0, 1]))
        labels = np.concatenate([labels, np.full(count, -1)])
        if targets.ndim == 2:
            uniform = np.full((count, model.num_classes), 1 / model.num_classes, model.dtype)
            targets = np.concatenate([targets, uniform])
        return cls(
            images,
            others,
            labels,
            targets if targets.ndim == 2 else labels,
            None if weights is None else np.concatenate([weights, np.ones(count)]),
            parts,
            np.concatenate([parts.train, len(images) + np.arange(count)]),
        )

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """Return the images, targets, labels and weights at some indices; from n on, these are non-digits."""
        labels = self.y[indices]
        targets = labels if self.targets is self.y else self.targets[indices]
        return self._images(indices), targets, labels, None if self.weights is None else self.weights[indices]

    def _images(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        is_digit = indices < len(self.X)
        if is_digit.all():
            return self.X[indices]
        images = np.empty((len(indices), *self.X.shape[1:]), self.X.dtype)
        images[is_digit] = self.X[indices[is_digit]]
        images[~is_digit] = self.non_digits[indices[~is_digit] - len(self.X)]
        return images
