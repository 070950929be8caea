"""The page that shows the network at work: one file of HTML, and the model as the document that it reads."""

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

from lenet.errors import InputError
from lenet.model import LeNet5
from lenet.rejection import RejectionRule, learnt_thresholds

MARK = b"<title>lenet: LeNet-5 at work</title>"  # near the beginning of each page
_PLACE = b"<!-- model -->"  # in page.html, where a model is embedded
_SCRIPT, _STYLE = rb'<script type="module">(.*?)</script>', rb"<style>(.*?)</style>"


def model_document(model: LeNet5, name: str, version: str) -> dict[str, Any]:
    """Return a model as what JSON can say of it, which is all that the page needs.

    Parameters
    ----------
    model : LeNet5
    name, version : str
        What the page calls it, and the server's address of it.

    Returns
    -------
    dict
        "name", "version", "dtype", "num_classes", "mean", "std", "least_digit_score" (0 if the model was not
        calibrated), "thresholds" (a dict of the rate of errors to the least probability, {} if there are none),
        "metadata", and "parameters": by name the "shape", and the "data" as base64 of little-endian numbers in C order.

    Raises
    ------
    InputError
        If the metadata's least_digit_score is no number from 0 to 1.

    Examples
    --------
    >>> document = model_document(LeNet5(seed=0), "fresh", "1")
    >>> document["parameters"]["c1.weight"]["shape"], document["thresholds"]
    ([6, 1, 5, 5], {})
    """
    little = model.dtype.newbyteorder("<")
    return {
        "name": name,
        "version": version,
        "dtype": model.dtype.name,
        "num_classes": model.num_classes,
        "mean": model.mean,
        "std": model.std,
        "least_digit_score": RejectionRule.from_metadata(model.metadata).min_digit_score,
        "thresholds": _thresholds(model),
        "metadata": dict(model.metadata),
        "parameters": {
            key: {"shape": list(value.shape), "data": base64.b64encode(value.astype(little).tobytes()).decode()}
            for key, value in model.parameters.items()
        },
    }


def page_html(document: dict[str, Any] | None = None) -> bytes:
    """Return the page; with a model's document, that is embedded and the page needs no server.

    Parameters
    ----------
    document : dict, optional
        From `model_document`. By default the page asks its server for `model.json`.

    Returns
    -------
    bytes
        HTML in UTF-8.

    Examples
    --------
    >>> len(page_html()) < len(page_html(model_document(LeNet5(seed=0), "fresh", "1")))
    True
    """
    file = resources.files("lenet.serving").joinpath("page.html")
    page = file.read_bytes()  # of the package itself # nosemgrep: no-reading-without-end
    if document is None:
        return page.replace(_PLACE, b"", 1)
    text = json.dumps(document).replace("<", "\\u003c")  # so that no text ends the element
    return page.replace(_PLACE, f'<script type="application/json" id="model">{text}</script>'.encode(), 1)


def content_security_policy(page: bytes) -> str:
    """Return the policy under which a browser runs the page's own script and style, and nothing else.

    Parameters
    ----------
    page : bytes
        From `page_html`.

    Returns
    -------
    str
        For the header of that name.

    Raises
    ------
    InputError
        If the page is not one of `page_html`.

    Examples
    --------
    >>> content_security_policy(page_html()).split("; ")[0]
    "default-src 'none'"
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(page, _SCRIPT)}'",
            f"style-src '{_hash(page, _STYLE)}'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(page: bytes, element: bytes) -> str:
    """Return the source expression of an element's text, found by a pattern with one group."""
    found = re.search(element, page, re.DOTALL)
    if found is None:
        raise InputError("The page has no style or no script of its own: it is not from page_html.")
    return "sha256-" + base64.b64encode(hashlib.sha256(found[1]).digest()).decode()


def _thresholds(model: LeNet5) -> dict[str, float]:
    try:
        return {f"{rate:g}": least for rate, least in learnt_thresholds(model.metadata).items()}
    except InputError:  # there are none
        return {}
