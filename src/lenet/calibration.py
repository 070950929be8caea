"""Probabilities that mean what they say, and thresholds below which an answer is withheld.

Both are learnt from images that the network was not trained on, and kept with the weights: the temperature in the
output layer itself, so that whatever computes the network computes calibrated probabilities, the thresholds in the
metadata.
"""

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError
from lenet.losses import softmax

if TYPE_CHECKING:
    from lenet.model import LeNet5

RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)  # of errors among what is accepted
LEAST_IMAGES = 100  # to calibrate by
_LOST = 0.001  # of the digits, that may be taken for none
_BINS = 15


def calibrate(model: "LeNet5", X: ArrayLike, y: ArrayLike, *, n_jobs: int | None = None) -> None:
    """Calibrate a model by what it says of images that it was not trained on.

    The weights and the bias of its output layer are divided by the temperature at which the labels are likeliest; which
    class is the likeliest stays as it is. Its metadata get "temperature", by which they were divided in all;
    "thresholds", for `LeNet5.predict(x, reject_at=...)`, of the rates that so many images tell of; and
    "least_digit_score", which all but 0.1% of the images reach. Nothing else may use the model meanwhile.

    Parameters
    ----------
    model : LeNet5
    X, y, n_jobs : array_like, and int
        As for `LeNet5.loss_and_gradients`; 100 images at least, better thousands.

    Raises
    ------
    InputError, InputTypeError
        As `LeNet5.loss_and_gradients` does.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017, section 4.2.

    Examples
    --------
    >>> import lenet
    >>> digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    >>> before = expected_calibration_error(model.predict_proba(digits.X_test), digits.y_test)
    >>> calibrate(model, digits.X_train, digits.y_train)  # by people that it did not learn from
    >>> expected_calibration_error(model.predict_proba(digits.X_test), digits.y_test) < before
    True
    """
    _checks.model(model)
    images = _checks.images(X)
    labels = _checks.labels(y, len(images), model.num_classes)
    if len(images) < LEAST_IMAGES:
        raise InputError(
            f"{len(images)} images are too few to calibrate by: pass {LEAST_IMAGES} at least, better thousands."
        )
    before = _temperature_of(model)
    logits = model.logits(images, n_jobs=n_jobs)
    if not np.isfinite(logits).all():
        raise InputError("The model's logits are not finite: its weights are too large, train it again.")
    divisor = temperature(logits, labels)
    for name in ("output.weight", "output.bias"):
        model.parameters[name] /= divisor
    probabilities = softmax(model.logits(images, n_jobs=n_jobs).astype(np.float64))
    rates = [rate for rate in RATES if rate * len(labels) >= 1]  # fewer images do not tell
    thresholds = {rate: threshold(probabilities, labels, rate) for rate in rates}
    model.metadata |= {
        "temperature": f"{divisor * before:.6g}",
        "thresholds": json.dumps({f"{rate:g}": least for rate, least in thresholds.items() if least is not None}),
        "least_digit_score": f"{np.quantile(digit_score(probabilities), _LOST):.6g}",
    }


def temperature(logits: ArrayLike, y: ArrayLike) -> float:
    """Return what to divide logits by, that the labels are likeliest.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes), n at least 1
    y : array_like of int, shape (n,)

    Returns
    -------
    float
        From 1/20 to 20.

    Raises
    ------
    InputError, InputTypeError
        If logits are no table of finite numbers, or y are no labels of its rows and columns.

    Examples
    --------
    >>> logits = np.log([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    >>> round(temperature(logits, np.array([0, 0, 0, 1])), 6)  # too sure: log 9 should be log 3
    2.0
    """
    values = _checks.rows(logits, "logits").astype(np.float64)
    labels = _checks.labels(y, *values.shape)
    if not (len(labels) and np.isfinite(values).all()):
        raise InputError("logits should be finite, and of at least one image.")
    right = values[np.arange(len(labels)), labels].mean()
    low, high = 1 / 20, 20.0  # of 1 / temperature, by which the likelihood is concave
    for _ in range(60):
        middle = (low * high) ** 0.5
        expected = (softmax(middle * values) * values).sum(axis=1).mean()
        low, high = (middle, high) if right > expected else (low, middle)
    return float(1 / low)


