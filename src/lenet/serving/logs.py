"""Log requests and events, each as a line of JSON."""

import atexit
import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from lenet import _checks
from lenet.errors import InputError
from lenet.serving.request_context import RequestContext, iso_time

LOG = logging.getLogger("lenet.serving")
_REQUESTS = logging.getLogger("lenet.serving.requests")
_INTERVAL = 0.1  # seconds between writes
LEVELS = ("info", "warning", "error")


def log_request(context: RequestContext) -> None:
    """Log a request with the logger "lenet.serving.requests", at level INFO, or higher for status 500 and above."""
    level: int = getattr(logging, context.level.upper())
    if _REQUESTS.isEnabledFor(level):
        _REQUESTS.log(level, context.log_line().decode().rstrip())


class LogWriter:
    """Writes lines to standard error from its own thread, so that a stalled reader does not block anything else."""

    def __init__(self, max_lines: int = 10_000):
        self._max_lines, self._lines = max_lines, deque[bytes]()
        self._has_lines, self._is_idle = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0  # lines since `take_dropped`, because too many waited to be written

    def write(self, line: bytes) -> None:
        """Add a line, or drop it if too many wait."""
        if len(self._lines) >= self._max_lines:
            self.dropped += 1
            return
        self._lines.append(line)
        self._has_lines.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lenet-log", daemon=True)
            try:
                self._thread.start()
                atexit.register(self.flush)
            except RuntimeError:  # the system allows no more threads now; the next line tries again
                self._thread = None

    def take_dropped(self) -> int:
        """Return the number of dropped lines, reset it, and log it if there is room."""
        dropped, self.dropped = self.dropped, 0
        if len(self._lines) < self._max_lines:
            message = f"Dropped log lines: {dropped}. Standard error was not read fast enough."
            self.write(_event_line("warning", message, time.time()).encode() + b"\n")
        return dropped

    def flush(self, seconds: float = 1.0) -> None:
        """Wait until all lines are written, for up to `seconds`."""
        if self._thread is not None:
            self._is_idle.clear()
            self._has_lines.set()
            self._is_idle.wait(seconds)

    def _run(self) -> None:
        while True:
            self._has_lines.wait()
            time.sleep(_INTERVAL)
            self._has_lines.clear()
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            with contextlib.suppress(OSError, ValueError, AttributeError):  # standard error is closed, or there is none
                sys.stderr.buffer.write(b"".join(lines))
                sys.stderr.buffer.flush()
            if not self._lines:
                self._is_idle.set()


WRITER = LogWriter()


def write_request(context: RequestContext, lowest: str = "info") -> None:
    """Log a request with the writer of this process if its level is not below the lowest."""
    if LEVELS.index(context.level) >= LEVELS.index(lowest):
        WRITER.write(context.log_line())


class WriterHandler(logging.Handler):
    """Passes log records to the writer of this process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line."""
        WRITER.write(self.format(record).encode() + b"\n")


class JsonFormatter(logging.Formatter):
    """Formats a log record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        traceback = self.formatException(record.exc_info) if record.exc_info else None
        return _event_line(record.levelname.lower(), record.getMessage().strip(), record.created, traceback)


def _event_line(level: str, message: str, seconds: float, traceback: str | None = None) -> str:
    entry = {"time": iso_time(seconds), "level": level, "pid": os.getpid(), "message": message}
    if traceback is not None:
        entry["traceback"] = traceback
    return json.dumps(entry, separators=(",", ":"))  # as those of requests


def check_level(level: object) -> None:
    """Check the lowest level of a server's log; the message also suits `lenet serve`."""
    if not isinstance(level, str) or level not in LEVELS:
        raise InputError(f"log_level is {_checks.short_repr(level)}; expected one of {', '.join(LEVELS)}.")


def log_as_json(level: str) -> Callable[[], None]:
    """Replace the handlers of the root logger with one that writes lines of JSON to standard error.

    The result is a function that restores the previous handlers and levels.

    `logging.config.dictConfig` would close the handlers of the caller.
    """
    levels = {
        logging.root: "WARNING",
        LOG: level.upper(),
        logging.getLogger("uvicorn.error"): "ERROR",
        logging.getLogger("python_multipart"): "ERROR",  # warns of forms, without the request's id
    }
    handlers, previous = logging.root.handlers, {logger: logger.level for logger in levels}

    def restore() -> None:
        logging.root.handlers = handlers
        for logger, lowest in previous.items():
            logger.setLevel(lowest)

    handler = WriterHandler()
    handler.setFormatter(JsonFormatter())
    logging.root.handlers = [handler]
    for logger, lowest in levels.items():
        logger.setLevel(lowest)
    return restore
