"""The Open Inference Protocol over REST, version 2, and Triton's extensions that are named in `metadata.EXTENSIONS`."""

import functools
from time import perf_counter_ns
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lenet.errors import InputError, LenetError, NotServedError, WeightsError
from lenet.serving.calls import Call, Content, call_of
from lenet.serving.inference import json_object, read_request, write_answer
from lenet.serving.limits import Limits
from lenet.serving.metadata import model_configuration, model_metadata, server_metadata
from lenet.serving.metrics import Metrics
from lenet.serving.models import Models, Served
from lenet.serving.tensors import flag, mapping
from lenet.serving.together import Together
from lenet.serving.work import Work

JSON_LENGTH = b"inference-header-content-length"
SMALL = 2**16  # bytes of a request that is answered at once; what takes longer than a millisecond goes to a thread


class V2:
    """The endpoints; each takes a request and returns an answer."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, work: Work, allow_control: bool):
        self._models, self._limits, self._metrics, self._work = models, limits, metrics, work
        self._together, self._allow_control = Together(), allow_control

    def _served(self, request: Request) -> Served:
        """Return the model that the path names."""
        served = self._models.get(request.path_params["model"], request.path_params.get("version"))
        call_of(request).model = served.name
        return served

    async def live(self, request: Request) -> Response:
        """Say that the server answers."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether all models are ready for inference."""
        missing = set(self._models) - {served.name for served in self._models.ready()}
        if missing:
            raise NotServedError(f"Unloaded: {', '.join(sorted(missing))}.")
        return JSONResponse({"ready": True})

    async def server(self, request: Request) -> Response:
        """Tell what the server is."""
        return JSONResponse(server_metadata())

    async def model(self, request: Request) -> Response:
        """Tell of a model."""
        return JSONResponse(model_metadata(self._served(request)))

    async def model_ready(self, request: Request) -> Response:
        """Say that a model is ready."""
        return JSONResponse({"name": self._served(request).name, "ready": True})

    async def config(self, request: Request) -> Response:
        """Tell of a model in the words of Triton's configurations."""
        return JSONResponse(model_configuration(self._served(request), self._limits))

    async def infer(self, request: Request) -> Content:
        """Compute."""
        call, served = call_of(request), self._served(request)
        body, length = call.body, _json_length(call)
        if (len(body) if length is None else length) > self._limits.json:
            raise HTTPException(
                413, f"There is more JSON than the {self._limits.json:,} bytes that are taken: send tensors in binary."
            )
        statistics, began = self._metrics.statistics[served.name, served.version], perf_counter_ns()
        try:
            if len(body) <= SMALL:
                wanted, images = read_request(body, length, self._limits)
                read = perf_counter_ns()
                probabilities = await self._together.predict_proba(served.model, images)
            else:
                wanted, images = await self._work.run(functools.partial(read_request, body, length, self._limits))
                read = perf_counter_ns()
                probabilities = await self._work.run(functools.partial(served.model.predict_proba, images, n_jobs=1))
            computed = perf_counter_ns()
            answer, answer_length = write_answer(served, wanted, probabilities)
        except LenetError:
            statistics.failures += 1
            raise
        call.batch = len(probabilities)
        statistics.add(call.batch, began, read, computed)
        self._metrics.note_batch(served.name, call.batch)
        if answer_length is None:
            return Content(answer, (b"content-type", b"application/json"))
        length_header = (JSON_LENGTH, b"%d" % answer_length)
        return Content(answer, (b"content-type", b"application/octet-stream"), length_header)

    async def statistics(self, request: Request) -> Response:
        """Tell how many requests of which duration a model, or each one, has answered in this process."""
        served = [self._served(request)] if "model" in request.path_params else self._models.ready()
        return JSONResponse({"model_stats": [
            {"name": each.name, "version": each.version, **self._metrics.statistics[each.name, each.version].as_dict()}
            for each in served
        ]})  # fmt: skip

    async def index(self, request: Request) -> Response:
        """List the models and whether they are ready."""
        ready = {served.name: served.version for served in self._models.ready()}
        only_ready = flag(_body_object(request), "ready")
        return JSONResponse([
            {"name": name, "version": ready.get(name, ""), "state": "READY" if name in ready else "UNAVAILABLE",
             "reason": "" if name in ready else "unloaded"}
            for name in self._models if name in ready or not only_ready
        ])  # fmt: skip

    async def load(self, request: Request) -> Response:
        """Load a model from its file once more."""
        name = self._controlled(request)
        if mapping(_body_object(request), "parameters"):
            raise InputError("A model is loaded from the file that the server was started with: send no parameters.")
        try:
            await self._work.run(functools.partial(self._models.reload, name))
            self._metrics.note_reload(name, "loaded")
        except (InputError, WeightsError, OSError) as error:
            raise HTTPException(409, f"The model {name!r} cannot be loaded: {error}") from None
        return JSONResponse({"name": name, "ready": True})

    async def unload(self, request: Request) -> Response:
        """Make a model unavailable until it is loaded."""
        name = self._controlled(request)
        self._models.unload(name)
        self._metrics.note_models()
        return JSONResponse({"name": name, "ready": False})

    def _controlled(self, request: Request) -> str:
        """Return the model that the path names, if clients may load and unload."""
        name: str = request.path_params["model"]
        if not self._allow_control:
            raise HTTPException(403, "Clients may not load and unload models here: lenet serve --allow-control.")
        return name


def _json_length(call: Call) -> int | None:
    text = call.headers.get(JSON_LENGTH)
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 19):
        raise InputError("Inference-Header-Content-Length is no number of bytes.")
    return int(text)


def _body_object(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object, empty where there is none."""
    body = call_of(request).body
    return json_object(body) if body else {}
