"""The ONNX graphs that are read as LeNet-5: operators and attributes at, below and above each limit."""

import numpy as np
import pytest

from lenet.errors import WeightsError
from lenet.interop import from_onnx, onnx_reader, to_onnx

pytestmark = pytest.mark.landing
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402
from onnx_graphs import MODEL, Changed, assert_read  # noqa: E402

# ---- attributes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", ["SAME_UPPER", "SAME_LOWER"])
def test_same_padding_is_2_for_kernels_of_5_and_0_for_windows_of_2(same):
    assert_read(Changed().set("c1.Conv2d", pads=None, auto_pad=same))
    assert_read(Changed().set("s2.AvgPool2d", auto_pad=same))
    refusal = Changed().set("c3.Conv2d", pads=None, auto_pad=same).refusal()
    assert "operator 4, Conv, has pads [2, 2, 2, 2]; expected [0, 0, 0, 0]." in refusal


def test_valid_padding_is_0():
    assert_read(Changed().set("c3.Conv2d", pads=None, auto_pad="VALID"))
    assert "operator 1, Conv, has pads [0, 0, 0, 0]" in Changed().set("c1.Conv2d", auto_pad="VALID").refusal()


@pytest.mark.parametrize(
    ("node", "attributes", "found"),
    [
        ("c1.Conv2d", {"strides": [1, 2]}, "operator 1, Conv, has strides [1, 2]; expected [1, 1]"),
        ("c3.Conv2d", {"dilations": [2, 1]}, "operator 4, Conv, has dilations [2, 1]; expected [1, 1]"),
        ("c5.Conv2d", {"group": 2}, "operator 7, Conv, has group 2; expected 1"),
        ("c1.Conv2d", {"pads": [2, 2, 2, 1]}, "operator 1, Conv, has pads [2, 2, 2, 1]; expected [2, 2, 2, 2]"),
        ("s2.AvgPool2d", {"pads": [0, 0, 1, 0]}, "operator 3, AveragePool, has pads [0, 0, 1, 0]"),
        ("s4.AvgPool2d", {"ceil_mode": 1}, "operator 6, AveragePool, has ceil_mode 1; expected 0"),
        ("f6.Linear", {"beta": 0.5}, "operator 9, Gemm, has beta 0.5; expected 1.0"),
        ("output.Linear", {"alpha": 2.0}, "operator 11, Gemm, has alpha 2.0; expected 1.0"),
        ("output.Linear", {"transA": 1}, "operator 11, Gemm, has transA 1; expected 0"),
        ("c5.Flatten", {"axis": 0}, "operator 9, Flatten, has axis 0; expected 1"),
        ("label", {"axis": 0}, "operator 15, ArgMax, has axis 0; expected 1"),
        ("label", {"select_last_index": 1}, "ArgMax, has select_last_index 1; expected 0"),
        ("probabilities", {"axis": 0}, "operator 15, Softmax, has axis 0; expected 1"),
    ],
)
def test_each_attribute_that_differs_is_named_with_its_operator(node, attributes, found):
    assert found in Changed().set(node, **attributes).refusal()


@pytest.mark.parametrize(
    ("node", "attributes"),
    [
        ("c1.Conv2d", {"strides": [1, 1], "dilations": [1, 1], "group": 1}),
        ("s4.AvgPool2d", {"pads": [0, 0, 0, 0], "dilations": [1, 1], "ceil_mode": 0}),
        ("output.Linear", {"alpha": 1.0, "beta": 1.0, "transA": 0}),
        ("c5.Flatten", {"axis": 1}),
        ("label", {"select_last_index": 0}),
    ],
)
def test_attributes_may_have_the_values_of_the_specification(node, attributes):
    changed = Changed().set(node, **attributes)
    changed.proto.opset_import[0].version = 19  # the first in which a pooling may be dilated
    assert_read(changed)


