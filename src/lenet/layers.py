"""The layers: forwards, and backwards by the chain rule, over the compiled kernels.

`forward(x)` returns the output and what the backward pass needs of this call; nothing is kept in the layer,
so threads may share it. `backward(dy, saved)` returns the gradient by the input, and adds the gradients by the
parameters to the arrays of `gradients`.
"""

import abc
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet._checks import array, floats, output, tensor, whole
from lenet._kernels import kernels
from lenet.errors import InputError
from lenet.init import xavier_uniform

Array = NDArray[Any]
Gradients = Mapping[str, Array]


class Layer(abc.ABC):
    """What the layers have in common.

    Parameters
    ----------
    dtype : float32 or float64, default float32

    Attributes
    ----------
    parameters : dict of str to ndarray
        "weight" and "bias" of the layers that learn, empty otherwise.
    dtype : dtype
        float32 or float64, of the parameters and of all that is computed.

    Examples
    --------
    >>> layer = Sigmoid()
    >>> y, saved = layer.forward(np.zeros((2, 3)))
    >>> layer.backward(np.ones((2, 3)), saved)[0]
    array([0.25, 0.25, 0.25], dtype=float32)
    """

    def __init__(self, dtype: DTypeLike = np.float32):
        self.dtype = np.dtype(dtype)
        self._kernels = kernels(self.dtype)
        self.parameters: dict[str, Array] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kernels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._kernels = kernels(self.dtype)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an output, without the batch, for an input of `shape`.

        Parameters
        ----------
        shape : tuple of int
            Of an input, without the batch.

        Returns
        -------
        tuple of int

        Raises
        ------
        InputError
            If an input of that shape is too small.
        """
        return shape

    @abc.abstractmethod
    def forward(self, x: Array) -> tuple[Array, Any]:
        """Return the output for a batch, and what `backward` needs of it.

        Parameters
        ----------
        x : ndarray of the layer's dtype, shape (n, ...)
            What is of another dtype is cast.

        Returns
        -------
        y : ndarray of the layer's dtype, shape (n, ...)
        saved : Any
            For `backward`; not to be changed.

        Raises
        ------
        InputError, InputTypeError
            If x is no array of numbers of such a shape.
        """

    @abc.abstractmethod
    def backward(self, dy: Array, saved: Any, gradients: Gradients | None = None, input_gradient: bool = True) -> Array:
        """Return the gradient by the input, and add those by the parameters to `gradients`.

        Parameters
        ----------
        dy : ndarray of the shape of the output
            The loss's gradient by it.
        saved : Any
            What `forward` returned.
        gradients : mapping of str to ndarray, optional
            By the names in `parameters`, of their shapes and the layer's dtype: those of this batch are added.
        input_gradient : bool, default True
            Whether dx is wanted; layers with parameters return an empty array otherwise.

        Returns
        -------
        ndarray of the layer's dtype and the shape of x

        Raises
        ------
        InputError, InputTypeError
            If dy or an array of `gradients` has another shape, or no numbers.
        """

    def __call__(self, x: ArrayLike) -> Array:
        """Return the output for a batch."""
        return self.forward(array(x, "x", "an array is wanted"))[0]


class Conv2d(Layer):
    """Convolution with stride 1 and zero padding, as correlation: the kernel is not flipped.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int
        KH = KW.
    padding : int, default 0
        Rows and columns of zeros on each side.
    dtype : dtype, default float32
    rng : numpy.random.Generator, optional
        Draws the weights, Xavier uniform; biases are 0.

    Notes
    -----
    Forwards, an image's patches are laid out as columns (im2col) and multiplied with the weights, (O, D) by
    (D, P). Backwards, dweight is dy times the transposed columns, and dx the columns' gradient added back to
    the pixels that they came from (col2im). A kernel as large as its input, C5's, makes a dense layer
    (the paper, section II.B) and is computed as one.

    Examples
    --------
    >>> c1 = Conv2d(1, 6, 5, padding=2, rng=np.random.default_rng(0))
    >>> y, saved = c1.forward(np.zeros((3, 1, 28, 28), np.float32))
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
        self.in_channels = whole(in_channels, "in_channels")
        self.out_channels = whole(out_channels, "out_channels")
        self.kernel_size = whole(kernel_size, "kernel_size")
        self.padding = whole(padding, "padding", least=0)
        shape = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        weight = xavier_uniform(shape, rng or np.random.default_rng())
        self.parameters = {"weight": weight.astype(self.dtype), "bias": np.zeros(out_channels, self.dtype)}

    def __repr__(self) -> str:
        padding = f", padding={self.padding}" if self.padding else ""
        return f"Conv2d({self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{padding})"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (O, H + 2 padding - K + 1, W + 2 padding - K + 1).

        Parameters
        ----------
        shape : tuple of int
            (C, H, W).

        Returns
        -------
        tuple of int
            (O, OH, OW).
        """
        height, width = (length + 2 * self.padding - self.kernel_size + 1 for length in shape[1:])
        if height < 1 or width < 1:
            raise InputError(f"{self!r} got an input of {shape[1:]}, smaller than its kernel.")
        return self.out_channels, height, width

    def _covers(self, shape: tuple[int, ...]) -> bool:
        return self.padding == 0 and shape[-2:] == (self.kernel_size, self.kernel_size)

    def _dense(self) -> Array:
        return self.parameters["weight"].reshape(self.out_channels, -1)

    def _work(self, shape: tuple[int, ...]) -> Array:
        size = self.kernel_size
        return np.empty(self._kernels.conv2d_work(*shape[1:], self.out_channels, size, size, self.padding), self.dtype)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Return y of shape (n, O, OH, OW), and x.

        Parameters
        ----------
        x : ndarray of shape (n, C, H, W)

        Returns
        -------
        y : ndarray of shape (n, O, OH, OW)
        saved : ndarray
            It is x.
        """
        x = tensor(x, self.dtype, (None, self.in_channels, None, None))
        y = np.empty((len(x), *self.output_shape(x.shape[1:])), self.dtype)
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        if self._covers(x.shape):
            self._kernels.linear_forward(_rows(x), self._dense(), bias, _rows(y))
        else:
            self._kernels.conv2d_forward(x, weight, bias, self.padding, y, self._work(x.shape))
        return y, x

    def backward(
        self, dy: Array, saved: Array, gradients: Gradients | None = None, input_gradient: bool = True
    ) -> Array:
        """Return dx (or, without input_gradient, an empty array), and add to gradients["weight"], ["bias"].

        Parameters
        ----------
        dy : ndarray of shape (n, O, OH, OW)
        saved, gradients, input_gradient : Any, mapping and bool
            As for `Layer.backward`.

        Returns
        -------
        ndarray of shape (n, C, H, W)
        """
        x, kernel = saved, self._kernels
        dy = tensor(dy, self.dtype, (len(x), *self.output_shape(x.shape[1:])), "dy")
        _check_sums(gradients, self.parameters)
        dx = np.empty(x.shape if input_gradient else 0, self.dtype)
        if self._covers(x.shape):
            return _dense_backward(kernel, dy, x, self._dense(), gradients, dx)
        work = self._work(x.shape)
        if gradients is not None:
            kernel.conv2d_backward_weight(dy, x, self.padding, gradients["weight"], gradients["bias"], work)
        if input_gradient:
            kernel.conv2d_backward_input(dy, self.parameters["weight"], self.padding, dx, work)
        return dx


