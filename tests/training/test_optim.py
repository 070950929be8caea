"""SGD against values computed by hand and a loop over numbers; the values of the schedules."""

import copy
import math
import pickle

import numpy as np
import pytest

from lenet import SGD, LeNet5
from lenet._flat import FlatDict
from lenet.errors import InputError, InputTypeError
from lenet.training.optim import SCHEDULES, constant, one_cycle, paper_steps


@pytest.fixture
def model():
    return LeNet5(seed=0, dtype=np.float64)


def gradients_of(model, value=None, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=parameter.shape) if value is None else np.full(parameter.shape, value)
        for name, parameter in model.parameters.items()
    }


# ---- SGD -----------------------------------------------------------------------------------------------


def test_plain_step(model):
    before, gradients = model.state_dict(), gradients_of(model)
    SGD(model, lr=0.1).step(gradients)
    for name, parameter in model.parameters.items():
        np.testing.assert_allclose(parameter, before[name] - 0.1 * gradients[name], rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "values"),
    [
        (0, 0, [0.95, 0.90, 0.85]),
        (0.9, 0, [0.95, 0.855, 0.7195]),  # velocity 0.5, 0.95, 1.355
        (0, 0.1, [0.94, 0.8806, 0.821794]),  # slope 0.5 + 0.1 p
        (0.9, 0.1, [0.94, 0.8266, 0.666274]),  # velocity 0.6, 1.134, 1.60326
    ],
)
def test_three_steps_by_hand(model, momentum, weight_decay, values):
    """From 1, with gradient 0.5 and learning rate 0.1."""
    model.parameters.flat[...] = 1
    sgd = SGD(model, lr=0.1, momentum=momentum, weight_decay=weight_decay)
    for value in values:
        sgd.step(gradients_of(model, 0.5))
        np.testing.assert_allclose(model.parameters.flat, value, rtol=1e-14)


def test_steps_with_changing_gradients_and_rate(model):
    """g += weight_decay p; v = momentum v + g; p -= lr v, number by number."""
    sgd = SGD(model, lr=0.1, momentum=0.8, weight_decay=0.01)
    p, v = model.parameters["f6.weight"][3, 5].item(), 0.0
    for step, lr in enumerate([0.1, 0.3, 0.0, 0.2]):
        gradients = gradients_of(model, seed=step)
        v = 0.8 * v + gradients["f6.weight"][3, 5] + 0.01 * p
        p -= lr * v
        sgd.lr = lr
        sgd.step(gradients)
        assert model.parameters["f6.weight"][3, 5] == pytest.approx(p, rel=1e-14)


def test_flat_and_plain_gradients_give_the_same_bits():
    models = [LeNet5(seed=0), LeNet5(seed=0)]
    x, y = np.random.default_rng(0).random((5, 28, 28)), [0, 1, 2, 3, 4]
    for model, kind in zip(models, (lambda gradients: gradients, dict), strict=True):
        sgd = SGD(model, lr=0.3, momentum=0.9, weight_decay=1e-3)
        for _ in range(3):
            sgd.step(kind(model.loss_and_gradients(x, y)[1]))
    np.testing.assert_array_equal(models[0].parameters.flat, models[1].parameters.flat)


def test_the_order_of_the_names_does_not_matter(model):
    other, gradients = LeNet5(seed=0, dtype=np.float64), gradients_of(model)
    SGD(model, lr=0.1).step(gradients)
    SGD(other, lr=0.1).step(dict(reversed(gradients.items())))
    np.testing.assert_array_equal(other.parameters.flat, model.parameters.flat)


def test_the_order_of_a_flat_dicts_names_does_not_matter(model):
    other, gradients = LeNet5(seed=0, dtype=np.float64), gradients_of(model)
    SGD(model, lr=0.1).step(gradients)
    turned = FlatDict({name: value.shape for name, value in reversed(gradients.items())}, np.float64)
    turned.update(gradients)
    SGD(other, lr=0.1).step(turned)
    np.testing.assert_array_equal(other.parameters.flat, model.parameters.flat)


