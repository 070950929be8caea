"""The operations of the kernels, each of one size: by lenet, and for many inputs at once by NumPy in float64.

The functions draw sizes and weights from a `random.Random` and return an `Operation`. tests/helpers/reference.py has
the formulas but for those that have to tell the inputs apart, where a batch has one gradient of the weights.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lenet import LeNet5
from lenet.errors import InputError, InputTypeError
from lenet.layers import AvgPool2d, Conv2d, Linear, Sigmoid, col2im, im2col
from tests.helpers import reference


class Operation(NamedTuple):
    """An operation of some size.

    Attributes
    ----------
    shape : tuple of int
        Of an input.
    ours : callable
        Given an input, in any layout, and its number among all, returns a tuple of arrays.
    reference : callable
        Given all inputs in float64, along an axis in front, returns the same of all of them.
    any_shape : bool
        Whether it takes inputs of other shapes, too.
    of_images : bool
        Whether it takes pixels: bytes, or floats from 0 to 1.
    terms : float
        How large the terms of a result are, if all inputs have much the same: one that is smaller is as inexact.
    """

    shape: tuple[int, ...]
    ours: Callable
    reference: Callable
    any_shape: bool = False
    of_images: bool = False
    terms: float = 0

    def values(self, random, rng, shape):
        """Draw numbers, NaN among them now and then."""
        values = rng.random(shape) if self.of_images else rng.normal(size=shape)
        if random.random() < 0.1:
            values[rng.random(shape) < 0.03] = np.nan
        if self.of_images and random.random() < 0.1:
            values[rng.random(shape) < 0.001] = random.choice((-0.01, 1.01))
        return values

    def refusals(self, layout, values, fits):
        """Return the errors of which one has to be raised for an input; none if it is to be taken."""
        errors = () if fits else (InputError,)
        if layout.refused or (self.of_images and layout.dtype.kind != "f" and layout.dtype != np.uint8):
            errors += (InputTypeError,)
        elif self.of_images and layout.dtype.kind == "f" and not ((values >= 0) & (values <= 1)).all():
            errors += (InputError,)
        return errors


def _folded(function, *arrays):
    """Apply a function of batches to batches along another axis in front."""
    out = function(*(array.reshape(-1, *array.shape[2:]) for array in arrays))
    return out.reshape(*arrays[0].shape[:2], *out.shape[1:])


def _windows(x, size, padding):
    """x[R, N, C, H, W] as [R, N, C, OH, OW, size, size]."""
    return sliding_window_view(_folded(lambda x: reference.pad(x, padding), x), (size, size), axis=(-2, -1))


def _conv(random, rng, dtype):
    """A convolution, and its input's height and width."""
    size, padding = random.randint(1, 5), random.randint(0, 2)
    least = max(1, size - 2 * padding)
    height, width = least + random.randint(0, 3), least + random.choice((0, 1, 1, 2, 2, 3, 3, 17))  # more than a vector
    layer = Conv2d(random.randint(1, 3), random.choice((1, 2, 5, 17)), size, padding, dtype, rng)
    layer.parameters["bias"][...] = rng.normal(size=layer.out_channels)
    return layer, (random.randint(0, 2), layer.in_channels, height, width)


def conv2d(random, rng, dtype, inputs):
    layer, shape = _conv(random, rng, dtype)
    weight, bias = map(np.float64, layer.parameters.values())

    def forward(x):
        return (_folded(lambda x: reference.conv2d(x, weight, bias, layer.padding), x),)

    return Operation(shape, lambda x, _: (layer(x),), forward)


def conv2d_backward(random, rng, dtype, inputs):
    layer, shape = _conv(random, rng, dtype)
    x = rng.normal(size=(inputs, *shape)).astype(dtype)
    weight, sizes = np.float64(layer.parameters["weight"]), (layer.kernel_size, layer.padding)

    def backward(dy):
        patches = np.einsum("rnohw,ocij->rncijhw", dy, weight, optimize=True)
        dx = _folded(lambda patches: reference.col2im(patches, (len(patches), *shape[1:]), *sizes), patches)
        windows = _windows(np.float64(x), layer.kernel_size, layer.padding)
        dweight = np.einsum("rnchwij,rnohw->rocij", windows, dy, optimize=True)
        return dx, dweight, dy.sum(axis=(1, 3, 4))

    return Operation((shape[0], *layer.output_shape(shape[1:])), _backward(layer, x), backward)


def _backward(layer, x):
    """The layer's backward pass for input number `number` of x: dx, and the gradients of its parameters."""

    def run(dy, number):
        dx, gradients = layer.forward(x[number])[1](dy)
        return dx, *gradients.values()

    return run


