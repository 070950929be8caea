"""The figures of the report, against numbers computed by hand."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.evaluation import report
from lenet.evaluation.report import classification_report, evaluate

# true 0: three, one taken for 2; true 1: three, one taken for 0 and one for 2; true 2: four, all right
TRUE = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 0, 2, 1, 0, 2, 2, 2, 2, 2])


def logits_for(predicted, num_classes):
    return 3 * np.eye(num_classes)[predicted.astype(int)]


def test_the_confusion_matrix_has_a_row_per_true_class():
    outcome = classification_report(logits_for(PREDICTED, 3), TRUE)
    assert outcome.confusion_matrix.tolist() == [[2, 0, 1], [1, 1, 1], [0, 0, 4]]
    assert outcome.confusion_matrix.dtype == np.int64


def test_precision_recall_and_f1_are_as_counted_by_hand():
    outcome = classification_report(logits_for(PREDICTED, 3), TRUE)
    assert outcome.images == 10
    assert outcome.support == [3, 3, 4]
    assert outcome.accuracy == pytest.approx(7 / 10)
    assert outcome.precision == pytest.approx([2 / 3, 1 / 1, 4 / 6])
    assert outcome.recall == pytest.approx([2 / 3, 1 / 3, 4 / 4])
    assert outcome.f1 == pytest.approx([2 / 3, 2 / 4, 8 / 10])  # 2 PR / (P + R)


def test_loss_is_the_mean_cross_entropy():
    outcome = classification_report(logits_for(PREDICTED, 3), TRUE)
    total = math.exp(3) + 2
    right, wrong = -math.log(math.exp(3) / total), -math.log(1 / total)
    assert outcome.loss == pytest.approx((7 * right + 3 * wrong) / 10)


def test_a_class_that_never_occurs_has_zeros_and_its_row():
    outcome = classification_report(
        logits_for(np.array([0, 3, 0]), 5), np.array([0, 0, 1])
    )  # 2, 4 never, 3 only predicted
    assert outcome.support == [2, 1, 0, 0, 0]
    assert outcome.precision == pytest.approx([1 / 2, 0, 0, 0, 0])
    assert outcome.recall == pytest.approx([1 / 2, 0, 0, 0, 0])
    assert outcome.f1 == pytest.approx([1 / 2, 0, 0, 0, 0])
    assert outcome.confusion_matrix.shape == (5, 5)
    assert outcome.confusion_matrix[0].tolist() == [1, 0, 0, 1, 0]
    assert outcome.confusion_matrix[2:].sum() == 0
    known = outcome.as_dict()
    assert [known[name][1:] for name in ("precision", "recall", "f1")] == [[0, None, None, None]] * 3
    assert str(outcome).splitlines()[5:7] == [
        "    1      0.00%    0.00%    0.00%         1",
        "    2          -        -        -         0",
    ]


def test_one_image_is_enough():
    outcome = classification_report(np.array([[0.0, 1.0]], np.float32), np.array([1]))
    assert (outcome.images, outcome.accuracy, outcome.support) == (1, 1.0, [0, 1])


def test_no_image_is_not_enough():
    with pytest.raises(InputError, match="There are no images"):
        classification_report(np.zeros((0, 3)), np.zeros(0, int))


def test_the_text_line_by_line():
    logits = math.log(3) * np.eye(2)[[0, 1, 1]]  # probabilities of 75% and 25%
    text = str(classification_report(logits, np.array([0, 1, 0])))
    assert (
        text
        == """\
accuracy 66.67% (1 error in 3 images), loss 0.6539
calibration error 8.33%

class  precision   recall       f1    images
    0    100.00%   50.00%   66.67%         2
    1     50.00%  100.00%   66.67%         1

confusion matrix (rows: true classes, columns: predicted classes)
          0    1
    0     1    1
    1     0    1
