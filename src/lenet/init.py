"""Where training starts: Xavier (Glorot) uniform weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def xavier_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw weights from the uniform distribution over [-limit, limit], limit = sqrt(6 / (fan_in + fan_out)).

    The variance of activations and gradients then stays about the same from layer to layer (Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, equation 16).
    The 1998 paper drew from +-2.4 / fan_in instead.

    Parameters
    ----------
    shape : tuple of int
        (O, D) of a dense layer or (O, C, KH, KW) of a convolution. fan_in is D, or C KH KW; fan_out is O,
        or O KH KW.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, of that shape

    Examples
    --------
    >>> weight = xavier_uniform((6, 1, 5, 5), np.random.default_rng(0))
    >>> limit = (6 / (25 + 150)) ** 0.5
    >>> bool(abs(weight).max() <= limit)
    True
    """
    field: Any = np.prod(shape[2:], dtype=int)
    limit = np.sqrt(6 / (shape[1] * field + shape[0] * field))
    return rng.uniform(-limit, limit, shape)
