"""Create the ASGI application with all its routes."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lenet import _checks
from lenet.errors import InputTypeError
from lenet.interop.loading import load_any
from lenet.serving.asgi import Application
from lenet.serving.limits.capacity import ThreadPool
from lenet.serving.limits.settings import Limits, checked_limits
from lenet.serving.logs import log_request
from lenet.serving.metrics import CONTENT_TYPE, Metrics
from lenet.serving.models import Loader, Models, Source
from lenet.serving.page.routes import page_operations
from lenet.serving.pictures import Pictures
from lenet.serving.protocol.routes import InferenceProtocol
from lenet.serving.reloading import watching
from lenet.serving.request_context import OnRequest
from lenet.serving.routing import Operation, Router, openapi_document
from lenet.serving.schemas import TEXT, json_content
from lenet.serving.tokens import checked_token


def create_app(
    models: Models | Mapping[str, Source],
    loader: Loader = load_any,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    allow_control: bool = False,
    control_token: str | None = None,
    on_request: OnRequest = log_request,
) -> Application:
    """Return the ASGI application that serves models.

    You can mount it in another Starlette or FastAPI application, under any path. Its lifespan reloads models whose
    files change, and all models on SIGHUP. A mounted application has no lifespan: in that of the outer one, call
    ``watching(models, app.metrics)``, where ``app`` is the mounted application.

    Parameters
    ----------
    models : Models, or mapping of str to path-like or LeNet5
        Models by name; the first is the default of ``/predict`` and the page.
    loader : callable, optional
        As for `Models`. Ignored if `models` is a `Models`.
    limits : Limits, optional
        By default, ``Limits()``.
    token : str, optional
        The token that requests must send as ``Authorization: Bearer TOKEN``, except to the page and the health checks.
        By default, requests need none.
    allow_control : bool, default False
        Whether clients may load and unload models.
    control_token : str, optional
        The token that requests to load and unload models must send; it is valid for the other requests, too. By
        default, `token`.
    on_request : callable, optional
        Called with the ``RequestContext`` of each request after the response. By default, the logger
        "lenet.serving.requests" logs each request as a line of JSON.

    Returns
    -------
    callable
        The application: ``await app(scope, receive, send)``.

    Raises
    ------
    InputError, InputTypeError, WeightsError, OSError
        As for `Models`; also if a token is empty, not printable ASCII, or has spaces around it.

    Examples
    --------
    >>> import lenet
    >>> from starlette.applications import Starlette
    >>> from starlette.routing import Mount
    >>> digits = create_app({"mnist": lenet.load_pretrained()})
    >>> app = Starlette(routes=[Mount("/digits", digits)])
    """
    if not callable(on_request):
        raise InputTypeError(f"on_request is {_checks.short_repr(on_request)}; expected a function.")
    _checks.callback(on_request, "on_request")
    limits = checked_limits(limits)
    allow_control = _checks.boolean(allow_control, "allow_control")
    token, control_token = checked_token(token, "token"), checked_token(control_token, "control_token")
    if not isinstance(models, Models):
        models = Models(models, loader)
    metrics = Metrics(models)
    # Two pools, so that pictures, which may take seconds each, do not delay large tensors.
    tensor_pool, picture_pool = (
        ThreadPool(limits.in_flight, limits.request_seconds, metrics.pending.labels(kind).inc)
        for kind in ("tensors", "pictures")
    )
    operations = [
        *InferenceProtocol(models, limits, metrics, tensor_pool, allow_control, control_token).operations(),
        *Pictures(models, limits, metrics, picture_pool).operations(),
        *page_operations(models),
        _metrics_operation(metrics),
    ]
    operations.append(_openapi_operation(operations, limits, models))
    tokens = [] if token is None else [each for each in (token, control_token) if each is not None]
    return Application(
        Router(operations), limits, metrics, tensor_pool, on_request, tokens, lambda app: watching(models, metrics)
    )


def _metrics_operation(metrics: Metrics) -> Operation:
    async def metrics_text(request: Request) -> Response:
        """Return the metrics for Prometheus."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    return Operation("GET", "/metrics", metrics_text, {"text/plain": {"schema": TEXT}})


def _openapi_operation(others: list[Operation], limits: Limits, models: Models) -> Operation:
    async def openapi(request: Request) -> Response:
        """Return this document."""
        return JSONResponse(document)

    operation = Operation("GET", "/openapi.json", openapi, json_content())
    document = openapi_document([*others, operation], limits, list(models))
    return operation
