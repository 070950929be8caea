"""Convolution as a matrix product over im2col."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lenet import _compiled
from lenet._checks import floating, generator_or_new, short_repr, size, tensor
from lenet.errors import InputError
from lenet.init import xavier_uniform
from lenet.layers.base import Array, Backward, Layer


class Conv2d(Layer):
    """Convolution with stride 1 and zero padding, computed as a cross-correlation.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O, the numbers of input and output channels.
    kernel_size : int
        K, the height and width of the kernel.
    padding : int, default 0
        Rows and columns of zeros added on each side.
    dtype : float32 or float64, default float32
        Type of the parameters and of all results.
    rng : numpy.random.Generator, optional
        Draws the weights (Xavier uniform); by default, from fresh entropy. Biases are 0.

    Attributes
    ----------
    parameters : dict of str to ndarray
        "weight", (O, C, K, K), and "bias", (O,).

    Raises
    ------
    InputError, InputTypeError
        If a size is not a positive integer, padding is negative or not an integer, dtype is neither float32 nor
        float64, or rng is not a generator.

    Notes
    -----
    Forward: `im2col` lays out the patches of an image as columns, (C K K, OH OW), and y = weight columns + bias, with
    the weight as (O, C K K). Backward: dweight = dy columns^T, and `col2im` adds weight^T dy back to the pixels.

    Examples
    --------
    >>> c1 = Conv2d(1, 6, 5, padding=2, rng=np.random.default_rng(0))
    >>> y, backward = c1.forward(np.zeros((3, 1, 28, 28), np.float32))
    >>> y.shape
    (3, 6, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int = 0,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(dtype)
        self.in_channels = size(in_channels, "in_channels")
        self.out_channels = size(out_channels, "out_channels")
        self.kernel_size = size(kernel_size, "kernel_size")
        self.padding = size(padding, "padding", at_least=0)
        shape = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        weight = xavier_uniform(shape, generator_or_new(rng))
        self.parameters = {"weight": weight.astype(self.dtype), "bias": np.zeros(out_channels, self.dtype)}

    def __repr__(self) -> str:
        padding = f", padding={self.padding}" if self.padding else ""
        return f"Conv2d({self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{padding})"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.out_channels, *_output_size(repr(self), shape, self.kernel_size, self.padding)

    def kernels(self) -> Array:
        """Return the kernels of all pairs of maps.

        Returns
        -------
        ndarray of shape (O, C, K, K)
        """
        return self.parameters["weight"]

    def forward(self, x: Array) -> tuple[Array, Backward]:
        x = tensor(x, self.dtype, (None, self.in_channels, None, None))
        shape = (len(x), *self.output_shape(x.shape[1:]))
        kernels = self.kernels()
        weight = kernels.reshape(self.out_channels, -1)
        columns = _columns(x, self.kernel_size, self.padding)  # (n, d, p): d weights of a kernel, p output pixels
        y = weight @ columns + self.parameters["bias"][:, None]  # (n, o, p): o output channels

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dy = tensor(dy, self.dtype, shape, "dy").reshape(y.shape)
            dweight = np.einsum("nop,ndp->od", dy, columns, optimize=True)  # dy times columns^T, summed over images
            dx = _add_columns(weight.T @ dy, x.shape, self.kernel_size, self.padding)
            return dx, {"weight": dweight.reshape(kernels.shape), "bias": dy.sum(axis=(0, 2))}

        return y.reshape(shape), backward


def im2col(x: ArrayLike, kernel_size: int, padding: int = 0, dtype: DTypeLike = np.float32) -> Array:
    """Lay out the patches of images as columns, so that a convolution becomes a matrix product.

    Parameters
    ----------
    x : array_like of shape (n, C, H, W)
    kernel_size : int
        K, the height and width of a patch.
    padding : int, default 0
        Rows and columns of zeros added on each side.
    dtype : float32 or float64, default float32
        Type of the result.

    Returns
    -------
    ndarray of shape (n, C K K, OH OW)
        Row (c, i, j) contains the pixel under weight (c, i, j) for each output pixel. OH is H + 2 padding - K + 1, and
        OW likewise.

    Raises
    ------
    InputError, InputTypeError
        If x does not have four axes or, with the padding, is smaller than a patch; if kernel_size, padding or dtype
        is invalid.

    Examples
    --------
    >>> im2col(np.arange(9).reshape(1, 1, 3, 3), 2)[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]], dtype=float32)
    """
    kernel_size, padding = size(kernel_size, "kernel_size"), size(padding, "padding", at_least=0)
    x = tensor(x, floating(dtype), (None,) * 4)
    _output_size("im2col", x.shape[1:], kernel_size, padding)
    return _columns(x, kernel_size, padding)


def col2im(
    columns: ArrayLike, shape: tuple[int, ...], kernel_size: int, padding: int = 0, dtype: DTypeLike = np.float32
) -> Array:
    """Add columns back to the pixels they came from: the transpose of `im2col`, not its inverse.

    Parameters
    ----------
    columns : array_like of shape (n, C K K, OH OW)
        As returned by `im2col` with the same kernel_size and padding.
    shape : tuple of int
        Shape of the images, (n, C, H, W).
    kernel_size : int
        K, the height and width of a patch.
    padding : int, default 0
        Rows and columns of zeros that `im2col` added on each side.
    dtype : float32 or float64, default float32
        Type of the result.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Each pixel is the sum of its copies in the columns.

    Raises
    ------
    InputError, InputTypeError
        If the columns do not fit the shape; if kernel_size, padding or dtype is invalid.

    Examples
    --------
    >>> col2im(np.ones((1, 4, 4)), (1, 1, 3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise InputError(f"shape is {short_repr(shape)}; expected four dimensions, (n, C, H, W).")
    shape = tuple(size(length, "shape", at_least=0) for length in shape)
    kernel_size, padding = size(kernel_size, "kernel_size"), size(padding, "padding", at_least=0)
    height, width = _output_size("col2im", shape[1:], kernel_size, padding)
    columns = tensor(columns, floating(dtype), (shape[0], shape[1] * kernel_size**2, height * width), "columns")
    return _add_columns(columns, shape, kernel_size, padding)


def _output_size(caller: str, shape: tuple[int, ...], kernel_size: int, padding: int) -> tuple[int, int]:
    """Return OH and OW for images of shape (C, H, W); errors begin with the name of the caller."""
    height, width = (length + 2 * padding - kernel_size + 1 for length in shape[1:])
    if height < 1 or width < 1:
        raise InputError(f"{caller} got an input of shape {shape}; expected at least the size of its kernel.")
    return height, width


def _columns(x: Array, size: int, padding: int) -> Array:
    """Return the columns of validated images."""
    if padding:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, channels, height, width = x.shape
    columns = np.empty((n, channels * size**2, (height - size + 1) * (width - size + 1)), x.dtype)
    _compiled.im2col(x, size, columns)
    return columns


def _add_columns(columns: Array, shape: tuple[int, ...], size: int, padding: int) -> Array:
    """Add validated columns to the pixels of images of `shape`."""
    n, channels, height, width = shape
    out = np.zeros((n, channels, height + 2 * padding, width + 2 * padding), columns.dtype)
    _compiled.col2im(columns, size, out)
    return out[:, :, padding : padding + height, padding : padding + width]
