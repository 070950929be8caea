"""The arguments, the socket and the signals of a server, without starting a process."""

import asyncio
import contextlib
import functools
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import needs_serve  # noqa: F401
import pytest
import uvicorn
from programs import SENDS_SIGNALS
from serving_in_process import asked

import lenet
from lenet.errors import ConfigurationError, InputError, InputTypeError
from lenet.serving import Limits, create_app, draining, listening, serve, server, workers
from lenet.serving.connections import TimedProtocol, application_of
from lenet.serving.draining import DrainingServer
from lenet.serving.logs import WriterHandler, write_request

MODELS = {"m": lenet.LeNet5(seed=0)}


# ---- sockets -------------------------------------------------------------------------------------------


def test_a_socket_listens_on_an_address():
    with listening.listen("127.0.0.1", 0, 16) as opened:
        host, port = opened.getsockname()
        assert (host, opened.family, opened.proto) == ("127.0.0.1", socket.AF_INET, socket.IPPROTO_TCP)
        assert port > 0
        reuses = opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert bool(reuses) == (os.name == "posix")
        with socket.create_connection((host, port), timeout=5):
            pass
        with pytest.raises(ConfigurationError) as error:
            listening.listen(host, port, 16)
        assert str(error.value).startswith(f"Cannot listen on 127.0.0.1 port {port} (")
        assert str(error.value).endswith("). Choose another host or port.")
        assert "[Errno" not in str(error.value)


@pytest.mark.parametrize("host", ["a" * 70 + ".invalid", "203.0.113.1"])
def test_an_address_that_is_not_of_this_machine(host):
    with pytest.raises(ConfigurationError, match="Choose another host or port") as error:
        listening.listen(host, 0, 16)
    assert "(None)" not in str(error.value)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_replaces_one_on_which_nobody_listens(cwd):
    with listening.listen_on_path("s", 16) as opened:
        assert stat.S_IMODE(Path("s").stat().st_mode) == 0o666
        assert listening.url_of(opened) == "unix:s"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("s")
        with pytest.raises(ConfigurationError, match=r"^Another server listens on s\. Choose another path\.$"):
            listening.listen_on_path("s", 16)
    with listening.listen_on_path("s", 16), socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    (cwd / "file").write_text("kept")
    with pytest.raises(ConfigurationError, match=r"^Cannot listen on file \([^\[]*\)\. Choose another path\.$"):
        listening.listen_on_path("file", 16)
    assert (cwd / "file").read_text() == "kept"


def test_a_system_without_unix_sockets(monkeypatch):
    monkeypatch.delattr(listening.socket, "AF_UNIX", raising=False)
    with pytest.raises(ConfigurationError, match="no Unix sockets"):
        listening.listen_on_path("s", 16)


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
    ],
)
def test_the_url_of_an_address_and_whether_other_machines_reach_it(caplog, family, address, url, warns):
    opened = Address(family=family, address=address)
    assert listening.url_of(opened) == url
    listening.warn_if_open(opened)
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
    assert listening.allow_many_files() == result
    assert calls == [(7, (set_to, hard))]


def test_windows_has_no_limit_of_open_files(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert listening.allow_many_files() == 65536


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
        ({"workers": 2, "allow_control": True}, InputError, "allow_control requires one worker"),
        ({"allow_control": True}, InputError, "allow_control requires a token"),
        ({"allow_control": "no", "token": "t"}, InputTypeError, "allow_control is 'no'; expected True or False."),
        ({"limits": 3}, InputTypeError, "limits"),
    ],
)
def test_arguments_that_are_not_valid(arguments, error, says):
    with pytest.raises(error) as raised:
        serve(MODELS, **arguments)
    assert says in str(raised.value)