def linear(random, rng, dtype, inputs):
    layer = Linear(random.randint(1, 40), random.choice((1, 2, 10, 17)), dtype, rng)
    layer.parameters["bias"][...] = rng.normal(size=layer.out_features)
    weight, bias = map(np.float64, layer.parameters.values())
    shape = random.randint(0, 5), layer.in_features
    return Operation(shape, lambda x, _: (layer(x),), lambda x: (reference.linear(x, weight, bias),))


def linear_backward(random, rng, dtype, inputs):
    layer = Linear(random.randint(1, 40), random.choice((1, 2, 10, 17)), dtype, rng)
    n = random.randint(0, 5)
    x = rng.normal(size=(inputs, n, layer.in_features)).astype(dtype)
    weight = np.float64(layer.parameters["weight"])

    def backward(dy):
        return dy @ weight, dy.swapaxes(1, 2) @ x, dy.sum(axis=1)

    return Operation((n, layer.out_features), _backward(layer, x), backward)


def _pool(random, dtype):
    """A pooling, and the shape of an input."""
    window = random.randint(1, 3), random.randint(1, 3)
    stride = random.choice((None, (random.randint(1, 3), random.randint(1, 3))))
    shape = random.randint(0, 3), random.randint(1, 3), *(length + random.randint(0, 9) for length in window)
    return AvgPool2d(window, stride, dtype), shape


def avg_pool2d(random, rng, dtype, inputs):
    layer, shape = _pool(random, dtype)
    sizes = *layer.kernel_size, *layer.stride
    return Operation(
        shape, lambda x, _: (layer(x),), lambda x: (_folded(lambda x: reference.avg_pool2d(x, *sizes), x),)
    )


def avg_pool2d_backward(random, rng, dtype, inputs):
    layer, shape = _pool(random, dtype)
    sizes = *layer.kernel_size, *layer.stride

    def backward(dy):
        return (_folded(lambda dy: reference.avg_pool2d_backward(dy, (len(dy), *shape[1:]), *sizes), dy),)

    x = np.zeros((inputs, *shape), dtype)
    return Operation((shape[0], *layer.output_shape(shape[1:])), _backward(layer, x), backward)


def sigmoid(random, rng, dtype, inputs):
    layer = Sigmoid(dtype)
    shape = tuple(random.randint(0, 5) for _ in range(random.randint(0, 4)))
    return Operation(shape, lambda x, _: (layer(x),), lambda x: (reference.sigmoid(x),), any_shape=True)


def sigmoid_backward(random, rng, dtype, inputs):
    layer = Sigmoid(dtype)
    shape = tuple(random.randint(0, 5) for _ in range(random.randint(0, 4)))
    x = rng.normal(size=(inputs, *shape)).astype(dtype)
    exact = reference.sigmoid(np.float64(x))
    return Operation(shape, _backward(layer, x), lambda dy: (reference.sigmoid_backward(dy, exact),))


def patches(random, rng, dtype, inputs):
    layer, shape = _conv(random, rng, dtype)
    size, padding = layer.kernel_size, layer.padding

    def columns(x):
        windows = _windows(x, size, padding)
        D, P = shape[1] * size**2, windows.shape[3] * windows.shape[4]
        return (windows.transpose(0, 1, 2, 5, 6, 3, 4).reshape(*x.shape[:2], D, P),)

    return Operation(shape, lambda x, _: (im2col(x, size, padding, dtype),), columns)


def patches_added(random, rng, dtype, inputs):
    layer, shape = _conv(random, rng, dtype)
    size, padding = layer.kernel_size, layer.padding
    _, height, width = layer.output_shape(shape[1:])

    def images(columns):
        return (_folded(lambda x: reference.col2im(x, (len(x), *shape[1:]), size, padding), columns),)

    inner = (shape[0], shape[1] * size**2, height * width)
    return Operation(inner, lambda x, _: (col2im(x, shape, size, padding, dtype),), images)


def logits(random, rng, dtype, inputs):
    """Of whole images, in every shape that the network takes."""
    model = LeNet5(random.getrandbits(20), dtype, num_classes=random.choice((2, 10, 17)))
    model.mean, model.std = random.choice(((0, 1), (0.13, 0.31)))
    n = random.randint(0, 2)
    shape = random.choice(((n, 1, 28, 28), (n, 28, 28), (n, 784), (28, 28)))

    def of_images(x):
        inputs = (x.reshape(-1, 1, 28, 28) - model.mean) / model.std
        return (reference.lenet(model.parameters, inputs)["output"].reshape(len(x), -1, model.num_classes),)

    terms = np.linalg.norm(model.parameters["output.weight"], axis=-1).max()  # F6's numbers are about 1/2
    return Operation(shape, lambda x, _: (model.logits(x),), of_images, of_images=True, terms=terms)
