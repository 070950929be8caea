"""Inference requests and responses of the Open Inference Protocol, from and to bytes, without HTTP."""

import functools
from typing import Any, NamedTuple

import orjson
from numpy.typing import NDArray

from lenet._checks import SIDE, short_repr
from lenet.errors import InputError
from lenet.serving.limits.settings import Limits
from lenet.serving.models import Served
from lenet.serving.protocol.fields import (
    boolean_field,
    json_object,
    known_parameters,
    object_field,
    object_list_field,
)
from lenet.serving.protocol.tensors import INPUT, InputTensor, OutputRequest, check_numbers, encode_output, parse_tensor

_MAX_CACHED = 512  # bytes
OUTPUTS = ("label", "probabilities", "digit_score")
_ALL_OUTPUTS = {
    binary: tuple(OutputRequest(name, binary) for name in OUTPUTS) for binary in (False, True)
}  # by whether they are binary


class InferenceRequest(NamedTuple):
    """A validated inference request without its images."""

    tensor: InputTensor
    outputs: tuple[OutputRequest, ...]
    reject_at: float | None  # the parameter of `LeNet5.predict`
    id: str | None  # as the client names the request


def read_request(body: bytes, json_length: int | None, limits: Limits) -> tuple[InferenceRequest, NDArray[Any]]:
    """Return the request in a body, and its images.

    The client may declare the number of bytes of JSON; by default, the whole body is JSON. The images are an argument
    for `LeNet5.predict`, which validates the pixels.

    Examples
    --------
    >>> tensor = '{"name": "images", "datatype": "UINT8", "shape": [0, 784], "data": []}'
    >>> body = f'{{"inputs": [{tensor}]}}'.encode()
    >>> request, images = read_request(body, None, Limits())
    >>> [output.name for output in request.outputs], images.shape
    (['label', 'probabilities', 'digit_score'], (0, 784))
    """
    if json_length is not None and not 0 < json_length <= len(body):
        raise InputError(
            f"Inference-Header-Content-Length is {json_length}; expected 1 to {len(body)}, the size of the body."
        )
    text = body if json_length is None else body[:json_length]
    # Before binary tensors, the JSON is short, and clients send the same one again and again.
    request = (parse_request if len(text) > _MAX_CACHED else _parse_cached)(text, limits.batch)
    return request, request.tensor.images(memoryview(body)[len(text) :])


def write_response(
    served: Served, request: InferenceRequest, probabilities: NDArray[Any]
) -> tuple[bytes, int | None, list[int]]:
    """Return the body of the response, its number of bytes of JSON if binary tensors follow, and the accepted labels.

    The labels are -1 for images that the model rejects, regardless of the requested outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from lenet.model import LeNet5
    >>> tensor = '{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": []}'
    >>> text = f'{{"inputs": [{tensor}], "outputs": [{{"name": "label"}}]}}'
    >>> request = parse_request(text.encode(), batch=1)
    >>> served = Served("two", LeNet5(num_classes=2))
    >>> write_response(served, request, np.array([[0.25, 0.75]]))[0][-71:]
    b'"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}'
    """
    results, accepted_labels = _results(served, request, probabilities)
    outputs, parts = [], []
    for output in request.outputs:
        tensor, data = encode_output(output, results[output.name], served.class_names)
        outputs.append(tensor)
        parts.append(data)
    response = {"model_name": served.name, "model_version": served.version, "outputs": outputs}
    if request.id is not None:
        response["id"] = request.id
    text = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(output.binary for output in request.outputs):
        return text, None, accepted_labels
    return b"".join([text, *parts]), len(text), accepted_labels


def _results(
    served: Served, request: InferenceRequest, probabilities: NDArray[Any]
) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """Return the arrays that a request may ask for, and the accepted labels."""
    is_plain = request.reject_at is None and "digit_score" not in [output.name for output in request.outputs]
    if is_plain and len(probabilities) == 1:
        results = {"label": probabilities.argmax(axis=1), "probabilities": probabilities}
        return results, [served.accepted_label(probabilities[0].tolist())]
    # Even if no label is requested, a rate without a threshold is an error.
    answers = served.rule_at(request.reject_at)._answers(probabilities)
    labels = answers.likeliest if request.reject_at is None else answers.labels
    results = {"label": labels, "probabilities": probabilities, "digit_score": answers.digit_scores}
    return results, answers.labels.tolist()


def parse_request(text: bytes, batch: int) -> InferenceRequest:
    """Return the request in a JSON text, of at most `batch` images; raise InputError if it is malformed."""
    content = json_object(text, batch * SIDE**2 + 1000)
    request_id, parameters = content.get("id"), known_parameters(content, "binary_data_output", "reject_at")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id is {short_repr(request_id)}; expected a string.")
    entry = _only_input(object_list_field(content, "inputs"))
    outputs = _requested_outputs(object_list_field(content, "outputs"), parameters)
    tensor = parse_tensor(entry, batch)
    if tensor.data and (b"true" in text or b"false" in text):  # the check takes as long as parsing the numbers
        check_numbers(tensor.data)
    return InferenceRequest(tensor, outputs, _reject_at(parameters), request_id)


_parse_cached = functools.lru_cache(256)(parse_request)


def _only_input(entries: list[dict[str, Any]]) -> dict[str, Any]:
    unknown = [entry.get("name") for entry in entries if entry.get("name") != INPUT]
    if unknown:
        raise InputError(f"Unknown input {', '.join(map(short_repr, unknown[:5]))}; expected {INPUT!r}.")
    if not entries:
        raise InputError(f"inputs is missing or empty; expected the input {INPUT!r}.")
    if len(entries) > 1:
        raise InputError(f"inputs has {INPUT!r} {len(entries)} times; expected exactly once.")
    return entries[0]


def _requested_outputs(entries: list[dict[str, Any]], parameters: dict[str, Any]) -> tuple[OutputRequest, ...]:
    """Return the outputs that a request names, by default all."""
    binary = boolean_field(parameters, "binary_data_output")
    if not entries:
        return _ALL_OUTPUTS[binary]
    outputs = []
    for entry in entries:
        name = entry.get("name")
        if name not in OUTPUTS:
            raise InputError(f"Unknown output {short_repr(name)}; expected one of {', '.join(OUTPUTS)}.")
        if "shared_memory_region" in object_field(entry, "parameters"):
            raise InputError("Shared memory is not supported. Read the data from the response.")
        own = known_parameters(entry, "binary_data", "classification")
        outputs.append(OutputRequest(name, boolean_field(own, "binary_data", binary), _classification(name, own)))
    if len({output.name for output in outputs}) < len(outputs):
        raise InputError("outputs names an output twice; expected each once.")
    return tuple(outputs)


def _classification(output: str, parameters: dict[str, Any]) -> int:
    count = parameters.get("classification", 0)
    if type(count) is not int or count < 0:
        raise InputError(f"classification is {short_repr(count)}; expected an integer of at least 0.")
    if count and output != "probabilities":
        raise InputError(f"classification was given for the output {output!r}; expected 'probabilities'.")
    return count


def _reject_at(parameters: dict[str, Any]) -> float | None:
    rate = parameters.get("reject_at")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        raise InputError(f"reject_at is {short_repr(rate)}; expected a number such as 0.002.")
    return rate
