"""Exceptions and signals at any moment, and process exit while threads work: no deadlock, no wrong result."""

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fingerprint import draw_images, make_model
from programs import run

import lenet
from lenet._fused import threads

LENET = str(Path(lenet.__file__).parent)
unix = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="only Unix sends signals to a thread")
pytestmark = pytest.mark.timeout(600)


class Interrupted(BaseException):
    """The exception of a signal handler, like KeyboardInterrupt for Ctrl-C."""


@contextlib.contextmanager
def ended_at(number):
    """A context in which the n-th statement that lenet runs in this thread raises Interrupted."""
    statements, before = itertools.count(), sys.gettrace()

    def trace(frame, event, _):
        if not frame.f_code.co_filename.startswith(LENET):
            return None
        if event == "line" and next(statements) == number:
            raise Interrupted
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def interruptions(work, step=1):
    """Repeat some work, interrupted at every `step`-th of its statements in turn; continue after each."""
    for number in itertools.count(step=step):
        with contextlib.suppress(Interrupted), ended_at(number):
            work()
            return
        yield


@contextlib.contextmanager
def signals(handler, waits):
    """A context in which the main thread gets signals at intervals of so many seconds."""
    main, ended, handled = threading.main_thread().ident, threading.Event(), threading.Semaphore(0)

    def send():
        for seconds in waits:
            if ended.wait(seconds):
                return
            signal.pthread_kill(main, signal.SIGUSR1)
            handled.acquire()

    def handle(*_):
        try:
            handler()
        finally:
            handled.release()

    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send)
    try:
        sender.start()
        yield sender
    finally:
        ended.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def images():
    return draw_images()


@pytest.fixture(scope="module")
def labels(images):
    return np.arange(len(images)) % 10


# ---- an exception at each statement in turn ------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [3, pytest.param(1, marks=pytest.mark.landing)])
def test_predictions_after_an_interruption_are_right(model, images, n_jobs):
    expected, out = model.logits(images, n_jobs=1), np.empty((257, 10), np.float32)
    ended = 0
    for _ in interruptions(lambda: model.logits(images[::-1], n_jobs=n_jobs, out=out)):
        np.testing.assert_array_equal(model.logits(images, n_jobs=n_jobs, out=out), expected)
        ended += 1
    assert ended > 30


@pytest.mark.parametrize("n_jobs", [3, pytest.param(1, marks=pytest.mark.landing)])
def test_gradients_after_an_interruption_are_right(model, images, labels, n_jobs):
    _, expected = model.loss_and_gradients(images[:60], labels[:60], n_jobs=1)
    ended = 0
    for _ in interruptions(lambda: model.loss_and_gradients(images[100:160], labels[:60], n_jobs=n_jobs)):
        _, gradients = model.loss_and_gradients(images[:60], labels[:60], n_jobs=n_jobs)
        np.testing.assert_array_equal(gradients.flat, expected.flat)
        ended += 1
    assert ended > 100


def test_weights_are_loaded_whole_or_not_at_all():
    model, old, new = make_model(0), make_model(0), make_model(1)
    found = []
    for _ in interruptions(lambda: model.load_state_dict(new.state_dict())):
        found.append([np.array_equal(model.parameters.flat, each.parameters.flat) for each in (old, new)])
        model.load_state_dict(old.state_dict())
    assert len(found) > 50
    assert all(sum(each) == 1 for each in found)
    np.testing.assert_array_equal(model.parameters.flat, new.parameters.flat)


@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.release)])
def test_an_interrupted_training_run_can_start_again(images, labels, step):
    recipe = lenet.training.recipes.RECIPES["small"].with_changes(epochs=1, batch_size=20, validation=0.0)
    state = lenet.LeNet5(seed=0).state_dict()

    def train(model):
        model.load_state_dict(state)
        lenet.train(model, images[:40], labels[:40], recipe, n_jobs=2)
        return model.parameters.flat

    expected, model = train(lenet.LeNet5(seed=0)), lenet.LeNet5(seed=0)
    ended = 0
    for _ in interruptions(lambda: train(model), step):
        np.testing.assert_array_equal(train(model), expected)
        ended += 1
    assert ended > 200 // step


