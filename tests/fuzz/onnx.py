"""ONNX files: a LeNet-5 of another program is imported and computes the same; all others are rejected.

Weights of an input that are shorter than they should be stand for as many random numbers as there should be, others for
each first byte. So a graph of some thousand bytes makes a whole model.
"""

import math

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx.reference import ReferenceEvaluator

import lenet
from lenet.errors import WeightsError
from lenet.interop import from_onnx, onnx_graph, onnx_reader, to_onnx  # noqa: F401 - here they are instrumented
from tests.fuzz import MemoryFile, random_of

_FILE = MemoryFile()
_MOST = 100_000  # numbers of a weight
_RANDOM = np.random.default_rng(0).normal(0, 0.3, _MOST + 256)
_PIXELS = np.random.default_rng(1).integers(0, 256, (2, 1, 28, 28)).astype(np.uint8)


def run(data):
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
        _fill(proto)
        data = proto.SerializeToString()
    except DecodeError:
        proto = None
    try:
        model = from_onnx(_FILE.holding(data))
    except WeightsError:
        return
    assert proto is not None, "read what is no ONNX file"
    _check(proto, model)


def _fill(proto):
    """Fill in the weights."""
    constants = [attribute.t for node in proto.graph.node for attribute in node.attribute]
    for tensor in [*proto.graph.initializer, *constants]:
        dtype = {onnx.TensorProto.FLOAT: "<f4", onnx.TensorProto.DOUBLE: "<f8"}.get(tensor.data_type)
        size = math.prod(tensor.dims)
        if dtype and 1 < size <= _MOST and 0 < len(tensor.raw_data) < size * np.dtype(dtype).itemsize:
            start = tensor.raw_data[0]
            tensor.raw_data = _RANDOM[start : start + size].astype(dtype).tobytes()


def _check(proto, model):
    """Compare with ONNX's own evaluator, which runs the graph operator by operator."""
    (images,) = [each for each in proto.graph.input if each.name not in {w.name for w in proto.graph.initializer}]
    n = images.type.tensor_type.shape.dim[0].dim_value or 2
    if n > len(_PIXELS):
        return
    _drop_unused(proto.graph)  # whose types the evaluator may not know
    pixels = _PIXELS[:n]
    if images.type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        pixels = (pixels / 255).astype(onnx.helper.tensor_dtype_to_np_dtype(images.type.tensor_type.elem_type))
    with np.errstate(all="ignore"):
        for found in ReferenceEvaluator(proto).run(None, {images.name: pixels}):
            assert _is_of(model, pixels, found.reshape(n, -1)), "the model computes something else"


def _drop_unused(graph):
    used = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _is_of(model, pixels, found):
    """Return whether an output is a model's logits, its probabilities, their logarithms, or its labels."""
    logits = model.logits(pixels).astype(np.float64)
    if found.shape == (n := len(pixels), 1) and n and model.num_classes > 1:
        of_labels = np.take_along_axis(logits, found.astype(int), axis=1)
        return bool(np.all(logits.max(axis=1, keepdims=True) - of_labels <= 1e-4 * np.abs(logits).max()))
    log_probabilities = logits - logits.max(axis=1, keepdims=True)
    log_probabilities -= np.log(np.exp(log_probabilities).sum(axis=1, keepdims=True))
    kinds = (logits, np.exp(log_probabilities), log_probabilities)
    return any(
        found.shape == kind.shape and np.allclose(found, kind, rtol=0, atol=1e-4 * max(1, np.abs(kind).max()))
        for kind in kinds
    )


def mutate(data, most, seed, mutate_bytes):
    """Change fields of the message, mostly."""
    random = random_of(seed)
    if random.random() < 0.3:
        return mutate_bytes(data, most)
    proto = onnx.ModelProto.FromString(data)
    for _ in range(random.randint(1, 3)):
        _change(proto, random)
    return proto.SerializeToString()


