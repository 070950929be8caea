"""PyTorch weights, imported and exported, against PyTorch's forward pass; other files are rejected."""

import os
import pickle

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, WeightsError
from lenet.interop import from_torch, to_torch_state_dict

pytestmark = pytest.mark.landing
torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

IMAGES = np.random.default_rng(0).random((20, 28, 28)).astype(np.float32)


def sequential(dense=True, num_classes=10):
    torch.manual_seed(1)
    c5 = [nn.Flatten(), nn.Linear(400, 120)] if dense else [nn.Conv2d(16, 120, 5), nn.Flatten()]
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
        nn.AvgPool2d(2), *c5, nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, num_classes),
    )  # fmt: skip


def probabilities(module, images=IMAGES):
    with torch.no_grad():
        return module.eval()(torch.from_numpy(images[:, np.newaxis])).softmax(1).numpy()


def assert_twins(module, model):
    np.testing.assert_allclose(model.predict_proba(IMAGES), probabilities(module), atol=1e-6)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("num_classes", [2, 10, 84, 120])
def test_a_state_dict(dense, num_classes):
    module = sequential(dense, num_classes)
    assert_twins(module, from_torch(module.state_dict()))


@pytest.mark.parametrize("prefix", ["module.", "net.0."])
def test_names_do_not_matter(prefix):
    module = sequential()
    state = {f"{prefix}{name}": value for name, value in reversed(module.state_dict().items())}
    assert_twins(module, from_torch(state))


@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict", "model"])
def test_a_pt_file(wrap, tmp_path):
    module = sequential()
    state = module.state_dict()
    torch.save(state if wrap is None else {"epoch": 3, wrap: state, "lr": 0.1}, tmp_path / "weights.pt")
    assert_twins(module, from_torch(tmp_path / "weights.pt"))
    assert_twins(module, from_torch(str(tmp_path / "weights.pt")))


