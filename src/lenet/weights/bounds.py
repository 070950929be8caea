"""Reject weights with which a sum within the network could overflow."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet.errors import WeightsError
from lenet.layers.activations import AMPLITUDE

HEADROOM = 64  # the kernels' transforms of inputs, weights and products (winograd.pxi) grow to 32 times the largest sum
MAX_INPUT_1998 = 6 * AMPLITUDE  # S2 and S4 add 4 outputs of up to 1.7159 with each weight, and C3 adds up to 6 kernels


def check_bounds(parameters: Mapping[str, NDArray[Any]], mean: float | None, std: float | None) -> None:
    """Raise WeightsError if some image could make the network compute infinity or NaN.

    A sum of products is at most the largest input times the sum of the absolute weights; either factor counts as at
    least 1. Pixels are in [0, 1] before they are standardised, and the outputs of sigmoids, and their averages, are
    too. Of n numbers that are standardised by their own mean and deviation, the largest is at most sqrt(n - 1).

    The parameters are those of a LeNet5 or LeNet1998, and finite; the mean and std are those of pixels.

    Examples
    --------
    >>> from lenet import LeNet5
    >>> model = LeNet5(seed=0)
    >>> check_bounds(model.parameters, mean=0.0, std=1e-300)
    Traceback (most recent call last):
    lenet.errors.WeightsError: The weights of c1 are too large: sums may overflow. Train with a lower learning rate.
    """
    with np.errstate(over="ignore"):
        largest = math.sqrt(SIDE * SIDE - 1)
        if mean is not None and std is not None:
            largest = float(np.divide(max(abs(mean), abs(1 - mean)), std))
        for stage in [name.removesuffix(".bias") for name in parameters if name.endswith(".bias")]:
            weight, bias = parameters[f"{stage}.weight"], parameters[f"{stage}.bias"]
            sums = np.abs(weight.reshape(len(weight), -1)).sum(axis=1, dtype=np.float64)
            highest = max(sums.max(), 1) * max(largest, 1) + np.abs(bias).max()
            if not highest < np.finfo(weight.dtype).max / HEADROOM:
                raise WeightsError(
                    f"The weights of {stage} are too large: sums may overflow. Train with a lower learning rate."
                )
            largest = MAX_INPUT_1998 if "s2.weight" in parameters else 1.0
