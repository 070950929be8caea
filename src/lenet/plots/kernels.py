"""A figure of the kernels of the first convolution."""

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lenet._checks import array, floats
from lenet.errors import InputError
from lenet.plots.style import BLUE, INK, VERMILLION, color_bar, colormap, new_figure, png, restyle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 6


def filters(weight: npt.ArrayLike) -> bytes:
    """Draw the kernels of the first convolution on one colour scale, symmetric about zero.

    Parameters
    ----------
    weight : array_like of float, shape (O, 1, K, K)
        The weight of C1, ``model.parameters["c1.weight"]``.

    Returns
    -------
    bytes
        A PNG 1500 pixels wide, with six kernels per row.

    Raises
    ------
    InputError, InputTypeError
        If weight is not an array of numbers, has another shape, is empty, or contains values that are not finite in
        float32.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> filters(np.linspace(-1, 1, 150).reshape(6, 1, 5, 5))[1:4]
    b'PNG'
    """
    kernels = array(weight, "weight", "expected shape (O, 1, K, K)")
    if kernels.ndim != 4 or kernels.shape[1] != 1 or not kernels.size:
        raise InputError(f"weight has shape {kernels.shape}; expected (O, 1, K, K), like the (6, 1, 5, 5) of C1.")
    kernels = floats(kernels, np.float64, "weight")  # in float32, the span of the colour scale could overflow
    if not (np.abs(kernels) <= np.finfo(np.float32).max).all():  # NaN fails too
        raise InputError("weight contains values that are not finite in float32; expected finite numbers.")
    return png(_filters_figure(kernels[:, 0]))


def _filters_figure(kernels: npt.NDArray[np.floating]) -> "Figure":
    rows = math.ceil(len(kernels) / _COLUMNS)
    figure = new_figure(10, 1.75 * rows + 0.5)
    figure.suptitle(f"C1: the {len(kernels)} kernels of the first convolution", color=INK)
    limit = float(np.abs(kernels).max()) or 1.0
    colours = colormap(BLUE, "white", VERMILLION)
    for k, kernel in enumerate(kernels):
        ax = figure.add_subplot(rows, _COLUMNS, k + 1, xticks=[], yticks=[])
        restyle(ax)
        image = ax.imshow(kernel, cmap=colours, vmin=-limit, vmax=limit)
        ax.set_title(f"{k}", color=INK, fontsize=10)
    color_bar(image, figure.axes, "weight")
    return figure
