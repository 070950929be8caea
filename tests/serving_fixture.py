"""Fixtures of the server's tests: a server with the default limits, and a strict one."""

import pytest
from served import serving


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
