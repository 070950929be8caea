"""Threads and processes share models as docs/security/concurrency.md promises."""

import contextlib
import copy
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import reference
from fingerprint import draw_images, fingerprint, make_model

import lenet
from lenet.errors import InputError
from lenet.reading import page

THREADS = 16
MOST_PREDICTIONS = int(os.environ.get("LENET_TEST_PREDICTIONS", 1_000_000))
SECONDS = 120


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def images():
    return draw_images()


@pytest.fixture(scope="module")
def expected(model, images):
    """The SHA-256 of the predictions of one thread, an image at a time."""
    return fingerprint(model, images, batch=1)


# ---- the same SHA-256 ----------------------------------------------------------------------------------


def test_compared_outputs_are_right_and_differ_between_images_and_models(model, images, expected):
    logits = reference.lenet(model.parameters, images[:, None] / 255)["output"]
    np.testing.assert_allclose(model.logits(images), logits, rtol=0, atol=1e-5 * np.abs(logits).max())
    np.testing.assert_array_equal(model.predict(images), logits.argmax(axis=1))
    assert set(model.predict(images)) == set(range(10))
    assert len({expected, fingerprint(model, images[::-1]), fingerprint(make_model(1), images)}) == 3


@pytest.mark.parametrize("n_jobs", [3, *(pytest.param(n, marks=pytest.mark.release) for n in (1, 2, 4, 5, 6, 7, 8))])
def test_each_size_of_batch(n_jobs, model, images, expected):
    different = [batch for batch in range(1, 258) if fingerprint(model, images, batch, n_jobs) != expected]
    assert different == []


@pytest.mark.parametrize("predictions", [40_000, pytest.param(1_000_000, marks=pytest.mark.release)])
def test_threads_share_a_model_while_another_loads_weights_into_its_own_copy(model, images, expected, predictions):
    predictions = min(predictions, MOST_PREDICTIONS)
    passes = predictions // (THREADS * 2 * len(images)) + 1  # a fingerprint predicts each image twice
    others = [make_model(1), make_model(2)]
    fingerprints = [fingerprint(each, images) for each in others]
    ended = threading.Event()

    def ask(number):
        answers = {fingerprint(model, images, batch=1 + 17 * number, n_jobs=1 + number % 3) for _ in range(passes)}
        return answers == {expected}

    def load():
        own, rounds = copy.deepcopy(model), 0
        while not ended.is_set():
            own.load_state_dict(others[rounds % 2].state_dict())
            assert fingerprint(own, images, n_jobs=2) == fingerprints[rounds % 2]
            rounds += 1
        return rounds

    with ThreadPoolExecutor(THREADS + 1) as threads:
        loading = threads.submit(load)
        try:
            assert list(threads.map(ask, range(THREADS))) == [True] * THREADS
        finally:
            ended.set()
        assert loading.result() > 0


def test_threads_share_a_model_for_gradients(model, images):
    y = np.arange(len(images)) % 10
    parts = [slice(0, 257), slice(3, 60), slice(100, 101), slice(7, 207)]
    alone = [model.loss_and_gradients(images[part], y[part], n_jobs=1) for part in parts]
    together = threading.Barrier(len(parts), timeout=SECONDS)

    def ask(number):
        together.wait()
        part = parts[number]
        for _ in range(20):
            loss, gradients = model.loss_and_gradients(images[part], y[part], n_jobs=1 + number % 3)
            assert loss == alone[number][0]
            np.testing.assert_array_equal(gradients.flat, alone[number][1].flat)

    with ThreadPoolExecutor(len(parts)) as threads:
        assert len(list(threads.map(ask, range(len(parts))))) == len(parts)
    assert 1 <= len(model._learners) <= len(parts)  # the memory is kept for the next call


def test_threads_share_a_classifier(images):
    pytest.importorskip("sklearn")
    classifier = lenet.LeNetClassifier.from_pretrained("mnist", n_jobs=2)
    probabilities = classifier.predict_proba(images)

    def ask(number):
        return [np.array_equal(classifier.predict_proba(images[number:]), probabilities[number:]) for _ in range(10)]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [[True] * 10] * 8


