"""Weights that could make the network overflow are rejected when they are loaded."""

import numpy as np
import pytest

import lenet
from lenet.errors import WeightsError
from lenet.weights.bounds import check_bounds
from lenet.weights.files import ModelFile

WHITE = np.full((1, 28, 28), 255, np.uint8)
LARGEST = {np.float32: 2.0**122, np.float64: 2.0**1018}  # as good as a 64th of the largest number


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stage", ["c1", "c3", "c5", "f6", "output"])
def test_weights_whose_sums_overflow_are_refused(tmp_path, stage, dtype):
    model = lenet.LeNet5(seed=0, dtype=dtype)
    model.parameters[f"{stage}.weight"][...] = 0.9 * np.finfo(dtype).max
    model.save(tmp_path / "large.safetensors")
    with pytest.raises(WeightsError, match=rf"large\.safetensors: The weights of {stage} are too large"):
        lenet.load(tmp_path / "large.safetensors")


@pytest.mark.parametrize(
    ("std", "message"), [(2e-38, "The weights of c1 are too large"), (1e-320, r"tiny\.safetensors: std is 1e-320")]
)
def test_a_tiny_std_is_refused(tmp_path, std, message):
    ModelFile(lenet.LeNet5(seed=0).state_dict(), 0.0, std, {}).write(tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match=message):
        lenet.load(tmp_path / "tiny.safetensors")


def equal_weights(weight, largest):
    weight[...] = largest / weight[0].size


def weights_of_both_signs(weight, largest):
    weight[...] = np.sign(weight) * largest / weight[0].size


def one_weight(weight, largest):
    weight.reshape(len(weight), -1)[0, 4] = largest  # the last of a row of a convolution's kernel


def last_column(weight, largest):
    weight[...] = 0
    weight[..., -1] = largest / weight[0, ..., -1].size


@pytest.mark.parametrize("fill", [equal_weights, weights_of_both_signs, one_weight, last_column])
@pytest.mark.parametrize("stage", ["c1", "c3", "c5", "f6", "output"])
def test_weights_that_are_loaded_give_finite_answers(tmp_path, stage, fill):
    """The largest weights that are accepted: one step of 1.1 below the bound."""
    model = lenet.LeNet5(seed=0)
    fill(model.parameters[f"{stage}.weight"], LARGEST[np.float32] / 1.1)
    model.save(tmp_path / "large.safetensors")
    loaded = lenet.load(tmp_path / "large.safetensors")
    images = np.concatenate([WHITE, np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)])
    assert np.isfinite(loaded.logits(images)).all()
    assert np.isfinite(loaded.predict_proba(images)).all()


def test_the_smallest_std_that_is_loaded_gives_finite_answers(tmp_path):
    model = lenet.LeNet5(seed=0)
    model.mean, model.std = 0.0, 1e-35
    model.save(tmp_path / "tiny.safetensors")
    assert np.isfinite(lenet.load(tmp_path / "tiny.safetensors").logits(WHITE)).all()


def stages(dtype, largest, bias=0.0, of_1998=False):
    """The parameters of two stages, c1 and c3, of which the row with the largest sum is not the first."""
    parameters = {"c1.weight": np.array([[[1, 2]]], dtype), "c1.bias": np.zeros(1, dtype)}
    if of_1998:
        parameters |= {"s2.weight": np.ones((1, 1), dtype), "s2.bias": np.zeros(1, dtype)}
    weight = np.array([[0, 0.5], [-0.75 * largest, 0.25 * largest]], dtype)
    return parameters | {"c3.weight": weight, "c3.bias": np.array([0, -bias], dtype)}


def is_accepted(parameters, mean=0.0, std=1.0):
    try:
        check_bounds(parameters, mean, std)
    except WeightsError:
        return False
    return True


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize(("weight", "bias"), [(1, 0), (0.75, 0.25), (0.25, 0.75)])
def test_the_sum_of_absolute_weights_and_the_bias_stay_below_a_64th_of_the_largest_number(dtype, weight, bias):
    for factor, expected in ((0.99, True), (1.01, False)):
        largest = factor * LARGEST[dtype]
        assert is_accepted(stages(dtype, weight * largest, bias * largest)) == expected


@pytest.mark.parametrize("dtype", LARGEST)
def test_a_sum_of_exactly_a_64th_of_the_largest_number_is_rejected(dtype):
    largest = dtype(np.finfo(dtype).max / 64)
    for total, expected in ((largest, False), (np.nextafter(largest, dtype(0)), True)):
        parameters = {"c1.weight": np.array([[1], [-total]], dtype), "c1.bias": np.zeros(2, dtype)}
        assert is_accepted(parameters) == expected


@pytest.mark.parametrize(("mean", "std", "largest"), [(0, 1, 1), (0.25, 2, 1), (0.75, 0.5, 1.5), (-3, 1, 4)])
def test_pixels_are_standardised_before_the_first_stage(mean, std, largest):
    """The largest is (1 - mean) / std or mean / std, or 1."""
    for factor, expected in ((0.99, True), (1.01, False)):
        parameters = stages(np.float32, 1)
        parameters["c1.weight"] *= factor * LARGEST[np.float32] / largest / 3  # which add up to 3
        assert is_accepted(parameters, mean, std) == expected


def test_each_pixel_that_is_standardised_by_its_image_is_at_most_sqrt_783():
    for factor, expected in ((0.9999, True), (1.0001, False)):
        parameters = stages(np.float64, 1)
        parameters["c1.weight"] *= factor * LARGEST[np.float64] / np.sqrt(783) / 3
        assert is_accepted(parameters, None, None) == expected


def test_a_scaled_tanh_and_six_kernels_reach_6_times_1_7159():
    for factor, expected in ((0.999, True), (1.001, False)):
        parameters = stages(np.float32, factor * LARGEST[np.float32] / (6 * 1.7159), of_1998=True)
        assert is_accepted(parameters) == expected
