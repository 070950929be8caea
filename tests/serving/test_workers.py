"""The worker processes of a server, without starting any."""

import asyncio
import contextlib
import itertools
import math
import multiprocessing
import os
import signal
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import needs_serve  # noqa: F401
import numpy as np
import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

import lenet
from lenet.errors import ConfigurationError
from lenet.serving import Models
from lenet.serving import workers as module

MODELS = {"m": lenet.LeNet5(seed=0)}


@pytest.mark.parametrize("fails", [None, KeyError, ConfigurationError])
@pytest.mark.parametrize("before", [{}, {"PROMETHEUS_MULTIPROC_DIR": "of the caller"}])
def test_workers_share_a_folder_of_metrics_and_models(monkeypatch, fails, before):
    monkeypatch.setattr(os, "environ", before.copy())
    events = []

    class Workers:
        has_failed = fails is ConfigurationError

        def __init__(self, config, models, listening, drain_seconds):
            events.append(
                ("made", config, [file.name for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()])
            )

        def run(self):
            events.append("run")
            for number in SIGNALS:  # as uvicorn does
                signal.signal(number, lambda *_: None)
            if fails is KeyError:
                raise KeyError

    monkeypatch.setattr(module, "_Workers", Workers)
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(fails) if fails else contextlib.nullcontext():
        module.run_workers("config", Models(MODELS), None, 1, lambda: events.append("ready"))
    made = ("made", "config", ["m.safetensors"])
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert events == [made, "ready", "run"]
    assert os.environ == before


def test_a_worker_starts_with_the_model_that_was_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    Models(MODELS).keep(tmp_path)
    (tmp_path / "damaged").write_bytes(b"damaged")
    levels = []
    monkeypatch.setattr(module, "log_as_json", levels.append)
    models = module.worker_app({"m": tmp_path / "damaged"}, lenet.load, lambda models: models, "info")
    assert models.get("m").version == Models(MODELS).get("m").version
    assert levels == ["info"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_worker_reads_a_model_in_memory_from_the_shared_folder(tmp_path, monkeypatch, dtype):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    model = lenet.LeNet5(seed=1, dtype=dtype)
    Models({"m": model}).keep(tmp_path)
    monkeypatch.setattr(module, "log_as_json", lambda level: None)
    found = module.worker_app({"m": None}, lenet.load, lambda models: models, "info").get("m").model
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.parameters.flat, model.parameters.flat)


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
    server = module._WorkerServer(uvicorn.Config(None, log_config=None), None)
    assert bool(asyncio.run(server.on_tick(1))) == ends


@pytest.fixture
def _same_signals():
    """Restore what Ctrl-C does."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("_same_signals")
@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_has_one_server_and_ends_at_once_if_a_thread_works(monkeypatch, tmp_path, fails):
    """If its parent has died, it removes the folder that they shared."""
    events, folder = [], tmp_path / "shared"
    folder.mkdir()
    parent = SimpleNamespace(is_alive=lambda: not (fails and events))

    def target(self, sockets):
        events.append(sockets)
        if fails:
            raise KeyError

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    monkeypatch.setattr(module.multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(Process, "target", target)
    monkeypatch.setattr(module, "exit_if_working", lambda: events.append(("exit", folder.exists())))
    worker = module._Worker.__new__(module._Worker)
    worker.config, worker.child_conn = uvicorn.Config(None, log_config=None), None
    assert isinstance(worker.server, module._WorkerServer)
    assert worker.server is worker.server
    with pytest.raises(KeyError) if fails else contextlib.nullcontext():
        worker.target(["socket"])
    assert events == [["socket"], ("exit", not fails)]


@pytest.mark.usefixtures("_same_signals")
def test_a_worker_whose_parent_has_died_does_not_start(monkeypatch, tmp_path):
    """Another worker may have removed the folder with the models."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "removed"))
    monkeypatch.setattr(module.multiprocessing, "parent_process", lambda: None)
    monkeypatch.setattr(Process, "target", lambda self, sockets: pytest.fail("it starts"))
    monkeypatch.setattr(module, "exit_if_working", lambda: None)
    module._Worker.__new__(module._Worker).target([])


