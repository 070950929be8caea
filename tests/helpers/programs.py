"""Programs that tests run in a separate process."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
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


def with_process(name):
    """Return a name and the number of the process."""
    return name, os.getpid()


def fail_in_worker(name):
    """Return what `with_process` does, but end a worker process at the name "4"."""
    if name == "4" and multiprocessing.parent_process() is not None:
        os._exit(1)
    return with_process(name)


def sleep(name):
    """Take a while, and print a name."""
    time.sleep(0.4)
    print(name, flush=True)
    return name