"""
    )


def test_columns_are_as_wide_as_the_names_of_the_classes():
    text = str(classification_report(np.eye(2), np.array([0, 1]), ["six", "seventy"]))
    assert text.splitlines()[3:] == [
        "class    precision   recall       f1    images",
        "    six    100.00%  100.00%  100.00%         1",
        "seventy    100.00%  100.00%  100.00%         1",
        "",
        "confusion matrix (rows: true classes, columns: predicted classes)",
        "             six seventy",
        "    six        1       0",
        "seventy        0       1",
    ]


def test_long_names_are_shortened_as_in_figures():
    text = str(classification_report(np.eye(2), np.array([0, 1]), ["a" * 20, "b" * 50 + "c" * 50]))
    assert text.splitlines()[-3:] == [
        " " * 22 + "a" * 20 + "  " + "b" * 9 + "\u2026" + "c" * 9,
        "a" * 20 + " " * 21 + "1" + " " * 20 + "0",
        " " + "b" * 9 + "\u2026" + "c" * 9 + " " * 21 + "0" + " " * 20 + "1",
    ]


def test_names_that_differ_only_in_the_middle_are_not_shortened():
    names = ["handwritten_upper_a_sample", "handwritten_lower_a_sample", "b" * 50]
    text = str(classification_report(np.eye(3), np.arange(3), names))
    shown = [*names[:2], "b" * 9 + "\u2026" + "b" * 9]
    assert [line.split()[0] for line in text.splitlines()[-3:]] == shown


@pytest.mark.parametrize("count", [1, 10_000, 123_456])
def test_columns_of_the_text_are_separate_and_aligned(count):
    predicted = np.repeat([0, 1, 1], [count, count, 1])
    text = str(classification_report(logits_for(predicted, 2), np.repeat([0, 1, 0], [count, count, 1])))
    matrix = text.splitlines()[-3:]
    assert matrix[1].split() == ["0", str(count), "1"]
    assert {len(line) for line in matrix} == {6 + 2 * max(5, 1 + len(str(count)))}


@pytest.mark.parametrize(
    ("predicted", "text"),
    [
        (TRUE, "the error rate is at most 0.1% without rejecting any image"),
        (PREDICTED, "no threshold reaches an error rate of 0.1%"),
    ],
)
def test_the_text_names_a_rejection_only_if_there_is_one(predicted, text):
    predicted, true = np.tile(predicted, 100), np.tile(TRUE, 100)
    assert str(classification_report(logits_for(predicted, 3), true)).splitlines()[1].endswith(f"; {text}")


def test_the_text_reports_how_many_images_to_reject():
    """The tenth with the smallest margins has all errors."""
    predicted, true = np.zeros(1000, int), np.repeat([0, 1], [900, 100])
    heights = np.where(true, 1.0, 3.0)[:, np.newaxis]
    text = str(classification_report(heights * np.eye(2)[predicted], true))
    line = "; rejecting the least certain 10.00% would reduce the error rate of the others to at most 0.1%"
    assert text.splitlines()[1].endswith(line)


def test_fewer_than_1000_images_cannot_show_an_error_rate_of_one_in_1000():
    for count, is_reported in ((999, False), (1000, True)):
        true = np.arange(count) % 3
        line = str(classification_report(logits_for(true, 3), true)).splitlines()[1]
        assert (re.fullmatch(r"calibration error \d+\.\d\d%", line) is None) == is_reported


def test_one_error_and_one_image_are_singular():
    one = np.zeros(1, int)
    assert "(0 errors in 1 image)" in str(classification_report(logits_for(one, 2), one))
    assert "(1 error in 1 image)" in str(classification_report(logits_for(one, 2), one + 1))


def test_errors_are_counted_exactly_where_rounding_could_go_wrong():
    assert 29 / 100 * 100 < 29
    for right in (0, 29, 57, 58, 100):
        text = str(classification_report(logits_for(np.arange(100) >= right, 2), np.zeros(100, int)))
        assert f"({100 - right} errors in 100 images)" in text


def test_reports_are_compared_by_identity():
    one, other = (classification_report(np.eye(2), [0, 1]) for _ in range(2))
    assert one != other


def test_as_dict_goes_through_json_unchanged():
    outcome = classification_report(logits_for(PREDICTED, 3).astype(np.float32), TRUE)
    known = outcome.as_dict()
    assert json.loads(json.dumps(known)) == known
    assert known["confusion_matrix"] == [[2, 0, 1], [1, 1, 1], [0, 0, 4]]
    assert known.keys() == {
        "images", "loss", "accuracy", "precision", "recall", "f1", "support", "confusion_matrix", "calibration_error",
        "rejected", "classes",
    }  # fmt: skip


def test_more_classes_than_a_report_can_hold_are_refused(monkeypatch):
    with pytest.raises(InputError, match="logits has 5,001 columns; expected at most 5,000 classes"):
        classification_report(np.zeros((1, 5001)), np.zeros(1, int))
    monkeypatch.setattr(report, "MAX_CLASSES", 3)
    assert classification_report(np.zeros((1, 3)), np.zeros(1, int)).confusion_matrix.shape == (3, 3)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2, 3, 0, 5])])
@pytest.mark.parametrize("table", [False, True])
def test_evaluate_returns_the_weighted_loss_and_accuracy(weights, table):
    model, rng = lenet.LeNet5(seed=0), np.random.default_rng(0)
    X = rng.integers(0, 256, (5, 28, 28)).astype(np.uint8)
    y = model.predict(X)
    y[3:] = (y[3:] + 1) % 10
    targets = 0.8 * np.eye(10)[y] + 0.02 if table else y
    logits = model.logits(X).astype(float)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    losses = -(log_p * (0.8 * np.eye(10)[y] + 0.02 if table else np.eye(10)[y])).sum(axis=1)
    loss, accuracy = evaluate(model, X, targets, sample_weight=weights)
    assert loss == pytest.approx(np.average(losses, weights=weights), rel=1e-5)
    assert accuracy == pytest.approx(3 / 5 if weights is None else 6 / 11)


def test_scikit_learn_is_not_imported():
    program = (
        "import sys, numpy as np; from lenet.evaluation import classification_report as report;"
        "report(np.eye(3), np.arange(3));"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_report_requires_finite_logits(value):
    with pytest.raises(InputError, match=r"^logits contains NaN or infinity; expected finite numbers\.$"):
        classification_report([[value, 0.0]], [1])


def test_a_report_requires_two_classes():
    with pytest.raises(InputError, match=r"^logits has shape \(3, 1\); expected at least two classes\.$"):
        classification_report(np.zeros((3, 1)), np.zeros(3, int))
