"""Read JSON objects and their fields from untrusted requests; all functions raise InputError."""

from typing import Any

import orjson

from lenet._checks import short_repr as short_repr
from lenet.errors import InputError


def json_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object in a text."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The request is not valid JSON ({error}).") from None
    if not isinstance(content, dict):
        raise InputError(f"The request is {short_repr(content)}; expected a JSON object.")
    return content


def object_field(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a field that is an object, by default an empty one."""
    value = content.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{name} is {short_repr(value)}; expected a JSON object.")
    return value


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
