"""One description of each route, from which both the router and the OpenAPI document are made."""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


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

    def __init__(self, operations: Iterable[Operation]):
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
