"""Fixtures of the model's tests."""

import numpy as np
import pytest
from models import make_model


@pytest.fixture
def model():
    return make_model()


@pytest.fixture(scope="module")
def bytes_200():
    return np.random.default_rng(2).integers(0, 256, (200, 28, 28), np.uint8)