@pytest.mark.parametrize("velocity", [np.zeros(10), np.zeros(61_706, np.float32), np.zeros((1, 61_706))])
def test_a_velocity_that_does_not_fit_is_refused(model, velocity):
    sgd, before = SGD(model, lr=0.1), model.parameters.flat.copy()
    sgd.velocity = velocity
    with pytest.raises(InputError, match=r"velocity has dtype float.* expected float64 and \(61706,\)"):
        sgd.step(gradients_of(model))
    np.testing.assert_array_equal(model.parameters.flat, before)


def test_gradients_of_single_precision_move_a_model_of_double(model):
    other, gradients = LeNet5(seed=0, dtype=np.float64), gradients_of(model)
    single = FlatDict({name: value.shape for name, value in gradients.items()}, np.float32)
    single.update(gradients)
    SGD(model, lr=0.1).step(gradients)
    SGD(other, lr=0.1).step(single)
    np.testing.assert_allclose(other.parameters.flat, model.parameters.flat, atol=1e-7)


def test_gradients_of_double_precision_move_a_model_of_single():
    models = [LeNet5(seed=0), LeNet5(seed=0)]
    gradients = gradients_of(models[0])
    double = FlatDict(models[0].parameters.shapes, np.float64)
    double.update(gradients)
    SGD(models[0], lr=0.1).step(gradients)
    SGD(models[1], lr=0.1).step(double)
    np.testing.assert_array_equal(models[1].parameters.flat, models[0].parameters.flat)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda sgd: pickle.loads(pickle.dumps(sgd))])  # noqa: S301
def test_an_optimizer_can_be_copied_and_pickled(model, duplicate):
    sgd, gradients = SGD(model, lr=0.1, momentum=0.9), gradients_of(model)
    sgd.step(gradients)
    twin = duplicate(sgd)
    for each in (sgd, twin):
        each.step(gradients)
    np.testing.assert_array_equal(twin.model.parameters.flat, model.parameters.flat)


def test_a_step_changes_the_parameters_in_place_and_leaves_the_gradients(model):
    view, gradients = model.parameters["c1.weight"], gradients_of(model)
    SGD(model, lr=0.1, momentum=0.9, weight_decay=0.1).step(gradients)
    assert model.parameters["c1.weight"] is view
    for name, gradient in gradients_of(model).items():
        np.testing.assert_array_equal(gradients[name], gradient)


def test_steps_lower_the_loss():
    model = LeNet5(seed=0)
    x, y = np.random.default_rng(0).random((8, 28, 28)), np.arange(8)
    sgd = SGD(model, lr=0.1, momentum=0.9)
    losses = []
    for _ in range(20):
        loss, gradients = model.loss_and_gradients(x, y)
        losses.append(loss)
        sgd.step(gradients)
    assert losses[-1] < losses[0] - 0.05


# ---- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -0.1}, r"^lr is -0.1; expected a finite number of at least 0\.$"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": math.inf}, "lr is inf; expected a finite number"),
        ({"lr": 0.1, "momentum": 1}, r"^momentum is 1; expected a number of at least 0 and below 1\.$"),
        ({"lr": 0.1, "momentum": -0.5}, "momentum is -0.5"),
        ({"lr": 0.1, "momentum": math.nan}, "momentum is nan"),
        ({"lr": 0.1, "weight_decay": -1}, "weight_decay is -1"),
        ({"lr": 0.1, "weight_decay": math.inf}, "weight_decay is inf"),
    ],
)
def test_numbers_out_of_range_are_refused(model, arguments, message):
    with pytest.raises(InputError, match=message):
        SGD(model, **arguments)


def test_a_rate_that_is_not_a_number_is_refused(model):
    with pytest.raises(InputTypeError, match=r"lr is '0\.1'"):
        SGD(model, lr="0.1")


def test_the_model_is_a_lenet5():
    with pytest.raises(InputTypeError, match=r"^model is "):
        SGD("mnist", lr=0.1)


@pytest.mark.parametrize("gradients", [None, [np.zeros(3)]])
def test_gradients_are_a_mapping(model, gradients):
    with pytest.raises(InputTypeError, match=r"^gradients is .+; expected a mapping of names to arrays\.$"):
        SGD(model, lr=0.1).step(gradients)


def missing(gradients):
    del gradients["c3.bias"]


def unknown(gradients):
    gradients["c4.weight"] = np.zeros(3)


