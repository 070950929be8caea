"""The rejection rule, against numbers computed by hand."""

import math

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

import lenet
from lenet.errors import InputError, InputTypeError
from lenet.rejection import RejectionRule, digit_score, learned_thresholds, margin
from lenet.weights.earlier import upgraded

METADATA = {"min_digit_score": "0.02", "margins": '{"0.001": 2.1, "0.01": 0.5}', "temperature": "1"}
# Digit scores 1 - exp(-margin / 2 / 3): 1, 0.307, 0.065, 0. Margins: log 1e300, log 9 = 2.197, log 1.5 = 0.405, 0.
PROBABILITIES = np.array([[1.0, 0.0], [0.1, 0.9], [0.4, 0.6], [0.5, 0.5]])


def test_digit_score_is_high_for_one_class_and_low_for_all_alike():
    one, two = np.repeat([0.55, 0.05], [1, 9]), np.repeat([0.5, 0], [2, 8])
    scores = digit_score(np.array([np.eye(10)[3], np.full(10, 0.1), one, two]))
    np.testing.assert_allclose(scores, [1, 0, 1 - 11**-0.3, 1], atol=1e-12)  # the lead of `one` is 0.9 log 11
    np.testing.assert_allclose(digit_score(PROBABILITIES), [1, 0.307, 0.065, 0], atol=1e-3)


def test_the_digit_score_depends_on_the_highest_logit_and_the_mean():
    logits = np.random.default_rng(0).normal(scale=5, size=(300, 7))
    expected = 1 - np.exp((logits.mean(axis=1) - logits.max(axis=1)) / 3)
    np.testing.assert_allclose(digit_score(softmax(logits, axis=1)), expected, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("lead", [0, 0.5, 2, 9])
def test_the_minimum_of_an_earlier_version_is_that_of_equally_likely_other_classes(classes, lead):
    p = softmax([lead, *[0] * (classes - 1)])
    old = 1 - entropy(p) / np.log(classes)
    found = upgraded({"least_digit_score": str(old), "seed": "1"}, classes)
    assert found == {"min_digit_score": found["min_digit_score"], "seed": "1"}
    assert float(found["min_digit_score"]) == pytest.approx(digit_score([p])[0], rel=1e-2, abs=1e-6)


def test_a_damaged_minimum_of_an_earlier_version_is_kept():
    for damaged in ("much", "2", "inf", "-1", "nan"):
        assert upgraded({"least_digit_score": damaged}, 10) == {"min_digit_score": damaged}
    assert upgraded({"min_digit_score": "0.3"}, 10) == {"min_digit_score": "0.3"}
    assert upgraded({"least_digit_score": "0.9", "min_digit_score": "0.3"}, 10) == {"min_digit_score": "0.3"}
    with pytest.raises(InputError, match=r"^The metadata has least_digit_score, .*; expected min_digit_score\. Load"):
        RejectionRule.from_metadata({"least_digit_score": "0.2"})


def test_the_margin_compares_the_two_likeliest_classes_only():
    np.testing.assert_allclose(margin(PROBABILITIES), np.log([1e300, 9, 1.5, 1]), atol=1e-12)
    found = margin([[0.1, 0.6, 0.2, 0.1], [0.4, 0, 0.4, 0.2], [0, 0, 0, 0]])
    np.testing.assert_allclose(found, [np.log(3), 0, 0], atol=1e-12)
    with pytest.raises(InputError, match=r"^probabilities has shape \(3, 1\); expected at least two classes"):
        margin(np.ones((3, 1)))


@pytest.mark.parametrize("scale", [1, 100])
def test_the_margin_is_the_difference_between_the_two_highest_logits(scale):
    logits = np.random.default_rng(0).normal(scale=scale, size=(300, 10))
    ordered = np.sort(logits, axis=1)
    np.testing.assert_allclose(margin(softmax(logits, axis=1)), ordered[:, -1] - ordered[:, -2], atol=1e-11)


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
    assert RejectionRule(1.0, np.log(1e300)).answers(np.array([[0.0, 1.0]])).labels.tolist() == [1]


@pytest.mark.parametrize(("reject_at", "least"), [(0.001, 2.1), (0.005, 2.1), (0.01, 0.5), (0.5, 0.5)])
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


def test_a_rule_accepts_everything_by_default():
    assert RejectionRule().answers(PROBABILITIES).labels.tolist() == [0, 1, 1, 0]
    assert RejectionRule(min_digit_score=0.3).answers(PROBABILITIES).labels.tolist() == [0, 1, -1, -1]
    assert RejectionRule(min_margin=0.4).answers(PROBABILITIES).labels.tolist() == [0, 1, 1, -1]


@pytest.mark.parametrize(
    ("name", "good", "bad", "expected"),
    [
        ("min_digit_score", (0, 1), (-0.01, 1.01, math.nan), "a number from 0 to 1"),
        ("min_margin", (0, 600), (-0.01, math.inf, math.nan), "a finite number of at least 0"),
    ],
)
def test_thresholds_have_ranges(name, good, bad, expected):
    for value in good:
        RejectionRule(**{name: value})
    for value in bad:
        with pytest.raises(InputError, match=rf"^{name} is .*; expected {expected}"):
            RejectionRule(**{name: value})
    with pytest.raises(InputTypeError, match=rf"^{name} is '1'; expected a number"):
        RejectionRule(**{name: "1"})


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 26])
def test_digit_scores_stay_from_0_to_1_despite_rounding(classes):
    """Probabilities may exceed 1 by 1e-6, and the mean of equal logits the highest by rounding."""
    equal = np.full((1, classes), 1 / classes, np.float32)
    assert 0 <= digit_score(equal)[0] < 1e-6
    certain = np.zeros((1, classes))
    certain[0, -1] = 1 + 9e-7
    assert digit_score(certain).tolist() == [1.0]