@pytest.mark.parametrize(
    ("node", "attribute"),
    [("c3.Conv2d", "pads"), ("c1.Conv2d", "kernel_shape"), ("c5.Flatten", "axis"), ("probabilities", "axis")],
)
def test_absent_attributes_have_the_values_of_the_specification(node, attribute):
    assert_read(Changed().set(node, **{attribute: None}))
    assert "has strides [1, 1]; expected [2, 2]" in Changed().set("s2.AvgPool2d", strides=None).refusal()
    assert "ArgMax, has axis 0; expected 1" in Changed().set("label", axis=None).refusal()
    assert "has pads [0, 0, 0, 0]; expected [2, 2, 2, 2]" in Changed().set("c1.Conv2d", pads=None).refusal()


@pytest.mark.parametrize("node", ["label", "probabilities"])
def test_the_last_of_two_axes_may_be_counted_from_the_end(node):
    assert_read(Changed().set(node, axis=-1))
    assert "has axis -2; expected 1" in Changed().set(node, axis=-2).refusal()


def test_an_unknown_attribute_is_named_in_one_line():
    refusal = Changed().set("c1.Sigmoid", steepness=2.0).refusal()
    assert refusal.startswith("The model is damaged or is not an ONNX model (Unrecognized attribute: steepness")
    assert refusal.endswith("). Export it again.")
    assert "\n" not in refusal


# ---- constants, inputs and outputs ---------------------------------------------------------------------


def test_a_weight_may_come_from_a_constant_operator_or_an_identity():
    changed = Changed()
    graph = changed.proto.graph
    (bias,) = (each for each in graph.initializer if each.name == "f6.bias")
    graph.node.insert(0, helper.make_node("Constant", [], ["made"], value=bias))
    graph.node.insert(1, helper.make_node("Identity", ["made"], ["renamed"]))
    changed.nodes["f6.Linear"].input[2] = "renamed"
    graph.initializer.remove(bias)
    assert_read(changed)


def test_a_number_may_come_from_a_constant_operator():
    changed = Changed()
    changed.proto.graph.node.insert(0, helper.make_node("Constant", [], ["half"], value_float=0.125))
    changed.nodes["centred"].input[1] = "half"
    model = changed.read()
    assert (model.mean, model.std) == (0.125, 0.5)


def test_weights_may_be_listed_among_the_inputs_as_older_exporters_do():
    changed = Changed()
    changed.proto.graph.input.append(helper.make_tensor_value_info("f6.bias", TensorProto.FLOAT, [84]))
    assert_read(changed)


@pytest.mark.parametrize(
    ("shape", "kind", "found"),
    [
        (["n", 1, 28, 28], "INT64", "of shape [0, 1, 28, 28] (0: any) and ONNX type 7"),
        ([5, 1, 28, 27], "FLOAT", "of shape [5, 1, 28, 27] (0: any) and ONNX type 1"),
        (["n", 3, 28, 28], "FLOAT", "of shape [0, 3, 28, 28]"),
        ([1, 28, 28], "FLOAT", "of shape [1, 28, 28]"),
    ],
)
def test_images_have_one_channel_of_28x28_floats_or_bytes(shape, kind, found):
    changed = Changed()
    images = helper.make_tensor_value_info("images", getattr(TensorProto, kind), shape)
    changed.proto.graph.input[0].CopyFrom(images)
    assert found in changed.refusal()


@pytest.mark.parametrize("n", [1, 5])
def test_the_number_of_images_may_be_fixed(n):
    changed = Changed()
    for value in (*changed.proto.graph.input, *changed.proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = n
    assert_read(changed)


def test_images_may_be_doubles_if_they_are_cast():
    changed = Changed()
    changed.proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    assert "[ShapeInferenceError]" in changed.refusal()
    assert_read(changed.before("centred", "Cast", to=TensorProto.FLOAT))


def test_a_graph_without_inputs_is_refused():
    changed = Changed()
    changed.constant("images", np.zeros((1, 1, 28, 28), np.float32))
    assert "has 0 inputs; expected one" in changed.refusal()


def test_a_path_through_the_second_output_of_an_operator_is_refused():
    changed = Changed().before("f6.Linear", "Dropout")
    dropout = next(node for node in changed.proto.graph.node if node.op_type == "Dropout")
    dropout.output.append("mask")
    changed.before("f6.Linear", "Cast", to=TensorProto.FLOAT)
    next(node for node in changed.proto.graph.node if node.op_type == "Cast").input[0] = "mask"
    assert "mask is not computed from the images" in changed.refusal()


def test_a_path_that_begins_with_random_numbers_is_refused():
    changed = Changed()
    changed.nodes["c1.Conv2d"].input[0] = "noise"
    changed.proto.graph.node.insert(0, helper.make_node("RandomNormal", [], ["noise"], shape=[1, 1, 28, 28]))
    assert "noise is not computed from the images" in changed.refusal()


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("axis", "accepted"), [(None, True), (1, True), (-1, True), (0, False)])
def test_a_softmax_is_over_the_classes(kind, axis, accepted):
    changed = Changed().set("probabilities", axis=axis)
    changed.nodes["probabilities"].op_type = kind
    if accepted:
        assert_read(changed)
    else:
        assert f"{kind}, has axis 0; expected 1" in changed.refusal()


