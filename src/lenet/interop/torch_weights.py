"""Weights from PyTorch and to it. A state dict tells parameters only, so they are matched by their shapes."""

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet.errors import InputTypeError, LenetError, WeightsError
from lenet.interop.operators import exportable
from lenet.model import LeNet5
from lenet.weights.container import content_of, read_tensors
from lenet.weights.files import MAX_CLASSES

_NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints of trainings keep it
_LAYERS = {  # and the shapes that their weights may have
    "c1": ("(6, 1, 5, 5)",),
    "c3": ("(16, 6, 5, 5)",),
    "c5": ("(120, 16, 5, 5)", "(120, 400)"),
    "f6": ("(84, 120)",),
    "output": ("(classes, 84)",),
}


def from_torch(source: Mapping[str, Any] | str | os.PathLike[str]) -> LeNet5:
    """Return a model with the weights of a LeNet-5 that PyTorch trained.

    Parameters
    ----------
    source : mapping, torch.nn.Module or path
        A `state_dict()`, of tensors or arrays, or the module itself; a .safetensors file of one; or a .pt or .pth file
        that `torch.save` wrote, which torch loads with `weights_only=True`, so that nothing in it is run. Names do not
        matter: each layer is known by its shape, and its bias by the name that they share, or else by coming next. C5
        may be a convolution, (120, 16, 5, 5), or dense, (120, 400).

    Returns
    -------
    LeNet5
        Of float32, or float64 where all the weights are. Its pixels are not standardised: where the PyTorch model
        had `transforms.Normalize((m,), (s,))` before it, set `mean` to m and `std` to s.

    Raises
    ------
    WeightsError
        If the weights are not those of a LeNet-5, or a .pt file holds more than weights.
    InputTypeError
        If source is none of those.
    MissingExtraError
        If a .pt file is given and torch is not installed.
    OSError
        If the file cannot be read.

    Notes
    -----
    Weights do not tell what lies between them: the model computes with sigmoids and average pooling, whatever
    the other one did.

    Examples
    --------
    >>> a = LeNet5(seed=0)
    >>> twin = {f"layers.{n}": value for n, value in enumerate(a.state_dict().values())}
    >>> twin = {f"conv{n // 2}.{('weight', 'bias')[n % 2]}": value for n, value in enumerate(twin.values())}
    >>> from_torch(twin).predict(np.ones((28, 28))) == a.predict(np.ones((28, 28)))
    array([ True])
    """
    if isinstance(source, str | os.PathLike):
        what, tensors = str(source), _state_dict(_read(source), str(source), WeightsError)
    else:
        what, tensors = "The state dict", _state_dict(source, "The state dict")
    names = _names_by_layer(_shapes(tensors, what), what)
    found = {ours: _as_array(theirs, tensors[theirs], what) for ours, theirs in names.items()}
    dtype = np.float64 if all(value.dtype == np.float64 for value in found.values()) else np.float32
    model = LeNet5(seed=0, dtype=dtype, num_classes=len(found["output.bias"]))
    model.load_state_dict({name: value.reshape(model.parameters[name].shape) for name, value in found.items()})
    return model


def to_torch_state_dict(model: LeNet5, like: Mapping[str, Any] | Any | None = None) -> dict[str, Any]:
    """Return a model's weights as tensors for `torch.nn.Module.load_state_dict`.

    They are for pixels that are standardised as the model's: have
    `transforms.Normalize((model.mean,), (model.std,))`, or `(x - model.mean) / model.std`, before the module.

    Parameters
    ----------
    model : LeNet5
    like : mapping or torch.nn.Module, optional
        The `state_dict()` of the module that is to take them, or the module itself, whose names, shapes and order they
        get. Without it, they have ours, and C5 is (120, 16, 5, 5).

    Returns
    -------
    dict of str to torch.Tensor
        Copies.

    Raises
    ------
    WeightsError
        If `like` is not that of a LeNet-5 with as many classes.
    InputTypeError
        If model or like is something else.
    MissingExtraError
        When torch is not installed.
    """
    torch = require("torch", "torch")
    exportable(model)
    ours = model.state_dict()
    if like is None:
        return {name: torch.from_numpy(value) for name, value in ours.items()}
    what = "The module that is to take the weights"
    wanted = _state_dict(like, what)
    shapes = _shapes(wanted, what)
    theirs = _names_by_layer(shapes, what)
    if len(ours["output.bias"]) != shapes[theirs["output.bias"]][0]:
        raise WeightsError(
            f"The module has {shapes[theirs['output.bias']][0]} classes, and the model {model.num_classes}: build it "
            "with as many."
        )
    values = {name: torch.from_numpy(ours[key].reshape(shapes[name])) for key, name in theirs.items()}
    return {name: values[name] for name in wanted}


