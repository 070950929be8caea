"""Mount lenet in your own application, under /digits.

    LENET_MODEL=mine.safetensors uvicorn mounted:app        # by default, the shipped weights

As with `lenet serve`, clients must send the token in LENET_TOKEN, or in the file that LENET_TOKEN_FILE names.

FastAPI works the same way: `app = FastAPI(lifespan=lifespan)`, `app.mount("/digits", digits)`. A mounted application
has no lifespan of its own, so the outer one reloads the file when it changes.
"""

import contextlib
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lenet.serving import Models, create_app, watching
from lenet.serving.tokens import token_of

models = Models({"digits": os.environ.get("LENET_MODEL") or "mnist"})
digits = create_app(models, token=token_of(os.environ))


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """While the application runs, reload the file when it changes, or on SIGHUP."""
    async with watching(models, digits.metrics):
        yield


async def versions(request: Request) -> JSONResponse:
    """Return the version of each model, as an example of your own route."""
    return JSONResponse({served.name: served.version for served in models.ready()})


app = Starlette(routes=[Route("/versions", versions)], lifespan=lifespan)
app.mount("/digits", digits)
