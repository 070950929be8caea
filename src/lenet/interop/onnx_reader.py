"""A LeNet-5 from an ONNX model, of ours or of PyTorch's exporter.

The graph is compared with LeNet-5 operator by operator and its numbers are taken; it is never run.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._extras import require
from lenet.errors import WeightsError
from lenet.model import LeNet5
from lenet.weights import LARGEST_FILE

Array = NDArray[Any]

_CHAIN = ["Conv", "Sigmoid", "AveragePool"] * 2 + ["Conv", "Sigmoid", "Gemm", "Sigmoid", "Gemm"]
_LAYERS = {0: "c1", 3: "c3", 6: "c5", 8: "f6", 10: "output"}  # by their places in the chain
_SCALING = ("Add", "Sub", "Mul", "Div")
_SAME = ("Identity", "Dropout", "Cast")  # of numbers of which none changes
_FLATTENING = ("Flatten", "Reshape", "Squeeze")
_ENDS = ("Softmax", "LogSoftmax", "ArgMax", *_SAME)
_PLAIN: dict[str, dict[str, Any]] = {  # the attributes that matter, and what they are in LeNet-5
    "Conv": {"kernel_shape": [5, 5], "strides": [1, 1], "dilations": [1, 1], "group": 1},
    "AveragePool": {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0},
    "Flatten": {"axis": 1},
}


def from_onnx(source: str | os.PathLike[str] | Any) -> LeNet5:
    """Return the model that an ONNX file holds, if it is a LeNet-5 with sigmoids and average pooling.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A file of at most 64 MiB, from `to_onnx` or from PyTorch's exporter, with its weights inside. C5 may be a
        convolution or dense; a scaling of the pixels before C1, and a softmax or argmax at the end, are allowed.

    Returns
    -------
    LeNet5
        It computes what the file does from the same pixels in [0, 1], or bytes where the file takes bytes.

    Raises
    ------
    WeightsError
        If the file is damaged, keeps weights elsewhere, has operators of its own, or is another network; the message
        says what was found and what is wanted.
    MissingExtraError
        When onnx is not installed.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import lenet
    >>> from lenet.interop import to_onnx
    >>> model = lenet.LeNet5(seed=0)
    >>> bool((from_onnx(to_onnx(model)).parameters.flat == model.parameters.flat).all())
    True
    """
    onnx = require("onnx", "onnx")
    if isinstance(source, onnx.ModelProto):
        proto, what = source, "The model"
    else:
        proto, what = _parse(Path(source), onnx), str(source)
    _refuse_foreign(proto, onnx, what)
    graph = _Graph(proto, onnx, what)
    steps = graph.steps()
    while steps and steps[0].kind in _SCALING:
        graph.scale(steps.pop(0))
    steps = _chain(steps, graph.ends, what)
    parameters: dict[str, Array] = {}
    for place, layer in _LAYERS.items():
        parameters[f"{layer}.weight"], parameters[f"{layer}.bias"] = graph.weights(steps[place], layer)
    model = _model(parameters, what)
    model.metadata = {each.key: each.value for each in proto.metadata_props}
    model.mean, model.std = graph.standardisation(model.metadata.pop("mean", ""), model.metadata.pop("std", ""))
    for key in ("architecture", "input", "num_classes"):  # what to_onnx adds
        model.metadata.pop(key, None)
    return model


def _parse(path: Path, onnx: Any) -> Any:
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise WeightsError(f"{path} has {size:,} bytes, more than the {LARGEST_FILE:,} that a LeNet-5 may have.")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, whose home has moved between its versions
        raise WeightsError(f"{path} is damaged or no ONNX model ({error}).") from None
    if not proto.graph.node:
        raise WeightsError(f"{path} holds no operators: it is damaged or no ONNX model.")
    return proto


def _refuse_foreign(proto: Any, onnx: Any, what: str) -> None:
    """Refuse what reading a graph alone does not tell: files beside it, and operators that are not ONNX's own."""
    own = {node.op_type for node in proto.graph.node if node.domain not in ("", "ai.onnx")}
    if own or proto.functions:
        names = ", ".join(sorted(own | {function.name for function in proto.functions}))
        raise WeightsError(f"{what} has operators of its own, {names}: only ONNX's standard ones are read.")
    tensors = [*proto.graph.initializer, *(each.t for node in proto.graph.node for each in node.attribute)]
    if any(each.data_location == onnx.TensorProto.EXTERNAL or each.external_data for each in tensors):
        raise WeightsError(
            f"{what} keeps its weights in another file, which is not read: save it with them inside "
            "(torch.onnx.export has external_data=False)."
        )
    if proto.graph.sparse_initializer:
        raise WeightsError(f"{what} has sparse weights: dense ones are wanted.")