def test_a_safetensors_file(tmp_path):
    from safetensors.torch import save_file

    module = sequential()
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    assert_twins(module, from_torch(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize(
    ("dtype", "ours"), [(torch.float64, "float64"), (torch.float16, "float32"), (torch.bfloat16, "float32")]
)
def test_other_precisions(dtype, ours):
    state = {name: value.to(dtype) for name, value in sequential().state_dict().items()}
    model = from_torch(state)
    assert model.dtype == ours
    np.testing.assert_array_equal(model.parameters["f6.bias"], state["9.bias"].double().numpy())


def standardised(images):
    """Each image as torch.nn.LayerNorm standardises it."""
    pixels = images / 255
    axes = {"axis": (1, 2), "keepdims": True}
    return ((pixels - pixels.mean(**axes)) / np.sqrt(pixels.var(**axes) + 1e-5)).astype(np.float32)


@pytest.mark.parametrize("dense", [False, True])
def test_a_round_trip(dense):
    model = lenet.load_pretrained("mnist")
    module = sequential(dense)
    names = list(module.state_dict())
    state = to_torch_state_dict(model, like=module.state_dict())
    assert list(state) == names
    module.load_state_dict(state)
    images = np.random.default_rng(1).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    scaled = standardised(images)
    np.testing.assert_allclose(probabilities(module, scaled), model.predict_proba(images), atol=1e-5)
    again = from_torch(module.state_dict())
    np.testing.assert_array_equal(again.parameters.flat, model.parameters.flat)


def test_a_module_itself_and_nested_state_dicts():
    module = sequential()
    expected = from_torch(module.state_dict()).parameters.flat
    np.testing.assert_array_equal(from_torch(module).parameters.flat, expected)
    np.testing.assert_array_equal(from_torch({"epoch": 3, "state_dict": module.state_dict()}).parameters.flat, expected)
    assert to_torch_state_dict(from_torch(module), like=module).keys() == module.state_dict().keys()


@pytest.mark.parametrize(
    ("place", "layer", "named"),
    [
        (1, nn.ReLU(), "ReLU; expected Sigmoid."),
        (4, nn.Tanh(), "Tanh; expected Sigmoid."),
        (2, nn.MaxPool2d(2), "MaxPool2d; expected AvgPool2d."),
        (6, nn.Sequential(nn.Upsample(5), nn.Flatten()), "Upsample; expected no such layer."),
        (8, nn.BatchNorm1d(120, affine=False, track_running_stats=False), "BatchNorm1d; expected no such layer."),
        (1, nn.InstanceNorm2d(6), "InstanceNorm2d with num_features=6; expected 1."),
        (1, nn.LayerNorm((6, 28, 28)), "LayerNorm with normalized_shape=(6, 28, 28); expected (1, 28, 28)."),
        (1, nn.LayerNorm((28, 28)), "LayerNorm with normalized_shape=(28, 28); expected (1, 28, 28)."),
        (1, nn.LocalResponseNorm(2), "LocalResponseNorm; expected LayerNorm."),
        (1, nn.GroupNorm(2, 6, affine=False), "GroupNorm with num_channels=6; expected 1."),
        (0, nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(1, 6, 5)), "ReflectionPad2d; expected ZeroPad2d."),
        (2, nn.AvgPool2d(3, stride=2), "AvgPool2d with kernel_size=3; expected 2."),
        (2, nn.AvgPool2d((2, 1), stride=2), "AvgPool2d with kernel_size=(2, 1); expected (2, 2)."),
        (2, nn.AvgPool2d(2, stride=1), "AvgPool2d with stride=1; expected 2."),
        (2, nn.AvgPool2d(2, padding=1), "AvgPool2d with padding=1; expected 0."),
        (2, nn.AvgPool2d(2, divisor_override=3), "AvgPool2d with divisor_override=3; expected None."),
        (0, nn.Conv2d(1, 6, 5, stride=2), "Conv2d with stride=(2, 2); expected (1, 1)."),
        (0, nn.Conv2d(1, 6, 5, dilation=2), "Conv2d with dilation=(2, 2); expected (1, 1)."),
        (0, nn.Conv2d(1, 6, 5, padding=2, padding_mode="reflect"), "Conv2d with padding_mode='reflect'; expected 'z"),
    ],
)
def test_a_module_with_a_layer_that_computes_something_else_is_refused(place, layer, named):
    module = sequential()
    module[place] = layer
    with pytest.raises(WeightsError) as error:
        from_torch(module)
    assert str(error.value).startswith(f"The module has {named}")
    assert str(error.value).endswith("convolutions of stride 1 and 2x2 average pooling, as in LeNet5.")


@pytest.mark.parametrize(
    ("place", "layer"),
    [
        (0, nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(1, 6, 5))),  # for 32x32 pixels without the first
        (0, nn.Sequential(nn.ConstantPad2d(2, 0.0), nn.Conv2d(1, 6, 5))),
        (0, nn.Conv2d(1, 6, 5, padding="same")),
        (3, nn.Conv2d(6, 16, 5, padding_mode="reflect")),  # without padding
        (2, nn.AvgPool2d((2, 2), [2, 2], 0)),
        (11, nn.Sequential(nn.Linear(84, 10), nn.LogSoftmax(1))),
        (1, type("ReLU", (nn.Sigmoid,), {"__module__": "mine.activation"})()),
    ],
)
def test_a_module_with_other_layers_that_compute_the_same_is_accepted(place, layer):
    module = sequential()
    module[place] = layer
    assert_twins(module, from_torch(module))


@pytest.mark.parametrize(
    "norm",
    [nn.LayerNorm((1, 28, 28), elementwise_affine=False), nn.InstanceNorm2d(1), nn.GroupNorm(1, 1, affine=False)],
)
def test_a_module_that_standardises_each_image_first_is_accepted(norm):
    module = nn.Sequential(norm, sequential())
    model = from_torch(module)
    assert (model.mean, model.std) == (None, None)
    assert_twins(module, model)


def test_without_a_module_lenets_names_are_used():
    model = lenet.LeNet5(seed=0)
    state = to_torch_state_dict(model)
    assert {name: tuple(value.shape) for name, value in state.items()} == model.parameters.shapes
    state["c1.bias"][:] = 7  # a copy
    assert not (model.parameters["c1.bias"] == 7).any()


def test_the_same_10_000_predictions(mnist):
    model = lenet.load_pretrained("mnist")
    module = sequential()
    module.load_state_dict(to_torch_state_dict(model, like=module.state_dict()))
    twin = probabilities(module, standardised(mnist.X_test))
    np.testing.assert_array_equal(twin.argmax(axis=1), model.predict(mnist.X_test))
    np.testing.assert_allclose(twin, model.predict_proba(mnist.X_test), atol=1e-5)


# ---- rejected files ------------------------------------------------------------------------------------