@pytest.mark.parametrize(
    ("output", "kinds", "found"),
    [
        ("probabilities", ["Relu"], "Relu, Softmax"),
        ("label", ["Relu"], "Relu, ArgMax"),
        ("label", ["Softmax", "Relu"], "Softmax, Relu, ArgMax"),
        ("probabilities", ["Softmax"], "Softmax, Softmax"),
        ("label", ["LogSoftmax", "Softmax"], "LogSoftmax, Softmax, ArgMax"),
    ],
)
def test_at_most_a_softmax_and_an_argmax_follow_the_logits(output, kinds, found):
    changed = Changed()
    for kind in kinds:
        changed.before(output, kind)
    assert f"it ends in {found} after the last dense layer; expected" in changed.refusal()


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_the_label_may_be_of_the_largest_probability(kind):
    assert_read(Changed().before("label", kind))


def test_a_graph_without_a_dense_layer_is_refused():
    changed = Changed()
    for output in ("label", "probabilities"):
        changed.nodes[output].input[0] = "images"
        changed.before(output, "Flatten")
    assert "it ends in Flatten, ArgMax after the last dense layer" in changed.refusal()


def test_a_dropout_for_inference_changes_nothing():
    changed = Changed()
    changed.before("f6.Linear", "Dropout").before("output.Linear", "Dropout", changed.constant("rate", np.float32(0.5)))
    assert_read(changed)


@pytest.mark.parametrize("training", [False, True])
def test_a_dropout_may_not_be_in_training_mode(training):
    changed = Changed()
    changed.before("f6.Linear", "Dropout", changed.constant("rate", np.float32(0.5)), changed.constant("on", training))
    if training:
        assert "its dropout is in training mode" in changed.refusal()
    else:
        assert_read(changed)


@pytest.mark.parametrize(
    ("pixels", "refusal"),
    [("uint8", "computes on bytes without casting them to floats"), ("float32", "it computes nothing; expected Conv")],
)
def test_a_graph_without_a_network_is_refused(pixels, refusal):
    changed = Changed(pixels=pixels)
    del changed.proto.graph.output[1]
    changed.set("label", axis=1).nodes["label"].input[0] = "images"
    assert refusal in changed.refusal()


@pytest.mark.parametrize(
    ("kind", "accepted"), [("INT32", True), ("INT64", True), ("FLOAT", True), ("DOUBLE", True), ("INT8", False)]
)
def test_labels_may_be_cast_to_types_that_hold_all_classes(kind, accepted):
    changed = Changed()
    changed.proto.graph.node.append(helper.make_node("Cast", ["label"], ["cast"], to=getattr(TensorProto, kind)))
    changed.proto.graph.output[0].name = "cast"
    changed.proto.graph.output[0].type.tensor_type.elem_type = getattr(TensorProto, kind)
    if accepted:
        assert_read(changed)
    else:
        assert f"it casts values to ONNX type {getattr(TensorProto, kind)}" in changed.refusal()


@pytest.mark.parametrize("kind", ["INT32", "INT64", "FLOAT16"])
def test_values_before_the_label_may_be_cast_to_floats_only(kind):
    changed = Changed().before("label", "Cast", to=getattr(TensorProto, kind))
    assert f"it casts values to ONNX type {getattr(TensorProto, kind)}" in changed.refusal()


