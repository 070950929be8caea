"""Which ONNX graphs are a LeNet-5: operators and attributes at, below and above each limit of the specification."""

import numpy as np
import pytest

import lenet
from lenet.errors import WeightsError
from lenet.interop import from_onnx, onnx_reader, to_onnx

pytestmark = pytest.mark.landing
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

MODEL = lenet.LeNet5(seed=0)
MODEL.mean, MODEL.std = 0.25, 0.5  # exact in float32
OF_EACH_IMAGE = lenet.LeNet5(seed=0)
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

    def before(self, consumer, kind, *others, place=0, **attributes):
        """Insert an operator before another one, on one of its inputs."""
        node, name = self.nodes[consumer], f"{kind} {len(self.proto.graph.node)}"
        new = helper.make_node(kind, [node.input[place], *others], [name], name=name, **attributes)
        node.input[place] = name
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
    ("node", "attribute"),
    [("c3.Conv2d", "pads"), ("c1.Conv2d", "kernel_shape"), ("c5.Flatten", "axis"), ("probabilities", "axis")],
)
def test_absent_attributes_have_the_values_of_the_specification(node, attribute):
    assert_read(Changed().set(node, **{attribute: None}))


@pytest.mark.parametrize("node", ["label", "probabilities"])
def test_the_last_of_two_axes_may_be_counted_from_the_end(node):
    assert_read(Changed().set(node, axis=-1))
    assert "has axis -2; expected 1" in Changed().set(node, axis=-2).refusal()


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


# ---- the scaling of the pixels -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operators", "mean", "std"),
    [
        ([("Sub", 0.5), ("Div", 0.25)], 0.5, 0.25),
        ([("Add", 0.5), ("Mul", 4.0)], -0.5, 0.25),
        ([("Mul", 4.0), ("Sub", 2.0)], 0.5, 0.25),
        ([("Div", 0.25), ("Add", 1.0), ("Mul", 2.0), ("Sub", 4.0)], 0.25, 0.125),  # 8 x - 2
    ],
)
def test_a_scaling_by_any_operators(operators, mean, std):
    model = Changed().scaled(*((kind, np.float32(number)) for kind, number in operators)).read()
    assert (model.mean, model.std) == (mean, std)


def test_numbers_come_first_only_in_sums_and_products():
    changed = Changed().scaled(("Add", np.float32(0.5)), ("Mul", np.float32(4)))
    for node in changed.proto.graph.node[:2]:
        node.input[:] = reversed(node.input)
    assert (changed.read().mean, changed.read().std) == (-0.5, 0.25)
    changed.proto.graph.node[1].op_type = "Div"
    assert "number 1 is not computed from the images" in changed.refusal()


@pytest.mark.parametrize(("axes", "accepted"), [(0, True), (4, True), (5, False)])
def test_a_scale_may_have_as_many_axes_as_the_images(axes, accepted):
    changed = Changed().scaled(("Mul", np.full((1,) * axes, 2, np.float32)))
    if accepted:
        assert (changed.read().mean, changed.read().std) == (0, 0.5)
    else:
        assert "does not scale its pixels by one number" in changed.refusal()


@pytest.mark.parametrize(
    ("operators", "refusal"),
    [
        ([("Mul", np.float32(0))], "scales its pixels by 0.0; expected a positive number"),
        ([("Div", np.float32(0))], "scales its pixels by 0.0; expected a positive number"),
        ([("Div", np.float32(-2))], "scales its pixels by -2.0; expected a positive number"),
        ([("Mul", np.float32([2, 2]))], "does not scale its pixels by one number"),
        ([("Mul", np.int64(2))], "is int64 or not finite; expected finite floats"),
        ([("Mul", 1e200)] * 2, "scales its pixels by numbers that overflow"),
        ([("Mul", 1e-200)] * 2, "scales its pixels by numbers that overflow"),
    ],
)
def test_other_scales_are_refused(operators, refusal):
    assert refusal in Changed().scaled(*operators).refusal()


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ("0.2500012", "0.5", (0.2500012, 0.5)),  # within 1e-6 (1 + 0.25)
        ("0.2500013", "0.5", (0.25, 0.5)),
        ("0.25", "0.5000014", (0.25, 0.5000014)),
        ("0.25", "0.5000016", (0.25, 0.5)),
        ("0.24999876", "0.4999986", (0.24999876, 0.4999986)),
        ("a quarter", "0.5", (0.25, 0.5)),
        ("nan", "nan", (0.25, 0.5)),
    ],
)
def test_the_text_gives_the_scaling_in_more_digits_if_it_agrees(pixels, mean, std, expected):
    changed = Changed(pixels=pixels)
    for each in changed.proto.metadata_props:
        each.value = {"mean": mean, "std": std}.get(each.key, each.value)
    model = changed.read()
    assert (model.mean, model.std) == pytest.approx(expected, rel=1e-7)
    assert not {"mean", "std", "input", "architecture", "num_classes"} & model.metadata.keys()


