"""The training loop against one that follows its definition, and with several processes, which are threads here."""

import copy
import itertools
import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import reference

from lenet import LeNet5, LeNet1998
from lenet.class_names import KEY
from lenet.errors import DivergedError, InputError, InputTypeError
from lenet.training import loop
from lenet.training.augment.distortions import random_distortions
from lenet.training.communication import Communicator, SingleProcess
from lenet.training.curvature import DiagonalLevenbergMarquardt, curvature
from lenet.training.foof import FOOF
from lenet.training.loop import train
from lenet.training.optim import SCHEDULES, SGD
from lenet.training.recipes import Recipe
from lenet.training.splits import split, standardisation
from lenet.training.state import State
from lenet.training.training_set import TrainingSet

N = 20
X = np.random.default_rng(0).integers(0, 256, (N, 28, 28), np.uint8)
Y = np.arange(N) % 4
WEIGHTS = np.linspace(0.5, 2, N)
# Each epoch has 16 images in batches of 5, 5, 5 and 1; 4 images validate.
RECIPE = Recipe("mine", 2, 5, 0.3, momentum=0.9, weight_decay=0.01, schedule="one_cycle", validation=0.25)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", "1")


def model_of(seed=0, dtype=np.float32):
    return LeNet5(seed=seed, dtype=dtype, num_classes=4)


def losses_of(model, X, y):
    """The loss of each image, and whether it is classified correctly."""
    log_p = reference.log_softmax(model.logits(X))
    return -log_p[np.arange(len(y)), y], log_p.argmax(axis=1) == y