def without(*names):
    return {name: value for name, value in sequential().state_dict().items() if name not in names}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (
            {},
            "bias of c1 (6, 1, 5, 5), c3 (16, 6, 5, 5), c5 (120, 16, 5, 5) or (120, 400), f6 (84, 120), output (10",
        ),
        ({**sequential().state_dict(), "twin.weight": torch.zeros(84, 120), "twin.bias": torch.zeros(84)}, "twin.bias"),
        (
            {**without("0.weight"), "0.weight": torch.zeros(6, 3, 5, 5)},
            "of c1 (6, 1, 5, 5), and it also has '0.bias' (6,), '0.weight' (6, 3, 5, 5)",
        ),
        ({**without("0.bias"), "0.bias": torch.zeros(6, 1)}, "'0.bias' (6, 1)"),
        (nn.Sequential(nn.Linear(784, 10)).state_dict(), "'0.weight' (10, 784)"),
        ({**sequential().state_dict(), "lr": 0.1}, "has 'lr' of type float; expected a tensor of floats."),
        *(
            (
                {name: value.to(dtype) for name, value in sequential().state_dict().items()},
                f"of type {kind}; expected",
            )
            for dtype, kind in ((torch.int8, "int8"), (torch.bool, "bool"), (torch.complex64, "complex64"))
        ),
        (
            {name: value.to("meta") for name, value in sequential().state_dict().items()},
            "has '0.weight', whose numbers cannot be read",
        ),
        (
            {name: value.to_sparse() for name, value in sequential().state_dict().items()},
            "has '0.weight', whose numbers cannot be read",
        ),
        ({"\n" + 100 * "x": torch.zeros(2)}, repr("\n" + 59 * "x" + "...")),
        ({**without("11.weight", "11.bias"), "w": torch.zeros(1, 1).expand(100_001, 84)}, "'w' (100001, 84)"),
    ],
)
def test_other_weights_are_refused(state, says):
    with pytest.raises(WeightsError) as error:
        from_torch(state)
    assert says in str(error.value)


class Malicious:
    """An object whose pickle runs code when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["module", "pickle", "zip", "junk", "truncated", "list"])
def test_files_of_more_than_weights_are_refused_and_not_run(kind, tmp_path):
    path, trace = tmp_path / "weights.pt", tmp_path / "it-ran"
    if kind == "module":
        torch.save(sequential(), path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Malicious(trace)))
    elif kind == "zip":
        torch.save({**sequential().state_dict(), "more": Malicious(trace)}, path)
    elif kind == "junk":
        path.write_bytes(b"no weights")
    elif kind == "truncated":
        torch.save(sequential().state_dict(), path)
        path.write_bytes(path.read_bytes()[:50_000])
    else:
        torch.save([1, 2], path)
    with pytest.raises(WeightsError) as error:
        from_torch(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "weights_only=False" not in str(error.value)
    assert not trace.exists()


def test_only_a_model_is_written():
    with pytest.raises(lenet.errors.InputTypeError, match="model is of type Sequential; expected a LeNet5"):
        to_torch_state_dict(sequential())


def test_a_small_file_of_a_large_tensor_takes_no_memory(tmp_path):
    """12 GB of a number that is stored once: tensors that do not belong to a LeNet-5 are not read."""
    large = torch.zeros(1, dtype=torch.bfloat16).expand(3 * 10**9)
    torch.save({**sequential().state_dict(), "x": large}, tmp_path / "bomb.pt")
    with pytest.raises(WeightsError, match=r"it also has 'x' \(3000000000,\)"):
        from_torch(tmp_path / "bomb.pt")


def test_a_safetensors_file_of_bfloat16_is_reported(tmp_path):
    from safetensors.torch import save_file

    state = {name: value.to(torch.bfloat16) for name, value in sequential().state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="contains numbers of type 'BF16'"):
        from_torch(tmp_path / "a.safetensors")


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        from_torch(tmp_path)


def test_files_too_large_or_absent(tmp_path):
    with (tmp_path / "large.pt").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(WeightsError, match="expected at most 67,108,864 bytes"):
        from_torch(tmp_path / "large.pt")
    for name in ("none.pt", "none.safetensors"):
        with pytest.raises(FileNotFoundError):
            from_torch(tmp_path / name)


def test_a_module_with_other_classes_cannot_load_them():
    with pytest.raises(WeightsError, match="like has 7 classes; expected 10"):
        to_torch_state_dict(lenet.LeNet5(seed=0), like=sequential(num_classes=7).state_dict())
    with pytest.raises(WeightsError, match="like is not LeNet-5: it lacks"):
        to_torch_state_dict(lenet.LeNet5(seed=0), like=nn.Linear(3, 3).state_dict())
    assert issubclass(WeightsError, ValueError)
    assert not issubclass(WeightsError, InputError)
