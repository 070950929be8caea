"""The state of a training run: which states a run can resume from."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from lenet.training.recipes import Recipe
from lenet.training.state import Epoch, State, check_numbers

RECIPE = Recipe("mine", epochs=3, batch_size=8, lr=0.1)
PARAMETERS = np.arange(5, dtype=np.float32)
OPTIMIZER = SimpleNamespace(velocity=PARAMETERS, preconditioner=np.empty(0))
PRECONDITIONED = SimpleNamespace(velocity=PARAMETERS, preconditioner=PARAMETERS[:2])


def row(epoch, val_loss=None):
    return Epoch(epoch, 0.5, 2.25, 0.125, val_loss, None, 1e5, 0.5)


def state(**changes):
    """The state after 3 batches of the third epoch of an epoch of 30 images."""
    history = [row(1), row(2)]
    arrays = PARAMETERS, PARAMETERS + 1, PARAMETERS + 2
    return replace(State(*arrays, 0.5, 0.25, 3, 24, 1.5, 7, 2.5, 1e3, best_epoch=1, history=history), **changes)


def test_an_epoch_with_a_lower_validation_loss_is_better():
    assert row(1, 0.25).better_than(row(2, 0.5))
    assert not row(2, 0.5).better_than(row(1, 0.25))
    assert not row(2, 0.5).better_than(row(1, 0.5))


@pytest.mark.parametrize(("earlier", "later"), [(None, None), (0.25, None), (None, 0.5)])
def test_without_a_validation_loss_a_later_epoch_is_better(earlier, later):
    assert row(2, later).better_than(row(1, earlier))
    assert not row(1, earlier).better_than(row(2, later))
    assert not row(1, earlier).better_than(row(1, later))


def test_a_new_state_is_before_the_first_step():
    new = State(PARAMETERS, PARAMETERS, PARAMETERS, 0.0, 1.0)
    assert new.epoch == 1
    assert new.as_dict() == {
        "mean": 0.0, "std": 1.0, "step": 0, "images": 0, "loss_sum": 0.0, "correct": 0, "seconds": 0.0,
        "images_per_second": 0.0, "best_epoch": 0, "history": [],
    }  # fmt: skip
    other = State(PARAMETERS, PARAMETERS, PARAMETERS, 0.0, 1.0)
    assert new.history is not other.history
    assert new != other


def test_the_saved_fields_are_all_except_the_arrays():
    assert state().epoch == 3
    assert state().as_dict() == {
        "mean": 0.5, "std": 0.25, "step": 3, "images": 24, "loss_sum": 1.5, "correct": 7, "seconds": 2.5,
        "images_per_second": 1e3, "best_epoch": 1, "history": [asdict(row(1)), asdict(row(2))],
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"step": 0, "images": 0},
        {"step": 4, "images": 30},  # at the end of an epoch, whose last batch has 6 images
        {"best_epoch": 2},
        {"best_epoch": 0, "history": []},
        {"history": [row(1)]},
        {"history": [row(1), row(2), row(3)]},
        {"mean": None, "std": None},
        {"mean": 0, "std": 1},
        {"mean": -0.5},
        {"std": 1e-9},
    ],
)
def test_states_that_a_run_can_produce(changes):
    state(**changes).check(OPTIMIZER, RECIPE, 30)
    state(**changes).check(OPTIMIZER, RECIPE)


HISTORY = "its history does not have consecutive epochs from 1 to at most 3"
RANGE = "its step, mean, std or best_epoch is out of range"
BATCHES = "its step does not match its number of images"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": [row(1), row(2), row(3), row(4)]}, HISTORY),
        ({"history": [row(2), row(1)]}, HISTORY),
        ({"history": [row(0), row(1)]}, HISTORY),
        ({"history": [row(1), row(1)]}, HISTORY),
        ({"history": [row(2), row(3)]}, HISTORY),
        ({"history": [row(1), replace(row(2), loss="2")]}, "its loss is '2'"),
        ({"mean": None}, RANGE),
        ({"std": None}, RANGE),
        ({"std": 0}, RANGE),
        ({"std": -0.25}, RANGE),
        ({"std": 1e-31}, RANGE),
        ({"step": -1, "images": -8}, RANGE),
        ({"best_epoch": 0}, RANGE),
        ({"best_epoch": -1, "history": []}, RANGE),
        ({"best_epoch": 3}, RANGE),
        ({"history": []}, RANGE),
        ({"images": 25}, BATCHES),
        ({"images": 23}, BATCHES),
        ({"images": 16}, BATCHES),
        ({"step": 4, "images": 29}, BATCHES),
        ({"step": 4, "images": 32}, "it is beyond the 30 images of an epoch"),
        ({"step": 4, "images": 31}, BATCHES),
        ({"step": 5, "images": 40}, "it is beyond the 30 images of an epoch"),
        ({"step": 4, "images": 24}, BATCHES),
        ({"parameters": PARAMETERS + np.inf}, "its weights are not finite"),
        ({"velocity": PARAMETERS * np.nan}, "its weights are not finite"),
        ({"best_parameters": PARAMETERS - np.inf}, "its weights are not finite"),
        ({"parameters": PARAMETERS[1:]}, "it belongs to another network"),
        ({"velocity": PARAMETERS.astype(float)}, "it belongs to another network"),
        ({"best_parameters": PARAMETERS[None]}, "it belongs to another network"),
        ({"preconditioner": PARAMETERS[:2] + np.inf}, "its weights are not finite"),
        ({"step": 3.0}, "its step is '3.0'"),
    ],
)
def test_states_that_no_run_can_produce(changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        state(**changes).check(OPTIMIZER, RECIPE, 30)


def test_a_preconditioner_must_be_the_optimizers_within_an_epoch():
    state(preconditioner=PARAMETERS[2:4]).check(PRECONDITIONED, RECIPE)
    state(step=0, images=0).check(PRECONDITIONED, RECIPE)
    for other in (np.empty(0, np.float32), PARAMETERS, PARAMETERS[:2].astype(float), PARAMETERS[None, :2]):
        with pytest.raises(ValueError, match=r"^it belongs to another optimizer$"):
            state(preconditioner=other).check(PRECONDITIONED, RECIPE)


@pytest.mark.parametrize(("images", "accepted"), [(24, True), (23, True), (17, True), (16, False), (25, False)])
def test_without_the_number_of_images_any_last_batch_is_accepted(images, accepted):
    """Three batches of 8 have 17 to 24 images."""
    if accepted:
        state(images=images).check(OPTIMIZER, RECIPE)
    else:
        with pytest.raises(ValueError, match=BATCHES):
            state(images=images).check(OPTIMIZER, RECIPE)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("epoch", [1, -1, 10**29]),
        ("loss", [1, 0.5, -1e29, 1e308]),
        ("val_loss", [None, 1, 0.5, 1e308]),
        ("seconds", [0.5, 1e29]),
    ],
)
def test_numbers_of_an_epoch(field, values):
    for value in values:
        check_numbers(replace(row(1), **{field: value}))


def test_a_sum_of_losses_may_be_huge_before_a_divergence():
    state(loss_sum=1e308).check(OPTIMIZER, RECIPE)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("epoch", [None, 1.0, True, "1", 2 * 10**30, 10**400]),
        ("loss", [None, True, "1", np.float64(1), float("nan"), float("inf"), 10**400]),
        ("val_loss", [True, "1", float("nan"), float("inf")]),
        ("seconds", [None, float("nan"), 1e31, -1e31]),
    ],
)
def test_other_values_in_an_epoch_are_errors(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^its {field} is '") as caught:
            check_numbers(replace(row(1), **{field: value}))
        assert str(caught.value) == f"its {field} is {str(value)[:80]!r}"
