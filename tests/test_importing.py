"""The effects of importing lenet on the process: open files, time, and sub-interpreters."""

import importlib.util
import json
import sys

import pytest
from programs import output

# ---- side effects --------------------------------------------------------------------------------------

WATCHED = """
import json, sys, threading
import numpy, numpy.random, numpy.typing
told = []
sys.addaudithook(lambda event, arguments: told.append([event, str(arguments[0]) if arguments else ""]))
from lenet import LeNet5, SGD, load, load_pretrained, train, show_config
from lenet import data, errors, evaluation, init, interop, layers, losses, plots, reading, rejection
from lenet import scale, training, weights
extras = {"sklearn", "scipy", "pandas", "matplotlib", "rich", "PIL", "cv2", "joblib", "onnx", "torch", "dask",
          "threadpoolctl"}
print(json.dumps([told, sorted(extras & sys.modules.keys())]))
"""
OUTSIDE = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "_thread.start", "urllib.")


def test_importing_opens_modules_only_and_starts_nothing():
    told, extras = json.loads(output(WATCHED, PYTHONDONTWRITEBYTECODE="1"))
    assert extras == []
    opened = [path for event, path in told if event == "open"]
    assert len(opened) > 30
    assert [path for path in opened if not path.endswith((".py", ".pyc"))] == []
    assert [event for event, _ in told if event.startswith(OUTSIDE)] == []


# ---- how long it takes ---------------------------------------------------------------------------------

TIMED = """
import time
began = time.perf_counter()
import numpy
with_numpy = time.perf_counter()
import lenet
with_lenet = time.perf_counter()
lenet.load_pretrained, lenet.LeNet5
ready = time.perf_counter()
print((with_lenet - with_numpy) / (with_numpy - began), (ready - with_numpy) / (with_numpy - began))
"""


@pytest.mark.landing
def test_importing_takes_a_fraction_of_the_time_of_numpy():
    """The least of some runs, as parts of numpy's time in the same run: 1 and 20 to 60 percent are measured."""
    output(TIMED)  # writes the compiled modules
    alone, ready = zip(*(map(float, output(TIMED).split()) for _ in range(7)), strict=True)
    assert min(alone) < 0.05
    assert min(ready) < 0.8


# ---- sub-interpreters ----------------------------------------------------------------------------------

SINCE_313 = sys.version_info >= (3, 13)
INTERPRETERS = "_interpreters" if SINCE_313 else "_xxsubinterpreters"
ATTEMPT = """
try:
    import lenet
except ImportError as error:
    print(f"ImportError: {error}", flush=True)
"""
REFUSAL = (
    "ImportError: lenet, like NumPy, does not support sub-interpreters. Use threads (the kernels release the GIL) or "
    "processes.\n"
)


@pytest.mark.skipif(importlib.util.find_spec(INTERPRETERS) is None, reason="this Python has no sub-interpreters")
@pytest.mark.parametrize("before", ["", "import lenet; lenet.LeNet5(seed=0)"], ids=["alone", "beside the main one"])
@pytest.mark.parametrize("kind", ["isolated", "legacy"])  # with its own GIL, since Python 3.12, and with a shared one
def test_a_sub_interpreter_is_refused(kind, before):
    how = repr(kind) if SINCE_313 else f"isolated={kind == 'isolated'}"
    run_in = "exec" if SINCE_313 else "run_string"
    program = f"{before}\nimport {INTERPRETERS} as them\nthem.{run_in}(them.create({how}), {ATTEMPT!r})"
    assert output(program) == REFUSAL
