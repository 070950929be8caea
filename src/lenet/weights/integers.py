"""Store tensors with few distinct values as small integers, without loss, in half the size of float16.

Weights that were rounded to multiples of a step, a power of two, are stored as int8, and the step in the metadata.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]

STEPS = "steps"  # the name in the metadata
_MAX_LEVEL = 127  # of int8, without -128
_MIN_STEP, _MAX_STEP = 2.0**-24, 2.0**8  # the first is float16's smallest positive number
_MIN_SIZE = 1000  # numbers in a tensor; smaller tensors are not converted


def to_integers(tensors: Tensors) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Convert the large tensors that int8 represents exactly; return all tensors, and the steps of the converted ones.

    The tensors are finite. The steps are powers of two by which `from_integers` multiplies the tensors of these names.

    Examples
    --------
    >>> tensors, steps = to_integers({"a": np.full((50, 50), 0.75, np.float16), "b": np.ones(2, np.float16)})
    >>> int(tensors["a"][0, 0]), steps, tensors["b"].dtype
    (96, {'a': 0.0078125}, dtype('float16'))
    """
    stored, steps = dict(tensors), {}
    for name, tensor in tensors.items():
        peak = float(np.abs(tensor).max(initial=0))
        if tensor.size < _MIN_SIZE or peak == 0:
            continue
        step = max(2.0 ** math.ceil(math.log2(peak / _MAX_LEVEL)), _MIN_STEP)
        levels = tensor.astype(np.float64) / step
        if step <= _MAX_STEP and np.array_equal(levels, np.rint(levels)):
            stored[name], steps[name] = levels.astype(np.int8), step
    return stored, steps


def from_integers(tensors: Tensors, metadata: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Convert the tensors that have a step back to float16, and return all tensors.

    In the metadata, "steps" is a JSON object of numbers by name; without it, the tensors are returned unchanged. Raises
    ValueError if it is something else.

    Examples
    --------
    >>> from_integers({"a": np.array([-1, 2], np.int8)}, {"steps": '{"a": 0.25}'})
    {'a': array([-0.25,  0.5 ], dtype=float16)}
    """
    steps = json.loads(metadata.get(STEPS, "{}"))
    if not isinstance(steps, dict):
        raise ValueError(f"{STEPS} is not an object")
    found = dict(tensors)
    for name, step in steps.items():
        if not (isinstance(step, float | int) and _MIN_STEP <= step <= _MAX_STEP):
            raise ValueError(f"the step of {name} is {step!r}")
        if name not in tensors or tensors[name].dtype != np.int8:
            raise ValueError(f"{name} has a step, but is not an int8 tensor")
        found[name] = tensors[name] * np.float16(step)
    return found
