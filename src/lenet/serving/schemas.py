"""The schemas of requests and responses, for the OpenAPI document."""

from typing import Any

from lenet._checks import SIDE
from lenet.serving.limits.settings import Limits
from lenet.serving.protocol.inference import OUTPUTS
from lenet.serving.protocol.tensors import DATATYPES, INPUT

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
BYTES: Schema = {"type": "string", "format": "binary"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
_EXAMPLE = {
    "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [1, SIDE, SIDE], "data": [0] * SIDE * SIDE}],
    "outputs": [{"name": "label"}],
    "parameters": {"reject_at": 0.002},
}


def object_of(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object with these properties."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**schema, "required": list(required)} if required else schema


def array_of(items: Schema, **bounds: int) -> Schema:
    """Return the schema of an array; the bounds are minItems and maxItems."""
    return {"type": "array", "items": items, **bounds}


def json_content(*schemas: str) -> Schema:
    """Return the content of a JSON body: of one of the named schemas, or any object if there are none."""
    references = [{"$ref": f"#/components/schemas/{schema}"} for schema in schemas] or [OBJECT]
    return {"application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}}}


def query(name: str, schema: Schema, description: str) -> Schema:
    """Return an optional query parameter."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


MODEL_QUERY = query("model", TEXT, "Default: the first model.")
# The options of `lenet.reading.read` that a request for `/predict` may pass.
READ_OPTIONS = {
    "only_digits": "Default: false. Read every character except marks, such as points, as a digit.",
    "marks": "Default: false. Keep points, commas, colons, dashes, degree signs and the signs +, x, / and = in texts.",
    "rotate": "Default: true. Turn a page that is on its side or upside down.",
}
READ_QUERIES = [query(name, BOOLEAN, description) for name, description in READ_OPTIONS.items()]
JSON_LENGTH_HEADER = {
    "name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer", "minimum": 1},
    "description": "Number of bytes of JSON in the body, if binary tensors follow.",
}  # fmt: skip
INFER_CONTENT = json_content("InferResponse") | {"application/octet-stream": {"schema": BYTES}}
INDEX_BODY = {"content": {"application/json": {"schema": object_of({}, {"ready": BOOLEAN})}}}


def infer_body(limits: Limits) -> Schema:
    """Return the body of an inference request."""
    as_json = json_content("InferRequest")["application/json"] | {"example": _EXAMPLE}
    as_bytes = {"schema": BYTES | {"maxLength": limits.body}}
    return {"required": True, "content": {"application/json": as_json, "application/octet-stream": as_bytes}}


def picture_body(limits: Limits) -> Schema:
    """Return the body of a request to read a picture."""
    picture = BYTES | {"maxLength": limits.body}
    types = ("image/png", "image/jpeg", "application/octet-stream")
    options = {"model": TEXT} | dict.fromkeys(READ_OPTIONS, BOOLEAN)
    form = {"multipart/form-data": {"schema": object_of({"picture": picture}, options)}}
    kinds = "PNG, JPEG, BMP, GIF, TIFF, WebP or PNM"
    return {
        "required": True,
        "description": f"A picture ({kinds}) of at most {limits.body:,} bytes, or a form that contains one.",
        "content": {name: {"schema": picture} for name in types} | form,
    }


def named_schemas(limits: Limits) -> Schema:
    """Return the schemas that the document refers to by name."""
    box = array_of(INTEGER, minItems=4, maxItems=4) | {"description": "Left, top, right, bottom."}
    label = {"type": ["integer", "null"], "description": "null for a non-digit."}
    name = {"type": ["string", "null"], "description": "The name of the label's class; null for a non-digit."}
    digit = {
        "box": box,
        "label": label,
        "class": name,
        "probability": NUMBER,
        "second": INTEGER,
        "second_probability": NUMBER,
    }
    line = {"text": TEXT, "confidence": NUMBER, "box": box, "digits": array_of(object_of(digit))}
    cell = {"grid": INTEGER, "row": INTEGER, "column": INTEGER, "box": box, "text": TEXT, "confidence": NUMBER}
    tensor = {"name": TEXT, "datatype": TEXT, "shape": array_of(INTEGER)}
    tensors = array_of(object_of(tensor))
    counts = {"inference_count": INTEGER, "execution_count": INTEGER, "last_inference": INTEGER}
    statistics = {"name": TEXT, "version": TEXT, **counts, "inference_stats": OBJECT}
    state = {"name": TEXT, "version": TEXT, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": TEXT}
    outputs = array_of(object_of(tensor, {"data": array_of({})}))
    return {
        "Error": object_of({"error": TEXT | {"description": "The error message."}}),
        "Reading": object_of({
            "model": TEXT,
            "version": TEXT,
            "text": TEXT,
            "lines": array_of(object_of(line)),
            "rotation": INTEGER | {"description": "Degrees by which the picture was turned counter-clockwise."},
            "cells": array_of(object_of(cell)),
        }),
        "Classification": object_of({  # of a model whose class names are longer than one character
            "model": TEXT,
            "version": TEXT,
            "label": label,
            "class": name,
            "likeliest": INTEGER,
            "is_digit": {"type": ["boolean", "null"]},
            "digit_score": NUMBER,
            "probabilities": array_of(NUMBER),
        }),
        "Server": object_of({"name": TEXT, "version": TEXT, "extensions": array_of(TEXT)}),
        "Model": object_of({
            "name": TEXT, "versions": array_of(TEXT), "platform": TEXT, "classes": array_of(TEXT),
            "inputs": tensors, "outputs": tensors
        }),
        "Statistics": object_of({"model_stats": array_of(object_of(statistics))}),
        "Index": array_of(object_of(state)),
        "InferRequest": _infer_request(limits),
        "InferResponse": object_of({"model_name": TEXT, "model_version": TEXT, "outputs": outputs}, {"id": TEXT}),
    }  # fmt: skip


def _infer_request(limits: Limits) -> Schema:
    shape = array_of(COUNT, minItems=2, maxItems=4)
    shape["description"] = f"[n, 1, 28, 28], [n, 28, 28], [n, 784] or [28, 28]; n is at most {limits.batch}."
    data = {"type": "array", "description": "UINT8 from 0 (background) to 255 (ink), or floats from 0 to 1."}
    tensor = object_of(
        {"name": {"const": INPUT}, "datatype": {"enum": list(DATATYPES)}, "shape": shape},
        {"data": data, "parameters": object_of({}, {"binary_data_size": COUNT})},
    )
    output_parameters = object_of({}, {"binary_data": BOOLEAN, "classification": COUNT})
    output = object_of({"name": {"enum": list(OUTPUTS)}}, {"parameters": output_parameters})
    reject_at = {
        "type": "number",
        "description": "The highest acceptable error rate of the labels. Rejected images have the label -1.",
    }
    parameters = object_of({}, {"binary_data_output": BOOLEAN, "reject_at": reject_at})
    return object_of(
        {"inputs": array_of(tensor, minItems=1, maxItems=1)},
        {"id": TEXT, "outputs": array_of(output), "parameters": parameters},
    )
