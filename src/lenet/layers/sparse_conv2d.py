"""The sparse convolution of the 1998 paper, in which each map of C3 sees only some maps of S2."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lenet._checks import array, generator_or_new
from lenet.errors import InputError
from lenet.init import fan_in_uniform
from lenet.layers.base import Array, Backward
from lenet.layers.conv2d import Conv2d

_ROWS = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""  # as in the paper: a row for each map of S2, a column for each map of C3
TABLE_I = np.array([[mark == "X" for mark in row] for row in _ROWS.split()]).T


class SparseConv2d(Conv2d):
    """Convolution without padding, in which a table determines which input maps each output map sees.

    Parameters
    ----------
    table : array_like of bool, shape (O, C)
        Whether output map o sees input map c; each output map sees at least one. `TABLE_I` is that of the paper.
    kernel_size : int
        K, the height and width of the kernel.
    dtype : float32 or float64, default float32
        Type of the parameters and of all results.
    rng : numpy.random.Generator, optional
        Draws the weights (`lenet.init.fan_in_uniform`); by default, from fresh entropy. Biases are 0.

    Attributes
    ----------
    parameters : dict of str to ndarray
        "weight", (S, K, K), has one kernel for each of the S true entries of the table, row by row; "bias", (O,).

    Raises
    ------
    InputError, InputTypeError
        If the table is not one of bool or an output map sees no input map, kernel_size is not a positive integer,
        dtype is neither float32 nor float64, or rng is not a generator.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, Table I.

    Examples
    --------
    >>> c3 = SparseConv2d(TABLE_I, 5)
    >>> sum(parameter.size for parameter in c3.parameters.values())
    1516
    """

    def __init__(
        self,
        table: ArrayLike,
        kernel_size: int,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        self.table = array(table, "table", "expected bool of shape (O, C)").copy()
        if self.table.dtype != bool or self.table.ndim != 2 or not self.table.size or not self.table.any(1).all():
            raise InputError(
                f"table has dtype {self.table.dtype} and shape {self.table.shape}; expected bool of shape (O, C), with "
                "a true entry in each row."
            )
        rng = generator_or_new(rng)
        super().__init__(self.table.shape[1], self.table.shape[0], kernel_size, 0, dtype, rng)
        seen = self.table.sum(axis=1)
        fan_in = np.repeat(seen, seen)[:, None, None] * self.kernel_size**2  # of each kernel
        weight = fan_in_uniform((len(fan_in), self.kernel_size, self.kernel_size), fan_in, rng)
        self.parameters["weight"] = weight.astype(self.dtype)

    def __repr__(self) -> str:
        connected = f"{self.table.sum()} of {self.in_channels}x{self.out_channels}"
        return f"SparseConv2d({connected}, kernel_size={self.kernel_size})"

    def kernels(self) -> Array:
        """Return the kernels of all pairs of maps, which are 0 for pairs that are not connected.

        Returns
        -------
        ndarray of shape (O, C, K, K)
        """
        kernels = np.zeros((*self.table.shape, self.kernel_size, self.kernel_size), self.dtype)
        kernels[self.table] = self.parameters["weight"]
        return kernels

    def forward(self, x: Array) -> tuple[Array, Backward]:
        y, backward_of_all = super().forward(x)

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dx, gradients = backward_of_all(dy)
            return dx, gradients | {"weight": gradients["weight"][self.table]}

        return y, backward