@pytest.mark.skipif(os.name != "posix", reason="the default event loop of Windows accepts in another way")
def test_a_worker_leaves_connections_that_arrive_at_once_to_the_others(monkeypatch):
    async def connections():
        """Return the number of connections of one worker, before and after each iteration of its event loop."""
        config = uvicorn.Config(None, lifespan="off", log_config=None, backlog=16)
        parent, child = multiprocessing.Pipe()
        server = module._WorkerServer(config, lambda: child.send(True))
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup([listening])
        assert parent.poll()  # it has reported that it listens
        clients = [socket.create_connection(listening.getsockname(), timeout=2) for _ in range(18)]  # all wait
        counts = [0]
        while counts[-1] < len(clients):
            await asyncio.sleep(0)
            counts.append(len(server.server_state.connections))
        for client in clients:
            client.close()
        await server.shutdown([listening])
        return counts

    lengths, listen = [], socket.socket.listen
    blocking, startup = [], uvicorn.Server.startup

    async def recorded(self, sockets):
        blocking.append(os.get_blocking(listening.fileno()))
        await startup(self, sockets)

    monkeypatch.setattr(uvicorn.Server, "startup", recorded)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(
            socket.socket, "listen", lambda self, length: lengths.append(length) or listen(self, length)
        )
        os.set_blocking(listening.fileno(), False)  # as the workers that have started do
        counts = asyncio.run(asyncio.wait_for(connections(), 20))
    assert max(after - before for before, after in itertools.pairwise(counts)) == 4
    assert blocking == [False]  # another worker, which is accepting, would wait for the next client
    assert lengths == []  # a shorter queue would refuse clients of the others


class Started:
    """A worker process that runs, or has ended with an exit code."""

    def __init__(self, pid, events, exitcode=None):
        self.pid, self.exitcode, self._events = pid, exitcode, events
        self.starts = self.answers = True

    def has_started(self):
        return self.starts

    def is_alive(self, timeout):
        self._events.append((self.pid, "asked", timeout))
        return self.exitcode is None and self.answers

    def __getattr__(self, name):
        return lambda *arguments: self._events.append((self.pid, name, *arguments))


@pytest.fixture
def workers(monkeypatch):
    """Two worker processes that run, with the events of both; further ones have the numbers 3 and 4."""

    def init(self, config, sockets):
        self.config, self.sockets, self.should_exit, self.signal_queue = config, sockets, threading.Event(), []

    monkeypatch.setattr(Multiprocess, "__init__", init)
    events, numbers = [], itertools.count(3)
    models = SimpleNamespace(changed=list, reload=lambda name: events.append(("reload", name)),
                             keep=lambda folder: events.append(("keep", folder)))  # fmt: skip
    config = SimpleNamespace(timeout_worker_healthcheck=5, timeout_graceful_shutdown=40)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "folder")
    workers = module._Workers(config, models, SimpleNamespace(close=lambda: events.append("closed")), drain_seconds=1)
    monkeypatch.setattr(module, "_Worker", lambda config, sockets: Started(next(numbers), events))
    monkeypatch.setattr(module.multiprocess, "mark_process_dead", lambda pid: events.append((pid, "marked")))
    workers.processes, workers.processes_num = [Started(1, events), Started(2, events)], 2
    return workers, events


def test_workers_are_started(workers):
    workers, events = workers
    workers.init_processes()
    assert events == [(3, "start"), (4, "start")]
    assert [process.pid for process in workers.processes] == [3, 4]


