"""`python -m benchmarks` runs; test_arithmetic.py, in the release tier, has its arithmetic."""

import numpy as np
import pytest

import benchmarks.__main__ as command
from lenet import LeNet5
from lenet._fused.dispatch import available


@pytest.mark.landing
def test_every_build_of_this_cpu_has_a_row():
    rows = command.build_rows(LeNet5(seed=0), np.zeros((2, 28, 28), np.uint8), 2)
    assert [row["build"] for row in rows] == [*available()]
    assert all(row["microseconds"] > 0 for row in rows)
