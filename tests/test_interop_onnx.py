"""ONNX models out and in: against onnxruntime, OpenVINO and PyTorch, and against files that are no LeNet-5."""

import copy
import warnings

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, WeightsError
from lenet.interop import from_onnx, to_onnx

onnx = pytest.importorskip("onnx")

from onnx import helper, numpy_helper  # noqa: E402

MODEL = lenet.load_pretrained("mnist")
RANDOM = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)


def as_input(images, pixels):
    images = images[:, np.newaxis]
    return images if pixels == "uint8" else (images / 255).astype(np.float32)


def same(a, b):
    """Whether two models are the same in all that a file holds."""
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
    assert known["test_accuracy"] == "0.9939"
    assert float(known["mean"]) == MODEL.mean
    assert "28x28 pixels, float32 from 0, background, to 1, ink" in known["input"]


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
    session = runtime.InferenceSession(to_onnx(MODEL, pixels=pixels).SerializeToString())
    label, probabilities = session.run(None, {"images": as_input(images, pixels)})
    np.testing.assert_array_equal(label, MODEL.predict(images))
    np.testing.assert_allclose(probabilities, MODEL.predict_proba(images), atol=1e-5)
    assert label.shape == (count,)


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_openvino_reads_the_same(request, pixels, tmp_path):
    openvino = pytest.importorskip("openvino")
    images = request.getfixturevalue("mnist").X_test
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(MODEL, pixels=pixels).SerializeToString())
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outcome = compiled(as_input(images, pixels))
    np.testing.assert_array_equal(outcome["label"], MODEL.predict(images))
    np.testing.assert_allclose(outcome["probabilities"], MODEL.predict_proba(images), atol=1e-5)


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


def test_pixels_of_an_unknown_kind_are_refused():
    with pytest.raises(InputError, match="pixels is 'int8'; wanted: float32 or uint8"):
        to_onnx(MODEL, pixels="int8")


# ---- reading our own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_there_and_back_to_the_bit(pixels, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(MODEL, pixels=pixels).SerializeToString())
    assert same(from_onnx(path), MODEL)
    assert same(from_onnx(str(path)), MODEL)
    plain = lenet.LeNet5(seed=3, num_classes=2)
    assert same(from_onnx(to_onnx(plain, pixels=pixels)), plain)


def test_scaling_by_other_operators():
    """x / 0.5 + 1 - 2, as an exporter may write it, is (x - 0.5) / 0.5."""
    model = to_onnx(MODEL)
    del model.graph.node[:2]  # its own
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.float32), name) for name, value in (("h", 0.5), ("o", 1), ("t", 2))
    )
    for place, (kind, inputs, output) in enumerate(
        [("Div", ["images", "h"], "a"), ("Add", ["o", "a"], "b"), ("Sub", ["b", "t"], "input")]
    ):
        model.graph.node.insert(place, helper.make_node(kind, inputs, [output]))
    onnx.checker.check_model(model, full_check=True)
    read = from_onnx(model)
    assert (read.mean, read.std) == (0.5, 0.5)


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


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", ["dense", "convolution", "module"])
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


