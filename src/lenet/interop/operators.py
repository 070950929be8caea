"""LeNet-5 as a list of ONNX operators, for those who write them into a graph of their own."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet.errors import InputError, InputTypeError
from lenet.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear
from lenet.model import LeNet5


def exportable(model: LeNet5) -> dict[str, NDArray[np.float32]]:
    """Return a model's parameters in float32, and "mean" and "scale": pixels enter as (x - mean) * scale.

    Raises
    ------
    InputTypeError
        If it is no LeNet5, or its metadata are not text.
    InputError
        If a number is not finite in float32.
    """
    if not isinstance(model, LeNet5):
        advice = "; its network is its attribute model_, without its scaling of X" if hasattr(model, "model_") else ""
        raise InputTypeError(f"model is a {type(model).__name__}, and a LeNet5 is wanted{advice}.")
    _checks.text_by_name(model.metadata, "metadata")
    numbers = {**model.parameters, "mean": np.array(model.mean), "scale": np.array(1 / model.std)}
    with np.errstate(over="ignore"):
        written = {name: np.asarray(value, np.float32) for name, value in numbers.items()}
    for name, value in written.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} holds numbers that are not finite in float32, which is what is written.")
    return written


@dataclass
class Operators:
    """Operators in the order of their computation, and the constants among their inputs.

    Parameters
    ----------
    nodes : list of (str, list of str, str, dict)
        Of each its type, the names of its inputs, that of its output, and its attributes.
    constants : dict of str to ndarray
    """

    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an operator, and return the name of its output."""
        self.nodes.append((kind, inputs, output, attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        self.constants[name] = value
        return name

    def scalar(self, name: str, value: float) -> str:
        """Add a float32 scalar, and return its name."""
        return self.constant(name, np.array(value, np.float32))

    def network(self, model: LeNet5, images: str) -> str:
        """Append LeNet-5 in float32, from images (n, 1, 28, 28) in [0, 1] to the logits, and return their name."""
        numbers = exportable(model)
        y = self.add("Sub", [images, self.constant("mean", numbers["mean"])], "centred")
        y = self.add("Mul", [y, self.constant("scale", numbers["scale"])], "input")
        for stage, layers in model.stages:
            for layer in layers:
                names = [f"{stage}.{key}" for key in layer.parameters]
                y = self._layer(stage, layer, y, [self.constant(name, numbers[name]) for name in names])
        return y

    def _layer(self, stage: str, layer: Layer, x: str, parameters: list[str]) -> str:
        y = f"{stage}.{type(layer).__name__}"
        if isinstance(layer, Conv2d):
            kernel, pads = [layer.kernel_size] * 2, [layer.padding] * 4
            return self.add("Conv", [x, *parameters], y, kernel_shape=kernel, pads=pads)
        if isinstance(layer, AvgPool2d):
            return self.add("AveragePool", [x], y, kernel_shape=[*layer.kernel_size], strides=[*layer.stride])
        if isinstance(layer, Linear):
            return self.add("Gemm", [x, *parameters], y, transB=1)
        if isinstance(layer, Flatten):
            return self.add("Flatten", [x], y)
        return self.add("Sigmoid", [x], y)
