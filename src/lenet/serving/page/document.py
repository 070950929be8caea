"""A model as a JSON document."""

import base64
from typing import Any

from lenet import _checks
from lenet.errors import InputError, InputTypeError
from lenet.model import LeNet5
from lenet.rejection import RejectionRule, learned_thresholds


def model_document(model: LeNet5, name: str, version: str) -> dict[str, Any]:
    """Return a model as a JSON document with everything that the page needs.

    Parameters
    ----------
    model : LeNet5
    name, version : str
        The page shows them, and uses them in requests to the server.

    Returns
    -------
    dict
        "name", "version", "dtype", "num_classes", "classes" (their names), "mean" and "std" (None for those of each
        image), "min_digit_score" (0 if the model is not calibrated), "thresholds" (a dict of error rate to
        minimum margin, empty if there are none), "metadata", and "parameters": by name, the "shape" and the
        "data", the base64 of little-endian numbers in C order.

    Raises
    ------
    InputTypeError
        If the model is not a LeNet5, such as a LeNet1998.
    InputError
        If the metadata's min_digit_score is not a number from 0 to 1, or its names of the classes are damaged.

    Examples
    --------
    >>> document = model_document(LeNet5(seed=0), "fresh", "1")
    >>> document["parameters"]["c1.weight"]["shape"], document["thresholds"]
    ([6, 1, 5, 5], {})
    """
    _checks.model(model)
    if model.network is not None:
        raise InputTypeError(
            f"model is of type {type(model).__name__}; expected a LeNet5. The drawing page shows no others."
        )
    little_endian = model.dtype.newbyteorder("<")
    return {
        "name": name,
        "version": version,
        "dtype": model.dtype.name,
        "num_classes": model.num_classes,
        "classes": list(model.classes),
        "mean": model.mean,
        "std": model.std,
        "min_digit_score": RejectionRule.from_metadata(model.metadata).min_digit_score,
        "thresholds": _thresholds(model),
        "metadata": dict(model.metadata),
        "parameters": {
            key: {"shape": list(value.shape), "data": base64.b64encode(value.astype(little_endian).tobytes()).decode()}
            for key, value in model.parameters.items()
        },
    }


def _thresholds(model: LeNet5) -> dict[str, float]:
    try:
        return {f"{rate:g}": threshold for rate, threshold in learned_thresholds(model.metadata).items()}
    except InputError:  # the model has none, damaged ones, or those of an earlier version
        return {}
