"""The curvature of each kind of layer against its Jacobian, and the steps of Levenberg-Marquardt."""

import numpy as np
import pytest

from lenet import LeNet1998
from lenet.layers import Conv2d, Flatten, Linear, ScaledTanh, SparseConv2d, Subsample2d
from lenet.training import loop
from lenet.training.curvature import DiagonalLevenbergMarquardt, curvature, second_derivatives

TABLE = np.array([[True, False, True], [False, True, True]])


def jacobian(f, x):
    """The derivatives of all outputs with respect to each number of an array, as central differences."""
    columns = []
    for place in np.ndindex(x.shape):
        before = x[place]
        ends = []
        for end in (before + 1e-5, before - 1e-5):
            x[place] = end
            ends.append(f(x).ravel().copy())
        x[place] = before
        columns.append((ends[0] - ends[1]) / 2e-5)
    return np.array(columns).T


def rng_of(seed):
    return np.random.default_rng(seed)


LAYERS = {
    "linear": (Linear(4, 3, np.float64, rng_of(1)), (2, 4)),
    "conv": (Conv2d(2, 3, 2, 0, np.float64, rng_of(1)), (2, 2, 3, 4)),
    "sparse": (SparseConv2d(TABLE, 2, np.float64, rng_of(1)), (2, 3, 3, 4)),
    "subsample": (Subsample2d(2, 2, np.float64, rng_of(1)), (2, 2, 2, 4)),
    "squash": (ScaledTanh(np.float64), (2, 5)),
    "flatten": (Flatten(np.float64), (2, 1, 2, 3)),
}


@pytest.mark.parametrize("name", ["linear", "conv", "sparse", "subsample", "squash", "flatten"])
def test_second_derivatives_of_the_input_have_squared_factors(name):
    layer, shape = LAYERS[name]
    x = rng_of(0).normal(size=shape)
    y = layer.forward(x)[0]
    ddy = rng_of(2).random(y.shape)
    found, _ = second_derivatives(layer, x, ddy)
    expected = jacobian(lambda x: layer.forward(x)[0], x.copy()) ** 2
    assert found.shape == x.shape
    np.testing.assert_allclose(found.ravel(), expected.T @ ddy.ravel(), rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", "conv", "sparse"])
def test_second_derivatives_of_the_parameters_have_squared_inputs(name):
    layer, shape = LAYERS[name]
    x = rng_of(0).normal(size=shape)
    ddy = rng_of(2).random(layer.forward(x)[0].shape)
    before = {key: value.copy() for key, value in layer.parameters.items()}
    _, found = second_derivatives(layer, x, ddy)
    assert found.keys() == layer.parameters.keys()
    for key, value in layer.parameters.items():
        np.testing.assert_array_equal(value, before[key])
        expected = jacobian(lambda _: layer.forward(x)[0], value) ** 2
        np.testing.assert_allclose(found[key].ravel(), expected.T @ ddy.ravel(), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_curvature_is_a_mean_over_the_images(n):
    model, x = LeNet1998(seed=0, dtype=np.float64), rng_of(0).random((n, 28, 28))
    model.mean, model.std = 0.25, 0.5
    each = [curvature(model, image[None]).flat for image in x]
    np.testing.assert_allclose(curvature(model, x).flat, np.mean(each, axis=0), rtol=1e-9)
    slopes = 2 / 3 / 1.7159 * (1.7159**2 - model.activations(x)["f6"] ** 2)
    np.testing.assert_allclose(curvature(model, x)["f6.bias"], (2 * slopes**2).mean(axis=0))
    assert list(curvature(model, x)) == list(model.parameters)


def test_the_curvature_of_no_images_is_0():
    assert not curvature(LeNet1998(seed=0), np.zeros((0, 28, 28))).flat.any()


def test_the_curvature_is_estimated_from_500_images_as_in_the_paper():
    assert loop.SAMPLE == 500


@pytest.mark.parametrize(("mu", "expected"), [(None, 0.2), (0.5, 0.5)])
def test_each_parameter_has_its_own_learning_rate(mu, expected):
    model, x = LeNet1998(seed=0, dtype=np.float64), rng_of(0).random((2, 28, 28))
    optimizer = DiagonalLevenbergMarquardt(model, 0.3) if mu is None else DiagonalLevenbergMarquardt(model, 0.3, mu)
    assert not optimizer.preconditioner.any()
    before, h = model.parameters.flat.copy(), curvature(model, x).flat
    optimizer.estimate(x)
    np.testing.assert_allclose(optimizer.preconditioner, h, rtol=1e-12)
    gradients = {name: rng_of(1).normal(size=value.shape) for name, value in model.parameters.items()}
    optimizer.step(gradients)
    flat = np.concatenate([value.ravel() for value in gradients.values()])
    np.testing.assert_allclose(model.parameters.flat, before - 0.3 * flat / (expected + h), rtol=1e-9)
