"""One description of each route, from which both the router and the OpenAPI document are made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lenet.serving.request_context import context_of

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One method of one path: the ASGI application that answers it, and its description in the OpenAPI document.

    Attributes
    ----------
    method : {"GET", "POST"}
    path : str
        Parameters are in braces.
    handler : coroutine function
        Its name is the metrics' label; the first line of its docstring is the summary.
    content : dict
        The media types of a successful response, each with its schema.
    errors : tuple of int
        Error statuses, besides those that follow from the method and the path.
    details : dict
        Further fields of the OpenAPI operation.
    public : bool
        Whether it needs no token.
    """

    method: str
    path: str
    handler: Handler
    content: dict[str, Any]
    errors: tuple[int, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    public: bool = False

    def route(self) -> Route:
        """Return the route for Starlette's router."""
        return Route(self.path, self, methods=[self.method], name=self.handler.__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the middleware answers the exceptions."""
        request = Request(scope, receive)
        context_of(request).operation = self.handler.__name__
        response = await self.handler(request)
        await response(scope, receive, send)

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
