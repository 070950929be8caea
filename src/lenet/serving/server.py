"""Serve models over HTTP in this process, or in worker processes."""

import asyncio
import contextlib
import dataclasses
import functools
import math
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from lenet import _checks
from lenet.errors import ConfigurationError, InputError
from lenet.interop.loading import load_any
from lenet.model import LeNet5
from lenet.serving.application import create_app
from lenet.serving.asgi import Application
from lenet.serving.connections import TimedProtocol
from lenet.serving.draining import DrainingServer
from lenet.serving.limits.settings import Limits, checked_limits
from lenet.serving.listening import allow_many_files, check_address, listen, listen_on_path, url_of, warn_if_open
from lenet.serving.logs import LOG, check_level, log_as_json, write_request
from lenet.serving.models import Loader, Models, Source
from lenet.serving.workers import run_workers, worker_app


def serve(
    models: Mapping[str, Source],
    loader: Loader = load_any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    uds: str | os.PathLike[str] | None = None,
    workers: int = 1,
    limits: Limits | None = None,
    token: str | None = None,
    allow_control: bool = False,
    control_token: str | None = None,
    log_level: str = "info",
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve models until SIGTERM or Ctrl-C, then finish the requests in progress.

    While it runs, the root logger has the level WARNING and a single handler, which writes lines of JSON to standard
    error; handlers of other loggers stay. When it returns, it restores the previous handlers and levels, and the signal
    handlers.

    Parameters
    ----------
    models, loader : mapping and callable
        As for `create_app`, but `models` is not a `Models`. With several workers, both must be picklable.
    host : str, default "127.0.0.1"
        The address to listen on. By default, only this machine can connect.
    port : int, default 8000
        From 0 to 65,535; 0 chooses a free port.
    uds : path-like, optional
        The path of a Unix socket to listen on, instead of `host` and `port`.
    workers : int, default 1
        Number of processes that share the port, at least 1. Each has its own models. With several, a script must call
        `serve` under ``if __name__ == "__main__":``, because each process imports the script.
    limits, token, allow_control, control_token : Limits, str, bool and str
        As for `create_app`. `allow_control` requires one worker.
    log_level : {"info", "warning", "error"}, default "info"
        The lowest level that is logged to standard error, as lines of JSON. Requests have the level "info", or a higher
        one for status 500 and above.
    on_ready : callable, optional
        Called with the URL, such as "http://127.0.0.1:8000/" or "unix:/run/lenet.sock", when the server listens.

    Raises
    ------
    ConfigurationError
        If the server cannot listen on the address, or stops because its workers failed repeatedly or at startup; if
        several workers have no writable temporary folder; if it is called outside the main thread or in an event loop:
        use `create_app` there.
    InputError, InputTypeError, WeightsError, OSError
        As for `create_app`; also if `workers` or `log_level` is invalid, or `allow_control` is true with several
        workers or without a token.
    """
    _check_main_thread()
    check_address(host, port, uds)
    check_workers(workers, allow_control=allow_control, has_token=token is not None or control_token is not None)
    check_level(log_level)
    _checks.callback(on_ready, "on_ready")
    if workers > 1 and getattr(multiprocessing.current_process(), "_inheriting", False):
        LOG.error('serve was called by a worker that imports the script. Call it under if __name__ == "__main__":')
        sys.exit(STARTUP_FAILURE)
    limits = checked_limits(limits)
    files = allow_many_files()
    backlog = max(16, min(2048, files // 16))  # asyncio accepts this many at once, before any are closed
    limits = dataclasses.replace(limits, connections=max(1, min(limits.connections, files - 4 * backlog - 64)))
    served = Models(models, loader)  # also with workers, so that errors are raised before listening
    build = functools.partial(
        create_app, limits=limits, token=token, allow_control=allow_control, control_token=control_token,
        on_request=functools.partial(write_request, lowest=log_level),
    )  # fmt: skip
    app: Application | Callable[[], Application] = build(served)
    if workers > 1:
        sources = {name: None if isinstance(source, LeNet5) else source for name, source in models.items()}
        app = functools.partial(worker_app, sources, loader, build, log_level)
    listening = listen(host, port, backlog) if uds is None else listen_on_path(os.fspath(uds), backlog)
    config = _config(app, workers, backlog, limits)

    def report() -> None:
        if on_ready is not None:
            on_ready(url_of(listening))

    with contextlib.ExitStack() as on_exit, listening:
        on_exit.callback(log_as_json(log_level))
        if uds is not None:
            on_exit.callback(_remove_unless_served, Path(uds))
        elif token is None:
            warn_if_open(listening)
        if workers == 1:
            DrainingServer(config, report).run_until_signal(listening)
        else:
            run_workers(config, served, listening, limits.drain_seconds, report)


def _remove_unless_served(path: Path) -> None:
    """Remove a Unix socket, unless another server has replaced it and listens."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)


def _check_main_thread() -> None:
    in_loop = False
    with contextlib.suppress(RuntimeError):
        in_loop = bool(asyncio.get_running_loop())
    if in_loop or threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "serve was called in another thread or an event loop; expected the main thread, which handles signals. "
            "Use create_app instead."
        )


def check_workers(workers: int, *, allow_control: bool, has_token: bool) -> None:
    """Check the number of workers, and whether clients may control models; the messages also suit `lenet serve`."""
    _checks.whole(workers, "workers")
    allow_control = _checks.boolean(allow_control, "allow_control")
    if allow_control and workers > 1:
        raise InputError("allow_control requires one worker: a request to load or unload would reach only one of them.")
    if allow_control and not has_token:
        raise InputError(
            "allow_control requires a token, or anyone could load and unload models. Set LENET_TOKEN, "
            "LENET_CONTROL_TOKEN, or either with the suffix _FILE; in Python, pass token or control_token."
        )


def _config(app: Application | Callable[[], Application], workers: int, backlog: int, limits: Limits) -> uvicorn.Config:
    """Return the configuration of a server; with several workers, each calls `app` for its application."""
    return uvicorn.Config(
        app,
        factory=workers > 1,
        workers=workers,
        http=TimedProtocol,
        loop="asyncio",  # uvloop is hardly faster here, and reads megabytes from one connection at once
        ws="none",
        lifespan="on",
        log_config=None,
        backlog=backlog,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(limits.receive_seconds + limits.request_seconds),  # after the drain
    )
