"""Round LeNet-5's parameters to float32, recognise them by their shapes, and build a model from them."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet.errors import InputError, InputTypeError
from lenet.model import LeNet5

Shape = tuple[int, ...]


def exportable(model: LeNet5) -> dict[str, NDArray[np.float32]]:
    """Return a model's parameters in float32, and "mean" and "scale": pixels enter as (x - mean) * scale.

    A model that standardises each image has neither of the two.
    """
    if not isinstance(model, LeNet5) or model.network is not None:
        advice = " Pass its attribute model_, which does not scale X." if hasattr(model, "model_") else ""
        if isinstance(model, LeNet5):
            advice = " Train one, on the command line without --network 1998."
        raise InputTypeError(f"model is of type {type(model).__name__}; expected a LeNet5.{advice}")
    _checks.text_by_name(model.metadata, "metadata")
    numbers: dict[str, NDArray[Any]] = {**model.parameters}
    if model.std is not None:
        numbers |= {"mean": np.array(model.mean), "scale": np.array(1 / model.std)}
    with np.errstate(over="ignore"):
        rounded = {name: np.asarray(value, np.float32) for name, value in numbers.items()}
    for name, value in rounded.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} contains numbers that are not finite in float32; expected finite numbers.")
    return rounded


@functools.cache
def weight_shapes() -> dict[str, list[Shape]]:
    """Return the shapes that the weight of each layer may have, lenet's first; the output layer has 10 classes.

    The kernel of C5 covers its whole input, so other programs may compute C5 as a dense layer.
    """
    shapes = LeNet5().parameters.shapes
    weights = {name.removesuffix(".weight"): [shape] for name, shape in shapes.items() if name.endswith(".weight")}
    outputs, *kernel = shapes["c5.weight"]
    weights["c5"].append((outputs, math.prod(kernel)))
    return weights


def model_from(parameters: Mapping[str, NDArray[Any]]) -> LeNet5:
    """Build a model from parameters with lenet's names, in float64 if all of them are float64."""
    dtype = np.float64 if all(value.dtype.type is np.float64 for value in parameters.values()) else np.float32
    model = LeNet5(dtype=dtype, num_classes=parameters["output.bias"].size)
    c5 = parameters["c5.weight"]
    if c5.shape in weight_shapes()["c5"]:
        c5 = c5.reshape(model.parameters["c5.weight"].shape)
    model.load_state_dict({**parameters, "c5.weight": c5})
    return model