_NUMBERS = (0, 1, -1, 2, 3, 4, 5, 7, 11, 13, 84, 120, 400, 2**31 - 1, -(2**31))
_TEXTS = (
    *(
        b"",
        b"Conv",
        b"Gemm",
        b"MatMul",
        b"Add",
        b"Sub",
        b"Mul",
        b"Div",
        b"Sigmoid",
        b"Relu",
        b"AveragePool",
        b"MaxPool",
    ),
    *(b"Softmax", b"ArgMax", b"Identity", b"Dropout", b"Cast", b"Transpose", b"SAME_UPPER", b"\x00", b"images"),
)


def _change(proto, random):
    """Change, drop or double one field of a message, or one of a message in it."""
    message, field, value = random.choice(list(_fields(proto)))
    if field.is_repeated:
        _change_list(getattr(message, field.name), random)
    elif random.random() < 0.1:
        message.ClearField(field.name)
    elif not isinstance(value, Message):
        setattr(message, field.name, _other(value, random, proto))


def _change_list(values, random):
    place = random.randrange(len(values))
    way = random.randrange(4)
    if way == 0:
        del values[place]
    elif way == 1:
        values.insert(place, values[place])
    elif way == 2:
        other = random.randrange(len(values))
        copies = list(values)
        copies[place], copies[other] = copies[other], copies[place]
        copies = [
            type(each).FromString(each.SerializeToString()) if isinstance(each, Message) else each for each in copies
        ]
        del values[:]
        values.extend(copies)
    elif not isinstance(values[place], Message):
        values[place] = _other(values[place], random, None)


def _other(value, random, proto):
    """Return another value of the same type; of texts, often one that stands elsewhere in the model."""
    if isinstance(value, bool | int):
        return random.choice((*_NUMBERS, min(value + 1, 2**31 - 1)))
    if isinstance(value, float):
        return random.choice((0.0, 1.0, -1.0, 0.5, 1 / 255, 255.0, math.inf, math.nan))
    texts = list(_TEXTS)
    if proto is not None:
        texts += [name.encode() for node in proto.graph.node for name in (*node.input, *node.output)] * 3
    text = random.choice(texts)
    return text if isinstance(value, bytes) else text.decode()


def _fields(message):
    """Return (message, field, value) of all that is set in a message and in those in it."""
    for field, value in message.ListFields():
        yield message, field, value
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                yield from _fields(inner)


def seeds():
    made = {}
    for name, options in (("floats", {}), ("bytes", {"pixels": "uint8"})):
        model = lenet.LeNet5(seed=0, num_classes=3)
        model.mean, model.std = 0.13, 0.31
        made[name] = to_onnx(model, **options)
    logits, dense = (onnx.ModelProto.FromString(made["floats"].SerializeToString()) for _ in range(2))
    del logits.graph.node[-2:], logits.graph.output[:]
    last = logits.graph.node[-1].output[0]
    logits.graph.output.append(onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, ["n", 3]))
    made["logits"] = logits
    _as_products(dense)
    made["products"] = dense
    return {name: _emptied(proto) for name, proto in made.items()}


def _as_products(proto):
    """Write the dense layers as a product and an addition, as PyTorch's exporter may."""
    nodes = list(proto.graph.node)
    for place, node in reversed(list(enumerate(nodes))):
        if node.op_type == "Gemm":
            weight = next(each for each in proto.graph.initializer if each.name == node.input[1])
            weight.dims[:] = weight.dims[::-1]
            product = onnx.helper.make_node("MatMul", node.input[:2], [f"{node.name}-product"])
            nodes[place : place + 1] = [
                product, onnx.helper.make_node("Add", [product.output[0], node.input[2]], node.output)
            ]  # fmt: skip
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _emptied(proto):
    for number, tensor in enumerate(proto.graph.initializer):
        if len(tensor.raw_data) > 8:
            tensor.raw_data = bytes([17 * number % 256])
    return proto.SerializeToString(deterministic=True)
