"""Tensors of the Open Inference Protocol, in JSON and in binary: the one input, the outputs, and their bytes."""

import array
import itertools
import math
import reprlib
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE
from lenet.errors import InputError

INPUT = "images"
# What the input may be, with how JSON's numbers become bytes: each refuses what is no number, or does not fit.
_READERS: dict[str, tuple[np.dtype[Any], Callable[[list[Any]], Any]]] = {
    "UINT8": (np.dtype("u1"), bytes),
    "FP16": (np.dtype("<f2"), lambda data: np.array(array.array("d", data), "<f2")),
    "FP32": (np.dtype("<f4"), lambda data: np.array(array.array("d", data), "<f4")),
    "FP64": (np.dtype("<f8"), lambda data: np.array(array.array("d", data), "<f8")),
}
DATATYPES = tuple(_READERS)
_NAMES = {"u1": "UINT8", "i8": "INT64", "f4": "FP32", "f8": "FP64"}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHAPES = ([1, SIDE, SIDE], [SIDE, SIDE], [SIDE * SIDE])


class Wanted(NamedTuple):
    """An output that a request asks for.

    Attributes
    ----------
    name : str
    binary : bool
        Whether its bytes stand behind the JSON, instead of numbers in it.
    classes : int
        How many of the best classes are wanted as text; 0 for the numbers.
    """

    name: str
    binary: bool
    classes: int = 0


class Tensor(NamedTuple):
    """What a request says of its input.

    Attributes
    ----------
    datatype : str
    shape : tuple of int
    size : int or None
        Bytes behind the JSON, where the numbers stand there.
    data : list or None
        Otherwise, the numbers, in nested lists or in one.
    """

    datatype: str
    shape: tuple[int, ...]
    size: int | None
    data: list[Any] | None

    def images(self, binary: memoryview) -> NDArray[Any]:
        """Return the array; its pixels are looked at by whoever computes with them.

        Parameters
        ----------
        binary : memoryview
            What stands behind the JSON: all of it is this tensor's.

        Returns
        -------
        ndarray of uint8 or floats, shape (n, 1, 28, 28), (n, 28, 28), (n, 784) or (28, 28)

        Raises
        ------
        InputError
            If data and shape do not fit.

        Examples
        --------
        >>> Tensor("UINT8", (1, 784), None, [0] * 784).images(memoryview(b"")).shape
        (1, 784)
        """
        dtype, reader = _READERS[self.datatype]
        claimed, expected = self.size or 0, math.prod(self.shape)
        if claimed != len(binary):
            raise InputError(f"{INPUT} has the binary_data_size {claimed}, and {len(binary)} bytes follow the JSON.")
        if self.data is None:
            if claimed != expected * dtype.itemsize:
                raise InputError(f"{INPUT} has {claimed} bytes, and {list(self.shape)} of {self.datatype} want "
                                 f"{expected * dtype.itemsize}.")  # fmt: skip
            return np.frombuffer(binary, dtype).reshape(self.shape)
        try:
            with np.errstate(over="ignore"):  # what is infinite then is refused with all that is above 1
                values = np.frombuffer(reader(_flat(self.data)), dtype)
        except (TypeError, ValueError, OverflowError) as error:
            span = "whole numbers from 0 to 255" if self.datatype == "UINT8" else "numbers"
            raise InputError(f"{INPUT} has data that are not all {span} ({error}).") from None
        if values.size != expected:
            raise InputError(f"{INPUT} has {values.size} numbers, and its shape {list(self.shape)} wants {expected}.")
        return values.reshape(self.shape)


