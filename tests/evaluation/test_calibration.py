"""Probabilities are calibrated, and doubtful answers and non-digits are rejected."""

import copy
import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import lenet
from lenet.errors import InputError
from lenet.evaluation import calibration
from lenet.evaluation.calibration import MIN_IMAGES, RATES
from lenet.losses import cross_entropy
from lenet.rejection import RejectionRule, digit_score, learned_thresholds, margin


@pytest.fixture(scope="module")
def digits():
    return lenet.data.load_digits()


@pytest.fixture(scope="module")
def calibrated(digits):
    """A model calibrated on digits by writers that it was not trained on."""
    model = lenet.load_pretrained("mnist")
    calibration.calibrate(model, digits.X_train, digits.y_train)
    return model


def test_the_temperature_minimises_the_cross_entropy():
    rng = np.random.default_rng(0)
    logits, y = 5 * rng.normal(size=(300, 4)), rng.integers(0, 4, 300)
    logits[np.arange(300), y] += 4
    best = minimize_scalar(lambda t: cross_entropy(logits / t, y)[0].mean(), bounds=(0.1, 10), method="bounded")
    assert calibration.temperature(logits, y) == pytest.approx(best.x, rel=1e-3)


def test_the_temperature_is_from_1_20_to_20():
    logits = np.random.default_rng(0).normal(size=(30, 4))
    labels = logits.argmax(axis=1)
    labels[0] = logits[0].argmin()  # one is wrong
    assert calibration.temperature(1e-6 * logits, labels) == pytest.approx(1 / 20, rel=1e-9)
    assert calibration.temperature(logits, logits.argmin(axis=1)) == pytest.approx(20, rel=1e-9)


@pytest.mark.parametrize("logits", [np.zeros((0, 3)), np.array([[0.0, 1, 2], [3, np.inf, 4]])])
def test_a_temperature_requires_finite_logits_of_at_least_one_image(logits):
    with pytest.raises(InputError, match="logits is empty or not finite"):
        calibration.temperature(logits, np.zeros(len(logits), int))


def test_100_images_that_are_all_right_do_not_change_the_probabilities():
    """More certain ones would always be likelier. The two rates of at least 1 in 100 have a threshold."""
    model, before = lenet.LeNet5(seed=0), lenet.LeNet5(seed=0)
    model.metadata["temperature"] = "3"
    X = np.random.default_rng(0).integers(0, 256, (MIN_IMAGES, 28, 28)).astype(np.uint8)
    calibration.calibrate(model, X, before.predict(X))
    np.testing.assert_array_equal(model.parameters.flat, before.parameters.flat)
    assert float(model.metadata["temperature"]) == 3
    assert json.loads(model.metadata["margins"]) == {"0.01": 0, "0.02": 0}


