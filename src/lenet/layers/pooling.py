"""Average pooling, and the trainable subsampling of the 1998 paper."""

import numpy as np
from numpy.typing import DTypeLike

from lenet import _compiled
from lenet._checks import generator_or_new, size, tensor
from lenet.errors import InputError
from lenet.layers.base import Array, Backward, Layer


class AvgPool2d(Layer):
    """Average pooling: the mean of each window of each channel.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and width of the window.
    stride : int or (int, int), optional
        Rows and columns from one window to the next; by default, the size of the window. Pixels at the lower and right
        edge that do not fill a window are ignored.
    dtype : float32 or float64, default float32
        Type of all results.

    Raises
    ------
    InputError, InputTypeError
        If a size is not a positive integer, or dtype is neither float32 nor float64.

    Examples
    --------
    >>> AvgPool2d(2)(np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2))
    array([[[[1.5]]]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        dtype: DTypeLike = np.float32,
    ):
        super().__init__(dtype)
        self.kernel_size = _pair(kernel_size, "kernel_size")
        self.stride = _pair(kernel_size if stride is None else stride, "stride")

    def __repr__(self) -> str:
        return f"AvgPool2d({self.kernel_size}, stride={self.stride})"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width = (
            (length - window) // step + 1
            for length, window, step in zip(shape[1:], self.kernel_size, self.stride, strict=True)
        )
        if height < 1 or width < 1:
            raise InputError(f"{self!r} got an input of shape {shape}; expected at least the size of its window.")
        return shape[0], height, width

    def forward(self, x: Array) -> tuple[Array, Backward]:
        x = tensor(x, self.dtype, (None,) * 4)
        y = np.empty((len(x), *self.output_shape(x.shape[1:])), self.dtype)
        _compiled.avg_pool2d_forward(x, *self.kernel_size, *self.stride, y)

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dx = np.zeros_like(x)
            _compiled.avg_pool2d_backward(tensor(dy, self.dtype, y.shape, "dy"), *self.kernel_size, *self.stride, dx)
            return dx, {}

        return y, backward


class Subsample2d(AvgPool2d):
    """Subsampling: the sum of each window, times a weight, plus a bias; each map has one weight and one bias.

    The paper then applies the squashing function, which is a separate layer here.

    Parameters
    ----------
    channels : int
        Number of maps.
    kernel_size : int, default 2
        The height and width of the windows, which do not overlap.
    dtype : float32 or float64, default float32
        Type of the parameters and of all results.
    rng : numpy.random.Generator, optional
        Draws the weights, uniformly from -2.4 / 4 to 2.4 / 4 for windows of 4 pixels, as in the paper; by default, from
        fresh entropy. Biases are 0.

    Attributes
    ----------
    parameters : dict of str to ndarray
        "weight" and "bias", (channels,).

    Raises
    ------
    InputError, InputTypeError
        If a size is not a positive integer, dtype is neither float32 nor float64, or rng is not a generator.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, section II.B.

    Examples
    --------
    >>> s2 = Subsample2d(1)
    >>> s2.parameters = {"weight": np.array([0.5], np.float32), "bias": np.array([1], np.float32)}
    >>> s2(np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2))
    array([[[[4.]]]], dtype=float32)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 2,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        kernel_size = size(kernel_size, "kernel_size")
        super().__init__(kernel_size, dtype=dtype)
        self.channels, self.pixels_per_window = size(channels, "channels"), kernel_size**2
        weight = generator_or_new(rng).uniform(-2.4, 2.4, self.channels) / self.pixels_per_window
        self.parameters = {"weight": weight.astype(self.dtype), "bias": np.zeros(channels, self.dtype)}

    def __repr__(self) -> str:
        return f"Subsample2d({self.channels}, kernel_size={self.kernel_size[0]})"

    def forward(self, x: Array) -> tuple[Array, Backward]:
        means, backward_of_means = super().forward(tensor(x, self.dtype, (None, self.channels, None, None)))
        sums = means * self.pixels_per_window
        weight, bias = (self.parameters[name][:, None, None] for name in ("weight", "bias"))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dy = tensor(dy, self.dtype, sums.shape, "dy")
            dx, _ = backward_of_means(dy * weight * self.pixels_per_window)
            return dx, {"weight": (dy * sums).sum(axis=(0, 2, 3)), "bias": dy.sum(axis=(0, 2, 3))}

        return weight * sums + bias, backward


def _pair(value: int | tuple[int, int], name: str) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2:
        raise InputError(f"{name} has {len(pair)} lengths; expected one integer, or a height and a width.")
    first, second = pair
    return size(first, name), size(second, name)
