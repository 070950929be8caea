"""Initial weights are uniform within the seed notebook's limits, and depend only on the seed."""

import math
import re

import numpy as np
import pytest

from lenet import LeNet5
from lenet.errors import InputError, InputTypeError
from lenet.init import fan_in_uniform, xavier_uniform
from lenet.layers import Subsample2d

# sqrt(6 / (fan_in + fan_out)), by hand: 25 + 150, 150 + 400, 400 + 3000, 120 + 84, 84 + 10.
LIMITS = {"c1": 6 / 175, "c3": 6 / 550, "c5": 6 / 3400, "f6": 6 / 204, "output": 6 / 94}


def draws(layer):
    """The weights of one layer of twenty models, as fractions of its limit, in order."""
    name = f"{layer}.weight"
    weights = [LeNet5(seed=seed, dtype=np.float64).parameters[name].ravel() for seed in range(20)]
    return np.sort(np.concatenate(weights)) / math.sqrt(LIMITS[layer])


@pytest.mark.parametrize("layer", LIMITS)
def test_weights_reach_their_limits_and_do_not_exceed_them(layer):
    weights = draws(layer)
    assert np.abs(weights).max() <= 1
    assert weights[0] < -0.99
    assert weights[-1] > 0.99


@pytest.mark.parametrize("layer", LIMITS)
def test_weights_are_uniform(layer):
    """The Kolmogorov-Smirnov distance from the uniform distribution; a normal one's would be above 0.05."""
    weights = draws(layer)
    n = len(weights)
    distance = np.abs((weights + 1) / 2 - (np.arange(n) + 0.5) / n).max() + 0.5 / n
    assert distance < 1.95 / math.sqrt(n)  # exceeded by chance once in a thousand


@pytest.mark.parametrize("layer", LIMITS)
def test_biases_are_zero(layer):
    assert not LeNet5(seed=1).parameters[f"{layer}.bias"].any()


def test_a_seed_gives_the_same_weights_again():
    first, second, other = LeNet5(seed=5), LeNet5(seed=5), LeNet5(seed=6)
    np.testing.assert_array_equal(first.parameters.flat, second.parameters.flat)
    assert (first.parameters["c5.weight"] != other.parameters["c5.weight"]).mean() > 0.99


def test_without_a_seed_no_two_models_are_equal():
    assert (LeNet5().parameters["c5.weight"] != LeNet5().parameters["c5.weight"]).mean() > 0.99


def test_the_global_random_state_is_unchanged():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    LeNet5(seed=5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_float32_weights_are_the_rounded_float64_ones():
    single, double = LeNet5(seed=5), LeNet5(seed=5, dtype=np.float64)
    np.testing.assert_array_equal(single.parameters.flat, double.parameters.flat.astype(np.float32))


def test_layers_draw_different_numbers():
    parameters = LeNet5(seed=5, dtype=np.float64).parameters
    c1, c3 = (parameters[f"{name}.weight"].ravel()[:150] / math.sqrt(LIMITS[name]) for name in ("c1", "c3"))
    assert abs(np.corrcoef(c1, c3)[0, 1]) < 0.4


@pytest.mark.parametrize(("shape", "limit"), [((3, 5), math.sqrt(6 / 8)), ((2, 4, 3, 7), math.sqrt(6 / (6 * 21)))])
def test_fans_of_dense_and_convolutional_weights(shape, limit):
    largest = max(np.abs(xavier_uniform(shape, np.random.default_rng(seed))).max() for seed in range(200))
    assert 0.99 * limit < largest <= limit


@pytest.mark.parametrize("shape", [(2,), (4, 2, 3)])
def test_a_fan_in_broadcasts_to_the_shape_of_the_weights(shape):
    with pytest.raises(InputError, match=rf"^fan_in has shape {re.escape(str(shape))}; expected \(2, 3\)"):
        fan_in_uniform((2, 3), np.ones(shape), np.random.default_rng(0))


@pytest.mark.parametrize(("shape", "fans"), [((3, 5), 8), ((2, 4, 3, 7), 6 * 21), ((2, 4, 1, 1), 6)])
def test_weights_are_the_numbers_of_the_generator_within_the_limit(shape, fans):
    expected = np.random.default_rng(7).uniform(-1, 1, shape)
    found = xavier_uniform(shape, np.random.default_rng(7))
    np.testing.assert_allclose(found, expected * math.sqrt(6 / fans), rtol=1e-13, atol=1e-15)
    for fan_in in (1, 9, np.arange(1, 3 * shape[-1], 3)):
        found = fan_in_uniform(shape, fan_in, np.random.default_rng(7))
        np.testing.assert_allclose(found, expected * np.sqrt(3 / np.asarray(fan_in)), rtol=1e-13)


def test_invalid_shapes_and_fans_are_rejected():
    rng = np.random.default_rng(0)
    for draw in (xavier_uniform, lambda shape, rng: fan_in_uniform(shape, 2, rng)):
        for shape in ((3,), (), [3, 5], 3):
            with pytest.raises(InputError, match=r"^shape is .*; expected a tuple of at least two lengths\.$"):
                draw(shape, rng)
        with pytest.raises(InputError, match="shape is 0; expected at least 1"):
            draw((3, 0), rng)
        with pytest.raises(InputTypeError, match="rng is 0; expected a generator"):
            draw((3, 5), 0)
    for fan_in in (0.9, 0, -1, [1, 0.5, 1, 1, 1], math.nan):
        with pytest.raises(InputError, match=r"^fan_in is .*; expected at least 1\.$"):
            fan_in_uniform((3, 5), fan_in, rng)


@pytest.mark.parametrize(("kernel_size", "limit"), [((), 2.4 / 4), ((3,), 2.4 / 9)])
def test_weights_of_subsampling_reach_the_limits_of_the_paper_and_do_not_exceed_them(kernel_size, limit):
    layer = Subsample2d(2000, *kernel_size, dtype=np.float64, rng=np.random.default_rng(0))
    weights = layer.parameters["weight"]
    assert -limit <= weights.min() < -0.99 * limit
    assert 0.99 * limit < weights.max() <= limit
    assert abs(weights.mean()) < 0.05 * limit
