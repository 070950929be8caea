"""Decide which answers of a calibrated model are accepted, and which become "unsure" or "not a digit".

`lenet.evaluation.calibration` learns the thresholds and stores them in the model's metadata. This module applies them:
`lenet.LeNet5.predict`, the command line and the server follow the same rule.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError

LEAD_SCALE = 3.0  # logits; spreads the scores of digits and of non-digits over [0, 1]
TINY = 1e-300  # lower probabilities are clipped to this before their logarithm is computed


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a model for n images.

    Parameters
    ----------
    likeliest : ndarray of int64, shape (n,)
        The class with the highest probability.
    digit_scores : ndarray of float64, shape (n,)
        As `digit_score` returns them.
    is_digit : ndarray of bool, shape (n,)
        Whether the digit score reaches the rule's minimum.
    labels : ndarray of int64, shape (n,)
        The most probable class, or -1 if the rule rejects the image.

    Examples
    --------
    >>> rule = RejectionRule(min_margin=2.0)  # odds of e**2 = 7.4
    >>> rule.answers(np.array([[0.9, 0.1], [0.4, 0.6]])).labels
    array([ 0, -1])
    """

    likeliest: NDArray[np.int64]
    digit_scores: NDArray[np.float64]
    is_digit: NDArray[np.bool_]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class RejectionRule:
    """The two thresholds that an answer must reach to be accepted.

    Parameters
    ----------
    min_digit_score : float, default 0
        The lowest accepted digit score of an image, in [0, 1].
    min_margin : float, default 0
        The lowest accepted `margin`, finite and at least 0.

    Raises
    ------
    InputError, InputTypeError
        If a threshold is not such a number.

    Examples
    --------
    >>> import lenet
    >>> model = lenet.load_pretrained("mnist")
    >>> rule = RejectionRule.from_metadata(model.metadata, reject_at=0.002)
    >>> rule.answers(np.array([[1.0] + [0.0] * 9, [0.1] * 10])).labels
    array([ 0, -1])
    """

    min_digit_score: float = 0.0
    min_margin: float = 0.0

    def __post_init__(self) -> None:
        _checks.fraction(self.min_digit_score, "min_digit_score")
        _checks.non_negative(self.min_margin, "min_margin")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], reject_at: float | None = None) -> "RejectionRule":
        """Return the rule that `lenet.evaluation.calibrate` stored in a model's metadata.

        Parameters
        ----------
        metadata : mapping of str to str
            The metadata of a model. If the model is not calibrated, every image counts as a digit.
        reject_at : float, optional
            The error rate to allow among accepted answers, below 1; for example 0.002. If calibration learned no
            threshold for this rate, the one for the next lower rate applies. By default, answers with any margin are
            accepted.

        Returns
        -------
        RejectionRule

        Raises
        ------
        InputError, InputTypeError
            If `reject_at` is not a number below 1, or is lower than every learned rate; if the metadata has no
            thresholds, is of an earlier version or is damaged.
        """
        metadata = _checks.text_by_name(metadata, "metadata")
        if "least_digit_score" in metadata:  # `lenet.load` and `lenet.interop.from_onnx` convert it
            raise InputError(
                "The metadata has least_digit_score, from an earlier version of lenet; expected min_digit_score. Load "
                "the model's file, or call lenet.evaluation.calibrate(model, X, y)."
            )
        min_digit_score = _number(metadata.get("min_digit_score", "0"), "min_digit_score", 1)
        return cls(min_digit_score, 0.0 if reject_at is None else _min_margin(metadata, reject_at))

    def answers(self, probabilities: ArrayLike) -> Answers:
        """Apply the rule to the probabilities of a model.

        Parameters
        ----------
        probabilities : array_like of shape (n, num_classes)
            In [0, 1].

        Returns
        -------
        Answers

        Raises
        ------
        InputError, InputTypeError
            As for `digit_score`.
        """
        return self._answers(_checked(probabilities))

    def _as_dicts(self, p: NDArray[Any], classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return the answer for each image as a dict for JSON; its label and class are None if it is rejected."""
        found = self._answers(p)
        columns = (found.labels, found.likeliest, found.is_digit, found.digit_scores, p)
        return [
            {
                "label": None if label < 0 else label,
                "class": None if label < 0 else classes[label],
                "likeliest": likeliest,
                "is_digit": is_digit if self.min_digit_score else None,  # None: the model cannot tell
                "digit_score": score,
                "probabilities": row,
            }
            for label, likeliest, is_digit, score, row in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _answers(self, p: NDArray[Any]) -> Answers:
        """Apply the rule to valid probabilities; checking those of one image takes a quarter of the time."""
        likeliest, scores = p.argmax(axis=1), _digit_score(p)
        is_digit = scores >= self.min_digit_score
        accepted = is_digit
        if self.min_margin:
            accepted = is_digit & (_margin(p) >= self.min_margin)
        return Answers(likeliest, scores, is_digit, np.where(accepted, likeliest, -1))


def digit_score(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return how much each image looks like a digit.

    The score is 1 - exp(-d / 3), where d is the difference between the highest logit and the mean of the logits. It is
    1 if one class has probability 1, and 0 if all classes are equally likely. A network that was also trained on
    non-digits assigns them nearly uniform probabilities. A digit that resembles another one still has a high score,
    since the logits of the other classes are low. An image for which one of many classes has probability 0 has a high
    score, too, so do not round the probabilities.

    Parameters
    ----------
    probabilities : array_like of shape (n, num_classes), num_classes at least 2
        In [0, 1].

    Returns
    -------
    ndarray of float64, shape (n,), in [0, 1]

    Raises
    ------
    InputError, InputTypeError
        If `probabilities` is not a table of numbers in [0, 1].

    Examples
    --------
    >>> digit_score(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [1.0, 0.0]
    """
    return _digit_score(_checked(probabilities))


def _digit_score(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    logs = np.log(np.maximum(probabilities, TINY, dtype=np.float64))  # the logits, less a constant for each image
    # The methods of arrays take longer than the network does for one image.
    lead = np.maximum.reduce(logs, axis=1) - np.add.reduce(logs, axis=1) / logs.shape[1]
    lead = np.maximum(lead, 0)  # for equal probabilities, rounding may make the lead negative
    return np.asarray(-np.expm1(-lead / LEAD_SCALE))


def margin(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the logarithm of the ratio between the two highest probabilities of each image.

    It is the difference between the two highest logits, and 0 if two classes are equally likely.

    Parameters
    ----------
    probabilities : array_like
        As for `digit_score`, with the same errors.

    Returns
    -------
    ndarray of float64, shape (n,), finite and at least 0

    Examples
    --------
    >>> margin(np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])).round(2).tolist()  # log 3.5 and log 1
    [1.25, 0.0]
    """
    return _margin(_checked(probabilities))


def _margin(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    highest = np.sort(probabilities, axis=1)[:, -2:].astype(np.float64)
    second, best = np.log(np.maximum(highest, TINY)).T
    return np.asarray(best - second)


def _checked(probabilities: ArrayLike) -> NDArray[Any]:
    values = _checks.probabilities(probabilities)
    if values.shape[1] < 2:
        raise InputError(f"probabilities has shape {values.shape}; expected at least two classes.")
    return values


def learned_thresholds(metadata: Mapping[str, str]) -> dict[float, float]:
    """Return the minimum margins that calibration learned, by error rate.

    Parameters
    ----------
    metadata : mapping of str to str
        The metadata of a model.

    Returns
    -------
    dict of float to float
        Error rates, in [0, 1], and the `margin` that each requires.

    Raises
    ------
    InputError, InputTypeError
        If there are no thresholds, an earlier version learned them, or the metadata is damaged.

    Examples
    --------
    >>> import lenet
    >>> sorted(learned_thresholds(lenet.load_pretrained("mnist").metadata))
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
    """
    metadata = _checks.text_by_name(metadata, "metadata")
    if "thresholds" in metadata and "margins" not in metadata:
        raise InputError(
            "The model's rejection thresholds are probabilities, from an earlier version of lenet; expected margins. "
            "Call lenet.evaluation.calibrate(model, X, y) with images that it was not trained on."
        )
    try:
        learned = json.loads(metadata.get("margins", "{}")).items()
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"The model's margins are damaged ({error}). Calibrate it again.") from None
    thresholds = {
        _number(rate, "error rate of a margin", 1): _number(least, "minimum margin", math.inf)
        for rate, least in learned
    }
    if not thresholds and "temperature" in metadata:
        raise InputError(
            "The model has no rejection thresholds: it misread too many of the calibration images, or there were "
            "too few. Train it longer, or calibrate it with more images."
        )
    if not thresholds:
        raise InputError(
            "The model has no rejection thresholds. Omit reject_at, train the model with a validation split of at "
            "least 100 images, or call lenet.evaluation.calibrate(model, X, y) with 100 images that it has not seen."
        )
    return thresholds


def _min_margin(metadata: Mapping[str, str], reject_at: float) -> float:
    rate, thresholds = _checks.number(reject_at, "reject_at"), learned_thresholds(metadata)
    fitting = [each for each in thresholds if each <= rate * (1 + 1e-6)]  # float32's 0.005 is slightly lower
    if not fitting or not rate < 1:
        raise InputError(
            f"reject_at is {rate:g}; expected at least {min(thresholds):g}, the lowest error rate with a "
            "threshold in this model, and below 1."
        )
    return thresholds[max(fitting)]


def _number(value: Any, name: str, at_most: float) -> float:
    """Return a number from a file's metadata, finite and in [0, at_most]."""
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        number = math.nan
    if not 0 <= number <= at_most or math.isinf(number):
        expected = "a finite number of at least 0" if math.isinf(at_most) else f"a number from 0 to {at_most:g}"
        raise InputError(f"The model's {name} is {value!r}; expected {expected}. Calibrate it again.")
    return number
