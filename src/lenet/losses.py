"""Softmax, its cross-entropy and the gradient of that."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks


def log_softmax(logits: ArrayLike) -> NDArray[Any]:
    """Return the logarithm of the softmax of each row.

    It is computed without softmax itself, which underflows: far-off classes keep their finite logarithm.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes)

    Returns
    -------
    ndarray of the same shape, float32 of float32 and float64 of other numbers

    Raises
    ------
    InputError, InputTypeError
        If logits are no table of numbers.

    Examples
    --------
    >>> log_softmax(np.array([[0.0, -1000.0]]))
    array([[    0., -1000.]])
    """
    values = _checks.rows(logits, "logits")
    with np.errstate(over="ignore", invalid="ignore"):  # the result tells: it is not finite then
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
    ndarray of the same shape, in [0, 1]; float32 of float32 and float64 of other numbers

    Raises
    ------
    InputError, InputTypeError
        If logits are no table of numbers.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    values = _checks.rows(logits, "logits")
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def cross_entropy(logits: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return each image's cross-entropy, and the gradient of their sum.

    With p = softmax(logits) and t the target, the loss is -sum(t log p) and its gradient p - t. The target is one-hot;
    for an image of none of the classes, with label -1, it is the same for all of them.

    Parameters
    ----------
    logits : array_like of shape (n, num_classes)
    y : array_like of int, shape (n,)
        Labels from 0 to num_classes - 1, or -1.

    Returns
    -------
    losses : ndarray of shape (n,), in nats
    dlogits : ndarray of shape (n, num_classes)

    Raises
    ------
    InputError, InputTypeError
        If logits are no table of numbers, or y are no labels of its rows and columns.

    Examples
    --------
    >>> losses, dlogits = cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> losses.round(4), dlogits
    (array([0.6931]), array([[ 0.5, -0.5]]))
    """
    log_probabilities = log_softmax(logits)
    n, num_classes = log_probabilities.shape
    labels = _checks.labels(y, n, num_classes, least=-1)
    rows, none = np.arange(n), labels < 0
    losses, dlogits = -log_probabilities[rows, labels], np.exp(log_probabilities)
    losses[none] = -log_probabilities[none].mean(axis=1)
    dlogits[rows[~none], labels[~none]] -= 1
    dlogits[none] -= 1 / num_classes
    return losses, dlogits
