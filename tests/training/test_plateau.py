"""The plateau on which training starts, and the warning about it."""

import math
import warnings

import numpy as np
import pytest

import lenet
from lenet.training.communication import SingleProcess
from lenet.training.plateau import Plateau

LABELS = np.array([0, 0, 0, 2])  # class 1 does not occur
ENTROPY = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


@pytest.mark.parametrize("weights", [None, np.array([2.0, 2.0, 2.0, 2.0]), np.array([0.0, 1.0, 2.0, 1.0])])
def test_the_plateau_is_the_entropy_of_the_weighted_labels(weights):
    assert Plateau(LABELS, weights).entropy == pytest.approx(ENTROPY)


@pytest.mark.parametrize(("fraction", "is_included"), [(0.89, False), (0.9, True), (2, True), (math.inf, True)])
def test_the_plateau_begins_at_90_percent_of_the_entropy(fraction, is_included):
    plateau = Plateau(LABELS, None)
    assert plateau.includes(fraction * plateau.entropy) == is_included


def test_one_class_has_no_plateau():
    assert not Plateau(LABELS[:3], None).includes(0.0)


X, Y, _, _ = lenet.data.load_digits()
SHORT = lenet.training.RECIPES["small"].with_changes(epochs=2, batch_size=10)


def caught(recipe=SHORT, model=lenet.LeNet5, y=Y[:100], **options):
    """Train on 100 digits, and return the warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        lenet.train(model(seed=0), X[:100], y, recipe, **options)
    return found


def test_a_network_that_guesses_is_reported():
    """A tenth of the 100 images is held out, so an epoch has nine steps."""
    (found,) = caught()
    assert found.category is UserWarning
    assert found.filename == __file__
    assert "after 18 steps, its loss is 2." in str(found.message)
    assert "(guessing: 2.3)" in str(found.message)


@pytest.mark.landing
def test_following_the_advice_leaves_the_plateau():
    (found,) = caught(lenet.training.RECIPES["seed"])
    settings = "standardised pixels, momentum 0.9, batches of 32, a learning rate of 0.05, one_cycle"
    assert f"more epochs with the settings of the recipe small: {settings} and no weight decay." in str(found.message)
    recipe = lenet.training.Recipe("mine", 60, 32, 0.05, 0.9, schedule="one_cycle")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lenet.train(lenet.LeNet5(seed=0), X, Y, recipe).history[-1].loss < 1


def test_weights_count_in_the_loss_of_guessing():
    """With all weight on two classes, in equal parts, it is log 2."""
    counts = np.bincount(Y[:100])
    weights = np.where(Y[:100] < 2, 1 / counts[Y[:100]], 0)
    (found,) = caught(SHORT.with_changes(validation=0.0), sample_weight=weights)
    assert "(guessing: 0.693)" in str(found.message)


def test_non_digits_and_a_teachers_labels_are_no_guesses():
    """The loss of a non-digit is never below log 10: only the validation loss shows whether the digits are guessed."""
    recipe = SHORT.with_changes(epochs=1, validation=0.0)
    assert caught(recipe.with_changes(non_digits=0.5)) == []
    assert caught(recipe, teacher=lambda images: np.full((len(images), 10), 0.1, np.float32)) == []
    assert "guessing" in str(caught(SHORT.with_changes(non_digits=0.5))[0].message)


@pytest.mark.parametrize("validation", [0.0, 0.1])
def test_soft_targets_are_no_guesses(validation):
    """Their entropy here is 2.18, more than 90% of log 10: no network has a lower loss, however much it has learned."""
    targets = np.where(np.eye(10)[Y[:100]], 0.28, 0.08)
    assert caught(SHORT.with_changes(epochs=1, validation=validation), y=targets) == []


def test_callers_that_see_the_epochs_and_other_losses_get_no_report():
    assert caught(on_epoch=lambda _: None) == caught(on_step=lambda _: True) == []
    assert caught(lenet.training.RECIPES["paper"].with_changes(epochs=1), lenet.LeNet1998) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_several_processes_reports(rank):
    class Twin(SingleProcess):
        def __init__(self):
            self.rank = rank

    assert len(caught(SHORT.with_changes(validation=0.0), comm=Twin())) == 1 - rank
