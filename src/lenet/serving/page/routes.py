"""The routes of the page and of the model that it reads."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lenet.serving.models import Models
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

    async def page(request: Request) -> Response:
        """Return the page that shows the network at work."""
        return Response(content, media_type="text/html", headers=headers)

    async def model_json(request: Request) -> Response:
        """Return a model as the document that the page reads."""
        served = models.get(request.query_params.get("model"))
        return JSONResponse(model_document(served.model, served.name, served.version))

    return [
        Operation("GET", "/", page, {"text/html": {"schema": TEXT}}, public=True),
        Operation("GET", "/model.json", model_json, json_content(), (404,), {"parameters": [MODEL_QUERY]}),
    ]
