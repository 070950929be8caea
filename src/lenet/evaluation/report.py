"""The report on a test set: loss, accuracy, and each class's precision and recall, as numbers and as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.class_names import checked, class_names, shortened
from lenet.errors import InputError
from lenet.evaluation.calibration import expected_calibration_error, rejection_rate
from lenet.losses import cross_entropy, softmax
from lenet.model import LeNet5

MAX_CLASSES = 5_000  # of a report, whose confusion matrix then takes 200 MB
_ERROR_RATE = 0.001  # among accepted answers


@dataclass(frozen=True, eq=False)
class Report:
    """The loss, accuracy and scores of each class on a test set.

    As a string, the report is a table. Names of more than 20 characters are shortened, unless they would be equal.

    Parameters
    ----------
    images : int
        Number of test images.
    loss : float
        Mean cross-entropy in nats.
    accuracy : float
        In [0, 1].
    precision, recall, f1 : list of float
        The scores of each class, in [0, 1]. A score whose denominator is 0 is 0.
    support : list of int
        Number of test images of each class.
    confusion_matrix : ndarray of int64, shape (num_classes, num_classes)
        Number of images by true class (rows) and predicted class (columns).
    calibration_error : float
        As `expected_calibration_error` returns it.
    rejected : float
        The `rejection_rate` for an error rate of 0.1%, in [0, 1].
    classes : tuple of str
        The names of the classes.

    Examples
    --------
    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    >>> outcome = classification_report(logits, np.array([0, 1, 1]))
    >>> outcome.support, outcome.recall
    ([1, 2], [1.0, 0.5])
    """

    images: int
    loss: float
    accuracy: float
    precision: list[float]
    recall: list[float]
    f1: list[float]
    support: list[int]
    confusion_matrix: NDArray[np.int64]
    calibration_error: float
    rejected: float
    classes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON.

        Returns
        -------
        dict
            The fields by name, with lists instead of arrays and tuples; scores of classes without images are None.
        """
        lists = {"confusion_matrix": self.confusion_matrix.tolist(), "classes": list(self.classes)}
        return {**vars(self), **lists, **self._scores()}

    def _scores(self) -> dict[str, list[float | None]]:
        """Return the scores of each class; None without test images."""
        return {
            name: [score if images else None for score, images in zip(getattr(self, name), self.support, strict=True)]
            for name in ("precision", "recall", "f1")
        }

    def _rejection(self) -> str:
        if _ERROR_RATE * self.images < 1:  # too few images cannot show an error rate this low
            return ""
        if self.rejected == 0:
            return f"; the error rate is at most {_ERROR_RATE:.1%} without rejecting any image"
        if self.rejected == 1:
            return f"; no threshold reaches an error rate of {_ERROR_RATE:.1%}"
        return (
            f"; rejecting the least certain {self.rejected:.2%} would reduce the error rate of the others to at most "
            f"{_ERROR_RATE:.1%}"
        )

    def __str__(self) -> str:
        short = list(map(shortened, self.classes))
        names = [full if short.count(each) > 1 else each for full, each in zip(self.classes, short, strict=True)]
        width = max(5, *map(len, names))
        errors = _counted(self.images - round(self.accuracy * self.images), "error")
        lines = [
            f"accuracy {self.accuracy:.2%} ({errors} in {_counted(self.images, 'image')}), loss {self.loss:.4f}",
            f"calibration error {self.calibration_error:.2%}{self._rejection()}",
            "",
            f"{'class':<{width}}  precision   recall       f1    images",
        ]
        for name, *scores, support in zip(names, *self._scores().values(), self.support, strict=True):
            precision, recall, f1 = ("-" if score is None else f"{score:.2%}" for score in scores)
            lines.append(f"{name:>{width}}  {precision:>9} {recall:>8} {f1:>8} {support:>9,}")
        column = max(5, len(str(self.confusion_matrix.max())) + 1, *(len(name) + 1 for name in names))
        lines += ["", "confusion matrix (rows: true classes, columns: predicted classes)"]
        lines.append(" " * (width + 1) + "".join(f"{name:>{column}}" for name in names))
        for name, counts in zip(names, self.confusion_matrix, strict=True):
            lines.append(f"{name:>{width}} " + "".join(f"{count:>{column}}" for count in counts))
        return "\n".join(lines) + "\n"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def evaluate(
    model: LeNet5, X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, n_jobs: int | None = None
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy of a model.

    Parameters
    ----------
    model : LeNet5
    X, y, sample_weight, n_jobs : array_like, array_like, array_like and int
        As for `lenet.LeNet5.loss_and_gradients`.

    Returns
    -------
    loss : float
        In nats.
    accuracy : float
        In [0, 1]. If y is a table of probabilities, the most probable class of each row counts as correct.

    Raises
    ------
    InputError, InputTypeError
        As for `lenet.LeNet5.loss_and_gradients`.

    Examples
    --------
    >>> import lenet
    >>> digits = lenet.data.load_digits()
    >>> model = lenet.load_pretrained("mnist")
    >>> loss, accuracy = evaluate(model, digits.X_test, digits.y_test)
    >>> accuracy > 0.8
    True
    """
    _checks.model(model)
    images, targets = model._batch(X, y)
    logits = model.logits(images, n_jobs=n_jobs)
    losses, _ = cross_entropy(logits, targets)
    weights = _checks.sample_weight(sample_weight, len(images))
    right = logits.argmax(axis=1) == _checks.labels_of(targets)
    return float(np.average(losses.astype(np.float64), weights=weights)), float(np.average(right, weights=weights))


def classification_report(logits: ArrayLike, y: ArrayLike, classes: Sequence[str] | None = None) -> Report:
    """Return the report on a test set, from logits and true labels.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes), n at least 1
        Finite numbers, for 2 to 5,000 classes.
    y : array_like of int, shape (n,)
        Labels from 0 to num_classes - 1.
    classes : sequence of str, optional
        Names of the classes; by default, their numbers.

    Returns
    -------
    Report

    Raises
    ------
    InputError, InputTypeError
        If logits is not a table of finite numbers with at most 5,000 columns, y does not have a label in range for each
        row, or `classes` does not have a name for each column.

    Examples
    --------
    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    >>> outcome = classification_report(logits, np.array([0, 1, 1]))
    >>> round(outcome.accuracy, 3), outcome.confusion_matrix.tolist()
    (0.667, [[1, 0], [1, 1]])
    """
    logits = _checks.rows(logits, "logits")
    if logits.shape[1] > MAX_CLASSES:
        raise InputError(f"logits has {logits.shape[1]:,} columns; expected at most {MAX_CLASSES:,} classes.")
    if logits.shape[1] < 2:
        raise InputError(f"logits has shape {logits.shape}; expected at least two classes.")
    if not np.isfinite(logits).all():
        raise InputError("logits contains NaN or infinity; expected finite numbers.")
    y, num_classes = _checks.labels(y, *logits.shape), logits.shape[1]
    names = class_names({}, num_classes) if classes is None else checked(classes, num_classes)
    _checks.not_empty(y)
    losses, _ = cross_entropy(logits, y)
    probabilities = softmax(logits.astype(np.float64))
    # Counted here, as importing scikit-learn's metrics takes a second and 100 MB.
    counts = np.bincount((y * num_classes + logits.argmax(axis=1)).astype(np.intp), minlength=num_classes**2)
    confusion = counts.reshape(num_classes, num_classes)
    right, support, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return Report(
        images=len(y),
        loss=float(losses.mean(dtype=np.float64)),
        accuracy=float(right.sum() / len(y)),
        precision=(right / np.maximum(predicted, 1)).tolist(),
        recall=(right / np.maximum(support, 1)).tolist(),
        f1=(2 * right / np.maximum(support + predicted, 1)).tolist(),
        support=support.tolist(),
        confusion_matrix=confusion,
        calibration_error=expected_calibration_error(probabilities, y),
        rejected=rejection_rate(probabilities, y, _ERROR_RATE),
        classes=names,
    )
