"""The routes of the Open Inference Protocol, and of Triton's extensions in `metadata.EXTENSIONS`."""

import contextlib
import functools
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lenet import _checks
from lenet.errors import InputError, LenetError, NotServedError, WeightsError
from lenet.serving.limits.capacity import GIL_TURNS, BusyError, ThreadPool, any_thread_runs
from lenet.serving.limits.settings import Limits
from lenet.serving.metrics import Metrics
from lenet.serving.models import Models, Served
from lenet.serving.protocol.batches import Batches
from lenet.serving.protocol.fields import boolean_field, json_object, object_field
from lenet.serving.protocol.inference import InferenceRequest, read_request, write_response
from lenet.serving.protocol.metadata import model_configuration, model_metadata, server_metadata
from lenet.serving.protocol.tensors import INPUT
from lenet.serving.request_context import BytesResponse, RequestContext, context_of
from lenet.serving.routing import Operation
from lenet.serving.schemas import INDEX_BODY, INFER_CONTENT, JSON_LENGTH_HEADER, infer_body, json_content

JSON_LENGTH = b"inference-header-content-length"
# The event loop itself computes requests of at most MAX_BODY bytes, MAX_JSON of them JSON, because handing one to a
# thread would take longer than the network. After MAX_IMAGES images of an iteration, which take 10 ms, or while threads
# work, it computes only requests of at most SMALL bytes.
MAX_BODY, MAX_JSON, SMALL, MAX_IMAGES = 2**16, 2**14, 2**14, 2048
_LONG_JSON = 2**16  # bytes, which hold the GIL for a millisecond
_BLANK = np.zeros((_checks.SIDE, _checks.SIDE), np.uint8)


