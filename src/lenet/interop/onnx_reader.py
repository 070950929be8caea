"""A LeNet-5 from an ONNX model, of ours or of PyTorch's exporter.

The graph is followed from its outputs back to its images and compared with LeNet-5 operator by operator, and its
numbers are taken; it is never run.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lenet._extras import require
from lenet.errors import WeightsError
from lenet.interop.onnx_graph import Array, Graph, Step, check_attributes, first_line
from lenet.model import LeNet5
from lenet.weights.container import content_of
from lenet.weights.files import MAX_CLASSES

_CHAIN = ["Conv", "Sigmoid", "AveragePool"] * 2 + ["Conv", "Sigmoid", "Gemm", "Sigmoid", "Gemm"]
_LAYERS = {0: "c1", 3: "c3", 6: "c5", 8: "f6", 10: "output"}  # by their places in the chain
_FLATTENING = ("Flatten", "Reshape", "Squeeze")
_SCALING = ("Add", "Sub", "Mul", "Div")


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
    graph = Graph(proto, onnx, what)
    steps = graph.way()
    scaling = 0
    while scaling < len(steps) and steps[scaling].kind in _SCALING:
        graph.scale(steps[scaling])
        scaling += 1
    chain = _chain(steps[scaling:], what)
    parameters: dict[str, Array] = {}
    for place, layer in _LAYERS.items():
        parameters[f"{layer}.weight"], parameters[f"{layer}.bias"] = graph.weights(chain[place], layer)
    model = _model(parameters, what)
    model.metadata = {each.key: each.value for each in proto.metadata_props}
    model.mean, model.std = graph.standardisation(model.metadata.pop("mean", ""), model.metadata.pop("std", ""))
    for key in ("architecture", "input", "num_classes"):  # what to_onnx adds
        model.metadata.pop(key, None)
    _check(proto, onnx, what, full=True)  # last, as it says less
    return model


def _parse(path: Path, onnx: Any) -> Any:
    content, proto = content_of(path), onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:  # protobuf's DecodeError, whose home has moved between its versions
        raise WeightsError(f"{path} is damaged or no ONNX model ({first_line(error)}).") from None
    if not proto.graph.node:
        raise WeightsError(f"{path} holds no operators: it is damaged or no ONNX model.")
    return proto


def _refuse_foreign(proto: Any, onnx: Any, what: str) -> None:
    """Refuse files beside the model's, operators that are not ONNX's own, and what ONNX's checker finds."""
    if any(isinstance(text, bytes) for text in _texts(proto)):  # as protobuf returns what is no text
        raise WeightsError(f"{what} is damaged: it has names or texts that are not UTF-8.")
    attributes = [each for node in proto.graph.node for each in node.attribute]
    own = {node.op_type for node in proto.graph.node if node.domain not in ("", "ai.onnx")}
    if own or proto.functions:
        foreign = ", ".join(sorted(own | {function.name for function in proto.functions}))
        raise WeightsError(f"{what} has operators of its own, {foreign}: only ONNX's standard ones are read.")
    tensors = [*proto.graph.initializer, *(each.t for each in attributes)]
    if any(each.data_location == onnx.TensorProto.EXTERNAL or each.external_data for each in tensors):
        raise WeightsError(
            f"{what} keeps its weights in another file, which is not read: save it with them inside "
            "(torch.onnx.export has external_data=False)."
        )
    if proto.graph.sparse_initializer:
        raise WeightsError(f"{what} has sparse weights: dense ones are wanted.")
    if proto.training_info or any(each.HasField("g") or each.graphs for each in attributes):
        raise WeightsError(f"{what} has conditions, loops or training steps: LeNet-5 has none.")
    names = [each.name for each in proto.graph.initializer]
    if len(set(names)) < len(names):
        raise WeightsError(f"{what} is damaged: it has several weights of the same name.")
    if any(each.ref_attr_name for each in attributes):  # these belong into functions
        raise WeightsError(f"{what} is damaged: an operator has an attribute without a value.")
    _check(proto, onnx, what)
    opset, newest = max(each.version for each in proto.opset_import), onnx.defs.onnx_opset_version()
    if not 7 <= opset <= newest:  # before 7, what an addition repeats was told by attributes
        raise WeightsError(f"{what} is of opset {opset}, and 7 to {newest} are read: update onnx, or export it anew.")


def _texts(value: Any) -> Iterator[str | bytes]:
    """Return all texts in a field: in a text, a message, or several of them."""
    if isinstance(value, str | bytes):
        yield value
    elif hasattr(value, "ListFields"):
        for field, inner in value.ListFields():
            if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
                yield from _texts(inner)
    else:
        for inner in value:
            yield from _texts(inner)


def _check(proto: Any, onnx: Any, what: str, full: bool = False) -> None:
    """Refuse what ONNX's checker finds; in full, also types and shapes that do not go together."""
    try:
        onnx.checker.check_model(proto, full_check=full)
    except Exception as error:  # its ValidationError, or what a strange model makes it throw
        raise WeightsError(f"{what} is damaged or no ONNX model ({first_line(error)}).") from None


def _chain(steps: list[Step], what: str) -> list[Step]:
    """Return the eleven steps that are LeNet-5, if there are no others."""
    chain: list[Step] = []
    for step in steps:
        if step.kind == "Add" and chain and chain[-1].kind == "MatMul":
            product = chain.pop()
            step = Step("Gemm", {}, product.others + step.others, product.comes_first)
        elif step.kind in _FLATTENING and len(chain) in (6, 7, 8):  # behind S4 or C5
            check_attributes(step, len(chain), what)
            continue
        chain.append(step)
    kinds = [step.kind for step in chain]
    wanted = [*_CHAIN[:6], "Gemm", *_CHAIN[7:]] if kinds[6:7] == ["Gemm"] else _CHAIN
    if kinds != wanted:
        more = f" and {len(kinds) - 15} more" if len(kinds) > 15 else ""
        raise WeightsError(
            f"{what} is another network: it computes {', '.join(kinds[:15]) or 'nothing'}{more}; wanted is "
            f"LeNet-5: {', '.join(_CHAIN)}, and at most a softmax or argmax behind."
        )
    for place, step in enumerate(chain):
        check_attributes(step, place, what)
    return chain


def _model(parameters: dict[str, Array], what: str) -> LeNet5:
    if parameters["c5.weight"].shape == (120, 400):
        parameters["c5.weight"] = parameters["c5.weight"].reshape(120, 16, 5, 5)
    dtype = np.float64 if all(value.dtype == np.float64 for value in parameters.values()) else np.float32
    num_classes = parameters["output.bias"].size
    if not 2 <= num_classes <= MAX_CLASSES:
        raise WeightsError(f"{what} has {num_classes} classes, and 2 to {MAX_CLASSES:,} are wanted.")
    model = LeNet5(seed=0, dtype=dtype, num_classes=num_classes)
    try:
        model.load_state_dict(parameters)
    except WeightsError as error:
        raise WeightsError(f"{what} is another network: {error}") from None
    return model