# ---- the operators of the network, and what else a file may contain ------------------------------------


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_c5_may_be_dense_after_the_maps_are_flattened(kind):
    changed = Changed().before("c5.Conv2d", "Flatten")
    dense = changed.nodes["c5.Conv2d"]
    weight = MODEL.parameters["c5.weight"].reshape(120, 400)
    changed.constant("c5.weight", weight.T if kind == "MatMul" else weight)
    if kind == "Gemm":
        dense.CopyFrom(helper.make_node("Gemm", [*dense.input], ["c5.Conv2d"], transB=1))
    else:
        changed.before("c5.Conv2d", "MatMul", "c5.weight")
        changed.nodes["c5.Conv2d"].CopyFrom(helper.make_node("Add", ["c5.bias", dense.input[0]], ["c5.Conv2d"]))
    assert_read(changed)


def test_a_bias_may_be_added_to_a_matrix_product_only():
    changed = Changed()
    changed.before("c1.Sigmoid", "Add", changed.constant("zeros", np.zeros((6, 1, 1), np.float32)))
    assert "it computes Conv, Add, Sigmoid, AveragePool" in changed.refusal()
    changed = Changed()
    product = helper.make_node("MatMul", [*changed.nodes["f6.Linear"].input[:2]], ["f6.Linear"])
    changed.nodes["f6.Linear"].CopyFrom(product)
    changed.constant("f6.weight", MODEL.parameters["f6.weight"].T)
    assert "Conv, Sigmoid, MatMul, Sigmoid, Gemm; expected" in changed.refusal()


@pytest.mark.parametrize(
    ("consumer", "refusal"),
    [
        ("c5.Sigmoid", None),
        ("c5.Flatten", None),
        ("f6.Linear", None),
        ("s4.AvgPool2d", "Conv, Sigmoid, Flatten, AveragePool, Conv"),
        ("f6.Sigmoid", "Gemm, Flatten, Sigmoid, Gemm;"),
        ("output.Linear", "Gemm, Sigmoid, Flatten, Gemm;"),
    ],
)
def test_maps_may_be_flattened_next_to_c5_and_its_sigmoid(consumer, refusal):
    changed = Changed().before(consumer, "Flatten")
    if refusal:
        assert refusal in changed.refusal()
    else:
        assert_read(changed)


@pytest.mark.parametrize(("added", "more"), [(4, ""), (5, " and 1 more"), (7, " and 3 more")])
def test_at_most_15_operators_are_named(added, more):
    """LeNet-5 has 11 besides the one that flattens."""
    changed = Changed()
    for _ in range(added):
        changed.before("output.Linear", "Neg")
    network = "Conv, Sigmoid, AveragePool, Conv, Sigmoid, AveragePool, Conv, Sigmoid, Gemm, Sigmoid"
    last = ", Gemm" if added == 4 else ", Neg"
    assert f"it computes {network}, Neg, Neg, Neg, Neg{last}{more}; expected" in changed.refusal()


def test_weights_of_dense_layers_are_written_with_their_outputs_first():
    gemms = [node for node in to_onnx(MODEL).graph.node if node.op_type == "Gemm"]
    assert [[(each.name, each.i) for each in node.attribute] for node in gemms] == [[("transB", 1)]] * 2


@pytest.mark.parametrize("transposed", [0, None])
def test_a_weight_may_have_its_inputs_first(transposed):
    changed = Changed().set("f6.Linear", transB=transposed)
    changed.constant("f6.weight", MODEL.parameters["f6.weight"].T)
    assert_read(changed)


@pytest.mark.parametrize("num_classes", [1, 2, 11])
def test_there_are_at_least_two_classes(num_classes):
    changed = Changed()
    changed.constant("output.weight", np.full((num_classes, 84), 0.5, np.float32))
    changed.constant("output.bias", np.arange(num_classes, dtype=np.float32))
    changed.proto.graph.output[1].type.tensor_type.shape.dim[1].dim_value = num_classes
    if num_classes == 1:
        assert "has 1 classes; expected 2 to 100,000" in changed.refusal()
    else:
        np.testing.assert_array_equal(changed.read().parameters["output.bias"], np.arange(num_classes))


