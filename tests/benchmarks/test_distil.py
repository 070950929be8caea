"""Distillation: the teacher and the student."""

import numpy as np
import pytest

import lenet
from lenet.data import load_digits
from lenet.training import RECIPES

torch = pytest.importorskip("torch")
distil = pytest.importorskip("benchmarks.distil")

pytestmark = pytest.mark.release

RECIPE = RECIPES["drawn"].with_changes(epochs=1, drawn_digits=0.1, non_digits=0.1)


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return found.X_train[:600], found.y_train[:600]


class Constant(torch.nn.Module):
    """A network with the same logits for all images."""

    def forward(self, x):
        return torch.tensor([0.0, 0, 0, 9, 0, 0, 0, 0, 0, 0]).repeat(len(x), 1)


def test_the_student_learns_the_probabilities_of_the_teacher(digits, tmp_path):
    recipe = RECIPE.with_changes(epochs=3, lr=0.1)
    model, state = distil.train_student(*digits, recipe, Constant(), tmp_path / "x.checkpoint")
    assert len(state.history) == 3
    assert (model.predict(digits[0]) == 3).all()
    assert model.mean is None  # each image is standardised by its own pixels, as in the recipe


def test_an_interrupted_student_continues_with_the_same_result(digits, tmp_path, monkeypatch):
    recipe, saved = RECIPE.with_changes(epochs=3), tmp_path / "x.checkpoint"
    whole, _ = distil.train_student(*digits, recipe, Constant(), tmp_path / "whole.checkpoint")
    train = lenet.train

    def interrupted(*arguments, on_epoch, **options):
        def stop(state):
            on_epoch(state)
            raise KeyboardInterrupt

        train(*arguments, on_epoch=stop, **options)

    monkeypatch.setattr(lenet, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distil.train_student(*digits, recipe, Constant(), saved)
    monkeypatch.setattr(lenet, "train", train)
    resumed, state = distil.train_student(*digits, recipe, Constant(), saved)
    assert len(state.history) == 3
    np.testing.assert_array_equal(resumed.parameters.flat, whole.parameters.flat)


def test_the_logits_of_the_teacher_are_divided_by_the_temperature(digits, monkeypatch, tmp_path):
    given = []

    def train(model, X, y, recipe, teacher, **others):
        given.append(teacher(X[:7]))

    monkeypatch.setattr(distil.lenet, "train", train)
    distil.train_student(*digits, RECIPE, Constant(), tmp_path / "x.checkpoint")
    high = np.exp(9 / 1.3)
    np.testing.assert_allclose(given[0][:, 3], high / (high + 9), rtol=1e-5)
    assert given[0].shape == (7, 10)


def test_the_teacher_learns_the_labels_and_uniform_probabilities_of_non_digits(digits, monkeypatch):
    monkeypatch.setattr(distil, "BATCH", 16)
    monkeypatch.setattr(distil, "PEAK", 0.01)
    teacher = distil.train_teacher(*digits, RECIPE.with_changes(distort=False, vary=False, defects=0.0), 8)
    assert not teacher.training
    with torch.inference_mode():
        logits = distil.logits_of(teacher, digits[0]).numpy()
    assert (logits.argmax(axis=1) == digits[1]).mean() > 0.9
    targets = distil.targets_of(np.array([2, -1])).numpy()
    np.testing.assert_allclose(targets, [np.eye(10)[2], np.full(10, 0.1)], rtol=1e-6)


def test_the_teacher_has_280682_parameters():
    assert sum(each.numel() for each in distil.Teacher().parameters()) == 280_682


def test_the_learning_rate_rises_to_its_peak_and_falls_to_0():
    rate = distil.rate_of(100)
    assert rate(0) == pytest.approx(1 / 15)
    assert rate(14) == 1
    assert rate(56) == pytest.approx(0.5 * (1 + np.cos(np.pi * 42 / 85)))
    assert rate(99) == pytest.approx(0, abs=1e-12)


def test_images_are_standardised_each_by_its_own_pixels():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    images[2] = 7
    found = distil.standardised(images).numpy()
    each = [(image - image.mean()) / max(1, image.std()) for image in images.astype(float)]
    np.testing.assert_allclose(found[:, 0], each, atol=1e-5)