def test_a_server_needs_the_main_thread_and_no_event_loop():
    async def served():
        serve(MODELS, port=0)

    with ThreadPoolExecutor(1) as threads:
        in_thread = threads.submit(serve, MODELS, port=0).exception()
    with pytest.raises(ConfigurationError) as error:
        asyncio.run(served())
    says = "serve was called in another thread or an event loop; expected the main thread, which handles signals. "
    assert [str(each) for each in (in_thread, error.value)] == [says + "Use create_app instead."] * 2


@pytest.fixture
def configured(monkeypatch):
    """The runs of `serve`: a list of the configuration and the other arguments of each server or group of workers."""
    runs = []

    class Server:
        def __init__(self, config, on_ready):
            self.config, self.on_ready = config, on_ready

        def run_until_signal(self, opened):
            self.on_ready()
            runs.append((self.config, opened.getsockname()))

    monkeypatch.setattr(server, "DrainingServer", Server)
    monkeypatch.setattr(server, "run_workers", lambda config, models, opened, drain_seconds, on_ready: runs.append(
        (config, models, opened.getsockname(), drain_seconds)) or on_ready())  # fmt: skip
    monkeypatch.setattr(server, "allow_many_files", lambda: 65536)
    return runs


@pytest.mark.parametrize("level", ["info", "warning"])
def test_the_configuration_of_one_process(configured, level):
    limits, urls = Limits(receive_seconds=1.25, request_seconds=2.5, connections=77), []
    serve(MODELS, port=0, limits=limits, token="t", control_token="c", log_level=level, on_ready=urls.append)  # noqa: S106
    ((config, (host, port)),) = configured
    assert (host, urls) == ("127.0.0.1", [f"http://127.0.0.1:{port}/"])
    assert (config.workers, config.factory, config.http, config.ws) == (1, False, TimedProtocol, "none")
    assert (config.lifespan, config.loop, config.backlog) == ("on", "asyncio", 2048)
    assert (config.access_log, config.server_header, config.proxy_headers) == (False, False, False)
    assert (config.app.limits, config.app._tokens) == (limits, [b"t", b"c"])
    assert (config.app._on_request.func, config.app._on_request.keywords) == (write_request, {"lowest": level})


@pytest.mark.parametrize(
    ("files", "connections", "backlog", "allowed"),
    [(100, 4096, 16, 1), (256, 4096, 16, 128), (1024, 4096, 64, 704), (65536, 4096, 2048, 4096), (2**16, 1, 2048, 1)],
)
def test_connections_leave_64_files_and_four_backlogs(configured, monkeypatch, files, connections, backlog, allowed):
    """The backlog is a 16th of the files, from 16 to 2048."""
    monkeypatch.setattr(server, "allow_many_files", lambda: files)
    serve(MODELS, port=0, limits=Limits(connections=connections))
    config = configured[0][0]
    assert (config.backlog, config.app.limits.connections) == (backlog, allowed)


def test_the_configuration_of_workers(configured, monkeypatch, tmp_path):
    levels = []
    monkeypatch.setattr(workers, "log_as_json", levels.append)
    serve(MODELS, port=0, workers=2, limits=Limits(batch=7, drain_seconds=0.5), log_level="error")
    ((config, models, (host, _), drain_seconds),) = configured
    assert (config.workers, config.factory, host, drain_seconds) == (2, True, "127.0.0.1", 0.5)
    assert [served.name for served in models.ready()] == ["m"]
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    models.keep(tmp_path)
    assert config.app().limits.batch == 7
    assert levels == ["error"]
    assert len(pickle.dumps(config.app)) < 2**16  # what a pipe holds even if the worker dies before reading


def test_a_worker_that_imports_the_script_cannot_serve(configured, monkeypatch, caplog):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(SystemExit) as stopped:
        serve(MODELS, port=0, workers=2)
    assert (stopped.value.code, configured) == (3, [])  # 3: uvicorn's code for a failure at startup
    assert caplog.messages == [
        'serve was called by a worker that imports the script. Call it under if __name__ == "__main__":'
    ]