def by_hand(recipe, seed, weights):
    """Train a model step by step; return it, the parameters after each epoch, and the history."""
    model, parts = model_of(), split(Y, recipe.validation, seed)
    model.mean, model.std = standardisation(X, parts.train)
    scaled = np.ones(N)
    for part in filter(len, parts if weights is not None else ()):
        scaled[part] = weights[part] / weights[part].mean()
    steps = math.ceil(len(parts.train) / recipe.batch_size)
    rate = SCHEDULES[recipe.schedule](recipe.lr, recipe.epochs * steps, steps)
    velocity, after, rows = np.zeros_like(model.parameters.flat), [], []
    for epoch in range(1, recipe.epochs + 1):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(parts.train)
        maps = random_distortions(len(order), rng, distort=recipe.distort, vary=recipe.vary, defects=recipe.defects)
        total, right = 0.0, 0
        for step in range(steps):
            part = slice(step * recipe.batch_size, (step + 1) * recipe.batch_size)
            images, labels = X[order[part]], Y[order[part]]
            images = maps[part].apply(images) if maps else images
            losses, hits = losses_of(model, images, labels)
            total, right = total + losses @ scaled[order[part]], right + hits.sum()
            w = scaled[order[part]]
            gradients = model.loss_and_gradients(images, labels, sample_weight=w)[1]
            gradient = w.mean() * np.concatenate([each.ravel() for each in gradients.values()])
            gradient += recipe.weight_decay * model.parameters.flat
            velocity = recipe.momentum * velocity + gradient
            model.parameters.flat[...] -= rate((epoch - 1) * steps + step) * velocity
        after.append(model.parameters.flat.copy())
        held_out = parts.validation
        losses, hits = losses_of(model, X[held_out], Y[held_out])
        val = (
            (losses @ scaled[held_out] / len(held_out), hits @ scaled[held_out] / len(held_out)) if losses.size else ()
        )
        n = len(order)
        rows.append((epoch, rate(epoch * steps - 1), total / n, right / n, *(val or (None, None))))
    return model, after, rows


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({}, None),
        ({"validation": 0.0, "schedule": "constant"}, WEIGHTS),
        ({"distort": True}, WEIGHTS),
        ({"vary": True, "defects": 0.9, "batch_size": 16, "momentum": 0.0}, None),
    ],
    ids=["plain", "weights", "distort", "vary"],
)
def test_training_follows_its_definition(changes, weights):
    recipe = replace(RECIPE, **changes)
    expected, after, rows = by_hand(recipe, 3, weights)
    model = model_of()
    state = train(model, X, Y, recipe, seed=3, sample_weight=weights)
    names = "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"
    for row, values in zip(state.history, rows, strict=True):
        assert [getattr(row, name) for name in names] == [
            None if value is None else pytest.approx(value, rel=1e-5) for value in values
        ]
    validation = [row[4] for row in rows]
    best = recipe.epochs if None in validation else int(np.argmin(validation)) + 1
    assert state.best_epoch == best
    np.testing.assert_allclose(state.parameters, after[-1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.best_parameters, after[best - 1], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(model.parameters.flat, state.best_parameters)
    assert (model.mean, model.std) == (expected.mean, expected.std) == (state.mean, state.std)
    assert (state.step, state.images, state.loss_sum, state.correct) == (0, 0, 0, 0)


def test_the_state_after_each_step_has_the_sums_of_the_epoch(monkeypatch):
    """Four steps per epoch, of which the last has one image; each takes as many seconds as its number."""
    clock = itertools.accumulate([10.0, 0, 1, 2, 3, 4, 50, 100, 5, 6, 7, 8, 9])  # validation: 50 and 9; `on_epoch`: 100
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    seen = []

    def on_step(state):
        seen.append((state.epoch, state.step, state.images, state.seconds, state.images_per_second))

    state = train(model_of(), X, Y, RECIPE, on_step=on_step)
    assert seen[:4] == [(1, 1, 5, 1.0, 5.0), (1, 2, 10, 3.0, 10 / 3), (1, 3, 15, 6.0, 2.5), (1, 4, 16, 10.0, 1.6)]
    seconds = [165, 171, 178, 186]
    images = [5, 10, 15, 16]
    speeds = [n / (s - 160) for n, s in zip(images, seconds, strict=True)]
    assert seen[4:] == [(2, *each) for each in zip([1, 2, 3, 4], images, seconds, speeds, strict=True)]
    assert [(row.seconds, row.images_per_second) for row in state.history] == [(60, 1.6), (195, 16 / 26)]


def test_the_time_of_a_resumed_epoch_continues_and_its_speed_is_that_after_the_break(monkeypatch):
    clock = itertools.accumulate([10.0, 0, 1, 2, 100, 0, 3, 4, 0])
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    recipe, model = replace(RECIPE, epochs=1), model_of()
    state = train(model, X, Y, recipe, on_step=lambda state: state.step == 2)
    assert (state.seconds, state.images_per_second) == (3, 10 / 3)
    (row,) = train(model, X, Y, recipe, state=state).history
    assert (row.seconds, row.images_per_second) == (10, 6 / 7)  # 6 images in 7 seconds


def test_steps_that_take_no_time_have_a_finite_speed(monkeypatch):
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: 5.0))
    (row,) = train(model_of(), X, Y, replace(RECIPE, epochs=1)).history
    assert row.seconds == 0
    assert 0 < row.images_per_second < math.inf


def run_with_losses(monkeypatch, losses, **options):
    """Train with these validation losses; return the state and the parameters after each epoch."""
    given, after = iter(losses), []

    def evaluate(model, X, y, **_):
        after.append(model.parameters.flat.copy())
        return next(given), 0.5

    monkeypatch.setattr(loop, "evaluate", evaluate)
    model, recipe = model_of(), replace(RECIPE, epochs=len(losses), **options)
    return model, train(model, X, Y, recipe), after


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([3.0, 2.0, 2.5, 2.0, 1.0], 2, 4, 2),  # an equal loss is no improvement
        ([3.0, 2.0, 2.5, 1.0, 1.5], 2, 5, 4),
        ([3.0, 4.0, 2.0], 1, 2, 1),
        ([3.0, 2.0, 1.0], 1, 3, 3),
        ([1.0, 2.0, 3.0], 3, 3, 1),
        ([1.0, 2.0, 3.0], None, 3, 1),
    ],
)
def test_training_ends_after_as_many_epochs_without_improvement_as_patience(
    monkeypatch, losses, patience, epochs, best
):
    model, state, after = run_with_losses(monkeypatch, losses, patience=patience)
    assert (len(state.history), state.best_epoch) == (epochs, best)
    np.testing.assert_array_equal(model.parameters.flat, after[best - 1])
    np.testing.assert_array_equal(state.best_parameters, after[best - 1])
    np.testing.assert_array_equal(state.parameters, after[-1])


