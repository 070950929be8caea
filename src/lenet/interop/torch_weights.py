"""Weights from PyTorch and to it. A state dict tells parameters only, so they are matched by their shapes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import WeightsError
from lenet.model import LeNet5
from lenet.weights import LARGEST_FILE, read_tensors

_NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints of trainings keep it
_LAYERS = ("c1", "c3", "c5", "f6", "output")


def from_torch(source: Mapping[str, Any] | str | os.PathLike[str]) -> LeNet5:
    """Return a model with the weights of a LeNet-5 that PyTorch trained.

    Parameters
    ----------
    source : mapping, or path
        A `state_dict()`, of tensors or arrays; a .safetensors file of one; or a .pt or .pth file that `torch.save`
        wrote, which torch loads with `weights_only=True`, so that nothing in it is run. Names do not
        matter: each layer is known by its shape. C5 may be a convolution, (120, 16, 5, 5), or dense, (120, 400).

    Returns
    -------
    LeNet5
        Of float32, or float64 where all the weights are. Its pixels are not standardised: where the PyTorch model
        had `transforms.Normalize((m,), (s,))` before it, set `mean` to m and `std` to s.

    Raises
    ------
    WeightsError
        If the weights are not those of a LeNet-5, or a .pt file holds more than weights.
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
    what = "The state dict" if isinstance(source, Mapping) else str(source)
    tensors = source if isinstance(source, Mapping) else _read(source)
    arrays = {name: _as_array(name, value, what) for name, value in tensors.items()}
    names = _names_by_layer({name: value.shape for name, value in arrays.items()}, what)
    found = {ours: arrays[theirs] for ours, theirs in names.items()}
    dtype = np.float64 if all(value.dtype == np.float64 for value in found.values()) else np.float32
    model = LeNet5(seed=0, dtype=dtype, num_classes=len(found["output.bias"]))
    model.load_state_dict({name: value.reshape(model.parameters[name].shape) for name, value in found.items()})
    return model


def to_torch_state_dict(model: LeNet5, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a model's weights as tensors for `torch.nn.Module.load_state_dict`.

    Parameters
    ----------
    model : LeNet5
    like : mapping, optional
        The `state_dict()` of the module that is to take them, whose names, shapes and order they get. Without it,
        they have ours, and C5 is (120, 16, 5, 5).

    Returns
    -------
    dict of str to torch.Tensor
        Copies.

    Raises
    ------
    WeightsError
        If `like` is not that of a LeNet-5 with as many classes.
    MissingExtraError
        When torch is not installed.
    """
    torch = require("torch", "torch")
    ours = model.state_dict()
    if like is None:
        return {name: torch.from_numpy(value) for name, value in ours.items()}
    shapes = {name: tuple(value.shape) for name, value in like.items()}
    theirs = _names_by_layer(shapes, "The module that is to take the weights")
    if len(ours["output.bias"]) != shapes[theirs["output.bias"]][0]:
        raise WeightsError(
            f"The module has {shapes[theirs['output.bias']][0]} classes, and the model {model.num_classes}: build it "
            "with as many."
        )
    values = {name: torch.from_numpy(ours[key].reshape(shapes[name])) for key, name in theirs.items()}
    return {name: values[name] for name in like}


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    if Path(path).suffix == ".safetensors":
        return read_tensors(path)[0]
    size = Path(path).stat().st_size
    if size > LARGEST_FILE:
        raise WeightsError(f"{path} has {size:,} bytes, more than the {LARGEST_FILE:,} that weights may have.")
    torch = require("torch", "torch")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many types; their texts advise to run the file
        raise WeightsError(
            f"torch.load({str(path)!r}, weights_only=True) fails with {type(error).__name__}: the file is damaged, or "
            "a pickle of more than weights, which is not read. Save model.state_dict() with torch.save or safetensors."
        ) from None
    for name in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, and a state dict is wanted: names and tensors.")
    return content


def _as_array(name: object, value: Any, what: str) -> NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.element_size() < 4 else value  # NumPy has no bfloat16
        value = value.numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise WeightsError(f"{what} holds {name}, a {kind}, which is no parameter of LeNet-5: pass floating tensors.")
    return value


def _names_by_layer(shapes: Mapping[str, tuple[int, ...]], what: str) -> dict[str, str]:
    """Return which name each of our parameters has there.

    A weight is known by its shape, and its bias by the name that they share.
    """
    wanted = {name: value.shape for name, value in LeNet5(seed=0).parameters.items()}
    found: dict[str, str] = {}
    for name, shape in shapes.items():
        layer = _layer_of(shape, wanted)
        bias = f"{name.removesuffix('weight')}bias"
        if layer and f"{layer}.weight" not in found and shapes.get(bias) == shape[:1] and name != bias:
            found[f"{layer}.weight"], found[f"{layer}.bias"] = name, bias
    if len(found) != len(shapes) or len(found) != 2 * len(_LAYERS):
        listed = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:20]) or "nothing"
        raise WeightsError(
            f"{what} holds {listed}; wanted are the weights and biases of LeNet-5: (6, 1, 5, 5), (16, 6, 5, 5), "
            "(120, 16, 5, 5) or (120, 400), (84, 120) and (classes, 84)."
        )
    return found


def _layer_of(shape: tuple[int, ...], wanted: Mapping[str, tuple[int, ...]]) -> str | None:
    if shape == (120, 400):
        return "c5"
    if len(shape) == 2 and shape[1] == 84 and shape[0] >= 2:
        return "output"
    return next((layer for layer in _LAYERS if wanted[f"{layer}.weight"] == shape), None)
