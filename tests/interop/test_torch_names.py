"""The rules by which `from_torch` assigns the tensors of a state dict to parameters, without PyTorch."""

import numpy as np
import pytest

import lenet
from lenet.errors import InputTypeError, WeightsError
from lenet.interop import from_torch
from lenet.interop.torch_weights import _layer_of
from lenet.weights.files import MAX_CLASSES

SHAPES = {
    "c1": ((6, 1, 5, 5), (6,)),
    "c3": ((16, 6, 5, 5), (16,)),
    "c5": ((120, 16, 5, 5), (120,)),
    "f6": ((84, 120), (84,)),
    "output": ((10, 84), (10,)),
}


def state(names="{layer}.{kind}", output=10, dtype=np.float32):
    """Arrays of different numbers, under names like `names`."""
    shapes = SHAPES | {"output": ((output, 84), (output,))}
    tensors = {}
    for n, (layer, pair) in enumerate(shapes.items()):
        for kind, shape in zip(("weight", "bias"), pair, strict=True):
            values = np.arange(np.prod(shape)).reshape(shape) / 2**16 + 2 * n + (kind == "bias")
            tensors[names.format(layer=layer, kind=kind, n=n)] = values.astype(dtype)
    return tensors


def assert_is(model, tensors):
    for (name, value), expected in zip(model.parameters.items(), tensors.values(), strict=True):
        np.testing.assert_array_equal(value, expected.reshape(value.shape), err_msg=name)


@pytest.mark.parametrize("names", ["{layer}.{kind}", "net.{n}.{kind}", "{layer}{kind}", "{kind}{n}"])
@pytest.mark.parametrize("output", [2, 10, 16, 84, 120])
def test_weights_are_recognised_by_their_shapes_and_biases_by_their_names_or_places(names, output):
    tensors = state(names, output)
    assert_is(from_torch(tensors), tensors)


@pytest.mark.parametrize("output", [16, 84])
def test_biases_with_the_names_of_their_weights_may_be_anywhere(output):
    tensors = state(output=output)
    assert_is(from_torch(dict(reversed(tensors.items()))), tensors)
    assert_is(from_torch(dict(sorted(tensors.items()))), tensors)


def test_biases_with_other_names_may_all_precede_the_weights():
    tensors = state("{kind}{n}", 84)
    assert_is(from_torch(dict(sorted(tensors.items()))), tensors)


def test_a_bias_of_another_shape_does_not_belong_to_the_weight_of_its_name():
    tensors = state()
    swapped = tensors | {"c1.bias": tensors["c3.bias"], "c3.bias": tensors["c1.bias"]}
    model = from_torch(swapped)
    np.testing.assert_array_equal(model.parameters["c1.bias"], tensors["c1.bias"])
    np.testing.assert_array_equal(model.parameters["c3.bias"], tensors["c3.bias"])


def test_c5_may_be_dense():
    tensors = state()
    assert_is(from_torch(tensors | {"c5.weight": tensors["c5.weight"].reshape(120, 400)}), tensors)


@pytest.mark.parametrize(
    ("dtype", "ours"), [("<f4", "float32"), (">f4", "float32"), ("f8", "float64"), (">f8", "float64")]
)
def test_numbers_of_either_byte_order(dtype, ours):
    tensors = state(dtype=dtype)
    model = from_torch(tensors)
    assert model.dtype == ours
    assert_is(model, tensors)


def test_one_float32_array_makes_a_float32_model():
    tensors = state(dtype=np.float64)
    assert from_torch(tensors | {"c1.bias": tensors["c1.bias"].astype(np.float32)}).dtype == "float32"


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((6, 1, 5, 5), "c1"), ((16, 6, 5, 5), "c3"), ((120, 16, 5, 5), "c5"), ((120, 400), "c5"), ((84, 120), "f6"),
        ((2, 84), "output"), ((MAX_CLASSES, 84), "output"),
        ((1, 84), None), ((MAX_CLASSES + 1, 84), None), ((84,), None), ((10, 84, 1), None), ((10, 85), None),
        ((85, 120), None), ((6, 1, 5), None), ((), None),
    ],
)  # fmt: skip
def test_layers_have_known_shapes_and_the_last_2_to_100_000_classes(shape, layer):
    assert _layer_of(shape) == layer


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_state_dict_may_be_part_of_a_checkpoint(key):
    tensors = state()
    assert_is(from_torch({key: tensors, "epoch": 3}), tensors)
    assert_is(from_torch({"state_dict": {"model": tensors}}), tensors)


def test_a_module_gives_its_state_dict():
    class Module:
        def state_dict(self):
            return state()

    assert_is(from_torch(Module()), state())


def test_a_file_of_safetensors(tmp_path):
    from safetensors.numpy import save_file

    for name in ("a.safetensors", "b.SafeTensors"):
        save_file(state(), tmp_path / name)
        assert_is(from_torch(tmp_path / name), state())
        assert_is(from_torch(str(tmp_path / name)), state())


def without(*names, **more):
    return {name: value for name, value in state().items() if name not in names} | more


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (without("c1.bias"), "The state dict is not LeNet-5: it lacks the weight or bias of c1 (6, 1, 5, 5)."),
        (
            without("c3.weight", "f6.bias"),
            "it lacks the weight or bias of c3 (16, 6, 5, 5), f6 (84, 120), and it also has 'c3.bias' (16,).",
        ),
        (without(c6=np.zeros((84, 120))), "The state dict is not LeNet-5: it also has 'c6' (84, 120)."),
        (without("c5.weight"), "of c5 (120, 16, 5, 5) or (120, 400), and it also has 'c5.bias' (120,)."),
        (
            {f"x{n}": np.zeros(n) for n in range(12)},
            "'x8' (8,), 'x9' (9,).",
        ),
        (without(**{"y" * 60: np.zeros(7)}), f"it also has '{'y' * 60}' (7,)."),
        (without(**{"y" * 61: np.zeros(7)}), f"it also has '{'y' * 60}...' (7,)."),
        (without(**{"c1.bias": np.zeros(6, int)}), "has 'c1.bias' of type int64; expected a tensor of floats."),
        (without(**{"c1.bias": [0.0] * 6}), "has 'c1.bias' of type list; expected a tensor of floats."),
        (without(**{"c1.bias": np.full(6, np.inf)}), "not finite"),
        (without(**{"c3.weight": np.full((16, 6, 5, 5), 3e38, np.float32)}), "The weights of c3 are too large"),
        (without() | {7: np.zeros(6)}, "has keys that are not strings"),
    ],
)  # fmt: skip
def test_other_state_dicts_are_refused(tensors, message):
    with pytest.raises(WeightsError) as error:
        from_torch(tensors)
    assert message in str(error.value)


@pytest.mark.parametrize("source", [3, None, [("c1.weight", 0)]])
def test_other_objects_are_refused(source):
    with pytest.raises(InputTypeError, match=r"The state dict is of type .*; expected a state dict"):
        from_torch(source)


def test_the_scaling_of_pixels_is_not_part_of_a_state_dict():
    model = from_torch(state())
    assert (model.mean, model.std) == (0, 1)
    assert isinstance(model, lenet.LeNet5)
