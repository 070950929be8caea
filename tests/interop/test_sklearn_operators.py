"""The ONNX operators and labels of a classifier: against its own framing, and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.landing
pytest.importorskip("sklearn")
onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lenet  # noqa: E402
from lenet.estimator.framing import Framing  # noqa: E402
from lenet.interop.sklearn_onnx import _labels, operators_of  # noqa: E402

MODEL = lenet.LeNet5(seed=0, num_classes=3)
MODEL.mean, MODEL.std = 0.25, 0.5


def logits_of(classifier, X):
    operators, logits = operators_of(classifier, "X")
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in operators.nodes],
        "classifier",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", X.shape[1]])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in operators.constants.items()],
    )
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    return runtime.InferenceSession(proto.SerializeToString()).run(None, {"X": X})[0]


@pytest.mark.parametrize(
    ("height", "width", "features"),
    [(28, 28, 784), (8, 4, 32), (4, 8, 31), (28, 14, 392), (28, 28, 783), (40, 30, 1200), (1, 1, 1), (3, 1, 2)],
)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 3), (2, 18)])
def test_rows_are_scaled_clipped_and_enlarged_as_the_classifier_does(height, width, features, low, high):
    framing = Framing(height, width, low, high)
    classifier = SimpleNamespace(framing_=framing, n_features_in_=features, model_=MODEL)
    X = np.random.default_rng(0).uniform(low - 1, high + 1, (5, features)).astype(np.float32)
    np.testing.assert_allclose(logits_of(classifier, X), MODEL.logits(framing.images(X)), atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "nocl", "labels", "whole"),
    [
        (np.array([2, 5, 9]), False, [2, 5, 9], True),
        (np.array([2, 5, 9], np.uint8), False, [2, 5, 9], True),
        (np.array([2.0, 5.0, 9.0]), False, [2, 5, 9], True),
        (np.array([-1.5, 2.0, 9.0]), False, [-1.5, 2.0, 9.0], False),
        (np.array([False, True]), False, [False, True], True),
        (np.array(["a", "b", "c"]), False, ["a", "b", "c"], False),
        (np.array(["a", "b", "c"], object), False, ["a", "b", "c"], False),
        (np.array(["a", "b", "c"]), True, [0, 1, 2], True),
        (np.array([2, 5, 9]), True, [0, 1, 2], True),
    ],
)
def test_labels_are_integers_or_text(classes, nocl, labels, whole):
    found, are_whole = _labels(SimpleNamespace(classes_=classes), nocl)
    assert found.tolist() == labels
    assert {type(label) for label in found.tolist()} == {type(label) for label in labels}
    assert are_whole == whole
