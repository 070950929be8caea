"""Each kernel of each build by itself, for those who change one: `pytest benchmarks` (with pytest-benchmark).

`pytest benchmarks --benchmark-autosave` keeps the figures, `--benchmark-compare` shows them beside the new ones.
"""

import importlib

import numpy as np
import pytest

from lenet import LeNet5
from lenet._kernels import available

BUILDS = {**available(), "float64": "_conv_f64"}


@pytest.fixture(params=BUILDS)
def build(request):
    """Return the module of a build."""
    return importlib.import_module(f"lenet.{BUILDS[request.param]}")


@pytest.fixture
def make(build):
    """Return a function that draws an array of the build's numbers."""
    rng = np.random.default_rng(0)
    return lambda *shape: rng.normal(size=shape).astype(f"f{build.build()['itemsize']}")


@pytest.fixture
def parameters(make):
    """Return the flat parameters of a new network."""
    return LeNet5(seed=0, dtype=make(1).dtype).parameters.flat


PIXELS = np.random.default_rng(1).integers(0, 256, (64, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("batch", [1, 12, 48])
def test_logits_of_bytes(benchmark, build, make, parameters, batch):
    benchmark(build.logits_of_bytes, parameters, PIXELS[:batch], 0.13, 0.31, make(batch, 10))


@pytest.mark.parametrize("batch", [1, 48])
def test_logits_of_reals(benchmark, build, make, parameters, batch):
    pixels = (PIXELS[:batch] / 255).astype(parameters.dtype)
    benchmark(build.logits_of_reals, parameters, pixels, 0.13, 0.31, make(batch, 10))


@pytest.mark.parametrize("batch", [4, 16])
def test_learn_from_bytes(benchmark, build, make, parameters, batch):
    work, labels = np.zeros(build.learn_work(10), parameters.dtype), np.zeros(batch, np.int64)
    benchmark(
        build.learn_from_bytes, parameters, PIXELS[:batch], 0.13, 0.31, labels,
        np.full(batch, 1 / batch, parameters.dtype), make(batch, 10), make(batch), make(batch),
        np.zeros_like(parameters), work,
    )  # fmt: skip


def test_sgd_step(benchmark, build, parameters):
    gradient = np.zeros_like(parameters)
    benchmark(build.sgd_step, parameters, gradient, gradient.copy(), 0.1, 0.9, 0.0)


def test_softmax(benchmark, build, make):
    benchmark(build.softmax, make(64, 10))


def test_sigmoid_forward(benchmark, build, make):
    benchmark(build.sigmoid_forward, make(4704), make(4704))


# C1 and C3 of 16 images, layer by layer.
@pytest.mark.parametrize("shape", [(1, 28, 28, 6, 2), (6, 14, 14, 16, 0)], ids=["c1", "c3"])
@pytest.mark.parametrize("direction", ["forward", "backward_input", "backward_weight"])
def test_conv2d(benchmark, build, make, shape, direction):
    C, H, W, O, padding = shape
    x, weight, bias = make(16, C, H, W), make(O, C, 5, 5), make(O)
    y, work = make(16, O, H + 2 * padding - 4, W + 2 * padding - 4), make(build.conv2d_work(C, H, W, O, 5, 5, padding))
    arguments = {
        "forward": (x, weight, bias, padding, y, work),
        "backward_input": (y, weight, padding, x, work),
        "backward_weight": (y, x, padding, weight, bias, work),
    }[direction]
    benchmark(getattr(build, f"conv2d_{direction}"), *arguments)


def test_avg_pool2d(benchmark, build, make):
    benchmark(build.avg_pool2d_forward, make(16, 6, 28, 28), 2, 2, 2, 2, make(16, 6, 14, 14))
