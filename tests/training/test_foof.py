"""FOOF against the definitions of its second moments and of its step."""

import os
import subprocess
import sys

import numpy as np
import pytest

from lenet import LeNet5, LeNet1998
from lenet.errors import InputError
from lenet.training.foof import FOOF
from lenet.training.optim import SGD

NAMES = {"c1": 25, "c3": 150, "c5": 400, "f6": 120, "output": 84}  # and the numbers of weights of an output


def model_and_images(n, dtype=np.float64):
    model = LeNet5(seed=0, dtype=dtype)
    model.mean, model.std = 0.25, 0.5
    return model, np.random.default_rng(0).random((n, 28, 28)).astype(dtype)


def inverses(optimizer):
    """The preconditioner as one matrix for each layer."""
    ends = np.cumsum([(size + 1) ** 2 for size in NAMES.values()])
    parts = np.split(optimizer.preconditioner, ends[:-1])
    return {name: part.reshape(size + 1, -1) for (name, size), part in zip(NAMES.items(), parts, strict=True)}


def inputs(model, image):
    """The inputs of each layer: one row for each output pixel, with a 1 at its end."""
    found = model.activations(image[None])
    padded = np.zeros((1, 32, 32))
    padded[0, 2:30, 2:30] = (image - model.mean) / model.std
    rows = {
        "c1": [padded[:, i : i + 5, j : j + 5].ravel() for i in range(28) for j in range(28)],
        "c3": [found["s2"][0, :, i : i + 5, j : j + 5].ravel() for i in range(10) for j in range(10)],
        "c5": [found["s4"][0].ravel()],
        "f6": [found["c5"].ravel()],
        "output": [found["f6"].ravel()],
    }
    return {name: np.array([[*row, 1.0] for row in each]) for name, each in rows.items()}


def test_the_preconditioner_has_the_inverse_second_moments_of_the_inputs():
    model, images = model_and_images(3)
    optimizer = FOOF(model, 0.1, damping=0.5)
    assert all(np.array_equal(each, np.eye(len(each))) for each in inverses(optimizer).values())
    optimizer.estimate(images)
    found = [inputs(model, image) for image in images]
    for name, inverse in inverses(optimizer).items():
        rows = np.concatenate([each[name] for each in found])
        moment = sum(np.outer(row, row) for row in rows) / len(rows) + 0.5 * np.eye(rows.shape[1])
        np.testing.assert_allclose(inverse @ moment, np.eye(len(moment)), rtol=0, atol=1e-9)


def test_blocks_of_images_are_weighted_by_their_size():
    model, images = model_and_images(53)
    both = FOOF(model, 0.1), FOOF(model, 0.1)
    both[0].estimate(images)
    both[1].estimate(images[np.random.default_rng(1).permutation(53)])
    np.testing.assert_allclose(both[0].preconditioner, both[1].preconditioner, rtol=1e-6, atol=1e-6)
    both[1].estimate(images[:50])
    assert np.abs(both[0].preconditioner - both[1].preconditioner).max() > 1e-3


def test_a_step_minimises_the_gradient_term_and_the_change_of_the_outputs():
    """Of <G, D> + (E|D z|^2 + damping |D|^2) / 2, the derivative G + D (E[z z^T] + damping I) is 0."""
    model, images = model_and_images(4)
    optimizer = FOOF(model, lr=0.25, damping=0.02)
    optimizer.estimate(images)
    found = [inputs(model, image) for image in images]
    _, gradients = model.loss_and_gradients(images, [3, 1, 4, 1])
    before = model.parameters.flat.copy()
    optimizer.step(gradients)
    change = dict(model.parameters)
    model.parameters.flat[...], after = before, model.parameters.flat.copy()
    for name in NAMES:
        ends = []
        for values in (after, before):
            model.parameters.flat[...] = values
            weight, bias = change[f"{name}.weight"], change[f"{name}.bias"]
            ends.append(np.column_stack([weight.reshape(len(bias), -1), bias]))
        d = (ends[0] - ends[1]) / 0.25
        gradient = np.column_stack([gradients[f"{name}.weight"].reshape(len(d), -1), gradients[f"{name}.bias"]])
        z = np.concatenate([each[name] for each in found])
        derivative = gradient + d @ (z.T @ z / len(z) + 0.02 * np.eye(z.shape[1]))
        assert np.abs(gradient).max() > 1e-5
        np.testing.assert_allclose(derivative, 0, rtol=0, atol=1e-9)


