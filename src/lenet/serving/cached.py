"""Responses that clients and proxies may keep: with an ETag, and compressed."""

import gzip
import hashlib
import re

from starlette.requests import Request
from starlette.responses import Response

_GZIP = re.compile(r"(^|,)\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$)))?[^;,]*(,|$)")


class CachedContent:
    """A body that is the same for each request until its content changes.

    Parameters
    ----------
    body : bytes
    media_type : str
    headers : dict of str to str, optional
        Headers of each response.
    """

    def __init__(self, body: bytes, media_type: str, headers: dict[str, str] | None = None):
        self._body, self._gzipped, self._media_type = body, gzip.compress(body, mtime=0), media_type
        self._headers = {
            **(headers or {}),
            # Weak, because the compressed body has the same tag.
            "etag": f'W/"{hashlib.sha256(body).hexdigest()[:16]}"',
            "cache-control": "private, no-cache",
            "vary": "Accept-Encoding",
        }

    def response_to(self, request: Request) -> Response:
        """Return the response to a GET request: 304 without a body if the client has it."""
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or self._headers["etag"] in [tag.strip() for tag in known.split(",")]:
            return Response(status_code=304, headers=self._headers)
        if _GZIP.search(request.headers.get("accept-encoding", "")) is None:
            return Response(self._body, media_type=self._media_type, headers=self._headers)
        headers = {**self._headers, "content-encoding": "gzip"}
        return Response(self._gzipped, media_type=self._media_type, headers=headers)
