"""FOOF: SGD preconditioned by the second moments of the inputs of each layer."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from lenet import _checks
from lenet._flat import FlatDict
from lenet.errors import InputError
from lenet.layers import Conv2d, Linear, im2col
from lenet.layers.base import Array
from lenet.model import LeNet5
from lenet.training.optim import SGD

DAMPING = 0.01
_BLOCK = 50  # images at a time; their patches take 4 MB


class FOOF(SGD):
    """SGD with momentum whose gradients are multiplied by the inverse second moment of the inputs of their layer.

    FOOF is short for fast first-order optimizer. A layer computes y = W x + b = V z, where V is (W, b) and z is (x, 1).
    All inputs z have a large component along their mean, because the outputs of sigmoids are positive. Each row of the
    gradient G of V is a sum of inputs, weighted by the gradients of the outputs, so this component dominates it. FOOF
    takes the step -lr G A^-1, where A = E[z z^T] + damping I, with the mean over images and output pixels. It limits
    the change of the outputs, not only that of the parameters: see docs/mathematics.md.

    Parameters
    ----------
    model : LeNet5
        The model whose parameters change in place.
    lr, momentum, weight_decay : float
        As for `SGD`. Weight decay is added to G A^-1.
    damping : float, default 0.01
        Limits the steps along directions in which the inputs hardly vary; above 0.

    Attributes
    ----------
    preconditioner : ndarray of the dtype of the parameters, shape (q,)
        The matrices A^-1, one for each layer with parameters; initially identity matrices.

    Raises
    ------
    InputError, InputTypeError
        If the model has layers with parameters other than `Conv2d` and `Linear`, or lr, momentum, weight_decay or
        damping is out of range or not a number.

    References
    ----------
    Benzing, "Gradient descent on neurons and its link to approximate second-order optimization", 2022.

    Examples
    --------
    >>> model = LeNet5(seed=0)
    >>> optimizer, x = FOOF(model, lr=0.01), np.random.default_rng(0).random((2, 28, 28))
    >>> optimizer.estimate(x)
    >>> before, gradients = model.loss_and_gradients(x, [3, 5])
    >>> optimizer.step(gradients)
    >>> model.loss_and_gradients(x, [3, 5])[0] < before
    True
    """

    def __init__(
        self, model: LeNet5, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, damping: float = DAMPING
    ):
        super().__init__(model, lr, momentum, weight_decay)
        self.damping = _checks.positive(damping, "damping")
        trained = {name: layer for name, layer in model._layers() if layer.parameters}
        if not all(isinstance(layer, Conv2d | Linear) for layer in trained.values()):
            raise InputError(
                f"model is {model!r}; expected a network of Conv2d and Linear layers, such as LeNet5. Use SGD."
            )
        sizes = {name: 1 + layer.parameters["weight"][0].size for name, layer in trained.items()}
        self._inverses = FlatDict({name: (size, size) for name, size in sizes.items()}, model.dtype)
        for matrix in self._inverses.values():
            np.fill_diagonal(matrix, 1)
        self.preconditioner = self._inverses.flat

    def estimate(self, x: ArrayLike) -> None:
        """Estimate the second moments of the inputs, and set `preconditioner` to the inverse matrices.

        Parameters
        ----------
        x : array_like
            At least one image, as for `LeNet5.logits`.

        Raises
        ------
        InputError, InputTypeError
            If there are no images, or as for `LeNet5.logits`.
        """
        images = _checks.images(x)
        _checks.not_empty(images)
        moments = FlatDict(self._inverses.shapes, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges raises an error later
            for start in range(0, len(images), _BLOCK):
                block = images[start : start + _BLOCK]
                for name, z in _inputs(self.model, block):
                    moments[name] += z.T @ z / len(z) * (len(block) / len(images))
            for name, moment in moments.items():
                self._inverses[name] = _inverse(moment + self.damping * np.eye(len(moment)))

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Update the parameters once, as `SGD.step` does, after multiplying the gradients by the preconditioner.

        Parameters
        ----------
        gradients : mapping of str to ndarray
            As `LeNet5.loss_and_gradients` returns them.

        Raises
        ------
        InputError, InputTypeError
            As for `SGD.step`.
        """
        shapes = self.model.parameters.shapes
        given = FlatDict(shapes, self.model.dtype, self._flat(gradients))
        found = FlatDict(shapes, self.model.dtype)
        for name, matrix in self._inverses.items():
            weight, bias = f"{name}.weight", f"{name}.bias"
            with np.errstate(over="ignore", invalid="ignore"):
                change = np.column_stack([given[weight].reshape(len(given[bias]), -1), given[bias]]) @ matrix
            found[weight], found[bias] = change[:, :-1].reshape(shapes[weight]), change[:, -1]
        super().step(found)


def _inputs(model: LeNet5, images: Array) -> Iterator[tuple[str, Array]]:
    """Yield the name of each layer with parameters, and its inputs: one row (x, 1) for each image and output pixel."""
    for name, layer, x, _ in model._forward(images):
        if isinstance(layer, Conv2d):
            columns = im2col(x, layer.kernel_size, layer.padding, x.dtype)
            x = columns.transpose(0, 2, 1).reshape(-1, columns.shape[1])
        if layer.parameters:
            yield name, np.column_stack([x, np.ones(len(x), x.dtype)])


def _inverse(matrix: Array) -> Array:
    """Return the inverse of a positive definite matrix, by Gauss-Jordan elimination.

    The result of `numpy.linalg.inv` depends on the number of threads.
    """
    a = matrix.copy()
    for k in range(len(a)):
        pivot, factors = a[k, k], a[:, k].copy()
        factors[k] = 0
        a[:, k] = 0
        a[k, k] = 1
        a[k] /= pivot
        a -= factors[:, np.newaxis] * a[k]
    return a
