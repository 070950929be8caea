"""A skl2onnx converter for LeNetClassifier, so that pipelines that contain one can be exported to ONNX."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.interop.onnx_writer import Operators


def register_skl2onnx() -> None:
    """Register a converter for LeNetClassifier with skl2onnx.

    After one call, ``skl2onnx.to_onnx(pipeline, X[:1])`` works as for scikit-learn's own classifiers, with the options
    ``zipmap`` and ``nocl``.

    Raises
    ------
    MissingExtraError
        If skl2onnx is not installed.
    """
    skl2onnx = require("skl2onnx", "skl2onnx")
    from lenet.estimator import LeNetClassifier

    skl2onnx.update_registered_converter(
        LeNetClassifier,
        "LenetLeNetClassifier",
        _set_types,
        _convert,
        options={"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]},
        overwrite=True,
    )


def operators_of(classifier: Any, X: str) -> tuple[Operators, str]:
    """Return the operators from X, the name of a float32 input, to logits, and the name of the logits."""
    operators, framing = Operators(), classifier.framing_
    row = operators.constant("row", np.array([-1, classifier.n_features_in_], np.int64))
    x = operators.add("Reshape", [X, row], "rows")
    x = operators.add("Sub", [x, operators.scalar("low", framing.low)], "above_low")
    x = operators.add("Mul", [x, operators.scalar("one_unit", 1 / (framing.high - framing.low))], "scaled")
    background, ink = operators.scalar("background", 0), operators.scalar("ink", 1)
    x = operators.add("Clip", [x, background, ink], "pixels")
    down, across = framing.interpolation()
    if classifier.n_features_in_ != len(down) * len(across):
        matrix = np.kron(down, across).T[: classifier.n_features_in_]  # down @ pixels @ across.T, for flat pixels
        x = operators.add("MatMul", [x, operators.constant("interpolation", matrix)], "enlarged")
    shape = operators.constant("shape", np.array([-1, 1, len(down), len(across)], np.int64))
    x = operators.add("Reshape", [x, shape], "images")
    return operators, operators.network(classifier.model_, x)


def _labels(classifier: Any, nocl: bool) -> tuple[NDArray[Any], bool]:
    """Return the class labels, and whether they are integers rather than text."""
    classes = np.arange(len(classifier.classes_)) if nocl else classifier.classes_
    # `fit` rejects fractional labels, but a file may have them.
    if classes.dtype.kind == "f" and (classes % 1 == 0).all():
        classes = classes.astype(np.int64)
    return classes, classes.dtype.kind in "iub"


def _set_types(operator: Any) -> None:
    """Set the types and shapes of the outputs."""
    types = require("skl2onnx.common.data_types", "skl2onnx")
    n = operator.inputs[0].get_first_dimension()
    nocl = operator.scope_inst.get_options(operator.raw_operator, {"nocl": False})["nocl"]
    classes, whole = _labels(operator.raw_operator, nocl)
    operator.outputs[0].type = (types.Int64TensorType if whole else types.StringTensorType)([n])
    operator.outputs[1].type = types.FloatTensorType([n, len(classes)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add a classifier's operators to a graph of skl2onnx, under unique names."""
    types = require("onnx", "onnx").TensorProto
    classifier = operator.raw_operator
    operators, logits = operators_of(classifier, "X")
    nocl = container.get_options(classifier, {"nocl": False})["nocl"]
    classes, whole = _labels(classifier, nocl)
    label = operators.add("ArgMax", [logits], "number", axis=1, keepdims=0)

    @functools.cache
    def named(name: str) -> str:
        return str(scope.get_unique_variable_name(f"lenet.{name}"))

    container.add_node("Cast", [operator.inputs[0].full_name], [named("X")], to=types.FLOAT)
    for name, value in operators.constants.items():
        kind = types.INT64 if value.dtype == np.int64 else types.FLOAT
        container.add_initializer(named(name), kind, value.shape, value.ravel())
    for kind, inputs, output, attributes in operators.nodes:
        container.add_node(kind, [named(name) for name in inputs], [named(output)], **attributes)
    texts = classes.astype(np.int64) if whole else [str(each).encode() for each in classes]
    container.add_initializer(named("classes"), types.INT64 if whole else types.STRING, [len(classes)], texts)
    container.add_node("Gather", [named("classes"), named(label)], [operator.outputs[0].full_name], axis=0)
    container.add_node("Softmax", [named(logits)], [operator.outputs[1].full_name], axis=1)
