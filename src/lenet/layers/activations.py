"""Activation functions: the logistic sigmoid, and the squashing function of the 1998 paper."""

import numpy as np

from lenet._checks import floats, tensor
from lenet.layers.base import Array, Backward, Layer

AMPLITUDE, SLOPE = 1.7159, 2 / 3  # of ScaledTanh


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
        # 1 / (1 + exp(-x)) or, for x < 0, the equal exp(x) / (1 + exp(x)): exp(-|x|) never overflows.
        power = np.exp(-np.abs(x))
        y = np.where(x < 0, power, 1) / (1 + power)

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            return tensor(dy, self.dtype, y.shape, "dy") * y * (1 - y), {}

        return y, backward


class ScaledTanh(Layer):
    """The scaled hyperbolic tangent of each element: y = 1.7159 tanh(2 x / 3).

    It maps -1 to -1 and 1 to 1, near which its second derivative is largest in magnitude, so that units with these
    targets do not saturate.

    Parameters
    ----------
    dtype : float32 or float64, default float32
        Type of all results.

    Raises
    ------
    InputTypeError
        If dtype is neither float32 nor float64.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, appendix A.

    Examples
    --------
    >>> ScaledTanh()(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-1.,  0.,  1.]], dtype=float32)
    """

    def forward(self, x: Array) -> tuple[Array, Backward]:
        y = AMPLITUDE * np.tanh(SLOPE * floats(x, self.dtype, "x"))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            slopes = SLOPE / AMPLITUDE * (AMPLITUDE - y) * (AMPLITUDE + y)
            return tensor(dy, self.dtype, y.shape, "dy") * slopes, {}

        return y, backward