def test_999_of_1000_digits_reach_the_min_digit_score(digits, calibrated):
    scores = np.sort(digit_score(calibrated.predict_proba(digits.X_train)))
    least = float(calibrated.metadata["min_digit_score"])
    assert least == pytest.approx(scores[(len(scores) - 1) // 1000], rel=1e-6)  # the temperature is rounded
    assert (scores >= 0.999999 * least).mean() >= 0.999


@pytest.mark.parametrize("old", [None, "much"])
@pytest.mark.parametrize(("images", "known"), [(999, False), (1000, True)])
def test_a_min_digit_score_needs_1000_images(digits, images, known, old):
    """One in 999 is more than 0.1%. A damaged one is dropped."""
    model = lenet.load_pretrained("mnist")
    model.metadata.pop("min_digit_score")
    model.metadata |= {} if old is None else {"min_digit_score": old}
    calibration.calibrate(model, digits.X_train[:images], digits.y_train[:images])
    assert ("min_digit_score" in model.metadata) == known
    assert (RejectionRule.from_metadata(model.metadata).min_digit_score > 0) == known


@pytest.mark.parametrize("images", [500, 1000])
def test_calibration_replaces_the_minimum_of_an_earlier_version(digits, images):
    model = lenet.load_pretrained("mnist")
    model.metadata.pop("min_digit_score")
    model.metadata["least_digit_score"] = "0.2"
    calibration.calibrate(model, digits.X_train[:images], digits.y_train[:images])
    assert "least_digit_score" not in model.metadata
    assert RejectionRule.from_metadata(model.metadata).min_digit_score > 0


def test_calibration_with_few_images_rejects_the_same_non_digits(digits):
    model, rng = lenet.load_pretrained("mnist"), np.random.default_rng(0)
    noise = rng.normal(rng.uniform(0, 200, (3000, 1, 1)), 50, (3000, 28, 28)).clip(0, 255).astype(np.uint8)
    images = np.concatenate([digits.X_test, noise])
    before = RejectionRule.from_metadata(model.metadata).answers(model.predict_proba(images)).is_digit
    assert 0.005 < before[len(digits.X_test) :].mean() < 0.05
    calibration.calibrate(model, digits.X_train[:500], digits.y_train[:500])
    after = RejectionRule.from_metadata(model.metadata).answers(model.predict_proba(images)).is_digit
    np.testing.assert_array_equal(after, before)


def test_weights_without_finite_logits_are_refused():
    model = lenet.LeNet5(seed=0)
    model.parameters["output.bias"][3] = np.inf
    with pytest.raises(InputError, match="logits are not finite"):
        calibration.calibrate(model, np.zeros((100, 28, 28), np.uint8), np.zeros(100, int))


def test_calibrating_changes_no_answer_and_lowers_the_loss(digits, calibrated):
    before, held_out = lenet.load_pretrained("mnist"), slice(0, 300)
    X, y = digits.X_test[held_out], digits.y_test[held_out]
    np.testing.assert_array_equal(before.predict(X), calibrated.predict(X))
    assert cross_entropy(calibrated.logits(X), y)[0].mean() < cross_entropy(before.logits(X), y)[0].mean()


def test_logits_are_divided_by_the_temperature_in_the_file(digits, calibrated):
    before = lenet.load_pretrained("mnist")
    ratio = float(calibrated.metadata["temperature"]) / float(before.metadata.get("temperature", 1))
    expected = before.logits(digits.X_test) / ratio
    np.testing.assert_allclose(calibrated.logits(digits.X_test), expected, atol=1e-4)


def test_calibrating_twice_equals_calibrating_once(digits, calibrated):
    twice = copy.deepcopy(calibrated)
    calibration.calibrate(twice, digits.X_train, digits.y_train)
    once = float(calibrated.metadata["temperature"])
    assert float(twice.metadata["temperature"]) == pytest.approx(once, rel=1e-4)


def test_the_error_among_accepted_answers_is_at_most_the_rate(digits, calibrated):
    accepted_before = 0
    for rate in (0.001, 0.005, 0.02):
        answers = calibrated.predict(digits.X_train, reject_at=rate)
        accepted = answers >= 0
        assert (answers != digits.y_train)[accepted].sum() <= rate * accepted.sum()
        assert accepted.sum() >= accepted_before  # a laxer rate accepts more
        accepted_before = accepted.sum()
    assert accepted_before > len(digits.y_train) / 2


def test_threshold_counts_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4], [0.55, 0.45]])
    y = np.array([0, 1, 1, 0, 0])  # the third is wrong
    assert calibration.threshold(probabilities, y, 0.0) == pytest.approx(math.log(4))  # 0.8 to 0.2
    assert calibration.threshold(probabilities, y, 0.25) == 0.0  # 1 in 5 is less than that
    assert calibration.threshold(probabilities, y, 0.2) == 0.0
    assert calibration.threshold(probabilities, y, 0.199) == pytest.approx(math.log(4))
    assert calibration.threshold(probabilities[:4], y[:4], 0.249) == pytest.approx(math.log(4))
    assert calibration.threshold(probabilities, 1 - y, 0.0) is None  # the one with the largest margin is wrong
    assert calibration.rejection_rate(probabilities, y, 0.0) == 0.6
    assert calibration.rejection_rate(probabilities, 1 - y, 0.0) == 1.0


@pytest.mark.parametrize("function", [
    lambda p, y: calibration.threshold(p, y, 0.1), lambda p, y: calibration.rejection_rate(p, y, 0.1),
    calibration.expected_calibration_error,
])  # fmt: skip
def test_no_images_have_neither_a_threshold_nor_an_error(function):
    with pytest.raises(InputError, match="There are no images"):
        function(np.zeros((0, 3)), np.zeros(0, int))


def test_equal_margins_are_accepted_together_or_not_at_all():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3]])
    least = calibration.threshold(probabilities, np.array([0, 0, 1]), 0.0)
    assert least == pytest.approx(math.log(9))


