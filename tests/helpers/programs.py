"""Programs that tests run in a separate process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOCKS = []
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


def with_process(name, padding=b""):
    """Print a name, and return it with the number of the process."""
    print(name, flush=True)
    return name, os.getpid()


def fail_elsewhere(first, name):
    """Return what `with_process` does, but end a process other than the first at the name "4"."""
    if name == "4" and os.getpid() != first:
        os._exit(1)
    return with_process(name)


def printing(name):
    """Return a name after writing to standard output, as libraries in C do."""
    os.write(1, b"cwarning: something\n")
    return name


def counted(path):
    """Add a byte to a file."""
    with Path(path).open("ab") as file:
        file.write(b"x")


def threads_and_filters(name):
    """Return the number of OpenCV's threads, and whether Pillow's warnings are ignored."""
    import warnings

    import cv2

    filters = [(action, getattr(module, "pattern", None)) for action, _, _, module, _ in warnings.filters]
    return cv2.getNumThreads(), ("ignore", "PIL") in filters


def sleep_with_lock(seconds):
    """Sleep while this process has a lock, which it keeps until it ends."""
    import fcntl

    LOCKS.append(Path(f"{os.getpid()}.lock").open("w"))  # noqa: SIM115
    fcntl.lockf(LOCKS[-1], fcntl.LOCK_EX)
    time.sleep(float(seconds))
    return seconds


def is_locked(path):
    """Return whether another process has a lock on a file."""
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def interrupted(results):
    """Print results; return the exit code of `lenet`."""
    try:
        for result in results:
            print(result, flush=True)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return 130
    return 0
