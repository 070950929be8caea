"""The kernels, through layers and network: arrays of every type, byte order and stride, against NumPy.

The bytes seed a batch of inputs for one operation of one size, each with numbers of its own and in one of some layouts;
the reference computes all of them at once. So an input costs little more than the call.
"""

import contextlib
import os
import time

import numpy as np

from lenet._fused import dispatch
from tests.fuzz import SECONDS, operations, random_of
from tests.fuzz.layouts import Layout

RUNS = 256  # inputs of a seed
_LAYOUTS = 32
_OFTEN = (
    operations.conv2d,
    operations.conv2d_backward,
    operations.linear,
    operations.linear_backward,
    operations.avg_pool2d,
    operations.avg_pool2d_backward,
    operations.sigmoid,
    operations.sigmoid_backward,
    operations.patches,
    operations.patches_added,
)
_SELDOM = operations.logits  # whose reference takes long


def run(data):
    return check(random_of(data), RUNS)


def check(random, inputs):
    """Draw an operation and inputs of it; raise AssertionError if a result or a refusal is wrong.

    Returns how many inputs were computed, and compared; the others were refused, as they should be.
    """
    with _build(random.choice(list(dispatch.available()))):
        make = _SELDOM if random.random() < 0.01 else random.choice(_OFTEN)
        dtype = np.dtype(random.choice((np.float32, np.float64)))
        rng = np.random.default_rng(random.getrandbits(32))
        operation = make(random, rng, dtype, inputs)
        fits = operation.any_shape or random.random() > 0.03
        shape = operation.shape if fits else (*operation.shape, 1)
        layouts = [Layout(random, shape) for _ in range(min(inputs, _LAYOUTS))]
        values = operation.values(random, rng, (inputs, *shape))
        exact, results = _computed(operation, layouts, values, fits)
    numbers = list(results)
    for index, wanted in enumerate(operation.reference(exact)):
        _check_close(
            [each[index] for each in results.values()], wanted[numbers], exact[numbers], dtype, operation.terms
        )
    return len(results)


@contextlib.contextmanager
def _build(name):
    """Have all layers and models that are made within compute by this build of the kernels."""
    before = os.environ.get("LENET_CPU", "")
    try:
        _choose(name)
        yield
    finally:
        _choose(before)


def _choose(name):
    os.environ["LENET_CPU"] = name
    dispatch.kernels.cache_clear()


def _computed(operation, layouts, values, fits):
    """Return the inputs in float64, and lenet's results by the inputs' numbers, but for those that it has to refuse."""
    exact, results = np.zeros((len(values), *operation.shape)), {}
    began = time.process_time()
    with np.errstate(invalid="ignore"):  # NaN becomes some integer
        for number in range(len(values)):
            layout = layouts[number % len(layouts)]
            given, now = layout.holding(values[number, ...])
            refusals = operation.refusals(layout, now, fits)
            if refusals:
                _check_refused(operation, given, number, refusals)
            else:
                results[number] = operation.ours(given, number)
                exact[number] = now / 255 if operation.of_images and layout.dtype == np.uint8 else now
    assert time.process_time() - began < SECONDS, "so much time was taken"
    return exact, results


def _check_refused(operation, given, number, refusals):
    try:
        operation.ours(given, number)
    except refusals:
        return
    raise AssertionError(f"{type(given)} was taken")


def _check_close(results, wanted, given, dtype, terms):
    assert all(each.shape == wanted.shape[1:] and each.dtype == dtype for each in results), "of another shape or type"
    if not wanted.size:
        return
    # A result that is small because its terms cancel is as inexact as they are, whose sum grows with the inputs.
    largest, of_inputs = _largest(wanted), _largest(given)
    gain = np.divide(largest, of_inputs, where=of_inputs > 1e-3, out=np.zeros(len(given))).max()
    scale = np.maximum(np.maximum(largest, terms), of_inputs * gain)
    tolerance = (1e-5 if dtype == np.float32 else 1e-12) * scale.reshape(-1, *(1,) * (wanted.ndim - 1))
    found = np.array(results)
    right = (np.abs(found - wanted) <= tolerance) | (np.isnan(found) & np.isnan(wanted))
    assert right.all(), f"input {np.argwhere(~right)[0]}: {found[~right][0]}, and {wanted[~right][0]} is right"


def _largest(arrays):
    """Return the largest size of a number in each array."""
    return np.abs(np.nan_to_num(arrays.reshape(len(arrays), -1))).max(axis=1, initial=0)


def seeds():
    return {f"seed-{number}": number.to_bytes(8, "big") for number in range(40)}
