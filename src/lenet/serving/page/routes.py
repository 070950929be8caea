"""The routes of the page and of the model that it reads."""

import asyncio

import orjson
from starlette.requests import Request
from starlette.responses import Response

from lenet.serving.cached import CachedContent
from lenet.serving.models import Models, Served
from lenet.serving.page.document import model_document
from lenet.serving.page.html import content_security_policy, page_html
from lenet.serving.routing import Operation
from lenet.serving.schemas import MODEL_QUERY, TEXT, json_content


def page_operations(models: Models) -> list[Operation]:
    """Return the operations of the page."""
    content = page_html()
    headers = {
        "content-security-policy": content_security_policy(content),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
    }
    cached_page = CachedContent(content, "text/html", headers)
    documents: dict[str, tuple[Served, CachedContent]] = {}  # by the name of the model

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


def _document(served: Served) -> CachedContent:
    document = model_document(served.model, served.name, served.version)
    return CachedContent(orjson.dumps(document), "application/json")
