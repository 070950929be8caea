"""A network layer by layer, with the interface of the fused kernels, for LeNet5 in float64 and for LeNet1998."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from lenet import _checks
from lenet._flat import FlatDict
from lenet.layers.base import Array, Layer
from lenet.losses import softmax

EPSILON = 1e-5  # added to the variance of an image; must equal `epsilon` in stages.pxi


def standardised(x: Array, mean: float | None, std: float | None, dtype: DTypeLike, padding: int = 0) -> Array:
    """Standardise validated images, after padding them with 0 as LeNet1998 does; return shape (n, 1, H, W)."""
    y = x[:, np.newaxis].astype(dtype, order="C")
    if padding:
        y = np.pad(y, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    if x.dtype == np.uint8:
        y *= 1 / 255
    if mean is None or std is None:
        axes = (1, 2, 3)
        y -= y.mean(axis=axes, keepdims=True)
        y /= np.sqrt(np.square(y).mean(axis=axes, keepdims=True) + y.dtype.type(EPSILON))
    else:
        y -= mean
        y *= 1 / std
    return y


class LayerwiseKernels:
    """Run a network layer by layer, with the interface of the fused kernels (`Build` in _compiled.pyi).

    LeNet1998 uses it, LeNet5 in float64 (for checking gradients), and `layerwise_loss_and_gradients`. `layers` are
    pairs of a stage's name and a layer. The layers share their parameters with the flat vector, so the methods ignore
    `parameters`. They also ignore `work`, and sum in the order of NumPy's matrix product.
    """

    def __init__(
        self,
        layers: Sequence[tuple[str, Layer]],
        parameters: FlatDict,
        loss: Callable[[Array, Array], tuple[Array, Array]],
        padding: int,
    ):
        self._layers, self._shapes, self._dtype = layers, parameters.shapes, parameters.flat.dtype
        self._loss, self._padding = loss, padding

    def forward(self, x: Array) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
        """Return the logits of standardised images, and the backward pass: from dlogits to all gradients."""
        backwards = []
        for name, layer in self._layers:
            x, backward = layer.forward(x)
            backwards.append((name, backward))

        def gradients_of(dy: Array) -> dict[str, Array]:
            gradients: dict[str, Array] = {}
            for name, backward in reversed(backwards):
                dy, dparameters = backward(dy)
                gradients |= {f"{name}.{key}": value for key, value in dparameters.items()}
            return {name: gradients[name] for name in self._shapes}

        return x, gradients_of

    def view(self, vector: Array) -> Array:
        return vector

    def softmax(self, x: Array) -> None:
        x[...] = softmax(x)

    def logits(self, parameters: Array, x: Array, mean: float | None, std: float | None, out: Array) -> None:
        with np.errstate(all="ignore"):  # as the kernels do
            out[...] = self.forward(self._standardised(x, mean, std))[0]

    def scratch_size(self, classes: int) -> int:
        return 0

    def forward_backward(
        self, parameters: Array, x: Array, mean: float | None, std: float | None, y: Array, shares: Array,
        logits: Array, exp_sums: Array, target_logits: Array, gradient: Array, work: Array,
    ) -> None:  # fmt: skip
        with np.errstate(all="ignore"):
            logits[...], gradients_of = self.forward(self._standardised(x, mean, std))
            losses, dlogits = self._loss(logits, y)
            exp_sums[...], target_logits[...] = 1, -losses  # Learner computes log(exp_sums) - target_logits
            gradients = gradients_of(dlogits * shares[:, None]).values()
            gradient += np.concatenate([each.ravel() for each in gradients])

    def sgd_step(
        self, parameters: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
    ) -> None:
        with np.errstate(all="ignore"):
            velocity *= momentum
            velocity += gradient + weight_decay * parameters
            parameters -= lr * velocity

    def _standardised(self, x: Array, mean: float | None, std: float | None) -> Array:
        x = x if x.shape[2] == _checks.SIDE else x.view(self._dtype)  # floats come as bytes
        return standardised(x, mean, std, self._dtype, self._padding)
