"""Stochastic gradient descent with momentum, and learning rate schedules."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._flat import FlatDict
from lenet.errors import InputError, InputTypeError
from lenet.model import LeNet5

Schedule = Callable[[int], float]


class SGD:
    """Stochastic gradient descent with momentum and weight decay.

    With gradient g, velocity v and parameter p, a step is g += weight_decay p; v = momentum v + g; p -= lr v.

    Parameters
    ----------
    model : LeNet5
        The model whose parameters change in place.
    lr : float
        Learning rate, at least 0.
    momentum : float, default 0
        In [0, 1).
    weight_decay : float, default 0
        At least 0; it also applies to biases.

    Attributes
    ----------
    lr, momentum, weight_decay : float
        The arguments; they may be changed between steps.
    velocity : ndarray of the dtype and shape of the model's flat vector of parameters
        Initially 0; each step changes it in place.
    preconditioner : ndarray
        Empty; optimizers derived from this class may keep an estimate in it.

    Raises
    ------
    InputError, InputTypeError
        If model is not a LeNet5, or lr, momentum or weight_decay is out of range or not a number.

    Examples
    --------
    >>> model = LeNet5(seed=0)
    >>> sgd = SGD(model, lr=0.1, momentum=0.9)
    >>> x, y = np.zeros((2, 28, 28)), np.array([3, 5])
    >>> before, gradients = model.loss_and_gradients(x, y)
    >>> sgd.step(gradients)
    >>> model.loss_and_gradients(x, y)[0] < before
    True
    """

    def __init__(self, model: LeNet5, lr: float, momentum: float = 0.0, weight_decay: float = 0.0):
        _checks.model(model)
        self.model = model
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocity: NDArray[Any] = np.zeros_like(model.parameters.flat)
        self.preconditioner: NDArray[Any] = np.empty(0)
        self._check_attributes()

    def _check_attributes(self) -> None:
        _checks.non_negative(self.lr, "lr")
        _checks.non_negative(self.momentum, "momentum", below=1)
        _checks.non_negative(self.weight_decay, "weight_decay")
        parameters, velocity = self.model.parameters.flat, self.velocity
        if velocity.shape != parameters.shape or velocity.dtype != parameters.dtype:
            raise InputError(
                f"velocity has dtype {velocity.dtype} and shape {velocity.shape}; expected {parameters.dtype} and "
                f"{parameters.shape}, like the parameters."
            )

    def estimate(self, x: ArrayLike) -> None:
        """Estimate `preconditioner` from images; SGD has none and does nothing.

        Parameters
        ----------
        x : array_like
            As for `LeNet5.logits`.
        """

    def step(self, gradients: Mapping[str, NDArray[Any]]) -> None:
        """Update the parameters once.

        Parameters
        ----------
        gradients : mapping of str to ndarray
            As `LeNet5.loss_and_gradients` returns them.

        Raises
        ------
        InputError, InputTypeError
            If the names or shapes of the gradients differ from those of the parameters, or the gradients are not
            numbers; if `velocity` has another shape or dtype; if `lr`, `momentum` or `weight_decay` is out of range.
        """
        self._check_attributes()
        self.model._kernels.sgd_step(
            self.model.parameters.flat, self._flat(gradients), self.velocity, self.lr, self.momentum, self.weight_decay
        )

    def _flat(self, gradients: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        shapes, dtype = self.model.parameters.shapes, self.model.parameters.flat.dtype
        order = [*shapes.items()]
        if isinstance(gradients, FlatDict) and gradients.flat.dtype == dtype and [*gradients.shapes.items()] == order:
            return gradients.flat
        if not isinstance(gradients, Mapping):
            raise InputTypeError(
                f"gradients is {_checks.short_repr(gradients)}; expected a mapping of names to arrays."
            )
        if gradients.keys() != shapes.keys():
            raise InputError(f"The gradients are named {', '.join(gradients)}; expected {', '.join(shapes)}.")
        arrays = [_checks.tensor(gradients[name], dtype, shape, f"The gradient {name}") for name, shape in order]
        return np.concatenate([array.ravel() for array in arrays])


def _check_schedule(lr: float, total_steps: int, steps_per_epoch: int) -> None:
    _checks.non_negative(lr, "lr")
    _checks.whole(total_steps, "total_steps")
    _checks.whole(steps_per_epoch, "steps_per_epoch")


def constant(lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Return a schedule with the constant learning rate `lr`.

    Parameters
    ----------
    lr : float
        The learning rate.
    total_steps, steps_per_epoch : int
        Ignored.

    Returns
    -------
    callable
        Maps the number of a step, from 0, to its learning rate.

    Raises
    ------
    InputError, InputTypeError
        If lr is not a finite number of at least 0, or the others are not positive integers.

    Examples
    --------
    >>> constant(0.01, 100, 10)(99)
    0.01
    """
    _check_schedule(lr, total_steps, steps_per_epoch)
    return lambda step: lr


def one_cycle(lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Return a schedule that rises linearly to `lr` over the first fifth, then falls to 0 as a half cosine.

    It follows Smith and Topin, "Super-convergence", 2018.

    Parameters
    ----------
    lr : float
        The peak of the learning rate.
    total_steps : int
        Number of steps of all epochs.
    steps_per_epoch : int
        Ignored.

    Returns
    -------
    callable
        Maps the number of a step, from 0, to its learning rate.

    Raises
    ------
    InputError, InputTypeError
        If lr is not a finite number of at least 0, or the others are not positive integers.

    Examples
    --------
    >>> schedule = one_cycle(0.5, 100, 10)
    >>> [round(schedule(step), 3) for step in (0, 19, 59, 99)]
    [0.025, 0.5, 0.25, 0.0]
    """
    _check_schedule(lr, total_steps, steps_per_epoch)
    warm_up = max(1, round(0.2 * total_steps))

    def schedule(step: int) -> float:
        if step < warm_up:
            return lr * (step + 1) / warm_up
        progress = (step - warm_up + 1) / max(1, total_steps - warm_up)
        return lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return schedule


def paper_steps(lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Return the schedule of the 1998 paper (section III.B).

    The learning rate is `lr` for two epochs, 2/5 of it for three, 1/5 for three, 1/10 for four, and then 1/50.

    Parameters
    ----------
    lr : float
        The learning rate of the first two epochs.
    total_steps : int
        Ignored.
    steps_per_epoch : int
        Number of steps of an epoch.

    Returns
    -------
    callable
        Maps the number of a step, from 0, to its learning rate.

    Raises
    ------
    InputError, InputTypeError
        If lr is not a finite number of at least 0, or the others are not positive integers.

    Examples
    --------
    >>> schedule = paper_steps(0.0005, 200, 10)
    >>> [round(schedule(10 * epoch), 6) for epoch in (0, 2, 5, 8, 12)]
    [0.0005, 0.0002, 0.0001, 5e-05, 1e-05]
    """
    _check_schedule(lr, total_steps, steps_per_epoch)
    factors = ((2, 1.0), (5, 0.4), (8, 0.2), (12, 0.1))

    def schedule(step: int) -> float:
        return lr * next((factor for end, factor in factors if step < end * steps_per_epoch), 0.02)

    return schedule


SCHEDULES: dict[str, Callable[[float, int, int], Schedule]] = {
    "constant": constant,
    "one_cycle": one_cycle,
    "paper_steps": paper_steps,
}
