"""LeNet-5 as a list of ONNX operators, from which the writers build graphs and which the reader expects."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._layerwise import EPSILON
from lenet.interop.parameters import exportable
from lenet.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, Sigmoid
from lenet.model import LeNet5


class Node(NamedTuple):
    """An operator: its type, the names of its inputs and of its output, and its attributes."""

    kind: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


@dataclass
class Operators:
    """Operators in the order of their computation, and the constants among their inputs."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an operator, and return the name of its output."""
        self.nodes.append(Node(kind, inputs, output, attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        self.constants[name] = value
        return name

    def scalar(self, name: str, value: float) -> str:
        """Add a float32 scalar, and return its name."""
        return self.constant(name, np.array(value, np.float32))

    def network(self, model: LeNet5, images: str) -> str:
        """Append LeNet-5 in float32, from images (n, 1, 28, 28) in [0, 1] to logits, and return their name."""
        numbers = exportable(model)
        if "mean" in numbers:
            y = self.add("Sub", [images, self.constant("mean", numbers["mean"])], "centred")
            y = self.add("Mul", [y, self.constant("scale", numbers["scale"])], "input")
        else:  # of one channel, the same as LayerNormalization, which needs opset 17
            ends = [self.constant("scale", np.ones(1, np.float32)), self.constant("shift", np.zeros(1, np.float32))]
            y = self.add("InstanceNormalization", [images, *ends], "input", epsilon=EPSILON)
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
        if isinstance(layer, Sigmoid):
            return self.add("Sigmoid", [x], y)
        raise NotImplementedError(f"{layer!r} has no ONNX operator; expected a layer of lenet.")