def test_on_epoch_ends_training_with_the_best_weights():
    model, after = model_of(), []
    state = train(model, X, Y, RECIPE, on_epoch=lambda state: after.append(state.parameters.copy()) or True)
    assert (len(after), len(state.history), state.epoch, state.step) == (1, 1, 2, 0)
    np.testing.assert_array_equal(model.parameters.flat, after[0])


@pytest.mark.parametrize(
    ("answer", "epochs"), [(np.True_, 1), (1, RECIPE.epochs), ("stop", RECIPE.epochs), (None, RECIPE.epochs)]
)
def test_only_true_ends_training(answer, epochs):
    """Functions that write a log return the number of characters."""
    assert len(train(model_of(), X, Y, RECIPE, on_epoch=lambda _: answer).history) == epochs
    assert train(model_of(), X, Y, RECIPE, on_step=lambda _: answer).step == (answer is np.True_)


def test_on_step_stops_with_the_latest_weights_and_a_state_apart_from_the_model():
    model, after = model_of(), []
    state = train(
        model, X, Y, RECIPE, on_step=lambda now: after.append(now.parameters.copy()) or (now.epoch, now.step) == (2, 2)
    )
    assert (len(after), state.epoch, state.step, state.images) == (6, 2, 2, 10)
    np.testing.assert_array_equal(model.parameters.flat, after[5])
    np.testing.assert_array_equal(state.best_parameters, after[3])
    assert not np.array_equal(after[5], after[3])
    model.parameters.flat[...] = 0
    np.testing.assert_array_equal(state.parameters, after[5])


def test_a_finished_state_trains_no_further():
    model = model_of()
    state = train(model, X, Y, RECIPE)
    before = state.best_parameters.copy()
    called = []
    again = train(model_of(9), X, Y, RECIPE, state=state, on_step=called.append, on_epoch=called.append)
    assert (len(again.history), called) == (2, [])
    np.testing.assert_array_equal(model.parameters.flat, before)


@pytest.mark.parametrize(("standardise", "expected"), [(True, "X"), (False, (0.0, 1.0)), ("image", (None, None))])
def test_pixels_are_standardised_as_the_recipe_says(standardise, expected):
    model = model_of()
    train(model, X, Y, replace(RECIPE, epochs=1, standardise=standardise), seed=3)
    assert (model.mean, model.std) == (standardisation(X, split(Y, 0.25, 3).train) if expected == "X" else expected)


def test_only_the_names_of_the_classes_stay_in_the_metadata():
    model = model_of()
    model.classes, model.metadata["data"] = list("abcd"), "other"
    assert KEY in model.metadata
    train(model, X, Y, replace(RECIPE, epochs=1))
    assert list(model.metadata) == [KEY]
    assert model.classes == tuple("abcd")
    model = model_of()
    model.metadata["data"] = "other"
    train(model, X, Y, replace(RECIPE, epochs=1))
    assert model.metadata == {}


# ---- a loss that is not finite -------------------------------------------------------------------------


def described():
    model = model_of()
    model.mean, model.std, model.metadata["data"] = 0.25, 0.5, "other"
    return model


def test_a_model_that_diverges_in_its_first_epoch_is_unchanged(monkeypatch):
    model = described()
    before = model.parameters.flat.copy()
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: (math.nan, 0.5))
    with pytest.raises(DivergedError) as caught:
        train(model, X, Y, RECIPE)
    assert str(caught.value) == (
        "The loss is not finite at step 4 of epoch 1, so the model's weights are those from before the training. The "
        "learning rate (0.3) or the weight decay (0.01) is too high. Try a tenth of it."
    )
    np.testing.assert_array_equal(model.parameters.flat, before)
    assert (model.mean, model.std, model.metadata) == (0.25, 0.5, {"data": "other"})


def test_only_a_weight_decay_above_0_is_a_cause_of_divergence(monkeypatch):
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: (math.nan, 0.5))
    with pytest.raises(DivergedError, match=r"from before the training\. The learning rate \(0\.3\) is too high\."):
        train(model_of(), X, Y, replace(RECIPE, weight_decay=0.0))


