"""The OpenAPI 3.1 document of the server, made from its operations."""

import re
from collections.abc import Iterable

from lenet import __version__
from lenet.serving.limits.settings import Limits
from lenet.serving.routing import Operation
from lenet.serving.schemas import TEXT, Schema, json_content, named_schemas

_ERRORS = {
    400: "The request is malformed or contains an invalid value.",
    401: "The token is missing or wrong.",
    403: "The server does not allow clients to do this.",
    404: "The model, version or path does not exist.",
    408: "The request took too long to arrive.",
    409: "The model's file cannot be read.",
    413: "The body is too large.",
    415: "The Content-Encoding is not supported.",
    501: "A required package is not installed.",
    503: "The server is at capacity, or the response took too long. Retry after the time in Retry-After.",
}


def openapi_document(operations: Iterable[Operation], limits: Limits, models: list[str]) -> Schema:
    """Return the document; the names of the models are examples."""
    paths: Schema = {}
    for operation in operations:
        path = paths.setdefault(operation.path, _path_parameters(operation.path, models))
        path[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lenet",
            "version": __version__,
            "description": "LeNet-5 reads handwritten digits from tensors (Open Inference Protocol, version 2) "
            "and from pictures (/predict).",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "./"}],
        "paths": paths,
        "components": {
            "schemas": named_schemas(limits),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _described(operation: Operation) -> Schema:
    responses: Schema = {"200": {"description": "Success.", "content": operation.content}}
    for status in operation.statuses:
        responses[str(status)] = {"description": _ERRORS[status], "content": json_content("Error")}
    security: Schema = {"security": [{}]} if operation.public else {}
    return {"summary": operation.summary, "responses": responses, **security, **operation.details}


def _path_parameters(path: str, models: list[str]) -> Schema:
    examples = {"model": {name: {"value": name} for name in models}}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": TEXT, "examples": examples.get(name, {})}
        for name in re.findall(r"{(\w+)}", path)
    ]
    return {"parameters": parameters} if parameters else {}
