"""`POST /predict`: a picture as people send it, and what it says."""

import asyncio
import functools
import io
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lenet.errors import InputError
from lenet.reading import read
from lenet.reading.pictures import read_picture
from lenet.serving.calls import call_of
from lenet.serving.limits import Limits
from lenet.serving.models import Models, Served
from lenet.serving.tensors import short
from lenet.serving.work import Work

T = TypeVar("T")


class Pictures:
    """The endpoint; it takes a request and returns an answer."""

    def __init__(self, models: Models, limits: Limits, work: Work):
        self._models, self._limits, self._work = models, limits, work

    async def predict(self, request: Request) -> Response:
        """Read the digits in a picture."""
        options = dict(request.query_params)
        if call_of(request).headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data"):
            content = await self._uploaded(request, options)
        else:
            content = call_of(request).body
        if not content:
            raise InputError("There is no picture: send a PNG or JPEG as the body, or as a file in a form.")
        unknown = options.keys() - {"model", "only_digits"}
        if unknown:
            raise InputError(f"There is no option {short(min(unknown))}: there are model and only_digits.")
        served = self._models.get(options.get("model"))
        call_of(request).model = served.name
        only_digits = _flag(options.get("only_digits", "false"))
        work = functools.partial(_read, content, self._limits.pixels, served, only_digits)
        return JSONResponse(await _unless_gone(request, self._work.run(work)))

    async def _uploaded(self, request: Request, options: dict[str, str]) -> bytes:
        """Return the one file in a form, and put the form's other fields to the options."""
        parser = MultiPartParser(request.headers, _once(call_of(request).body), max_files=1, max_fields=10)
        parser.spool_max_size = self._limits.body  # never a temporary file: the disk may be read-only
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise InputError(f"The form is malformed ({error.message})") from None
        except (ValueError, LookupError) as error:
            raise InputError(f"The form is malformed ({error}).") from None
        content = b""
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read(self._limits.body)
            else:
                options[name] = value
        await form.close()
        return content


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work makes; it is not begun for a client that has left meanwhile."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(499, "The client has left.")
        return task.result()
    finally:
        task.cancel()
        left.cancel()


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def _read(content: bytes, pixels: int, served: Served, only_digits: bool) -> dict[str, Any]:
    reading = read(read_picture(io.BytesIO(content), largest=pixels), served.model, only_digits=only_digits, n_jobs=1)
    return {"model": served.name, "version": served.version, "text": reading.text, **reading.as_dict()}


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise InputError(f"only_digits is {short(text)}, and true or false is wanted.")
    return text.lower() in ("true", "1")