def test_expected_calibration_error_by_hand():
    # In the bin from 0.6 to 0.667: two of them right half of the time; in the last one, one that is right.
    probabilities = np.array([[0.62, 0.38], [0.64, 0.36], [0.98, 0.02]])
    error = calibration.expected_calibration_error(probabilities, np.array([0, 1, 0]))
    assert error == pytest.approx((2 * abs(0.63 - 0.5) + abs(0.98 - 1)) / 3)


def test_the_15_bins_of_the_calibration_error_are_of_equal_width():
    """An overconfident and an underconfident image cancel only in the same bin."""
    for confidence in np.arange(8.5, 15) / 15:
        alike = [[confidence, 1 - confidence]] * 4
        error = calibration.expected_calibration_error(alike, [0, 0, 0, 1])
        assert error == pytest.approx(abs(confidence - 0.75))
        apart = [[confidence - 0.4 / 15, 1 - confidence + 0.4 / 15], [confidence + 0.4 / 15, 1 - confidence - 0.4 / 15]]
        assert calibration.expected_calibration_error(apart, [0, 1]) == pytest.approx(abs(confidence - 0.5))
        if confidence < 14 / 15:
            above = confidence + 1 / 15
            error = calibration.expected_calibration_error([alike[0], [above, 1 - above]], [0, 1])
            assert error == pytest.approx((1 - confidence + above) / 2)


def test_a_certain_answer_is_in_the_last_bin():
    error = calibration.expected_calibration_error([[1.0, 0.0], [0.94, 0.06]], [1, 0])
    assert error == pytest.approx((1 - 0.06) / 2)


def test_non_digits_are_rejected_at_any_rate(calibrated):
    blank = np.zeros((50, 28, 28), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, blank.shape).astype(np.uint8)
    shipped = lenet.load_pretrained("mnist")
    assert (shipped.predict(noise, reject_at=0.0005) == -1).all()
    for images in (blank, 255 - blank, blank + 90):
        assert (calibrated.predict(images, reject_at=0.02) == -1).all()
    out = np.zeros(50, np.int64)
    assert calibrated.predict(blank, reject_at=0.02, out=out) is out
    assert (out == -1).all()


def test_thresholds_travel_with_the_file(tmp_path, digits, calibrated):
    calibrated.save(tmp_path / "model.safetensors")
    again = lenet.load(tmp_path / "model.safetensors")
    expected = calibrated.predict(digits.X_test, reject_at=0.005)
    np.testing.assert_array_equal(again.predict(digits.X_test, reject_at=0.005), expected)


@pytest.mark.parametrize("count", [0, 1, 99])
def test_few_images_are_refused_and_change_nothing(digits, count):
    model = lenet.load_pretrained("mnist")
    with pytest.raises(InputError, match=f"X has {count} images; expected at least 100"):
        calibration.calibrate(model, digits.X_train[:count], digits.y_train[:count])
    np.testing.assert_array_equal(model.parameters.flat, lenet.load_pretrained("mnist").parameters.flat)


@pytest.mark.parametrize("text", ["abc", "nan", "0", "-1", "inf"])
def test_a_damaged_temperature_is_refused_before_anything_changes(digits, text):
    model = lenet.load_pretrained("mnist")
    before, model.metadata["temperature"] = model.parameters.flat.copy(), text
    with pytest.raises(InputError, match="expected a number above 0"):
        calibration.calibrate(model, digits.X_train, digits.y_train)
    np.testing.assert_array_equal(model.parameters.flat, before)


def test_thresholds_of_an_earlier_version_are_deleted(digits):
    model = lenet.load_pretrained("mnist")
    model.metadata["thresholds"] = '{"0.001": 0.9}'
    calibration.calibrate(model, digits.X_train, digits.y_train)
    assert "thresholds" not in model.metadata


MISSING = [
    (0, "The model classifies 0 of the 1,296 images as labelled, and 146 of the 146 of class 2 as 3;"),
    (3, "The model classifies 429 of the 1,292 images as labelled, and 145 of the 146 of class 4 as 5;"),
    (8, "The model classifies 1,151 of the 1,299 images as labelled, and 136 of the 144 of class 8 as 9;"),
]


@pytest.mark.parametrize(("missing", "expected"), MISSING)
def test_labels_numbered_without_a_missing_digit_are_refused(digits, missing, expected):
    X, y = digits.X_train[digits.y_train != missing], digits.y_train[digits.y_train != missing]
    assert_refused(X, y - (y > missing), expected)


def test_images_and_labels_that_do_not_belong_together_are_refused(digits):
    X, y = digits.X_train[:200], digits.y_train[:200]
    assert_refused(X, np.roll(y, 1), "The model classifies")
    assert_refused(255 - X, y, "expected light ink")


