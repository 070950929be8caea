"""ONNX export and import: against onnxruntime, OpenVINO and PyTorch, and with files of other networks."""

import copy
import json
import warnings

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, WeightsError
from lenet.interop import from_onnx, to_onnx

pytestmark = pytest.mark.landing
onnx = pytest.importorskip("onnx")

from onnx import helper, numpy_helper  # noqa: E402

SHIPPED = lenet.load_pretrained("mnist")  # standardises each image by its own mean
MODEL = copy.deepcopy(SHIPPED)
MODEL.mean, MODEL.std = 0.13066, 0.30811
RANDOM = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)


def as_input(images, pixels):
    images = images[:, np.newaxis]
    return images if pixels == "uint8" else (images / 255).astype(np.float32)


def same(a, b):
    """Whether two models agree in everything that a file stores."""
    facts = [(each.mean, each.std, each.metadata, each.num_classes) for each in (a, b)]
    return facts[0] == facts[1] and np.array_equal(a.parameters.flat, b.parameters.flat)


# ---- writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_the_checker_of_onnx_passes(pixels):
    model = to_onnx(MODEL, pixels=pixels)
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    assert model.ir_version == 8
    assert [each.name for each in model.graph.output] == ["label", "probabilities"]
    (images,) = model.graph.input
    assert [each.dim_param or each.dim_value for each in images.type.tensor_type.shape.dim] == ["n", 1, 28, 28]
    wanted = onnx.TensorProto.UINT8 if pixels == "uint8" else onnx.TensorProto.FLOAT
    assert images.type.tensor_type.elem_type == wanted


def test_the_metadata_are_those_of_the_model():
    known = {each.key: each.value for each in to_onnx(MODEL).metadata_props}
    assert MODEL.metadata.items() <= known.items()
    assert float(known["mean"]) == MODEL.mean
    assert "28x28 pixels, float32 from 0, background, to 1, ink" in known["input"]


def test_the_class_names_round_trip(tmp_path):
    model = lenet.LeNet5(seed=0, num_classes=3)
    model.classes = names = ("circle", 'a "quoted" name', "Dreieck \u25b3")
    onnx.save(to_onnx(model), tmp_path / "model.onnx")
    known = {each.key: each.value for each in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(known["classes"]) == list(names)
    assert from_onnx(tmp_path / "model.onnx").classes == names


def test_the_minimum_digit_score_of_an_earlier_version_is_converted():
    proto = to_onnx(lenet.LeNet5(seed=0))
    proto.metadata_props.add(key="least_digit_score", value="0.21166")
    known = from_onnx(proto).metadata
    assert (round(float(known["min_digit_score"]), 3), "least_digit_score" in known) == (0.476, False)


def test_a_model_with_metadata_that_files_reserve_can_be_saved(tmp_path):
    proto = to_onnx(MODEL)
    for key in ("format", "network", "steps", "lenet_sha256"):
        proto.metadata_props.add(key=key, value="another program's")
    from_onnx(proto).save(tmp_path / "model.safetensors")
    assert same(lenet.load(tmp_path / "model.safetensors"), MODEL)


def test_the_same_model_makes_the_same_bytes():
    again = copy.deepcopy(MODEL)
    again.metadata = dict(reversed(MODEL.metadata.items()))
    one, two = (to_onnx(each).SerializeToString(deterministic=True) for each in (MODEL, again))
    assert one == two


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize("count", [1, 10_000])
def test_onnxruntime_reads_the_same(request, pixels, count):
    runtime = pytest.importorskip("onnxruntime")
    images = request.getfixturevalue("mnist").X_test if count > 1 else RANDOM[:1]
    session = runtime.InferenceSession(to_onnx(SHIPPED, pixels=pixels).SerializeToString())
    label, probabilities = session.run(None, {"images": as_input(images, pixels)})
    np.testing.assert_array_equal(label, SHIPPED.predict(images))
    np.testing.assert_allclose(probabilities, SHIPPED.predict_proba(images), atol=1e-5)
    assert label.shape == (count,)


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_openvino_reads_the_same(request, pixels, tmp_path):
    openvino = pytest.importorskip("openvino")
    images = request.getfixturevalue("mnist").X_test
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(SHIPPED, pixels=pixels).SerializeToString())
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outcome = compiled(as_input(images, pixels))
    np.testing.assert_array_equal(outcome["label"], SHIPPED.predict(images))
    np.testing.assert_allclose(outcome["probabilities"], SHIPPED.predict_proba(images), atol=1e-5)


