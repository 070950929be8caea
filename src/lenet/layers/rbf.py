"""Radial basis functions as outputs, with a bitmap of each digit as its code."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lenet._checks import tensor
from lenet.layers.base import Array, Backward, Layer

_BITMAPS = """
.XXXXX.  ...X...  .XXXXX.  .XXXXX.  ....XX.  XXXXXXX  ..XXXX.  XXXXXXX  .XXXXX.  .XXXXX.
XX...XX  ..XX...  XX...XX  XX...XX  ...XXX.  XX.....  .XX....  XX...XX  XX...XX  XX...XX
XX...XX  .XXX...  XX...XX  .....XX  ...XXX.  XX.....  XX.....  .....XX  XX...XX  XX...XX
XX..XXX  XXXX...  .....XX  .....XX  ..XXXX.  XX.....  XX.....  ....XX.  XX...XX  XX...XX
XX.XXXX  ..XX...  .....XX  .....XX  ..X.XX.  XXXXXX.  XX.XXX.  ....XX.  .XX.XX.  XX...XX
XXXX.XX  ..XX...  ....XX.  ..XXXX.  .XX.XX.  XX...XX  XXX..XX  ...XX..  .XXXXX.  .XX..XX
XXX..XX  ..XX...  ...XX..  .....XX  .X..XX.  .....XX  XX...XX  ...XX..  XX...XX  ..XXXXX
XX...XX  ..XX...  ..XX...  .....XX  XXXXXXX  .....XX  XX...XX  ..XX...  XX...XX  .....XX
XX...XX  ..XX...  .XX....  .....XX  XXXXXXX  .....XX  XX...XX  ..XX...  XX...XX  .....XX
XX...XX  ..XX...  XX.....  XX...XX  ....XX.  XX...XX  XX...XX  .XX....  XX...XX  .....XX
XX...XX  ..XX...  XX...XX  XX...XX  ....XX.  XX...XX  XX...XX  .XX....  XX...XX  ....XX.
.XXXXX.  XXXXXX.  XXXXXXX  .XXXXX.  ....XX.  .XXXXX.  .XXXXX.  .XX....  .XXXXX.  .XXXX..
"""
_ROWS = [[[1 if mark == "X" else -1 for mark in part] for part in row.split()] for row in _BITMAPS.split("\n")[1:-1]]
DIGIT_CODES = np.swapaxes(_ROWS, 0, 1).reshape(10, 84)


class RBF(Layer):
    """Radial basis functions: each output is minus the squared distance between the input and the code of its class.

    The paper's penalty is the squared distance itself, and the answer is the class with the lowest penalty. Here, as in
    other networks, the answer is the class with the highest output. The codes are not trained.

    Parameters
    ----------
    codes : array_like of shape (O, D)
        The code of each class. `DIGIT_CODES` has those of the digits: bitmaps of 7x12 pixels, +1 for ink and -1 for
        paper, in which digits that are easily confused are similar.
    dtype : float32 or float64, default float32
        Type of all results.

    Raises
    ------
    InputError, InputTypeError
        If codes is not a table of numbers, or dtype is neither float32 nor float64.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, section II.B.

    Examples
    --------
    >>> RBF([[1, 1], [1, -1]])([[1.0, 0.5]])
    array([[-0.25, -2.25]], dtype=float32)
    """

    def __init__(self, codes: ArrayLike, dtype: DTypeLike = np.float32):
        super().__init__(dtype)
        self.codes = tensor(codes, self.dtype, (None, None), "codes").copy()

    def __repr__(self) -> str:
        return f"RBF({len(self.codes)} codes of {self.codes.shape[1]})"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (len(self.codes),)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        differences = tensor(x, self.dtype, (None, self.codes.shape[1]))[:, None] - self.codes  # (n, O, D)
        y = -np.square(differences).sum(axis=2)

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dy = tensor(dy, self.dtype, y.shape, "dy")
            return -2 * (dy[:, :, None] * differences).sum(axis=1), {}

        return y, backward
