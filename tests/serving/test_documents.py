"""The OpenAPI document, its schemas, and the limits, by hand."""

import json
import math

import needs_serve  # noqa: F401
import numpy as np
import pytest
from serving_in_process import asked
from serving_requests import encoded

import lenet
from lenet.errors import InputError, InputTypeError
from lenet.reading.results import Cell, Digit, Line, Reading
from lenet.serving import Limits, create_app, pictures
from lenet.serving.limits.settings import checked_limits
from lenet.serving.routing import Operation, openapi_document
from lenet.serving.schemas import (
    INDEX_BODY,
    INFER_CONTENT,
    JSON_LENGTH_HEADER,
    MODEL_QUERY,
    READ_QUERIES,
    array_of,
    infer_body,
    json_content,
    named_schemas,
    object_of,
    picture_body,
)

TEXT, NUMBER, INTEGER, OBJECT = ({"type": name} for name in ("string", "number", "integer", "object"))
COUNT, BOOLEAN = {"type": "integer", "minimum": 0}, {"type": "boolean"}


def reference(name):
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def test_schemas_have_required_names_bounds_and_references():
    assert object_of({"a": TEXT}) == {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
    assert object_of({"a": TEXT}, {"b": NUMBER}) == {
        "type": "object", "properties": {"a": TEXT, "b": NUMBER}, "required": ["a"],
    }  # fmt: skip
    assert object_of({}, {"b": NUMBER}) == {"type": "object", "properties": {"b": NUMBER}}
    assert array_of(TEXT) == {"type": "array", "items": TEXT}
    assert array_of(TEXT, minItems=2, maxItems=3) == {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 3}
    assert json_content("Error") == reference("Error")
    assert json_content() == {"application/json": {"schema": {"type": "object"}}}


def test_the_parameters_of_requests_have_names_places_and_types():
    assert (MODEL_QUERY["name"], MODEL_QUERY["in"], MODEL_QUERY["schema"]) == ("model", "query", TEXT)
    assert [each["name"] for each in READ_QUERIES] == ["only_digits", "marks", "rotate"]
    assert all((each["in"], each["schema"]) == ("query", BOOLEAN) for each in READ_QUERIES)
    assert (JSON_LENGTH_HEADER["in"], JSON_LENGTH_HEADER["schema"]) == ("header", {"type": "integer", "minimum": 1})
    assert INDEX_BODY == {"content": {"application/json": {
        "schema": {"type": "object", "properties": {"ready": BOOLEAN}}}}}  # fmt: skip
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    assert reference("InferResponse") | binary == INFER_CONTENT


def test_the_bodies_of_requests():
    limits, binary = Limits(body=12345), {"type": "string", "format": "binary", "maxLength": 12345}
    body = infer_body(limits)
    example = body["content"]["application/json"].pop("example")
    assert body == {"required": True, "content": reference("InferRequest") | {
        "application/octet-stream": {"schema": binary}}}  # fmt: skip
    (tensor,) = example.pop("inputs")
    assert example == {"outputs": [{"name": "label"}], "parameters": {"reject_at": 0.002}}
    assert tensor == {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
    body = picture_body(limits)
    assert body["required"] is True
    assert "of at most 12,345 bytes" in body["description"]
    types = {name: {"schema": binary} for name in ("image/png", "image/jpeg", "application/octet-stream")}
    options = {"model": {"type": "string"}} | dict.fromkeys(("only_digits", "marks", "rotate"), BOOLEAN)
    form = {"type": "object", "properties": {"picture": binary} | options, "required": ["picture"]}
    assert body["content"] == types | {"multipart/form-data": {"schema": form}}


JSON_TYPES = {
    str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array", type(None): "null",
}  # fmt: skip


def check_schema(schema, value, others=()):
    """Assert that a schema has the types of a value, and requires all of its fields except `others`."""
    types = schema.get("type", JSON_TYPES[type(value)])
    assert JSON_TYPES[type(value)] in (types if isinstance(types, list) else [types]), (schema, value)
    assert value in schema.get("enum", [value])
    assert value == schema.get("const", value)
    if "minimum" in schema:
        assert value >= schema["minimum"]
    if "properties" in schema:
        required = schema.get("required", [])
        assert set(required) == value.keys() - others
        assert schema["properties"].keys() <= value.keys()
        for name in value.keys() & schema["properties"].keys():
            check_schema(schema["properties"][name], value[name], others)
    if "items" in schema:
        assert value
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        for each in value:
            check_schema(schema["items"], each, others)


@pytest.fixture(scope="module")
def app():
    return create_app({"m": lenet.LeNet5(seed=0)})


TENSOR = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "parameters": {"binary_data_size": 784}}
REQUEST = {
    "id": "a", "inputs": [TENSOR],
    "outputs": [{"name": "probabilities", "parameters": {"binary_data": False, "classification": 3}}],
    "parameters": {"binary_data_output": False},
}  # fmt: skip
OPTIONAL = {"id", "outputs", "parameters", "data", "binary_data_size", "binary_data", "binary_data_output",
            "classification", "reject_at"}  # fmt: skip
INFER = ("POST", "/v2/models/{model}/infer")


def schema_of(app, method, path, status=200, number=0):
    """Return the schema of a JSON response, one of several, or that of the request for the status None."""
    document = asked(app, "GET", "/openapi.json")[2]
    operation = document["paths"][path][method.lower()]
    content = (operation["requestBody"] if status is None else operation["responses"][str(status)])["content"]
    schema = content["application/json"]["schema"]
    reference = schema.get("anyOf", [schema])[number]["$ref"]
    return document["components"]["schemas"][reference.removeprefix("#/components/schemas/")]


@pytest.mark.parametrize(
    ("method", "path", "model", "status", "others"),
    [
        ("GET", "/v2", "m", 200, set()),
        ("GET", "/v2/models/{model}", "m", 200, set()),
        ("GET", "/v2/models/{model}", "nothing", 404, set()),
        ("GET", "/v2/models/stats", "m", 200, set()),
        ("POST", "/v2/repository/index", "m", 200, set()),
    ],
)
def test_the_document_describes_the_responses(app, method, path, model, status, others):
    found, _, answer = asked(app, method, path.replace("{model}", model))
    assert found == status
    check_schema(schema_of(app, method, path, status), answer, others)


def test_the_document_describes_an_inference_request_and_its_response(app):
    head = json.dumps(REQUEST).encode()
    length = {"inference_header_content_length": str(len(head))}
    status, _, answer = asked(app, "POST", "/v2/models/m/infer", head + bytes(784), **length)
    assert status == 200, answer
    check_schema(schema_of(app, *INFER), answer, {"id", "data"})
    request = REQUEST | {"inputs": [TENSOR | {"data": []}]}
    request["parameters"] = {"binary_data_output": False, "reject_at": 0.002}  # of calibrated models only
    schema = schema_of(app, *INFER, None)
    check_schema(schema, request, OPTIONAL)
    accepted = schema["properties"]["inputs"]["items"]["properties"]
    for shape in ([28, 28], [0, 784], [2, 28, 28], [2, 1, 28, 28]):
        check_schema(accepted["shape"], shape)
    for datatype in ("UINT8", "FP16", "FP32", "FP64"):
        check_schema(accepted["datatype"], datatype)


def test_the_document_describes_a_reading(app, monkeypatch):
    digits = Digit((1, 2, 3, 4), 3, 0.5, 8, 0.25), Digit((5, 2, 7, 4), None, 0.5, 8, 0.25)
    reading = Reading((Line(digits, 0.5, "3?"),), 90, (Cell(0, 1, 2, (1, 2, 7, 4), "3?", 0.25),))
    monkeypatch.setattr(pictures, "read", lambda *arguments, **options: reading)
    status, _, answer = asked(app, "POST", "/predict", encoded(np.full((40, 40), 255, np.uint8)))
    assert status == 200
    check_schema(schema_of(app, "POST", "/predict"), answer)


def test_the_document_describes_a_classification():
    model = lenet.load_pretrained("mnist")
    model.classes = [*"012345678", "nine"]
    app = create_app({"m": model})
    picture = np.full((40, 40), 255, np.uint8)
    picture[8:32, 18:22] = 0
    status, _, answer = asked(app, "POST", "/predict", encoded(picture))
    assert status == 200
    check_schema(schema_of(app, "POST", "/predict", number=1), answer)


async def get_model(request):
    """Return it.

    Slowly.
    """


async def add(request):
    """Add it."""


def test_the_document_describes_each_operation():
    path = "/models/{model}/versions/{version}"
    document = openapi_document(
        [Operation("GET", path, get_model, json_content("Model"), (409,), {"operationId": "a"}),
         Operation("POST", path, add, json_content(), (403, 501), {"summary": "Other"}),
         Operation("GET", "/open", add, json_content(), public=True)],
        Limits(), ["x", "y"],
    )  # fmt: skip
    examples = {"x": {"value": "x"}, "y": {"value": "y"}}

    def error(description):
        return {"description": description, "content": reference("Error")}

    parts, public = document["paths"][path], document["paths"]["/open"]
    assert list(document["paths"]) == [path, "/open"]
    assert parts["parameters"] == [
        {"name": "model", "in": "path", "required": True, "schema": TEXT, "examples": examples},
        {"name": "version", "in": "path", "required": True, "schema": TEXT, "examples": {}},
    ]
    assert parts["get"] == {
        "summary": "Return it", "operationId": "a",
        "responses": {
            "200": {"description": "Success.", "content": reference("Model")},
            "401": error("The token is missing or wrong."),
            "404": error("The model, version or path does not exist."),
            "409": error("The model's file cannot be loaded."),
        },
    }  # fmt: skip
    assert parts["post"]["summary"] == "Other"
    assert list(parts["post"]["responses"]) == ["200", "400", "401", "403", "404", "408", "413", "415", "501", "503"]
    assert parts["post"]["responses"]["403"] == error("The server does not allow clients to do this.")
    assert parts["post"]["responses"]["501"] == error("A required package is not installed.")
    assert public == {"get": {
        "summary": "Add it", "security": [{}],
        "responses": {"200": {"description": "Success.", "content": json_content()}},
    }}  # fmt: skip
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == lenet.__version__
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert document["servers"] == [{"url": "./"}]
    assert document["components"] == {
        "schemas": named_schemas(Limits()), "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }  # fmt: skip
    assert document["security"] == [{}, {"token": []}]


# ---- limits --------------------------------------------------------------------------------------------


def test_limits_are_checked():
    given = Limits(batch=3)
    assert checked_limits(given) is given
    assert checked_limits(None) == Limits()
    with pytest.raises(InputTypeError, match="limits is 3; expected Limits or None"):
        checked_limits(3)


@pytest.mark.parametrize("name", ["receive_seconds", "request_seconds", "drain_seconds"])
@pytest.mark.parametrize("value", [0, -1, 1e-9, 5, math.inf, math.nan])
def test_limits_of_time_are_above_0_except_the_time_to_drain(name, value):
    if value in (1e-9, 5) or (name, value) == ("drain_seconds", 0):
        assert getattr(Limits(**{name: value}), name) == value
    else:
        with pytest.raises(InputError) as error:
            Limits(**{name: value})
        assert str(error.value) == f"{name} is {value}; expected a finite number of seconds above 0."


@pytest.mark.parametrize("name", ["body", "json", "batch", "pixels", "in_flight", "buffered", "connections"])
def test_limits_of_sizes_are_integers_of_at_least_1(name):
    assert getattr(Limits(**{name: 1}), name) == 1
    with pytest.raises(InputError, match=name):
        Limits(**{name: 0})
    with pytest.raises(InputTypeError, match=name):
        Limits(**{name: 1.5})
