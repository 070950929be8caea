"""Round the weights of LeNet-5 so that they compress well, and save it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lenet
from lenet.evaluation import calibrate, evaluate
from lenet.training import Recipe
from lenet.training.splits import split

STEP = 1 / 16  # of the weights of C5 and F6, which are then stored in a byte each
BITS = 9  # significant bits of all other parameters
ROUNDED_FOR = 12_000  # images whose outputs should stay the same when weights are rounded
BLOCK = 500  # images at a time
DAMPING = 0.01  # of the mean second moment of the inputs


def save_rounded(model: lenet.LeNet5, path: Path, recipe: Recipe, metadata: dict[str, str]) -> None:
    """Round the weights of a model of MNIST, calibrate it on the recipe's held-out images, and save it."""
    X, y, X_test, y_test = lenet.data.load("mnist")
    train, held_out = split(y, recipe.validation, 0)
    round_layers(model, X[train[:ROUNDED_FOR]])
    round_numbers(model.parameters.flat)
    calibrate(model, X[held_out], y[held_out])
    val_loss, val_accuracy = evaluate(model, X[held_out], y[held_out])
    model.metadata |= {
        "data": "mnist", "lenet": lenet.__version__, **metadata,
        "val_loss": str(val_loss), "val_accuracy": str(val_accuracy),
        "test_accuracy": str(evaluate(model, X_test, y_test)[1]),
    }  # fmt: skip
    model.save(path, half=True)
    print(json.dumps(model.metadata, indent=1))


def round_layers(model: lenet.LeNet5, images: NDArray[Any]) -> None:
    """Round the weights of C5 and F6 to multiples of 1/16.

    The other parameters of each unit are adjusted to minimise the change of its outputs on the images.
    """
    for name, before in (("c5", "s4"), ("f6", "c5")):
        blocks = np.array_split(images, -(-len(images) // BLOCK))
        inputs = np.concatenate([model.activations(block)[before].reshape(len(block), -1) for block in blocks])
        weight, bias = model.parameters[f"{name}.weight"], model.parameters[f"{name}.bias"]
        rounded = rounded_rows(np.column_stack([weight.reshape(len(bias), -1), bias]), inputs)
        weight[...], bias[...] = rounded[:, :-1].reshape(weight.shape), rounded[:, -1]


def rounded_rows(rows: NDArray[Any], inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Round all columns of weights but the last, which belongs to the bias.

    The columns are rounded one after the other. Those not yet rounded change so that the sum of the squared errors of
    the outputs is minimal (Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon",
    1993).
    """
    rows = rows.astype(np.float64)
    z = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    moment = z.T @ z / len(z)
    moment += DAMPING * np.trace(moment) / len(moment) * np.eye(len(moment))
    factor = np.linalg.cholesky(np.linalg.inv(moment))
    for k in range(rows.shape[1] - 1):
        rounded = np.round(rows[:, k] / STEP) * STEP
        rows[:, k:] -= np.outer((rows[:, k] - rounded) / factor[k, k], factor[k:, k])
        rows[:, k] = rounded
    return rows


def round_numbers(values: NDArray[Any]) -> None:
    """Round numbers to 9 significant bits, in place."""
    mantissa, exponent = np.frexp(values)
    values[...] = np.ldexp(np.round(mantissa * 2**BITS) / 2**BITS, exponent)
