"""Run the application: the socket, the signals and the worker processes."""

import asyncio
import contextlib
import dataclasses
import functools
import gc
import ipaddress
import math
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from prometheus_client import multiprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import HANDLED_SIGNALS
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from lenet import _checks
from lenet._lazy import cached_property
from lenet.errors import ConfigurationError, InputError, InputTypeError
from lenet.loading import load
from lenet.model import LeNet5
from lenet.serving.application import create_app
from lenet.serving.asgi import Application
from lenet.serving.connections import TimedProtocol, application_of
from lenet.serving.limits.capacity import exit_if_working
from lenet.serving.limits.settings import Limits, checked_limits
from lenet.serving.logs import LEVELS, LOG, WRITER, log_config, write_request
from lenet.serving.metrics import METRICS_FOLDER
from lenet.serving.models import Loader, Models, Source, kept_file

_ACCEPTED_AT_ONCE = 4  # connections that a worker accepts before others have a chance


def serve(
    models: Mapping[str, Source],
    loader: Loader = load,
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
    check_arguments(host, port, uds, workers, token, allow_control, control_token, log_level)
    _checks.callback(on_ready, "on_ready")
    if workers > 1 and getattr(multiprocessing.current_process(), "_inheriting", False):
        LOG.error('serve was called by a worker that imports the script. Call it under if __name__ == "__main__":')
        sys.exit(STARTUP_FAILURE)
    limits = checked_limits(limits)
    files = _allow_many_files()
    backlog = max(16, min(2048, files // 16))  # asyncio accepts this many at once, before any are closed
    limits = dataclasses.replace(limits, connections=max(1, min(limits.connections, files - 4 * backlog - 64)))
    on_request = functools.partial(write_request, lowest=log_level)
    served = Models(models, loader)  # also with workers, so that errors are raised before listening
    sources = {name: None if isinstance(source, LeNet5) else source for name, source in models.items()}
    build = functools.partial(
        create_app, limits=limits, token=token, allow_control=allow_control, control_token=control_token,
        on_request=on_request,
    )  # fmt: skip
    app = build(served)
    listening = _listen(host, port, backlog) if uds is None else _listen_on_path(os.fspath(uds), backlog)
    served_app = app if workers == 1 else functools.partial(_worker_app, sources, loader, build)
    config = _config(served_app, workers, backlog, limits, log_level)
    with listening, contextlib.ExitStack() as on_exit:
        if uds is not None:
            on_exit.callback(Path(uds).unlink, missing_ok=True)
        elif token is None:
            _warn_if_open(listening)
        if workers == 1:
            _Server(config, listening, on_ready).serve_until_signal()
        else:
            _run_workers(config, served, listening, on_ready, limits.drain_seconds)


def _check_main_thread() -> None:
    in_loop = False
    with contextlib.suppress(RuntimeError):
        in_loop = bool(asyncio.get_running_loop())
    if in_loop or threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "serve was called in another thread or an event loop; expected the main thread, which handles signals. "
            "Use create_app instead."
        )


def check_arguments(
    host: object,
    port: int,
    uds: object,
    workers: int,
    token: object,
    allow_control: bool,
    control_token: object,
    log_level: object,
) -> None:
    """Check the arguments of `serve` that `create_app` does not; the messages also suit `lenet serve`."""
    _checks.whole(workers, "workers")
    if _checks.whole(port, "port", at_least=0) > 65535:
        raise InputError(f"port is {port}; expected 0 to 65535.")
    if not isinstance(host, str):
        raise InputTypeError(f"host is of type {type(host).__name__}; expected a string.")
    if not isinstance(log_level, str) or log_level not in LEVELS:
        raise InputError(f"log_level is {_checks.short_repr(log_level)}; expected one of {', '.join(LEVELS)}.")
    if not (uds is None or isinstance(uds, str | os.PathLike)):
        raise InputTypeError(f"uds is of type {type(uds).__name__}; expected a path or None.")
    if uds == "":  # Path("") is the current folder
        raise InputError("uds is empty; expected a path.")
    if not _checks.boolean(allow_control, "allow_control"):
        return
    if workers > 1:
        raise InputError("allow_control requires one worker: a request to load or unload would reach only one of them.")
    if token is None and control_token is None:
        raise InputError(
            "allow_control requires a token, or anyone could load and unload models. Set LENET_TOKEN, "
            "LENET_TOKEN_FILE or LENET_CONTROL_TOKEN; in Python, pass token or control_token."
        )


def _config(
    app: Application | Callable[[], Application], workers: int, backlog: int, limits: Limits, log_level: str
) -> uvicorn.Config:
    """Return the configuration of a server; with several workers, each calls `app` for its application."""
    return uvicorn.Config(
        app,
        factory=workers > 1,
        workers=workers,
        http=TimedProtocol,
        loop="asyncio",  # uvloop is hardly faster here, and reads megabytes from one connection at once
        ws="none",
        lifespan="on",
        log_config=log_config(log_level),
        backlog=backlog,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(limits.receive_seconds + limits.request_seconds),  # after the drain
    )


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket, so that an address in use is reported before any process starts."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as on_error:
            # With the protocol, since asyncio sets TCP_NODELAY only for IPPROTO_TCP.
            listening = on_error.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(backlog)
            on_error.pop_all()
        return listening
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: invalid host name
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"Cannot listen on {host} port {port} ({reason}). Choose another host or port."
        ) from None


def _listen_on_path(path: str, backlog: int) -> socket.socket:
    """Return a listening Unix socket, which replaces a stale one."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError("This system has no Unix sockets; expected a host and a port.")
    try:
        with contextlib.ExitStack() as on_error:
            if Path(path).is_socket():
                with socket.socket(socket.AF_UNIX) as other, contextlib.suppress(ConnectionRefusedError):
                    other.connect(path)
                    raise ConfigurationError(f"Another server listens on {path}. Choose another path.")
                Path(path).unlink()
            listening = on_error.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listening.bind(path)
            Path(path).chmod(0o666)  # its folder decides who can connect
            listening.listen(backlog)
            on_error.pop_all()
        return listening
    except OSError as error:
        raise ConfigurationError(f"Cannot listen on {path} ({error.strerror or error}). Choose another path.") from None


def _warn_if_open(listening: socket.socket) -> None:
    """Log a warning unless only this machine can connect."""
    host, port = listening.getsockname()[:2]
    if not ipaddress.ip_address(host).is_loopback:
        LOG.warning(
            "The server listens on %s port %s without a token, so every machine that can reach this port can use it. "
            "Set LENET_TOKEN, or listen on 127.0.0.1.",
            host,
            port,
        )


def _url(listening: socket.socket) -> str:
    address = listening.getsockname()
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _allow_many_files() -> int:
    """Raise the limit of open files as far as allowed, and return it; many slow clients exceed the usual 1,024."""
    try:
        import resource
    except ImportError:
        return 65536
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class _DrainingServer(uvicorn.Server):
    """uvicorn's server, which is not ready for some time before it stops, and stops without tracebacks."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # excludes modules and models from garbage collection, which would delay requests by 50 ms

    async def _wait_tasks_to_complete(self) -> None:
        """Wait for connections and requests; from Python 3.12.1 on, uvicorn's method ignores a second Ctrl-C."""
        while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:
            await asyncio.sleep(0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        application = application_of(self.config.loaded_app)
        if application is not None:
            application.state.is_draining = True
            end = time.monotonic() + application.limits.drain_seconds
            while time.monotonic() < end and signal.SIGINT not in self._captured_signals:
                await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()
        WRITER.flush()
        gc.unfreeze()


class _Server(_DrainingServer):
    """A server that reports when it listens, and returns after a signal."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, on_ready: Callable[[str], None] | None):
        super().__init__(config)
        self._listening, self._on_ready = listening, on_ready

    def serve_until_signal(self) -> None:
        """Run until SIGTERM or Ctrl-C; uvicorn's own handlers would raise the signal again at the end."""
        previous = {number: signal.signal(number, self._stop) for number in HANDLED_SIGNALS}
        try:
            self.run(sockets=[self._listening])
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_ready is not None:
            self._on_ready(_url(self._listening))


def _run_workers(
    config: uvicorn.Config,
    models: Models,
    listening: socket.socket,
    on_ready: Callable[[str], None] | None,
    drain_seconds: float,
) -> None:
    try:
        shared = tempfile.TemporaryDirectory(prefix="lenet-metrics-")
    except OSError as error:
        raise ConfigurationError(
            f"The temporary folder that several workers share cannot be created ({error.strerror}). "
            "Set TMPDIR to a writable folder, or use one worker."
        ) from None
    with shared as folder:
        given = os.environ.get(METRICS_FOLDER)
        previous = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            os.environ[METRICS_FOLDER] = folder  # the workers inherit it
            models.keep(folder)
            workers = _Workers(config, models, listening, drain_seconds)
            if on_ready is not None:
                on_ready(_url(listening))
            workers.run()
            if workers.has_failed:
                raise ConfigurationError(
                    "The server stopped because its workers failed repeatedly or at startup. Read its log."
                )
        finally:
            del os.environ[METRICS_FOLDER]
            if given is not None:
                os.environ[METRICS_FOLDER] = given
            for number, handler in previous.items():
                if handler is not None:  # None: it was not installed by Python
                    signal.signal(number, handler)


def _worker_app(
    sources: Mapping[str, Source | None], loader: Loader, build: Callable[[Models], Application]
) -> Application:
    """Return the application of a worker process, which starts with the last good models if a file is damaged."""
    kept = os.environ[METRICS_FOLDER]
    # A parent whose worker dies early never finishes sending it more than 64 KiB, so models come from files.
    models = {name: load(kept_file(kept, name)) if source is None else source for name, source in sources.items()}
    return build(Models(models, loader, kept=kept))


def _is_orphaned() -> bool:
    parent = multiprocessing.parent_process()
    return not (parent and parent.is_alive())


class _SharedSocket(socket.socket):
    """A listening socket of several processes."""

    def listen(self, backlog: int = 0) -> None:
        """Keep the backlog, which asyncio would reduce to the number of connections accepted at once."""


class _WorkerServer(_DrainingServer):
    """The server of a worker process, which leaves connections to the others, and stops if its parent has died."""

    def __init__(self, config: uvicorn.Config, parent: Connection):
        super().__init__(config)
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.backlog = _ACCEPTED_AT_ONCE
        if os.name == "posix":  # Windows ignores a second backlog
            # `socket.dup` would make the socket blocking, also for the workers that are accepting.
            sockets = [_SharedSocket(fileno=os.dup(each.fileno())) for each in sockets or []]
        await super().startup(sockets)
        self._parent.send(self.started)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or _is_orphaned()


class _Worker(Process):
    """A worker process with a draining server."""

    _has_started = False

    @cached_property
    def server(self) -> uvicorn.Server:
        return _WorkerServer(self.config, self.child_conn)

    def has_started(self) -> bool:
        """Return whether its server has started; before that, it may import modules for a long time."""
        self._has_started = self._has_started or (self.parent_conn.poll() and self.parent_conn.recv())
        return self._has_started

    def is_alive(self, timeout: float = 5) -> bool:
        return self.process.is_alive() and (not self.has_started() or self.ping(timeout))

    def terminate(self) -> None:
        try:
            super().terminate()
        except OSError:  # on Windows without a console, which would pass the signal on
            self.process.terminate()

    def join(self, timeout: float = 5) -> None:
        self.process.join(timeout)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # except while uvicorn handles it; the parent gets it, too
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            if not _is_orphaned():
                super().target(sockets)
        finally:
            if _is_orphaned():
                shutil.rmtree(os.environ[METRICS_FOLDER], ignore_errors=True)
            exit_if_working()


class _Workers(Multiprocess):
    """uvicorn's worker processes, which reload their models on SIGHUP instead of being replaced."""

    processes: list[_Worker]  # type: ignore[assignment]

    def __init__(self, config: uvicorn.Config, models: Models, listening: socket.socket, drain_seconds: float):
        super().__init__(config, [listening])
        self._models, self._drain_seconds = models, drain_seconds
        self.has_failed = False
        self._failures = 0  # workers that have failed since one was last ready

    def init_processes(self) -> None:
        self.processes = [self._started() for _ in range(self.processes_num)]

    def handle_hup(self) -> None:
        for process in self.processes:
            # The signal would end a worker that is still starting; it loads the current files anyway.
            if process.pid is not None and process.has_started():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)

    def handle_ttin(self) -> None:
        """Ignore the signal: the number of workers is fixed."""

    handle_ttou = handle_ttin
    handle_quit = Multiprocess.handle_term

    def terminate_all(self) -> None:
        super().terminate_all()
        self.sockets[0].close()  # connections are refused as soon as the workers stop accepting them

    def join_all(self) -> None:
        """Wait for the workers as long as a shutdown may take, and kill those that still run."""
        end = time.monotonic() + self._drain_seconds + (self.config.timeout_graceful_shutdown or 0) + 2
        for process in self.processes:
            while process.exitcode is None and time.monotonic() < end:
                process.join(0.1)
                if signal.SIGINT in self.signal_queue:  # a second Ctrl-C
                    end = min(end, time.monotonic() + 1)
            if process.exitcode is None:
                LOG.error("Worker %s did not stop in time and was killed. Its requests were not finished.", process.pid)
            process.kill()

    def keep_subprocess_alive(self) -> None:
        for name in self._models.changed():
            with contextlib.suppress(Exception):  # the workers log it
                self._models.reload(name)
                self._models.keep(os.environ[METRICS_FOLDER])
        for k, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.is_alive(self.config.timeout_worker_healthcheck):
                if process.has_started():
                    self._failures = 0
                continue
            self.handle_signals()  # Ctrl-C also ends the workers
            if self.should_exit.is_set():
                return
            self._failures += 1
            problem = "did not answer" if process.exitcode is None else "exited"
            process.kill()
            process.join()
            multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            if process.exitcode == STARTUP_FAILURE or self._failures > 2 * len(self.processes):
                LOG.error("Worker %s failed, so the server stops.", process.pid)
                self.has_failed = True
                self.should_exit.set()
                return
            LOG.warning("Worker %s %s and was replaced.", process.pid, problem)
            self.processes[k] = self._started()

    def _started(self) -> _Worker:
        worker = _Worker(self.config, self.sockets)
        with _blocked_ctrl_c():  # in the worker, too, until it has imported its modules
            worker.start()
        return worker


@contextlib.contextmanager
def _blocked_ctrl_c() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