@dataclass
class _Step:
    """An operator on the way from the images to the logits."""

    kind: str
    attributes: dict[str, Any]
    others: list[str]  # its inputs but the one on that way
    comes_first: bool  # that one, among its inputs


def _chain(steps: list[_Step], ends: set[str], what: str) -> list[_Step]:
    """Return the eleven steps that are LeNet-5, if there are no others."""
    chain: list[_Step] = []
    for step in steps:
        if step.kind == "Add" and chain and chain[-1].kind == "MatMul":
            product = chain.pop()
            step = _Step("Gemm", {}, product.others + step.others, product.comes_first)
        elif step.kind in _FLATTENING and len(chain) in (6, 7, 8):  # behind S4 or C5
            _check_attributes(step, len(chain), what)
            continue
        chain.append(step)
    kinds = [step.kind for step in chain]
    wanted = [*_CHAIN[:6], "Gemm", *_CHAIN[7:]] if kinds[6:7] == ["Gemm"] else _CHAIN
    if kinds[:11] != wanted or not {*kinds[11:], *ends} <= {*_ENDS}:
        raise WeightsError(
            f"{what} is another network: it computes {', '.join(kinds + sorted(ends)) or 'nothing'}; wanted is "
            f"LeNet-5: {', '.join(_CHAIN)}, and at most a softmax or argmax behind."
        )
    for place, step in enumerate(chain[:11]):
        _check_attributes(step, place, what)
    return chain[:11]


def _check_attributes(step: _Step, place: int, what: str) -> None:
    """Refuse a stride, padding or the like that LeNet-5 does not have."""
    wanted = dict(_PLAIN.get(step.kind, {}))
    found = dict(step.attributes)
    automatic = found.pop("auto_pad", b"NOTSET")
    if step.kind == "Conv":
        wanted["pads"] = [2 if place == 0 else 0] * 4
        found.setdefault("pads", [2 if automatic.startswith(b"SAME") else 0] * 4)
    for name, value in wanted.items():
        if name in found and found[name] != value:
            raise WeightsError(
                f"{what} is another network: its operator {place + 1}, {step.kind}, has {name} {found[name]}, and "
                f"LeNet-5 has {value}."
            )