def assert_refused(X, y, expected):
    model = lenet.load_pretrained("mnist")
    before, metadata = model.parameters.flat.copy(), dict(model.metadata)
    with pytest.raises(InputError, match=expected):
        calibration.calibrate(model, X, y)
    np.testing.assert_array_equal(model.parameters.flat, before)
    assert model.metadata == metadata


@pytest.mark.parametrize(("right", "refused"), [(18, True), (19, False)])
def test_an_accuracy_a_tenth_of_the_way_from_guessing_to_1_suffices(right, refused):
    """Ten images of each class, and errors that are spread over all others: 0.1 + 0.9 / 10 is 0.19."""
    labels = np.repeat(np.arange(10), 10)
    answers = (labels + np.tile(np.arange(10), 10) % 9 + 1) % 10
    answers[:right] = labels[:right]
    if refused:
        with pytest.raises(InputError, match=r"^The model classifies 18 of the 100 images as labelled, and 2 of"):
            calibration._check_fit(labels, answers, tuple("0123456789"))
    else:
        calibration._check_fit(labels, answers, tuple("0123456789"))


@pytest.mark.parametrize(("wrong", "refused"), [(10, False), (11, True)])
def test_any_errors_are_accepted_if_at_most_a_tenth_is_wrong(wrong, refused):
    """Images of one class, of which guessing would misread none."""
    labels, answers = np.zeros(100, int), np.repeat([0, 1], [100 - wrong, wrong])
    if refused:
        with pytest.raises(InputError, match="and 11 of the 100 of class a as b; expected"):
            calibration._check_fit(labels, answers, ("a", "b"))
    else:
        calibration._check_fit(labels, answers, ("a", "b"))


def test_hard_images_are_accepted(digits):
    noise = np.random.default_rng(0).normal(0, 150, digits.X_train.shape)
    X, model = (digits.X_train + noise).clip(0, 255).astype(np.uint8), lenet.load_pretrained("mnist")
    assert (model.predict(X) == digits.y_train).mean() < 0.5
    calibration.calibrate(model, X, digits.y_train)


def test_a_rate_that_no_threshold_reaches_is_omitted(digits):
    model, X, y = lenet.load_pretrained("mnist"), digits.X_train[:200], digits.y_train[:200].copy()
    surest = np.argsort(-margin(model.predict_proba(X)))[:50]
    y[surest] = (model.predict(X[surest]) + np.arange(50) % 9 + 1) % 10  # all wrong
    calibration.calibrate(model, X, y)
    assert json.loads(model.metadata["margins"]) == {}
    with pytest.raises(InputError, match="misread too many"):
        model.predict(X, reject_at=0.02)


# The shipped weights


def test_the_shipped_probabilities_are_calibrated(mnist):
    probabilities = lenet.load_pretrained("mnist").predict_proba(mnist.X_test)
    assert calibration.expected_calibration_error(probabilities, mnist.y_test) <= 0.005
    assert calibration.rejection_rate(probabilities, mnist.y_test, 0.001) <= 0.015


def test_the_shipped_thresholds_hold_on_the_test_set(mnist):
    for rate in (0.001, 0.002):
        answers = lenet.load_pretrained("mnist").predict(mnist.X_test, reject_at=rate)
        accepted = answers >= 0
        wrong = (answers != mnist.y_test)[accepted].sum()
        assert wrong <= rate * accepted.sum() + 3 * np.sqrt(rate * accepted.sum())  # three standard deviations
        assert accepted.mean() > 0.95


def test_the_shipped_weights_have_a_threshold_for_each_error_rate():
    assert tuple(learned_thresholds(lenet.load_pretrained("mnist").metadata)) == RATES


def test_a_calibrated_model_accepts_what_it_was_calibrated_on():
    model, X, y = lenet.LeNet5(seed=0), np.zeros((100, 28, 28), np.uint8), np.zeros(100, int)
    model.parameters.flat[...] = 0
    model.parameters["output.bias"][0] = 0.99
    calibration.calibrate(model, X, y)
    assert (model.predict(X, reject_at=0.01) == 0).all()


@pytest.mark.parametrize("wrong", [29, 57, 58])
def test_an_error_rate_of_exactly_the_rate_is_allowed(wrong):
    y = np.arange(100) < wrong
    assert calibration.threshold([[0.9, 0.1]] * 100, y.astype(int), wrong / 100) == 0.0
