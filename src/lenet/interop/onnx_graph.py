"""The graph of an ONNX model as one way from its images to its logits, with the constants along it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet.errors import WeightsError

Array = NDArray[Any]

_ENDS: tuple[list[str], ...] = (
    [],
    ["Softmax"],
    ["LogSoftmax"],
    ["ArgMax"],
    ["Softmax", "ArgMax"],
    ["LogSoftmax", "ArgMax"],
)
_PLAIN: dict[str, dict[str, Any]] = {  # the attributes that matter, and what they are in LeNet-5
    "Conv": {"kernel_shape": [5, 5], "strides": [1, 1], "dilations": [1, 1], "group": 1},
    "AveragePool": {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0},
    "Flatten": {"axis": 1},
    "Softmax": {"axis": 1},
    "LogSoftmax": {"axis": 1},
    "ArgMax": {"axis": 1, "select_last_index": 0},
}
_ABSENT: dict[tuple[str, str], Any] = {  # what ONNX takes instead, where that is something else
    ("Conv", "pads"): [0] * 4,
    ("AveragePool", "strides"): [1, 1],
    ("ArgMax", "axis"): 0,
}


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().partition("\n")[0]


@dataclass
class Step:
    """An operator on the way from the images to an output.

    `others` are its inputs but the one on that way, which `comes_first` among them or not.
    """

    kind: str
    attributes: dict[str, Any]
    others: list[str]
    comes_first: bool


def check_attributes(step: Step, place: int, what: str) -> None:
    """Refuse a stride, padding or the like that LeNet-5 does not have."""
    wanted = dict(_PLAIN.get(step.kind, {}))
    found = dict(step.attributes)
    if step.kind == "Conv":
        wanted["pads"] = [2 if place == 0 else 0] * 4
    if found.get("auto_pad", b"NOTSET") != b"NOTSET":  # the padding that keeps a size, or none
        found["pads"] = [2 if found["auto_pad"].startswith(b"SAME") and step.kind == "Conv" else 0] * 4
    for name, value in wanted.items():
        given = found.get(name, _ABSENT.get((step.kind, name), value))
        if given != value:
            raise WeightsError(
                f"{what} is another network: its operator {place + 1}, {step.kind}, has {name} {given}, and "
                f"LeNet-5 has {value}."
            )


class Graph:
    """A graph that computes all its outputs in one way from its images, with the constants along it."""

    def __init__(self, proto: Any, onnx: Any, what: str):
        self._onnx, self._what = onnx, what
        self._makers = {name: node for node in proto.graph.node for name in node.output[:1]}
        self._constants = {each.name: each for each in proto.graph.initializer}
        for name, node in self._makers.items():
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[name] = node.attribute[0].t
            elif node.op_type == "Constant" and node.attribute[0].name == "value_float":
                self._constants[name] = onnx.numpy_helper.from_array(np.array(node.attribute[0].f, np.float32))
            elif node.op_type == "Identity" and node.input[0] in self._constants:  # a weight that has two names
                self._constants[name] = self._constants[node.input[0]]
        inputs = [each for each in proto.graph.input if each.name not in self._constants]
        if len(inputs) != 1:
            raise WeightsError(f"{what} has {len(inputs)} inputs, and one is wanted: images of shape (n, 1, 28, 28).")
        self._outputs = [each.name for each in proto.graph.output]
        if not self._outputs:
            raise self._another("it has no outputs")
        self._start = inputs[0].name
        self._of_bytes = self._check_input(inputs[0])
        self._factor, self._offset = 255.0 if self._of_bytes else 1.0, 0.0  # of pixels in [0, 1]

    def _check_input(self, value: Any) -> bool:
        """Return whether pixels are bytes."""
        types, tensor = self._onnx.TensorProto, value.type.tensor_type
        shape = [each.dim_value for each in tensor.shape.dim]  # 0 where it is any
        if shape[1:] != [1, SIDE, SIDE] or tensor.elem_type not in (types.UINT8, types.FLOAT, types.DOUBLE):
            raise WeightsError(
                f"{self._what} takes an input of shape {shape}, 0 for any, and ONNX type {tensor.elem_type}; wanted: "
                f"floats or uint8 of shape (n, 1, {SIDE}, {SIDE})."
            )
        return bool(tensor.elem_type == types.UINT8)

    def way(self) -> list[Step]:
        """Return the operators from the images to the logits, from which every output comes."""
        whole = self._back(self._outputs[0])
        ways = [self._without_ends(whole), *(self._without_ends(self._back(name)) for name in self._outputs[1:])]
        if any(way != ways[0] for way in ways):
            raise self._another(f"its outputs {', '.join(self._outputs)} do not come from the same logits")
        steps = ways[0]
        if self._of_bytes and (not steps or steps[0].kind != "Cast"):
            raise self._another("it computes with bytes that it has not made floats")
        return [step for step in steps if step.kind != "Cast"]

    def _back(self, name: str) -> list[Step]:
        """Return the operators on the way from the images to a value."""
        steps: list[Step] = []
        while name != self._start:
            node = self._makers.get(name)
            if node is None or not node.input:
                raise self._another(f"{name} does not come from the images")
            step, name = self._step(node)
            if node.op_type not in ("Identity", "Dropout"):
                steps.append(step)
        return steps[::-1]

    def _step(self, node: Any) -> tuple[Step, str]:
        """Return an operator and the input of it that is on the way."""
        computed = [name for name in node.input if name and name not in self._constants]
        value = node.input[0]
        if node.op_type in ("Add", "Mul") and len(computed) == 1:  # these take their inputs in either order
            value = computed[0]
        attributes = {each.name: self._onnx.helper.get_attribute_value(each) for each in node.attribute}
        if attributes.get("axis") == -1 and node.op_type in ("Softmax", "LogSoftmax", "ArgMax"):
            attributes["axis"] = 1  # the same of two
        if (
            node.op_type == "Dropout"
            and len(node.input) > 2
            and self._constant(node.input[2], "a Dropout's mode").any()
        ):
            raise self._another("it drops values at random, as in training")
        others = list(node.input)
        others.remove(value)
        return Step(node.op_type, attributes, [name for name in others if name], node.input[0] == value), value

    def _without_ends(self, way: list[Step]) -> list[Step]:
        """Return a way to an output as far as the logits, if nothing but the usual follows them."""
        last = max((place for place, step in enumerate(way) if step.kind in ("Gemm", "Add", "MatMul")), default=-1)
        types = self._onnx.TensorProto
        ends = way[last + 1 :]
        kinds = [step.kind for step in ends if step.kind != "Cast"]
        if kinds not in _ENDS:
            raise self._another(
                f"it ends in {', '.join(kinds)} behind the last dense layer, and at most a softmax and an argmax are "
                "wanted"
            )
        labels = False
        for place, step in enumerate(way):
            allowed = (types.FLOAT, types.DOUBLE, types.INT32, types.INT64) if labels else (types.FLOAT, types.DOUBLE)
            if step.kind == "Cast" and step.attributes["to"] not in allowed:
                raise self._another(f"it casts values to ONNX type {step.attributes['to']}")
            if place > last:
                check_attributes(step, place, self._what)
            labels = labels or step.kind == "ArgMax"
        return way[: last + 1]

    def _another(self, finding: str) -> WeightsError:
        return WeightsError(f"{self._what} is another network: {finding}.")

    def _constant(self, name: str, use: str) -> Array:
        if name not in self._constants:
            raise self._another(f"{use} is computed, and a constant is wanted")
        try:
            value: Array = self._onnx.numpy_helper.to_array(self._constants[name])
        except Exception as error:  # whatever the tensor's bytes provoke
            raise WeightsError(f"{self._what} is damaged: {use} cannot be read ({first_line(error)}).") from None
        return value

    def _floats(self, name: str, use: str) -> Array:
        value = self._constant(name, use)
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise WeightsError(
                f"{self._what} is damaged: {use} is {value.dtype} or not finite; finite floats are wanted."
            )
        return value

    def scale(self, step: Step) -> None:
        """Take note of an operator that scales the pixels before C1."""
        value = self._floats(step.others[0], "the scale of its pixels")
        if value.size != 1 or value.ndim > 4 or not (step.comes_first or step.kind in ("Add", "Mul")):
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
        with np.errstate(all="ignore"):
            found = np.array([0.0 - self._offset, 1.0]) / np.float64(self._factor)
        if not (np.isfinite(found).all() and found[1] > 0):
            raise WeightsError(f"{self._what} scales its pixels out of all bounds.")
        try:
            exact = float(mean), float(std)
        except ValueError:
            exact = (np.nan, np.nan)
        return exact if np.allclose(exact, found, rtol=1e-6, atol=1e-6) else (float(found[0]), float(found[1]))

    def weights(self, step: Step, layer: str) -> tuple[Array, Array]:
        """Return the weight, outputs first, and the bias of a convolution or a dense layer."""
        if not (step.comes_first and step.others):
            raise self._another(f"{layer} has its weight before its input")
        weight = self._floats(step.others[0], f"{layer}'s weight")
        if step.kind == "Gemm" and not step.attributes.get("transB"):
            weight = weight.T
        if len(step.others) > 1:
            return weight, self._floats(step.others[1], f"{layer}'s bias")
        return weight, np.zeros(weight.shape[:1], weight.dtype)
