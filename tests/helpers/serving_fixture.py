"""Fixtures of the server's tests: a server with the default limits, a strict one, and digits to send to them."""

import pytest
from served import serving

import lenet


@pytest.fixture(scope="module")
def server():
    """A server with the default limits."""
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def strict():
    """A server that gives each request 0.8 s to arrive, and accepts bodies of at most half a megabyte."""
    with serving("--timeout", "0.8", "--max-body", "0.5") as running:
        yield running


@pytest.fixture(scope="module")
def digits():
    """The images and labels of the test set of scikit-learn's digits."""
    data = lenet.data.load_digits()
    return data.X_test, data.y_test
