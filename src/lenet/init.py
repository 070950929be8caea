"""Weight initialisation."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError


def xavier_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw weights uniformly from [-limit, limit], where limit = sqrt(6 / (fan_in + fan_out)).

    If the activation function has a slope of 1 at 0, like tanh, the variances of activations and gradients stay roughly
    constant across layers. The logistic sigmoid has a slope of 1/4, so both variances shrink from layer to layer, and
    training starts on a plateau.

    Parameters
    ----------
    shape : tuple of int
        (O, D) for a dense layer: fan_in is D and fan_out is O. (O, C, KH, KW) for a convolution: fan_in is C KH KW and
        fan_out is O KH KW.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, of the given shape

    Raises
    ------
    InputError, InputTypeError
        If shape is not a tuple of at least two positive integers, or rng is not a generator.

    References
    ----------
    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, equation 16.

    Examples
    --------
    >>> weight = xavier_uniform((6, 1, 5, 5), np.random.default_rng(0))
    >>> limit = (6 / (25 + 150)) ** 0.5
    >>> bool(abs(weight).max() <= limit)
    True
    """
    shape, rng = _shape(shape), _checks.generator(rng)
    field = math.prod(shape[2:])
    fan_out, fan_in = shape[0] * field, shape[1] * field
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape)


def fan_in_uniform(shape: tuple[int, ...], fan_in: ArrayLike, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw weights uniformly from [-limit, limit], where limit = sqrt(3 / fan_in); their variance is 1 / fan_in.

    If the inputs of a unit are uncorrelated and have a variance of 1, its weighted sum has a variance of 1, too. The
    limit of the 1998 paper is 2.4 / fan_in. With 400 inputs, it is 14 times smaller, and a signal fades from layer to
    layer.

    Parameters
    ----------
    shape : tuple of int
    fan_in : array_like of int
        The number of inputs of the units with these weights, at least 1: one number, or an array that broadcasts to
        the shape.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, of the given shape

    Raises
    ------
    InputError, InputTypeError
        If shape is not a tuple of at least two positive integers, fan_in is below 1 or does not broadcast to the shape,
        or rng is not a generator.

    References
    ----------
    LeCun, Bottou, Orr, Müller, "Efficient backprop", 1998, section 4.6.

    Examples
    --------
    >>> weight = fan_in_uniform((84, 120), 120, np.random.default_rng(0))
    >>> float(weight.var().round(4)), round(1 / 120, 4)
    (0.0083, 0.0083)
    """
    shape, rng = _shape(shape), _checks.generator(rng)
    inputs = _checks.broadcast(fan_in, np.float64, shape, "fan_in")
    if not (inputs >= 1).all():
        raise InputError(f"fan_in is {_checks.short_repr(fan_in)}; expected at least 1.")
    return rng.uniform(-1, 1, shape) * np.sqrt(3 / inputs)


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) < 2:
        raise InputError(f"shape is {_checks.short_repr(shape)}; expected a tuple of at least two lengths.")
    return tuple(_checks.size(length, "shape") for length in shape)
