"""Convert weights from and to PyTorch. Layers are recognised by the shapes of their weights, as their names vary."""

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet.errors import InputTypeError, LenetError, WeightsError
from lenet.interop.parameters import exportable, model_from, weight_shapes
from lenet.model import LeNet5
from lenet.weights.bounds import check_bounds
from lenet.weights.container import content_of, read_tensors
from lenet.weights.files import MAX_CLASSES

_LIKE_LENET: dict[str, dict[str, dict[str, Any]]] = {  # the allowed classes of torch's modules, and their settings
    "torch.nn.modules.activation": {"Sigmoid": {}, "Softmax": {}, "LogSoftmax": {}},
    "torch.nn.modules.batchnorm": {},
    "torch.nn.modules.conv": {"Conv2d": {"stride": (1, 1), "dilation": (1, 1), "padding_mode": "zeros"}},
    "torch.nn.modules.instancenorm": {"InstanceNorm2d": {"num_features": 1}},
    "torch.nn.modules.normalization": {
        "LayerNorm": {"normalized_shape": (1, 28, 28)},
        "GroupNorm": {"num_channels": 1},
    },
    "torch.nn.modules.padding": {"ZeroPad2d": {}, "ConstantPad2d": {"value": 0}},
    "torch.nn.modules.pooling": {"AvgPool2d": {"kernel_size": 2, "stride": 2, "padding": 0, "divisor_override": None}},
    "torch.nn.modules.upsampling": {},
}
_OF_IMAGES = ("LayerNorm", "GroupNorm", "InstanceNorm2d")  # those allowed above standardise the whole image
_NESTED = ("state_dict", "model_state_dict", "model")  # keys of the state dict in a checkpoint


def from_torch(source: Mapping[str, Any] | str | os.PathLike[str]) -> LeNet5:
    """Build a model with the weights of a LeNet-5 trained in PyTorch.

    Parameters
    ----------
    source : mapping, torch.nn.Module or path
        A ``state_dict()`` of tensors or arrays, a module, a ``.safetensors`` file of a state dict, or a file written by
        ``torch.save``. Files may have at most 64 MiB. torch loads its files with ``weights_only=True``, so it runs no
        code from them. Names do not matter: a weight is recognised by its shape. Its bias has the same name, or else is
        the next tensor of its length. C5 may be a convolution, (120, 16, 5, 5), or a dense layer, (120, 400).

    Returns
    -------
    LeNet5
        The dtype is float64 if all weights are float64, otherwise float32. `mean` is 0 and `std` is 1. If the PyTorch
        model expects ``transforms.Normalize((m,), (s,))``, set them to m and s. If it begins with
        ``torch.nn.LayerNorm((1, 28, 28), elementwise_affine=False)``, they are None for a module; for a state dict or
        a file, set them to None.

    Raises
    ------
    WeightsError
        If the weights are not those of a LeNet-5 or not finite; if a module has layers that the notes exclude; if a
        file is damaged, too large, or contains more than weights.
    InputTypeError
        If source is none of these.
    MissingExtraError
        If source is a file written by ``torch.save`` and torch is not installed.
    OSError
        If the file cannot be read.

    Notes
    -----
    A state dict contains neither activations nor pooling. The model uses sigmoids and average pooling, even if the
    PyTorch model does not. If `source` is a module, torch's layers for other activations, pooling, padding,
    normalisation (except of the whole image) and upsampling, and convolutions with a stride, dilation or padding mode
    are rejected. They are recognised by their classes: functions such as `torch.relu`, other classes and traced modules
    are not examined.

    Examples
    --------
    >>> import numpy as np
    >>> a = LeNet5(seed=0)
    >>> names = [f"conv{n // 2}.{('weight', 'bias')[n % 2]}" for n in range(10)]
    >>> twin = dict(zip(names, a.state_dict().values(), strict=True))
    >>> from_torch(twin).predict(np.ones((28, 28))) == a.predict(np.ones((28, 28)))
    array([ True])
    """
    if isinstance(source, str | os.PathLike):
        title, tensors = str(source), _state_dict(_read(source), str(source), WeightsError)
    else:
        _check_modules(source)
        title, tensors = "The state dict", _state_dict(source, "The state dict")
    names = _names_by_parameter(_shapes(tensors, title), title)
    model = model_from({ours: _as_array(theirs, tensors[theirs], title) for ours, theirs in names.items()})
    classes = {(type(module).__module__, type(module).__name__) for module in _modules_of(source)}
    if any(name in _OF_IMAGES and home in _LIKE_LENET for home, name in classes):
        model.mean = model.std = None
    check_bounds(model.parameters, model.mean, model.std)
    return model


