"""Programs that tests run in a separate process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SENDS_SIGNALS = pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to another process")


def run(code, timeout=60, **environment):
    """Run a program, which can import the modules of this folder, in a new process with these environment variables."""
    env = {key: value for key, value in os.environ.items() if key not in {"LENET_CPU", "LENET_NUM_THREADS"}}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), env.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code], env=env | environment, capture_output=True, text=True, timeout=timeout
    )


def output(code, timeout=60, **environment):
    """Return the output of a program that must succeed."""
    done = run(code, timeout, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def finish(process):
    """Wait for a program that must succeed; return the objects of JSON that it prints, one per line."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]
