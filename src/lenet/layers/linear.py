"""The fully connected layer."""

import numpy as np
from numpy.typing import DTypeLike

from lenet._checks import generator_or_new, size, tensor
from lenet.init import xavier_uniform
from lenet.layers.base import Array, Backward, Layer


class Linear(Layer):
    """A fully connected layer: y = x weight^T + bias.

    Parameters
    ----------
    in_features, out_features : int
        D and O, the lengths of an input and of an output vector.
    dtype : float32 or float64, default float32
        Type of the parameters and of all results.
    rng : numpy.random.Generator, optional
        Draws the weights (Xavier uniform); by default, from fresh entropy. Biases are 0.

    Attributes
    ----------
    parameters : dict of str to ndarray
        "weight", (O, D), and "bias", (O,).

    Raises
    ------
    InputError, InputTypeError
        If a size is not a positive integer, dtype is neither float32 nor float64, or rng is not a generator.

    Examples
    --------
    >>> f6 = Linear(120, 84)
    >>> f6(np.zeros((3, 120), np.float32)).shape
    (3, 84)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(dtype)
        self.in_features = size(in_features, "in_features")
        self.out_features = size(out_features, "out_features")
        weight = xavier_uniform((self.out_features, self.in_features), generator_or_new(rng))
        self.parameters = {"weight": weight.astype(self.dtype), "bias": np.zeros(out_features, self.dtype)}

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features})"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.out_features,)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        x = tensor(x, self.dtype, (None, self.in_features))
        weight = self.parameters["weight"]
        y = x @ weight.T + self.parameters["bias"]

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dy = tensor(dy, self.dtype, y.shape, "dy")
            return dy @ weight, {"weight": dy.T @ x, "bias": dy.sum(axis=0)}

        return y, backward