def to_torch_state_dict(model: LeNet5, like: Mapping[str, Any] | Any | None = None) -> dict[str, Any]:
    """Return a model's weights as tensors for `torch.nn.Module.load_state_dict`.

    The module needs the same standardised pixels as the model. Apply
    ``transforms.Normalize((model.mean,), (model.std,))`` to its input, or compute ``(x - model.mean) / model.std``. If
    they are None, its first layer must be ``torch.nn.LayerNorm((1, 28, 28), elementwise_affine=False)``.

    Parameters
    ----------
    model : LeNet5
    like : mapping or torch.nn.Module, optional
        The module that will load the weights, or its ``state_dict()``. The result has its names, shapes and order. By
        default, these are those of `LeNet5.parameters`, in which C5 is (120, 16, 5, 5).

    Returns
    -------
    dict of str to torch.Tensor
        Copies of the parameters, of the dtype of the model.

    Raises
    ------
    WeightsError
        If `like` is not a LeNet-5 with the same number of classes.
    InputError
        If a parameter is not finite in float32.
    InputTypeError
        If model is not a LeNet5, or like is not a module or state dict.
    MissingExtraError
        If torch is not installed.
    """
    torch = require("torch", "torch")
    exportable(model)
    ours = model.state_dict()
    if like is None:
        return {name: torch.from_numpy(value) for name, value in ours.items()}
    target = _state_dict(like, "like")
    shapes = _shapes(target, "like")
    theirs = _names_by_parameter(shapes, "like")
    (num_classes,) = shapes[theirs["output.bias"]]
    if num_classes != model.num_classes:
        raise WeightsError(f"like has {num_classes} classes; expected {model.num_classes}, as in the model.")
    values = {name: torch.from_numpy(ours[key].reshape(shapes[name])) for key, name in theirs.items()}
    return {name: values[name] for name in target}


def _read(path: str | os.PathLike[str]) -> Any:
    """Read a file of tensors."""
    if Path(path).suffix.lower() == ".safetensors":
        return read_tensors(path)[0]
    content = content_of(path)
    torch = require("torch", "torch")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types, with messages that advise running the code in the file
        raise WeightsError(
            f"torch.load({str(path)!r}, weights_only=True) failed with {type(error).__name__}; the file is damaged or "
            "contains more than weights. Save model.state_dict() with torch.save or safetensors."
        ) from None


def _check_modules(source: Any) -> None:
    """Raise WeightsError if a module contains layers that compute something else; functions are not examined."""
    if difference := next(filter(None, map(_difference, _modules_of(source))), None):
        raise WeightsError(
            f"The module has {difference}. Train a network with sigmoids, convolutions of stride 1 and 2x2 average "
            "pooling, as in LeNet5."
        )


def _modules_of(source: Any) -> Iterable[Any]:
    return source.modules() if callable(getattr(source, "modules", None)) else ()


def _difference(module: Any) -> str | None:
    """Return how one of torch's modules differs from those of LeNet-5, and what is expected, if it differs."""
    name = type(module).__name__
    allowed = _LIKE_LENET.get(type(module).__module__, {name: {}})
    if name not in allowed:
        return f"{name}; expected {next(iter(allowed), 'no such layer')}"
    for setting, expected in allowed[name].items():
        found = getattr(module, setting)
        if isinstance(found, tuple | list) and isinstance(expected, int):
            expected = type(found)([expected] * len(found))
        has_effect = setting != "padding_mode" or module.padding not in ((0, 0), "valid")
        if has_effect and found != expected:
            return f"{name} with {setting}={found!r}; expected {expected!r}"
    return None


