"""How batches are split between threads and kernel calls, with kernels that record them; and the peak of a build."""

import contextlib
import importlib.util
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from lenet import LeNet5
from lenet._flat import FlatDict
from lenet._fused import threads
from lenet._fused.batches import MIN_SPLIT, Learner, Predictor
from lenet.cli import bench
from lenet.errors import ConfigurationError, InputError

PARAMETERS = FlatDict({"output.weight": (3, 2), "output.bias": (3,)}, np.float32)


class Kernels:
    """Kernels for which the logits of an image, its loss and its gradient are simple functions of its first pixel."""

    def __init__(self):
        self.calls, self.allocated = [], 0

    def view(self, vector):
        return vector

    def logits(self, parameters, x, mean, std, out):
        self.calls.append(len(x))
        out[...] = x[:, 0, :1] + [[0, mean, std]]

    def softmax(self, x):
        x *= -1

    def scratch_size(self, classes):
        self.allocated += 1
        return 4 * classes

    def forward_backward(self, parameters, x, mean, std, y, shares, logits, exp_sums, target_logits, gradient, work):
        assert work.shape == (12,)
        self.calls.append((len(x), gradient.ctypes.data))
        logits[...] = x[:, 0, :1]
        exp_sums[...], target_logits[...] = np.exp(y), -mean
        gradient += (shares * y).sum()


def images(n):
    return np.broadcast_to(np.arange(n).astype(np.uint8)[:, np.newaxis, np.newaxis], (n, 28, 28)).copy()


# ---- training ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "calls"),
    [
        (0, []),
        (1, [[1]]),
        (16, [[16]]),
        (17, [[16], [1]]),
        (128, 8 * [[16]]),
        (129, 4 * [[32]] + [[1]]),
        (512, 8 * [[64]]),
        (513, 6 * [[64, 16]] + [[33]]),
        (1000, 7 * [[64, 64]] + [[64, 40]]),
        (1100, 7 * [[64, 64, 16]] + [[64, 28]]),
    ],
)
def test_a_training_batch_has_at_most_8_chunks_of_calls_of_at_most_64_images(n, calls):
    kernels = Kernels()
    Learner(PARAMETERS, kernels, 3)(images(n), np.ones(n, int), 0.0, 1.0, batch_size=2000, n_jobs=1)
    found = {}
    for size, gradient in kernels.calls:
        found.setdefault(gradient, []).append(size)
    assert list(found.values()) == calls


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("n", [1, 20, 600])
def test_losses_logits_and_gradients_of_a_batch(n, n_jobs):
    learner, y = Learner(PARAMETERS, Kernels(), 3), np.arange(n) % 3
    for _ in range(2):  # with the memory of the first time
        losses, logits, gradients = learner(images(n), y, 0.5, 1.0, n_jobs=n_jobs)
        assert losses.dtype == np.float64
        np.testing.assert_allclose(losses, y + 0.5, rtol=1e-6)
        np.testing.assert_array_equal(logits, np.repeat(np.arange(n)[:, np.newaxis] % 256, 3, axis=1))
        assert gradients.shapes == PARAMETERS.shapes
        np.testing.assert_allclose(gradients.flat, y.mean(), rtol=1e-6)


def test_memory_is_allocated_once_for_each_chunk():
    kernels = Kernels()
    learner = Learner(PARAMETERS, kernels, 3)
    for n, allocated in ((16, 1), (3, 1), (33, 3), (40, 3), (1000, 8), (1000, 8)):
        learner(images(n), np.ones(n, int), 0.0, 1.0)
        assert kernels.allocated == allocated


def test_gradients_are_weighted_and_those_of_a_part_of_a_batch():
    learner, y = Learner(PARAMETERS, Kernels(), 3), np.array([1, 2])
    _, _, gradients = learner(images(2), y, 0.0, 1.0, sample_weight=np.array([0.5, 1.5]), batch_size=10)
    np.testing.assert_allclose(gradients.flat, (0.5 * 1 + 1.5 * 2) / 10, rtol=1e-6)
    losses, logits, gradients = learner(images(0), y[:0], 0.0, 1.0, batch_size=10)
    assert (losses.shape, logits.shape) == ((0,), (0, 3))
    assert not gradients.flat.any()


def test_the_number_of_classes_may_differ_from_that_of_the_biases():
    class Four(Kernels):
        def forward_backward(self, *arguments):
            arguments[7][...] = 1
            self.shapes = arguments[6].shape, arguments[10].shape

    kernels = Four()
    Learner(PARAMETERS, kernels, 4)(images(2), np.ones(2, int), 0.0, 1.0)
    assert kernels.shapes == ((2, 4), (16,))


def test_distortions_apply_to_the_images_of_each_call():
    class Doubled:
        def __init__(self, first=0):
            self.first = first

        def __getitem__(self, part):
            return Doubled(part.start)

        def apply(self, images):
            assert images[0, 0, 0] == self.first % 256
            return 2 * images

    _, logits, _ = Learner(PARAMETERS, Kernels(), 3)(images(100), np.ones(100, int), 0.0, 1.0, distortions=Doubled())
    np.testing.assert_array_equal(logits[:, 0], 2 * np.arange(100) % 256)


# ---- predictions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 100])
def test_logits_probabilities_and_classes(n):
    predictor = Predictor(PARAMETERS, Kernels(), 3, batch_independent=True)
    expected = np.arange(n)[:, np.newaxis] + [[0, 2, 1]]
    out = np.empty((n, 3), np.float32)
    for method, sign in ((predictor.logits, 1), (predictor.probabilities, -1)):
        assert method(images(n), 2.0, 1.0, out, 2) is out
        np.testing.assert_array_equal(out, sign * expected)
    labels = np.full(n, 9)
    assert predictor.classes(images(n), 2.0, 1.0, labels, 2) is labels
    assert labels.tolist() == [1] * n


