"""Mount the digits in an application of yours: under /digits, beside its own routes.

    LENET_MODEL=mine.safetensors uvicorn mounted:app        # without LENET_MODEL, the weights that are shipped

FastAPI takes the same lines: `app = FastAPI(lifespan=lifespan)`, `app.mount("/digits", digits)`. A mounted application
has no lifespan of its own, so this one's loads the file anew when it has changed.
"""

import contextlib
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import lenet
from lenet.serving import Models, create_app, watching

models = Models({"digits": os.environ.get("LENET_MODEL") or lenet.load_pretrained()})
digits = create_app(models)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Load the file anew when it changes, or on SIGHUP, while the application runs."""
    async with watching(models):
        yield


async def versions(request: Request) -> JSONResponse:
    """Tell which version of each model answers: a route of your own."""
    return JSONResponse({served.name: served.version for served in models.ready()})


app = Starlette(routes=[Route("/versions", versions)], lifespan=lifespan)
app.mount("/digits", digits)