def _state_dict(source: Any, title: str, error_type: type[LenetError] = InputTypeError) -> dict[str, Any]:
    """Return the state dict of a module or checkpoint, or source itself if it is one."""
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    for name in _NESTED:
        if isinstance(source, Mapping) and isinstance(source.get(name), Mapping):
            source = source[name]
    if not isinstance(source, Mapping):
        kind = type(source).__name__
        raise error_type(f"{title} is of type {kind}; expected a state dict of names and tensors.")
    if not all(isinstance(name, str) for name in source):
        raise WeightsError(f"{title} has keys that are not strings; expected a state dict of names and tensors.")
    return dict(source)


def _shapes(tensors: Mapping[str, Any], title: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of floating-point tensors, without reading their numbers."""
    for name, value in tensors.items():
        dtype = getattr(value, "dtype", type(value).__name__)
        kind = getattr(dtype, "name", str(dtype)).removeprefix("torch.")  # also for a NumPy dtype in any byte order
        if not (hasattr(value, "shape") and kind.removeprefix("b").startswith("float")):
            raise WeightsError(f"{title} has {_shown(name)} of type {kind}; expected a tensor of floats.")
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _as_array(name: str, value: Any, title: str) -> NDArray[Any]:
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if value.element_size() < 4 else value  # NumPy has no bfloat16
            value = value.numpy()
        return _checks.array(value, _shown(name), "expected a tensor")
    except LenetError:
        raise
    except Exception as error:  # of sparse and meta tensors, and others
        raise WeightsError(
            f"{title} has {_shown(name)}, whose numbers cannot be read ({type(error).__name__}). "
            "Save dense tensors on the CPU."
        ) from None


def _names_by_parameter(shapes: Mapping[str, tuple[int, ...]], title: str) -> dict[str, str]:
    """Return the name of each of lenet's parameters in another state dict, recognised by its shape."""
    found: dict[str, str] = {}
    for name, shape in shapes.items():
        if layer := _layer_of(shape):
            found.setdefault(f"{layer}.weight", name)
    for weight, name in list(found.items()):
        if bias := _bias_of(name, shapes, found.values()):
            found[weight.replace("weight", "bias")] = bias
    missing = [
        f"{layer} {' or '.join(map(str, known))}"
        for layer, known in weight_shapes().items()
        if f"{layer}.bias" not in found
    ]
    unknown = [f"{_shown(name)} {shape}" for name, shape in shapes.items() if name not in found.values()]
    findings = [f"it lacks the weight or bias of {', '.join(missing)}"] if missing else []
    findings += [f"it also has {', '.join(unknown[:10])}"] if unknown else []
    if findings:
        raise WeightsError(f"{title} is not LeNet-5: {', and '.join(findings)}.")
    return found


def _bias_of(weight: str, shapes: Mapping[str, tuple[int, ...]], taken: Iterable[str]) -> str | None:
    """Return the name of a weight's bias: the same name, or else the next one of the right shape."""
    named = f"{weight.removesuffix('weight')}bias"
    if shapes.get(named) == shapes[weight][:1]:
        return named
    names = list(shapes)
    place = names.index(weight)
    candidates = (name for name in [*names[place:], *names[:place]] if shapes[name] == shapes[weight][:1])
    return next((name for name in candidates if name not in taken), None)


def _layer_of(shape: tuple[int, ...]) -> str | None:
    """Return the layer whose weight may have this shape; the output layer's for any number of classes."""
    known = weight_shapes()
    if shape[1:] == known["output"][0][1:] and 2 <= shape[0] <= MAX_CLASSES:
        return "output"
    return next((layer for layer in known if shape in known[layer]), None)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}...")