# ---- threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [0, -2, -(10**30), np.int64(0)])
def test_a_number_of_threads_is_at_least_1_or_minus_1(n_jobs):
    with pytest.raises(InputError, match=rf"^n_jobs is {n_jobs}; expected at least 1, -1 for all cores, or None"):
        threads.resolve_n_jobs(n_jobs)
    with pytest.raises(InputError, match=r"^n_jobs is "):  # also where one thread computes all
        LeNet5(seed=0).predict(np.zeros((1, 28, 28)), n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 2, np.int64(1), np.uint8(7), 10**30])
def test_a_positive_number_of_threads_is_used_as_it_is(n_jobs):
    found = threads.resolve_n_jobs(n_jobs)
    assert (type(found), found) == (int, n_jobs)


@pytest.mark.parametrize(("setting", "number"), [("999999999", 999_999_999), ("1000000000", None), ("1", 1)])
def test_settings_have_at_most_9_digits(monkeypatch, setting, number):
    monkeypatch.setenv("LENET_NUM_THREADS", setting)
    if number:
        assert threads.resolve_n_jobs(None) == number
    else:
        with pytest.raises(ConfigurationError, match=rf"^LENET_NUM_THREADS is '{setting}'; expected an integer"):
            threads.resolve_n_jobs(None)


def test_the_beginning_of_a_long_setting_is_shown(monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", 81 * "x")
    with pytest.raises(ConfigurationError, match=f"LENET_NUM_THREADS is '{80 * 'x'}'"):
        threads.resolve_n_jobs(None)


@pytest.mark.parametrize(("images", "reads_it"), [(MIN_SPLIT - 1, False), (MIN_SPLIT, True)])
def test_only_a_batch_that_may_be_split_looks_for_the_number_of_threads(monkeypatch, images, reads_it):
    monkeypatch.setenv("LENET_NUM_THREADS", "two")
    error = pytest.raises(ConfigurationError, match=r"^LENET_NUM_THREADS is 'two'")
    with error if reads_it else contextlib.nullcontext():
        LeNet5(seed=0).predict(np.zeros((images, 28, 28)))


@pytest.mark.parametrize(("count", "cores"), [(7, 7), (None, 1)])
def test_the_cores_where_the_system_does_not_say_which_may_be_used(monkeypatch, count, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert threads.resolve_n_jobs(-1) == cores


@pytest.mark.parametrize(
    ("variables", "n_jobs"),
    [({}, 1), ({"LENET_NUM_THREADS": "3"}, None), ({"OMP_NUM_THREADS": "3"}, None), ({"OMP_NUM_THREADS": ""}, 1)],
)
def test_one_of_many_processes_has_one_thread_unless_the_environment_says_otherwise(monkeypatch, variables, n_jobs):
    for name in ("LENET_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert threads.n_jobs_per_process() == n_jobs


@pytest.mark.parametrize("n_jobs", [2, 3, 9])
def test_a_helper_that_comes_late_has_nothing_to_do(monkeypatch, n_jobs):
    offered = []
    monkeypatch.setattr(threads, "_pool", SimpleNamespace(offer=lambda task: offered.append(task) or True))
    assert threads.run_chunks(lambda chunk: chunk.start, range(4), 1, n_jobs) == [0, 1, 2, 3]
    assert len(offered) == min(n_jobs, 4) - 1
    for task in offered:
        late = threading.Thread(target=task, daemon=True)
        late.start()
        late.join(30)
        assert not late.is_alive()


def test_no_helper_is_asked_while_the_interpreter_ends(monkeypatch):
    monkeypatch.setattr(threads, "is_finalizing", lambda: True)
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    assert set(threads.run_chunks(lambda _: threading.get_ident(), range(9), 1, 4)) == {threading.get_ident()}
    assert threads._pool._threads == []


@pytest.mark.parametrize(("cores", "limit"), [(None, 64), (2, 64), (200, 200)])
def test_the_pool_has_at_most_a_thread_for_each_core_or_64(monkeypatch, cores, limit):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    spec = importlib.util.spec_from_file_location("threads_again", threads.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert limit == again._Pool.MAX_THREADS


# ---- the peak ------------------------------------------------------------------------------------------


def test_the_multiply_adds_of_a_prediction_are_those_of_the_layers():
    """Each output of a convolution is a sum of products; subsampling only adds."""
    positions = {"c1": 28 * 28, "c3": 10 * 10}
    total = sum(
        weight.size * positions.get(name.partition(".")[0], 1)
        for name, weight in LeNet5(seed=0).parameters.items()
        if name.endswith(".weight")
    )
    assert total == bench.MULTIPLY_ADDS


def test_the_peak_counts_two_operations_for_each_multiply_add_of_each_thread():
    rounds = []
    kernels = SimpleNamespace(multiply_adds=lambda n: rounds.append(n) or 12 * n)
    assert bench.gflops(kernels, 3, 0.5) == pytest.approx(2 * 3 * 12 * bench.ROUNDS / 0.5 / 1e9)
    rounds.clear()
    bench.peak_work(kernels, 3)()
    assert rounds == 3 * [bench.ROUNDS]
    rounds.clear()
    bench.peak_work(kernels)()
    assert rounds == [bench.ROUNDS]