# ---- processes -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def predicting(model, images, expected):
    """Within it, threads of this process predict by the pool, all the time."""
    ended = threading.Event()

    def ask():
        while not ended.is_set():
            assert fingerprint(model, images, n_jobs=3) == expected
        return True

    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask) for _ in range(2)]
        try:
            yield
        finally:
            ended.set()
        assert all(each.result(SECONDS) for each in asked)


@pytest.mark.landing
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads; the point is here
def test_processes(method, model, images, expected):
    context = multiprocessing.get_context(method)
    with predicting(model, images, expected), ProcessPoolExecutor(2, context) as processes:
        asked = [processes.submit(fingerprint, model, images, 100, n_jobs) for n_jobs in (1, 2, 3, 2)]
        assert [each.result(SECONDS) for each in asked] == [expected] * 4


@pytest.mark.landing
def test_the_processes_of_joblib(model, images, expected):
    joblib = pytest.importorskip("joblib")
    with predicting(model, images, expected), joblib.parallel_config("loky", n_jobs=2):
        asked = joblib.Parallel()(joblib.delayed(fingerprint)(model, images, 100, n_jobs) for n_jobs in (1, 2, 3, 2))
    assert asked == [expected] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_computes_the_strokes_that_a_thread_of_its_parent_computes(monkeypatch):
    """`functools.cached_property` waits forever before Python 3.12."""
    computing, forked, ink = threading.Event(), threading.Event(), np.zeros((9, 9), np.uint8)

    def strokes_of(ink):
        if not computing.is_set():  # in the thread
            computing.set()
            forked.wait(SECONDS)

    monkeypatch.setattr(page, "strokes_of", strokes_of)
    thread = threading.Thread(target=lambda: page.Page(ink, ink.shape).strokes)
    child = multiprocessing.get_context("fork").Process(target=lambda: page.Page(ink, ink.shape).strokes)
    thread.start()
    assert computing.wait(SECONDS)
    child.start()
    child.join(10)
    forked.set()
    thread.join()
    child.kill()
    assert child.exitcode == 0


# ---- what may not be shared ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return draw_images(200), np.arange(200) % 10


def train(model, digits, **arguments):
    recipe = lenet.training.recipes.RECIPES["small"].with_changes(epochs=1, distort=True)
    return lenet.train(model, *digits, recipe, **arguments)


def test_two_concurrent_training_runs_of_a_model_both_raise(digits):
    model, first_began, second_began = lenet.LeNet5(seed=0), threading.Event(), threading.Event()
    steps = []

    def let_second_begin(state):
        steps.append(state.step)
        first_began.set()
        second_began.wait(SECONDS)

    def let_first_end(_):
        second_began.set()
        first.exception(SECONDS)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(train, model, digits, on_step=let_second_begin)
        first_began.wait(SECONDS)
        second = threads.submit(train, model, digits, on_step=let_first_end)
        for training in (first, second):
            with pytest.raises(InputError, match="Another call to train changed this model during training"):
                training.result(SECONDS)
    assert steps == [1]
    alone = lenet.LeNet5(seed=0)
    model.load_state_dict(alone.state_dict())
    train(model, digits)
    train(alone, digits)
    np.testing.assert_array_equal(model.parameters.flat, alone.parameters.flat)


@pytest.mark.parametrize("call", ["on_step", "on_epoch"])
def test_nested_training_of_a_model_is_detected(digits, call):
    model = lenet.LeNet5(seed=0)

    def train_too(_):
        train(model, digits)

    with pytest.raises(InputError, match="Another call to train changed this model"):
        train(model, digits, **{call: train_too})


def test_threads_train_copies_side_by_side(digits):
    alone, model = lenet.LeNet5(seed=0), lenet.LeNet5(seed=0)
    train(alone, digits)
    copies = [copy.deepcopy(model) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda own: train(own, digits, n_jobs=2), copies))
    for own in copies:
        np.testing.assert_array_equal(own.parameters.flat, alone.parameters.flat)


def test_many_threads_leave_little_memory_in_a_model(images):
    model, barrier = lenet.LeNet5(seed=0), threading.Barrier(12)

    def work():
        barrier.wait()
        for _ in range(5):
            model.loss_and_gradients(images[:30], np.arange(30) % 10, n_jobs=1)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(model._learners) <= 4