def test_a_model_that_diverges_later_has_the_best_weights(monkeypatch):
    model, after = described(), []
    losses = iter([2.0, 3.0, math.inf])
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: (next(losses), 0.5))
    with pytest.raises(DivergedError, match="at step 4 of epoch 3, so the model's weights are those of epoch 1"):
        train(model, X, Y, replace(RECIPE, epochs=4), on_epoch=lambda now: after.append(now.parameters.copy()))
    np.testing.assert_array_equal(model.parameters.flat, after[0])
    assert (model.mean, model.metadata) == (pytest.approx(standardisation(X, split(Y, 0.25, 0).train)[0]), {})


def test_an_infinite_loss_of_a_step_is_an_error():
    model = model_of()

    def spoil(state):
        state.parameters[...] = math.nan

    with pytest.raises(DivergedError, match="at step 1 of epoch 1"):
        train(model, X, Y, RECIPE, on_step=spoil)


def test_infinite_weights_after_the_last_step_are_an_error_without_validation():
    def spoil(state):
        state.parameters[7] = math.inf if state.step == 4 else state.parameters[7]

    with pytest.raises(DivergedError, match="at step 4 of epoch 1"):
        train(model_of(), X[:16], Y[:16], replace(RECIPE, validation=0.0), on_step=spoil)


# ---- several processes ---------------------------------------------------------------------------------


class Threads(Communicator):
    """One of several threads that train together as MPI's ranks do."""

    def __init__(self, rank, size, shared):
        self.rank, self.size, self.shared = rank, size, shared

    def exchange(self, value):
        self.shared["values"][self.rank] = value
        self.shared["barrier"].wait(20)
        values = list(self.shared["values"])
        self.shared["barrier"].wait(20)
        return values

    def all_reduce(self, gradient, *numbers):
        values = self.exchange((gradient.copy(), numbers))
        gradient[...] = sum(each for each, _ in values)
        return tuple(map(sum, zip(*(numbers for _, numbers in values), strict=True)))

    def broadcast(self, value):
        return copy.deepcopy(self.exchange(value)[0])


def together(size, work):
    """Run work(rank, comm) in threads; return the results, or the errors."""
    shared = {"values": [None] * size, "barrier": threading.Barrier(size)}
    results = [None] * size

    def run(rank):
        try:
            results[rank] = work(rank, Threads(rank, size, shared))
        except Exception as error:
            results[rank] = error
            shared["barrier"].abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("changes", [{"distort": True}, {"patience": 1, "epochs": 3}], ids=str)
def test_several_processes_train_as_one(monkeypatch, changes):
    validated = []
    evaluate = loop.evaluate

    def counted(model, *data, **options):
        validated.append(model)
        return evaluate(model, *data, **options)

    monkeypatch.setattr(loop, "evaluate", counted)
    recipe = replace(RECIPE, **changes)
    one = model_of()
    state = train(one, X, Y, recipe, sample_weight=WEIGHTS)
    models = [model_of(seed) for seed in range(3)]
    validated.clear()
    states = together(3, lambda rank, comm: train(models[rank], X, Y, recipe, sample_weight=WEIGHTS, comm=comm))
    assert {id(model) for model in validated} == {id(models[0])}
    for model, other in zip(models, states, strict=True):
        np.testing.assert_allclose(model.parameters.flat, one.parameters.flat, rtol=0, atol=1e-5)
        assert other.best_epoch == state.best_epoch
        for row, expected in zip(other.history, state.history, strict=True):
            assert (row.loss, row.accuracy) == (pytest.approx(expected.loss, rel=1e-5), expected.accuracy)
            assert (row.val_loss, row.val_accuracy) == (
                pytest.approx(expected.val_loss, rel=1e-5),
                expected.val_accuracy,
            )


@pytest.mark.parametrize("asked", [0, 1])
def test_all_processes_stop_one_step_after_one_was_asked_to(asked):
    def work(rank, comm):
        return train(model_of(), X, Y, RECIPE, comm=comm, on_step=lambda now: rank == asked and now.step == 2)

    assert [(state.epoch, state.step) for state in together(2, work)] == [(1, 3)] * 2


