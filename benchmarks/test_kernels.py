"""Time each kernel of each build of the fused network: `pytest benchmarks` (with pytest-benchmark).

`pytest benchmarks --benchmark-autosave` keeps the figures, `--benchmark-compare` shows them beside the new ones.
"""

import numpy as np
import pytest

from lenet import LeNet5
from lenet._fused.dispatch import available

BUILDS = available()


@pytest.fixture(params=BUILDS)
def build(request):
    """Return a build."""
    return BUILDS[request.param]


@pytest.fixture
def make():
    """Return a function that draws an array of numbers."""
    rng = np.random.default_rng(0)
    return lambda *shape: rng.normal(size=shape).astype(np.float32)


@pytest.fixture
def parameters():
    """Return the flat parameters of a new network."""
    return LeNet5(seed=0).parameters.flat


PIXELS = np.random.default_rng(1).integers(0, 256, (64, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("batch", [1, 12, 48])
def test_logits(benchmark, build, make, parameters, batch):
    benchmark(build.logits, parameters, PIXELS[:batch], 0.13, 0.31, make(batch, 10))


@pytest.mark.parametrize("batch", [1, 48])
def test_logits_of_reals(benchmark, build, make, parameters, batch):
    pixels = (PIXELS[:batch] / 255).astype(parameters.dtype)
    benchmark(build.logits, parameters, pixels.view(np.uint8), 0.13, 0.31, make(batch, 10))


@pytest.mark.parametrize("batch", [4, 16])
def test_learn(benchmark, build, make, parameters, batch):
    work, labels = np.zeros(build.learn_work(10), parameters.dtype), np.zeros(batch, np.int64)
    benchmark(
        build.learn, parameters, PIXELS[:batch], 0.13, 0.31, labels,
        np.full(batch, 1 / batch, parameters.dtype), make(batch, 10), make(batch), make(batch),
        np.zeros_like(parameters), work,
    )  # fmt: skip


def test_sgd_step(benchmark, build, parameters):
    gradient = np.zeros_like(parameters)
    benchmark(build.sgd_step, parameters, gradient, gradient.copy(), 0.1, 0.9, 0.0)


def test_softmax(benchmark, build, make):
    benchmark(build.softmax, make(64, 10))


def test_sigmoid(benchmark, build, make):
    benchmark(build.sigmoid, make(4704))
