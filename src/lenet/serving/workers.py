"""Worker processes that share the socket of a server, and their supervision."""

import contextlib
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

import uvicorn
from prometheus_client import multiprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from lenet._lazy import cached_property
from lenet.errors import ConfigurationError
from lenet.loading import load
from lenet.serving.asgi import Application
from lenet.serving.draining import DrainingServer, restored_handlers
from lenet.serving.limits.capacity import exit_if_working
from lenet.serving.logs import LOG, log_as_json
from lenet.serving.metrics import METRICS_FOLDER
from lenet.serving.models import Loader, Models, Source, kept_file

_ACCEPTED_AT_ONCE = 4  # connections that a worker accepts before others have a chance


def run_workers(
    config: uvicorn.Config,
    models: Models,
    listening: socket.socket,
    drain_seconds: float,
    on_ready: Callable[[], object],
) -> None:
    """Run worker processes until a signal; raise ConfigurationError if they fail repeatedly or at startup."""
    given = os.environ.get(METRICS_FOLDER)
    with _shared_folder() as folder, restored_handlers(SIGNALS):
        os.environ[METRICS_FOLDER] = folder  # the workers inherit it
        try:
            models.keep(folder)
            workers = _Workers(config, models, listening, drain_seconds)
            on_ready()
            workers.run()
        finally:
            del os.environ[METRICS_FOLDER]
            if given is not None:
                os.environ[METRICS_FOLDER] = given
    if workers.has_failed:
        raise ConfigurationError(
            "The server stopped because its workers failed repeatedly or at startup. Read its log."
        )


@contextlib.contextmanager
def _shared_folder() -> Iterator[str]:
    """Yield a temporary folder for all workers, locked so that systemd-tmpfiles does not clean it after some days."""
    try:
        shared = tempfile.TemporaryDirectory(prefix="lenet-metrics-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigurationError(
            f"The temporary folder that several workers share cannot be created ({error.strerror}). "
            "Set TMPDIR to a writable folder, or use one worker."
        ) from None
    with shared as folder, contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):  # the file system may not support locks
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield folder


def worker_app(
    sources: Mapping[str, Source | None], loader: Loader, build: Callable[[Models], Application], log_level: str
) -> Application:
    """Return the application of a worker process, which starts with the last good models if a file is damaged."""
    log_as_json(log_level)
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


class _WorkerServer(DrainingServer):
    """The server of a worker process, which leaves connections to the others, and stops if its parent has died."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.backlog = _ACCEPTED_AT_ONCE
        if os.name == "posix":  # Windows ignores a second backlog
            # `socket.dup` would make the socket blocking, also for the workers that are accepting.
            sockets = [_SharedSocket(fileno=os.dup(each.fileno())) for each in sockets or []]
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or _is_orphaned()


class _Worker(Process):
    """A worker process with a draining server."""

    _has_started = False

    @cached_property
    def server(self) -> uvicorn.Server:
        return _WorkerServer(self.config, lambda: self.child_conn.send(True))

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


def _problem(exitcode: int | None) -> str:
    if exitcode is None:
        return "did not answer"
    return f"exited with code {exitcode}" if exitcode >= 0 else f"was killed by signal {-exitcode}"


class _Workers(Multiprocess):
    """uvicorn's worker processes, which reload their models on SIGHUP instead of being replaced."""

    processes: list[_Worker]  # type: ignore[assignment]

    def __init__(self, config: uvicorn.Config, models: Models, listening: socket.socket, drain_seconds: float):
        super().__init__(config, [listening])
        self._models, self._drain_seconds = models, drain_seconds
        self.has_failed = False
        self._keeper, self._folder = threading.Thread(), os.environ[METRICS_FOLDER]
        self._failures = 0  # workers that have failed since all were last ready

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
        if not self._keeper.is_alive():  # a thread, because reading a file may take long, for example from a network
            self._keeper = threading.Thread(target=self._keep_models, daemon=True)
            with contextlib.suppress(RuntimeError):  # the system allows no more threads now
                self._keeper.start()
        failures_before = self._failures
        for k, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.is_alive(self.config.timeout_worker_healthcheck):
                continue
            self.handle_signals()  # Ctrl-C also ends the workers
            if self.should_exit.is_set():
                return
            self._failures += 1
            problem = _problem(process.exitcode)
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
        if self._failures == failures_before and all(process.has_started() for process in self.processes):
            self._failures = 0

    def _keep_models(self) -> None:
        for name in self._models.changed():
            with contextlib.suppress(Exception):  # the workers log it
                self._models.reload(name)
                self._models.keep(self._folder)

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
