"""The ASGI application: the routes, and what becomes of errors."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from lenet.errors import InputError
from lenet.loading import load
from lenet.serving.calls import Content, OnRequest, call_of, log_call
from lenet.serving.guard import Guard
from lenet.serving.limits import Limits
from lenet.serving.metrics import CONTENT_TYPE, Metrics
from lenet.serving.models import Loader, Models, Source
from lenet.serving.openapi import document
from lenet.serving.page import content_security_policy, model_document, page_html
from lenet.serving.pictures import Pictures
from lenet.serving.reloading import watching
from lenet.serving.v2 import V2
from lenet.serving.work import Work

Endpoint = Callable[[Request], Awaitable[Response | Content]]


def create_app(
    models: Models | Mapping[str, Source],
    loader: Loader = load,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    allow_control: bool = False,
    on_request: OnRequest = log_call,
) -> Guard:
    """Return the ASGI application that serves models.

    It can be mounted in another Starlette or FastAPI application, under any path. Its lifespan loads files anew that
    have changed, at once on SIGHUP; mounted, it has none, and the other application's should have `watching(models)`.

    Parameters
    ----------
    models : Models, or mapping of str to path-like or LeNet5
        By name; the first is that of `/predict` and the page, unless a request names another.
    loader : callable, optional
        Makes a model of a path; `lenet.load` by default. Of no effect where `models` is a `Models`.
    limits : Limits, optional
    token : str, optional
        What requests must bring as `Authorization: Bearer`, but for the page itself and the health of the server.
    allow_control : bool, default False
        Whether clients may load and unload models.
    on_request : callable, optional
        Is given a `Call` when it has been answered. By default, a line of JSON is logged by the logger
        "lenet.serving.requests".

    Returns
    -------
    callable
        The application: `await app(scope, receive, send)`.

    Raises
    ------
    InputError, InputTypeError, WeightsError, OSError
        As `Models` does.
    InputError
        If the token is empty or not ASCII.

    Examples
    --------
    >>> import lenet
    >>> from starlette.applications import Starlette
    >>> from starlette.routing import Mount
    >>> app = Starlette(routes=[Mount("/digits", create_app({"mnist": lenet.load_pretrained()}))])
    """
    if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
        raise InputError("The token is empty or has other characters than ASCII's: make one up of letters and digits.")
    if not isinstance(models, Models):
        models = Models(models, loader)
    limits = limits or Limits()
    metrics = Metrics(models)
    # Apart, so that pictures, of which one may take seconds, do not keep large requests of tensors waiting.
    work, reading = (Work(limits.in_flight, limits.request_seconds) for _ in range(2))
    router = Router(
        [
            *_v2_routes(V2(models, limits, metrics, work, allow_control)),
            _route("/predict", Pictures(models, limits, reading).predict, "POST"),
            *_page_routes(models),
            _route("/openapi.json", _constant(document(limits, list(models))), "GET"),
            _route("/metrics", _metrics_endpoint(metrics), "GET"),
        ],
        redirect_slashes=False,  # a redirect would go wherever the client's Host says
        lifespan=lambda app: watching(models, metrics),
    )
    return Guard(router, limits, metrics, work, on_request, token)


def _v2_routes(v2: V2) -> list[Route]:
    name, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    return [
        _route(f"{name}/infer", v2.infer, "POST"),  # first, as routes are tried in order
        _route(f"{version}/infer", v2.infer, "POST"),
        _route("/v2", v2.server, "GET"),
        _route("/v2/health/live", v2.live, "GET"),
        _route("/v2/health/ready", v2.ready, "GET"),
        _route("/v2/models/stats", v2.statistics, "GET"),
        *(_route(prefix, v2.model, "GET") for prefix in (name, version)),
        *(_route(f"{prefix}/ready", v2.model_ready, "GET") for prefix in (name, version)),
        *(_route(f"{prefix}/config", v2.config, "GET") for prefix in (name, version)),
        *(_route(f"{prefix}/stats", v2.statistics, "GET") for prefix in (name, version)),
        _route("/v2/repository/index", v2.index, "POST"),
        _route("/v2/repository/models/{model}/load", v2.load, "POST"),
        _route("/v2/repository/models/{model}/unload", v2.unload, "POST"),
    ]


def _page_routes(models: Models) -> list[Route]:
    content = page_html()
    headers = {
        "content-security-policy": content_security_policy(content),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
    }

    async def page(request: Request) -> Response:
        return Response(content, media_type="text/html", headers=headers)

    async def model_json(request: Request) -> Response:
        served = models.get(request.query_params.get("model"))
        return JSONResponse(model_document(served.model, served.name, served.version))

    return [_route("/", page, "GET"), _route("/model.json", model_json, "GET")]


def _metrics_endpoint(metrics: Metrics) -> Endpoint:
    async def metrics_text(request: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    return metrics_text


def _constant(content: Any) -> Endpoint:
    async def openapi(request: Request) -> Response:
        return JSONResponse(content)

    return openapi


class _Answering:
    """An endpoint as an ASGI application; what it raises, the guard answers."""

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call_of(request).operation = self._endpoint.__name__
        response = await self._endpoint(request)
        await response(scope, receive, send)


def _route(path: str, endpoint: Endpoint, method: str) -> Route:
    return Route(path, _Answering(endpoint), methods=[method], name=endpoint.__name__)
