"""Named tensors and text metadata in a safetensors file with a checksum.

A file contains no code. Its size is checked before it is parsed, and its checksum before its tensors are used. The
readers of models and checkpoints then check names, shapes and numbers.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._files import read_at_most
from lenet.errors import InputTypeError, WeightsError

CHECKSUM = "lenet_sha256"
MAX_FILE_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20
NUMBERS = {np.dtype(code).name for code in "?bhiqBHIQefd"}  # in safetensors


def to_bytes(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file with a checksum.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Arrays by name.
    metadata : mapping of str to str
        Text by name.

    Returns
    -------
    bytes
        Equal for equal tensors and metadata.

    Raises
    ------
    InputError, InputTypeError
        If the tensors are not arrays of numbers by name, or the metadata is not text by name.

    Examples
    --------
    >>> to_bytes({"a": np.zeros(2)}, {"by": "hand"})[-16:] == bytes(16)
    True
    """
    from safetensors.numpy import save as serialize

    metadata = _checks.text_by_name(metadata, "metadata")
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(value, np.ndarray) and value.dtype.name in NUMBERS
        for name, value in tensors.items()
    ):
        raise InputTypeError(
            f"tensors is {_checks.short_repr(tensors)}; expected a mapping of names to arrays of numbers of at most 64 "
            "bits."
        )
    checked = {**metadata, CHECKSUM: _checksum(tensors, metadata)}
    content = serialize({name: np.asarray(value, order="C") for name, value in tensors.items()})
    start = 8 + struct.unpack("<Q", content[:8])[0]
    # safetensors itself writes the metadata in random order.
    header = {"__metadata__": dict(sorted(checked.items())), **json.loads(content[8:start])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors
    return struct.pack("<Q", len(text)) + text + content[start:]


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read the tensors and metadata of a safetensors file of at most 64 MiB.

    Parameters
    ----------
    path : path-like
        The file. If it has a checksum, the checksum is verified.

    Returns
    -------
    tensors : dict of str to ndarray
        Arrays by name.
    metadata : dict of str to str
        Text by name, without the checksum.

    Raises
    ------
    WeightsError
        If the file is damaged, too large or in another format, has numbers that NumPy lacks (such as bfloat16), or does
        not match its checksum.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> from importlib import resources
    >>> path = resources.files("lenet.weights") / "pretrained" / "mnist.safetensors"
    >>> tensors, metadata = read_tensors(path)
    >>> tensors["c1.weight"].shape, metadata["num_classes"]
    ((6, 1, 5, 5), '10')
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialize

    content = content_of(path)
    try:
        metadata = _metadata(content)
        tensors = deserialize(content)
    except KeyError as error:  # bfloat16 and the like
        raise WeightsError(f"{path} contains numbers of type {error}, which NumPy lacks. Save them as F32.") from None
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is damaged or is not a safetensors file of numbers ({error}). Save it again."
        ) from None
    checksum = metadata.pop(CHECKSUM, None)  # other programs write none
    if checksum not in (None, _checksum(tensors, metadata)):
        raise WeightsError(
            f"{path} is damaged: its {CHECKSUM} does not match its content. Restore a copy. If another program changed "
            f"the file deliberately, remove {CHECKSUM} from its metadata."
        )
    return tensors, metadata


def content_of(path: str | os.PathLike[str]) -> bytes:
    """Read a weights file in any format.

    Examples
    --------
    >>> from importlib import resources
    >>> path = resources.files("lenet.weights") / "pretrained" / "mnist.safetensors"
    >>> content_of(path)[8:22]
    b'{"__metadata__'
    """
    content = read_at_most(path, MAX_FILE_BYTES)
    if content is None:
        raise WeightsError(f"{path} is too large for a weights file; expected at most {MAX_FILE_BYTES:,} bytes.")
    if not content:
        raise WeightsError(f"{path} is empty; expected a weights file. Copy or save it again.")
    return content


def _checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the content, independent of its order."""
    rest = sorted((key, value) for key, value in metadata.items() if key != CHECKSUM)
    digest = hashlib.sha256(json.dumps(rest).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, value.dtype.name, value.shape]).encode())
        digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata in the header: the length of the header in eight bytes, then JSON."""
    if len(content) < 8:
        raise ValueError("it is shorter than a header")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise ValueError("it has no header" if length > MAX_FILE_BYTES else f"its header claims {length:,} bytes")
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_unambiguous)
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not text")
    return metadata


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object; reject a repeated name, whose value depends on the parser."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("its header repeats a name")
    return members