def test_the_number_of_classes_is_limited(monkeypatch):
    monkeypatch.setattr(onnx_reader, "MAX_CLASSES", 10)
    assert_read(Changed())
    monkeypatch.setattr(onnx_reader, "MAX_CLASSES", 9)
    assert "has 10 classes; expected 2 to 9" in Changed().refusal()


def test_weights_whose_sums_overflow_are_refused():
    changed = Changed()
    changed.constant("c3.weight", np.full((16, 6, 5, 5), 3e38, np.float32))
    assert "The weights of c3 are too large" in changed.refusal()


def test_the_opset_of_another_domain_has_no_effect():
    changed = Changed()
    changed.proto.opset_import.append(onnx.helper.make_opsetid("com.example", 99))
    assert_read(changed)


@pytest.mark.parametrize(
    ("version", "refusal"),
    [
        (6, "has opset 6; expected 7 to "),
        (7, None),
        (12, None),
        (onnx.defs.onnx_opset_version(), None),
        (onnx.defs.onnx_opset_version() + 1, f"expected 7 to {onnx.defs.onnx_opset_version()}"),
    ],
)
def test_opsets_from_7_to_the_newest_that_onnx_knows(version, refusal):
    changed = Changed()
    changed.proto.opset_import[0].version = version
    if refusal:
        assert refusal in changed.refusal()
    else:
        assert_read(changed)


def bias(changed):
    return next(each for each in changed.proto.graph.initializer if each.name == "f6.bias")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda c: setattr(bias(c), "data_location", TensorProto.EXTERNAL), "keeps its weights in another file"),
        (lambda c: setattr(c.nodes["c5.Sigmoid"], "domain", "com.example"), "has custom operators, Sigmoid; expected"),
        (lambda c: c.proto.functions.add(name="Twice"), "has custom operators, Twice; expected only standard ones"),
        (lambda c: bias(c).external_data.add(key="location", value="x"), "keeps its weights in another file"),
        (lambda c: c.proto.graph.sparse_initializer.add(), "has sparse weights; expected dense ones"),
        (lambda c: c.proto.training_info.add(), "has conditions, loops or training steps"),
        (lambda c: c.set("c1.Sigmoid", parts=[c.proto.graph]), "has conditions, loops or training steps"),
        (lambda c: c.set("c1.Sigmoid", part=c.proto.graph), "has conditions, loops or training steps"),
    ],
)
def test_external_custom_sparse_and_nested_content_is_rejected(change, refusal):
    changed = Changed()
    change(changed)
    assert refusal in changed.refusal()


@pytest.mark.parametrize("layer", ["c1.Conv2d", "output.Linear"])
def test_a_layer_without_a_bias_has_one_of_zeros(layer):
    changed = Changed()
    del changed.nodes[layer].input[2]
    parameters = changed.read().parameters
    name = f"{layer.partition('.')[0]}.bias"
    assert not parameters[name].any()
    assert {each for each, value in parameters.items() if not np.array_equal(value, MODEL.parameters[each])} == {name}


def test_a_file_is_read_like_a_model_and_named_in_errors(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(MODEL).SerializeToString())
    for each in (path, str(path)):
        np.testing.assert_array_equal(from_onnx(each).parameters.flat, MODEL.parameters.flat)
    path.write_bytes(Changed().set("c5.Conv2d", group=2).proto.SerializeToString())
    with pytest.raises(WeightsError) as error:
        from_onnx(path)
    assert str(error.value) == f"{path} is not LeNet-5: operator 7, Conv, has group 2; expected 1."


def test_a_file_without_operators_is_refused(tmp_path):
    changed = Changed()
    del changed.proto.graph.node[:]
    (tmp_path / "model.onnx").write_bytes(changed.proto.SerializeToString())
    with pytest.raises(WeightsError, match="it has no operators"):
        from_onnx(tmp_path / "model.onnx")


def test_the_work_for_a_graph_is_limited():
    """It grows with operators times outputs: a file of a megabyte would need more memory than there is."""
    changed = Changed()
    count = len(changed.proto.graph.node)
    changed.proto.graph.output.extend(
        [changed.proto.graph.output[0]] * (1001 - count - len(changed.proto.graph.output))
    )
    assert "has 1,001 operators and outputs; expected at most 1,000" in changed.refusal()