def tensor_of(entry: dict[str, Any], batch: int) -> Tensor:
    """Return what an entry of "inputs" says; of at most so many images.

    Raises
    ------
    InputError
        If it is no tensor that the network takes.
    """
    datatype, shape, parameters = entry.get("datatype"), entry.get("shape"), mapping(entry, "parameters")
    if not isinstance(datatype, str) or datatype not in _READERS:
        raise InputError(f"{INPUT} has the datatype {short(datatype)}; wanted: UINT8 from 0 to 255, or FP32, FP64 or "
                         "FP16 from 0 to 1; ink high.")  # fmt: skip
    if not isinstance(shape, list) or not all(type(length) is int and 0 <= length < 2**31 for length in shape):
        raise InputError(f"{INPUT} has the shape {short(shape)}: give a list of whole numbers.")
    if shape[1:] not in _SHAPES and shape != [SIDE, SIDE]:
        raise InputError(
            f"{INPUT} has the shape {short(shape)}; wanted: [n, 1, 28, 28], [n, 28, 28], [n, 784] or [28, 28]."
        )
    if shape != [SIDE, SIDE] and shape[0] > batch:
        raise InputError(f"{INPUT} has {shape[0]} images, and at most {batch} are taken: send several requests.")
    if "shared_memory_region" in parameters:
        raise InputError("Shared memory is not offered: send the data in the request.")
    size, data = parameters.get("binary_data_size"), entry.get("data")
    if (size is None) == (data is None):
        raise InputError(f"{INPUT} should have either data or a binary_data_size.")
    if size is not None and (type(size) is not int or size < 0):
        raise InputError(f"{INPUT} has the binary_data_size {short(size)}: give a number of bytes.")
    if data is not None and not isinstance(data, list):
        raise InputError(f"{INPUT} has the data {short(data)}: give a list of numbers.")
    return Tensor(datatype, tuple(shape), size, data)


def refuse_booleans(data: list[Any]) -> None:
    """Refuse true and false among the numbers of nested lists, where Python would take them for 1 and 0.

    Raises
    ------
    InputError
    """
    if bool in set(map(type, _flat(data))):
        raise InputError(f"{INPUT} has true or false in its data, and numbers are wanted.")


def _flat(data: list[Any]) -> list[Any]:
    """Return the numbers of nested lists in one.

    Raises
    ------
    InputError
        If rows differ in length.
    """
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) and len(row) == len(data[0]) for row in data):
            raise InputError(f"{INPUT} has rows of different lengths in its data.")
        data = list(itertools.chain.from_iterable(data))
    return data


def output_of(wanted: Wanted, values: NDArray[Any]) -> tuple[dict[str, Any], bytes]:
    r"""Return an entry of "outputs", and the bytes that follow the JSON.

    Examples
    --------
    >>> output_of(Wanted("label", binary=True), np.array([7]))[1]
    b'\x07\x00\x00\x00\x00\x00\x00\x00'
    >>> output_of(Wanted("probabilities", binary=False, classes=2), np.array([[0.1, 0.3, 0.6]]))[0]["data"]
    ['0.600000:2', '0.300000:1']
    """
    data: list[str] | NDArray[Any]
    if wanted.classes:
        data = _best(values, wanted.classes)
        datatype, shape = "BYTES", [len(values), min(wanted.classes, values.shape[1])]
    else:
        data = values.ravel()
        datatype, shape = _NAMES[values.dtype.str[1:]], list(values.shape)
    tensor: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": shape}
    if not wanted.binary:
        tensor["data"] = data
        return tensor, b""
    content = _bytes_of(data)
    tensor["parameters"] = {"binary_data_size": len(content)}
    return tensor, content


def _bytes_of(data: list[str] | NDArray[Any]) -> bytes:
    """Return numbers in little-endian order, or texts, each after its length."""
    if isinstance(data, list):
        return b"".join(struct.pack("<I", len(text)) + text.encode() for text in data)
    return data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()


def _best(values: NDArray[Any], count: int) -> list[str]:
    """Return the best classes of each row as "value:class", the form of the protocol's classification extension."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return [f"{row[k]:.6f}:{k}" for row, places in zip(values, order, strict=True) for k in places]


def mapping(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object of a JSON object, empty where it is not there.

    Raises
    ------
    InputError
        If something else is there.
    """
    inner = value.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, dict):
        raise InputError(f"{name} is {short(inner)}, and a JSON object is wanted.")
    return inner


def flag(content: dict[str, Any], name: str, default: bool = False) -> bool:
    """Return a boolean of a JSON object.

    Raises
    ------
    InputError
        If something else is there.
    """
    value = content.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"{name} is {short(value)}, and true or false is wanted.")
    return value


def short(value: object) -> str:
    """Return a value of a client's for an error, cut to a readable length and depth."""
    return _SHORT.repr(value)
