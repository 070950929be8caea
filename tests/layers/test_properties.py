"""Mathematical properties of the layers and the network, for any sizes.

Where numbers are small integers, every sum of them is exact in either dtype and its order does not matter: what should
be equal is equal to the bit. Hypothesis draws the sizes and a seed of the numbers, the same ones in every run.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet import LeNet5
from lenet.layers import AvgPool2d, Conv2d, Flatten, Linear, Sigmoid, col2im, im2col
from lenet.losses import cross_entropy, log_softmax, softmax

DTYPES = st.sampled_from([np.float32, np.float64])
RNG = st.integers(0, 2**32 - 1).map(np.random.default_rng)
prop = settings(derandomize=True, database=None, deadline=None, max_examples=100)
few = settings(prop, max_examples=20)


def whole(rng, shape, dtype):
    """Whole numbers from -8 to 8: of 2,000 products of two, the sum is exact in float32."""
    return rng.integers(-8, 9, shape).astype(dtype)


def inner(a, b):
    return float((a.astype(np.float64) * b).sum())


@st.composite
def convolutions(draw, spare=0):
    """A convolution of whole numbers without bias, and the shape of a batch for it, larger by `spare`."""
    kernel, padding, rng = draw(st.integers(1, 5)), draw(st.integers(0, 3)), draw(RNG)
    layer = Conv2d(draw(st.integers(1, 6)), draw(st.integers(1, 20)), kernel, padding, draw(DTYPES), rng)
    layer.parameters["weight"][...] = whole(rng, layer.parameters["weight"].shape, layer.dtype)
    least = max(1, kernel - 2 * padding)
    height, width = (draw(st.integers(least, least + 12)) + spare for _ in range(2))
    return layer, (draw(st.integers(1, 3)), layer.in_channels, height, width), rng


@st.composite
def poolings(draw):
    """A pooling, and the shape of a batch for it."""
    sizes, strides = (tuple(draw(st.integers(1, 4)) for _ in range(2)) for _ in range(2))
    height, width = (size + draw(st.integers(0, 9)) for size in sizes)
    layer = AvgPool2d(sizes, strides, draw(DTYPES))
    return layer, (draw(st.integers(1, 3)), draw(st.integers(1, 4)), height, width), draw(RNG)


# ---- one layer -----------------------------------------------------------------------------------------


@given(convolutions())
@prop
def test_convolution_is_linear(case):
    layer, shape, rng = case
    x, z = whole(rng, shape, layer.dtype), whole(rng, shape, layer.dtype)
    np.testing.assert_array_equal(layer(3 * x - 2 * z), 3 * layer(x) - 2 * layer(z))
    layer.parameters["bias"][...] = bias = whole(rng, layer.out_channels, layer.dtype)
    np.testing.assert_array_equal(layer(0 * x), np.broadcast_to(bias[:, None, None], layer(x).shape))


def check_adjoint(layer, x, rng):
    """The backward pass is the transpose: with respect to the input and, if there are any, the weight and bias."""
    y, backward = layer.forward(x)
    dy = whole(rng, y.shape, layer.dtype)
    dx, gradients = backward(dy)
    assert inner(y, dy) == inner(x, dx)
    if gradients:
        assert inner(y, dy) == inner(layer.parameters["weight"], gradients["weight"])
        np.testing.assert_array_equal(gradients["bias"], dy.sum(axis=(0, *range(2, dy.ndim))))


@given(convolutions())
@prop
def test_convolution_backwards_is_its_transpose(case):
    layer, shape, rng = case
    check_adjoint(layer, whole(rng, shape, layer.dtype), rng)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), DTYPES, RNG)
@prop
def test_a_dense_layer_backwards_is_its_transpose(inputs, outputs, n, dtype, rng):
    layer = Linear(inputs, outputs, dtype, rng)
    layer.parameters["weight"][...] = whole(rng, (outputs, inputs), dtype)
    check_adjoint(layer, whole(rng, (n, inputs), dtype), rng)


@given(poolings())
@prop
def test_pooling_backwards_is_its_transpose(case):
    layer, shape, rng = case
    x, area = whole(rng, shape, layer.dtype), np.prod(layer.kernel_size)
    y, backward = layer.forward(x)
    dy = whole(rng, y.shape, layer.dtype)
    dx, _ = backward(dy)
    # A mean may be rounded, but not so far that its sum would be another whole number.
    assert inner(np.rint(y * area), dy) == inner(x, np.rint(dx * area))


@given(convolutions())
@prop
def test_col2im_is_the_transpose_of_im2col(case):
    layer, shape, rng = case
    x = whole(rng, shape, layer.dtype)
    columns = im2col(x, layer.kernel_size, layer.padding, layer.dtype)
    dcolumns = whole(rng, columns.shape, layer.dtype)
    assert inner(columns, dcolumns) == inner(x, col2im(dcolumns, shape, layer.kernel_size, layer.padding, layer.dtype))


@given(convolutions(spare=8), st.integers(0, 4), st.integers(0, 4))
@prop
def test_convolution_moves_with_the_image(case, down, right):
    layer, (n, channels, height, width), rng = case
    large = whole(rng, (n, channels, height + down, width + right), layer.dtype)
    here, there = layer(large[:, :, :height, :width]), layer(large[:, :, down:, right:])
    edge = layer.padding  # so far in, outputs see it
    rows, columns = (length - edge for length in here.shape[2:])
    moved = here[:, :, edge + down : rows, edge + right : columns]
    assert moved.size
    np.testing.assert_array_equal(moved, there[:, :, edge : rows - down, edge : columns - right])


@given(poolings(), st.integers(0, 2), st.integers(0, 2))
@prop
def test_pooling_moves_with_the_image_by_whole_strides(case, down, right):
    layer, (n, channels, height, width), rng = case
    SH, SW = layer.stride
    height, width = height + 2 * SH, width + 2 * SW  # so that something is left
    large = whole(rng, (n, channels, height + down * SH, width + right * SW), layer.dtype)
    here, there = layer(large[:, :, :height, :width]), layer(large[:, :, down * SH :, right * SW :])
    rows, columns = here.shape[2:]
    np.testing.assert_array_equal(here[:, :, down:, right:], there[:, :, : rows - down, : columns - right])


# ---- layers in a row -----------------------------------------------------------------------------------


@st.composite
def networks(draw, dtypes):
    """Layers of random sizes that follow each other, the last one dense, and the shape of an input."""
    dtype, rng = draw(dtypes), draw(RNG)
    shape = whole_shape = tuple(draw(st.integers(*span)) for span in ((1, 3), (3, 9), (3, 9)))
    layers = []
    for kind in draw(st.lists(st.sampled_from(["convolution", "pooling", "sigmoid"]), max_size=5)):
        if kind == "convolution":
            padding = draw(st.integers(0, 2))
            kernel = draw(st.integers(1, min(4, min(shape[1:]) + 2 * padding)))
            layers.append(Conv2d(shape[0], draw(st.integers(1, 5)), kernel, padding, dtype, rng))
        elif kind == "pooling":
            size = tuple(draw(st.integers(1, min(3, length))) for length in shape[1:])
            layers.append(AvgPool2d(size, (draw(st.integers(1, 3)), draw(st.integers(1, 3))), dtype))
        else:
            layers.append(Sigmoid(dtype))
        shape = layers[-1].output_shape(shape)
    layers += [Flatten(dtype), Linear(int(np.prod(shape)), draw(st.integers(2, 5)), dtype, rng)]
    for layer in layers:
        if layer.parameters:
            layer.parameters["bias"][...] = rng.normal(size=layer.parameters["bias"].shape)
    return layers, whole_shape, rng


def forwards(layers, x):
    for layer in layers:
        x, _ = layer.forward(x)
    return x


def gradients_of(layers, x, y):
    """The gradient of the summed cross-entropy with respect to the input and the parameters of each layer."""
    backwards, parameters = [], []
    for layer in layers:
        x, backward = layer.forward(x)
        backwards.append(backward)
    _, dx = cross_entropy(x, y)
    for backward in reversed(backwards):
        dx, gradients = backward(dx)
        parameters.append(gradients)
    return dx, parameters[::-1]


def slope(loss, array, direction, step=1e-5):
    """The central difference of a loss along a direction of an array, which is restored."""
    before, ends = array.copy(), []
    for sign in (1, -1):
        array[...] = before + sign * step * direction
        ends.append(loss())
    array[...] = before
    return (ends[0] - ends[1]) / (2 * step)


@given(networks(st.just(np.float64)), st.integers(1, 4))
@prop
def test_gradients_of_random_networks_are_the_slopes_of_the_loss(network, n):
    layers, shape, rng = network
    x, y = rng.normal(size=(n, *shape)), rng.integers(0, layers[-1].out_features, n)
    dx, gradients = gradients_of(layers, x, y)
    pairs = [(x, dx)]
    pairs += [(layer.parameters[name], g[name]) for layer, g in zip(layers, gradients, strict=True) for name in g]
    for array, gradient in pairs:
        direction = rng.normal(size=array.shape)
        direction /= np.linalg.norm(direction)
        found = slope(lambda: cross_entropy(forwards(layers, x), y)[0].sum(), array, direction)
        assert inner(gradient, direction) == pytest.approx(found, rel=1e-6, abs=1e-8)


# ---- the whole network, compiled -----------------------------------------------------------------------


@st.composite
def models(draw, dtypes=DTYPES):
    """A model that distinguishes images, with any number of classes and standardisation."""
    model = LeNet5(seed=draw(st.integers(0, 99)), dtype=draw(dtypes), num_classes=draw(st.integers(2, 30)))
    model.parameters.flat *= 3
    model.mean, model.std = draw(st.floats(0, 0.5)), draw(st.floats(0.2, 1))
    return model


@given(models(st.just(np.float32)), st.integers(1, 150), st.sampled_from([1, 2]), st.booleans(), RNG)
@few
def test_the_network_gives_an_image_the_same_bits_in_any_batch(model, n, n_jobs, of_bytes, rng):
    x = rng.integers(0, 256, (n, 28, 28), np.uint8) if of_bytes else rng.random((n, 28, 28))
    whole_batch = model.logits(x, n_jobs=n_jobs)
    order, cut = rng.permutation(n), int(rng.integers(0, n + 1))
    np.testing.assert_array_equal(model.logits(x[order], n_jobs=n_jobs), whole_batch[order])
    parts = [model.logits(part, n_jobs=n_jobs) for part in (x[:cut], x[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole_batch)


@given(models(), RNG)
@few
def test_the_network_moves_with_the_image(model, rng):
    """4 pixels of the image are 1 of S4, by which C5's kernel moves; what would fall off at the end is 0."""
    model.mean = 0.0  # so that pixels of 0 are as the padding
    moved = LeNet5(dtype=model.dtype, num_classes=model.num_classes)
    moved.mean, moved.std = model.mean, model.std
    model.parameters["c5.weight"][:, :, -1] = 0
    model.parameters["c5.weight"][:, :, :, -1] = 0
    state = model.state_dict()
    state["c5.weight"] = np.roll(state["c5.weight"], (1, 1), axis=(2, 3))
    moved.load_state_dict(state)
    x = rng.integers(0, 256, (3, 28, 28), np.uint8)
    x[:, -4:] = x[:, :, -4:] = 0
    expected, close = model.logits(x), 1e-5 if model.dtype == np.float32 else 1e-12
    found = moved.logits(np.roll(x, (4, 4), axis=(1, 2)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=close * np.abs(expected).max())


@pytest.mark.landing
@given(models(st.just(np.float64)), st.integers(1, 40), st.booleans(), RNG)
@few
def test_gradients_of_the_network_are_the_slopes_of_the_loss(model, n, weighted, rng):
    x, y = rng.random((n, 28, 28)), rng.integers(0, model.num_classes, n)
    weights = rng.random(n) if weighted else None
    _, gradients = model.loss_and_gradients(x, y, sample_weight=weights)
    for name, parameter in model.parameters.items():
        direction = rng.normal(size=parameter.shape)
        direction /= np.linalg.norm(direction)
        found = slope(lambda: model.loss_and_gradients(x, y, sample_weight=weights)[0], parameter, direction)
        assert inner(gradients[name], direction) == pytest.approx(found, rel=1e-5, abs=1e-9), name


# ---- softmax -------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(2, 40), st.integers(-1000, 1000), DTYPES, RNG)
@prop
def test_softmax_does_not_see_a_shift_and_adds_up_to_1(n, classes, shift, dtype, rng):
    logits = rng.integers(-50, 51, (n, classes)).astype(dtype)
    probabilities, eps = softmax(logits), np.finfo(dtype).eps
    np.testing.assert_array_equal(softmax(logits + dtype(shift)), probabilities)
    np.testing.assert_array_equal(log_softmax(logits + dtype(shift)), log_softmax(logits))
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=classes * eps)
    for shifted in (0, shift):
        losses, dlogits = cross_entropy(logits + dtype(shifted), rng.integers(-1, classes, n))
        assert (losses >= 0).all()
        np.testing.assert_allclose(dlogits.sum(axis=1), 0, rtol=0, atol=classes * eps)


@given(models(), st.integers(-1000, 1000), RNG)
@prop
def test_the_networks_softmax_does_not_see_a_shift_and_adds_up_to_1(model, shift, rng):
    """The logits are the biases, whole numbers, so that shifted ones are exact."""
    model.parameters["output.weight"] = 0
    model.parameters["output.bias"] = rng.integers(-50, 51, model.num_classes)
    x = rng.integers(0, 256, (2, 28, 28), np.uint8)
    probabilities = model.predict_proba(x)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=model.num_classes * np.finfo(model.dtype).eps)
    model.parameters["output.bias"] = model.parameters["output.bias"] + model.dtype.type(shift)
    np.testing.assert_array_equal(model.predict_proba(x), probabilities)
