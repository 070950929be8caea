"""The route `POST /predict`, which reads the digits in a picture, or classifies a symbol."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from lenet._checks import short_repr
from lenet._extras import cv2
from lenet.data.pictures import image_of
from lenet.errors import InputError
from lenet.model import LeNet5
from lenet.reading import read
from lenet.reading.pictures import read_picture
from lenet.rejection import RejectionRule
from lenet.serving.limits.capacity import GIL_TURNS, ThreadPool
from lenet.serving.limits.settings import Limits
from lenet.serving.metrics import Metrics
from lenet.serving.models import Models, Served
from lenet.serving.request_context import RequestContext, context_of
from lenet.serving.routing import Operation
from lenet.serving.schemas import MODEL_QUERY, READ_OPTIONS, READ_QUERIES, json_content, picture_body

Options = list[tuple[str, str]]  # names and texts, as a client gives them
Answer = tuple[bytes, str, list[int]]  # JSON, the name of the model, and the labels
T = TypeVar("T")
_OPTIONS = ("model", *READ_OPTIONS)
_MAX_FIELD = 2**10  # bytes of a form's field: a model's name, or a boolean
_MAX_HEADERS = 8  # of a part of a form
_FORM_PART = 2**18  # bytes of a form that are parsed at once: about 1 ms


class Pictures:
    """The operation and its handler."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, pool: ThreadPool):
        self._models, self._limits, self._metrics, self._pool = models, limits, metrics, pool

    def operations(self) -> list[Operation]:
        """Return the operation."""
        details = {
            "operationId": "predict",
            "requestBody": picture_body(self._limits),
            "parameters": [MODEL_QUERY, *READ_QUERIES],
        }
        return [
            Operation("POST", "/predict", self.predict, json_content("Reading", "Classification"), (404, 501), details)
        ]

    async def predict(self, request: Request) -> Response:
        """Read the digits in a picture, or classify its symbol."""
        context, options = context_of(request), request.query_params.multi_items()
        if context.headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data"):
            work = functools.partial(self._read_form, request, context, options)
        else:
            work = functools.partial(self._read, context.body, *self._validated(context, context.size, options))
        content, model, labels = await _unless_disconnected(request, self._pool.run(work))
        self._metrics.count_labels(model, labels)
        return Response(content, media_type="application/json")

    def _read_form(self, request: Request, context: RequestContext, options: Options) -> Answer:
        """Return the answer to a form. This runs in a thread, since even parsing a large form takes a while."""
        content = asyncio.run(self._uploaded_file(request, list(context.parts), options))
        return self._read(lambda: content, *self._validated(context, len(content), options))

    def _validated(self, context: RequestContext, size: int, given: Options) -> tuple[Served, dict[str, bool]]:
        """Return the model for a picture of a number of bytes, and the options of `read`."""
        if not size:
            raise InputError("The request has no picture. Send a PNG or JPEG as the body or as a file in a form.")
        names, options = [name for name, _ in given], dict(given)
        for name in options:
            if name not in _OPTIONS:
                raise InputError(f"Unknown option {short_repr(name)}; expected one of {', '.join(_OPTIONS)}.")
            if names.count(name) > 1:
                raise InputError(
                    f"The option {name} was given more than once; expected one value, in the query or in the form."
                )
        served = self._models.get(options.pop("model", None))
        context.model = served.name
        if options and not _reads_lines(served.model):
            raise InputError(
                f"The option {min(options)} was given, but the model {short_repr(served.name)} classifies one symbol; "
                "expected no options but model. Omit it."
            )
        return served, {name: _boolean(name, text) for name, text in options.items()}

    def _read(self, content: Callable[[], bytes], served: Served, options: dict[str, bool]) -> Answer:
        """Read a picture and return the encoded answer, in a thread: encoding that of a page takes milliseconds."""
        try:
            picture = read_picture(content(), largest=self._limits.pixels)
            if _reads_lines(served.model):
                reading = read(picture, served.model, n_jobs=1, **options)
                answer = {"text": reading.text, **reading.as_dict()}
                labels = [digit["label"] for line in answer["lines"] for digit in line["digits"]]
            else:
                answer = _classified(picture, served.model)
                labels = [answer["label"]]
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem or str(error) == "std::bad_alloc":  # the latter without a code
                raise MemoryError from None
            raise
        encoded = orjson.dumps({"model": served.name, "version": served.version, **answer})
        return encoded, served.name, [-1 if label is None else label for label in labels]

    async def _uploaded_file(self, request: Request, body: list[bytes], options: Options) -> bytes:
        """Return the file in a form that arrived in parts, and add the form's other fields to the options."""
        try:
            async with contextlib.aclosing(_parts(body)) as parts:  # closing it also ends its turn after an error
                form = await _FormParser(request.headers, parts, sum(map(len, body))).parse()
        except (MultiPartException, ValueError, LookupError) as error:
            reason = str(error).rstrip(".")
            raise InputError(f"The form cannot be read ({reason}). Send a picture as multipart/form-data.") from None
        content = b""
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                value.file.truncate(value.size)
                content = value.file._file.getvalue()  # type: ignore[attr-defined] # a BytesIO; `read` would copy it
            else:
                options.append((name, value))
        await form.close()
        return content