def test_a_step_in_float32_is_that_in_float64():
    models = [model_and_images(4, dtype)[0] for dtype in (np.float32, np.float64)]
    for model in models:
        optimizer = FOOF(model, lr=0.1)
        optimizer.estimate(model_and_images(4)[1].astype(model.dtype))
        optimizer.step(model.loss_and_gradients(model_and_images(4)[1].astype(model.dtype), [3, 1, 4, 1])[1])
    np.testing.assert_allclose(models[0].parameters.flat, models[1].parameters.flat, rtol=0, atol=1e-3)


PROGRAM = """
import hashlib, numpy as np, lenet
from lenet.training import Recipe
X = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
model = lenet.LeNet5(seed=0)
lenet.train(model, X, np.arange(40) % 10, Recipe("mine", 2, 8, 0.01, optimizer="foof"))
print(hashlib.sha256(model.parameters.flat.tobytes()).hexdigest())
"""


def test_the_number_of_threads_does_not_change_a_bit():
    printed = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, "OMP_NUM_THREADS": threads}, stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]  # fmt: skip
    assert len(printed[0]) > 60
    assert printed[0] == printed[1]


def test_momentum_and_weight_decay_are_those_of_sgd():
    """Before the first estimate, the preconditioner changes nothing."""
    models = [LeNet5(seed=0, dtype=np.float64) for _ in range(2)]
    optimizers = FOOF(models[0], 0.1, 0.9, 0.01), SGD(models[1], 0.1, 0.9, 0.01)
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = {name: rng.normal(size=value.shape) for name, value in models[0].parameters.items()}
        for optimizer in optimizers:
            optimizer.step(gradients)
    np.testing.assert_allclose(models[0].parameters.flat, models[1].parameters.flat, rtol=1e-12)
    np.testing.assert_allclose(optimizers[0].velocity, optimizers[1].velocity, rtol=1e-12)


def test_the_gradients_of_a_step_are_not_changed():
    model, images = model_and_images(2, np.float32)
    optimizer = FOOF(model, 0.1)
    optimizer.estimate(images)
    _, gradients = model.loss_and_gradients(images, [3, 1])
    before = {name: value.copy() for name, value in gradients.items()}
    optimizer.step(gradients)
    assert all(np.array_equal(gradients[name], before[name]) for name in before)


@pytest.mark.parametrize("pixels", [np.zeros((2, 28, 28)), np.full((1, 28, 28), 255, np.uint8)])
def test_inputs_that_never_vary_have_finite_inverses(pixels):
    optimizer = FOOF(LeNet5(seed=0), 0.1)
    optimizer.estimate(pixels)
    assert np.isfinite(optimizer.preconditioner).all()


def test_wrong_arguments_are_errors():
    with pytest.raises(InputError, match=r"^model is LeNet1998\(.*\); expected a network of Conv2d"):
        FOOF(LeNet1998(seed=0), 0.1)
    with pytest.raises(InputError, match=r"^damping is 0; expected"):
        FOOF(LeNet5(seed=0), 0.1, damping=0)
    with pytest.raises(InputError, match=r"^There are no images"):
        FOOF(LeNet5(seed=0), 0.1).estimate(np.zeros((0, 28, 28)))


def test_the_images_of_an_estimate_are_validated():
    with pytest.raises(InputError, match="shape"):
        FOOF(LeNet5(seed=0), 0.1).estimate(np.zeros((2, 27, 28)))
