"""Inference requests of the Open Inference Protocol and their answers, from bytes and to bytes: no HTTP, no waiting."""

import functools
from typing import Any, NamedTuple

import orjson
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.model import LeNet5
from lenet.rejection import RejectionRule
from lenet.serving.limits import Limits
from lenet.serving.models import Served
from lenet.serving.tensors import INPUT, Tensor, Wanted, flag, mapping, output_of, refuse_booleans, short, tensor_of

_SHORT = 512  # bytes
OUTPUTS = ("label", "probabilities", "digit_score")


class Request(NamedTuple):
    """An inference request but for its images, checked.

    Attributes
    ----------
    tensor : Tensor
    outputs : tuple of Wanted
    reject_at : float or None
        As `LeNet5.predict` takes it, from the request's parameter of that name.
    id : str or None
        The client's.
    """

    tensor: Tensor
    outputs: tuple[Wanted, ...]
    reject_at: float | None
    id: str | None


def read_request(body: bytes, json_length: int | None, limits: Limits) -> tuple[Request, NDArray[Any]]:
    """Return the request that a body makes, and its images.

    Parameters
    ----------
    body : bytes
    json_length : int, optional
        How much of the body is JSON, by the client's word; all of it by default.
    limits : Limits

    Returns
    -------
    request : Request
    images : ndarray
        As `LeNet5.predict` takes them, which looks at their pixels.

    Raises
    ------
    InputError
        If the request is malformed, or asks for what is not there.

    Examples
    --------
    >>> body = b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": [0, 784], "data": []}]}'
    >>> request, images = read_request(body, None, Limits())
    >>> [wanted.name for wanted in request.outputs], images.shape
    (['label', 'probabilities', 'digit_score'], (0, 784))
    """
    if json_length is not None and not 0 < json_length <= len(body):
        raise InputError(f"Inference-Header-Content-Length is {json_length}, and the body has {len(body)} bytes.")
    text = body if json_length is None else body[:json_length]
    # Behind a short head stand bytes, and clients send the same head again and again.
    request = (parse if len(text) > _SHORT else _parse_once)(text, limits.batch)
    return request, request.tensor.images(memoryview(body)[len(text) :])


def write_answer(served: Served, request: Request, probabilities: NDArray[Any]) -> tuple[bytes, int | None]:
    """Return the body of the answer, and how much of it is JSON where bytes follow.

    Raises
    ------
    InputError
        If the model cannot reject as the request wants.

    Examples
    --------
    >>> import numpy as np
    >>> text = b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": []}], "outputs": '
    >>> request = parse(text + b'[{"name": "label"}]}', batch=1)
    >>> write_answer(Served("two", LeNet5(num_classes=2)), request, np.array([[0.25, 0.75]]))[0][-71:]
    b'"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}'
    """
    results = _results(served.model, request, probabilities)
    outputs, parts = [], []
    for wanted in request.outputs:
        tensor, data = output_of(wanted, results[wanted.name])
        outputs.append(tensor)
        parts.append(data)
    answer = {"model_name": served.name, "model_version": served.version, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(each.binary for each in request.outputs):
        return text, None
    return b"".join([text, *parts]), len(text)


def _results(model: LeNet5, request: Request, probabilities: NDArray[Any]) -> dict[str, NDArray[Any]]:
    answers = RejectionRule.from_metadata(model.metadata, request.reject_at).answers(probabilities)
    labels = answers.likeliest if request.reject_at is None else answers.labels
    return {"label": labels, "probabilities": probabilities, "digit_score": answers.digit_scores}


def json_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object that a text is.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The request is no JSON ({error}).") from None
    if not isinstance(content, dict):
        raise InputError("The request is no JSON object.")
    return content


def parse(text: bytes, batch: int) -> Request:
    """Return the request that JSON says; of at most so many images.

    Raises
    ------
    InputError
        If it is malformed.
    """
    content = json_object(text)
    identity, parameters = content.get("id"), mapping(content, "parameters")
    if identity is not None and not isinstance(identity, str):
        raise InputError(f"id is {short(identity)}, and a text is wanted.")
    entry = _only_input(_entries(content, "inputs"))
    outputs = _wanted(_entries(content, "outputs"), parameters)
    tensor = tensor_of(entry, batch)
    if tensor.data and (b"true" in text or b"false" in text):  # to look at each number takes as long as to read it
        refuse_booleans(tensor.data)
    return Request(tensor, outputs, _reject_at(parameters), identity)


_parse_once = functools.lru_cache(256)(parse)


def _entries(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = content.get(name)
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{name} is {short(entries)}, and a list of JSON objects is wanted.")
    return entries


def _only_input(entries: list[dict[str, Any]]) -> dict[str, Any]:
    others = [entry.get("name") for entry in entries if entry.get("name") != INPUT]
    if others:
        raise InputError(f"There is no input {', '.join(map(short, others[:5]))}: the only one is {INPUT!r}.")
    if len(entries) != 1:
        raise InputError(f"inputs should have {INPUT!r} once, and has it {len(entries)} times.")
    return entries[0]


def _wanted(entries: list[dict[str, Any]], request: dict[str, Any]) -> tuple[Wanted, ...]:
    """Return the outputs that a request names, or all."""
    binary = flag(request, "binary_data_output")
    wanted = []
    for entry in entries:
        name, parameters = entry.get("name"), mapping(entry, "parameters")
        if name not in OUTPUTS:
            raise InputError(f"There is no output {short(name)}: there are {', '.join(OUTPUTS)}.")
        if "shared_memory_region" in parameters:
            raise InputError("Shared memory is not offered: take the data from the answer.")
        wanted.append(Wanted(name, flag(parameters, "binary_data", binary), _classes(name, parameters)))
    if len({each.name for each in wanted}) < len(wanted):
        raise InputError("outputs names an output twice.")
    return tuple(wanted) or tuple(Wanted(name, binary) for name in OUTPUTS)


def _classes(output: str, parameters: dict[str, Any]) -> int:
    count = parameters.get("classification", 0)
    if type(count) is not int or count < 0:
        raise InputError(f"classification is {short(count)}, and a number of classes is wanted.")
    if count and output != "probabilities":
        raise InputError(f"classification is for the output 'probabilities', not for {output!r}.")
    return count


def _reject_at(parameters: dict[str, Any]) -> float | None:
    rate = parameters.get("reject_at")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        raise InputError(f"reject_at is {short(rate)}, and a number is wanted, such as 0.005.")
    return rate
