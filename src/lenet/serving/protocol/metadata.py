"""The metadata of the server and its models in the formats of the Open Inference Protocol and of Triton."""

from typing import Any

from lenet import __version__
from lenet._checks import SIDE
from lenet.model import LeNet5
from lenet.serving.limits.settings import Limits
from lenet.serving.models import Served
from lenet.serving.protocol.tensors import INPUT

PLATFORM = "lenet"
_SCALAR = {"dims": [1], "reshape": {"shape": []}}  # Triton's notation for an output whose only axis is the batch
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]


def server_metadata() -> dict[str, Any]:
    """Return the metadata of the server."""
    return {"name": "lenet", "version": __version__, "extensions": EXTENSIONS}


def model_metadata(served: Served) -> dict[str, Any]:
    """Return the metadata of a model.

    Examples
    --------
    >>> model_metadata(Served("digits", LeNet5(seed=0)))["inputs"]
    [{'name': 'images', 'datatype': 'UINT8', 'shape': [-1, 28, 28]}]
    """
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": PLATFORM,
        "classes": list(served.model.classes),
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, SIDE, SIDE]}],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *shape]}
            for name, (datatype, shape) in _outputs(served.model).items()
        ],
    }


def model_configuration(served: Served, limits: Limits) -> dict[str, Any]:
    """Return the configuration of a model, for the protocol's model configuration extension."""
    return {
        "name": served.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": limits.batch,
        "input": [{"name": INPUT, "data_type": "TYPE_UINT8", "dims": [SIDE, SIDE]}],
        "output": [
            {"name": name, "data_type": f"TYPE_{datatype}", **({"dims": shape} if shape else _SCALAR)}
            for name, (datatype, shape) in _outputs(served.model).items()
        ],
        "parameters": {key: {"string_value": value} for key, value in sorted(served.model.metadata.items())},
    }


def _outputs(model: LeNet5) -> dict[str, tuple[str, list[int]]]:
    """Return the datatype of each output, and its shape without the batch axis."""
    floating = "FP64" if model.dtype == "float64" else "FP32"
    return {"label": ("INT64", []), "probabilities": (floating, [model.num_classes]), "digit_score": ("FP64", [])}