class _Graph:
    """A graph as one way from its images, with the constants along it.

    Attributes
    ----------
    ends : set of str
        The kinds of what uses the value at the end of the way.
    """

    def __init__(self, proto: Any, onnx: Any, what: str):
        self._onnx, self._what = onnx, what
        self._constants = {each.name: each for each in proto.graph.initializer}
        for node in proto.graph.node:
            if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        inputs = [each for each in proto.graph.input if each.name not in self._constants]
        if len(inputs) != 1:
            raise WeightsError(f"{what} has {len(inputs)} inputs, and one is wanted: images of shape (n, 1, 28, 28).")
        self._start, self._nodes = inputs[0].name, proto.graph.node
        self._factor = self._check_input(inputs[0])  # of pixels in [0, 1]
        self._offset = 0.0
        self.ends: set[str] = set()

    def _check_input(self, value: Any) -> float:
        """Return the greatest value of a pixel."""
        types, tensor = self._onnx.TensorProto, value.type.tensor_type
        shape = [each.dim_value for each in tensor.shape.dim]  # 0 where it is any
        if shape[1:] != [1, SIDE, SIDE] or tensor.elem_type not in (types.UINT8, types.FLOAT, types.DOUBLE):
            raise WeightsError(
                f"{self._what} takes an input of shape {shape}, 0 for any, and ONNX type {tensor.elem_type}; wanted: "
                f"floats or uint8 of shape (n, 1, {SIDE}, {SIDE})."
            )
        return 255.0 if tensor.elem_type == types.UINT8 else 1.0

    def steps(self) -> list[_Step]:
        """Return the operators from the images on, as long as each value has one user.

        Users that ask for its shape do not count: exporters find the batch size so.
        """
        steps: list[_Step] = []
        value, rest = self._start, list(self._nodes)
        while True:
            users = [node for node in rest if value in node.input and node.op_type != "Shape"]
            if len(users) != 1 or not users[0].output:
                self.ends = {node.op_type for node in users}
                return steps
            node = users[0]
            rest.remove(node)
            if node.op_type not in _SAME:
                attributes = {each.name: self._onnx.helper.get_attribute_value(each) for each in node.attribute}
                others = [name for name in node.input if name != value]
                steps.append(_Step(node.op_type, attributes, others, node.input[0] == value))
            value = node.output[0]

    def _constant(self, name: str, use: str) -> Array:
        if name not in self._constants:
            raise WeightsError(f"{self._what} is another network: {use} is computed, and a constant is wanted.")
        try:
            value: Array = self._onnx.numpy_helper.to_array(self._constants[name])
        except Exception as error:  # whatever the tensor's bytes provoke
            raise WeightsError(f"{self._what} is damaged: {use} cannot be read ({error}).") from None
        return value

    def scale(self, step: _Step) -> None:
        """Take note of an operator that scales the pixels before C1."""
        value = self._constant(step.others[0], "the scale of its pixels") if step.others else np.zeros(0)
        if value.size != 1 or (step.kind in ("Sub", "Div") and not step.comes_first):
            raise WeightsError(f"{self._what} scales its pixels by more than one number, or divides by them.")
        number = float(value.reshape(()))
        if step.kind in ("Add", "Sub"):
            self._offset += number if step.kind == "Add" else -number
        elif number > 0:
            factor = number if step.kind == "Mul" else 1 / number
            self._factor, self._offset = self._factor * factor, self._offset * factor
        else:
            raise WeightsError(f"{self._what} scales its pixels by {number}, and a positive number is wanted.")

    def standardisation(self, mean: str, std: str) -> tuple[float, float]:
        """Return the mean and std of the scaling; those given in text where they are the same in more digits."""
        found = (0.0 - self._offset) / self._factor, 1 / self._factor
        try:
            exact = float(mean), float(std)
        except ValueError:
            return found
        return exact if np.allclose(exact, found, rtol=1e-6, atol=1e-6) else found

    def weights(self, step: _Step, layer: str) -> tuple[Array, Array]:
        """Return the weight, outputs first, and the bias of a convolution or a dense layer."""
        if not (step.comes_first and step.others):
            raise WeightsError(f"{self._what} is another network: {layer} has its weight before its input.")
        weight = self._constant(step.others[0], f"{layer}'s weight")
        if step.kind == "Gemm" and not step.attributes.get("transB"):
            weight = weight.T
        if len(step.others) > 1:
            return weight, self._constant(step.others[1], f"{layer}'s bias").reshape(-1)
        return weight, np.zeros(weight.shape[:1], weight.dtype)


def _model(parameters: dict[str, Array], what: str) -> LeNet5:
    if parameters["c5.weight"].shape == (120, 400):
        parameters["c5.weight"] = parameters["c5.weight"].reshape(120, 16, 5, 5)
    dtype = np.float64 if all(value.dtype == np.float64 for value in parameters.values()) else np.float32
    num_classes = len(parameters["output.bias"])
    if not 2 <= num_classes <= 100_000:
        raise WeightsError(f"{what} has {num_classes} classes, and 2 to 100,000 are wanted.")
    model = LeNet5(seed=0, dtype=dtype, num_classes=num_classes)
    try:
        model.load_state_dict(parameters)
    except WeightsError as error:
        raise WeightsError(f"{what} is another network: {error}") from None
    return model