def threshold(probabilities: ArrayLike, y: ArrayLike, rate: float) -> float | None:
    """Return the least probability from which on at most that part of the answers is wrong; None if there is none.

    Parameters
    ----------
    probabilities : array_like of shape (n, num_classes), n at least 1
    y : array_like of int, shape (n,)
    rate : float
        In [0, 1].

    Returns
    -------
    float or None
        In [0, 1].

    Raises
    ------
    InputError, InputTypeError
        If probabilities are no table of such, or y are no labels of its rows and columns.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    >>> threshold(probabilities, np.array([0, 1, 1, 0]), 0.01)
    0.8
    """
    confidences, right = _judged(probabilities, y)
    order = np.argsort(-confidences, kind="stable")
    best, wrong = confidences[order], (~right)[order].cumsum()
    last_of_equals = np.append(best[1:] < best[:-1], True)
    fits = np.flatnonzero(last_of_equals & (wrong <= _checks.number(rate, "rate") * np.arange(1, len(best) + 1)))
    if not len(fits):
        return None
    return 0.0 if fits[-1] == len(best) - 1 else float(best[fits[-1]])


def rejected_for(probabilities: ArrayLike, y: ArrayLike, rate: float) -> float:
    """Return the part of the images to be rejected for at most that part of errors among the rest.

    Parameters
    ----------
    probabilities : array_like of shape (n, num_classes), n at least 1
    y : array_like of int, shape (n,)
    rate : float
        In [0, 1].

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError, InputTypeError
        As `threshold` does.

    Examples
    --------
    >>> rejected_for(np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), np.array([0, 1, 1, 0]), 0.01)
    0.5
    """
    least = threshold(probabilities, y, rate)
    return 1.0 if least is None else float((_judged(probabilities, y)[0] < least).mean())


