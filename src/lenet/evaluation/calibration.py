"""Calibration: probabilities that match the model's accuracy, and the thresholds for rejection.

Both are learned from images that the network was not trained on, and stored with the weights: the temperature in the
output layer itself, so that every runtime computes calibrated probabilities, and the thresholds in the metadata, where
`lenet.rejection` finds them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError
from lenet.losses import softmax
from lenet.model import LeNet5
from lenet.rejection import RejectionRule, digit_score, margin
from lenet.weights.earlier import upgraded

RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)  # error rates to learn thresholds for
MIN_IMAGES = 100
_LOST_DIGITS = 0.001  # fraction of the calibration digits below the minimum digit score
MIN_FOR_NON_DIGITS = 1000  # images: 1 / _LOST_DIGITS
_BINS = 15


def calibrate(model: LeNet5, X: ArrayLike, y: ArrayLike, *, n_jobs: int | None = None) -> None:
    """Calibrate a model on images that it was not trained on.

    The weights and the bias of the output layer are divided by the `temperature` that maximises the likelihood of the
    labels, which changes no prediction; a `LeNet1998` has no such weights, and keeps its probabilities. The metadata
    receives three entries: "temperature", the product of all such divisors; "margins", the thresholds for
    `lenet.LeNet5.predict`; and, from at least 1,000 images, "min_digit_score", which 99.9% of them reach. With fewer
    images, an existing "min_digit_score" is rescaled, so that the model rejects the same non-digits as before. During
    the call, no other thread may use the model.

    Parameters
    ----------
    model : LeNet5
        The model to change in place.
    X, y, n_jobs : array_like, array_like and int
        As for `lenet.LeNet5.loss_and_gradients`; y has labels. At least 100 images, preferably thousands.

    Raises
    ------
    InputError, InputTypeError
        As for `lenet.LeNet5.loss_and_gradients`; also if there are fewer than 100 images, the logits are not finite,
        the metadata has an invalid "temperature", the model's accuracy is hardly better than guessing, or its answers
        suggest that the labels are numbered in another way. The model is then unchanged.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017, section 4.2.

    Examples
    --------
    >>> import lenet
    >>> digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    >>> X, y = digits.X_test, digits.y_test
    >>> before = expected_calibration_error(model.predict_proba(X), y)
    >>> calibrate(model, digits.X_train, digits.y_train)  # not MNIST's writers
    >>> expected_calibration_error(model.predict_proba(X), y) < before
    True
    """
    _checks.model(model)
    images = _checks.images(X)
    labels = _checks.labels(y, len(images), model.num_classes)
    if len(images) < MIN_IMAGES:
        raise InputError(f"X has {len(images)} images; expected at least {MIN_IMAGES}, preferably thousands.")
    before = _temperature_in(model.metadata)
    logits = model.logits(images, n_jobs=n_jobs)
    if not np.isfinite(logits).all():
        raise InputError("The model's logits are not finite: its weights are too large. Train it again.")
    _check_fit(labels, logits.argmax(axis=1), model.classes)
    divisor = 1.0
    if "output.weight" in model.parameters:  # the outputs of LeNet1998 are fixed
        divisor = temperature(logits, labels)
        for name in ("output.weight", "output.bias"):
            model.parameters[name] /= divisor
    probabilities = model.predict_proba(images, n_jobs=n_jobs)
    rates = [rate for rate in RATES if rate * len(labels) >= 1]  # too few images cannot show an error rate this low
    thresholds = {rate: threshold(probabilities, labels, rate) for rate in rates}
    earlier = upgraded(model.metadata, model.num_classes)
    for old in ("thresholds", "least_digit_score", "min_digit_score"):  # the first two are of earlier versions
        model.metadata.pop(old, None)
    model.metadata |= {
        "temperature": f"{divisor * before:.6g}",
        "margins": json.dumps({f"{rate:g}": lowest for rate, lowest in thresholds.items() if lowest is not None}),
    }
    if len(labels) >= MIN_FOR_NON_DIGITS:
        min_score = float(np.quantile(digit_score(probabilities), _LOST_DIGITS, method="lower"))
    else:
        min_score = 1 - (1 - _min_digit_score_in(earlier)) ** (1 / divisor)  # as the lead is divided, too
    if min_score > 0:
        model.metadata["min_digit_score"] = repr(min_score)


def _check_fit(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise InputError if over 10% of the answers are wrong, and they are no better than guessing, or only misnamed.

    They are misnamed if giving each the name of its most frequent label would more than halve the errors.
    """
    n, k = len(labels), len(classes)
    counts = np.bincount(labels * k + answers, minlength=k * k).reshape(k, k)
    right, guessed = np.trace(counts), counts.sum(axis=1).max()  # guessing: always the most frequent label
    label_of, answer_to = counts.argmax(axis=0), counts.argmax(axis=1)  # the most frequent of each answer and label
    if_renamed = counts.max(axis=0)[answer_to[label_of] == np.arange(k)].sum()
    if n - right <= n / 10 or (right >= guessed + (n - guessed) / 10 and n - right <= 2 * (n - if_renamed)):
        return
    of_label = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    label, answer = divmod(int(counts.argmax()), k)
    raise InputError(
        f"The model classifies {right:,} of the {n:,} images as labelled, and {counts.max():,} of the "
        f"{of_label[label]:,} of class {classes[label]} as {classes[answer]}; expected light ink, and labels numbered "
        "as model.classes. To number them, call Dataset.numbered_as(model.classes)."
    )