def test_a_digit_score_requires_two_classes():
    with pytest.raises(InputError, match=r"^probabilities has shape \(3, 1\); expected at least two classes"):
        digit_score(np.ones((3, 1)))


@pytest.mark.parametrize("rate", [0.0009, 0.001 * (1 - 1.4e-6), 1, 1.5, -1, 0, float("nan")])
def test_a_rate_below_the_lowest_or_not_below_1_is_rejected(rate):
    with pytest.raises(InputError, match=rf"^reject_at is {rate:g}; expected at least 0\.001, .* and below 1\.$"):
        RejectionRule.from_metadata(METADATA, rate)


def test_a_rate_in_single_precision_is_the_rate():
    for rate, least in ((0.001, 2.1), (0.01, 0.5)):
        for given in (np.float32(rate), rate * (1 - 0.9e-6)):
            assert RejectionRule.from_metadata(METADATA, given).min_margin == least
    assert RejectionRule.from_metadata(METADATA, 0.01 * (1 - 1.4e-6)).min_margin == 2.1


def test_learned_thresholds_are_those_in_the_metadata():
    assert learned_thresholds(METADATA) == {0.001: 2.1, 0.01: 0.5}
    metadata = {"margins": '{"0": 1, "1": 0}'}
    assert learned_thresholds(metadata) == {0: 1, 1: 0}
    assert RejectionRule.from_metadata(metadata, 0).min_margin == 1


@pytest.mark.parametrize(
    ("margins", "says"),
    [
        ("{", "The model's margins are damaged"),
        ("[]", "The model's margins are damaged"),
        ("[" * 100_000, "The model's margins are damaged"),
        ('{"0.1": -0.01}', "The model's minimum margin is -0.01; expected a finite number of at least 0"),
        ('{"1.1": 0.5}', "The model's error rate of a margin is '1.1'; expected a number from 0 to 1"),
        ('{"-0.1": 0.5}', "The model's error rate of a margin is '-0.1'; expected a number from 0 to 1"),
        ('{"0.1": NaN}', "The model's minimum margin is nan; expected a finite number of at least 0"),
        ('{"0.1": Infinity}', "The model's minimum margin is inf; expected a finite number of at least 0"),
        ('{"0.1": null}', "The model's minimum margin is None; expected a finite number of at least 0"),
        ('{"low": 0.5}', "The model's error rate of a margin is 'low'; expected a number from 0 to 1"),
        ('{"0.1": 1' + 400 * "0" + "}", "The model's minimum margin "),
    ],
)
def test_damaged_margins_are_an_error(margins, says):
    with pytest.raises(InputError, match=f"^{says}.*Calibrate it again"):
        learned_thresholds({"margins": margins})


@pytest.mark.parametrize("score", ["2", "nan", "high"])
def test_a_damaged_digit_score_is_an_error(score):
    says = f"^The model's min_digit_score is '{score}'; expected a number from 0 to 1.*Calibrate it again"
    with pytest.raises(InputError, match=says):
        RejectionRule.from_metadata({"min_digit_score": score})


def test_the_message_says_whether_a_model_without_thresholds_was_calibrated():
    with pytest.raises(InputError, match="it misread too many of the calibration images"):
        learned_thresholds({"margins": "{}", "temperature": "1"})
    with pytest.raises(InputError, match=r"call lenet\.evaluation\.calibrate"):
        learned_thresholds({"margins": "{}"})


def test_thresholds_of_an_earlier_version_do_not_count():
    """They were probabilities, not margins."""
    metadata = {"thresholds": '{"0.001": 0.9}', "temperature": "1"}
    with pytest.raises(
        InputError, match=r"^The model's rejection thresholds are probabilities, .*; expected margins\. Call lenet"
    ):
        RejectionRule.from_metadata(metadata, 0.001)
    assert learned_thresholds(metadata | {"margins": '{"0.001": 0.8}'}) == {0.001: 0.8}


def test_answers_as_dicts():
    """Of three classes, with a digit score of at least 0.5 and a margin of at least 1."""
    probabilities = np.array([[0.98, 0.01, 0.01], [0.4, 0.3, 0.3], [0.5, 0.5, 1e-9]])
    found = RejectionRule(0.5, 1.0)._as_dicts(probabilities, "abc")
    assert [(each["label"], each["class"], each["likeliest"], each["is_digit"]) for each in found] == [
        (0, "a", 0, True), (None, None, 0, False), (None, None, 0, True),
    ]  # fmt: skip
    assert [each["digit_score"] for each in found] == digit_score(probabilities).tolist()
    assert [each["probabilities"] for each in found] == probabilities.tolist()
    assert RejectionRule()._as_dicts(probabilities[:1], "abc")[0]["is_digit"] is None
