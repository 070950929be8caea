"""What docs/hosting.md shows, run as far as it can be without Docker, Kubernetes, Triton and root."""

import asyncio
import contextlib
import http.client
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lenet

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "serving"
STARTS = 30  # seconds
needs_server = [pytest.importorskip(name) for name in ("starlette", "uvicorn", "prometheus_client", "orjson")]


@pytest.fixture(scope="module")
def images():
    pytest.importorskip("sklearn")
    return lenet.data.load_digits().X_test[:8]


@pytest.fixture(scope="module")
def labels(images):
    return lenet.load_pretrained().predict(images)


def module(path):
    """An example, imported under its own name."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(made)
    return made
