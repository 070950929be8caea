"""The OpenAPI document, its schemas, and the limits, by hand."""

import math

import needs_serve  # noqa: F401
import pytest

import lenet
from lenet.errors import InputError, InputTypeError
from lenet.serving import Limits
from lenet.serving.limits.settings import checked_limits
from lenet.serving.openapi import openapi_document
from lenet.serving.routing import Operation
from lenet.serving.schemas import (
    INDEX_BODY,
    INFER_CONTENT,
    JSON_LENGTH_HEADER,
    MODEL_QUERY,
    ONLY_DIGITS_QUERY,
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
    model, only_digits = MODEL_QUERY, ONLY_DIGITS_QUERY
    assert (model["name"], model["in"], model["schema"]) == ("model", "query", TEXT)
    assert (only_digits["name"], only_digits["in"], only_digits["schema"]) == ("only_digits", "query", BOOLEAN)
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
    assert example == {"outputs": [{"name": "label"}], "parameters": {"reject_at": 0.005}}
    assert tensor == {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
    body = picture_body(limits)
    assert body["required"] is True
    assert "of at most 12,345 bytes" in body["description"]
    types = {name: {"schema": binary} for name in ("image/png", "image/jpeg", "application/octet-stream")}
    form = {"type": "object", "properties": {"picture": binary}, "required": ["picture"]}
    assert body["content"] == types | {"multipart/form-data": {"schema": form}}


def without_descriptions(value):
    if isinstance(value, dict):
        return {name: without_descriptions(each) for name, each in value.items() if name != "description"}
    return value


def test_the_schemas_of_responses():
    schemas = without_descriptions(named_schemas(Limits()))
    box = array_of(INTEGER, minItems=4, maxItems=4)
    label, name = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
    digit = {"box": box, "label": label, "class": name, "probability": NUMBER, "second": INTEGER,
             "second_probability": NUMBER}  # fmt: skip
    line = object_of({"text": TEXT, "confidence": NUMBER, "box": box, "digits": array_of(object_of(digit))})
    cell = object_of({"grid": INTEGER, "row": INTEGER, "column": INTEGER, "box": box, "text": TEXT})
    assert schemas["Reading"] == object_of({
        "model": TEXT, "version": TEXT, "text": TEXT, "lines": array_of(line), "rotation": INTEGER,
        "cells": array_of(cell),
    })  # fmt: skip
    tensor = {"name": TEXT, "datatype": TEXT, "shape": array_of(INTEGER)}
    outputs = array_of(object_of(tensor, {"data": array_of({})}))
    tensors = array_of(object_of(tensor))
    assert schemas["InferResponse"] == object_of(
        {"model_name": TEXT, "model_version": TEXT, "outputs": outputs}, {"id": TEXT}
    )
    assert schemas["Model"] == object_of({
        "name": TEXT, "versions": array_of(TEXT), "platform": TEXT, "classes": array_of(TEXT), "inputs": tensors,
        "outputs": tensors,
    })  # fmt: skip
    assert schemas["Server"] == object_of({"name": TEXT, "version": TEXT, "extensions": array_of(TEXT)})
    statistics = {"name": TEXT, "version": TEXT, "inference_count": INTEGER, "inference_stats": OBJECT}
    assert schemas["Statistics"] == object_of({"model_stats": array_of(object_of(statistics))})
    state = {"enum": ["READY", "UNAVAILABLE"]}
    assert schemas["Index"] == array_of(object_of({"name": TEXT, "version": TEXT, "state": state, "reason": TEXT}))
    assert schemas["Error"] == object_of({"error": TEXT})


def test_the_schema_of_an_inference_request():
    tensor = object_of(
        {"name": {"const": "images"}, "datatype": {"enum": ["UINT8", "FP16", "FP32", "FP64"]},
         "shape": array_of(COUNT, minItems=2, maxItems=4)},
        {"data": {"type": "array"}, "parameters": object_of({}, {"binary_data_size": COUNT})},
    )  # fmt: skip
    parameters = object_of({}, {"binary_data": BOOLEAN, "classification": COUNT})
    output = object_of({"name": {"enum": ["label", "probabilities", "digit_score"]}}, {"parameters": parameters})
    assert without_descriptions(named_schemas(Limits()))["InferRequest"] == object_of(
        {"inputs": array_of(tensor, minItems=1, maxItems=1)},
        {"id": TEXT, "outputs": array_of(output),
         "parameters": object_of({}, {"binary_data_output": BOOLEAN, "reject_at": NUMBER})},
    )  # fmt: skip


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
            "409": error("The model's file cannot be read."),
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


def test_the_limits_of_a_server():
    assert Limits() == Limits(
        body=16_777_216, json=2_097_152, batch=1024, pixels=25_000_000, in_flight=256, buffered=268_435_456,
        connections=4096, receive_seconds=10.0, request_seconds=30.0, drain_seconds=1.0,
    )  # fmt: skip
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