def test_the_number_of_workers_is_fixed(workers):
    """uvicorn would add a worker that does not drain on SIGTTIN, and end one on SIGTTOU."""
    workers, events = workers
    workers.handle_ttin()
    workers.handle_ttou()
    assert ([process.pid for process in workers.processes], events) == ([1, 2], [])


def test_a_hangup_is_passed_on_to_the_workers(workers, monkeypatch):
    workers, _ = workers
    kills = []

    def kill(pid, number):
        kills.append((pid, number))
        if pid == 1:
            raise ProcessLookupError

    monkeypatch.setattr(module.os, "kill", kill)
    monkeypatch.setattr(module.signal, "SIGHUP", 1, raising=False)
    workers.processes = [Started(None, []), *workers.processes, Started(3, [])]
    workers.processes[3].starts = False  # it is starting, and the signal would end it
    workers.handle_hup()
    assert kills == [(1, 1), (2, 1)]


def test_sigquit_stops_the_workers(workers):
    """uvicorn would ignore it."""
    workers, _ = workers
    workers.handle_quit()
    assert workers.should_exit.is_set()


def test_workers_require_a_temporary_folder(monkeypatch):
    def fail(prefix, ignore_cleanup_errors):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", fail)
    with pytest.raises(ConfigurationError, match=r"workers share .*\(No usable.*\)\. Set TMPDIR .* one worker\.$"):
        module.run_workers("config", Models(MODELS), None, 1, None)


@pytest.mark.skipif(os.name != "posix", reason="systemd requires a POSIX system")
def test_systemd_leaves_the_shared_folder_alone():
    """Without a lock, systemd removes the files that no one has used for days, and no worker can be replaced."""
    import fcntl

    with module._shared_folder() as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as systemd-tmpfiles does
        os.close(descriptor)
    assert not Path(folder).exists()


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
    assert [record.getMessage() for record in caplog.records] == ["Worker 1 was killed by signal 9 and was replaced."]


def test_a_worker_that_does_not_answer_is_replaced(workers, caplog):
    workers, _ = workers
    workers.processes[1].answers = False
    workers.keep_subprocess_alive()
    assert [process.pid for process in workers.processes] == [1, 3]
    assert [record.getMessage() for record in caplog.records] == ["Worker 2 did not answer and was replaced."]


def test_a_worker_that_cannot_start_stops_the_server(workers, caplog):
    workers, events = workers
    workers.processes[0].exitcode = 3
    workers.keep_subprocess_alive()
    assert events == [(1, "asked", 5), (1, "kill"), (1, "join"), (1, "marked")]
    assert workers.should_exit.is_set()
    assert [record.getMessage() for record in caplog.records] == ["Worker 1 failed, so the server stops."]


def test_repeated_failures_at_startup_stop_the_server(workers, monkeypatch, caplog):
    """As those of workers that cannot unpickle the loader."""
    workers, events = workers
    pids = itertools.count(3)
    monkeypatch.setattr(module, "_Worker", lambda config, sockets: Started(next(pids), events, exitcode=1))
    workers.init_processes()
    while not workers.should_exit.is_set():
        workers.keep_subprocess_alive()
    texts = [record.getMessage() for record in caplog.records]
    assert texts[-1] == "Worker 7 failed, so the server stops."
    assert texts[:-1] == [f"Worker {pid} exited with code 1 and was replaced." for pid in (3, 4, 5, 6)]


def test_a_worker_that_lives_but_never_starts_does_not_reset_the_count(workers):
    workers, _ = workers
    workers.processes[1].starts = False
    for _ in range(9):
        workers.processes[0].exitcode = -9
        workers.keep_subprocess_alive()
    assert workers.should_exit.is_set()


def test_workers_that_have_started_do_not_reset_the_count_of_another(workers, monkeypatch):
    """Without their folder, replacements would fail without end."""
    workers, _ = workers
    started = module._Workers._started

    def starting(self):
        worker = started(self)
        worker.starts, worker.exitcode = False, 1
        return worker

    monkeypatch.setattr(module._Workers, "_started", starting)
    workers.processes[0].exitcode = -9
    for _ in range(9):
        workers.keep_subprocess_alive()
    assert workers.should_exit.is_set()


