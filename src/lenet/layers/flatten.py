"""Flatten feature maps into vectors."""

import math

from lenet._checks import array, tensor
from lenet.layers.base import Array, Backward, Layer


class Flatten(Layer):
    """Reshape each image to a vector: (n, C, H, W) to (n, C H W).

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
    >>> import numpy as np
    >>> Flatten()(np.zeros((3, 16, 5, 5))).shape
    (3, 400)
    """

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(shape),)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        x = array(x, "x", "expected an array")
        x = tensor(x, self.dtype, (None,) * max(1, x.ndim))
        y = x.reshape(len(x), *self.output_shape(x.shape[1:]))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            return tensor(dy, self.dtype, y.shape, "dy").reshape(x.shape), {}

        return y, backward