def test_only_the_first_process_ends_training_after_an_epoch():
    def work(asked):
        def train_rank(rank, comm):
            return train(model_of(), X, Y, RECIPE, comm=comm, on_epoch=lambda _: rank == asked)

        return [len(state.history) for state in together(2, train_rank)]

    assert work(0) == [1, 1]
    assert work(1) == [2, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"X": X[:-4], "y": Y[:-4]},
        {"recipe": replace(RECIPE, lr=0.2)},
        {"seed": 1},
        {"model": model_of(dtype=np.float64)},
        {"model": LeNet5(seed=0, num_classes=5)},
    ],
    ids=["images", "recipe", "seed", "dtype", "classes"],
)
def test_processes_with_other_arguments_are_refused(changes):
    def work(rank, comm):
        arguments = {"model": model_of(), "X": X, "y": Y, "recipe": RECIPE, **(changes if rank else {})}
        return train(**arguments, comm=comm)

    _, error = together(2, work)
    assert isinstance(error, InputError)
    assert str(error).startswith("This process and the first one differ in the images, the network, the recipe, ")


def test_levenberg_marquardt_estimates_the_curvature_in_the_first_process_before_each_epoch(monkeypatch):
    monkeypatch.setattr(loop, "SAMPLE", 5)
    recipe = Recipe("mine", 2, 4, 0.01, optimizer="levenberg_marquardt", standardise="paper")
    digits = X[:10], np.arange(10)
    ranks, estimate = [], DiagonalLevenbergMarquardt.estimate

    def counted(self, x):
        ranks.append(self.model)
        estimate(self, x)

    monkeypatch.setattr(DiagonalLevenbergMarquardt, "estimate", counted)
    model, seen = LeNet1998(seed=0), []
    train(model, *digits, recipe, on_step=lambda now: seen.append((now.preconditioner.copy(), now.parameters.copy())))
    assert len(ranks) == 2
    fresh = LeNet1998(seed=0)
    for epoch, (preconditioner, _) in ((1, seen[0]), (1, seen[2]), (2, seen[3]), (2, seen[5])):
        order = np.random.default_rng([0, epoch]).permutation(10)
        fresh.parameters.flat[...] = seen[2][1] if epoch == 2 else LeNet1998(seed=0).parameters.flat
        np.testing.assert_allclose(preconditioner, curvature(fresh, X[order[:5]]).flat, rtol=1e-5)
    ranks.clear()
    models = [LeNet1998(seed=seed) for seed in range(2)]
    together(2, lambda rank, comm: train(models[rank], *digits, recipe, comm=comm))
    assert ranks == [models[0]] * 2
    for each in models:
        np.testing.assert_allclose(each.parameters.flat, model.parameters.flat, rtol=0, atol=1e-3)


def test_foof_estimates_from_distorted_images_and_resumes_after_any_step(monkeypatch):
    monkeypatch.setattr(loop, "SAMPLE", 6)
    recipe = replace(RECIPE, optimizer="foof", distort=True, lr=0.01)
    expected, seen = model_of(), []
    train(expected, X, Y, recipe, on_step=lambda now: seen.append(now.preconditioner.copy()))
    rng = np.random.default_rng([0, 1])
    order = rng.permutation(split(Y, recipe.validation, 0).train)
    maps = random_distortions(len(order), rng, distort=True, vary=False, defects=0.0)
    optimizer = FOOF(model_of(), 0.01)
    optimizer.model.mean, optimizer.model.std = expected.mean, expected.std
    optimizer.estimate(maps[:6].apply(X[order[:6]]))
    np.testing.assert_array_equal(seen[0], optimizer.preconditioner)
    for stop_at in range(1, len(seen)):
        model, steps = model_of(), iter(range(1, len(seen) + 1))
        state = train(model, X, Y, recipe, on_step=lambda _, steps=steps, stop_at=stop_at: next(steps) == stop_at)
        before = copy.deepcopy(state)
        train(model, X, Y, recipe, state=state)
        assert state.as_dict() == before.as_dict()  # it can be resumed from again
        for name in ("parameters", "velocity", "best_parameters", "preconditioner"):
            np.testing.assert_array_equal(getattr(state, name), getattr(before, name))
        np.testing.assert_array_equal(model.parameters.flat, expected.parameters.flat)


