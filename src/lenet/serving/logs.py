"""Log requests and events, each as a line of JSON."""

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any

from lenet.serving.request_context import RequestContext, iso_time

LOG = logging.getLogger("lenet.serving")
_REQUESTS = logging.getLogger("lenet.serving.requests")
LEVELS = ("info", "warning", "error")


def log_request(context: RequestContext) -> None:
    """Log a request with the logger "lenet.serving.requests", at level INFO."""
    if _REQUESTS.isEnabledFor(logging.INFO):
        _REQUESTS.info(context.log_line().decode().rstrip())


class RequestLog:
    """Writes requests to standard error, all those of one iteration of the event loop at once."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def __call__(self, context: RequestContext) -> None:
        """Add a request."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(context.log_line())

    def _write(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody is reading standard error any more
            sys.stderr.buffer.write(b"".join(self._lines))
            sys.stderr.buffer.flush()
        self._lines.clear()


class JsonFormatter(logging.Formatter):
    """Formats a log record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry = {
            "time": iso_time(int(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def log_config(level: str) -> dict[str, Any]:
    """Return the configuration of `logging` for a server in its own process."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"lenet.serving": {"level": level.upper()}, "uvicorn": {"level": "ERROR"}},
    }
