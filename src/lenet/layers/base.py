"""The interface of a layer."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet._checks import array, floating

Array = NDArray[Any]
Backward = Callable[[Array], tuple[Array, dict[str, Array]]]


class Layer(abc.ABC):
    """Base class of the layers: parameters, and a forward pass that returns the backward pass.

    A layer keeps no state between calls, so threads may share it while its parameters do not change.

    Parameters
    ----------
    dtype : float32 or float64, default float32
        Type of the parameters and of all results.

    Attributes
    ----------
    parameters : dict of str to ndarray
        "weight" and "bias", or empty if the layer has none.
    dtype : numpy.dtype
        The argument `dtype`.

    Raises
    ------
    InputTypeError
        If dtype is neither float32 nor float64.

    Examples
    --------
    >>> from lenet.layers import Sigmoid
    >>> y, backward = Sigmoid().forward(np.zeros((1, 3)))
    >>> dx, gradients = backward(np.ones((1, 3)))
    >>> dx, gradients
    (array([[0.25, 0.25, 0.25]], dtype=float32), {})
    """

    def __init__(self, dtype: DTypeLike = np.float32):
        self.dtype = floating(dtype)
        self.parameters: dict[str, Array] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the output for an input of `shape`, both without the batch axis.

        Parameters
        ----------
        shape : tuple of int
            (C, H, W) for convolution and pooling, (D,) for a dense layer; any shape for the others.

        Returns
        -------
        tuple of int

        Raises
        ------
        InputError
            If the input is smaller than the kernel or window of the layer.
        """
        return shape

    @abc.abstractmethod
    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return the output for a batch, and the backward pass of this call.

        Parameters
        ----------
        x : ndarray of shape (n, ...)
            Real numbers, which are cast to the dtype of the layer.

        Returns
        -------
        y : ndarray of shape (n, ...)
            With the dtype of the layer.
        backward : callable
            ``backward(dy)`` takes the gradient of the loss with respect to y. It returns the gradient with respect to x
            and a dict with the gradient of every parameter, summed over the batch.

        Raises
        ------
        InputError, InputTypeError
            If x does not fit the layer or is not an array of real numbers. ``backward`` raises the same errors for dy.
        """

    def __call__(self, x: ArrayLike) -> Array:
        """Return the output for a batch."""
        return self.forward(array(x, "x", "expected an array"))[0]