@pytest.mark.parametrize(("dtype", "num_classes"), [("float64", 10), ("float32", 2), ("float32", 26)])
def test_other_models_too(dtype, num_classes):
    runtime = pytest.importorskip("onnxruntime")
    model = lenet.LeNet5(seed=1, dtype=dtype, num_classes=num_classes)
    model.mean, model.std = 0.2, 0.4
    label, probabilities = runtime.InferenceSession(to_onnx(model).SerializeToString()).run(
        None, {"images": as_input(RANDOM, "float32")}
    )
    np.testing.assert_array_equal(label, model.predict(RANDOM))
    np.testing.assert_allclose(probabilities, model.predict_proba(RANDOM), atol=1e-5)


def standardising():
    model = copy.deepcopy(MODEL)
    model.mean = None
    return model


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_model_that_standardises_each_image(pixels, runtime, tmp_path):
    """Also brighter images of half the contrast."""
    library, model = pytest.importorskip(runtime), standardising()
    images = np.concatenate([RANDOM, 100 + RANDOM // 2])
    proto, x = to_onnx(model, pixels=pixels), as_input(images, pixels)
    if runtime == "onnxruntime":
        label, probabilities = library.InferenceSession(proto.SerializeToString()).run(None, {"images": x})
    else:
        onnx.save(proto, tmp_path / "model.onnx")
        outcome = library.compile_model(tmp_path / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)
        label, probabilities = outcome["label"], outcome["probabilities"]
    np.testing.assert_array_equal(label, model.predict(images))
    np.testing.assert_allclose(probabilities, model.predict_proba(images), atol=1e-5)


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_a_model_that_standardises_each_image_round_trips(pixels):
    assert same(from_onnx(to_onnx(standardising(), pixels=pixels)), standardising())


def test_numbers_that_overflow_float32_are_refused():
    model = lenet.LeNet5(seed=0, dtype="float64")
    model.parameters["f6.bias"][3] = 1e39
    with pytest.raises(InputError, match=r"f6\.bias contains numbers that are not finite in float32"):
        to_onnx(model)


def test_only_a_model_is_written():
    with pytest.raises(lenet.errors.InputTypeError, match="model is of type str; expected a LeNet5"):
        to_onnx("mnist")
    with pytest.raises(lenet.errors.InputTypeError, match="Pass its attribute model_"):
        to_onnx(lenet.LeNetClassifier.from_pretrained("mnist"))


def test_a_layer_without_an_operator_is_refused():
    class Square(lenet.layers.Layer):
        def forward(self, x):
            raise NotImplementedError

    model = copy.deepcopy(MODEL)
    model._stages = (*model.stages, ("squared", (Square(),)))
    with pytest.raises(NotImplementedError, match="Square"):
        to_onnx(model)


def test_pixels_of_an_unknown_kind_are_refused():
    with pytest.raises(InputError, match="pixels is 'int8'; expected float32 or uint8"):
        to_onnx(MODEL, pixels="int8")


# ---- reading our own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_a_round_trip_is_bit_identical(pixels, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(MODEL, pixels=pixels).SerializeToString())
    assert same(from_onnx(path), MODEL)
    assert same(from_onnx(str(path)), MODEL)
    plain = lenet.LeNet5(seed=3, num_classes=2)
    assert same(from_onnx(to_onnx(plain, pixels=pixels)), plain)


def test_harmless_additions():
    """Additions that exporters write and that do not change the result."""
    model = to_onnx(MODEL)
    nodes = {node.name: node for node in model.graph.node}
    matrix_product(model, nodes, "f6.bias")
    before(model, nodes["c3.Conv2d"], "Cast", to=onnx.TensorProto.DOUBLE)
    before(model, nodes["c3.Conv2d"], "Cast", to=onnx.TensorProto.FLOAT)
    before(model, nodes["output.Linear"], "Dropout", add_constant(model, "ratio", np.float32(0.5)))
    before(model, nodes["label"], "Softmax", axis=-1)
    before(model, nodes["probabilities"], "Identity")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["one"], value_float=1.0))
    before(model, nodes["input"], "Mul", first="one")
    model.graph.node.insert(0, helper.make_node("Identity", ["f6.bias"], ["again"]))
    next(node for node in model.graph.node if node.op_type == "Add").input[1] = "again"
    model.graph.node.append(helper.make_node("Neg", ["output.Linear"], ["unused"]))
    onnx.checker.check_model(model, full_check=True)
    assert same(from_onnx(model), MODEL)


