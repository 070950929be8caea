"""Models in safetensors files: tensors under the parameters' names, and what else a model is in the metadata.

Nothing in such a file is code. What is read is checked before it is believed: the sizes first, then that no bit has
changed since it was written, then the names, shapes and numbers.
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._files import atomic_write, read_at_most
from lenet._flat import FlatDict
from lenet.errors import InputError, WeightsError
from lenet.model import LeNet5

FORMAT = "lenet-1"
CHECKSUM = "lenet_sha256"
PRETRAINED = ("mnist",)
LARGEST_FILE = 64 * 2**20
MOST_CLASSES = 100_000
LARGEST_HEADER = 2**20


def save(model: LeNet5, path: str | os.PathLike[str], *, half: bool = False) -> None:
    """Write a model to a safetensors file; one that was there is replaced whole or left alone.

    Parameters
    ----------
    model : LeNet5
    path : path-like
    half : bool, default False
        Whether to round the weights to float16, of half the size; `load` makes float32 of them.

    Raises
    ------
    InputTypeError
        If the model's metadata are not texts under texts.
    InputError
        If `load` would refuse the file, for weights that are not finite (in float16: beyond 65,504), or for too many
        metadata or classes; or if the metadata have names that the file has for its own.
    SaveError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> save(LeNet5(seed=0), path)
    >>> path.stat().st_size > 4 * 61_706
    True
    """
    facts = {
        "format": FORMAT,
        "num_classes": str(model.num_classes),
        "mean": repr(float(model.mean)),
        "std": repr(float(model.std)),
    }
    notes = _checks.text_by_name(model.metadata, "metadata")
    if taken := sorted(notes.keys() & {*facts, CHECKSUM}):
        raise InputError(f"The metadata have {', '.join(taken)}, which the file tells by itself: take another name.")
    tensors = FlatDict(model.parameters.shapes, np.float16 if half else model.dtype)
    with np.errstate(over="ignore"):
        tensors.flat[:] = model.parameters.flat
    if not np.isfinite(tensors.flat).all():
        raise InputError(
            f"The model's weights are not finite in {tensors.flat.dtype}, and could not be loaded again: "
            f"{'save them whole' if half and np.isfinite(model.parameters.flat).all() else 'train it anew'}."
        )
    content = to_bytes(tensors, {**notes, **facts})
    header = len(content) - tensors.flat.nbytes
    if header > LARGEST_HEADER or len(content) > LARGEST_FILE or model.num_classes > MOST_CLASSES:
        raise InputError(
            f"The file would have {len(content):,} bytes, {header:,} of them metadata, and {model.num_classes:,} "
            f"classes; {LARGEST_FILE:,}, {LARGEST_HEADER:,} and {MOST_CLASSES:,} can be loaded: leave something out."
        )
    atomic_write(path, content)


def load(path: str | os.PathLike[str]) -> LeNet5:
    """Read a model that `LeNet5.save` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    LeNet5
        Of the dtype of the file's tensors, float32 or float64; of float32 if they are float16.

    Raises
    ------
    WeightsError
        If the file is truncated or changed, of another format, or its tensors are not those of LeNet-5 or not finite.
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
    tensors, facts = read_tensors(path)
    if facts.get("format") != FORMAT:
        raise WeightsError(
            f"{path} says its format is {facts.get('format')!r}, and {FORMAT!r} is wanted: a file that lenet saved."
        )
    try:
        num_classes, mean, std = int(facts["num_classes"]), float(facts["mean"]), float(facts["std"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} lacks a proper num_classes, mean and std in its metadata ({error}).") from None
    if not (2 <= num_classes <= MOST_CLASSES and math.isfinite(mean) and 0 < std < math.inf):
        raise WeightsError(f"{path} has num_classes {num_classes}, mean {mean} and std {std}, which no model has.")
    rows = tensors["output.weight"].shape[:1] if "output.weight" in tensors else ()
    if rows != (num_classes,):  # or else a small file would make a large model
        raise WeightsError(
            f"{path} claims {num_classes} classes, and its output.weight has {rows[0] if rows else 'no'} rows."
        )
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) != 1 or not dtypes <= {np.dtype(each) for each in (np.float16, np.float32, np.float64)}:
        names = ", ".join(sorted(map(str, dtypes)))
        raise WeightsError(f"{path} holds {names}, and float16, float32 or float64 throughout is wanted.")
    model = LeNet5(seed=0, dtype=np.result_type(dtypes.pop(), np.float32), num_classes=num_classes)
    try:
        model.load_state_dict(tensors)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    model.mean, model.std = mean, std
    model.metadata = {key: value for key, value in facts.items() if key not in {"format", "num_classes", "mean", "std"}}
    return model


