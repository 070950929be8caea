"""Read JSON objects and their fields from untrusted requests; all functions raise InputError."""

from typing import Any

import orjson

from lenet._checks import short_repr
from lenet.errors import InputError

_MAX_MARKS, _BYTES_PER_MARK = 4000, 50  # an image of 28 lists has one bracket in 55 bytes or more
_STEP = 2**16  # bytes


def json_object(text: bytes, max_values: int = 1000) -> dict[str, Any]:
    """Parse a JSON object of at most about `max_values` values; reject texts with many lists or strings."""
    _check_cost(text, max_values)
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = "not UTF-8" if "UTF-8" in error.msg else error
        raise InputError(
            f"The request is not JSON ({reason}). Send JSON, with the header Inference-Header-Content-Length if binary "
            "tensors follow; send pictures to /predict."
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"The request is {short_repr(content)}; expected a JSON object.")
    return content


def _check_cost(text: bytes, max_values: int) -> None:
    """Reject a text that takes a long time to parse: a list, an object or a key costs as much as dozens of numbers."""
    if len(text) <= _MAX_MARKS:
        return
    max_marks, marks, values = _MAX_MARKS + len(text) // _BYTES_PER_MARK, 0, 1
    for start in range(0, len(text), _STEP):  # counting holds the GIL: in 2 MiB of brackets, for 10 ms
        end = start + _STEP
        marks += sum(text.count(mark, start, end) for mark in (b"[", b"{", b'"'))
        values += text.count(b",", start, end)
        if marks > max_marks:
            raise InputError(
                f"The JSON has {marks:,} brackets and quotation marks in its first {min(end, len(text)):,} bytes; "
                f"expected at most {max_marks:,} in {len(text):,}. Send the numbers as one flat list."
            )
        if values > max_values:
            raise InputError(
                f"The JSON has at least {values:,} values; expected at most {max_values:,}. Send fewer images."
            )


def object_field(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a field that is an object, by default an empty one."""
    value = content.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{name} is {short_repr(value)}; expected a JSON object.")
    return value


def known_parameters(content: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the field "parameters", which may have only these names: a misspelt one would have no effect."""
    parameters = object_field(content, "parameters")
    if unknown := parameters.keys() - names:
        raise InputError(f"Unknown parameter {short_repr(min(unknown))}; expected {' or '.join(names)}.")
    return parameters


def object_list_field(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a field that is a list of objects, by default an empty one."""
    value = content.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise InputError(f"{name} is {short_repr(value)}; expected a list of JSON objects.")
    return value


def boolean_field(content: dict[str, Any], name: str, default: bool = False) -> bool:
    """Return a field that is a boolean."""
    value = content.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"{name} is {short_repr(value)}; expected true or false.")
    return value
