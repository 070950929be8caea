"""The records of a training run: the results of its epochs, and the state to resume from."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), float | None: (int, float, type(None))}
_MAX_NUMBER = 1e30


@dataclass
class Epoch:
    """The results of one epoch: a row of the history.

    `loss` and `accuracy` are means over the training images during the epoch, each computed with the weights of its own
    step. `val_loss` and `val_accuracy` are computed on the validation split after the epoch; None without one.

    Parameters
    ----------
    epoch : int
        The number of the epoch, counted from 1.
    learning_rate : float
        The learning rate of the last step.
    loss, accuracy : float
        Cross-entropy in nats, and the fraction classified correctly.
    val_loss, val_accuracy : float or None
    images_per_second : float
    seconds : float
        Duration of all steps so far.

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
        """Return whether the validation loss is lower, or, without a validation split, the epoch is later.

        The loss is less noisy than the accuracy, which a single image in 2,000 changes by 0.05%.

        Parameters
        ----------
        other : Epoch

        Returns
        -------
        bool
        """
        if self.val_loss is None or other.val_loss is None:
            return self.epoch > other.epoch
        return self.val_loss < other.val_loss


@dataclass
class State:
    """The state of a training run between two steps: everything needed to resume it with bit-identical results.

    Parameters
    ----------
    parameters, velocity : ndarray of the model's dtype, shape (parameters,)
        The model's and the optimiser's own arrays, which each step updates.
    best_parameters : ndarray of the same dtype and shape
        A copy of the parameters after the best epoch.
    mean, std : float
        The model's `mean` and `std`.
    step, images : int
        Number of steps done in the current epoch, and of their images.
    loss_sum : float
        Sum of the losses of these images, in nats.
    correct : int
        Number of these images that were classified correctly.
    seconds : float
        Duration of all steps so far.
    images_per_second : float
    best_epoch : int
        The number of the best epoch; 0 before the first epoch has ended.
    history : list of Epoch
        The epochs that have ended.

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
    mean: float
    std: float
    step: int = 0
    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The number of the current epoch, counted from 1."""
        return len(self.history) + 1

    def as_dict(self) -> dict[str, Any]:
        """Return all fields except the arrays, for JSON.

        Returns
        -------
        dict of str to Any
        """
        return {
            "mean": self.mean,
            "std": self.std,
            "step": self.step,
            "images": self.images,
            "loss_sum": self.loss_sum,
            "correct": self.correct,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "history": [asdict(row) for row in self.history],
        }

    def check(self, parameters: NDArray[Any], batch_size: int) -> None:
        """Reject a state that no training run of a network with this batch size can produce.

        Parameters
        ----------
        parameters : ndarray
            The network's flat vector.
        batch_size : int

        Raises
        ------
        AttributeError, TypeError, ValueError
            If the state is rejected.
        """
        _check_numbers(self)
        for row in self.history:
            _check_numbers(row)
        epochs = len(self.history)
        if not (self.std > 0 and self.step >= 0 and min(1, epochs) <= self.best_epoch <= epochs):
            raise ValueError("its step, std or best_epoch is out of range")
        if not 0 <= self.step * batch_size - self.images < batch_size:
            raise ValueError("its step and images do not agree")
        arrays = self.parameters, self.velocity, self.best_parameters
        if not all(np.isfinite(each).all() for each in arrays):
            raise ValueError("its weights are not finite")
        if any((each.shape, each.dtype) != (parameters.shape, parameters.dtype) for each in arrays):
            raise ValueError("it is of another network")


def _check_numbers(record: Epoch | State) -> None:
    """Reject values that are not numbers, such as text, true and NaN."""
    for each in fields(record):
        value, types = getattr(record, each.name), _TYPES.get(each.type)
        if types is not None and (type(value) not in types or (value is not None and not abs(value) < _MAX_NUMBER)):
            raise ValueError(f"its {each.name} is {str(value)[:80]!r}")