def load_pretrained(name: str = "mnist") -> LeNet5:
    """Return a model with the weights that lenet ships.

    Parameters
    ----------
    name : str, default "mnist"
        Which; their model card lies beside them in the package.

    Returns
    -------
    LeNet5
        A new one with each call.

    Raises
    ------
    InputError
        If there is no such model.

    Examples
    --------
    >>> import lenet
    >>> lenet.load_pretrained("mnist").metadata["recipe"]
    'wild'
    """
    if name not in PRETRAINED:
        raise InputError(
            f"There are no pre-trained weights {name!r}: choose from {', '.join(PRETRAINED)}, or lenet.load a file."
        )
    with resources.as_file(resources.files("lenet") / "pretrained" / f"{name}.safetensors") as path:
        return load(path)


def to_bytes(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the safetensors file of tensors and metadata, with a checksum; the same ones make the same bytes.

    Parameters
    ----------
    tensors : mapping of str to ndarray
    metadata : mapping of str to str

    Returns
    -------
    bytes

    Examples
    --------
    >>> to_bytes({"a": np.zeros(2)}, {"by": "hand"})[-16:] == bytes(16)
    True
    """
    from safetensors.numpy import save as serialize

    facts = {**metadata, CHECKSUM: _checksum(tensors, metadata)}
    content = serialize({name: np.ascontiguousarray(value) for name, value in tensors.items()})
    start = 8 + struct.unpack("<Q", content[:8])[0]
    # safetensors would write the metadata in random order
    header = {"__metadata__": dict(sorted(facts.items())), **json.loads(content[8:start])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # as the format wants, so that the tensors stay aligned
    return struct.pack("<Q", len(text)) + text + content[start:]


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file of at most 64 MiB, without its checksum.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    tensors : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    WeightsError
        If it is damaged, too large or of another format, or if it has a checksum and that is of something else.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> tensors, metadata = read_tensors(resources.files("lenet") / "pretrained" / "mnist.safetensors")
    >>> tensors["c1.weight"].shape, metadata["num_classes"]
    ((6, 1, 5, 5), '10')
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialize

    content = content_of(path)
    try:
        facts = _metadata(content)
        tensors = deserialize(content)
    except KeyError as error:  # bfloat16 and the like
        raise WeightsError(f"{path} holds numbers of type {error}, which NumPy has not: save them as F32.") from None
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file of numbers ({error}).") from None
    told = facts.pop(CHECKSUM, None)  # there is none in the files of others
    if told not in (None, _checksum(tensors, facts)):
        raise WeightsError(
            f"{path} is damaged: its {CHECKSUM} is that of other numbers or other metadata. Take a copy, or, if "
            f"another program has changed it on purpose, have it leave out {CHECKSUM}."
        )
    return tensors, facts


def content_of(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file of weights in any format.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bytes

    Raises
    ------
    WeightsError
        If it has more than 64 MiB.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> content_of(resources.files("lenet") / "pretrained" / "mnist.safetensors")[8:22]
    b'{"__metadata__'
    """
    content = read_at_most(path, LARGEST_FILE)
    if content is None:
        raise WeightsError(f"{path} has more than the {LARGEST_FILE:,} bytes that weights may have.")
    return content


def _checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of all that a file tells, in whatever order it does."""
    facts = sorted((key, value) for key, value in metadata.items() if key != CHECKSUM)
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, value.dtype.name, value.shape]).encode())
        digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata from the header: eight bytes of its length, then JSON."""
    if len(content) < 8:
        raise ValueError("it is shorter than a header")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(LARGEST_HEADER, len(content) - 8):
        raise ValueError("it does not begin as one" if length > LARGEST_FILE else f"its header claims {length:,} bytes")
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_unambiguous)
    facts = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise ValueError("its metadata are not text")
    return facts


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object; where a name is there twice, readers differ in which one they take."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("its header has a name twice")
    return members