def test_clients_of_one_process_may_control_its_models(configured):
    serve(MODELS, port=0, allow_control=True, token="t")  # noqa: S106
    app = configured[0][0].app
    assert asked(app, "POST", "/v2/repository/models/m/load", authorization="Bearer t")[0] == 200


@pytest.mark.parametrize(("token", "warns"), [(None, True), ("t", False)])
def test_a_server_without_a_token_warns(configured, monkeypatch, token, warns):
    warnings = []
    monkeypatch.setattr(server, "warn_if_open", warnings.append)
    serve(MODELS, port=0, token=token)
    assert len(warnings) == warns


def test_the_defaults_of_a_server(configured, monkeypatch):
    listen, addresses = server.listen, []
    monkeypatch.setattr(server, "listen", lambda *args: addresses.append(args) or listen("127.0.0.1", 0, 16))
    serve(MODELS)
    config = configured[0][0]
    assert (addresses, config.workers) == ([("127.0.0.1", 8000, 2048)], 1)
    assert (config.app.limits, config.app._tokens, config.app._on_request.keywords) == (
        Limits(),
        [],
        {"lowest": "info"},
    )
    assert asked(config.app, "POST", "/v2/repository/models/m/load")[0] == 403


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_the_log_of_the_caller_continues_after_the_server_ends(configured, monkeypatch, caplog, tmp_path, count, fails):
    """A file that was opened for writing cannot continue after `logging.config`, which closes all handlers."""
    log, uvicorn_log, during = logging.getLogger("caller"), logging.getLogger("uvicorn.error"), []
    level = uvicorn_log.level

    def on_ready(url):
        during.append((list(map(type, logging.root.handlers)), logging.root.level, uvicorn_log.level))
        if fails:
            raise KeyError

    with contextlib.closing(logging.FileHandler(tmp_path / "log", "w")) as handler:
        monkeypatch.setattr(logging.root, "handlers", [handler])
        caplog.set_level(logging.INFO)
        log.info("before")
        with pytest.raises(KeyError) if fails else contextlib.nullcontext():
            serve(MODELS, port=0, workers=count, on_ready=on_ready)
        log.info("after")
    assert during == [([WriterHandler], logging.WARNING, logging.ERROR)]
    assert (logging.root.handlers, logging.root.level, uvicorn_log.level) == ([handler], logging.INFO, level)
    assert (tmp_path / "log").read_text() == "before\nafter\n"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
@pytest.mark.parametrize("exists", [True, False])
def test_a_unix_socket_is_removed_at_the_end(configured, cwd, monkeypatch, caplog, exists):
    if not exists:
        monkeypatch.setattr(
            server.DrainingServer, "run_until_signal", lambda self, opened: Path(opened.getsockname()).unlink()
        )
    serve(MODELS, uds="s")
    assert [address for _, address in configured] == ["s"] * exists
    assert caplog.messages == []  # only this machine can connect
    assert not (cwd / "s").exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_the_unix_socket_of_another_server_is_not_removed(configured, cwd, monkeypatch):
    """A server that takes over replaces the socket while the previous one finishes its requests."""

    def replace(self, opened):
        opened.close()
        other = listening.listen_on_path("s", 16)
        others.append(other)

    others = []
    monkeypatch.setattr(server.DrainingServer, "run_until_signal", replace)
    serve(MODELS, uds="s")
    assert (cwd / "s").exists()
    others[0].close()


@SENDS_SIGNALS
@pytest.mark.parametrize(("number", "has_on_ready"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_server_runs_until_a_signal(monkeypatch, number, has_on_ready):
    before, urls, frozen = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)], [], []
    monkeypatch.setattr(gc, "collect", lambda: frozen.append("collect"))  # or else garbage would be kept
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

    if not has_on_ready:
        monkeypatch.setattr(uvicorn.Server, "startup", kills)
    serve(MODELS, port=0, limits=Limits(drain_seconds=0), on_ready=on_ready if has_on_ready else None)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
    assert [url[:17] for url in urls] == ["http://127.0.0.1:"] * has_on_ready
    assert frozen == ["collect", "freeze", "unfreeze"]


