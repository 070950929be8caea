"""The records of a training run: the results of its epochs, and the state to resume from."""

import sys
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.training.optim import SGD
from lenet.training.recipes import Recipe

_TYPES: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), float | None: (int, float, type(None))}
_MAX_NUMBER = 1e30


@dataclass
class Epoch:
    """The results of one epoch: a row of the history.

    Parameters
    ----------
    epoch : int
        The number of the epoch, from 1.
    learning_rate : float
        The learning rate of the last step.
    loss, accuracy : float
        Mean loss in nats (the cross-entropy or, for `LeNet1998`, equation 9 of the paper), and fraction of the digits
        classified correctly, over the training images and those that the recipe adds. Each image is evaluated with
        the weights before its own step.
    val_loss, val_accuracy : float or None
        Mean cross-entropy and accuracy on the validation split, with the weights after the epoch; None without one.
    images_per_second : float
        Training speed in this epoch, without validation.
    seconds : float
        Wall time since training began, including validation and callbacks, and excluding breaks before it was resumed.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = lenet.training.RECIPES["small"].with_changes(epochs=1)
    >>> state = lenet.train(lenet.LeNet5(seed=0), X[:100], y[:100], recipe, seed=0)
    >>> row = state.history[0]
    >>> row.epoch, 2.2 < row.loss < 2.5
    (1, True)
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    images_per_second: float
    seconds: float

    def better_than(self, other: "Epoch") -> bool:
        """Return whether this epoch has the lower validation loss or, without a validation split, is later.

        The loss is less noisy than the accuracy: one image in 2,000 changes the accuracy by 0.05 percentage points.

        Parameters
        ----------
        other : Epoch
            An epoch of the same run.

        Returns
        -------
        bool
        """
        if self.val_loss is None or other.val_loss is None:
            return self.epoch > other.epoch
        return self.val_loss < other.val_loss


@dataclass(eq=False)
class State:
    """The state of a training run between two steps: everything needed to resume it with bit-identical results.

    Parameters
    ----------
    parameters, velocity : ndarray of the model's dtype, shape (p,)
        All p parameters of the model, and the velocity of SGD. During training, each step updates them in place.
    best_parameters : ndarray of the same dtype and shape
        A copy of the parameters after the best epoch; those with which the run began until an epoch is finished.
    mean, std : float or None
        The model's `mean` and `std`.
    step, images : int, default 0
        Numbers of steps and of images in the current epoch so far.
    loss_sum : float, default 0
        Sum of the losses of these images, in nats.
    correct : int, default 0
        Number of these images that were classified correctly.
    seconds : float, default 0
        Wall time since training began, as for `Epoch`.
    images_per_second : float, default 0
        Training speed in the current epoch.
    best_epoch : int, default 0
        The number of the best epoch, from 1; 0 before the first epoch has ended.
    history : list of Epoch, optional
        The epochs that have ended; empty by default.
    preconditioner : ndarray of the same dtype, shape (q,), optional
        The optimizer's estimate for the current epoch; empty by default, and for SGD.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = lenet.training.RECIPES["small"].with_changes(epochs=1)
    >>> state = lenet.train(lenet.LeNet5(seed=0), X[:100], y[:100], recipe, seed=0)
    >>> state.epoch, state.best_epoch
    (2, 1)
    """

    parameters: NDArray[Any]
    velocity: NDArray[Any]
    best_parameters: NDArray[Any]
    mean: float | None
    std: float | None
    step: int = 0
    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)
    preconditioner: NDArray[Any] = field(default_factory=lambda: np.empty(0))

    @property
    def epoch(self) -> int:
        """The number of the current epoch, from 1."""
        return len(self.history) + 1

    def as_dict(self) -> dict[str, Any]:
        """Return the fields to save as JSON: all except the arrays.

        Returns
        -------
        dict of str to Any
            Fields by name; "history" is a list with a dict for each epoch.
        """
        values = {name: value for name, value in vars(self).items() if not isinstance(value, np.ndarray)}
        return {**values, "history": [asdict(row) for row in self.history]}

    def check(self, optimizer: SGD, recipe: Recipe, images: int | None = None) -> None:
        """Check that a training run with this optimizer and recipe can produce the state.

        Parameters
        ----------
        optimizer : SGD
            The optimizer of the recipe for the network.
        recipe : Recipe
            The recipe of the run.
        images : int, optional
            The number of images of an epoch, if known.

        Raises
        ------
        AttributeError, TypeError, ValueError
            If no training run can produce the state.
        """
        check_numbers(self)
        for row in self.history:
            check_numbers(row)
        epochs = len(self.history)
        if epochs > recipe.epochs or [row.epoch for row in self.history] != [*range(1, epochs + 1)]:
            raise ValueError(f"its history does not have consecutive epochs from 1 to at most {recipe.epochs}")
        scaled = self.mean is None if self.std is None else self.mean is not None and self.std > 1 / _MAX_NUMBER
        if not (scaled and self.step >= 0 and min(1, epochs) <= self.best_epoch <= epochs):
            raise ValueError("its step, mean, std or best_epoch is out of range")
        missing = self.step * recipe.batch_size - self.images  # from the last batch of an epoch
        if not 0 <= missing < recipe.batch_size or (images is not None and missing and self.images != images):
            raise ValueError("its step does not match its number of images")
        if images is not None and self.images > images:
            raise ValueError(f"it is beyond the {images} images of an epoch")
        velocity, arrays = optimizer.velocity, (self.parameters, self.velocity, self.best_parameters)
        if not all(np.isfinite(each).all() for each in (*arrays, self.preconditioner)):
            raise ValueError("its weights are not finite")
        if any((each.shape, each.dtype) != (velocity.shape, velocity.dtype) for each in arrays):
            raise ValueError("it belongs to another network")
        expected, given = optimizer.preconditioner, self.preconditioner
        if self.step and (given.shape, given.dtype) != (expected.shape, expected.dtype):
            raise ValueError("it belongs to another optimizer")


def check_numbers(record: Epoch | State) -> None:
    """Reject values that are not numbers, such as text, true and NaN."""
    for each in fields(record):
        value, types = getattr(record, each.name), _TYPES.get(each.type)
        largest = sys.float_info.max if "loss" in each.name else _MAX_NUMBER  # losses before a divergence may be huge
        if types is not None and (type(value) not in types or (value is not None and not abs(value) <= largest)):
            raise ValueError(f"its {each.name} is {str(value)[:80]!r}")
