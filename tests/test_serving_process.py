"""The socket, the signals and the worker processes of a server, without starting a process."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import needs_serve  # noqa: F401
import pytest
import uvicorn
from programs import SENDS_SIGNALS
from uvicorn.supervisors.multiprocess import Multiprocess, Process

import lenet
from lenet.errors import ConfigurationError, InputError, InputTypeError
from lenet.serving import Limits, Models, create_app, serve
from lenet.serving import server as module
from lenet.serving.connections import TimedProtocol
from lenet.serving.logs import log_request, write_request

MODELS = {"m": lenet.LeNet5(seed=0)}


# ---- sockets -------------------------------------------------------------------------------------------


def test_a_socket_listens_on_an_address():
    with module._listen("127.0.0.1", 0, 16) as listening:
        host, port = listening.getsockname()
        assert (host, listening.family, listening.proto) == ("127.0.0.1", socket.AF_INET, socket.IPPROTO_TCP)
        assert port > 0
        reuses = listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert bool(reuses) == (os.name == "posix")
        with socket.create_connection((host, port), timeout=5):
            pass
        with pytest.raises(ConfigurationError) as error:
            module._listen(host, port, 16)
        assert str(error.value).startswith(f"Cannot listen on 127.0.0.1 port {port} (")
        assert str(error.value).endswith("). Choose another host or port.")


@pytest.mark.parametrize("host", ["a" * 70 + ".invalid", "203.0.113.1"])
def test_an_address_that_is_not_of_this_machine(host):
    with pytest.raises(ConfigurationError, match="Choose another host or port"):
        module._listen(host, 0, 16)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_replaces_one_on_which_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with module._listen_on_path("s", 16) as listening:
        assert stat.S_IMODE(Path("s").stat().st_mode) == 0o666
        assert module._url(listening) == "unix:s"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("s")
        with pytest.raises(ConfigurationError, match=r"^Another server listens on s\. Choose another path\.$"):
            module._listen_on_path("s", 16)
    with module._listen_on_path("s", 16), socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigurationError, match=r"^Cannot listen on file \(.*\)\. Choose another path\.$"):
        module._listen_on_path("file", 16)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_system_without_unix_sockets(monkeypatch):
    monkeypatch.delattr(module.socket, "AF_UNIX", raising=False)
    with pytest.raises(ConfigurationError, match="no Unix sockets"):
        module._listen_on_path("s", 16)


class Address(SimpleNamespace):
    """A socket as far as its address is concerned."""

    def getsockname(self):
        return self.address


V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("family", "address", "url", "warns"),
    [
        (V4, ("127.0.0.1", 80), "http://127.0.0.1:80/", False),
        (V4, ("127.8.8.8", 80), "http://127.8.8.8:80/", False),
        (V4, ("0.0.0.0", 81), "http://0.0.0.0:81/", True),  # noqa: S104
        (V6, ("::1", 82, 0, 0), "http://[::1]:82/", False),
        (V6, ("::", 83, 0, 0), "http://[::]:83/", True),
        (-1, "/run/s", "unix:/run/s", False),
    ],
)
def test_the_url_of_an_address_and_whether_other_machines_reach_it(caplog, family, address, url, warns):
    listening = Address(family=family, address=address)
    assert module._url(listening) == url
    module._warn_if_open(listening)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(" without")[0] for message in messages] == (
        [f"The server listens on {address[0]} port {address[1]}"] if warns else []
    )


@pytest.mark.parametrize(
    ("soft", "hard", "fails", "set_to", "result"),
    [
        (1024, 4096, None, 4096, 4096),
        (1024, 2**20, None, 65536, 65536),
        (1024, -1, None, 65536, 65536),
        (10**6, -1, None, 10**6, 10**6),
        (1024, 4096, OSError, 4096, 1024),
        (1024, 4096, ValueError, 4096, 1024),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_allowed(monkeypatch, soft, hard, fails, set_to, result):
    limits, calls = [soft, hard], []

    def setrlimit(kind, pair):
        calls.append((kind, pair))
        if fails:
            raise fails
        limits[:] = pair

    fake = SimpleNamespace(RLIMIT_NOFILE=7, RLIM_INFINITY=-1, getrlimit=lambda kind: tuple(limits), setrlimit=setrlimit)
    monkeypatch.setitem(sys.modules, "resource", fake)
    assert module._allow_many_files() == result
    assert calls == [(7, (set_to, hard))]


def test_windows_has_no_limit_of_open_files(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert module._allow_many_files() == 65536


# ---- the arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"workers": 0}, InputError, "workers"),
        ({"workers": 1.5}, InputTypeError, "workers"),
        ({"port": -1}, InputError, "port"),
        ({"port": 65536}, InputError, "port"),
        ({"port": "80"}, InputTypeError, "port"),
        ({"host": None}, InputTypeError, "host is of type NoneType; expected a string."),
        ({"log_level": "debug"}, InputError, "log_level is 'debug'; expected one of info, warning, error."),
        ({"log_level": None}, InputError, "log_level is None"),
        ({"uds": 3}, InputTypeError, "uds is of type int; expected a path or None."),
        ({"on_ready": 3}, InputTypeError, "on_ready is 3; expected a function or None."),
        ({"workers": 2, "allow_control": True}, InputError, "allow_control requires workers=1"),
        ({"limits": 3}, InputTypeError, "limits"),
    ],
)
def test_arguments_that_are_not_valid(arguments, error, says):
    with pytest.raises(error) as raised:
        serve(MODELS, **arguments)
    assert says in str(raised.value)


@pytest.fixture
def configured(monkeypatch):
    """What `serve` runs: a list of the configuration and the other arguments of a server or of its workers."""
    runs = []

    class Server:
        def __init__(self, config, listening, on_ready):
            runs.append((config, listening.getsockname(), on_ready))

        def serve_until_signal(self):
            runs.append("served")

    monkeypatch.setattr(module, "_Server", Server)
    monkeypatch.setattr(module, "_run_workers", lambda config, models, listening, on_ready: runs.append(
        (config, models, listening.getsockname(), on_ready)))  # fmt: skip
    monkeypatch.setattr(module, "log_config", lambda level: None)  # or else this process would log as a server
    monkeypatch.setattr(module, "_allow_many_files", lambda: 65536)
    return runs


@pytest.mark.parametrize(("level", "on_request"), [("info", write_request), ("warning", log_request)])
def test_the_configuration_of_one_process(configured, level, on_request):
    limits, ready = Limits(receive_seconds=1.25, request_seconds=2.5, connections=77), print
    serve(MODELS, port=0, limits=limits, token="t", control_token="c", log_level=level, on_ready=ready)  # noqa: S106
    (config, (host, _), on_ready), ended = configured
    assert (host, on_ready, ended) == ("127.0.0.1", ready, "served")
    assert (config.workers, config.factory, config.http, config.ws) == (1, False, TimedProtocol, "none")
    assert (config.lifespan, config.loop, config.backlog) == ("on", "asyncio", 2048)
    assert (config.access_log, config.server_header, config.proxy_headers) == (False, False, False)
    assert config.timeout_graceful_shutdown == 4  # 3.75 s, in whole seconds
    assert (config.app.limits, config.app._tokens, config.app._on_request) == (limits, [b"t", b"c"], on_request)


@pytest.mark.parametrize(
    ("files", "connections", "backlog", "allowed"),
    [(100, 4096, 16, 1), (256, 4096, 16, 128), (1024, 4096, 64, 704), (65536, 4096, 2048, 4096), (2**16, 1, 2048, 1)],
)
def test_connections_leave_64_files_and_four_backlogs(configured, monkeypatch, files, connections, backlog, allowed):
    """The backlog is a 16th of the files, from 16 to 2048."""
    monkeypatch.setattr(module, "_allow_many_files", lambda: files)
    serve(MODELS, port=0, limits=Limits(connections=connections))
    config = configured[0][0]
    assert (config.backlog, config.app.limits.connections) == (backlog, allowed)


def test_the_configuration_of_workers(configured, monkeypatch, tmp_path):
    serve(MODELS, port=0, workers=3, limits=Limits(batch=7))
    ((config, models, (host, _), on_ready),) = configured
    assert (config.workers, config.factory, host, on_ready) == (3, True, "127.0.0.1", None)
    assert [served.name for served in models.ready()] == ["m"]
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert config.app().limits.batch == 7


@pytest.mark.parametrize(("token", "warns"), [(None, True), ("t", False)])
def test_a_server_without_a_token_warns(configured, monkeypatch, token, warns):
    warnings = []
    monkeypatch.setattr(module, "_warn_if_open", warnings.append)
    serve(MODELS, port=0, token=token)
    assert len(warnings) == warns


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_is_removed_at_the_end(configured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serve(MODELS, uds="s")
    assert configured[0][1] == "s"
    assert not (tmp_path / "s").exists()


@SENDS_SIGNALS
@pytest.mark.parametrize(("number", "tells"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_server_runs_until_a_signal(monkeypatch, number, tells):
    monkeypatch.setattr(module, "log_config", lambda level: None)
    before, urls, frozen = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)], [], []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: frozen.append("unfreeze"))

    def on_ready(url):
        urls.append(url)
        port = int(url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            os.kill(os.getpid(), number)

    startup = uvicorn.Server.startup

    async def kills(self, sockets=None):
        await startup(self, sockets)
        os.kill(os.getpid(), number)

    if not tells:
        monkeypatch.setattr(uvicorn.Server, "startup", kills)
    serve(MODELS, port=0, limits=Limits(drain_seconds=0), on_ready=on_ready if tells else None)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
    assert [url[:17] for url in urls] == ["http://127.0.0.1:"] * tells
    assert frozen == ["freeze", "unfreeze"]


# ---- draining ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "force_exit", "expected"),
    [
        ([signal.SIGTERM], False, [0.05, 0.05, 0.05, "shutdown", "flush", "unfreeze"]),
        ([signal.SIGINT], False, ["shutdown", "flush", "unfreeze"]),
        ([], True, [0.05, 0.05, 0.05, "shutdown", "lifespan", "flush", "unfreeze"]),
    ],
)
def test_a_server_is_not_ready_for_some_time_before_it_stops(monkeypatch, signals, force_exit, expected):
    """It looks every 0.05 s whether 0.125 s have passed, or Ctrl-C was pressed."""
    events, now = [], [100.0]

    async def sleep(seconds):
        assert application.state.is_draining
        events.append(seconds)
        now[0] += seconds

    def recorded(name):
        async def record(*args):
            assert application.state.is_draining
            events.append(name)

        return record

    application = create_app(MODELS, limits=Limits(drain_seconds=0.125))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, "WRITER", SimpleNamespace(flush=lambda: events.append("flush")))
    monkeypatch.setattr(uvicorn.Server, "shutdown", recorded("shutdown"))
    monkeypatch.setattr(gc, "unfreeze", lambda: events.append("unfreeze"))
    config = uvicorn.Config(application, log_config=None)
    config.load()
    server = module._DrainingServer(config)
    server._captured_signals, server.force_exit = signals, force_exit
    server.lifespan = SimpleNamespace(shutdown=recorded("lifespan"))
    asyncio.run(server.shutdown())
    assert events == expected


def test_another_application_does_not_drain(monkeypatch):
    async def other(scope, receive, send):
        pass

    events = []

    async def shutdown(self, sockets):
        events.append("shutdown")

    monkeypatch.setattr(uvicorn.Server, "shutdown", shutdown)
    config = uvicorn.Config(other, log_config=None)
    config.load()
    asyncio.run(module._DrainingServer(config).shutdown())
    assert events == ["shutdown"]


# ---- workers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("tells", [True, False])
def test_workers_share_a_folder_of_metrics_and_models(monkeypatch, fails, tells):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    events = []

    class Workers:
        def __init__(self, config, models, listening):
            events.append(
                ("made", config, [file.name for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()])
            )

        def run(self):
            events.append("run")
            if fails:
                raise KeyError

    monkeypatch.setattr(module, "_Workers", Workers)
    on_ready = (lambda url: events.append(url)) if tells else None
    listening = Address(family=V4, address=("127.0.0.1", 80))
    with pytest.raises(KeyError) if fails else contextlib.nullcontext():
        module._run_workers("config", Models(MODELS), listening, on_ready)
    made = ("made", "config", ["m.safetensors"])
    assert events == [made, *(["http://127.0.0.1:80/"] if tells else []), "run"]
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_worker_starts_with_the_model_that_was_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    Models(MODELS).keep(tmp_path)
    (tmp_path / "damaged").write_bytes(b"damaged")
    models = module._worker_app({"m": tmp_path / "damaged"}, lenet.load, lambda models: models)
    assert models.get("m").version == Models(MODELS).get("m").version


@pytest.mark.parametrize(
    ("parent", "own", "ends"),
    [("alive", False, False), ("alive", True, True), ("dead", False, True), (None, False, True)],
)
def test_a_worker_ends_with_its_parent(monkeypatch, parent, own, ends):
    async def on_tick(self, counter):
        return own

    process = parent and SimpleNamespace(is_alive=lambda: parent == "alive")
    monkeypatch.setattr(uvicorn.Server, "on_tick", on_tick)
    monkeypatch.setattr(module.multiprocessing, "parent_process", lambda: process)
    server = module._WorkerServer(uvicorn.Config(None, log_config=None))
    assert bool(asyncio.run(server.on_tick(1))) == ends


@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_has_one_server_and_ends_at_once_if_a_thread_works(monkeypatch, fails):
    events = []

    def target(self, sockets):
        events.append(sockets)
        if fails:
            raise KeyError

    monkeypatch.setattr(Process, "target", target)
    monkeypatch.setattr(module, "exit_if_working", lambda: events.append("exit"))
    worker = module._Worker.__new__(module._Worker)
    worker.config, worker._server = uvicorn.Config(None, log_config=None), None
    assert isinstance(worker.server, module._WorkerServer)
    assert worker.server is worker.server
    with pytest.raises(KeyError) if fails else contextlib.nullcontext():
        worker.target(["socket"])
    assert events == [["socket"], "exit"]


class Started:
    """A worker process that runs, or has ended with an exit code."""

    def __init__(self, pid, events, exitcode=None):
        self.pid, self.exitcode, self._events = pid, exitcode, events

    def is_alive(self, timeout):
        self._events.append((self.pid, "asked", timeout))
        return self.exitcode is None

    def __getattr__(self, name):
        return lambda: self._events.append((self.pid, name))


@pytest.fixture
def workers(monkeypatch):
    """Two worker processes that run, with the events of both; further ones have the numbers 3 and 4."""

    def init(self, config, sockets):
        self.config, self.sockets, self.should_exit = config, sockets, threading.Event()

    monkeypatch.setattr(Multiprocess, "__init__", init)
    events, numbers = [], iter(range(3, 9))
    models = SimpleNamespace(changed=list, reload=lambda name: events.append(("reload", name)),
                             keep=lambda folder: events.append(("keep", folder)))  # fmt: skip
    config = SimpleNamespace(timeout_worker_healthcheck=5)
    workers = module._Workers(config, models, SimpleNamespace(close=lambda: events.append("closed")))
    monkeypatch.setattr(module, "_Worker", lambda config, sockets: Started(next(numbers), events))
    monkeypatch.setattr(module.multiprocess, "mark_process_dead", lambda pid: events.append((pid, "marked")))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "folder")
    workers.processes, workers.processes_num = [Started(1, events), Started(2, events)], 2
    return workers, events


def test_workers_are_started(workers):
    workers, events = workers
    workers.init_processes()
    assert events == [(3, "start"), (4, "start")]
    assert [process.pid for process in workers.processes] == [3, 4]


def test_a_hangup_is_passed_on_to_the_workers(workers, monkeypatch):
    workers, _ = workers
    kills = []

    def kill(pid, number):
        kills.append((pid, number))
        if pid == 1:
            raise ProcessLookupError

    monkeypatch.setattr(module.os, "kill", kill)
    monkeypatch.setattr(module.signal, "SIGHUP", 1, raising=False)
    workers.processes.insert(0, Started(None, []))
    workers.handle_hup()
    assert kills == [(1, 1), (2, 1)]


def test_workers_that_stop_refuse_connections(workers):
    workers, events = workers
    workers.terminate_all()
    assert events == [(1, "terminate"), (2, "terminate"), "closed"]


def test_workers_that_run_are_left_alone(workers):
    workers, events = workers
    workers.keep_subprocess_alive()
    assert events == [(1, "asked", 5), (2, "asked", 5)]


def test_a_worker_that_has_ended_is_replaced(workers, caplog):
    workers, events = workers
    workers.processes[0].exitcode = -9
    workers.keep_subprocess_alive()
    first = [(1, "asked", 5), (1, "kill"), (1, "join"), (1, "marked"), (3, "start")]
    assert events == [*first, (2, "asked", 5)]
    assert [process.pid for process in workers.processes] == [3, 2]
    assert [record.getMessage() for record in caplog.records] == ["Worker 1 exited and was replaced."]


def test_a_worker_that_cannot_start_stops_the_server(workers, caplog):
    workers, events = workers
    workers.processes[0].exitcode = 3
    workers.keep_subprocess_alive()
    assert events == [(1, "asked", 5), (1, "kill"), (1, "join"), (1, "marked")]
    assert workers.should_exit.is_set()
    assert [record.getMessage() for record in caplog.records] == ["Worker 1 could not start, so the server stops."]


def test_no_worker_is_replaced_while_the_server_stops(workers):
    workers, events = workers
    workers.should_exit.set()
    workers.processes[0].exitcode = -9
    workers.keep_subprocess_alive()
    assert events == []


def test_models_that_change_are_kept_for_further_workers(workers):
    workers, events = workers
    workers.processes = []
    workers._models.changed = lambda: ["a", "b"]

    def reload(name):
        events.append(("reload", name))
        if name == "a":
            raise KeyError

    workers._models.reload = reload
    workers.keep_subprocess_alive()
    assert events == [("reload", "a"), ("reload", "b"), ("keep", "folder")]
