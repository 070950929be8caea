"""The page as one HTML file, its security policy, and the model as the JSON document that it reads."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from lenet import _checks
from lenet.errors import InputError, InputTypeError
from lenet.model import LeNet5
from lenet.rejection import RejectionRule, learned_thresholds
from lenet.serving.page.assembly import assembled, text_of

MARK = b"<title>lenet: LeNet-5 at work</title>"  # near the beginning of each page
_PLACEHOLDER = "<!-- model -->"  # in the page, replaced by an embedded model
_SCRIPT, _STYLE = rb'<script type="module">(.*?)</script>', rb"<style>(.*?)</style>"


def model_document(model: LeNet5, name: str, version: str) -> dict[str, Any]:
    """Return a model as a JSON document with everything that the page needs.

    Parameters
    ----------
    model : LeNet5
    name, version : str
        The page shows them, and uses them in requests to the server.

    Returns
    -------
    dict
        "name", "version", "dtype", "num_classes", "classes" (their names), "mean" and "std" (None for those of each
        image), "least_digit_score" (0 if the model is not calibrated), "thresholds" (a dict of error rate to
        probability threshold, empty if there are none), "metadata", and "parameters": by name, the "shape" and the
        "data", the base64 of little-endian numbers in C order.

    Raises
    ------
    InputTypeError
        If the model is not a LeNet5, such as a LeNet1998.
    InputError
        If the metadata's least_digit_score is not a number from 0 to 1, or its names of the classes are damaged.

    Examples
    --------
    >>> document = model_document(LeNet5(seed=0), "fresh", "1")
    >>> document["parameters"]["c1.weight"]["shape"], document["thresholds"]
    ([6, 1, 5, 5], {})
    """
    _checks.model(model)
    if model.network is not None:
        raise InputTypeError(f"model is of type {type(model).__name__}; expected a LeNet5, the only network drawn.")
    little_endian = model.dtype.newbyteorder("<")
    return {
        "name": name,
        "version": version,
        "dtype": model.dtype.name,
        "num_classes": model.num_classes,
        "classes": list(model.classes),
        "mean": model.mean,
        "std": model.std,
        "least_digit_score": RejectionRule.from_metadata(model.metadata).min_digit_score,
        "thresholds": _thresholds(model),
        "metadata": dict(model.metadata),
        "parameters": {
            key: {"shape": list(value.shape), "data": base64.b64encode(value.astype(little_endian).tobytes()).decode()}
            for key, value in model.parameters.items()
        },
    }


def _thresholds(model: LeNet5) -> dict[str, float]:
    try:
        return {f"{rate:g}": threshold for rate, threshold in learned_thresholds(model.metadata).items()}
    except InputError:  # the model has none
        return {}


def page_html(document: dict[str, Any] | None = None) -> bytes:
    """Return the page that shows the network at work.

    Parameters
    ----------
    document : dict, optional
        The model to embed, from `model_document`; the page then needs no server. By default, the page requests
        ``model.json`` from its server.

    Returns
    -------
    bytes
        HTML in UTF-8.

    Examples
    --------
    >>> len(page_html()) < len(page_html({"name": "fresh"}))
    True
    """
    element = ""
    if document is not None:
        text = json.dumps(document).replace("<", "\\u003c")  # so that no text ends the element
        element = f'<script type="application/json" id="model">{text}</script>'
    return _template().replace(_PLACEHOLDER, element, 1).encode()


def _template() -> str:
    """Return the page that the wheel contains, which is half as large as its parts; in a clone, assemble it."""
    folder = Path(__file__).parent
    built = folder / "page.html"
    return text_of(built) if built.exists() else assembled(folder / "parts")


def content_security_policy(page: bytes) -> str:
    """Return the policy under which a browser runs the page's own script and style, and nothing else.

    Parameters
    ----------
    page : bytes
        From `page_html`.

    Returns
    -------
    str
        The value of the Content-Security-Policy header.

    Raises
    ------
    InputError
        If the page is not from `page_html`.

    Examples
    --------
    >>> content_security_policy(page_html()).split("; ")[0]
    "default-src 'none'"
    """
    directives = [
        "default-src 'none'",
        f"script-src '{_hash(page, _SCRIPT)}'",
        f"style-src '{_hash(page, _STYLE)}'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(directives)


def _hash(page: bytes, pattern: bytes) -> str:
    """Return the hash source of the element whose text the pattern's group matches."""
    found = re.search(pattern, page, re.DOTALL)
    if found is None:
        raise InputError("The page has no script or style of its own; expected a page from page_html.")
    return "sha256-" + base64.b64encode(hashlib.sha256(found[1]).digest()).decode()
