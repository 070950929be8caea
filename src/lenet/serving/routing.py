"""Describe each route once, for both the router and the OpenAPI document."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lenet import __version__
from lenet.serving.limits.settings import Limits
from lenet.serving.schemas import TEXT, Schema, json_content, named_schemas

Handler = Callable[[Request], Awaitable[Response]]

_ERRORS = {  # in the OpenAPI document
    400: "The request is malformed or contains an invalid value.",
    401: "The token is missing or wrong.",
    403: "The server does not allow clients to do this.",
    404: "The model, version or path does not exist.",
    408: "The request took too long to arrive.",
    409: "The model's file cannot be loaded.",
    413: "The body is too large.",
    415: "The Content-Encoding is not supported.",
    501: "A required package is not installed.",
    503: "The server is at capacity, or the response took too long. Retry after the time in Retry-After.",
}


@dataclass(frozen=True)
class Operation:
    """One method of one path: the handler that answers it, and its description in the OpenAPI document."""

    method: str  # "GET" or "POST"
    path: str  # with parameters in braces
    handler: Handler  # its name is the metrics' label; the first line of its docstring is the summary
    content: dict[str, Any]  # the media types of a successful response, each with its schema
    errors: tuple[int, ...] = ()  # statuses besides those that follow from the method and the path
    details: dict[str, Any] = field(default_factory=dict)  # further fields of the OpenAPI operation
    public: bool = False  # whether it needs no token

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of requests that it answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring, or its name if Python runs without docstrings."""
        return (self.handler.__doc__ or self.handler.__name__).partition("\n")[0].rstrip(".")

    @property
    def statuses(self) -> list[int]:
        """The error statuses of a response."""
        with_body = (400, 408, 413, 415, 503) if self.method == "POST" else ()
        with_model = (404,) if "{model}" in self.path else ()
        with_token = () if self.public else (401,)
        return sorted({*with_body, *with_model, *with_token, *self.errors})


class Router:
    """Finds the handler of a request among operations, of which the first that matches has precedence."""

    def __init__(self, operations: Collection[Operation]):
        self.public_paths = {each.path for each in operations if each.public}
        self._routes = [(_pattern(each.path), each.methods, each.handler) for each in operations]

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Return the handler and the parameters in the path; raise HTTPException if there is none.

        Examples
        --------
        >>> async def model(request): ...
        >>> router = Router([Operation("GET", "/models/{model}", model, {})])
        >>> router.find("GET", "/models/mnist")[1]
        {'model': 'mnist'}
        """
        allowed: list[str] = []
        for pattern, methods, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                if method in methods:
                    return handler, match.groupdict()
                allowed += methods
        if not allowed:
            raise HTTPException(404, "No such path. GET /openapi.json lists all paths.")
        names = ", ".join(dict.fromkeys(allowed))
        raise HTTPException(405, f"{method[:20]} is not allowed for this path. Use {names}.", {"allow": names})


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))


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