@unix
def test_an_interrupted_wait_for_another_thread_continues():
    """After the exception, no thread may write to memory that the caller reuses."""
    caller, begun, ended = threading.get_ident(), threading.Event(), []

    def work(_):
        if threading.get_ident() == caller:
            begun.wait(30)
        else:
            begun.set()
            time.sleep(0.2)  # by then, the caller waits
            signal.pthread_kill(caller, signal.SIGUSR1)
            time.sleep(0.2)
            ended.append(True)

    def interrupt():
        raise Interrupted

    with pytest.raises(Interrupted), signals(interrupt, []):
        threads.run_chunks(work, range(2), 1, 2)
    assert ended == [True]


# ---- a signal handler that computes --------------------------------------------------------------------


@unix
@pytest.mark.parametrize("method", ["gradients", pytest.param("logits", marks=pytest.mark.landing)])
def test_a_signal_handler_may_use_the_model_whose_work_it_interrupts(model, images, labels, method):
    def compute(n):
        if method == "logits":
            return model.logits(images[:n], n_jobs=3)
        return model.loss_and_gradients(images[:n], labels[:n], n_jobs=3)[1].flat

    expected, handled = {n: compute(n) for n in (120, 257)}, []

    def handler():
        handled.append(np.array_equal(compute(120), expected[120]))

    rng = random.Random(0)  # noqa: S311
    with signals(handler, [rng.uniform(0, 0.004) for _ in range(100)]) as sender:
        while sender.is_alive():
            assert np.array_equal(compute(257), expected[257])
    assert len(handled) > 50
    assert all(handled)


# ---- the end of the process ----------------------------------------------------------------------------

BEGINNING = """
import atexit, os, signal, sys, threading, time
from fingerprint import draw_images, fingerprint, make_model
model, images = make_model(), draw_images()
expected, begun = fingerprint(model, images), threading.Semaphore(0)

def predict():
    assert fingerprint(model, images, n_jobs=3) == expected

def predict_on_and_on():
    while True:
        predict()
        begun.release()

def others_predict():
    for _ in range(3):
        threading.Thread(target=predict_on_and_on, daemon=True).start()
    for _ in range(9):
        begun.acquire()
"""
AFTER_ALL_ELSE = """
def later():
    threading.main_thread().join()
    time.sleep(0.1)
    predict()
    print("right", flush=True)
"""
ENDS = {
    "the last line": ("others_predict()", 0, "", ""),
    "exit": ("others_predict()\nsys.exit(3)", 3, "", ""),
    "an error": ("others_predict()\nsys.exit('sorry')", 1, "", "sorry\n"),
    "SIGTERM": ("others_predict()\nos.kill(os.getpid(), signal.SIGTERM)\npredict_on_and_on()", -signal.SIGTERM, "", ""),
    "SIGTERM, handled": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\nothers_predict()\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()\npredict_on_and_on()",
        4, "", "",
    ),
    "atexit": ("atexit.register(lambda: (predict(), print('right')))\nothers_predict()", 0, "right\n", ""),
    "a thread goes on": (f"{AFTER_ALL_ELSE}\nthreading.Thread(target=later).start()", 0, "right\n", ""),
    "a thread goes on, and the pool runs": (
        f"{AFTER_ALL_ELSE}\npredict()\nthreading.Thread(target=later).start()", 0, "right\n", "",
    ),
}  # fmt: skip


@unix
@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_a_process(name):
    """The process ends immediately, with the expected exit code and output, and no message of lenet.

    One in thousands of these processes crashes in CPython (python/cpython#110052, fixed in 3.14).
    """
    end, code, said, complained = ENDS[name]
    done = run(BEGINNING + end, timeout=30)
    if done.returncode == -signal.SIGSEGV and sys.version_info < (3, 14):
        done = run(BEGINNING + end, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (code, said, complained)


AT_SHUTDOWN = """
import os, sys
import numpy as np, lenet

class Late:
    def __init__(self, warm):
        self.predict, self.x = lenet.load_pretrained("mnist").predict, np.zeros((2000, 28, 28), np.uint8)
        if warm:
            self.predict(self.x, n_jobs=2)
    def __del__(self, write=os.write):
        write(1, b"%d" % len(self.predict(self.x, n_jobs=2)))

late = Late(sys.argv[1] == "warm")
"""


@pytest.mark.parametrize("pool", ["cold", "warm"])
def test_a_finalizer_may_predict_while_the_interpreter_shuts_down(pool):
    """On Python 3.11, a thread that was started then made the process wait forever."""
    command = [sys.executable, "-c", AT_SHUTDOWN, pool]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2000", "")
