"""Export LeNet-5 to ONNX; the skl2onnx converter and the reader share the list of operators."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet import __version__
from lenet._checks import SIDE, short_repr
from lenet._extras import require
from lenet._layerwise import EPSILON
from lenet.errors import InputError
from lenet.interop.parameters import exportable
from lenet.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, Sigmoid
from lenet.model import LeNet5
from lenet.weights.files import scaling_as_text

OPSET, IR = 13, 8
PIXELS = ("float32", "uint8")


def to_onnx(model: LeNet5, *, pixels: str = "float32") -> Any:
    """Return a model as an ONNX model that computes labels and probabilities from images.

    Parameters
    ----------
    model : LeNet5
        Parameters in float64 are rounded to float32.
    pixels : {"float32", "uint8"}, default "float32"
        The type of the input "images" of shape (n, 1, 28, 28), with any n: floats from 0 (background) to 1 (ink), or
        bytes from 0 to 255.

    Returns
    -------
    onnx.ModelProto
        The opset is 13 and the IR version 8. The outputs are "label", int64 of shape (n,), and "probabilities", float32
        of shape (n, num_classes). The metadata contains that of the model and "architecture", "input", "num_classes",
        "mean" and "std". For equal models, ``SerializeToString(deterministic=True)`` returns equal bytes.

    Raises
    ------
    InputError
        If pixels is another value, or a parameter is not finite in float32.
    InputTypeError
        If model is not a LeNet5, or its metadata is not text.
    MissingExtraError
        If onnx is not installed.

    Examples
    --------
    >>> import lenet
    >>> graph = to_onnx(lenet.load_pretrained("mnist")).graph
    >>> [value.name for value in [*graph.input, *graph.output]]
    ['images', 'label', 'probabilities']
    """
    if not isinstance(pixels, str) or pixels not in PIXELS:
        raise InputError(f"pixels is {short_repr(pixels)}; expected {' or '.join(PIXELS)}.")
    onnx = require("onnx", "onnx")
    helper, types = onnx.helper, onnx.TensorProto
    operators, images = Operators(), "images"
    if pixels == "uint8":
        images = operators.add("Cast", [images], "bytes", to=types.FLOAT)
        images = operators.add("Mul", [images, operators.scalar("one_byte", 1 / 255)], "pixels")
    logits = operators.network(model, images)
    operators.add("ArgMax", [logits], "label", axis=1, keepdims=0)
    operators.add("Softmax", [logits], "probabilities", axis=1)
    element = types.UINT8 if pixels == "uint8" else types.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, [output], name=output, **attributes)
            for kind, inputs, output, attributes in operators.nodes
        ],
        "LeNet-5",
        [helper.make_tensor_value_info("images", element, ["n", 1, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("label", types.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", types.FLOAT, ["n", model.num_classes]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in operators.constants.items()],
    )
    proto = helper.make_model(
        graph,
        producer_name="lenet",
        producer_version=__version__,
        ir_version=IR,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(proto, dict(sorted(_metadata(model, pixels).items())))
    return proto


def _metadata(model: LeNet5, pixels: str) -> dict[str, str]:
    span = "from 0, background, to 255, ink" if pixels == "uint8" else "from 0, background, to 1, ink"
    return {
        **model.metadata,
        "architecture": "LeNet-5 with sigmoids and average pooling",
        "input": f"{SIDE}x{SIDE} pixels, {pixels} {span}",
        "num_classes": str(model.num_classes),
        **scaling_as_text(model.mean, model.std),
    }


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
        else:  # for one channel, the same as LayerNormalization, which needs opset 17
            scale = self.constant("scale", np.ones(1, np.float32))
            shift = self.constant("shift", np.zeros(1, np.float32))
            y = self.add("InstanceNormalization", [images, scale, shift], "input", epsilon=EPSILON)
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
