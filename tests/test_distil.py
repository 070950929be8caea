"""Distillation: the teacher, the student, and the rounding of weights."""

import numpy as np
import pytest

from benchmarks.rounding import round_layers, round_numbers, rounded_rows
from lenet import LeNet5
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


def test_the_student_learns_what_the_teacher_says_instead_of_the_labels(digits):
    recipe = RECIPE.with_changes(epochs=3, lr=0.1)
    model, state = distil.train_student(*digits, recipe, Constant())
    assert len(state.history) == 3
    assert (model.predict(digits[0]) == 3).all()
    assert model.mean is None  # each image is standardised by its own pixels, as in the recipe


def test_the_teacher_learns_the_labels_and_uniform_probabilities_of_non_digits(digits, monkeypatch):
    monkeypatch.setattr(distil, "BATCH", 16)
    teacher = distil.train_teacher(*digits, RECIPE.with_changes(distort=False, vary=False, defects=0.0), 4)
    assert not teacher.training
    with torch.inference_mode():
        logits = distil.logits_of(teacher, digits[0]).numpy()
    assert (logits.argmax(axis=1) == digits[1]).mean() > 0.9
    targets = distil.targets_of(np.array([2, -1])).numpy()
    np.testing.assert_allclose(targets, [np.eye(10)[2], np.full(10, 0.1)], rtol=1e-6)


def test_the_teacher_has_the_parameters_that_the_page_names():
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


def test_the_bias_compensates_for_a_rounded_weight():
    """Of (dw + db)^2 + 0.01 (dw^2 + db^2), the derivative with respect to db is 0 if db = -dw / 1.01."""
    rows = np.array([[0.3, 0.5], [-0.26, 0.125]])
    found = rounded_rows(rows, np.ones((5, 1)))
    np.testing.assert_array_equal(found[:, 0], [0.3125, -0.25])
    np.testing.assert_allclose(found[:, 1], [0.5 - 0.0125 / 1.01, 0.125 - 0.01 / 1.01], rtol=1e-12)


def test_rounded_layers_change_their_outputs_less_than_each_weight_rounded_by_itself():
    model = LeNet5(seed=0)
    model.mean = model.std = None
    images = load_digits().X_train[:500]
    before = {name: value.copy() for name, value in model.parameters.items()}
    inputs = model.activations(images)["s4"].reshape(len(images), -1)

    def outputs(weight, bias):
        return inputs @ weight.reshape(len(bias), -1).T + bias

    expected = outputs(before["c5.weight"], before["c5.bias"])
    nearest = np.round(before["c5.weight"] * 16) / 16
    round_layers(model, images)
    after = model.parameters
    for name in ("c5.weight", "f6.weight"):
        np.testing.assert_array_equal(after[name] * 16, np.round(after[name] * 16))
    for name in ("c1.weight", "c3.weight", "output.weight", "c1.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    error = np.square(outputs(after["c5.weight"], after["c5.bias"]) - expected).mean()
    assert error < 0.1 * np.square(outputs(nearest, before["c5.bias"]) - expected).mean()


def test_numbers_are_rounded_to_9_significant_bits():
    values = np.array([1 + 2**-8, 1 + 2**-10, -3.0 - 2**-9, 0.0, 1000.6, 2.0**-20], np.float32)
    round_numbers(values)
    assert values.tolist() == [1 + 2**-8, 1.0, -3.0, 0.0, 1000.0, 2.0**-20]
