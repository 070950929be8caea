"""Serve models over HTTP: the Open Inference Protocol, pictures, and a page that shows the network at work.

`serve` is the server of `lenet serve`; `create_app` returns its ASGI application, for another server or application.
Both need `pip install 'lenet[serve]'`; `lenet.serving.page` does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lenet._extras import require

__all__ = ["Limits", "Models", "create_app", "serve", "watching"]

_HOMES = {
    "Limits": "limits.settings",
    "Models": "models",
    "create_app": "application",
    "serve": "server",
    "watching": "reloading",
}

if TYPE_CHECKING:
    from lenet.serving.application import create_app
    from lenet.serving.limits.settings import Limits
    from lenet.serving.models import Models
    from lenet.serving.reloading import watching
    from lenet.serving.server import serve
else:  # hidden from type checkers, which would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'lenet.serving' has no attribute {name!r}")
        for package in ("starlette", "uvicorn", "prometheus_client", "python_multipart", "orjson"):
            require(package, "serve")
        value = getattr(importlib.import_module(f"lenet.serving.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