def test_weights_beside_the_file_are_refused(tmp_path):
    export(torch_model("dense"), tmp_path / "twin.onnx", True, external_data=True)
    model = onnx.load(tmp_path / "twin.onnx")
    onnx.save(model, tmp_path / "outside.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(WeightsError, match="keeps its weights in another file"):
        from_onnx(tmp_path / "outside.onnx")


# ---- what is no LeNet-5 --------------------------------------------------------------------------------


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


CHANGES = {
    "relu": (lambda m, n: setattr(n["c1.Sigmoid"], "op_type", "Relu"), "it computes Conv, Relu, AveragePool"),
    "max pooling": (lambda m, n: setattr(n["s2.AvgPool2d"], "op_type", "MaxPool"), "Conv, Sigmoid, MaxPool, Conv"),
    "stride": (
        lambda m, n: set_attribute(n["c3.Conv2d"], "strides", [2, 2]),
        "has strides [2, 2], and LeNet-5 has [1, 1]",
    ),
    "no padding": (
        lambda m, n: set_attribute(n["c1.Conv2d"], "pads", [0] * 4),
        "operator 1, Conv, has pads [0, 0, 0, 0]",
    ),
    "padding": (lambda m, n: set_attribute(n["c3.Conv2d"], "pads", [2] * 4), "operator 4, Conv, has pads [2, 2, 2, 2]"),
    "valid": (
        lambda m, n: (n["c1.Conv2d"].attribute.pop(), set_attribute(n["c1.Conv2d"], "auto_pad", "VALID")),
        "has pads [0, 0, 0, 0], and LeNet-5 has [2, 2, 2, 2]",
    ),
    "groups": (lambda m, n: set_attribute(n["c3.Conv2d"], "group", 2), "has group 2"),
    "pool of 3": (lambda m, n: set_attribute(n["s4.AvgPool2d"], "kernel_shape", [3, 3]), "has kernel_shape [3, 3]"),
    "alpha": (lambda m, n: set_attribute(n["f6.Linear"], "alpha", 0.5), "has alpha 0.5, and LeNet-5 has 1.0"),
    "flattened otherwise": (lambda m, n: set_attribute(n["c5.Flatten"], "axis", 2), "has axis 2"),
    "own operators": (lambda m, n: setattr(n["c5.Sigmoid"], "domain", "com.example"), "operators of its own, Sigmoid"),
    "function": (
        lambda m, n: m.functions.append(
            helper.make_function("com.example", "Twice", ["a"], ["b"], [], [helper.make_opsetid("", 13)])
        ),
        "operators of its own, Twice",
    ),
    "inverted": (lambda m, n: replace_constant(m, "scale", np.array(-3, np.float32)), "scales its pixels by -3.0"),
    "a scale a pixel": (
        lambda m, n: replace_constant(m, "mean", np.zeros((28, 28), np.float32)),
        "more than one number",
    ),
    "shape": (
        lambda m, n: replace_constant(m, "c3.weight", np.zeros((16, 5, 5, 5), np.float32)),
        "c3.weight is float32",
    ),
    "one class": (
        lambda m, n: (
            replace_constant(m, "output.weight", np.zeros((1, 84), np.float32)),
            replace_constant(m, "output.bias", np.zeros(1, np.float32)),
        ),
        "has 1 classes",
    ),
    "NaN": (lambda m, n: replace_constant(m, "f6.bias", np.full(84, np.nan, np.float32)), "not finite"),
    "two inputs": (
        lambda m, n: m.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1])),
        "has 2 inputs, and one is wanted",
    ),
    "another size": (
        lambda m, n: setattr(m.graph.input[0].type.tensor_type.shape.dim[3], "dim_value", 32),
        "an input of shape [0, 1, 28, 32]",
    ),
    "of integers": (
        lambda m, n: setattr(m.graph.input[0].type.tensor_type, "elem_type", onnx.TensorProto.INT64),
        "ONNX type 7; wanted: floats or uint8",
    ),
    "computed weight": (
        lambda m, n: (
            n["f6.Linear"].input.__setitem__(1, "computed"),
            m.graph.node.append(helper.make_node("Abs", ["f6.weight"], ["computed"])),
        ),
        "f6's weight is computed",
    ),
    "more behind": (
        lambda m, n: m.graph.node.append(helper.make_node("Relu", ["output.Linear"], ["more"])),
        "Gemm, ArgMax, Relu, Softmax; wanted is LeNet-5",
    ),
    "cut short": (lambda m, n: m.graph.node.remove(n["output.Linear"]), "Sigmoid, Gemm, Sigmoid; wanted is LeNet-5"),
    "outside": (
        lambda m, n: onnx.external_data_helper.set_external_data(m.graph.initializer[3], "weights.bin"),
        "keeps its weights in another file",
    ),
    "damaged numbers": (lambda m, n: setattr(m.graph.initializer[3], "raw_data", b"123"), "cannot be read"),
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
    with pytest.raises(WeightsError, match="damaged or no ONNX model"):
        from_onnx(tmp_path / "model.onnx")


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"PK\x03\x04 no such thing")
    with pytest.raises(WeightsError, match="damaged or no ONNX model"):
        from_onnx(tmp_path / "model.onnx")
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(WeightsError, match="more than the 67,108,864"):
        from_onnx(tmp_path / "large.onnx")
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")
