"""The rejection rule, against numbers computed by hand."""

import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.rejection import RejectionRule, digit_score, learned_thresholds

METADATA = {"least_digit_score": "0.02", "thresholds": '{"0.001": 0.9, "0.01": 0.7}', "temperature": "1"}
# Digit scores 1 - entropy / log 2: 1, 0.531, 0.029, 0.
PROBABILITIES = np.array([[1.0, 0.0], [0.1, 0.9], [0.4, 0.6], [0.5, 0.5]])


def test_digit_score_is_high_for_one_class_and_low_for_all_alike():
    scores = digit_score(np.array([np.eye(10)[3], np.full(10, 0.1), np.repeat([0.5, 0], [2, 8])]))
    np.testing.assert_allclose(scores, [1, 0, 1 - np.log(2) / np.log(10)], atol=1e-12)
    np.testing.assert_allclose(digit_score(PROBABILITIES), [1, 0.531, 0.029, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("reject_at", "labels"),
    [(None, [0, 1, 1, -1]), (0.01, [0, 1, -1, -1]), (0.005, [0, 1, -1, -1]), (0.001, [0, 1, -1, -1])],
)
def test_an_answer_is_accepted_if_it_reaches_both_thresholds(reject_at, labels):
    answers = RejectionRule.from_metadata(METADATA, reject_at).answers(PROBABILITIES)
    assert answers.labels.tolist() == labels
    assert answers.likeliest.tolist() == [0, 1, 1, 0]
    assert answers.is_digit.tolist() == [True, True, True, False]


def test_an_answer_at_the_thresholds_is_accepted():
    assert RejectionRule(1.0, 1.0).answers(np.array([[0.0, 1.0]])).labels.tolist() == [1]


@pytest.mark.parametrize(("reject_at", "least"), [(0.001, 0.9), (0.005, 0.9), (0.01, 0.7), (0.5, 0.7)])
def test_the_threshold_of_the_next_lower_rate_counts(reject_at, least):
    assert RejectionRule.from_metadata(METADATA, reject_at) == RejectionRule(0.02, least)


def test_without_calibration_everything_is_a_digit_and_no_rate_has_a_threshold():
    assert RejectionRule.from_metadata({}) == RejectionRule(0.0, 0.0)
    with pytest.raises(InputError, match="no rejection thresholds"):
        RejectionRule.from_metadata({}, 0.01)
    with pytest.raises(InputError, match="no rejection thresholds"):
        learned_thresholds({})


def test_no_images_have_no_answers():
    answers = RejectionRule(0.5, 0.5).answers(np.zeros((0, 10)))
    assert answers.labels.shape == answers.digit_scores.shape == (0,)


def test_predict_follows_the_rule():
    model, digits = lenet.load_pretrained("mnist"), lenet.data.load_digits().X_test
    images = np.concatenate([digits, np.random.default_rng(0).integers(0, 256, (9, 28, 28)).astype(np.uint8)])
    rule = RejectionRule.from_metadata(model.metadata, 0.002)
    expected = rule.answers(model.predict_proba(images)).labels
    np.testing.assert_array_equal(model.predict(images, reject_at=0.002), expected)
    assert (expected[-9:] == -1).all()
    assert 0 < (expected[:-9] == -1).mean() < 0.5
