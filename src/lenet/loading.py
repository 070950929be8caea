"""Load saved and pre-trained models."""

import functools
import os
from pathlib import Path

import numpy as np

from lenet import _checks
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.model import LeNet5
from lenet.model_1998 import LeNet1998
from lenet.weights.bounds import check_bounds
from lenet.weights.files import PRETRAINED, READERS, ModelFile

ModelLike = LeNet5 | str | os.PathLike[str]
BEST = "best.safetensors"  # in the folder of a run


def load(path: str | os.PathLike[str]) -> LeNet5:
    """Load a model that `LeNet5.save` or a training run wrote.

    Parameters
    ----------
    path : path-like
        A safetensors file, or the folder of a run of `lenet train`, for the weights of its best epoch.

    Returns
    -------
    LeNet5 or LeNet1998
        With the dtype of the file, float32 or float64; float16 weights become float32.

    Raises
    ------
    WeightsError
        If the file is truncated, modified, larger than 64 MiB or in another format, or if its tensors do not fit
        LeNet-5, are not finite, or are so large that sums may overflow; if a folder has no weights.
    InputError
        If there is no such file, but `path` is the name of a pre-trained model.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import lenet, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> lenet.LeNet5(seed=0).save(path)
    >>> lenet.load(path).predict(np.zeros((28, 28))).shape
    (1,)
    """
    path = Path(path)
    if str(path) in PRETRAINED and not path.exists():
        raise InputError(
            f'{path} does not exist; expected the path of a model file. Call lenet.load_pretrained("{path}").'
        )
    if path.is_dir():
        folder, path = path, path / BEST
        if not path.exists():
            raise WeightsError(f"{folder} has no {BEST}; expected a model file, or the folder of a training run.")
    try:
        file = ModelFile.read(path)
    except WeightsError:
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise
        raise WeightsError(
            f"{path} is not a readable safetensors file. If it is an ONNX or PyTorch file, call lenet.interop.{reader}."
        ) from None
    try:
        return _model_of(file)
    except (InputError, WeightsError) as error:  # InputError for its mean and std
        raise WeightsError(f"{path}: {error}") from None


def load_pretrained(name: str = "mnist") -> LeNet5:
    """Load a pre-trained model that ships with lenet.

    Parameters
    ----------
    name : {"mnist"}, default "mnist"
        The data set of the model; see its model card in the documentation.

    Returns
    -------
    LeNet5
        A new model on each call.

    Raises
    ------
    InputError
        If there is no model with this name.

    Examples
    --------
    >>> import lenet
    >>> lenet.load_pretrained("mnist").metadata["recipe"]
    'drawn, distilled, with pen digits'
    """
    return _model_of(ModelFile.read_pretrained(name))


def load_named(name: str | os.PathLike[str]) -> LeNet5:
    """Load a pre-trained model by name, or a model file or run folder by path; names take precedence."""
    if name in PRETRAINED:
        return load_pretrained(str(name))
    if not str(name) or not Path(name).exists():  # Path("") would be the current folder
        raise InputError(
            f"{str(name) or 'An empty name'} does not exist; expected a model file, a run folder or "
            f"{', '.join(PRETRAINED)}."
        )
    return load(name)


_shared_pretrained = functools.cache(load_pretrained)  # loading takes longer than reading a digit


def given_model(model: ModelLike) -> LeNet5:
    """Return a model, or load one as `load_named`; callers must not change it."""
    if isinstance(model, str | os.PathLike):
        return _shared_pretrained(model) if model in PRETRAINED else load_named(model)
    try:
        _checks.model(model)
    except InputTypeError:
        raise InputTypeError(
            f'model is {_checks.short_repr(model)}; expected a LeNet5, the name of one, such as "mnist", or a path.'
        ) from None
    return model


def network_class(network: str | None) -> type[LeNet5]:
    """Return LeNet5, or LeNet1998 for its name in files, "1998"."""
    if network not in (None, LeNet1998.network):
        raise InputError(f'network is {_checks.short_repr(network)}; expected "{LeNet1998.network}" or None.')
    return LeNet5 if network is None else LeNet1998


def _model_of(file: ModelFile) -> LeNet5:
    network, tensors = network_class(file.network), dict(file.tensors)
    for name, value in network._constants.items():
        if not np.array_equal(tensors.pop(name), value):
            raise WeightsError(f"{name} differs from that of this version of lenet. Update lenet, or train again.")
    model = network(dtype=np.result_type(file.dtype, np.float32), num_classes=file.num_classes)
    model.load_state_dict(tensors)
    model.mean, model.std, model.metadata = file.mean, file.std, dict(file.metadata)
    check_bounds(model.parameters, model.mean, model.std)
    return model
