"""`lenet serve` as a command: workers, addresses, options."""

import contextlib
import errno
import json
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving, wait_for
from serving_requests import INFER, TOKEN, an_input, encoded, request_of

import lenet
import lenet.cli


def test_several_models_from_files_and_run_folders(tmp_path):
    run = tmp_path / "train-3"
    run.mkdir()
    lenet.LeNet5(seed=5).save(run / "best.safetensors")
    shutil.copy(run / "best.safetensors", tmp_path / "zips.safetensors")
    with serving("--model", f"receipts={run}", "--model", tmp_path / "zips.safetensors") as server:
        versions = [server.ask("GET", f"/v2/models/{name}")[2]["versions"] for name in ("receipts", "zips")]
        assert versions[0] == versions[1]
        assert server.ask("GET", "/model.json")[2]["name"] == "receipts"
        assert server.ask("GET", "/model.json?model=zips")[2]["name"] == "zips"


@pytest.mark.landing
def test_workers_add_up_their_metrics():
    with serving("--workers", "2") as server:
        for _ in range(30):
            assert server.ask("POST", INFER, request_of())[0] == 200
        expected = b'lenet_requests_total{operation="infer",status="200"} 30.0'
        wait_for(lambda: expected in server.ask("GET", "/metrics")[2])


def refuses_connections(server):
    """Return whether nobody listens on the server's port."""
    with socket.socket() as connection:
        return connection.connect_ex((server.host, server.port)) == errno.ECONNREFUSED


@pytest.mark.landing
def test_workers_end_if_their_parent_is_killed():
    """Otherwise, they would occupy the port, and a new server could not start."""
    with serving("--workers", "2", exit_codes=[-signal.SIGKILL]) as server:
        server.process.kill()
        server.process.wait(10)
        wait_for(lambda: refuses_connections(server), seconds=10)


@pytest.mark.landing
def test_stopped_workers_refuse_connections():
    """The parent still waits for the request in progress; a connection accepted now would be reset."""
    picture = encoded(np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8))
    with serving("--workers", "2", LENET_NUM_THREADS="1") as server, ThreadPoolExecutor() as pool:
        answer = pool.submit(server.ask, "POST", "/predict", picture)
        time.sleep(0.3)
        server.process.terminate()
        wait_for(lambda: refuses_connections(server), seconds=10)
        assert server.process.poll() is None
        assert answer.result()[0] in (200, 400)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.landing)])
def test_a_unix_socket(tmp_path, workers, capsys):
    path = tmp_path / "lenet.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # left by a killed server
    command = [sys.executable, "-m", "lenet", "serve", "--uds", path, "--drain", "0", "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"lenet serves mnist at unix:{path} (stop it with Ctrl-C)\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666  # of clients as other users, such as a proxy
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(2**16), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert lenet.cli.main(["serve", "--uds", str(path)]) == 1
        assert capsys.readouterr().err == f"lenet: error: Another server listens on {path}. Choose another path.\n"
        process.terminate()
        (line,) = process.communicate(timeout=20)[1].splitlines()[:1]
    assert json.loads(line)["peer"] is None
    assert process.returncode == 0
    assert not path.exists()


def test_an_address_in_use(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert lenet.cli.main(["serve", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"lenet: error: Cannot listen on 127.0.0.1 port {port}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--max-body", "nan"], 2, "above 0"),
        (["--max-body", "much"], 2, "invalid number value"),
        (["--model", "no/such.safetensors"], 1, "does not exist; expected a model file"),
        (["--model", "a b=mnist"], 1, "not a valid model name"),
        (["--model", "stats=mnist"], 1, "not stats"),
        (["--host", "no.such.host.invalid"], 1, "Choose another host or port."),
    ],
)
def test_mistakes_on_the_command_line(capsys, monkeypatch, arguments, code, says):
    monkeypatch.delenv("LENET_TOKEN", raising=False)
    try:
        ended = lenet.cli.main(["serve", *arguments])
    except SystemExit as error:
        ended = error.code
    assert ended == code
    assert says in capsys.readouterr().err


def test_options_in_the_environment(tmp_path):
    lenet.LeNet5(seed=0).save(tmp_path / "a.safetensors")
    models = f"mnist,own={tmp_path / 'a.safetensors'}"
    settings = {"LENET_MODEL": models, "LENET_MAX_BATCH": "3", "LENET_PORT": "tcp://10.0.0.1:80", "LENET_TIMEOUT": "7"}
    with serving("--timeout", "0.2", **settings) as server:
        assert server.ask("GET", "/v2/models/own/ready")[0] == 200
        answer = server.ask("POST", INFER, request_of(an_input(shape=[4, 784], data=[0] * 3136)))[2]
        assert "expected at most 3" in answer["error"]
        with contextlib.closing(socket.create_connection((server.host, server.port), timeout=10)) as connection:
            connection.sendall(b"GET ")
            assert b"longer than 0.2 s" in connection.recv(1000)  # the option on the command line has priority


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("PORT", "many", "--port: invalid int value: 'many' (set in the environment: LENET_PORT)"),
     ("MAX_BODY", "-1", "expected a number above 0 and at most 1e+09. (set in the environment: LENET_MAX_BODY)"),
     ("DRAIN", "-1", "argument --drain: -1 is out of range; expected a number from 0"),
     ("LOG_LEVEL", "loud", "LENET_LOG_LEVEL is loud; expected one of info"),
     ("WORKERS", "0", "--workers is 0; expected at least 1. (set in the environment: LENET_WORKERS)"),
     ("ALLOW_CONTROL", "1", "LENET_TOKEN")],
)  # fmt: skip
def test_mistakes_in_the_environment(capsys, monkeypatch, name, text, says):
    monkeypatch.delenv("LENET_TOKEN", raising=False)
    monkeypatch.setenv(f"LENET_{name}", text)
    with pytest.raises(SystemExit) as ended:
        lenet.cli.main(["serve"])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_empty_variables_are_ignored(capsys, monkeypatch):
    """The log level is checked after the model."""
    for name, text in (("PORT", ""), ("MODEL", ""), ("LOG_LEVEL", "loud")):
        monkeypatch.setenv(f"LENET_{name}", text)
    with pytest.raises(SystemExit):
        lenet.cli.main(["serve"])
    assert "LENET_LOG_LEVEL is loud" in capsys.readouterr().err


def test_control_is_for_one_worker(capsys, monkeypatch):
    monkeypatch.setenv("LENET_TOKEN", TOKEN)
    with pytest.raises(SystemExit):
        lenet.cli.main(["serve", "--allow-control", "--workers", "2"])
    assert "one worker" in capsys.readouterr().err


def test_an_empty_token_is_not_a_token(capsys, monkeypatch):
    monkeypatch.setenv("LENET_TOKEN", "")
    assert lenet.cli.main(["serve"]) == 1
    assert "token is empty" in capsys.readouterr().err


@pytest.mark.timing
@pytest.mark.landing
def test_it_starts_in_a_second():
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        with serving():
            times.append(time.perf_counter() - begin)
    assert min(times) < 1.0