def temperature(logits: ArrayLike, y: ArrayLike) -> float:
    """Return the temperature that maximises the likelihood of the labels.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes), n at least 1
        Finite numbers.
    y : array_like of int, shape (n,)
        Labels from 0 to num_classes - 1.

    Returns
    -------
    float
        The divisor of the logits, from 1/20 to 20; 1 if the most probable class is the label of every image, since a
        lower temperature would then always be better.

    Raises
    ------
    InputError, InputTypeError
        If logits is not a table of finite numbers, or y does not have a label in range for each row.

    Examples
    --------
    >>> logits = np.log([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    >>> labels = np.array([0, 0, 0, 1])  # odds of 3 to 1 instead of 9 to 1
    >>> round(temperature(logits, labels), 6)
    2.0
    """
    values = _checks.rows(logits, "logits").astype(np.float64)
    labels = _checks.labels(y, *values.shape)
    if not (len(labels) and np.isfinite(values).all()):
        raise InputError("logits is empty or not finite; expected finite logits of at least one image.")
    if (values.argmax(axis=1) == labels).all():
        return 1.0
    right = values[np.arange(len(labels)), labels].mean()
    low, high = 1 / 20, 20.0  # bounds of 1 / temperature, in which the log-likelihood is concave
    for _ in range(60):
        middle = (low * high) ** 0.5
        expected = (softmax(middle * values) * values).sum(axis=1).mean()
        low, high = (middle, high) if right > expected else (low, middle)  # by the sign of the likelihood's slope
    return float(1 / low)


def threshold(probabilities: ArrayLike, y: ArrayLike, rate: float) -> float | None:
    """Return the lowest margin threshold at which the error rate stays within `rate`.

    Answers whose `lenet.rejection.margin` reaches the threshold are accepted, and the error rate is that of the
    accepted answers.

    Parameters
    ----------
    probabilities : array_like of shape (n, num_classes), n at least 1, num_classes at least 2
        In [0, 1].
    y : array_like of int, shape (n,)
        Labels from 0 to num_classes - 1.
    rate : float
        The error rate to allow, in [0, 1].

    Returns
    -------
    float or None
        Finite and at least 0; None if no threshold meets the error rate.

    Raises
    ------
    InputError, InputTypeError
        If probabilities is not a table of numbers in [0, 1], y does not have a label in range for each row, or rate is
        not a number in [0, 1].

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    >>> round(threshold(probabilities, np.array([0, 1, 1, 0]), 0.01), 4)  # log 4
    1.3863
    """
    rate = _checks.fraction(rate, "rate")
    values, right = _answered(probabilities, y)
    margins = margin(values)
    order = np.argsort(-margins, kind="stable")
    largest, wrong = margins[order], (~right)[order].cumsum()
    last_of_equals = np.append(largest[1:] < largest[:-1], True)  # a threshold accepts all equal margins
    fits = np.flatnonzero(last_of_equals & (wrong / np.arange(1, len(largest) + 1) <= rate))
    if not len(fits):
        return None
    return 0.0 if fits[-1] == len(largest) - 1 else float(largest[fits[-1]])


def rejection_rate(probabilities: ArrayLike, y: ArrayLike, rate: float) -> float:
    """Return the fraction of the images to reject so that the error rate of the others stays within `rate`.

    Parameters
    ----------
    probabilities, y, rate : array_like, array_like and float
        As for `threshold`.

    Returns
    -------
    float
        In [0, 1]; 1 if no threshold meets the error rate.

    Raises
    ------
    InputError, InputTypeError
        As for `threshold`.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    >>> rejection_rate(probabilities, np.array([0, 1, 1, 0]), 0.01)
    0.5
    """
    lowest = threshold(probabilities, y, rate)
    return 1.0 if lowest is None else float((margin(probabilities) < lowest).mean())


def expected_calibration_error(probabilities: ArrayLike, y: ArrayLike) -> float:
    """Return the mean absolute difference between confidence and accuracy over 15 bins of equal width.

    The confidence of an answer is its highest probability. Each bin is weighted by its number of images.

    Parameters
    ----------
    probabilities, y : array_like
        As for `threshold`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError, InputTypeError
        As for `threshold`.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017, section 2.

    Examples
    --------
    >>> expected_calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    values, right = _answered(probabilities, y)
    best = values.max(axis=1)
    bins = np.minimum((best * _BINS).astype(int), _BINS - 1)
    sums = np.bincount(bins, best, _BINS) - np.bincount(bins, right, _BINS)
    return float(np.abs(sums).sum() / len(best))


def _answered(probabilities: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the probabilities as a table, and whether the likeliest class of each image is its label."""
    values = _checks.probabilities(probabilities)
    labels = _checks.labels(y, *values.shape)
    _checks.not_empty(labels)
    return values, values.argmax(axis=1) == labels


def _min_digit_score_in(metadata: Mapping[str, str]) -> float:
    """Return the minimum digit score of an earlier calibration, or 0 if there is none, or it is damaged."""
    try:
        return RejectionRule.from_metadata(metadata).min_digit_score
    except InputError:
        return 0.0


def _temperature_in(metadata: Mapping[str, str]) -> float:
    """Return the temperature of an earlier calibration, or 1 if there was none."""
    text = metadata.get("temperature", "1")
    try:
        before = float(text)
    except ValueError:
        before = math.nan
    if not 0 < before < math.inf:
        raise InputError(
            f"The model's temperature is {text!r}; expected a number above 0. Delete it from "
            "model.metadata, and calibrate the model again."
        )
    return before
