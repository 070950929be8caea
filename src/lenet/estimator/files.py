"""The part of a classifier that a model file stores as JSON in its metadata: labels, framing and parameters."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks, class_names
from lenet.errors import InputError, WeightsError
from lenet.estimator.framing import Framing
from lenet.model import LeNet5
from lenet.weights.container import NUMBERS

KEY = "classifier"
FINE_TUNING = {"warm_start": True, "learning_rate_init": 0.002}  # parameters that continue from trained weights


@dataclass(frozen=True, eq=False)
class Record:
    """A classifier without its network."""

    labels: NDArray[Any]  # bool, integers, floats or str, sorted
    framing: Framing
    n_features: int  # pixels per image
    feature_names: list[str] | None
    parameters: dict[str, Any]  # the arguments of the constructor

    def to_text(self) -> str:
        """Return the record as JSON.

        Raises
        ------
        InputError
            If the labels have an unsupported dtype, or a parameter is an object, such as a RandomState.
        """
        labels = {"kind": _kind_of(self.labels), "values": self.labels.tolist()}
        parameters = {name: _plain(name, value) for name, value in self.parameters.items()}
        return json.dumps(vars(self) | {"labels": labels, "framing": asdict(self.framing), "parameters": parameters})

    @classmethod
    def from_text(cls, text: str, num_classes: int) -> "Record":
        """Parse and validate a record from untrusted JSON.

        Raises
        ------
        KeyError, OverflowError, RecursionError, TypeError, ValueError
            If it is invalid.
        """
        content = json.loads(text)
        labels = _labels(content["labels"]["kind"], content["labels"]["values"])
        framing = Framing(**content["framing"])
        record = cls(**content | {"labels": labels, "framing": framing})
        if len(labels) != num_classes:
            raise InputError(f"labels has {len(labels)} values; expected {num_classes}, one for each output.")
        _check_framing(framing)
        _checks.whole(record.n_features, "n_features", at_most=framing.height * framing.width)
        names = record.feature_names
        if names is not None and (len(names) != record.n_features or not all(isinstance(name, str) for name in names)):
            raise InputError("feature_names is invalid; expected a string for each column.")
        if not isinstance(record.parameters, dict):
            raise InputError("parameters is invalid; expected a mapping of names to values.")
        for name, value in record.parameters.items():
            record.parameters[name] = tuple(value) if isinstance(value, list) else _plain(name, value)
        return record


def pop_record(model: LeNet5, path: str) -> Record:
    """Remove the record of a classifier from a model's metadata and return it, or a default one if there is none."""
    text = model.metadata.pop(KEY, None)
    if text is None:
        framing = Framing(_checks.SIDE, _checks.SIDE, 0, 255, whole=True)
        return Record(sort_classes(model), framing, _checks.SIDE**2, None, FINE_TUNING)
    try:
        record = Record.from_text(text, model.num_classes)
        if model.classes != names_of(record.labels):
            raise InputError(f"classes is {model.classes}; expected {names_of(record.labels)}, like the labels.")
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a damaged classifier record ({error}). Save it again.") from None
    return record


def names_of(labels: NDArray[Any]) -> tuple[str, ...]:
    """Return labels as class names, or numbers if a label is empty, too long or not printable."""
    try:
        return class_names.checked([str(label) for label in labels.tolist()], len(labels))
    except InputError:
        return class_names.class_names({}, len(labels))


def sort_classes(model: LeNet5) -> NDArray[Any]:
    """Return the labels of a model without a record; if they are names, sort the model's outputs by them."""
    if class_names.KEY not in model.metadata:
        return np.arange(model.num_classes)
    labels = np.array(model.classes)
    order = np.argsort(labels)
    if (order == np.arange(len(order))).all():
        return labels
    if model.network is not None:
        raise WeightsError(
            f"The classes of the model are {_checks.short_repr(labels.tolist())}; expected them sorted, as the outputs "
            "of LeNet1998 have fixed codes. Rename them."
        )
    for name in ("output.weight", "output.bias"):
        model.parameters[name][...] = model.parameters[name][order]
    model.classes = labels[order].tolist()
    return labels[order]


def _kind_of(labels: NDArray[Any]) -> str:
    """Return the name of the labels' dtype to store in a file; "str" or "object" for text."""
    if labels.dtype.name in NUMBERS:
        return labels.dtype.name
    if labels.dtype.kind == "U" or (labels.dtype == object and all(type(label) is str for label in labels)):
        return "str" if labels.dtype.kind == "U" else "object"
    raise InputError(
        f"The labels have dtype {labels.dtype}, which cannot be saved; expected booleans, integers, floats or strings."
    )


def _labels(kind: str, values: list[Any]) -> NDArray[Any]:
    """Return the labels stored in a file, after validating them."""
    if kind not in NUMBERS and not (kind in ("str", "object") and all(isinstance(value, str) for value in values)):
        raise InputError(f"labels has the kind {_checks.short_repr(kind)}; expected numbers or strings.")
    labels: NDArray[Any] = np.array(values, kind)
    if labels.tolist() != values or not np.array_equal(labels, np.unique(labels)):
        raise InputError(f"labels is {_checks.short_repr(values)}; expected a sorted list of distinct values.")
    return labels


def _plain(name: str, value: Any) -> Any:
    """Return a parameter in a form that JSON can store."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if value is not None and not isinstance(value, bool | int | float | str):
        raise InputError(
            f"{name} is {_checks.short_repr(value)}, which cannot be saved; expected a number, a string or None. Set "
            "it with set_params."
        )
    return value


def _check_framing(framing: Framing) -> None:
    for name in ("height", "width"):
        _checks.whole(getattr(framing, name), name, at_most=_checks.SIDE)
    low, high = (_checks.number(each, "framing") for each in (framing.low, framing.high))
    if not (0 < high - low < math.inf and isinstance(framing.whole, bool)):
        raise InputError(f"framing ranges from {low:g} to {high:g}; expected a finite range that is not empty.")