def misshapen(gradients):
    gradients["f6.weight"] = gradients["f6.weight"].T


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing, "expected .*c3.bias"),
        (unknown, "c4.weight"),
        (misshapen, r"f6.weight has shape \(120, 84\)"),
    ],
)
def test_wrong_gradients_leave_the_model_and_the_velocity_unchanged(model, damage, message):
    sgd = SGD(model, lr=0.1, momentum=0.9)
    sgd.step(gradients_of(model))
    before, velocity, gradients = model.parameters.flat.copy(), sgd.velocity.copy(), gradients_of(model)
    damage(gradients)
    with pytest.raises(InputError, match=message):
        sgd.step(gradients)
    np.testing.assert_array_equal(model.parameters.flat, before)
    np.testing.assert_array_equal(sgd.velocity, velocity)


def test_wrong_names_are_listed_beside_the_right_ones(model):
    names = [f"{layer}.{kind}" for layer in ("c1", "c3", "c5", "f6", "output") for kind in ("weight", "bias")]
    with pytest.raises(InputError) as caught:
        SGD(model, lr=0.1).step({"c1.weight": np.zeros(3), "c2.bias": np.zeros(3)})
    assert str(caught.value) == f"The gradients are named c1.weight, c2.bias; expected {', '.join(names)}."


def test_a_flat_dict_of_another_model_is_refused(model):
    gradients = FlatDict(LeNet5(num_classes=4).parameters.shapes, np.float64)
    with pytest.raises(InputError, match=r"output.weight has shape \(4, 84\); expected \(10, 84\)"):
        SGD(model, lr=0.1).step(gradients)


# ---- schedules -----------------------------------------------------------------------------------------


def values(schedule, steps):
    return [schedule(step) for step in steps]


def test_constant():
    assert values(constant(0.01, 100, 10), [0, 50, 99]) == [0.01] * 3


@pytest.mark.parametrize("schedule", [constant, one_cycle, paper_steps])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 10, 5), "lr is -0.1"),
        ((math.inf, 10, 5), "lr is inf"),
        ((0.1, 0, 5), "total_steps is 0; expected at least 1"),
        ((0.1, 10, 0), "steps_per_epoch is 0; expected at least 1"),
    ],
)
def test_arguments_of_a_schedule_are_validated(schedule, arguments, message):
    assert schedule(0, 1, 1)(0) == 0
    with pytest.raises(InputError, match=message):
        schedule(*arguments)


def test_one_cycle_by_hand():
    schedule = one_cycle(2.0, 10, 5)
    # Two steps up; eight down, at cos(pi k / 8).
    assert values(schedule, [0, 1]) == [1.0, 2.0]
    expected = [1 + math.cos(math.pi * k / 8) for k in range(1, 9)]
    assert values(schedule, range(2, 10)) == pytest.approx(expected, abs=1e-15)
    assert schedule(5) == pytest.approx(1.0)
    assert schedule(9) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 7, 100, 14070])
def test_one_cycle_stays_between_zero_and_its_peak(total):
    rates = values(one_cycle(0.5, total, 1), range(total))
    assert max(rates) == 0.5
    assert min(rates) >= 0
    peak = rates.index(0.5)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize("total", [2, 3, 7, 100])
def test_one_cycle_ends_at_zero(total):
    assert values(one_cycle(0.5, total, 1), [total - 1, total, 2 * total]) == pytest.approx([0, 0, 0], abs=1e-15)


def test_one_cycle_warms_up_over_the_first_fifth():
    rates = values(one_cycle(0.5, 1000, 100), range(1000))
    assert rates.index(max(rates)) == 199
    assert rates[99] == pytest.approx(0.25)


def test_paper_steps_are_those_of_1998():
    """Section III.B: 0.0005 for two passes, 0.0002 for three, 0.0001 for three, 0.00005 for four, then 0.00001."""
    rates = values(paper_steps(0.0005, 20 * 7, 7), range(0, 20 * 7, 7))
    assert rates == pytest.approx([5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8)


def test_paper_steps_change_between_passes_only():
    schedule = paper_steps(1.0, 100, 10)
    assert values(schedule, [19, 20]) == [1.0, 0.4]
    assert values(schedule, [49, 50]) == [0.4, 0.2]


def test_schedules_by_name():
    assert {"constant": constant, "one_cycle": one_cycle, "paper_steps": paper_steps} == SCHEDULES