def test_workers_that_have_started_reset_the_count_of_failures(workers):
    workers, _ = workers
    for _ in range(9):
        workers.processes[0].exitcode = -9
        workers.keep_subprocess_alive()
        workers.keep_subprocess_alive()
    assert not workers.should_exit.is_set()


def test_no_worker_is_replaced_while_the_server_stops(workers):
    workers, events = workers
    workers.should_exit.set()
    workers.processes[0].exitcode = -9
    workers.keep_subprocess_alive()
    assert events == []


def test_no_worker_is_replaced_that_a_signal_has_also_ended(workers):
    """As Ctrl-C, which the workers receive, too."""
    workers, events = workers
    workers.processes[0].exitcode = 0
    workers.signal_queue.append(signal.SIGINT)
    workers.keep_subprocess_alive()
    assert events == [(1, "asked", 5)]


@pytest.mark.parametrize(("interrupted", "end"), [(math.inf, 43), (5, 6)])
def test_workers_that_do_not_stop_in_time_are_killed(workers, monkeypatch, caplog, interrupted, end):
    """They have 1 s to drain, 40 s for requests, and 2 s to exit, or 1 s after a second Ctrl-C. The first one exits."""
    workers, events = workers
    now = [0.0]

    def join(process, timeout):
        now[0] += timeout
        if now[0] > interrupted:
            workers.signal_queue.append(signal.SIGINT)
        if process.pid == 1 and now[0] > end - 0.5:
            process.exitcode = 0

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Started, "join", join, raising=False)
    workers.join_all()
    assert now[0] == pytest.approx(end, abs=0.2)
    assert events == [(1, "kill"), (2, "kill")]
    assert caplog.messages == ["Worker 2 did not stop in time and was killed. Its requests were not finished."]


@pytest.fixture
def worker():
    """A worker whose process runs, without starting it."""
    worker = module._Worker.__new__(module._Worker)
    worker.parent_conn, worker.child_conn = multiprocessing.Pipe()
    worker.process = SimpleNamespace(is_alive=lambda: True, exitcode=None, pid=0)
    return worker


def test_a_worker_answers_only_once_it_has_started(worker):
    """It may take minutes to import the script; afterwards, it runs only if it answers."""
    assert worker.is_alive(0)
    assert not worker.has_started()
    assert not worker.child_conn.poll()  # no question, of which a pipe holds a limited number
    worker.child_conn.send(True)
    assert worker.has_started()
    assert not worker.is_alive(0)
    worker.child_conn.send(True)
    assert worker.is_alive(0)
    worker.process.is_alive = lambda: False
    worker.child_conn.send(True)
    assert not worker.is_alive(0)


def test_a_worker_is_ended_if_a_signal_cannot_be_sent(worker, monkeypatch):
    """As on Windows without a console: OSError: [WinError 6] The handle is invalid."""

    def fail(pid, number):
        raise OSError(6, "The handle is invalid")

    ended = []
    worker.process.terminate = lambda: ended.append(True)
    monkeypatch.setattr(os, "kill", fail)
    worker.terminate()
    assert ended == [True]


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
    workers._keeper.join(10)
    assert events == [("reload", "a"), ("reload", "b"), ("keep", "folder")]


def test_a_model_file_that_takes_long_to_read_does_not_hold_up_the_parent(workers):
    """As on a hung network drive."""
    workers, events = workers
    released, looks = threading.Event(), []
    workers._models.changed = lambda: looks.append(1) or (released.wait(30), [])[1]
    workers.keep_subprocess_alive()
    workers.keep_subprocess_alive()
    released.set()
    assert events == [(1, "asked", 5), (2, "asked", 5)] * 2
    workers._keeper.join(10)
    assert looks == [1]