def test_processes_with_foof_train_as_one():
    recipe = replace(RECIPE, optimizer="foof", distort=True, lr=0.01)
    one, models = model_of(), [model_of(seed) for seed in range(2)]
    train(one, X, Y, recipe)
    together(2, lambda rank, comm: train(models[rank], X, Y, recipe, comm=comm))
    np.testing.assert_array_equal(models[0].parameters.flat, models[1].parameters.flat)
    np.testing.assert_allclose(models[0].parameters.flat, one.parameters.flat, rtol=0, atol=1e-3)


def test_processes_whose_numpy_rounds_otherwise_are_refused_with_foof(monkeypatch):
    rounding = iter([b"one", b"other"])
    monkeypatch.setattr(loop, "_rounding", lambda optimizer: next(rounding))
    recipe = replace(RECIPE, optimizer="foof", lr=0.01)
    errors = together(2, lambda rank, comm: train(model_of(), X, Y, recipe, comm=comm))
    assert any("or the results of NumPy" in str(error) for error in errors)


@pytest.mark.parametrize(
    ("optimizer", "itemsize"),
    [
        (SGD(LeNet5(seed=0), 0.1), 0),
        (FOOF(LeNet5(seed=0), 0.1), 4),
        (SGD(LeNet5(seed=0, dtype=np.float64), 0.1), 8),
        (DiagonalLevenbergMarquardt(LeNet1998(seed=0), 0.1), 4),
    ],
)
def test_processes_compare_a_product_of_numpy_if_training_computes_with_it(optimizer, itemsize):
    assert len(loop._rounding(optimizer)) == 120 * 401 * itemsize


def test_a_run_with_foof_that_diverges_is_an_error_without_warnings():
    model = described()
    with pytest.raises(DivergedError):
        train(model, X, Y, replace(RECIPE, optimizer="foof", lr=1e30))
    assert np.isfinite(model.parameters.flat).all()


def test_each_epoch_learns_from_added_images_of_its_own_also_after_a_break(monkeypatch):
    recipe = replace(RECIPE, drawn_digits=0.25, non_digits=0.5, lr=0.05)
    data = X, np.arange(N) % 10
    learned = []
    batch = TrainingSet.batch

    def recorded(self, indices):
        found = batch(self, indices)
        learned.extend(image.tobytes() for image, k in zip(found[0], indices, strict=True) if k >= N)
        return found

    monkeypatch.setattr(TrainingSet, "batch", recorded)
    expected = LeNet5(seed=0)
    train(expected, *data, replace(recipe, validation=0.0))
    assert len(learned) == 2 * 15
    assert not set(learned[:15]) & set(learned[15:])
    for stop_at in (3, 9):  # of seven steps an epoch
        model, count = LeNet5(seed=0), iter(range(1, 15))
        state = train(
            model, *data, replace(recipe, validation=0.0),
            on_step=lambda _, count=count, stop_at=stop_at: next(count) == stop_at,
        )  # fmt: skip
        train(model, *data, replace(recipe, validation=0.0), state=state)
        np.testing.assert_array_equal(model.parameters.flat, expected.parameters.flat)


def soft(images):
    """Probabilities that depend on the image."""
    table = np.stack([images[:, row].mean(axis=1) + 1.0 for row in (3, 9, 15, 21)], axis=1)
    return table / table.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("distort", "weights"), [(True, None), (False, WEIGHTS)])
def test_the_teachers_probabilities_for_the_distorted_images_replace_the_labels(distort, weights):
    """A step with a teacher is a step of SGD on its probabilities."""
    recipe = replace(RECIPE, distort=distort, epochs=1, momentum=0.0, weight_decay=0.0, schedule="constant")
    seen, model = [], model_of()
    parameters = [model.parameters.flat.copy()]
    state = train(
        model, X, Y, recipe, sample_weight=weights, teacher=lambda images: (seen.append(images), soft(images))[1],
        on_step=lambda now: parameters.append(now.parameters.copy()),
    )  # fmt: skip
    rng = np.random.default_rng([0, 1])
    order = rng.permutation(split(Y, recipe.validation, 0).train)
    maps = random_distortions(len(order), rng, distort=distort, vary=False, defects=0.0)
    np.testing.assert_array_equal(np.concatenate(seen), maps.apply(X[order]) if maps else X[order])
    scaled = np.ones(N)
    for part in split(Y, recipe.validation, 0) if weights is not None else ():
        scaled[part] = weights[part] / weights[part].mean()
    expected = model_of()
    expected.mean, expected.std = model.mean, model.std
    for step, images in enumerate(seen):
        expected.parameters.flat[...] = parameters[step]
        w = scaled[order[5 * step : 5 * step + 5]]
        gradients = expected.loss_and_gradients(images, soft(images), sample_weight=w)[1]
        flat = w.mean() * np.concatenate([each.ravel() for each in gradients.values()])
        np.testing.assert_allclose(parameters[step + 1], parameters[step] - 0.3 * flat, rtol=0, atol=1e-6)
    held_out = split(Y, recipe.validation, 0).validation
    losses, _ = losses_of(model, X[held_out], Y[held_out])
    w = scaled[held_out]
    assert state.history[0].val_loss == pytest.approx(losses @ w / w.sum(), rel=1e-5)


