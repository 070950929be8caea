"""The state of LeNet5 in state dicts, copies and pickles."""

import copy
import pickle

import numpy as np
import pytest
from models import MEAN, STD, batch, draw_images, make_model

from lenet import SGD, LeNet5
from lenet.errors import InputTypeError, WeightsError

pytest_plugins = ["model_fixture"]


# ---- state dicts ---------------------------------------------------------------------------------------


def test_state_dict_is_a_copy(model):
    state = model.state_dict()
    before = model.parameters.flat.copy()
    for value in state.values():
        value[...] = 77
    np.testing.assert_array_equal(model.parameters.flat, before)


def test_load_state_dict_copies(model):
    other = LeNet5(seed=9)
    state = other.state_dict()
    model.load_state_dict(state)
    state["c1.weight"][...] = 77
    np.testing.assert_array_equal(model.parameters.flat, other.parameters.flat)
    assert all(np.shares_memory(parameter, model.parameters.flat) for parameter in model.parameters.values())


def test_load_state_dict_accepts_another_order(model):
    state = LeNet5(seed=9).state_dict()
    model.load_state_dict(dict(reversed(state.items())))
    for name, value in state.items():
        np.testing.assert_array_equal(model.parameters[name], value)


def set_to(name, value):
    def damage(state):
        state[name] = value

    return damage


def spoil(name, value):
    def damage(state):
        state[name].flat[-1] = value

    return damage


BAD_STATES = {
    "missing": (
        lambda state: state.pop("output.bias"),
        "Missing weights: output.bias; unknown weights: none; expected c1",
    ),
    "unknown": (set_to("c2.weight", np.zeros(3)), "Missing weights: none; unknown weights: c2.weight"),
    "shape": (
        set_to("output.bias", np.zeros(9)),
        r"output.bias has dtype float64 and shape \(9,\); expected .* \(10,\)",
    ),
    "transposed": (set_to("f6.weight", np.zeros((120, 84))), r"f6.weight has .* \(120, 84\); expected .* \(84, 120\)"),
    "broadcastable": (set_to("output.bias", 0.0), r"output.bias has dtype float64 and shape \(\); expected"),
    "NaN": (spoil("output.weight", np.nan), "output.weight contains values that are not finite"),
    "infinite": (spoil("output.bias", -np.inf), "output.bias contains values that are not finite"),
    "strings": (set_to("output.bias", np.full(10, "1")), "output.bias has dtype <U1"),
    "objects": (set_to("output.bias", np.full(10, None)), "output.bias has dtype object"),
    "complex": (set_to("output.bias", np.zeros(10, complex)), "output.bias has dtype complex128"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_load_state_dict_loads_all_or_nothing(model, name):
    """The damage is in the last parameters; the first ones would have been fine."""
    damage, message = BAD_STATES[name]
    before, state = model.parameters.flat.copy(), LeNet5(seed=9).state_dict()
    damage(state)
    with pytest.raises(WeightsError, match=message):
        model.load_state_dict(state)
    np.testing.assert_array_equal(model.parameters.flat, before)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(np.full(10, 1e300), id="too large for float32"),
        pytest.param([[1.0], [1.0, 2.0]], id="ragged"),
    ],
)
def test_load_state_dict_explains_what_is_wrong(model, value):
    state = model.state_dict()
    state["output.bias"] = value
    with pytest.raises(WeightsError, match=r"output\.bias"):
        model.load_state_dict(state)


def test_load_state_dict_accepts_the_largest_numbers(model):
    state, largest = model.state_dict(), float(np.finfo(np.float32).max)
    state["output.bias"] = np.array([-largest, *8 * [0], largest])
    model.load_state_dict(state)
    assert model.parameters["output.bias"][[0, -1]].tolist() == [-largest, largest]
    state["output.bias"][-1] = np.nextafter(largest, np.inf)
    with pytest.raises(WeightsError, match=r"output\.bias contains values that are not finite in float32"):
        model.load_state_dict(state)


def test_load_state_dict_requires_a_mapping(model):
    with pytest.raises(InputTypeError, match="state is of type list"):
        model.load_state_dict([1, 2, 3])


# ---- copies and files ----------------------------------------------------------------------------------

COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),  # noqa: S301
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=COPIES)
def duplicate(request):
    return COPIES[request.param]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_gives_the_same_bits(duplicate, dtype):
    model = make_model(dtype, num_classes=7)
    model.metadata = {"recipe": "default"}
    twin, x = duplicate(model), draw_images(3)
    np.testing.assert_array_equal(twin.logits(x), model.logits(x))
    np.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat)
    assert (twin.dtype, twin.num_classes, twin.mean, twin.std) == (model.dtype, 7, MEAN, STD)
    assert twin.metadata == {"recipe": "default"}
    assert repr(twin) == repr(model)


def test_a_copy_is_independent(duplicate, model):
    twin, before = duplicate(model), model.parameters.flat.copy()
    twin.parameters.flat[...] = 0
    twin.metadata["changed"] = "yes"
    twin.mean = 0.5
    np.testing.assert_array_equal(model.parameters.flat, before)
    assert (model.metadata, model.mean) == ({}, MEAN)


def test_a_copy_learns(duplicate, model):
    """Its parameters are views of its own flat vector, and its layers compute with them."""
    twin, (x, y) = duplicate(model), batch(4, "dense")
    for each in (model, twin):
        SGD(each, lr=0.1).step(each.loss_and_gradients(x, y)[1])
    assert all(np.shares_memory(parameter, twin.parameters.flat) for parameter in twin.parameters.values())
    np.testing.assert_array_equal(twin.logits(x), model.logits(x))


class Named(LeNet5):
    def __init__(self, name, **settings):
        super().__init__(**settings)
        self.name = name


def test_a_copy_of_a_subclass_keeps_its_attributes(duplicate):
    model = Named("first", seed=0)
    model.name, model.note = "second", [1]
    twin = duplicate(model)
    assert (type(twin), twin.name, twin.note) == (Named, "second", [1])
    np.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat)


def test_a_pickle_of_an_earlier_version_has_no_attributes(model):
    state = model.__getstate__()
    del state["attributes"]
    twin = LeNet5.__new__(LeNet5)
    twin.__setstate__(state)
    np.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat)


def test_a_pickle_of_an_earlier_version_calls_the_constructor_of_a_subclass():
    class Noted(LeNet5):
        def __init__(self, dtype=np.float32, num_classes=10):
            super().__init__(dtype=dtype, num_classes=num_classes)
            self.note = "made by the constructor"

    state = Noted().__getstate__()
    del state["attributes"]
    twin = Noted.__new__(Noted)
    twin.__setstate__(state)
    assert twin.note == "made by the constructor"


def test_only_the_first_pickle_builds_a_network_to_list_its_attributes(model, monkeypatch):
    pickle.dumps(model)
    monkeypatch.setattr(LeNet5, "__init__", lambda self: pytest.fail("it builds a network"))
    pickle.dumps(model)


def test_copies_of_the_parameters_stay_views_of_a_flat_vector(duplicate, model):
    twin = duplicate(model.parameters)
    twin.flat[...] = 3
    assert all((parameter == 3).all() for parameter in twin.values())


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": np.float32(1)},
        {"parameters": np.zeros(3, np.float32)},
        {"parameters": np.zeros(61706)},
        {"std": 0},
    ],
)
def test_a_damaged_pickle_is_refused(change):
    state = {**LeNet5(seed=0).__getstate__(), **change}
    with pytest.raises(ValueError, match=r"damaged|std is 0"):
        LeNet5.__new__(LeNet5).__setstate__(state)
