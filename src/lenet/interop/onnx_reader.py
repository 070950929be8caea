"""Read a LeNet-5 from an ONNX model written by `to_onnx` or PyTorch's exporters.

The reader follows the graph from its outputs back to its images, compares it with the operators that `to_onnx` writes,
and copies the weights. It never runs the graph.
"""

import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lenet._extras import require
from lenet.errors import WeightsError
from lenet.interop.onnx_graph import NORMALISATIONS, Array, Graph, Step, check_attributes, first_line
from lenet.interop.onnx_writer import Node, Operators
from lenet.interop.parameters import model_from
from lenet.model import LeNet5
from lenet.weights.bounds import check_bounds
from lenet.weights.container import content_of
from lenet.weights.earlier import upgraded
from lenet.weights.files import MAX_CLASSES, OWN_METADATA

_FLATTENING = ("Flatten", "Reshape", "Squeeze")
_SCALING = ("Add", "Sub", "Mul", "Div")
_MAX_OPERATORS = 1_000  # LeNet-5 has about 20; the work grows with operators times outputs


def from_onnx(source: str | os.PathLike[str] | Any) -> LeNet5:
    """Read a LeNet-5 with sigmoids and average pooling from an ONNX model.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A model, or a file of at most 64 MiB, from `to_onnx` or PyTorch's exporters. It must contain its weights. C5 may
        be a convolution or a dense layer. The graph may scale the pixels before C1, or standardise each image with
        InstanceNormalization or LayerNormalization, and end with a softmax or argmax.

    Returns
    -------
    LeNet5
        A model with the same outputs. The dtype is float64 if all weights are float64, otherwise float32.

    Raises
    ------
    WeightsError
        If the model is damaged, too large, or another network; if it keeps weights in other files, or has custom
        operators.
    TypeError
        If source is neither a path nor an onnx.ModelProto.
    MissingExtraError
        If onnx is not installed.
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
        proto, name = source, "The model"
    else:
        proto, name = _parse(Path(source), onnx), str(source)
    _reject_foreign(proto, onnx, name)
    graph = Graph(proto, onnx, name)
    steps = graph.path()
    scaling = list(itertools.takewhile(lambda step: step.kind in (*_SCALING, *NORMALISATIONS), steps))
    for step in scaling:
        graph.scale(step)
    model = _model(graph, _match(steps[len(scaling) :], name), name)
    model.metadata = {each.key: each.value for each in proto.metadata_props}
    model.mean, model.std = graph.standardisation(model.metadata.pop("mean", ""), model.metadata.pop("std", ""))
    for key in OWN_METADATA | {"architecture", "input"}:  # reserved by model files, or added by to_onnx
        model.metadata.pop(key, None)
    model.metadata = upgraded(model.metadata, model.num_classes)
    check_bounds(model.parameters, model.mean, model.std)
    _check(proto, onnx, name, full=True)  # last, as its messages are less helpful
    return model


def _parse(path: Path, onnx: Any) -> Any:
    content, proto = content_of(path), onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:  # protobuf's DecodeError, whose module differs between versions
        raise WeightsError(
            f"{path} is damaged or is not an ONNX model ({first_line(error)}). Export it again."
        ) from None
    if not proto.graph.node:
        raise WeightsError(f"{path} is damaged or is not an ONNX model (it has no operators). Export it again.")
    return proto


def _reject_foreign(proto: Any, onnx: Any, source: str) -> None:
    """Reject weights in other files, custom operators, and everything that ONNX's checker rejects."""
    if any(isinstance(text, bytes) for text in _strings(proto)):  # bytes that are not UTF-8
        raise WeightsError(f"{source} is damaged: it has strings that are not UTF-8. Export it again.")
    size = len(proto.graph.node) + len(proto.graph.output)
    if size > _MAX_OPERATORS:
        raise WeightsError(f"{source} has {size:,} operators and outputs; expected at most {_MAX_OPERATORS:,}.")
    attributes = [each for node in proto.graph.node for each in node.attribute]
    own = {node.op_type for node in proto.graph.node if node.domain not in ("", "ai.onnx")}
    if own or proto.functions:
        foreign = ", ".join(sorted(own | {function.name for function in proto.functions}))
        raise WeightsError(f"{source} has custom operators, {foreign}; expected only standard ones.")
    tensors = [*proto.graph.initializer, *(each.t for each in attributes)]
    if any(each.data_location == onnx.TensorProto.EXTERNAL or each.external_data for each in tensors):
        raise WeightsError(
            f"{source} keeps its weights in another file; expected one file. Export it with external_data=False "
            "(torch.onnx.export)."
        )
    if proto.graph.sparse_initializer:
        raise WeightsError(f"{source} has sparse weights; expected dense ones.")
    if proto.training_info or any(each.HasField("g") or each.graphs for each in attributes):
        raise WeightsError(f"{source} has conditions, loops or training steps; expected none.")
    names = [each.name for each in proto.graph.initializer]
    if len(set(names)) < len(names):
        raise WeightsError(f"{source} is damaged: several weights have the same name. Export it again.")
    if any(each.ref_attr_name for each in attributes):  # only functions have these
        raise WeightsError(f"{source} is damaged: an operator has an attribute without a value. Export it again.")
    _check(proto, onnx, source)
    versions = [each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")]
    opset, newest = max(versions, default=1), onnx.defs.onnx_opset_version()  # the first files stated no version
    if not 7 <= opset <= newest:  # before 7, Add needed an attribute to broadcast
        raise WeightsError(
            f"{source} has opset {opset}; expected 7 to {newest}. Update onnx, or export the model again."
        )


def _strings(value: Any) -> Iterator[str | bytes]:
    """Yield all strings in a field: a string, a message, or a sequence of them."""
    if isinstance(value, str | bytes):
        yield value
    elif hasattr(value, "ListFields"):
        for field, inner in value.ListFields():
            if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
                yield from _strings(inner)
    else:
        for inner in value:
            yield from _strings(inner)


def _check(proto: Any, onnx: Any, source: str, full: bool = False) -> None:
    """Reject what ONNX's checker rejects; with `full`, also types and shapes that do not match."""
    try:
        onnx.checker.check_model(proto, full_check=full)
        constants = (each.t for node in proto.graph.node for each in node.attribute if each.HasField("t"))
        for tensor in (*proto.graph.initializer, *constants):  # the checker ignores their sizes
            onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # ValidationError, or others on malformed models
        raise WeightsError(
            f"{source} is damaged or is not an ONNX model ({first_line(error)}). Export it again."
        ) from None


@functools.cache
def _layers() -> list[Node]:
    """Return the operators that `to_onnx` writes from C1 to the logits, without Flatten."""
    operators = Operators()
    operators.network(LeNet5(), "images")
    return [node for node in operators.nodes if node.kind not in (*_SCALING, *_FLATTENING)]


def _match(steps: list[Step], source: str) -> list[Step]:
    """Return the steps that correspond to `_layers`, if there are no others; C5 may be dense."""
    matched: list[Step] = []
    expected = [node.kind for node in _layers()]
    c5 = next(place for place, node in enumerate(_layers()) if "c5.weight" in node.inputs)
    for step in steps:
        if step.kind == "Add" and matched and matched[-1].kind == "MatMul":
            product = matched.pop()
            step = Step("Gemm", {}, product.others + step.others)
        elif step.kind in _FLATTENING and c5 <= len(matched) <= c5 + 2:  # before or after C5 or its sigmoid
            check_attributes(step, {}, len(matched), source)
            continue
        matched.append(step)
    kinds = [step.kind for step in matched]
    if kinds not in (expected, [*expected[:c5], "Gemm", *expected[c5 + 1 :]]):
        more = f" and {len(kinds) - 15} more" if len(kinds) > 15 else ""
        raise WeightsError(
            f"{source} is not LeNet-5: it computes {', '.join(kinds[:15]) or 'nothing'}{more}; expected "
            f"{', '.join(expected)}, and at most a softmax or argmax after them."
        )
    for place, (step, node) in enumerate(zip(matched, _layers(), strict=True)):
        has_same_kind = step.kind == node.kind and step.kind != "Gemm"  # which may transpose its weight
        check_attributes(step, node.attributes if has_same_kind else {}, place, source)
    return matched


def _model(graph: Graph, steps: list[Step], source: str) -> LeNet5:
    """Build the model from the weights of the matched steps."""
    parameters: dict[str, Array] = {}
    for step, node in zip(steps, _layers(), strict=True):
        if len(node.inputs) == 3:
            layer = node.inputs[1].removesuffix(".weight")
            parameters[f"{layer}.weight"], parameters[f"{layer}.bias"] = graph.weights(step, layer)
    num_classes = parameters["output.bias"].size
    if not 2 <= num_classes <= MAX_CLASSES:
        raise WeightsError(f"{source} has {num_classes} classes; expected 2 to {MAX_CLASSES:,}.")
    try:
        return model_from(parameters)
    except WeightsError as error:
        raise WeightsError(f"{source} is not LeNet-5: {error}") from None
