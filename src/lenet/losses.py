"""Softmax, its cross-entropy and the gradient of that."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the logarithm of the softmax of each row.

    It is computed without softmax itself, which underflows: far-off classes keep their finite logarithm.

    Parameters
    ----------
    logits : ndarray of shape (n, num_classes)

    Returns
    -------
    ndarray of the same shape and dtype

    Examples
    --------
    >>> log_softmax(np.array([[0.0, -1000.0]]))
    array([[    0., -1000.]])
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the result tells: it is not finite then
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probabilities


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row: probabilities that sum to 1.

    Parameters
    ----------
    logits : ndarray of shape (n, num_classes)

    Returns
    -------
    ndarray of the same shape and dtype, in [0, 1]

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def cross_entropy(logits: NDArray[Any], y: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return each image's cross-entropy, and the gradient of their sum.

    With p = softmax(logits) and t the target, the loss is -sum(t log p) and its gradient p - t. The target is one-hot;
    for an image of none of the classes, with label -1, it is the same for all of them.

    Parameters
    ----------
    logits : ndarray of shape (n, num_classes)
    y : ndarray of int64, shape (n,)
        Labels from 0 on, or -1.

    Returns
    -------
    losses : ndarray of shape (n,), in nats
    dlogits : ndarray of shape (n, num_classes)

    Examples
    --------
    >>> losses, dlogits = cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> losses.round(4), dlogits
    (array([0.6931]), array([[ 0.5, -0.5]]))
    """
    log_probabilities = log_softmax(logits)
    rows, none = np.arange(len(y)), y < 0
    losses, dlogits = -log_probabilities[rows, y], np.exp(log_probabilities)
    losses[none] = -log_probabilities[none].mean(axis=1)
    dlogits[rows[~none], y[~none]] -= 1
    dlogits[none] -= 1 / logits.shape[1]
    return losses, dlogits