def _judged(probabilities: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the greatest probability of each of some images, and whether it is that of the label."""
    values = _checks.probabilities(probabilities)
    labels = _checks.labels(y, *values.shape)
    if not len(labels):
        raise InputError("There are no images to judge by: pass at least one.")
    return values.max(axis=1), values.argmax(axis=1) == labels


def digit_score(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return how much each image looks like a digit: 1 less the entropy, as a part of that of knowing nothing.

    A network that has learnt from images of no digit gives those the same probability for each class.

    Parameters
    ----------
    probabilities : array_like of shape (n, num_classes)

    Returns
    -------
    ndarray of float64, shape (n,), in [0, 1]

    Raises
    ------
    InputError, InputTypeError
        If they are no table of numbers from 0 to 1.

    Examples
    --------
    >>> digit_score(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [1.0, 0.0]
    """
    return computed_digit_score(_checks.probabilities(probabilities))


def computed_digit_score(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return the digit score of what a model has just computed, without another look at it.

    Parameters
    ----------
    probabilities : ndarray of float32 or float64, shape (n, num_classes)

    Returns
    -------
    ndarray of float64, shape (n,), in [0, 1]

    Examples
    --------
    >>> computed_digit_score(np.array([[1.0, 0.0]])).tolist()
    [1.0]
    """
    p = probabilities.astype(np.float64)
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=1)
    return np.asarray(np.clip(1 - entropy / np.log(p.shape[1]), 0, 1))


def expected_calibration_error(probabilities: ArrayLike, y: ArrayLike) -> float:
    """Return by how much, on the average, confidence differs from accuracy: in 15 bins of equal width.

    Parameters
    ----------
    probabilities : array_like of shape (n, num_classes), n at least 1
    y : array_like of int, shape (n,)

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError, InputTypeError
        As `threshold` does.

    Examples
    --------
    >>> expected_calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    best, right = _judged(probabilities, y)
    bins = np.minimum((best * _BINS).astype(int), _BINS - 1)
    sums = np.bincount(bins, best, _BINS) - np.bincount(bins, right, _BINS)
    return float(np.abs(sums).sum() / len(best))


def least_probability(model: "LeNet5", reject_at: float) -> float:
    """Return from which probability on answers stand, that at most so many of them may be wrong.

    Parameters
    ----------
    model : LeNet5
        One that was calibrated.
    reject_at : float
        The rate of errors among them. Of the rates that thresholds were learnt for, the next smaller one counts.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If the model has no thresholds, or none for so small a rate.

    Examples
    --------
    >>> import lenet
    >>> model = lenet.load_pretrained("mnist")
    >>> least_probability(model, 0.001) > least_probability(model, 0.005)
    True
    """
    rate, thresholds = _checks.number(reject_at, "reject_at"), learnt_thresholds(model)
    fitting = [each for each in thresholds if each <= rate * (1 + 1e-6)]  # float32's 0.005 is a little less
    if not fitting or not rate < 1:
        raise InputError(
            f"reject_at is {rate:g}, and this model has thresholds for rates of errors from {min(thresholds):g} on: "
            "give the part of the answers that may be wrong, such as 0.005."
        )
    return thresholds[max(fitting)]


def accepted(model: "LeNet5", probabilities: ArrayLike, reject_at: float) -> NDArray[np.bool_]:
    """Return which answers stand: those that look like digits, and are probable enough for that rate of errors.

    Parameters
    ----------
    model : LeNet5
    probabilities : array_like of shape (n, num_classes)
        Those that it computed.
    reject_at : float
        As for `least_probability`.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    InputError, InputTypeError
        As `least_probability` and `digit_score` do.

    Examples
    --------
    >>> import lenet
    >>> probabilities = np.array([[0.99] + [0.01 / 9] * 9, [0.1] * 10])
    >>> accepted(lenet.load_pretrained("mnist"), probabilities, 0.005).tolist()
    [True, False]
    """
    values, least = _checks.probabilities(probabilities), least_probability(model, reject_at)
    is_digit = computed_digit_score(values) >= least_digit_score(model)
    return np.asarray(values.max(axis=1) >= least) & is_digit


def looks_like_digit(model: "LeNet5", probabilities: ArrayLike) -> NDArray[np.bool_]:
    """Return which images have the digit score that nearly all digits reach; all, if the model was not calibrated.

    Parameters
    ----------
    model : LeNet5
    probabilities : array_like of shape (n, num_classes)
        Those that it computed.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    InputError, InputTypeError
        As `digit_score` does; if the model's metadata are damaged.

    Examples
    --------
    >>> import lenet
    >>> looks_like_digit(lenet.load_pretrained("mnist"), np.array([[1.0] + [0.0] * 9, [0.1] * 10])).tolist()
    [True, False]
    """
    return digit_score(probabilities) >= least_digit_score(model)


def least_digit_score(model: "LeNet5") -> float:
    """Return the digit score that nearly all digits reach; 0 if the model was not calibrated.

    Parameters
    ----------
    model : LeNet5

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If the model's metadata are damaged.

    Examples
    --------
    >>> import lenet
    >>> 0 < least_digit_score(lenet.load_pretrained("mnist")) < 1
    True
    """
    return _fraction(model.metadata.get("least_digit_score", "0"), "least_digit_score")


def learnt_thresholds(model: "LeNet5") -> dict[float, float]:
    """Return, by the rate of errors, the least probability from which on answers stand.

    Parameters
    ----------
    model : LeNet5
        One that was calibrated.

    Returns
    -------
    dict of float to float
        Both in [0, 1].

    Raises
    ------
    InputError
        If the model has none, or its metadata are damaged.

    Examples
    --------
    >>> import lenet
    >>> sorted(learnt_thresholds(lenet.load_pretrained("mnist")))
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
    """
    try:
        learnt = json.loads(model.metadata.get("thresholds", "{}"))
        thresholds = {_fraction(rate, "thresholds"): _fraction(least, "thresholds") for rate, least in learnt.items()}
    except InputError:
        raise
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"The model's thresholds are damaged ({error}): calibrate it again.") from None
    if not thresholds and "temperature" in model.metadata:
        raise InputError(
            "The model has no thresholds to reject by: of the images that it was calibrated by, too many were read "
            "wrong, or there were too few. Train it longer, or calibrate it by more images."
        )
    if not thresholds:
        raise InputError(
            "The model has no thresholds to reject by: lenet.calibration.calibrate(model, X, y) learns them from "
            "images that it was not trained on; lenet train does so where a recipe has a validation split."
        )
    return thresholds


def _temperature_of(model: "LeNet5") -> float:
    """Return by what the output layer was divided before."""
    text = model.metadata.get("temperature", "1")
    try:
        before = float(text)
    except ValueError:
        before = math.nan
    if not 0 < before < math.inf:
        raise InputError(f"The model's temperature should be above 0, and {text!r} is there: take it out.")
    return before


def _fraction(value: Any, name: str) -> float:
    """Return a number that a file's metadata hold, from 0 to 1."""
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        number = math.nan
    if not 0 <= number <= 1:
        raise InputError(f"The model's {name} should be from 0 to 1, and {value!r} is there: calibrate it again.")
    return number
