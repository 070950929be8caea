"""The optimizer of the 1998 paper: stochastic diagonal Levenberg-Marquardt."""

import copy
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from lenet import _checks
from lenet._flat import FlatDict
from lenet.errors import InputError
from lenet.layers import RBF
from lenet.layers.base import Array, Layer
from lenet.model import LeNet5
from lenet.training.optim import SGD

MU = 0.2  # 0.02 in the paper; with that, the units with a low curvature saturate


class DiagonalLevenbergMarquardt(SGD):
    """Gradient descent in which each parameter has its own learning rate, lr / (mu + curvature).

    The curvature of a parameter, which `curvature` estimates, is the second derivative of the squared distance to the
    right code (equation 8 of the paper). `LeNet1998` is trained with equation 9, whose competitive term the curvature
    omits. A parameter with a low curvature takes large steps, up to lr / mu times its gradient.

    Parameters
    ----------
    model : LeNet1998
        The model whose parameters change in place.
    lr : float
        The numerator of the learning rates, at least 0.
    mu : float, default 0.2
        Limits the learning rate of parameters with a low curvature; above 0.

    Attributes
    ----------
    preconditioner : ndarray of the dtype and shape of the model's flat vector of parameters
        The curvature, initially 0.

    Raises
    ------
    InputError, InputTypeError
        If the last layer of the model is not an RBF layer, or lr or mu is out of range or not a number.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, appendix C.

    Examples
    --------
    >>> import lenet
    >>> model = lenet.LeNet1998(seed=0)
    >>> optimizer, x = DiagonalLevenbergMarquardt(model, lr=0.0005), np.zeros((1, 28, 28))
    >>> optimizer.estimate(x)
    >>> before, gradients = model.loss_and_gradients(x, [3])
    >>> optimizer.step(gradients)
    >>> model.loss_and_gradients(x, [3])[0] < before
    True
    """

    def __init__(self, model: LeNet5, lr: float, mu: float = MU):
        super().__init__(model, lr)
        if not isinstance(model.stages[-1][1][-1], RBF):
            raise InputError(f"model is {model!r}; expected a network with RBF outputs, such as LeNet1998. Use SGD.")
        self.mu = _checks.positive(mu, "mu")
        self.preconditioner = np.zeros_like(model.parameters.flat)

    def estimate(self, x: ArrayLike) -> None:
        """Estimate the curvature from images, and set `preconditioner` to it.

        Parameters
        ----------
        x : array_like
            As for `LeNet5.logits`.

        Raises
        ------
        InputError, InputTypeError
            As for `LeNet5.logits`.
        """
        self.preconditioner[...] = curvature(self.model, x).flat

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Update the parameters once: subtract lr / (mu + curvature) times the gradient.

        Parameters
        ----------
        gradients : mapping of str to ndarray
            As `LeNet1998.loss_and_gradients` returns them.

        Raises
        ------
        InputError, InputTypeError
            As for `SGD.step`.
        """
        self._check_attributes()
        self.model.parameters.flat[...] -= self.lr / (self.mu + self.preconditioner) * self._flat(gradients)


def curvature(model: LeNet5, x: ArrayLike) -> FlatDict:
    """Estimate the second derivative of equation 8 with respect to each parameter: the mean over images, at least 0.

    The images are as for `LeNet5.logits`, with the same errors. Equation 8 is the squared distance to the right code;
    equation 9, with which `LeNet1998` is trained, also has a competitive term. The second derivative of equation 8 with
    respect to each output of F6 is 2. From there, the second derivatives are propagated backwards like gradients, but
    with every factor squared. This is the Gauss-Newton approximation, which omits the second derivatives of the
    squashing function.

    Examples
    --------
    >>> import lenet
    >>> found = curvature(lenet.LeNet1998(seed=0), np.zeros((1, 28, 28)))["f6.bias"]
    >>> bool((found <= 2.62).all())  # 2 (1.7159 * 2 / 3)**2, for a unit near 0
    True
    """
    *hidden, (_, _, y, _) = model._forward(_checks.images(x))  # y enters the last layer, the RBF
    found = FlatDict(model.parameters.shapes, model.dtype)
    ddy = np.full_like(y, 2 / max(1, len(y)))  # a second derivative, as dy is a first one
    for name, layer, given, _ in reversed(hidden):
        ddy, second = second_derivatives(layer, given, ddy)
        found.update({f"{name}.{key}": value for key, value in second.items()})
    return found


def second_derivatives(layer: Layer, x: Array, ddy: Array) -> tuple[Array, dict[str, Array]]:
    """Propagate second derivatives from the output of a layer to its input and its parameters.

    A layer with parameters is linear in its weights and in its inputs, so squared weights and squared inputs give the
    second derivatives. As in the paper, the connections that share a weight of a `Subsample2d` count separately: their
    squared inputs are summed. In a layer without parameters, each input affects one output, so its slope is squared.
    The derivatives with respect to the parameters, by name, are summed over the images.

    Examples
    --------
    >>> from lenet.layers import ScaledTanh
    >>> second_derivatives(ScaledTanh(), np.zeros((1, 1)), np.ones((1, 1)))[0].round(3)  # (1.7159 * 2 / 3) ** 2
    array([[1.309]], dtype=float32)
    """
    if not layer.parameters:
        y, backward = layer.forward(x)
        return backward(np.ones_like(y))[0] * backward(ddy)[0], {}
    squared = copy.copy(layer)
    squared.parameters = {name: np.square(value) for name, value in layer.parameters.items()}
    return squared.forward(np.square(x))[1](ddy)