# ---- the standardisation of each image -----------------------------------------------------------------


def with_layer_norm(shift=None, scale=1.0, **attributes):
    changed = Changed(OF_EACH_IMAGE)
    changed.proto.opset_import[0].version = 17
    inputs = ["images", changed.constant("ones", np.full((1, 28, 28), scale, np.float32))]
    if shift is not None:
        inputs.append(changed.constant("zeros", np.full((1, 28, 28), shift, np.float32)))
    changed.nodes["input"].CopyFrom(helper.make_node("LayerNormalization", inputs, ["input"], **attributes))
    return changed


@pytest.mark.parametrize("axis", [1, 2, -3, -2])
@pytest.mark.parametrize("shift", [None, 0.0])
def test_a_layer_norm_over_the_rows_and_columns_standardises_each_image(axis, shift):
    assert_read(with_layer_norm(shift, axis=axis, epsilon=1e-5), OF_EACH_IMAGE)
    assert_read(with_layer_norm(shift, axis=axis), OF_EACH_IMAGE)  # the specification's epsilon


@pytest.mark.parametrize(
    "options",
    [
        {"axis": 0}, {"axis": 3}, {"axis": -1}, {"axis": -4}, {}, {"axis": 1, "epsilon": 1.1e-5},
        {"axis": 1, "epsilon": 0.9e-5}, {"axis": 1, "shift": 0.5}, {"axis": 1, "scale": 2.0},
    ],
)  # fmt: skip
def test_other_layer_norms_are_refused(options):
    assert "it standardises its images differently" in with_layer_norm(**options).refusal()


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (2, 0), (1, 1), (2, 1)])
def test_a_standardisation_neither_scales_nor_shifts(scale, shift):
    changed = Changed(OF_EACH_IMAGE)
    changed.constant("scale", np.full(1, scale, np.float32))
    changed.constant("shift", np.full(1, shift, np.float32))
    if (scale, shift) == (1, 0):
        assert_read(changed, OF_EACH_IMAGE)
    else:
        assert "it standardises its images differently" in changed.refusal()


def test_bytes_are_divided_before_they_are_standardised():
    changed = Changed(OF_EACH_IMAGE, "uint8")
    changed.constant("one_byte", np.float32(1))
    assert "expected pixels in [0, 1] and 1e-05" in changed.refusal()


def test_nothing_is_scaled_after_the_standardisation():
    changed = Changed(OF_EACH_IMAGE)
    changed.before("c1.Conv2d", "Mul", changed.constant("one", np.float32(1)))
    assert "it scales its pixels after it has standardised each image" in changed.refusal()


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


def test_the_number_of_classes_is_limited(monkeypatch):
    monkeypatch.setattr(onnx_reader, "MAX_CLASSES", 10)
    assert_read(Changed())
    monkeypatch.setattr(onnx_reader, "MAX_CLASSES", 9)
    assert "has 10 classes; expected 2 to 9" in Changed().refusal()


def test_weights_whose_sums_overflow_are_refused():
    changed = Changed()
    changed.constant("c3.weight", np.full((16, 6, 5, 5), 3e38, np.float32))
    assert "The weights of c3 are too large" in changed.refusal()


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
        (lambda c: bias(c).external_data.add(key="location", value="x"), "keeps its weights in another file"),
        (lambda c: c.proto.graph.sparse_initializer.add(), "has sparse weights; expected dense ones"),
        (lambda c: c.proto.training_info.add(), "has conditions, loops or training steps"),
        (lambda c: c.set("c1.Sigmoid", parts=[c.proto.graph]), "has conditions, loops or training steps"),
        (lambda c: c.set("c1.Sigmoid", part=c.proto.graph), "has conditions, loops or training steps"),
    ],
)
def test_what_a_file_may_not_contain(change, refusal):
    changed = Changed()
    change(changed)
    assert refusal in changed.refusal()


def test_a_file_without_operators_is_refused(tmp_path):
    changed = Changed()
    del changed.proto.graph.node[:]
    (tmp_path / "model.onnx").write_bytes(changed.proto.SerializeToString())
    with pytest.raises(WeightsError, match="it has no operators"):
        from_onnx(tmp_path / "model.onnx")
