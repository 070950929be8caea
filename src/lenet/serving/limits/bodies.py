"""Receive request bodies, and bound their size individually and in total."""

import functools
import zlib

from starlette.exceptions import HTTPException
from starlette.types import Receive

from lenet.serving.limits.capacity import BusyError, ThreadPool
from lenet.serving.limits.settings import Limits
from lenet.serving.request_context import RequestContext

_SMALL = 2**16  # bytes, declared and received, of a body that may use the reserve, a 16th of the limit
_MAX_MEMBERS = 16  # of a gzip body; each takes time, even if it is empty


class RequestBodies:
    """The bodies in memory; the pool decompresses them."""

    def __init__(self, limits: Limits, pool: ThreadPool):
        self._limits, self._pool = limits, pool
        self._buffered = 0  # bytes

    async def receive(self, context: RequestContext, receive: Receive) -> None:
        """Receive a body into `context.parts`, and decompress it; `release` must follow, even after an error."""
        declared = context.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._limits.body:
            raise self._too_large()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HTTPException(499, "The client disconnected before the request was complete.")
            part = message.get("body", b"")
            context.parts.append(part)
            context.received += len(part)
            self._count(context, len(part))
            if context.buffered > self._limits.body:
                raise self._too_large()
            more = message.get("more_body", False)
        encoding = context.headers.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity" and context.received:
            context.parts = [
                await self._pool.run(functools.partial(_decompressed, context, encoding, self._limits.body))
            ]
            self._count(context, context.size)

    def release(self, context: RequestContext) -> None:
        """Free a body."""
        self._buffered -= context.buffered
        context.parts = []

    def _count(self, context: RequestContext, size: int) -> None:
        context.buffered += size
        self._buffered += size
        declared = context.headers.get(b"content-length", b"")  # chunked bodies have none
        is_small = declared.isdigit() and max(int(declared[:20]), context.buffered) <= _SMALL
        if self._buffered > self._limits.buffered + (self._limits.buffered // 16 if is_small else 0):
            raise BusyError("The server is receiving too many requests. Retry after 1 s.", "buffers")

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The body is too large; expected at most {self._limits.body:,} bytes.")


def _decompressed(context: RequestContext, encoding: bytes, max_size: int) -> bytes:
    if encoding not in (b"gzip", b"deflate"):
        raise HTTPException(415, "The Content-Encoding is not supported; expected gzip, deflate or identity.")
    wbits, max_members = (31, _MAX_MEMBERS) if encoding == b"gzip" else (15, 1)
    parts: list[bytes] = []
    size, rest = 0, context.body()
    while rest or not parts:
        decompressor = zlib.decompressobj(wbits)
        try:
            parts.append(decompressor.decompress(rest, max_size + 1 - size))
        except zlib.error as error:
            raise HTTPException(400, f"The body is not valid {encoding.decode()} ({error}).") from None
        size += len(parts[-1])
        if size > max_size:
            raise HTTPException(413, f"The decompressed body is too large; expected at most {max_size:,} bytes.")
        if not decompressor.eof:
            raise HTTPException(400, f"The body is truncated {encoding.decode()} data. Send all of it.")
        rest = decompressor.unused_data
        if rest and len(parts) == max_members:
            raise HTTPException(
                400,
                f"The body has too many {encoding.decode()} members; expected at most {max_members}. "
                "Compress it as one.",
            )
    return b"".join(parts)
