"""The logistic sigmoid."""

import numpy as np

from lenet._checks import floats, tensor
from lenet.layers.base import Array, Backward, Layer


class Sigmoid(Layer):
    """The logistic function of each element: y = 1 / (1 + exp(-x)), and dx = dy y (1 - y).

    Parameters
    ----------
    dtype : float32 or float64, default float32
        Type of all results.

    Raises
    ------
    InputTypeError
        If dtype is neither float32 nor float64.

    Examples
    --------
    >>> Sigmoid()(np.zeros((1, 2), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """

    def forward(self, x: Array) -> tuple[Array, Backward]:
        x = floats(x, self.dtype, "x")
        power = np.exp(-np.abs(x))  # at most 1, whereas exp(-x) could overflow
        y = np.where(x < 0, power, 1) / (1 + power)

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            return tensor(dy, self.dtype, y.shape, "dy") * y * (1 - y), {}

        return y, backward
