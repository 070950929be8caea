"""Softmax and cross-entropy, and the losses of the 1998 paper."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet.errors import InputError


def log_softmax(logits: ArrayLike) -> NDArray[Any]:
    """Return the logarithm of the softmax of each row, finite even where the softmax itself underflows.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes)

    Returns
    -------
    ndarray of shape (n, num_classes)
        In float32 for float32 logits, otherwise in float64.

    Raises
    ------
    InputError, InputTypeError
        If logits is not a table of numbers with at least one column.

    Examples
    --------
    >>> log_softmax(np.array([[0.0, -1000.0]]))
    array([[    0., -1000.]])
    """
    values = _checks.rows(logits, "logits")
    with np.errstate(all="ignore"):  # infinite logits give a result that is not finite
        shifted = values - values.max(axis=1, keepdims=True)
        log_probabilities: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probabilities


def softmax(logits: ArrayLike) -> NDArray[Any]:
    """Return the softmax of each row: probabilities that sum to 1.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes)

    Returns
    -------
    ndarray of shape (n, num_classes)
        In float32 for float32 logits, otherwise in float64.

    Raises
    ------
    InputError, InputTypeError
        If logits is not a table of numbers with at least one column.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    values = _checks.rows(logits, "logits")
    with np.errstate(all="ignore"):  # the difference may overflow to -inf, whose power is 0
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def cross_entropy(logits: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the cross-entropy of each row, and the gradient of the sum of these losses.

    With p = softmax(logits) and target t, the loss is -sum(t log p) and its gradient is p - t. The target of a label is
    one-hot; for the label -1, a non-digit, it is uniform over the classes.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes)
    y : array_like of int, shape (n,), or floating, shape (n, num_classes)
        Labels from -1 to num_classes - 1; or targets, each row of which sums to 1 within 0.001.

    Returns
    -------
    losses : ndarray of shape (n,)
        In nats; float32 for float32 logits, otherwise float64.
    dlogits : ndarray of shape (n, num_classes)
        With the same dtype.

    Raises
    ------
    InputError, InputTypeError
        If logits is not a table of numbers with at least one column, or y does not contain one label or target per row.

    Examples
    --------
    >>> losses, dlogits = cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> losses.round(4), dlogits
    (array([0.6931]), array([[ 0.5, -0.5]]))
    """
    log_probabilities = log_softmax(logits)
    targets = _target_table(y, log_probabilities)
    terms = np.multiply(targets, log_probabilities, out=np.zeros_like(targets), where=targets > 0)
    return -terms.sum(axis=1), np.exp(log_probabilities) - targets


def competitive_distance(logits: ArrayLike, y: ArrayLike, j: float = 10.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the loss of each row with the competitive term, and the gradient of the sum of these losses.

    This is equation 9 of the 1998 paper, the maximum a posteriori (MAP) criterion of section II.C. With the penalties
    d = -logit, the loss is the penalty of the right class plus log(exp(-j) + sum(exp(-d))). The second term pushes the
    wrong classes away, except those whose penalty is far above j. The loss equals the cross-entropy with an additional
    class, "rubbish", whose logit is always -j.

    Parameters
    ----------
    logits, y : array_like
        As for `cross_entropy`, with the same errors.
    j : float, default 10
        The penalty of the rubbish class, a finite number.

    Returns
    -------
    losses : ndarray of shape (n,)
    dlogits : ndarray of shape (n, num_classes)

    Examples
    --------
    >>> losses, dlogits = competitive_distance([[-30.0, 0.0]], [1], j=0.0)
    >>> losses.round(4), dlogits.round(4)
    (array([0.6931]), array([[ 0. , -0.5]]))
    """
    values = _checks.rows(logits, "logits")
    j = _checks.number(j, "j")
    if not np.isfinite(j):
        raise InputError(f"j is {j}; expected a finite number.")
    rubbish = np.full((len(values), 1), -j, values.dtype)
    targets = np.pad(_target_table(y, values), ((0, 0), (0, 1)))  # no image is rubbish
    losses, dlogits = cross_entropy(np.hstack([values, rubbish]), targets)
    return losses, dlogits[:, :-1]


def _target_table(y: ArrayLike, logits: NDArray[Any]) -> NDArray[Any]:
    """Return the target probabilities of each row, for labels or such a table."""
    n, num_classes = logits.shape
    targets = _checks.targets(y, n, num_classes, logits.dtype, at_least=-1)
    return targets if targets.ndim == 2 else _checks.probabilities_of(targets, num_classes, logits.dtype)
