"""Mount the digits in an application of yours: under /digits, beside its own routes.

    LENET_MODEL=mine.safetensors uvicorn mounted:app        # without LENET_MODEL, the weights that are shipped

FastAPI takes the same lines: `app = FastAPI(lifespan=lifespan)`, `app.mount("/digits", digits)`. A mounted application
has no lifespan of its own, so this one's loads the file anew when it has changed.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import lenet
from lenet.serving import Models, create_app

models = Models({"digits": os.environ.get("LENET_MODEL") or lenet.load_pretrained()})
digits = create_app(models)


async def reload_changed() -> None:
    """Load changed files anew; the models before go on until then, and also where a file is damaged."""
    while True:
        await asyncio.sleep(1)
        for name in await asyncio.to_thread(models.changed):
            try:
                await asyncio.to_thread(models.reload, name)
            except (lenet.errors.LenetError, OSError) as error:
                logging.error("The model %s was not loaded anew: %s", name, error)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Look for changed files while the application runs."""
    task = asyncio.create_task(reload_changed())
    try:
        yield
    finally:
        task.cancel()


async def versions(request: Request) -> JSONResponse:
    """Tell which version of each model answers: a route of your own."""
    return JSONResponse({served.name: served.version for served in models.ready()})


app = Starlette(routes=[Route("/versions", versions)], lifespan=lifespan)
app.mount("/digits", digits)