def test_no_bias():
    model = to_onnx(MODEL)
    next(node for node in model.graph.node if node.name == "c1.Conv2d").input[2] = ""
    assert not from_onnx(model).state_dict()["c1.bias"].any()


# ---- reading PyTorch's ---------------------------------------------------------------------------------


def torch_model(kind):
    torch = pytest.importorskip("torch")
    from torch import nn

    torch.manual_seed(0)
    front = [nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2)]
    middle = [nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2)]
    back = [nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)]
    if kind == "dense":
        return nn.Sequential(*front, *middle, nn.Flatten(), nn.Linear(400, 120), *back)
    if kind == "convolution":
        return nn.Sequential(*front, *middle, nn.Conv2d(16, 120, 5), nn.Flatten(), *back, nn.Softmax(1))

    class Net(nn.Module):
        """With names, a scaling, a view and functions, as tutorials write it."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding="same"), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            x = (x - 0.1307) / 0.3081
            x = nn.functional.avg_pool2d(torch.sigmoid(self.conv1(x)), 2)
            x = nn.functional.avg_pool2d(torch.sigmoid(self.conv2(x)), 2)
            x = torch.sigmoid(self.fc1(x.view(x.size(0), -1)))
            x = self.dropout(torch.sigmoid(self.fc2(x)))
            return torch.log_softmax(self.fc3(x), 1)

    return Net()


def export(model, path, dynamo, **options):
    import torch

    if dynamo:
        pytest.importorskip("onnxscript")
        options = {"dynamic_shapes": ({0: torch.export.Dim("n")},), "external_data": False, "verbose": False, **options}
    else:
        options = {"dynamic_axes": {"x": {0: "n"}}, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, 1, 28, 28),)
        torch.onnx.export(model.eval(), example, path, dynamo=dynamo, input_names=["x"], **options)


@pytest.mark.parametrize(
    ("kind", "dynamo"),
    [
        ("dense", False),
        ("dense", True),
        ("convolution", False),
        pytest.param("convolution", True, marks=pytest.mark.release),
        pytest.param("module", False, marks=pytest.mark.release),
        pytest.param("module", True, marks=pytest.mark.release),
    ],
)
def test_a_model_from_pytorchs_exporter(kind, dynamo, tmp_path):
    twin = torch_model(kind)
    import torch

    export(twin, tmp_path / "twin.onnx", dynamo)
    model = from_onnx(tmp_path / "twin.onnx")
    x = as_input(RANDOM, "float32")
    with torch.no_grad():
        expected = twin(torch.from_numpy(x))
    expected = expected if kind == "convolution" else expected.softmax(1)
    np.testing.assert_allclose(model.predict_proba(x), expected.numpy(), atol=1e-6)


def test_external_weights_are_refused(tmp_path):
    export(torch_model("dense"), tmp_path / "twin.onnx", True, external_data=True)
    model = onnx.load(tmp_path / "twin.onnx")
    onnx.save(model, tmp_path / "outside.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(WeightsError, match="keeps its weights in another file"):
        from_onnx(tmp_path / "outside.onnx")


# ---- other networks ------------------------------------------------------------------------------------


def changed(change):
    """Our model, after a change to its graph."""
    model = to_onnx(MODEL)
    change(model, {node.name: node for node in model.graph.node})
    return model


def set_attribute(node, name, value):
    for place, attribute in enumerate(node.attribute):
        if attribute.name == name:
            del node.attribute[place]
            break
    node.attribute.append(helper.make_attribute(name, value))


def replace_constant(model, name, value):
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))


def before(model, consumer, kind, *others, first=None, **attributes):
    """Put an operator before another one, on its first input."""
    name = f"new {kind} {len(model.graph.node)}"
    inputs = [consumer.input[0], *others] if first is None else [first, consumer.input[0]]
    consumer.input[0] = name
    place = next(place for place, node in enumerate(model.graph.node) if node.name == consumer.name)
    model.graph.node.insert(place, helper.make_node(kind, inputs, [name], name=name, **attributes))


def add_constant(model, name, value):
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def of_bytes(model, nodes):
    """Make the input bytes, divided as bytes."""
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    before(model, nodes["centred"], "Cast", to=onnx.TensorProto.FLOAT)
    before(model, model.graph.node[0], "Div", add_constant(model, "byte", np.uint8(255)))


def matrix_product(model, nodes, bias):
    """Write F6 as a MatMul and an Add."""
    weight = next(each for each in model.graph.initializer if each.name == "f6.weight")
    replace_constant(model, "f6.weight", numpy_helper.to_array(weight).T.copy())
    dense = nodes["f6.Linear"]
    x = dense.input[0]
    dense.CopyFrom(helper.make_node("Add", ["product", bias or "product"], ["f6.Linear"], name="f6.Linear"))
    place = next(place for place, node in enumerate(model.graph.node) if node.name == "f6.Linear")
    model.graph.node.insert(place, helper.make_node("MatMul", [x, "f6.weight"], ["product"]))


FIRST_FORMAT = onnx.ModelProto(ir_version=2, graph=helper.make_graph(
    [helper.make_node("Sigmoid", ["images"], ["y"])], "first",
    *([helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 1, 28, 28])] for name in ("images", "y")),
))  # fmt: skip

CHANGES = {
    "relu": (lambda m, n: setattr(n["c1.Sigmoid"], "op_type", "Relu"), "it computes Conv, Relu, AveragePool"),
    "pool of 3": (lambda m, n: set_attribute(n["s4.AvgPool2d"], "kernel_shape", [3, 3]), "has kernel_shape [3, 3]"),
    "shape": (
        lambda m, n: replace_constant(m, "c3.weight", np.zeros((16, 5, 5, 5), np.float32)),
        "c3.weight has dtype float32",
    ),
    "NaN": (lambda m, n: replace_constant(m, "f6.bias", np.full(84, np.nan, np.float32)), "not finite"),
    "two inputs": (
        lambda m, n: m.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1])),
        "has 2 inputs; expected one",
    ),
    "computed weight": (
        lambda m, n: (
            n["f6.Linear"].input.__setitem__(1, "computed"),
            m.graph.node.insert(0, helper.make_node("Abs", ["f6.weight"], ["computed"])),
        ),
        "f6's weight is computed",
    ),
    "F6 as output": (
        lambda m, n: m.graph.output.append(
            helper.make_tensor_value_info("f6.Linear", onnx.TensorProto.FLOAT, ["n", 84])
        ),
        "are not computed from the same logits",
    ),
    "constant output": (
        lambda m, n: m.graph.output.append(helper.make_tensor_value_info("f6.bias", onnx.TensorProto.FLOAT, [84])),
        "f6.bias is not computed from the images",
    ),
    "cut short": (
        lambda m, n: (
            [n[each].input.__setitem__(0, "f6.Sigmoid") for each in ("label", "probabilities")],
            m.graph.node.remove(n["output.Linear"]),
        ),
        "it ends in Sigmoid, ArgMax after the last dense layer",
    ),
    "whole numbers between": (
        lambda m, n: before(m, n["f6.Linear"], "Cast", to=onnx.TensorProto.INT32),
        "it casts values to ONNX type 6",
    ),
    "bytes divided": (of_bytes, "it computes on bytes without casting them to floats"),
    "product of the sum": (lambda m, n: matrix_product(m, n, None), "f6's bias is computed"),
    "a column of biases": (
        lambda m, n: (replace_constant(m, "f6.bias", np.zeros((84, 1), np.float32)), matrix_product(m, n, "f6.bias")),
        "f6.bias has dtype float32 and shape (84, 1)",
    ),
    "scale of text": (
        lambda m, n: replace_constant(m, "scale", np.array("three", object)),
        "the scale of its pixels is",
    ),
    "no number": (lambda m, n: replace_constant(m, "mean", np.array(np.nan, np.float32)), "or not finite"),
    "weights of integers": (
        lambda m, n: replace_constant(m, "f6.bias", np.zeros(84, np.int64)),
        "f6's bias is int64",
    ),
    "weight without shape": (
        lambda m, n: (
            replace_constant(m, "output.weight", np.array(1, np.float32)),
            replace_constant(m, "output.bias", np.array(1, np.float32)),
        ),
        "has 1 classes",
    ),
    "a name twice": (
        lambda m, n: add_constant(m, "f6.bias", np.zeros(84, np.float32)),
        "several weights have the same name",
    ),
    "no opset": (lambda m, n: m.opset_import.pop(), "damaged or is not an ONNX model"),
    "kinds confused": (lambda m, n: set_attribute(n["c1.Conv2d"], "auto_pad", 1), "damaged or is not an ONNX model"),
    "reference": (
        lambda m, n: setattr(n["c1.Conv2d"].attribute[0], "ref_attr_name", "other"),
        "an attribute without a value",
    ),
    "empty constant": (
        lambda m, n: m.graph.node.insert(0, helper.make_node("Constant", [], [])),
        "damaged or is not an ONNX model",
    ),
    "constant without a value": (
        lambda m, n: m.graph.node.insert(0, helper.make_node("Constant", [], ["unused"])),
        "damaged or is not an ONNX model",
    ),
    "format without opsets": (lambda m, n: m.CopyFrom(FIRST_FORMAT), "has opset 1; expected 7 to"),
    "circle": (lambda m, n: n["f6.Sigmoid"].input.__setitem__(0, "f6.Sigmoid"), "topologically sorted"),
    "no outputs": (lambda m, n: m.graph.ClearField("output"), "it has no outputs"),
    "damaged numbers": (
        lambda m, n: setattr(m.graph.initializer[3], "raw_data", b"123"),
        "damaged or is not an ONNX model (TensorProto",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_network_is_refused(change, tmp_path):
    alter, says = CHANGES[change]
    model = changed(alter)
    with pytest.raises(WeightsError) as error:
        from_onnx(model)
    assert says in str(error.value)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError) as error:
        from_onnx(tmp_path / "model.onnx")
    assert str(error.value).startswith(str(tmp_path / "model.onnx"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, 200_000])
def test_a_truncated_file_is_refused(keep, tmp_path):
    (tmp_path / "model.onnx").write_bytes(to_onnx(MODEL).SerializeToString()[:keep])
    with pytest.raises(WeightsError, match="damaged or is not an ONNX model" if keep else "is empty"):
        from_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", [b"images", b"c3.weight", b"Sigmoid", b"LeNet-5", b"temperature"])
def test_invalid_texts_are_refused(name, tmp_path):
    content = to_onnx(MODEL).SerializeToString()
    assert name in content
    (tmp_path / "model.onnx").write_bytes(content.replace(name, b"\xff" * len(name)))
    with pytest.raises(WeightsError, match="it has strings that are not UTF-8"):
        from_onnx(tmp_path / "model.onnx")


def test_files_of_other_kinds(tmp_path):
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(WeightsError, match="expected at most 67,108,864 bytes"):
        from_onnx(tmp_path / "large.onnx")
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")


@pytest.mark.parametrize("size", [4, 7, 9, 12])
def test_unused_weights_of_another_size_than_their_shape_are_damage(size):
    model = to_onnx(MODEL)
    two = onnx.TensorProto(data_type=onnx.TensorProto.FLOAT, dims=[2], raw_data=bytes(size))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=two))
    with pytest.raises(WeightsError, match="damaged or is not an ONNX model"):
        from_onnx(model)
