"""The images, labels and weights of a training run, split for validation, and the images that its recipe adds."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError
from lenet.model import LeNet5
from lenet.training.augment.drawn_digits import DIGITS, drawn_digits
from lenet.training.augment.non_digits import non_digits
from lenet.training.recipes import Recipe
from lenet.training.splits import Split, split

Batch = tuple[NDArray[Any], NDArray[Any], NDArray[np.int64], NDArray[Any] | None]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The data of a training run, split for validation."""

    X: NDArray[Any]  # (n, 28, 28): of uint8 or the model's dtype
    # (m, 28, 28): drawn digits, then non-digits; new ones for each epoch. Separate, so that X need not be copied.
    added: NDArray[Any]
    y: NDArray[np.int64]  # (n + m,): the labels of X and of the added images; -1 for each non-digit
    # y or, if X has target probabilities, (n + m, num_classes): these and those of the added images.
    targets: NDArray[Any]
    sample_weight: NDArray[np.float64] | None  # (n + m,): with a mean of 1 in both splits; 1 for added images
    parts: Split  # the indices of the training images and of the validation images
    members: NDArray[np.int64]  # of an epoch: the indices of the training images, then n, n + 1, ... for added ones

    @classmethod
    def prepare(
        cls, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, model: LeNet5, recipe: Recipe, seed: int
    ) -> "TrainingSet":
        """Validate and split images, labels and weights, and draw the images that a recipe adds to the first epoch.

        Raises the errors of `lenet.train` for these arguments.
        """
        images, targets = model._batch(X, y)
        labels = _checks.labels_of(targets)
        if images.dtype != np.uint8:
            for field, off in (("defects", 0), ("drawn_digits", 0), ("non_digits", 0), ("vary", False)):
                if getattr(recipe, field):
                    raise InputError(
                        f"X has dtype {images.dtype}; expected uint8, because the recipe sets {field}. Pass uint8, or "
                        f"use recipe.with_changes({field}={off})."
                    )
            images = np.ascontiguousarray(images, model.dtype)
        elif images.max() == 1:
            raise InputError("X has integer pixels of 0 and 1 only; expected 0 to 255. Multiply them by 255.")
        weights = _checks.sample_weight(sample_weight, len(images))
        parts = split(labels, recipe.validation, seed)
        if weights is not None:
            for part in filter(len, parts):
                weights[part] = _checks.sample_weight(weights[part], len(part))
        check_classes(model.classes, recipe)
        data = cls(images, images[:0], labels, targets, weights, parts, parts.train)
        return data.with_images_of(1, recipe, seed)

    def with_images_of(self, epoch: int, recipe: Recipe, seed: int) -> "TrainingSet":
        """Return the training set with the images that a recipe adds to an epoch, from 1."""
        if not (recipe.drawn_digits or recipe.non_digits):
            return self
        n = len(self.X)
        added, y_added = _added(recipe, self.X, self.parts.train, [seed, epoch])
        targets = y_added
        if self.targets.ndim == 2:
            targets = _checks.probabilities_of(y_added, self.targets.shape[1], self.targets.dtype)
        sample_weight = self.sample_weight
        if sample_weight is not None:
            sample_weight = np.concatenate([sample_weight[:n], np.ones(len(added))])
        return replace(
            self,
            added=added,
            y=np.concatenate([self.y[:n], y_added]),
            targets=np.concatenate([self.targets[:n], targets]),
            sample_weight=sample_weight,
            members=np.concatenate([self.parts.train, n + np.arange(len(added))]),
        )

    @property
    def num_labelled(self) -> int:
        """The number of images with a label in an epoch, given and drawn; non-digits have none."""
        return int((self.y[self.members] >= 0).sum())

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """Return the images, targets, labels and weights at some indices; from n on, these are added images."""
        sample_weight = None if self.sample_weight is None else self.sample_weight[indices]
        return self._images(indices), self.targets[indices], self.y[indices], sample_weight

    def _images(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        is_given = indices < len(self.X)
        if is_given.all():
            return self.X[indices]
        images = np.empty((len(indices), *self.X.shape[1:]), self.X.dtype)
        images[is_given] = self.X[indices[is_given]]
        images[~is_given] = self.added[indices[~is_given] - len(self.X)]
        return images


def added_counts(recipe: Recipe, n: int) -> tuple[int, int]:
    """Return the numbers of drawn digits and of non-digits that a recipe adds to n training images."""
    return round(recipe.drawn_digits * n), round(recipe.non_digits * n)


def check_classes(classes: tuple[str, ...], recipe: Recipe) -> None:
    """Raise InputError if a recipe adds drawn digits to classes other than the ten digits."""
    if recipe.drawn_digits and classes != DIGITS:
        raise InputError(
            f"The classes are {_checks.short_repr(classes)}; expected the ten digits, because the recipe has "
            "drawn_digits. Choose another recipe, or one with drawn_digits=0."
        )


def _added(
    recipe: Recipe, images: NDArray[Any], train: NDArray[np.int64], seeds: list[int]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the images that a recipe adds to the training split, and their labels; -1 for non-digits."""
    num_drawn, num_others = added_counts(recipe, len(train))
    added, labels = images[:0], np.empty(0, np.int64)
    if num_drawn:
        added, labels = drawn_digits(num_drawn, np.random.default_rng([*seeds, 2]))
    if num_others:
        others = non_digits(num_others, images[train], np.random.default_rng([*seeds, 1]))
        added, labels = np.concatenate([added, others]), np.concatenate([labels, np.full(num_others, -1)])
    return added, labels