class Linear(Layer):
    """A dense layer: y = x weight^T + bias.

    Parameters
    ----------
    in_features, out_features : int
        D and O.
    dtype : dtype, default float32
    rng : numpy.random.Generator, optional
        Draws the weights, Xavier uniform; biases are 0.

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
        self.in_features = whole(in_features, "in_features")
        self.out_features = whole(out_features, "out_features")
        weight = xavier_uniform((self.out_features, self.in_features), rng or np.random.default_rng())
        self.parameters = {"weight": weight.astype(self.dtype), "bias": np.zeros(out_features, self.dtype)}

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features})"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (O,).

        Parameters
        ----------
        shape : tuple of int
            (D,).

        Returns
        -------
        tuple of int
            (O,).
        """
        return (self.out_features,)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Return y of shape (n, O), and x.

        Parameters
        ----------
        x : ndarray of shape (n, D)

        Returns
        -------
        y : ndarray of shape (n, O)
        saved : ndarray
            It is x.
        """
        x = tensor(x, self.dtype, (None, self.in_features))
        y = np.empty((len(x), self.out_features), self.dtype)
        self._kernels.linear_forward(x, self.parameters["weight"], self.parameters["bias"], y)
        return y, x

    def backward(
        self, dy: Array, saved: Array, gradients: Gradients | None = None, input_gradient: bool = True
    ) -> Array:
        """Return dx, and add to gradients["weight"] and ["bias"].

        Parameters
        ----------
        dy : ndarray of shape (n, O)
        saved, gradients, input_gradient : Any, mapping and bool
            As for `Layer.backward`.

        Returns
        -------
        ndarray of shape (n, D)
        """
        dy = tensor(dy, self.dtype, (len(saved), self.out_features), "dy")
        _check_sums(gradients, self.parameters)
        dx = np.empty(saved.shape if input_gradient else 0, self.dtype)
        return _dense_backward(self._kernels, dy, saved, self.parameters["weight"], gradients, dx)


class Sigmoid(Layer):
    """The logistic function, elementwise: y = 1 / (1 + exp(-x)), and dx = dy y (1 - y).

    Parameters
    ----------
    dtype : dtype, default float32

    Examples
    --------
    >>> Sigmoid()(np.zeros((1, 2), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """

    def __repr__(self) -> str:
        return "Sigmoid()"

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Return y, of the shape of x, and y again: the derivative is a function of it.

        Parameters
        ----------
        x : ndarray of any shape

        Returns
        -------
        y : ndarray of the shape of x
        saved : ndarray
            It is y.
        """
        x = floats(x, self.dtype, "x")
        y = np.empty_like(x)
        self._kernels.sigmoid_forward(x.reshape(-1), y.reshape(-1))
        return y, y

    def backward(
        self, dy: Array, saved: Array, gradients: Gradients | None = None, input_gradient: bool = True
    ) -> Array:
        """Return dx.

        Parameters
        ----------
        dy : ndarray of the shape of x
        saved, gradients, input_gradient : Any, mapping and bool
            As for `Layer.backward`.

        Returns
        -------
        ndarray of the same shape
        """
        dy = tensor(dy, self.dtype, saved.shape, "dy")
        dx = np.empty_like(saved)
        self._kernels.sigmoid_backward(dy.reshape(-1), saved.reshape(-1), dx.reshape(-1))
        return dx


class AvgPool2d(Layer):
    """The means of windows of an image.

    Parameters
    ----------
    kernel_size : int or (int, int)
        KH, KW of the window.
    stride : int or (int, int), optional
        Rows and columns from window to window; those of the window by default. Pixels at the lower and right
        edge that fill no window are left out.
    dtype : dtype, default float32

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
        """Return (C, (H - KH) // SH + 1, (W - KW) // SW + 1).

        Parameters
        ----------
        shape : tuple of int
            (C, H, W).

        Returns
        -------
        tuple of int
            (C, OH, OW).
        """
        if any(length < size for length, size in zip(shape[1:], self.kernel_size, strict=True)):
            raise InputError(f"{self!r} got an input of {shape[1:]}, smaller than its window.")
        height, width = (
            (length - size) // step + 1
            for length, size, step in zip(shape[1:], self.kernel_size, self.stride, strict=True)
        )
        return shape[0], height, width

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        """Return y of shape (n, C, OH, OW), and the shape of x.

        Parameters
        ----------
        x : ndarray of shape (n, C, H, W)

        Returns
        -------
        y : ndarray of shape (n, C, OH, OW)
        saved : tuple of int
            The shape of x.
        """
        x = tensor(x, self.dtype, (None,) * 4)
        y = np.empty((len(x), *self.output_shape(x.shape[1:])), self.dtype)
        self._kernels.avg_pool2d_forward(x, *self.kernel_size, *self.stride, y)
        return y, x.shape

    def backward(
        self, dy: Array, saved: tuple[int, ...], gradients: Gradients | None = None, input_gradient: bool = True
    ) -> Array:
        """Return dx.

        Parameters
        ----------
        dy : ndarray of shape (n, C, OH, OW)
        saved, gradients, input_gradient : Any, mapping and bool
            As for `Layer.backward`.

        Returns
        -------
        ndarray of shape (n, C, H, W)
        """
        dy = tensor(dy, self.dtype, (saved[0], *self.output_shape(saved[1:])), "dy")
        dx = np.empty(saved, self.dtype)
        self._kernels.avg_pool2d_backward(dy, *self.kernel_size, *self.stride, dx)
        return dx


class Flatten(Layer):
    """(n, C, H, W) to (n, C H W).

    Parameters
    ----------
    dtype : dtype, default float32

    Examples
    --------
    >>> Flatten()(np.zeros((3, 16, 5, 5))).shape
    (3, 400)
    """

    def __repr__(self) -> str:
        return "Flatten()"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (C H W,).

        Parameters
        ----------
        shape : tuple of int
            (C, H, W).

        Returns
        -------
        tuple of int
            (C H W,).
        """
        return (int(np.prod(shape)),)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        """Return y, and the shape of x.

        Parameters
        ----------
        x : ndarray of shape (n, C, H, W)

        Returns
        -------
        y : ndarray of shape (n, C H W)
        saved : tuple of int
            The shape of x.
        """
        x = array(x, "x", "an array is wanted")
        x = tensor(x, self.dtype, (None,) * max(1, x.ndim))
        return _rows(x), x.shape

    def backward(
        self, dy: Array, saved: tuple[int, ...], gradients: Gradients | None = None, input_gradient: bool = True
    ) -> Array:
        """Return dy in the shape of x.

        Parameters
        ----------
        dy : ndarray of shape (n, C H W)
        saved, gradients, input_gradient : Any, mapping and bool
            As for `Layer.backward`.

        Returns
        -------
        ndarray of shape (n, C, H, W)
        """
        return tensor(dy, self.dtype, (saved[0], *self.output_shape(saved[1:])), "dy").reshape(saved)


def im2col(x: ArrayLike, kernel_size: int, padding: int = 0, dtype: DTypeLike = np.float32) -> Array:
    """Lay out the patches of images as columns, so that a convolution becomes a product of matrices.

    Parameters
    ----------
    x : array_like of shape (n, C, H, W)
    kernel_size : int
        KH = KW.
    padding : int, default 0
    dtype : dtype, default float32

    Returns
    -------
    ndarray of shape (n, C KH KW, OH OW)
        Row (c, i, j) holds the input pixel that weight (c, i, j) meets, for each output pixel.

    Raises
    ------
    InputError
        If x is not of rank 4, or smaller than the kernel.

    Examples
    --------
    >>> im2col(np.arange(9).reshape(1, 1, 3, 3), 2)[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]], dtype=float32)
    """
    x = tensor(x, dtype, (None,) * 4)
    n, channels = x.shape[:2]
    layer = _geometry(channels, kernel_size, padding, np.dtype(dtype))
    _, height, width = layer.output_shape(x.shape[1:])
    out = np.empty((n, channels * kernel_size**2, height * width), dtype)
    layer._kernels.im2col(x, kernel_size, kernel_size, padding, out, layer._work(x.shape))
    return out


def col2im(
    columns: ArrayLike, shape: tuple[int, ...], kernel_size: int, padding: int = 0, dtype: DTypeLike = np.float32
) -> Array:
    """Add columns back to the pixels that they came from: the transpose, not the inverse, of `im2col`.

    Parameters
    ----------
    columns : array_like of shape (n, C KH KW, OH OW)
    shape : tuple of int
        (n, C, H, W) of the images.
    kernel_size : int
        KH = KW.
    padding : int, default 0
    dtype : dtype, default float32

    Returns
    -------
    ndarray of that shape

    Raises
    ------
    InputError
        If the columns do not fit the shape.

    Examples
    --------
    >>> col2im(np.ones((1, 4, 4)), (1, 1, 3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    layer = _geometry(shape[1], kernel_size, padding, np.dtype(dtype))
    _, height, width = layer.output_shape(shape[1:])
    columns = tensor(columns, dtype, (shape[0], shape[1] * kernel_size**2, height * width), "columns")
    out = np.empty(shape, dtype)
    layer._kernels.col2im(columns, kernel_size, kernel_size, padding, out, layer._work(shape))
    return out


@functools.lru_cache(maxsize=16)
def _geometry(channels: int, kernel_size: int, padding: int, dtype: np.dtype[Any]) -> Conv2d:
    return Conv2d(channels, 1, kernel_size, padding, dtype)


def _check_sums(gradients: Gradients | None, parameters: Mapping[str, Array]) -> None:
    """Refuse arrays to which the gradients by the parameters cannot be added."""
    if gradients is not None:
        for name, value in parameters.items():
            output(gradients.get(name), value.shape, value.dtype, name=f"gradients[{name!r}]")


def _rows(x: Array) -> Array:
    """Return x as a matrix, a row for each image."""
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def _pair(value: int | tuple[int, int], name: str) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple) else (value, value)
    return whole(first, name), whole(second, name)


def _dense_backward(kernel: Any, dy: Array, x: Array, weight: Array, gradients: Gradients | None, dx: Array) -> Array:
    """Run a dense layer backwards, over arrays of any rank; dx is filled unless it is empty."""
    dy, rows = _rows(dy), _rows(x)
    work = np.empty(kernel.linear_work(*dy.shape), dy.dtype)
    if gradients is not None:
        dweight = gradients["weight"].reshape(weight.shape)
        kernel.linear_backward_weight(dy, rows, dweight, gradients["bias"], work)
    if dx.size:
        kernel.linear_backward_input(dy, weight, _rows(dx), work)
    return dx
