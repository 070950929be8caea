"""The description of the server in OpenAPI 3.1, for `/openapi.json`."""

from typing import Any

from lenet import __version__
from lenet._checks import SIDE
from lenet.serving.inference import OUTPUTS
from lenet.serving.limits import Limits
from lenet.serving.tensors import DATATYPES, INPUT

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_ANY: Schema = {"type": "object"}
_BOX = {"type": "array", "items": _WHOLE, "minItems": 4, "maxItems": 4, "description": "Left, top, right, bottom."}
_EXAMPLE = {
    "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [1, SIDE, SIDE], "data": [0] * SIDE * SIDE}],
    "outputs": [{"name": "label"}],
    "parameters": {"reject_at": 0.005},
}
_REFUSALS = {
    400: "The request is malformed, or asks for what is not there.",
    401: "The token is missing or wrong.",
    403: "Clients may not do this here.",
    404: "There is no such model, version or path.",
    408: "The request took too long to arrive.",
    409: "The model's file cannot be read.",
    413: "The body is too large.",
    415: "The body is compressed in a way that is not known.",
    501: "A package that this needs is not installed.",
    503: "The server has too much to do, or the answer took too long: come again after Retry-After.",
}


def document(limits: Limits, models: list[str]) -> dict[str, Any]:
    """Return the document; the names of models are its examples.

    Examples
    --------
    >>> sorted(document(Limits(), ["mnist"])["paths"])[:2]
    ['/', '/metrics']
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lenet",
            "version": __version__,
            "description": "LeNet-5 reads handwritten digits: by the Open Inference Protocol, version 2, from tensors, "
            "and by /predict from pictures.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "./"}],
        "paths": {**_pictures(limits), **_page(), **_server(), **_models(limits, models), **_repository(models)},
        "components": {
            "schemas": _schemas(limits),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _pictures(limits: Limits) -> Schema:
    picture = {"type": "string", "format": "binary", "maxLength": limits.body}
    form = {"type": "object", "properties": {"picture": picture}, "required": ["picture"]}
    body = {
        "required": True,
        "description": f"A PNG, JPEG, BMP, GIF, TIFF, WebP or PNM of at most {limits.body:,} bytes, or a form of it.",
        "content": {
            "image/png": {"schema": picture},
            "image/jpeg": {"schema": picture},
            "application/octet-stream": {"schema": picture},
            "multipart/form-data": {"schema": form},
        },
    }
    only_digits = "There is nothing but digits in the lines, and nothing is read as none."
    parameters = [
        _query("model", _TEXT, "By default the first one."), _query("only_digits", _FLAG, only_digits)
    ]  # fmt: skip
    operation = _operation("Read the digits in a picture", _json("Reading"), [400, 404, 408, 413, 415, 501, 503])
    return {
        "/predict": {"post": {**operation, "operationId": "predict", "requestBody": body, "parameters": parameters}}
    }


def _page() -> Schema:
    model = _query("model", _TEXT, "By default the first one.")
    html = {"text/html": {"schema": _TEXT}}
    return {
        "/": {"get": _operation("The page that shows the network think", html, [], is_open=True)},
        "/model.json": {"get": {**_operation("A model, as the page reads it", _json(), [404]), "parameters": [model]}},
        "/openapi.json": {"get": _operation("This document", _json(), [])},
        "/metrics": {"get": _operation("Counters for Prometheus", {"text/plain": {"schema": _TEXT}}, [])},
    }


def _server() -> Schema:
    return {
        "/v2/health/live": {"get": _operation("Whether the server answers", _json(), [], is_open=True)},
        "/v2/health/ready": {"get": _operation("Whether all models are ready", _json(), [404], is_open=True)},
        "/v2": {"get": _operation("What the server is", _json("Server"), [])},
        "/v2/models/stats": {"get": _operation("Statistics of all models", _json("Statistics"), [])},
    }


def _models(limits: Limits, models: list[str]) -> Schema:
    paths = {}
    for prefix, names in (
        ("/v2/models/{model}", ["model"]),
        ("/v2/models/{model}/versions/{version}", ["model", "version"]),
    ):
        shared = {"parameters": [_path(name, models if name == "model" else []) for name in names]}
        paths[prefix] = {"get": _operation("What a model is", _json("Model"), [404]), **shared}
        paths[f"{prefix}/ready"] = {"get": _operation("Whether a model is ready", _json(), [404]), **shared}
        paths[f"{prefix}/config"] = {"get": _operation("A model's configuration", _json(), [404]), **shared}
        paths[f"{prefix}/stats"] = {"get": _operation("A model's statistics", _json("Statistics"), [404]), **shared}
        paths[f"{prefix}/infer"] = {"post": _infer(limits), **shared}
    return paths


def _infer(limits: Limits) -> Schema:
    answers = {**_json("InferResponse"), "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    binary = {"type": "string", "format": "binary", "maxLength": limits.body}
    return {
        **_operation("Compute", answers, [400, 404, 408, 413, 415, 503]),
        "parameters": [{
            "name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer", "minimum": 1},
            "description": "How many bytes of the body are JSON, where tensors follow in binary.",
        }],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {**_json("InferRequest")["application/json"], "example": _EXAMPLE},
                "application/octet-stream": {"schema": binary},
            },
        },
    }  # fmt: skip


def _repository(models: list[str]) -> Schema:
    name = _path("model", models)
    control = [400, 401, 403, 404, 408, 409, 413, 415, 503]
    body = {"content": {"application/json": {"schema": _ANY}}}
    ready = {"type": "object", "properties": {"ready": _FLAG}}
    return {
        "/v2/repository/index": {"post": {
            **_operation("List the models", _json("Index"), [400, 408, 413, 415, 503]),
            "requestBody": {"content": {"application/json": {"schema": ready}}},
        }},
        "/v2/repository/models/{model}/load": {
            "parameters": [name],
            "post": {**_operation("Load a model from its file anew", _json(), control), "requestBody": body},
        },
        "/v2/repository/models/{model}/unload": {
            "parameters": [name],
            "post": {**_operation("Make a model unavailable", _json(), control), "requestBody": body},
        },
    }  # fmt: skip


def _operation(summary: str, content: Schema, refusals: list[int], is_open: bool = False) -> Schema:
    answers: Schema = {"200": {"description": "The answer.", "content": content}}
    for status in sorted({*refusals} if is_open else {*refusals, 401}):
        answers[str(status)] = {"description": _REFUSALS[status], "content": _json("Error")}
    return {"summary": summary, "responses": answers, **({"security": [{}]} if is_open else {})}


def _json(schema: str | None = None) -> Schema:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"} if schema else _ANY}}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _path(name: str, examples: list[str]) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": _TEXT,
        "examples": {each: {"value": each} for each in examples},
    }


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _schemas(limits: Limits) -> Schema:
    digit = {"box": _BOX, "label": {"type": ["integer", "null"], "description": "null for what is no digit."},
             "probability": _NUMBER, "second": _WHOLE, "second_probability": _NUMBER}  # fmt: skip
    line = {"text": _TEXT, "confidence": _NUMBER, "box": _BOX, "digits": _list(_object(digit))}
    reading = {"model": _TEXT, "version": _TEXT, "text": _TEXT, "lines": _list(_object(line))}
    tensor = {"name": _TEXT, "datatype": _TEXT, "shape": _list(_WHOLE)}
    statistics = {"name": _TEXT, "version": _TEXT, "inference_count": _WHOLE, "inference_stats": _ANY}
    state = {"name": _TEXT, "version": _TEXT, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": _TEXT}
    return {
        "Error": _object({"error": {"type": "string", "description": "What was wrong, in one sentence."}}),
        "Reading": _object(reading),
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
        "Model": _object({
            "name": _TEXT, "versions": _list(_TEXT), "platform": _TEXT, "inputs": _list(_object(tensor)),
            "outputs": _list(_object(tensor)),
        }),
        "Statistics": _object({"model_stats": _list(_object(statistics))}),
        "Index": _list(_object(state)),
        "InferRequest": _infer_request(limits),
        "InferResponse": _object(
            {"model_name": _TEXT, "model_version": _TEXT, "outputs": _list(_object(tensor, {"data": _list({})}))},
            {"id": _TEXT},
        ),
    }  # fmt: skip


def _infer_request(limits: Limits) -> Schema:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 4}
    shape["description"] = f"[n, 1, 28, 28], [n, 28, 28], [n, 784] or [28, 28]; n is at most {limits.batch}."
    numbers = {"type": "array", "description": "UINT8 from 0, background, to 255, ink; or floating from 0 to 1."}
    tensor_parameters = {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}}
    tensor = _object(
        {"name": {"const": INPUT}, "datatype": {"enum": list(DATATYPES)}, "shape": shape},
        {"data": numbers, "parameters": tensor_parameters},
    )
    output_parameters = {"binary_data": _FLAG, "classification": {"type": "integer", "minimum": 0}}
    output = _object(
        {"name": {"enum": list(OUTPUTS)}}, {"parameters": {"type": "object", "properties": output_parameters}}
    )
    reject_at = {"type": "number", "description": "The part of the labels that may be wrong: others become -1."}
    parameters = {"type": "object", "properties": {"binary_data_output": _FLAG, "reject_at": reject_at}}
    return _object(
        {"inputs": {**_list(tensor), "minItems": 1, "maxItems": 1}},
        {"id": _TEXT, "outputs": _list(output), "parameters": parameters},
    )
