"""Tensors of the Open Inference Protocol in JSON and in binary: the input and the outputs."""

import array
import itertools
import math
import operator
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE, short_repr
from lenet.errors import InputError
from lenet.serving.protocol.fields import object_field

INPUT = "images"
DATATYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("u1"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
_DATATYPE_NAMES = {"u1": "UINT8", "i8": "INT64", "f4": "FP32", "f8": "FP64"}
_SHAPES = ([1, SIDE, SIDE], [SIDE, SIDE], [SIDE * SIDE])


class OutputRequest(NamedTuple):
    """An output that a request asks for."""

    name: str
    binary: bool  # whether the response has it as bytes after the JSON
    num_classes: int = 0  # of the best classes to return as text; 0 for all as numbers


class InputTensor(NamedTuple):
    """The input of a request, without its binary data."""

    datatype: str
    shape: tuple[int, ...]
    binary_size: int | None  # bytes after the JSON, if the data is binary
    data: list[Any] | None  # the numbers, flat or in nested lists, if the data is in the JSON

    def images(self, binary: memoryview) -> NDArray[Any]:
        """Return the tensor as an array, given all bytes after the JSON, without validating its pixels.

        Returns
        -------
        ndarray of uint8 or floats, shape (n, 1, 28, 28), (n, 28, 28), (n, 784) or (28, 28)

        Raises
        ------
        InputError
            If the data does not match the shape.

        Examples
        --------
        >>> InputTensor("UINT8", (1, 784), None, [0] * 784).images(memoryview(b"")).shape
        (1, 784)
        """
        dtype = DATATYPES[self.datatype]
        declared, expected = self.binary_size or 0, math.prod(self.shape)
        if declared != len(binary):
            raise InputError(
                f"{INPUT} has binary_data_size {declared}; expected that many bytes after the JSON, not {len(binary)}."
            )
        if self.data is None:
            if declared != expected * dtype.itemsize:
                raise InputError(f"{INPUT} has {declared} bytes; expected {expected * dtype.itemsize} for shape "
                                 f"{list(self.shape)} of {self.datatype}.")  # fmt: skip
            return np.frombuffer(binary, dtype).reshape(self.shape)
        flat, rows = _flat(self.data)
        if rows:
            _check_rows(rows, self.shape)
        try:  # both raise if an element is not a number or is out of range
            values = np.frombuffer(bytes(flat), dtype) if self.datatype == "UINT8" else _floats(flat, dtype)
        except (TypeError, ValueError, OverflowError) as error:
            numbers = "integers from 0 to 255" if self.datatype == "UINT8" else "numbers"
            raise InputError(f"The data of {INPUT} is invalid ({error}); expected {numbers}.") from None
        if values.size != expected:
            raise InputError(f"{INPUT} has size {values.size}; expected {expected} for shape {list(self.shape)}.")
        return values.reshape(self.shape)


def parse_tensor(entry: dict[str, Any], batch: int) -> InputTensor:
    """Return the tensor in an entry of "inputs", of at most `batch` images; raise InputError if it is malformed."""
    datatype, shape, parameters = entry.get("datatype"), entry.get("shape"), object_field(entry, "parameters")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InputError(f"{INPUT} has datatype {short_repr(datatype)}; expected UINT8 (0 to 255), or FP16, FP32 or "
                         "FP64 (0 to 1), with high values for ink.")  # fmt: skip
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise InputError(f"{INPUT} has shape {short_repr(shape)}; expected a list of integers of at least 0.")
    if shape[1:] not in _SHAPES and shape != [SIDE, SIDE]:
        raise InputError(
            f"{INPUT} has shape {short_repr(shape)}; expected [n, 1, 28, 28], [n, 28, 28], [n, 784] or [28, 28]."
        )
    if shape != [SIDE, SIDE] and shape[0] > batch:
        raise InputError(f"{INPUT} has {shape[0]} images; expected at most {batch}. Send several requests.")
    if "shared_memory_region" in parameters:
        raise InputError("Shared memory is not supported. Send the data in the request.")
    size, data = parameters.get("binary_data_size"), entry.get("data")
    if (size is None) == (data is None):
        raise InputError(f"{INPUT} has both or neither of data and binary_data_size; expected one of them.")
    if size is not None and (type(size) is not int or size < 0):
        raise InputError(f"{INPUT} has binary_data_size {short_repr(size)}; expected a number of bytes.")
    if data is not None and not isinstance(data, list):
        raise InputError(f"{INPUT} has data {short_repr(data)}; expected a list of numbers.")
    return InputTensor(datatype, tuple(shape), size, data)


def check_numbers(data: list[Any]) -> None:
    """Raise InputError if nested lists contain true or false, which Python treats as 1 and 0."""
    if bool in set(map(type, _flat(data)[0])):
        raise InputError(f"The data of {INPUT} contains true or false; expected numbers.")


def _floats(data: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # infinity is above 1, which the model rejects
        return np.array(array.array("d", data), dtype)


def _flat(data: list[Any]) -> tuple[list[Any], list[int]]:
    """Return nested lists as one list, and the lengths of rows; raise InputError if rows differ in length."""
    lengths: list[int] = []
    while data and isinstance(data[0], list):
        lengths.append(len(data[0]))
        if not all(isinstance(row, list) and len(row) == lengths[-1] for row in data):
            raise InputError(f"The data of {INPUT} has rows of different lengths; expected rows of equal length.")
        data = list(itertools.chain.from_iterable(data))
    return data, lengths


def _check_rows(lengths: list[int], shape: tuple[int, ...]) -> None:
    """Raise InputError unless a row is some of the shape's last axes; otherwise, the data may be transposed."""
    sizes = set(itertools.accumulate(reversed(shape), operator.mul, initial=1))
    if not sizes.issuperset(itertools.accumulate(reversed(lengths), operator.mul)):
        raise InputError(
            f"The data of {INPUT} has rows of {', '.join(map(str, lengths))}; expected those of shape {list(shape)}, "
            "or one flat list."
        )


def encode_output(
    output: OutputRequest, values: NDArray[Any], class_names: Sequence[str] | None = None
) -> tuple[dict[str, Any], bytes]:
    r"""Return an entry of "outputs", and its bytes after the JSON.

    Examples
    --------
    >>> encode_output(OutputRequest("label", binary=True), np.array([7]))[1]
    b'\x07\x00\x00\x00\x00\x00\x00\x00'
    >>> output = OutputRequest("probabilities", binary=False, num_classes=2)
    >>> encode_output(output, np.array([[0.1, 0.3, 0.6]]))[0]["data"]
    ['0.600000:2', '0.300000:1']
    >>> encode_output(output, np.array([[0.1, 0.3, 0.6]]), ["cat", "dog", "hen"])[0]["data"]
    ['0.600000:2:hen', '0.300000:1:dog']
    """
    data: list[str] | NDArray[Any]
    if output.num_classes:
        data = _best_classes(values, output.num_classes, class_names)
        datatype, shape = "BYTES", [len(values), min(output.num_classes, values.shape[1])]
    else:
        data = values.ravel()
        datatype, shape = _DATATYPE_NAMES[values.dtype.str[1:]], list(values.shape)
    tensor: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": shape}
    if not output.binary:
        tensor["data"] = data
        return tensor, b""
    content = _bytes_of(data)
    tensor["parameters"] = {"binary_data_size": len(content)}
    return tensor, content


def _bytes_of(data: list[str] | NDArray[Any]) -> bytes:
    """Return little-endian numbers, or length-prefixed strings."""
    if isinstance(data, list):
        return b"".join(struct.pack("<I", len(text)) + text for text in map(str.encode, data))
    return data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()


def _best_classes(values: NDArray[Any], num_classes: int, class_names: Sequence[str] | None) -> list[str]:
    """Return the best classes of each row in the format of the protocol's classification extension.

    It is "value:index:name", or "value:index" if the classes have no names.
    """
    names = [f":{name}" for name in class_names] if class_names else [""] * values.shape[1]
    order = np.argsort(-values, axis=1, kind="stable")[:, :num_classes]
    return [f"{row[k]:.6f}:{k}{names[k]}" for row, best in zip(values, order, strict=True) for k in best]
