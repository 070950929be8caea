"""LeNet-5 as described in the 1998 paper."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from lenet.errors import InputError
from lenet.init import fan_in_uniform
from lenet.layers import RBF, Conv2d, Flatten, Layer, Linear, ScaledTanh, SparseConv2d, Subsample2d
from lenet.layers.base import Array
from lenet.layers.rbf import DIGIT_CODES
from lenet.layers.sparse_conv2d import TABLE_I
from lenet.losses import competitive_distance
from lenet.model import LeNet5, Stage

BACKGROUND, INK = -0.1, 1.175  # pixels as they enter the network: roughly of mean 0 and variance 1
MEAN, STD = -BACKGROUND / (INK - BACKGROUND), 1 / (INK - BACKGROUND)


def architecture_1998(num_classes: int, dtype: DTypeLike, rng: np.random.Generator) -> tuple[Stage, ...]:
    """Return the stages of the paper's network: the name of each, and its layers."""
    if num_classes != len(DIGIT_CODES):
        raise InputError(
            f"num_classes is {num_classes}; expected 10, as LeNet1998 has codes for digits only. Use LeNet5."
        )

    def weighted(layer: Layer) -> Layer:
        weight = layer.parameters["weight"]
        weight[...] = fan_in_uniform(weight.shape, weight[0].size, rng)
        return layer

    squash = ScaledTanh(dtype)
    return (  # comments: the shape of each stage's output; the input is (1, 32, 32)
        ("c1", (weighted(Conv2d(1, 6, 5, 0, dtype, rng)), squash)),  # (6, 28, 28)
        ("s2", (Subsample2d(6, 2, dtype, rng), squash)),  # (6, 14, 14)
        ("c3", (SparseConv2d(TABLE_I, 5, dtype, rng), squash)),  # (16, 10, 10)
        ("s4", (Subsample2d(16, 2, dtype, rng), squash)),  # (16, 5, 5)
        ("c5", (weighted(Conv2d(16, 120, 5, 0, dtype, rng)), squash, Flatten(dtype))),  # (120,)
        ("f6", (weighted(Linear(120, 84, dtype, rng)), squash)),  # (84,)
        ("output", (RBF(DIGIT_CODES, dtype),)),  # (10,)
    )


class LeNet1998(LeNet5):
    """LeNet-5 of 1998: the network of the paper, with 60,000 trainable parameters and 340,908 connections.

    It has the interface of `lenet.LeNet5`, but runs layer by layer, which takes many times as long. Train it with
    the recipe `paper`.

    Parameters
    ----------
    seed : int, optional
        Seed of the initial weights (`lenet.init.fan_in_uniform`), at least 0; by default, fresh entropy.
    dtype : float32 or float64, default float32
        Type of the parameters and of all computations.
    num_classes : int, default 10
        10, as there are codes for digits only.

    Raises
    ------
    InputError, InputTypeError
        If seed, dtype or num_classes is invalid.

    Notes
    -----
    Images of 28x28 pixels get a border of 2 pixels of background. Pixels enter the network as -0.1 (background) to
    1.175 (ink). The logits are minus the penalties of the paper: minus the squared distance between the outputs of F6
    and the code of each class. The loss is that of equation 9; see `lenet.losses.competitive_distance`.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, section II.B.

    Examples
    --------
    >>> model = LeNet1998(seed=0)
    >>> sum(parameter.size for parameter in model.parameters.values())
    60000
    >>> model.predict(np.zeros((3, 28, 28), np.uint8)).shape
    (3,)
    """

    network: ClassVar[str | None] = "1998"
    padding: ClassVar[int] = 2
    _constants: ClassVar[Mapping[str, Array]] = {"output.weight": DIGIT_CODES}
    _architecture = staticmethod(architecture_1998)
    _loss = staticmethod(competitive_distance)

    def __init__(self, seed: int | None = None, dtype: DTypeLike = np.float32, num_classes: int = 10):
        super().__init__(seed, dtype, num_classes)
        self.mean, self.std = MEAN, STD