# ---- draining ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "force_exit", "expected"),
    [
        ([signal.SIGTERM], False, [0.05, 0.05, "shutdown", "flush", "unfreeze"]),
        ([signal.SIGINT], False, ["shutdown", "flush", "unfreeze"]),
        ([], True, [0.05, 0.05, "shutdown", "lifespan", "flush", "unfreeze"]),
    ],
)
def test_a_server_is_not_ready_for_some_time_before_it_stops(monkeypatch, signals, force_exit, expected):
    """It looks every 0.05 s, here 0.0625 s later, whether 0.125 s have passed, or Ctrl-C was pressed."""
    events, now = [], [100.0]

    async def sleep(seconds):
        assert application.state.is_draining
        events.append(seconds)
        now[0] += 0.0625

    def recorded(name):
        async def record(*args):
            assert application.state.is_draining
            events.append(name)

        return record

    application = create_app(MODELS, limits=Limits(drain_seconds=0.125))
    monkeypatch.setattr(draining, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(draining, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(draining, "WRITER", SimpleNamespace(flush=lambda: events.append("flush")))
    monkeypatch.setattr(uvicorn.Server, "shutdown", recorded("shutdown"))
    monkeypatch.setattr(gc, "unfreeze", lambda: events.append("unfreeze"))
    config = uvicorn.Config(application, log_config=None)
    config.load()
    server = DrainingServer(config, print)
    server._captured_signals, server.force_exit = signals, force_exit
    server.lifespan = SimpleNamespace(shutdown=recorded("lifespan"))
    asyncio.run(server.shutdown())
    assert events == expected


@pytest.mark.timing
def test_a_request_that_never_ends_stops_the_server_after_the_drain_and_its_deadlines(configured):
    """0.9 s of drain, and 0.1 s + 0.3 s for the request, in whole seconds."""
    serve(MODELS, port=0, limits=Limits(receive_seconds=0.1, request_seconds=0.3, drain_seconds=0.9))
    config = configured[0][0]
    config.load()
    server = DrainingServer(config, print)
    server.servers, server.lifespan = [], SimpleNamespace(shutdown=functools.partial(asyncio.sleep, 0))

    async def seconds():
        server.server_state.tasks.add(asyncio.create_task(asyncio.sleep(60)))
        start = time.monotonic()
        await server.shutdown([])
        return time.monotonic() - start

    assert 1.8 < asyncio.run(seconds()) < 2.8


@pytest.mark.parametrize("waits_for", ["connections", "tasks"])
def test_a_second_ctrl_c_does_not_wait(waits_for):
    """From Python 3.12.1 on, `wait_closed` waits for all connections."""
    server = DrainingServer(uvicorn.Config(None, log_config=None), print)
    getattr(server.server_state, waits_for).add(object())
    server.servers = [SimpleNamespace(wait_closed=lambda: pytest.fail("it waits"))]

    async def end():
        waiting = asyncio.ensure_future(server._wait_tasks_to_complete())
        await asyncio.sleep(0.15)
        assert not waiting.done()
        server.force_exit = True
        await asyncio.wait_for(waiting, 1)

    asyncio.run(end())


def test_an_application_is_found_in_its_wrappers():
    application = create_app(MODELS)
    wrapped = SimpleNamespace(app=SimpleNamespace(app=application))
    assert application_of(application) is application_of(wrapped) is application
    assert application_of(SimpleNamespace(app=None)) is application_of(print) is None


def test_another_application_does_not_drain(monkeypatch):
    async def other(scope, receive, send):
        pass

    events = []

    async def shutdown(self, sockets):
        events.append("shutdown")

    monkeypatch.setattr(uvicorn.Server, "shutdown", shutdown)
    config = uvicorn.Config(other, log_config=None)
    config.load()
    asyncio.run(DrainingServer(config, print).shutdown())
    assert events == ["shutdown"]
