"""Serve models over HTTP: the Open Inference Protocol, pictures, and a page that shows the network at work.

`serve` is the server of `lenet serve`; `create_app` returns its ASGI application, for another server or application.
Both need `pip install 'lenet[serve]'`; `lenet.serving.page` does not.
"""

from typing import TYPE_CHECKING

from lenet._extras import require
from lenet._lazy import lazy_attributes

__all__ = ["Limits", "Models", "create_app", "serve", "watching"]

if TYPE_CHECKING:
    from lenet.serving.application import create_app
    from lenet.serving.limits.settings import Limits
    from lenet.serving.models import Models
    from lenet.serving.reloading import watching
    from lenet.serving.server import serve
else:  # hidden from type checkers, which would accept any name

    def _require_extra() -> None:
        for package in ("starlette", "uvicorn", "prometheus_client", "python_multipart", "orjson", "httptools"):
            require(package, "serve")

    __getattr__, __dir__ = lazy_attributes(
        "lenet.serving",
        {
            "Limits": "limits.settings", "Models": "models", "create_app": "application", "serve": "server",
            "watching": "reloading",
        },
        before=_require_extra,
    )  # fmt: skip