def _reads_lines(model: LeNet5) -> bool:
    """Return whether the names of a model's classes are single characters, which form lines of text."""
    return all(len(name) == 1 for name in model.classes)


def _classified(picture: NDArray[np.uint8], model: LeNet5) -> dict[str, Any]:
    """Return the class of the symbol in a picture, as `lenet predict --json` prints it."""
    image = image_of(picture, "The picture", "raw" in model.metadata)
    rule = RejectionRule.from_metadata(model.metadata)
    [answer] = rule._as_dicts(model.predict_proba(image, n_jobs=1), model.classes)
    return answer


class _FormParser(MultiPartParser):
    """A parser of forms with one file, which it keeps in memory: the disk may be read-only.

    The file has room for the whole body from the start. One that grows is copied again and again, and copying 16 MiB
    holds the GIL for 14 ms.
    """

    _is_complete = False

    def __init__(self, headers: Headers, parts: AsyncGenerator[bytes, None], size: int):
        super().__init__(headers, parts, max_files=1, max_fields=10)
        self.spool_max_size, self.max_part_size = size, _MAX_FIELD

    def on_part_begin(self) -> None:
        """Begin a part, in UTF-8: a codec chosen by the client, such as punycode, takes minutes per megabyte."""
        super().on_part_begin()
        self._charset = "utf-8"

    def on_header_end(self) -> None:
        """End a header of a part; older versions of python-multipart allow any number of them."""
        super().on_header_end()
        if len(self._current_part.item_headers) > _MAX_HEADERS:
            raise MultiPartException(f"A part has more than {_MAX_HEADERS} headers; expected at most {_MAX_HEADERS}.")

    def on_headers_finished(self) -> None:
        """Begin a field or the file."""
        super().on_headers_finished()
        if self._current_part.file is not None:
            file = self._current_part.file.file
            file.seek(self.spool_max_size - 1)
            file.write(b"\0")
            file.seek(0)
        elif (name := self._current_part.field_name) not in _OPTIONS:
            raise MultiPartException(
                f"The part {short_repr(name)} has no filename; expected a file, or one of the fields "
                f"{', '.join(_OPTIONS)}."
            )

    def on_end(self) -> None:
        """Record that the closing boundary has arrived."""
        self._is_complete = True

    async def parse(self) -> FormData:
        """Return the form; reject one that is truncated, which Starlette accepts."""
        form = await super().parse()
        if self.spool_max_size and not self._is_complete:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("it is truncated; expected a closing boundary.")
        return form


async def _unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of work that is cancelled if the client disconnects."""
    task, disconnected = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(499, "The client disconnected.")
        return task.result()
    finally:
        task.cancel()
        disconnected.cancel()


async def _parts(body: list[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield a body in parts of about `_FORM_PART` bytes; those that arrived may be as small as a packet."""
    arrived, size = list[bytes](), 0
    for number, part in enumerate(body, 1):
        arrived.append(part)
        size += len(part)
        if size >= _FORM_PART or number == len(body):
            joined = b"".join(arrived)
            for start in range(0, size, _FORM_PART):
                with GIL_TURNS:  # while the caller parses the part
                    yield joined[start : start + _FORM_PART]
            arrived, size = [], 0


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise InputError(f"{name} is {short_repr(text)}; expected true or false.")
    return text.lower() in ("true", "1")
