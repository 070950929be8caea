"""The page as one HTML file, and the security policy under which it runs."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from lenet.errors import InputError
from lenet.serving.page.assembly import assembled, text_of

MARK = b"<title>lenet: LeNet-5 at work</title>"  # near the beginning of each page
_PLACEHOLDER = "<!-- model -->"  # in the page, replaced by an embedded model
_SCRIPT, _STYLE = rb'<script type="module">(.*?)</script>', rb"<style>(.*?)</style>"


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
