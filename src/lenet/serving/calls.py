"""One request and its answer: what the guard knows of it, what the application adds, and what the log says."""

import functools
import itertools
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

LOG = logging.getLogger("lenet.serving.requests")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")  # all that data need; the page has more
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,100}")


_process, _numbers = secrets.token_hex(4), itertools.count(1)


def _name_process() -> None:
    global _process
    _process = secrets.token_hex(4)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_name_process)  # or else two workers would give the same ids


@dataclass(slots=True)
class Call:
    """A request that is being answered.

    Attributes
    ----------
    request : str
        Its id: from X-Request-Id where that is sane, otherwise made up.
    method, path : str
    headers : dict of bytes to bytes
        Names in lower case.
    body : bytes
        The whole body.
    held : int
        Bytes of it that are in memory.
    operation : str
        The name of the function that answers.
    model : str or None
    batch : int or None
        Images.
    status : int
        Of the answer; 499 where the client left before there was one.
    error : str or None
        What the client was told.
    """

    method: str
    path: str
    headers: dict[bytes, bytes]
    request: str = ""
    body: bytes = b""
    held: int = 0
    operation: str = "none"
    model: str | None = None
    batch: int | None = None
    status: int = 499
    error: str | None = None
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        given = self.headers.get(b"x-request-id", b"")
        self.request = given.decode() if _REQUEST_ID.fullmatch(given) else f"{_process}-{next(_numbers)}"

    def line(self) -> bytes:
        """Return the line of JSON that a log has of it."""
        facts: dict[str, Any] = {"time": _iso(int(time.time())), "request": self.request, "method": self.method}
        facts["path"] = self.path
        if self.model is not None:
            facts["model"] = self.model
        if self.batch is not None:
            facts["batch"] = self.batch
        facts["ms"] = round(1000 * (time.perf_counter() - self.began), 3)
        facts["status"] = self.status
        if self.error is not None:
            facts["error"] = self.error
        return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)

    def sender(self, send: Send) -> Send:
        """Return an ASGI `send` that notes the status, and adds the headers that each answer has."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message["headers"] += NO_SNIFFING, (b"x-request-id", self.request.encode())
                if self.method == "GET":  # answers to POST are not cached anyway
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        return noting


OnRequest = Callable[[Call], None]


def call_of(request: Request) -> Call:
    """Return the call that a request is part of."""
    call: Call = request.scope["lenet.call"]
    return call


def log_call(call: Call) -> None:
    """Log a line of JSON, as "lenet.serving.requests" at the level of information."""
    if LOG.isEnabledFor(logging.INFO):
        LOG.info(call.line().decode().rstrip())


class Content:
    """An answer of bytes: what Starlette's `Response` does, in less time than that takes to encode its headers.

    Parameters
    ----------
    body : bytes
    headers : tuple of bytes
        Names and values, beside the length.
    """

    def __init__(self, body: bytes, *headers: tuple[bytes, bytes]):
        self._body, self._headers = body, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = [(b"content-length", b"%d" % len(self._body)), *self._headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


@functools.lru_cache(1)
def _iso(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
