"""The contents of a model file: tensors, input standardisation and metadata."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._files import atomic_write
from lenet.errors import InputError, WeightsError
from lenet.weights.container import CHECKSUM, MAX_FILE_BYTES, MAX_HEADER_BYTES, read_tensors, to_bytes
from lenet.weights.earlier import upgraded
from lenet.weights.integers import STEPS, from_integers, to_integers

FORMAT = "lenet-1"
IMAGE = "image"  # the mean and std of models that use those of each image; older versions reject it
PRETRAINED = ("mnist",)
MAX_CLASSES = 100_000
_FLOATS = {np.dtype(each) for each in (np.float16, np.float32, np.float64)}
NETWORKS = ("1998",)  # besides LeNet5
READERS = {".onnx": "from_onnx", ".pt": "from_torch", ".pth": "from_torch"}  # of lenet.interop, for other formats
OWN_METADATA = {"format", "network", "num_classes", "mean", "std", STEPS, CHECKSUM}


def scaling_as_text(mean: float | None, std: float | None) -> dict[str, str]:
    """Return the metadata "mean" and "std" of a file.

    Examples
    --------
    >>> scaling_as_text(0.5, None)
    {'mean': '0.5', 'std': 'image'}
    """
    return {name: IMAGE if value is None else repr(float(value)) for name, value in (("mean", mean), ("std", std))}


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The contents of a model file.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        The parameters by name, all of the same dtype: float16, float32 or float64.
    mean, std : float or None
        Pixels in [0, 1] enter the network as (x - mean) / std; None for those of each image.
    metadata : mapping of str to str
        Text about the model, without the entries that the file reserves.
    network : str, optional
        "1998" for a `LeNet1998`; by default, a `LeNet5`.

    Examples
    --------
    >>> file = ModelFile.read_pretrained("mnist")
    >>> file.num_classes, file.tensors["c1.weight"].shape
    (10, (6, 1, 5, 5))
    """

    tensors: Mapping[str, NDArray[Any]]
    mean: float | None
    std: float | None
    metadata: Mapping[str, str]
    network: str | None = None

    @property
    def num_classes(self) -> int:
        """The number of outputs."""
        return len(self.tensors["output.weight"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the tensors: float16, float32 or float64."""
        return self.tensors["output.weight"].dtype

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, replacing an existing one atomically.

        Parameters
        ----------
        path : path-like
            A name that ends in .safetensors.

        Raises
        ------
        InputTypeError
            If the metadata is not a mapping of str to str.
        InputError
            If the name does not end in .safetensors, a weight is not finite, there are more than 100,000 classes, the
            metadata takes more than 1 MiB, the file would have more than 64 MiB, or the metadata has a name that the
            file reserves.
        SaveError
            If the file cannot be written.
        """
        if Path(path).suffix.lower() != ".safetensors":
            raise InputError(
                f"path is {path}; expected a name that ends in .safetensors. `lenet export` writes other formats."
            )
        metadata = _checks.text_by_name(self.metadata, "metadata")
        if taken := sorted(metadata.keys() & OWN_METADATA):
            raise InputError(f"metadata has the reserved key {', '.join(taken)}. Choose another name.")
        if not all(np.isfinite(tensor).all() for tensor in self.tensors.values()):
            raise InputError(
                f"The model's weights are not finite in {self.dtype}; expected finite weights. "
                f"{'Save them with half=False, or train' if self.dtype == np.float16 else 'Train'} the model again."
            )
        metadata |= {
            "format": FORMAT,
            "num_classes": str(self.num_classes),
            **scaling_as_text(self.mean, self.std),
        }
        if self.network is not None:
            metadata["network"] = self.network
        tensors = self.tensors
        if self.dtype == np.float16:
            tensors, steps = to_integers(tensors)
            metadata |= {STEPS: json.dumps(steps)} if steps else {}
        content = to_bytes(tensors, metadata)
        header = len(content) - sum(tensor.nbytes for tensor in tensors.values())
        if header > MAX_HEADER_BYTES or len(content) > MAX_FILE_BYTES or self.num_classes > MAX_CLASSES:
            raise InputError(
                f"The file would have {len(content):,} bytes with {header:,} of metadata, and {self.num_classes:,} "
                f"classes; expected at most {MAX_FILE_BYTES:,}, {MAX_HEADER_BYTES:,} and {MAX_CLASSES:,}. Shorten "
                "the metadata or use fewer classes."
            )
        atomic_write(path, content)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ModelFile":
        """Read and validate a file that `write` wrote.

        Parameters
        ----------
        path : path-like
            A safetensors file.

        Returns
        -------
        ModelFile

        Raises
        ------
        WeightsError
            If the file is truncated, modified, larger than 64 MiB or in another format.
        OSError
            If the file cannot be read.
        """
        tensors, metadata = read_tensors(path)
        if metadata.get("format") != FORMAT:
            raise WeightsError(
                f"{path} has the format {metadata.get('format')!r}; expected {FORMAT!r}, a file that lenet saved. Pass "
                "PyTorch weights to lenet.interop.from_torch."
            )
        network = metadata.get("network")
        if network not in (None, *NETWORKS):
            raise WeightsError(f"{path} has the network {network!r}; expected {', '.join(NETWORKS)}. Update lenet.")
        try:
            tensors = from_integers(tensors, metadata)
            num_classes, mean, std = int(metadata["num_classes"]), None, None
            if (metadata["mean"], metadata["std"]) != (IMAGE, IMAGE):
                mean, std = float(metadata["mean"]), float(metadata["std"])
        except (KeyError, ValueError, RecursionError) as error:
            raise WeightsError(
                f"{path} lacks a valid num_classes, mean, std or steps in its metadata ({error}). Save it again."
            ) from None
        scaled = mean is None or std is None or (math.isfinite(mean) and 0 < std < math.inf)
        if not (2 <= num_classes <= MAX_CLASSES and scaled):
            raise WeightsError(
                f"{path} has num_classes {num_classes}, mean {mean} and std {std}; expected 2 to {MAX_CLASSES:,} "
                "classes, a finite mean, and a std above 0. Save it again."
            )
        names = ("output.weight", "output.bias") if network is None else ("output.weight",)
        for name in names:  # before a model with so many classes is built
            shape = tensors[name].shape if name in tensors else None
            if shape is None or shape[:1] != (num_classes,):
                found = f"no {name}" if shape is None else f"{name} of shape {shape}"
                raise WeightsError(f"{path} has {found}; expected {num_classes} classes, as in its metadata.")
        if len(dtypes := {tensor.dtype for tensor in tensors.values()}) != 1 or not dtypes <= _FLOATS:
            raise WeightsError(
                f"{path} has weights of dtype {', '.join(sorted(map(str, dtypes)))}; expected one dtype: "
                "float16, float32 or float64."
            )
        rest = {key: value for key, value in metadata.items() if key not in OWN_METADATA}
        return cls(tensors, mean, std, upgraded(rest, num_classes), network)

    @classmethod
    def read_pretrained(cls, name: str) -> "ModelFile":
        """Read a pre-trained model that ships with lenet.

        Parameters
        ----------
        name : {"mnist"}
            As for `lenet.load_pretrained`.

        Returns
        -------
        ModelFile

        Raises
        ------
        InputError
            If there is no model with this name.
        """
        if not isinstance(name, str) or name not in PRETRAINED:
            raise InputError(
                f"{_checks.short_repr(name)} is not a pre-trained model; expected {', '.join(PRETRAINED)}. Load a file "
                "with lenet.load."
            )
        with resources.as_file(resources.files(__package__) / "pretrained" / f"{name}.safetensors") as path:
            return cls.read(path)
