"""Images of non-digits, and the effect of training on them."""

import sys

import numpy as np
import pytest

import lenet
from lenet.rejection import digit_score

pytest.importorskip("cv2")

from lenet._mnist_form import cropped
from lenet.training.augment.non_digits import non_digits

DIGITS = lenet.data.load_digits()


def test_non_digits_are_of_many_kinds_and_repeat_with_the_seed():
    one, two = (non_digits(300, DIGITS.X_train, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (300, 28, 28)
    assert one.dtype == np.uint8
    assert len(np.unique(one.reshape(300, -1), axis=0)) > 280
    assert not (one[:, np.newaxis] == DIGITS.X_train[np.newaxis, :200]).all(axis=(2, 3)).any()  # none is a digit


def test_kinds_have_their_frequencies(monkeypatch):
    shares = {"strokes": 5, "letter": 2, "half": 1, "window": 3, "pair": 3, "shuffled": 1, "negative": 1, "blot": 2,
              "garment": 2, "noise": 1, "blank": 1}  # fmt: skip
    for number, name in enumerate(shares):
        monkeypatch.setattr(f"lenet.training.augment.non_digits._{name}", lambda *_, number=number: np.uint8(number))
    drawn = np.bincount(non_digits(10_000, DIGITS.X_train, np.random.default_rng(0))) / 10_000
    np.testing.assert_allclose(drawn, np.array([*shares.values()]) / 22, atol=0.015)


@pytest.mark.parametrize(("shape", "dtype", "message"), [
    ((2, 28, 28), float, "digits has dtype float64; expected uint8"),
    ((2, 28, 27), np.uint8, r"digits has shape \(2, 28, 27\); expected \(n, 28, 28\)"),
    ((28, 28), np.uint8, r"digits has shape \(28, 28\)"), ((0, 28, 28), np.uint8, "There are no images"),
])  # fmt: skip
def test_other_digits_are_refused(shape, dtype, message):
    with pytest.raises((lenet.errors.InputError, lenet.errors.InputTypeError), match=message):
        non_digits(1, np.zeros(shape, dtype), np.random.default_rng(0))


def test_one_image_is_made_of_one_digit_and_none_is_refused():
    assert non_digits(1, DIGITS.X_train[:1], np.random.default_rng(0)).shape == (1, 28, 28)
    with pytest.raises(lenet.errors.InputError, match="n is 0; expected at least 1"):
        non_digits(0, DIGITS.X_train, np.random.default_rng(0))


def test_a_missing_opencv_is_named_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(lenet.errors.MissingExtraError, match=r"OpenCV.*pip install 'lenet\[vision\]'"):
        non_digits(1, DIGITS.X_train, np.random.default_rng(0))


def test_cropped():
    image = np.zeros((5, 6), np.uint8)
    image[1, 2:4] = 9
    np.testing.assert_array_equal(cropped(image), [[9, 9]])
    assert cropped(image[2:]).shape == (1, 1)


@pytest.mark.release
def test_a_network_trained_on_non_digits_recognises_them():
    recipe = lenet.training.recipes.RECIPES["small"].with_changes(epochs=160, vary=True, non_digits=0.3)
    model = lenet.LeNet5(seed=0)
    state = lenet.train(model, DIGITS.X_train, DIGITS.y_train, recipe)
    other = non_digits(300, DIGITS.X_train, np.random.default_rng(9))
    sure = model.predict_proba(other).max(axis=1)
    assert np.median(sure) < 0.5
    assert (model.predict(DIGITS.X_test) == DIGITS.y_test).mean() > 0.85
    assert 0.8 < state.history[-1].accuracy <= 1  # of the digits alone
    assert np.median(model.predict_proba(DIGITS.X_test).max(axis=1)) > 0.8


def test_the_shipped_weights_recognise_other_non_digits():
    model = lenet.load_pretrained("mnist")
    sure = model.predict_proba(DIGITS.X_test).max(axis=1)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (200, 28, 28), dtype=np.uint8)
    for images in (noise, 255 - DIGITS.X_test, np.zeros((1, 28, 28), np.uint8)):
        assert (model.predict_proba(images).max(axis=1) > np.quantile(sure, 0.1)).mean() < 0.05


def test_non_digits_are_distinguished(mnist):
    """If 98% of the test digits are accepted, at most 5% of non-digits are: strokes, noise and blanks."""
    walks = pytest.importorskip("benchmarks.reading").walks
    model, rng = lenet.load_pretrained("mnist"), np.random.default_rng(3)
    least = np.quantile(digit_score(model.predict_proba(mnist.X_test)), 0.02)
    blanks = np.tile(np.arange(256, dtype=np.uint8)[:, np.newaxis, np.newaxis], (1, 28, 28))
    noise = rng.integers(0, 256, (1000, 28, 28)).astype(np.uint8)
    for images in (walks(1000, rng), walks(1000, rng, turning=0.0), noise, blanks):
        assert (digit_score(model.predict_proba(images)) >= least).mean() <= 0.05


def test_sample_weights_and_non_digits_can_be_combined():
    recipe = lenet.training.recipes.RECIPES["wild"].with_changes(epochs=1, validation=0.0)
    results = []
    for weight in (None, np.full(200, 3.0)):
        model = lenet.LeNet5(seed=0)
        lenet.train(model, DIGITS.X_train[:200], DIGITS.y_train[:200], recipe, sample_weight=weight)
        results.append(model.parameters.flat.copy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


@pytest.mark.parametrize("width", [1, 3])
def test_thin_bars_have_non_digits_too(width):
    bars = np.zeros((5, 28, 28), np.uint8)
    bars[:, 4:24, 13 : 13 + width] = 255
    assert non_digits(400, bars, np.random.default_rng(0)).shape == (400, 28, 28)


def test_a_window_without_ink_is_blank_after_a_hundred_tries(monkeypatch):
    blank = np.zeros((24, 40), np.uint8), np.array([[0, 10], [10, 20], [20, 30], [30, 40]])
    rows = iter([blank] * 100)
    monkeypatch.setattr(lenet.training.augment.non_digits, "_row", lambda *_: next(rows))
    window = lenet.training.augment.non_digits._window(DIGITS.X_train, np.random.default_rng(0))
    assert (window.shape, window.any(), list(rows)) == ((28, 28), False, [])


def test_blank_digits_are_refused():
    with pytest.raises(lenet.errors.InputError, match="All images are blank; expected some with ink"):
        non_digits(1, np.zeros((5, 28, 28), np.uint8), np.random.default_rng(0))