class InferenceProtocol:
    """The operations of the protocol; each handler takes a request and returns a response."""

    def __init__(
        self,
        models: Models,
        limits: Limits,
        metrics: Metrics,
        pool: ThreadPool,
        allow_control: bool,
        control_token: str | None = None,
    ):
        self._control_token = control_token
        self._models, self._limits, self._metrics, self._pool = models, limits, metrics, pool
        self._batches, self._allow_control = Batches(), allow_control

    def operations(self) -> list[Operation]:
        """Return the operations, in the order in which the router tries them."""
        paths = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        repository = "/v2/repository/models/{model}"
        infer = {"parameters": [JSON_LENGTH_HEADER], "requestBody": infer_body(self._limits)}
        index, control = {"requestBody": INDEX_BODY}, {"requestBody": {"content": json_content()}}
        return [
            *(Operation("POST", f"{path}/infer", self.infer, INFER_CONTENT, details=infer) for path in paths),
            Operation("GET", "/v2", self.server, json_content("Server")),
            Operation("GET", "/v2/health/live", self.live, json_content(), public=True),
            Operation("GET", "/v2/health/ready", self.ready, json_content(), (404, 503), public=True),
            Operation("GET", "/v2/models/stats", self.statistics, json_content("Statistics")),  # before {model}
            *(Operation("GET", path, self.model, json_content("Model")) for path in paths),
            *(Operation("GET", f"{path}/ready", self.model_ready, json_content()) for path in paths),
            *(Operation("GET", f"{path}/config", self.config, json_content()) for path in paths),
            *(Operation("GET", f"{path}/stats", self.statistics, json_content("Statistics")) for path in paths),
            Operation("POST", "/v2/repository/index", self.index, json_content("Index"), details=index),
            Operation("POST", f"{repository}/load", self.load, json_content(), (403, 409), control),
            Operation("POST", f"{repository}/unload", self.unload, json_content(), (403,), control),
        ]

    async def live(self, request: Request) -> Response:
        """Report that the server is running."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Report whether the loaded models are ready and the server is not shutting down."""
        if context_of(request).server.is_draining:
            raise BusyError("The server is shutting down. Retry after 1 s.", "shutdown")
        loaded = self._models.ready()
        if not loaded:
            raise NotServedError("All models are unloaded. Load one.")
        for served in loaded:
            served.model.predict_proba(_BLANK, n_jobs=1)  # raises if the kernels do not run
        return JSONResponse({"ready": True})

    async def server(self, request: Request) -> Response:
        """Return the server's metadata."""
        return JSONResponse(server_metadata())

    async def model(self, request: Request) -> Response:
        """Return a model's metadata."""
        return JSONResponse(model_metadata(self._served(request)))

    async def model_ready(self, request: Request) -> Response:
        """Report that a model is ready."""
        return JSONResponse({"name": self._served(request).name, "ready": True})

    async def config(self, request: Request) -> Response:
        """Return a model's configuration in Triton's format."""
        return JSONResponse(model_configuration(self._served(request), self._limits))

    async def infer(self, request: Request) -> BytesResponse:
        """Classify images."""
        context, served = context_of(request), self._served(request)
        json_length = self._json_length(context)
        statistics, started = self._metrics.statistics[served.name, served.version], perf_counter_ns()
        try:
            if served.model._is_fused and self._is_for_event_loop(context.size, json_length):
                inference, images = read_request(context.body(), json_length, self._limits)
                read = perf_counter_ns()
                probabilities = await self._batches.predict_proba(served.model, images)
                answer = _answer(served, inference, probabilities, read)
            else:
                answer = await self._pool.run(
                    functools.partial(_read_and_predict, context, json_length, self._limits, served)
                )
        except LenetError:
            statistics.failures += 1
            raise
        context.batch = len(answer.labels)
        statistics.add(context.batch, started, answer.read, answer.computed)
        self._metrics.count_batch(served.name, answer.labels)
        if answer.json_length is None:
            return BytesResponse(answer.content, (b"content-type", b"application/json"))
        length_header = (JSON_LENGTH, b"%d" % answer.json_length)
        return BytesResponse(answer.content, (b"content-type", b"application/octet-stream"), length_header)

    def _is_for_event_loop(self, size: int, json_length: int | None) -> bool:
        json_size = size if json_length is None else json_length
        is_busy = self._batches.size >= MAX_IMAGES or any_thread_runs()
        return size <= MAX_BODY and json_size <= MAX_JSON and (size <= SMALL or not is_busy)

    async def statistics(self, request: Request) -> Response:
        """Return the number and duration of inference requests in this process, for one model or all."""
        served = [self._served(request)] if "model" in request.path_params else self._models.ready()
        return JSONResponse({"model_stats": [
            {"name": each.name, "version": each.version, **self._metrics.statistics[each.name, each.version].as_dict()}
            for each in served
        ]})  # fmt: skip

    async def index(self, request: Request) -> Response:
        """List the models and their states."""
        ready = {served.name: served.version for served in self._models.ready()}
        only_ready = boolean_field(self._body_object(request), "ready")
        return JSONResponse([
            {"name": name, "version": ready.get(name, ""), "state": "READY" if name in ready else "UNAVAILABLE",
             "reason": "" if name in ready else "unloaded"}
            for name in self._models if name in ready or not only_ready
        ])  # fmt: skip

    async def load(self, request: Request) -> Response:
        """Load a model from its file."""
        name = self._controlled_model(request)
        if object_field(self._body_object(request), "parameters"):
            raise InputError(
                "parameters was given; expected none, as the server loads the file that it was started with."
            )
        try:
            await self._pool.run(functools.partial(self._models.reload, name))
            self._metrics.count_reload(name, "loaded")
        except (InputError, WeightsError, OSError) as error:
            self._metrics.count_reload(name, "failed")
            raise HTTPException(409, f"Model {name!r} cannot be loaded: {error}") from None
        return JSONResponse({"name": name, "ready": True})

    async def unload(self, request: Request) -> Response:
        """Unload a model until it is loaded again."""
        name = self._controlled_model(request)
        self._models.unload(name)
        self._metrics.update_models()
        return JSONResponse({"name": name, "ready": False})

    def _served(self, request: Request) -> Served:
        """Return the model that the path names."""
        served = self._models.get(request.path_params["model"], request.path_params.get("version"))
        context_of(request).model = served.name
        return served

    def _controlled_model(self, request: Request) -> str:
        """Return the name of the model to load or unload."""
        name: str = request.path_params["model"]
        if not self._allow_control:
            raise HTTPException(403, "Clients may not load or unload models. Start lenet serve with --allow-control.")
        if self._control_token is not None and not context_of(request).has_token(self._control_token.encode()):
            raise HTTPException(403, "Loading and unloading models requires the control token. Send it as the token.")
        return name

    def _json_length(self, context: RequestContext) -> int | None:
        """Return the number of bytes of JSON before binary tensors; None if the whole body is JSON."""
        text = context.headers.get(JSON_LENGTH)
        if text is not None and not (text.isdigit() and len(text) < 19):
            given = _checks.short_repr(text.decode("ascii", "replace"))
            raise InputError(f"Inference-Header-Content-Length is {given}; expected a number of bytes.")
        length = None if text is None else int(text)
        self._check_json_size(context.size if length is None else length)
        return length

    def _check_json_size(self, size: int) -> None:
        if size > self._limits.json:
            expected = f"expected at most {self._limits.json:,} bytes"
            raise HTTPException(413, f"The JSON is too large; {expected}. Send the tensors as binary data.")

    def _body_object(self, request: Request) -> dict[str, Any]:
        """Return the body as a JSON object; an empty one if there is no body."""
        context = context_of(request)
        self._check_json_size(context.size)
        body = context.body()
        return json_object(body) if body else {}


class _Answer(NamedTuple):
    """A response to an inference request, its labels, and the `perf_counter_ns` after two steps."""

    content: bytes
    json_length: int | None
    labels: list[int]
    read: int
    computed: int


def _answer(served: Served, inference: InferenceRequest, probabilities: NDArray[Any], read: int) -> _Answer:
    computed = perf_counter_ns()
    return _Answer(*write_response(served, inference, probabilities), read, computed)


def _read_and_predict(context: RequestContext, json_length: int | None, limits: Limits, served: Served) -> _Answer:
    """Answer a large request, in a thread: even freeing its numbers takes milliseconds."""
    body = context.body()
    is_large = (len(body) if json_length is None else json_length) > _LONG_JSON
    with GIL_TURNS if is_large else contextlib.nullcontext():
        inference, images = read_request(body, json_length, limits)
    read = perf_counter_ns()
    return _answer(served, inference, served.model.predict_proba(_checks.images(images, INPUT), n_jobs=1), read)
