"""`POST /predict`: a picture as people send it, and what it says."""

import functools
import io
from collections.abc import AsyncGenerator
from typing import Any

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
from lenet.serving.work import Work


class Pictures:
    """The endpoint; it takes a request and returns an answer."""

    def __init__(self, models: Models, limits: Limits, work: Work):
        self._models, self._limits, self._work = models, limits, work

    async def predict(self, request: Request) -> Response:
        """Read the digits in a picture."""
        served = self._models.get(request.query_params.get("model"))
        call_of(request).model = served.name
        only_digits = _flag(request, "only_digits")
        content = await self._content(request)
        answer = await self._work.run(functools.partial(_read, content, self._limits.pixels, served, only_digits))
        return JSONResponse(answer)

    async def _content(self, request: Request) -> bytes:
        """Return the picture's bytes: the body, or the one file in a form."""
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            content = call_of(request).body
        else:
            content = await self._uploaded(request)
        if not content:
            raise InputError("There is no picture: send a PNG or JPEG as the body, or as a file in a form.")
        return content

    async def _uploaded(self, request: Request) -> bytes:
        parser = MultiPartParser(request.headers, _once(call_of(request).body), max_files=1, max_fields=10)
        parser.spool_max_size = self._limits.body  # never a temporary file: the disk may be read-only
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise InputError(f"The form is malformed ({error.message})") from None
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(f"The form is malformed ({error}).") from None
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return await files[0].read() if files else b""


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def _read(content: bytes, pixels: int, served: Served, only_digits: bool) -> dict[str, Any]:
    reading = read(read_picture(io.BytesIO(content), largest=pixels), served.model, only_digits=only_digits, n_jobs=1)
    return {"model": served.name, "version": served.version, "text": reading.text, **reading.as_dict()}


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise HTTPException(400, f"{name} is neither true nor false.")
    return text in ("true", "1")
