"""Softmax cross-entropy against the reference, closed forms and central differences."""

import math

import numpy as np
import pytest
import reference

from lenet.errors import InputError, InputTypeError
from lenet.losses import competitive_distance, cross_entropy, log_softmax, softmax


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=3, size=(7, 10))


@pytest.fixture(params=["labels", "probabilities"])
def labels(request):
    if request.param == "probabilities":
        return np.random.default_rng(1).dirichlet(np.ones(10), 7)
    return np.array([0, 1, 2, 9, 9, 5, 0])


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_equal_logits_cost_log_of_the_number_of_classes(classes):
    losses, dlogits = cross_entropy(np.full((2, classes), 4.0), np.array([0, classes - 1]))
    np.testing.assert_allclose(losses, math.log(classes), rtol=1e-15)
    np.testing.assert_allclose(dlogits[0], [1 / classes - 1] + [1 / classes] * (classes - 1), rtol=1e-14)


def test_losses_and_gradient_are_the_reference(logits, labels):
    expected_losses, expected_gradient = reference.cross_entropy(logits, labels)
    losses, dlogits = cross_entropy(logits, labels)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-13)
    np.testing.assert_allclose(dlogits, expected_gradient, rtol=1e-12, atol=1e-16)


def test_gradient_against_central_differences(logits, labels):
    _, dlogits = cross_entropy(logits, labels)
    step, numeric = 1e-5, np.empty_like(logits)
    for place in np.ndindex(logits.shape):
        shift = np.zeros_like(logits)
        shift[place] = step
        above, below = (cross_entropy(logits + sign * shift, labels)[0].sum() for sign in (1, -1))
        numeric[place] = (above - below) / (2 * step)
    np.testing.assert_allclose(dlogits, numeric, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [39.1, 1e4])
def test_a_confident_mistake_has_the_expected_loss(dtype, distance):
    """A clipped probability would report 34.5; a softmax that underflowed, infinity."""
    losses, dlogits = cross_entropy(np.array([[0, distance]], dtype), np.array([0]))
    np.testing.assert_allclose(losses, distance, rtol=1e-6)
    np.testing.assert_allclose(dlogits, [[-1, 1]], rtol=1e-6)


def test_log_softmax_of_far_off_classes_is_finite():
    np.testing.assert_array_equal(log_softmax(np.array([[0.0, -1e300]])), [[0, -1e300]])


def test_softmax_is_the_exponential_of_its_logarithm(logits):
    probabilities = softmax(logits)
    np.testing.assert_allclose(probabilities, np.exp(log_softmax(logits)), rtol=1e-13)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 5.0]])), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)


@pytest.mark.parametrize("function", [softmax, log_softmax])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_neither_overflow_nor_warn(function, dtype):
    out = function(np.array([[1e30, -1e30], [-1e30, -1e30]], dtype))
    assert out.dtype == dtype
    assert np.isfinite(out).all()


@np.errstate(under="raise")
def test_probabilities_that_underflow_are_zero():
    assert softmax([[0.0, -1000.0]]).tolist() == [[1, 0]]


def test_logits_that_overflow_give_no_warning():
    """There is no warning, although an infinite logit has no softmax, and 6e38 is infinite in single precision."""
    assert np.isnan(log_softmax(np.array([[np.inf, 0.0]]))).all()
    np.testing.assert_array_equal(log_softmax(np.array([[3e38, -3e38]], np.float32)), [[0, -np.inf]])


def test_a_wrong_class_infinitely_far_away_costs_nothing():
    losses, dlogits = competitive_distance(np.array([[-np.inf, 0.0]]), np.array([1]))
    np.testing.assert_allclose(losses, math.log1p(math.exp(-10)), rtol=1e-12)
    np.testing.assert_allclose(dlogits, [[0, -1 / (math.exp(10) + 1)]], rtol=1e-12)


def test_arguments_are_not_changed(logits, labels):
    before = logits.copy()
    cross_entropy(logits, labels)
    np.testing.assert_array_equal(logits, before)


def test_an_empty_batch_has_no_losses():
    for labels in (np.zeros(0, np.int64), []):
        losses, dlogits = cross_entropy(np.zeros((0, 10)), labels)
        assert losses.shape == (0,)
        assert dlogits.shape == softmax(np.zeros((0, 10))).shape == (0, 10)


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_logits_that_are_not_a_table_are_named(function):
    with pytest.raises(InputError, match=r"^logits is not a rectangular array"):
        function([[1.0, 2.0], [3.0]])


def test_a_label_below_that_of_no_class_is_refused(logits):
    with pytest.raises(InputError, match="labels from -2 to 0"):
        cross_entropy(logits, np.array([-2, -1, 0, 0, 0, 0, 0]))


# The penalties of three classes, and the targets: class 2, no class, and two classes.
PENALTIES = np.array([[8.0, 1.0, 3.0], [2.0, 5.0, 0.5], [4.0, 4.5, 1.0]])
TARGETS = np.array([[0, 0, 1], [1 / 3, 1 / 3, 1 / 3], [0.25, 0, 0.75]])


@pytest.mark.parametrize("function", [cross_entropy, competitive_distance])
def test_a_label_is_a_target_of_one_class_and_minus_1_of_all(function):
    for by_label, by_target in zip(
        function(-PENALTIES[:2], [2, -1]), function(-PENALTIES[:2], TARGETS[:2]), strict=True
    ):
        np.testing.assert_allclose(by_label, by_target, rtol=1e-15)


@pytest.mark.parametrize("options", [{}, {"j": 0.5}, {"j": -2}])
@pytest.mark.parametrize("rows", [slice(0, 3), slice(1, 3)])
def test_the_competitive_distance_is_equation_9(options, rows):
    """The penalty of the right class plus log(exp(-j) + sum(exp(-d)))."""
    losses, dlogits = competitive_distance(-PENALTIES[rows], TARGETS[rows], **options)
    j = options.get("j", 10)
    for loss, gradient, d, target in zip(losses, dlogits, PENALTIES[rows], TARGETS[rows], strict=True):
        total = math.exp(-j) + sum(math.exp(-each) for each in d)
        assert loss == pytest.approx(sum(d * target) + math.log(total), rel=1e-12)
        np.testing.assert_allclose(gradient, np.exp(-d) / total - target, rtol=1e-12)


@pytest.mark.parametrize("j", [math.nan, math.inf, -math.inf])
def test_the_penalty_of_non_digits_is_finite(j):
    with pytest.raises(InputError, match=r"^j is -?(nan|inf); expected a finite number\.$"):
        competitive_distance(-PENALTIES, TARGETS, j)
    with pytest.raises(InputTypeError, match=r"^j is '1'; expected a number"):
        competitive_distance(-PENALTIES, TARGETS, "1")


@pytest.mark.parametrize("function", [cross_entropy, competitive_distance])
def test_single_precision_is_kept(function):
    for result in function(-PENALTIES.astype(np.float32), TARGETS):
        assert result.dtype == np.float32


def test_integer_logits_become_double_precision():
    assert softmax([[1, 2]]).dtype == log_softmax([[1, 2]]).dtype == np.float64


def test_the_penalty_of_rubbish_may_be_an_unsigned_number():
    expected = competitive_distance([[-30.0, 0.0]], [1], j=10)
    for one, other in zip(competitive_distance([[-30.0, 0.0]], [1], j=np.uint8(10)), expected, strict=True):
        np.testing.assert_array_equal(one, other)
