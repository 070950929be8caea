"""The routes of the page and of the model that it reads, which clients may cache."""

import asyncio
import gzip
import hashlib
import re

import orjson
from starlette.requests import Request
from starlette.responses import Response

from lenet.serving.models import Models, Served
from lenet.serving.page.document import model_document
from lenet.serving.page.html import content_security_policy, page_html
from lenet.serving.routing import Operation
from lenet.serving.schemas import MODEL_QUERY, TEXT, json_content

_GZIP = re.compile(r"(^|,)\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$))[^;,]*)?(,|$)")


def page_operations(models: Models) -> list[Operation]:
    """Return the operations of the page."""
    content = page_html()
    headers = {
        "content-security-policy": content_security_policy(content),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
    }
    cached_page = _Cached(content, "text/html", headers)
    documents: dict[str, tuple[Served, _Cached]] = {}  # by the name of the model

    async def page(request: Request) -> Response:
        """Return the page that shows the network at work."""
        return cached_page.response_to(request)

    async def model_json(request: Request) -> Response:
        """Return a model as the document that the page reads."""
        served = models.get(request.query_params.get("model"))
        if served.name not in documents or documents[served.name][0] is not served:
            documents[served.name] = served, await asyncio.to_thread(_document, served)
        return documents[served.name][1].response_to(request)

    return [
        Operation("GET", "/", page, {"text/html": {"schema": TEXT}}, public=True),
        Operation("GET", "/model.json", model_json, json_content(), (404,), {"parameters": [MODEL_QUERY]}),
    ]


def _document(served: Served) -> "_Cached":
    document = model_document(served.model, served.name, served.version)
    return _Cached(orjson.dumps(document), "application/json")


class _Cached:
    """A body that is the same for each request until its content changes."""

    def __init__(self, body: bytes, media_type: str, headers: dict[str, str] | None = None):
        self._body, self._gzipped, self._media_type = body, gzip.compress(body, mtime=0), media_type
        self._headers = {
            **(headers or {}),
            # Weak, because the compressed body has the same tag.
            "etag": f'W/"{hashlib.sha256(body).hexdigest()[:16]}"',
            "cache-control": "private, no-cache",
            "vary": "Accept-Encoding",
        }

    def response_to(self, request: Request) -> Response:
        """Return the response to a GET request: 304 without a body if the client has it."""
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or self._headers["etag"] in [tag.strip() for tag in known.split(",")]:
            return Response(status_code=304, headers=self._headers)
        if _GZIP.search(request.headers.get("accept-encoding", "")) is None:
            return Response(self._body, media_type=self._media_type, headers=self._headers)
        headers = {**self._headers, "content-encoding": "gzip"}
        return Response(self._gzipped, media_type=self._media_type, headers=headers)
