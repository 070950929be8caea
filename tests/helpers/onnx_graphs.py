"""ONNX graphs of a model, with changes."""

import copy

import numpy as np
import pytest
from onnx import helper, numpy_helper

import lenet
from lenet.errors import WeightsError
from lenet.interop import from_onnx, to_onnx

MODEL = lenet.LeNet5(seed=0)
MODEL.mean, MODEL.std = 0.25, 0.5  # exact in float32
for _name, _value in MODEL.parameters.items():
    if _name.endswith("bias"):
        _value[...] = np.linspace(-1, 1, _value.size)
OF_EACH_IMAGE = copy.deepcopy(MODEL)
OF_EACH_IMAGE.mean = None


class Changed:
    """The graph of a model, and its operators by name."""

    def __init__(self, model=MODEL, pixels="float32"):
        self.proto = to_onnx(model, pixels=pixels)
        self.nodes = {node.name: node for node in self.proto.graph.node}

    def set(self, node, **attributes):
        kept = [each for each in self.nodes[node].attribute if each.name not in attributes]
        del self.nodes[node].attribute[:]
        added = [helper.make_attribute(name, value) for name, value in attributes.items() if value is not None]
        self.nodes[node].attribute.extend([*kept, *added])
        return self

    def constant(self, name, value):
        kept = [each for each in self.proto.graph.initializer if each.name != name]
        del self.proto.graph.initializer[:]
        self.proto.graph.initializer.extend([*kept, numpy_helper.from_array(np.asarray(value), name)])
        return name

    def before(self, consumer, kind, *others, **attributes):
        """Insert an operator before another one, on its first input."""
        node, name = self.nodes[consumer], f"{kind} {len(self.proto.graph.node)}"
        new = helper.make_node(kind, [node.input[0], *others], [name], name=name, **attributes)
        node.input[0] = name
        self.proto.graph.node.insert([each.name for each in self.proto.graph.node].index(consumer), new)
        self.nodes = {each.name: each for each in self.proto.graph.node}
        return self

    def scaled(self, *operators):
        """Replace the scaling by the given operators, each with one number."""
        del self.proto.graph.node[:2]
        value, nodes = "images", []
        for n, (kind, number) in enumerate(operators):
            output = "input" if n == len(operators) - 1 else f"scaled {n}"
            nodes.append(helper.make_node(kind, [value, self.constant(f"number {n}", number)], [output]))
            value = output
        for node in reversed(nodes):
            self.proto.graph.node.insert(0, node)
        return self

    def read(self):
        return from_onnx(self.proto)

    def refusal(self):
        with pytest.raises(WeightsError) as error:
            self.read()
        return str(error.value)


def assert_read(changed, model=MODEL):
    found = changed.read()
    assert (found.mean, found.std) == (model.mean, model.std)
    np.testing.assert_array_equal(found.parameters.flat, model.parameters.flat)
