"""The names of a model's classes, stored in its metadata as a JSON list."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from unicodedata import normalize

from lenet._checks import short_repr
from lenet.errors import InputError, InputTypeError

KEY = "classes"
MAX_LENGTH = 100  # characters
_MAX_SHOWN = 20  # characters in figures and tables


def class_names(metadata: Mapping[str, str], num_classes: int) -> tuple[str, ...]:
    """Return the names of the classes in the order of the outputs; "0", "1", ... if the metadata has none.

    Examples
    --------
    >>> class_names({"classes": '["cat", "dog"]'}, 2)
    ('cat', 'dog')
    """
    text = metadata.get(KEY)
    if text is None:
        return tuple(map(str, range(num_classes)))
    try:
        return checked(json.loads(text), num_classes)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The model's classes are damaged ({error}). Set `classes` again.") from None


def checked(names: Iterable[str], num_classes: int | None = None) -> tuple[str, ...]:
    """Return validated names as a tuple; with `num_classes`, also check their number."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputTypeError(f"classes is {short_repr(names)}; expected a list of strings.")
    found = tuple(normalize("NFC", name) if isinstance(name, str) else name for name in names)
    if num_classes not in (None, len(found)):
        raise InputError(f"classes has {len(found)} names; expected {num_classes}, one for each output.")
    for name in found:
        if not isinstance(name, str):
            raise InputTypeError(f"classes contains {short_repr(name)}; expected strings.")
        if not 1 <= len(name) <= MAX_LENGTH or not name.isprintable():
            raise InputError(f"classes contains {short_repr(name)}; expected 1 to {MAX_LENGTH} printable characters.")
    if len(set(found)) < len(found):
        [(twice, _)] = Counter(found).most_common(1)
        raise InputError(f"classes contains {twice!r} twice; expected distinct names.")
    return tuple(map(str, found))


def shortened(name: str) -> str:
    """Shorten a name to at most 20 characters by cutting its middle, as similar names often differ at an end."""
    half = _MAX_SHOWN // 2 - 1
    return name if len(name) <= _MAX_SHOWN else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def to_json(names: Iterable[str]) -> str:
    """Return the names as the JSON list that the metadata stores."""
    return json.dumps(list(names), ensure_ascii=False)