def test_processes_with_a_teacher_train_as_one():
    recipe = replace(RECIPE, distort=True, batch_size=2)  # one rank of three has no image
    one = model_of()
    train(one, X, Y, recipe, teacher=soft)
    models = [model_of() for _ in range(3)]
    together(3, lambda rank, comm: train(models[rank], X, Y, recipe, comm=comm, teacher=soft))
    for model in models:
        np.testing.assert_allclose(model.parameters.flat, one.parameters.flat, rtol=0, atol=1e-5)


MASKED = np.ma.MaskedArray(np.full((5, 4), 0.25), mask=np.eye(5, 4))


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (np.zeros(5), InputError, r"^teacher\(images\) has shape \(5,\); expected \(5, 4\)\. "),
        (np.zeros((5, 4)), InputError, r"^teacher\(images\) has probabilities from 0 to 0 and rows"),
        ([[1, 0], [1]], InputError, r"^teacher\(images\) is not a rectangular array .*; expected shape \(5, 4\)\."),
        (MASKED, InputTypeError, r"^teacher\(images\) is a masked array\. .* with teacher\(images\)\.filled\(0\)\."),
        (list(MASKED), InputTypeError, r"^teacher\(images\) is a masked array\. "),
        (np.full((5, 4), "x"), InputTypeError, r"^teacher\(images\) has dtype <U1; expected probabilities"),
    ],
)
def test_wrong_probabilities_from_a_teacher_are_an_error(result, error, message):
    model = model_of()
    before = model.parameters.flat.copy()
    with pytest.raises(error, match=message):
        train(model, X, Y, RECIPE, teacher=lambda images: result)
    np.testing.assert_array_equal(model.parameters.flat, before)


# ---- arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"comm": 3}, InputTypeError, r"^comm is 3; expected a Communicator or None\."),
        ({"comm": object}, InputTypeError, r"^comm is <class 'object'>; expected a Communicator"),
        ({"on_step": 3}, InputTypeError, r"^on_step is 3; "),
        ({"on_epoch": 3}, InputTypeError, r"^on_epoch is 3; "),
        ({"teacher": 3}, InputTypeError, r"^teacher is 3; expected a function or None\."),
        ({"model": None}, InputTypeError, r"^model is "),
        ({"n_jobs": 0}, InputError, r"^n_jobs is 0"),
        ({"seed": -1}, InputError, r"^seed is -1"),
    ],
)
def test_wrong_arguments_are_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        train(**{"model": model_of(), "X": X, "y": Y, "recipe": RECIPE, **arguments})


def test_a_communicator_of_one_process_is_the_default():
    models = [model_of(), model_of()]
    for model, comm in zip(models, (None, SingleProcess()), strict=True):
        train(model, X, Y, replace(RECIPE, epochs=1), seed=0, comm=comm)
    np.testing.assert_array_equal(models[0].parameters.flat, models[1].parameters.flat)


def test_a_state_must_fit_the_images_of_an_epoch():
    """An epoch has 16 images: three batches of 5, and one of 1."""
    flat = model_of().parameters.flat
    for images, accepted in ((16, True), (17, False), (20, False)):
        state = State(flat, flat, flat, 0.5, 0.5, step=4, images=images)
        if accepted:
            assert len(train(model_of(), X, Y, RECIPE, state=state).history) == 2
        else:
            with pytest.raises(InputError, match=r"^state is invalid \(its? .+\)\. Pass a state that"):
                train(model_of(), X, Y, RECIPE, state=state)
