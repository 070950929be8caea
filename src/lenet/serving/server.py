"""Run the application: the socket, the log, the signals and the worker processes."""

import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
import math
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn
from prometheus_client import multiprocess
from uvicorn.supervisors.multiprocess import Multiprocess

from lenet import _checks
from lenet.errors import ConfigurationError, InputError
from lenet.loading import load
from lenet.serving.application import create_app
from lenet.serving.calls import Call, OnRequest
from lenet.serving.connections import TimedProtocol
from lenet.serving.limits import Limits
from lenet.serving.models import Loader, Source

LOG = logging.getLogger("lenet.serving")
LOG_LEVELS = ("info", "warning", "error")


class JsonFormatter(logging.Formatter):
    """Makes a line of JSON of what is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts)


class RequestLog:
    """Writes a line of JSON for each call to the standard error, those of one round of the event loop together."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def __call__(self, call: Call) -> None:
        """Write a line; or soon."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(call.line())

    def _write(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            sys.stderr.buffer.write(b"".join(self._lines))
            sys.stderr.buffer.flush()
        self._lines.clear()


def pass_over(call: Call) -> None:
    """Do not log a call."""


def serve(
    models: Mapping[str, Source],
    loader: Loader = load,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    limits: Limits | None = None,
    token: str | None = None,
    allow_control: bool = False,
    log_level: str = "info",
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve models until SIGTERM or Ctrl-C; requests that have begun are answered before it returns.

    Parameters
    ----------
    models, loader : mapping, and callable
        As for `create_app`; with several workers, all of it is sent to them, so it has to pickle.
    host : str, default "127.0.0.1"
        The address to listen on: by default only this machine can ask.
    port : int, default 8000
        0 chooses a free one.
    workers : int, default 1
        Processes that share the port, each with models of its own.
    limits, token, allow_control : Limits, str and bool
        As for `create_app`.
    log_level : {"info", "warning", "error"}
        Requests are logged as "info", a line of JSON each, on the standard error.
    on_ready : callable, optional
        Is called with the address, such as "http://127.0.0.1:8000/", when it is listened on.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on.
    InputError, InputTypeError, WeightsError, OSError
        As `create_app` does; and for workers and log_level.
    """
    _checks.whole(workers, "workers")
    if log_level not in LOG_LEVELS:
        raise InputError(f"log_level is {log_level!r}; wanted: {', '.join(LOG_LEVELS)}.")
    if workers > 1 and allow_control:
        raise InputError("Clients can load and unload models only where there is one worker: others would not know.")
    files = _allow_many_files()
    backlog = max(16, min(2048, files // 16))  # so many are accepted in a round, and some rounds go by until they end
    limits = limits or Limits()
    limits = dataclasses.replace(limits, connections=max(1, min(limits.connections, files - 4 * backlog - 64)))
    on_request: OnRequest = RequestLog() if log_level == "info" else pass_over
    make_app = functools.partial(
        create_app, models, loader, limits=limits, token=token, allow_control=allow_control, on_request=on_request
    )
    app = make_app()  # here, so that errors come before anything is listened on
    listening = _listen(host, port, backlog)
    config = uvicorn.Config(
        app if workers == 1 else make_app,
        factory=workers > 1,
        workers=workers,
        http=TimedProtocol,
        ws="none",
        lifespan="on",
        log_config=_log_config(log_level),
        backlog=backlog,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(limits.receive_seconds + limits.request_seconds),
    )
    with listening:
        if workers == 1:
            _Server(config, listening, on_ready).serve_until_told()
        else:
            _run_workers(config, listening, on_ready)


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    """Return a socket that listens, so that an address in use is told of before anything else is begun."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as on_error:
            # asyncio sets TCP_NODELAY only where the socket names TCP.
            listening = on_error.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(backlog)
            on_error.pop_all()
        return listening
    except (OSError, OverflowError, UnicodeError) as error:  # the last, of what no name of a host may be
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{host} cannot be listened on at port {port} ({reason}): choose another.") from None


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _allow_many_files() -> int:
    """Raise the limit of open files to what is allowed, and return it: slow clients would use up the usual 1,024."""
    try:
        import resource
    except ImportError:
        return 65536
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _log_config(level: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"lenet.serving": {"level": level.upper()}, "uvicorn": {"level": "ERROR"}},
    }


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens, and returns when a signal has stopped it."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, on_ready: Callable[[str], None] | None):
        super().__init__(config)
        self._listening, self._on_ready = listening, on_ready

    def serve_until_told(self) -> None:
        """Run until SIGTERM or Ctrl-C; uvicorn raises the signal once more in the end, for the handlers before its."""
        numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGBREAK] if hasattr(signal, "SIGBREAK") else [])]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            self.run(sockets=[self._listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_ready is not None:
            self._on_ready(_url(self._listening))


def _run_workers(config: uvicorn.Config, listening: socket.socket, on_ready: Callable[[str], None] | None) -> None:
    with tempfile.TemporaryDirectory(prefix="lenet-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = (
            folder  # where workers, which are started after it, keep their counters
        )
        try:
            workers = _Workers(config, sockets=[listening])
            if on_ready is not None:
                on_ready(_url(listening))
            workers.run()
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


class _Workers(Multiprocess):
    """uvicorn's worker processes, which load their models anew on SIGHUP instead of being replaced."""

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            LOG.warning("worker %s ended, and was replaced", pid)
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
