"""The path through an ONNX graph from its images to its logits, with the constants along it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet._layerwise import EPSILON
from lenet.errors import WeightsError

Array = NDArray[Any]
NORMALISATIONS = ("InstanceNormalization", "LayerNormalization")  # the same for images with one channel

_ENDINGS = [[*softmax, *argmax] for softmax in ([], ["Softmax"], ["LogSoftmax"]) for argmax in ([], ["ArgMax"])]
_DEFAULTS: dict[str, dict[str, Any]] = {  # ONNX's values of absent attributes
    "Conv": {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1},
    "AveragePool": {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0},
    "Flatten": {"axis": 1},
    "Softmax": {"axis": 1},
    "LogSoftmax": {"axis": 1},
    "ArgMax": {"axis": 0, "select_last_index": 0},
}


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return str(error).strip().partition("\n")[0]


@dataclass
class Step:
    """An operator on the path from the images to an output. `others` are its inputs except the one on the path."""

    kind: str
    attributes: dict[str, Any]
    others: list[str]


def check_attributes(step: Step, expected: dict[str, Any], place: int, source: str) -> None:
    """Reject attributes that differ from the expected ones, or from ONNX's defaults where nothing is expected."""
    defaults = _DEFAULTS.get(step.kind, {})
    found = defaults | step.attributes
    if found.get("auto_pad", b"NOTSET") != b"NOTSET":
        same = found["auto_pad"].startswith(b"SAME")  # the output is as large as the input, divided by the stride
        found["pads"] = [(size - 1) // 2 if same else 0 for size in 2 * expected["kernel_shape"]]
    for name, value in (defaults | expected).items():
        if found.get(name, value) != value:  # an absent kernel_shape follows from the weight
            raise WeightsError(
                f"{source} is not LeNet-5: operator {place + 1}, {step.kind}, has {name} {found[name]}; expected "
                f"{value}."
            )


class Graph:
    """A graph whose outputs are all computed from its images along one path."""

    def __init__(self, proto: Any, onnx: Any, source: str):
        self._onnx, self._source = onnx, source
        self._producers = {name: node for node in proto.graph.node for name in node.output[:1]}
        self._constants = {each.name: each for each in proto.graph.initializer}
        for name, node in self._producers.items():
            values = {each.name: each for each in node.attribute} if node.op_type == "Constant" else {}
            if "value" in values:
                self._constants[name] = values["value"].t
            elif "value_float" in values:
                self._constants[name] = onnx.numpy_helper.from_array(np.array(values["value_float"].f, np.float32))
            elif node.op_type == "Identity" and node.input[0] in self._constants:  # a weight with two names
                self._constants[name] = self._constants[node.input[0]]
        inputs = [each for each in proto.graph.input if each.name not in self._constants]
        if len(inputs) != 1:
            raise WeightsError(
                f"{source} has {len(inputs)} inputs; expected one, images of shape (n, 1, {SIDE}, {SIDE})."
            )
        self._outputs = [each.name for each in proto.graph.output]
        if not self._outputs:
            raise self._refusal("it has no outputs")
        self._start = inputs[0].name
        self._of_bytes = self._check_input(inputs[0])
        self._factor, self._offset = 255.0 if self._of_bytes else 1.0, 0.0  # of pixels in [0, 1]
        self._of_each_image = False

    def _check_input(self, value: Any) -> bool:
        """Validate the input; return whether its pixels are bytes."""
        types, tensor = self._onnx.TensorProto, value.type.tensor_type
        shape = [each.dim_value for each in tensor.shape.dim]  # 0 stands for any length
        if shape[1:] != [1, SIDE, SIDE] or tensor.elem_type not in (types.UINT8, types.FLOAT, types.DOUBLE):
            raise WeightsError(
                f"{self._source} has an input of shape {shape} (0: any) and ONNX type {tensor.elem_type}; expected "
                f"floats or uint8 of shape (n, 1, {SIDE}, {SIDE})."
            )
        return bool(tensor.elem_type == types.UINT8)

    def path(self) -> list[Step]:
        """Return the operators from the images to the logits, which all outputs share."""
        first, *others = self._outputs
        steps = self._up_to_logits(self._path_to(first))
        if any(self._up_to_logits(self._path_to(name)) != steps for name in others):
            raise self._refusal(f"its outputs {', '.join(self._outputs)} are not computed from the same logits")
        if self._of_bytes and (not steps or steps[0].kind != "Cast"):
            raise self._refusal("it computes on bytes without casting them to floats")
        return [step for step in steps if step.kind != "Cast"]

    def _path_to(self, name: str) -> list[Step]:
        """Return the operators on the path from the images to a value."""
        steps: list[Step] = []
        while name != self._start:
            node = self._producers.get(name)
            if node is None or not node.input:
                raise self._refusal(f"{name} is not computed from the images")
            step, name = self._step(node)
            if node.op_type not in ("Identity", "Dropout"):
                steps.append(step)
        return steps[::-1]

    def _step(self, node: Any) -> tuple[Step, str]:
        """Return an operator, and the name of its input on the path."""
        computed = [name for name in node.input if name not in self._constants]
        value = node.input[0]
        if node.op_type in ("Add", "Mul") and len(computed) == 1:  # these are commutative
            value = computed[0]
        attributes = {each.name: self._onnx.helper.get_attribute_value(each) for each in node.attribute}
        if attributes.get("axis") == -1 and node.op_type in ("Softmax", "LogSoftmax", "ArgMax"):
            attributes["axis"] = 1  # the same, as there are two axes
        if (
            node.op_type == "Dropout"
            and len(node.input) > 2
            and self._constant(node.input[2], "a Dropout's mode").any()
        ):
            raise self._refusal("its dropout is in training mode, so it drops values at random")
        others = list(node.input)
        others.remove(value)
        return Step(node.op_type, attributes, [name for name in others if name]), value

    def _up_to_logits(self, path: list[Step]) -> list[Step]:
        """Return the part of a path up to the logits; reject anything but a softmax and an argmax after them."""
        last = max((place for place, step in enumerate(path) if step.kind in ("Gemm", "Add", "MatMul")), default=-1)
        types = self._onnx.TensorProto
        ends = path[last + 1 :]
        kinds = [step.kind for step in ends if step.kind != "Cast"]
        if kinds not in _ENDINGS:
            raise self._refusal(
                f"it ends in {', '.join(kinds)} after the last dense layer; expected at most a softmax and an argmax"
            )
        labels = False
        for place, step in enumerate(path):
            allowed = (types.FLOAT, types.DOUBLE, types.INT32, types.INT64) if labels else (types.FLOAT, types.DOUBLE)
            if step.kind == "Cast" and step.attributes["to"] not in allowed:
                raise self._refusal(f"it casts values to ONNX type {step.attributes['to']}")
            if place > last:
                check_attributes(step, {"axis": 1}, place, self._source)
            labels = labels or step.kind == "ArgMax"
        return path[: last + 1]

    def _refusal(self, finding: str) -> WeightsError:
        return WeightsError(f"{self._source} is not LeNet-5: {finding}.")

    def _constant(self, name: str, use: str) -> Array:
        if name not in self._constants:
            raise self._refusal(f"{use} is computed; expected a constant")
        try:
            value: Array = self._onnx.numpy_helper.to_array(self._constants[name])
        except Exception as error:  # of any type
            raise WeightsError(
                f"{self._source} is damaged: {use} cannot be read ({first_line(error)}). Export it again."
            ) from None
        return value

    def _floats(self, name: str, use: str) -> Array:
        value = self._constant(name, use)
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise WeightsError(
                f"{self._source} is damaged: {use} is {value.dtype} or not finite; expected finite floats."
            )
        return value

    def scale(self, step: Step) -> None:
        """Record an operator that scales the pixels before C1."""
        if self._of_each_image:
            raise self._refusal("it scales its pixels after it has standardised each image")
        if step.kind in NORMALISATIONS:
            return self._standardise_each(step)
        value = self._floats(step.others[0], "the scale of its pixels")
        if value.size != 1 or value.ndim > 4:
            raise WeightsError(f"{self._source} does not scale its pixels by one number; expected (x - mean) / std.")
        number = float(value.reshape(()))
        if step.kind in ("Add", "Sub"):
            self._offset += number if step.kind == "Add" else -number
        elif number > 0:
            factor = number if step.kind == "Mul" else 1 / number
            self._factor, self._offset = self._factor * factor, self._offset * factor
        else:
            raise WeightsError(f"{self._source} scales its pixels by {number}; expected a positive number.")

    def _standardise_each(self, step: Step) -> None:
        """Record a standardisation of each image."""
        attributes = {"axis": -1, "epsilon": EPSILON} | step.attributes
        scale, *shift = (self._floats(name, "the scale of its pixels") for name in step.others)
        plain = (scale == 1).all() and not any(each.any() for each in shift) and np.isclose(self._factor, 1)
        whole = step.kind == "InstanceNormalization" or attributes["axis"] in (1, 2, -3, -2)
        if not (plain and whole and np.isclose(attributes["epsilon"], EPSILON, atol=0)):
            raise self._refusal(
                f"it standardises its images differently; expected pixels in [0, 1], and epsilon {EPSILON:g}"
            )
        self._of_each_image = True

    def standardisation(self, mean: str, std: str) -> tuple[float, float] | tuple[None, None]:
        """Return the mean and std of the scaling; if the given texts agree, theirs, which have more digits."""
        if self._of_each_image:
            return None, None
        with np.errstate(all="ignore"):
            found = np.array([0.0 - self._offset, 1.0]) / np.float64(self._factor)
        limits = np.finfo(np.float32)
        if not (abs(found[0]) <= limits.max and limits.tiny <= found[1] <= limits.max):
            raise WeightsError(f"{self._source} scales its pixels by numbers that overflow; expected (x - mean) / std.")
        try:
            exact = float(mean), float(std)
        except ValueError:
            exact = (np.nan, np.nan)
        return exact if np.allclose(exact, found, rtol=1e-6, atol=0) else (float(found[0]), float(found[1]))

    def weights(self, step: Step, layer: str) -> tuple[Array, Array]:
        """Return the weight, outputs first, and the bias of a convolution or dense layer."""
        weight = self._floats(step.others[0], f"{layer}'s weight")
        if step.kind == "Gemm" and not step.attributes.get("transB"):
            weight = weight.T
        if len(step.others) > 1:
            return weight, self._floats(step.others[1], f"{layer}'s bias")
        return weight, np.zeros(weight.shape[:1], weight.dtype)