def _read(path: str | os.PathLike[str]) -> Any:
    """Return what a file holds."""
    if Path(path).suffix.lower() == ".safetensors":
        return read_tensors(path)[0]
    content = content_of(path)
    torch = require("torch", "torch")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # of many types; their texts advise to run the file
        raise WeightsError(
            f"torch.load({str(path)!r}, weights_only=True) fails with {type(error).__name__}: the file is damaged, or "
            "a pickle of more than weights, which is not read. Save model.state_dict() with torch.save or safetensors."
        ) from None


def _state_dict(source: Any, what: str, error_type: type[LenetError] = InputTypeError) -> dict[str, Any]:
    """Return the state dict that source is, that a checkpoint holds, or that a module has."""
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    for name in _NESTED:
        if isinstance(source, Mapping) and isinstance(source.get(name), Mapping):
            source = source[name]
    if not isinstance(source, Mapping):
        kind = type(source).__name__
        raise error_type(f"{what} is a {kind}, and a state dict is wanted: names and tensors, or a file of them.")
    if not all(isinstance(name, str) for name in source):
        raise WeightsError(f"{what} has keys that are no text, and a state dict is wanted: names and tensors.")
    return dict(source)


def _shapes(tensors: Mapping[str, Any], what: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of floating tensors, without a look at their numbers."""
    for name, value in tensors.items():
        dtype = getattr(value, "dtype", type(value).__name__)
        kind = getattr(dtype, "name", str(dtype)).removeprefix("torch.")  # a dtype of NumPy's in any byte order
        if not kind.removeprefix("b").startswith("float"):
            raise WeightsError(f"{what} holds {_shown(name)}, of {kind}, which is no parameter of LeNet-5: floats are.")
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _as_array(name: str, value: Any, what: str) -> NDArray[Any]:
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if value.element_size() < 4 else value  # NumPy has no bfloat16
            value = value.numpy()
        return _checks.array(value, _shown(name), "a tensor is wanted")
    except LenetError:
        raise
    except Exception as error:  # of tensors without numbers, sparse ones and others
        raise WeightsError(
            f"{what} holds {_shown(name)}, whose numbers cannot be read ({type(error).__name__})."
        ) from None


def _names_by_layer(shapes: Mapping[str, tuple[int, ...]], what: str) -> dict[str, str]:
    """Return which name each of our parameters has there."""
    found: dict[str, str] = {}
    for name, shape in shapes.items():
        layer = _layer_of(shape)
        if layer and f"{layer}.weight" not in found:
            found[f"{layer}.weight"] = name
    for weight, name in list(found.items()):
        bias = _bias_of(name, shapes, found.values())
        if bias:
            found[weight.replace("weight", "bias")] = bias
    missing = [f"{layer} {' or '.join(known)}" for layer, known in _LAYERS.items() if f"{layer}.bias" not in found]
    left = [f"{_shown(name)} {shape}" for name, shape in shapes.items() if name not in found.values()]
    findings = [f"it lacks {', '.join(missing)}, each with its bias"] if missing else []
    findings += [f"it has {', '.join(left[:10])} besides"] if left else []
    if findings:
        raise WeightsError(f"{what} is not that of a LeNet-5: {', and '.join(findings)}.")
    return found


def _bias_of(weight: str, shapes: Mapping[str, tuple[int, ...]], taken: Iterable[str]) -> str | None:
    """Return the bias with the name of the weight, or the next of the right shape."""
    named = f"{weight.removesuffix('weight')}bias"
    if shapes.get(named) == shapes[weight][:1]:
        return named
    names = list(shapes)
    place = names.index(weight)
    fitting = (each for each in [*names[place:], *names[:place]] if shapes[each] == shapes[weight][:1])
    return next((each for each in fitting if each not in taken), None)


def _layer_of(shape: tuple[int, ...]) -> str | None:
    if len(shape) == 2 and shape[1] == 84 and 2 <= shape[0] <= MAX_CLASSES:
        return "output"
    return next((layer for layer, known in _LAYERS.items() if str(shape) in known), None)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}...")
