"""Weights that could make the network overflow are rejected when they are loaded."""

import numpy as np
import pytest

import lenet
from lenet.errors import WeightsError

WHITE = np.full((1, 28, 28), 255, np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stage", ["c1", "c3", "c5", "f6", "output"])
def test_weights_whose_sums_overflow_are_refused(tmp_path, stage, dtype):
    model = lenet.LeNet5(seed=0, dtype=dtype)
    model.parameters[f"{stage}.weight"][...] = 0.9 * np.finfo(dtype).max
    model.save(tmp_path / "large.safetensors")
    with pytest.raises(WeightsError, match=rf"large\.safetensors: The weights of {stage} are too large"):
        lenet.load(tmp_path / "large.safetensors")


def test_a_tiny_std_is_refused(tmp_path):
    model = lenet.LeNet5(seed=0)
    model.std = 1e-320
    model.save(tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match="The weights of c1 are too large"):
        lenet.load(tmp_path / "tiny.safetensors")


def test_pixels_that_are_standardised_by_their_image_reach_sqrt_783(tmp_path):
    """One white pixel on black: (1 - 1/784) / sqrt(1/784 - 1/784**2) = sqrt(783) = 27.98."""
    model = lenet.LeNet5(seed=0)
    model.mean = None
    for total, is_refused in ((6.2e36, True), (6e36, False)):  # the bound is 1.7e38
        model.parameters["c1.weight"][...] = total / 25
        model.save(tmp_path / "large.safetensors")
        if is_refused:
            with pytest.raises(WeightsError, match="The weights of c1 are too large"):
                lenet.load(tmp_path / "large.safetensors")
        else:
            assert lenet.load(tmp_path / "large.safetensors").mean is None


@pytest.mark.parametrize("stage", ["c1", "c3", "c5", "f6", "output"])
def test_weights_that_are_loaded_give_finite_answers(tmp_path, stage):
    """The largest weights that are accepted: one step of 1.1 below the bound."""
    model = lenet.LeNet5(seed=0)
    weight = model.parameters[f"{stage}.weight"]
    weight[...] = np.finfo(np.float32).max / 2.2 / weight[0].size
    model.save(tmp_path / "large.safetensors")
    loaded = lenet.load(tmp_path / "large.safetensors")
    assert np.isfinite(loaded.logits(WHITE)).all()
    assert np.isfinite(loaded.predict_proba(WHITE)).all()
