"""`lenet serve` as a command: workers, addresses, options."""

import errno
import json
import os
import re
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
from commands import misused
from served import serving, wait_for
from serving_requests import INFER, encoded, request_of

import lenet
import lenet.cli


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
def test_workers_end_if_their_parent_is_killed(tmp_path):
    """Otherwise, they would occupy the port, and a new server could not start."""
    with serving("--workers", "2", exit_codes=[-signal.SIGKILL], TMPDIR=str(tmp_path)) as server:
        server.process.kill()
        server.process.wait(10)
        wait_for(lambda: refuses_connections(server), seconds=10)
        wait_for(lambda: not list(tmp_path.iterdir()), seconds=10)


@pytest.mark.landing
def test_a_script_that_its_workers_import_ends_with_an_error(tmp_path):
    """The model is larger than a pipe, from which workers that stop at the call read nothing."""
    script = tmp_path / "script.py"
    call = "lenet.serving.serve({'m': lenet.LeNet5(seed=0)}, workers=2, port=0)"
    script.write_text(f"import lenet, lenet.serving\n{call}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'Call it under if __name__ == "__main__":\n' in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert "lenet.errors.ConfigurationError: The server stopped because its workers failed" in done.stderr


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


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("PORT", "many", "--port: invalid int value: 'many' (set in the environment: LENET_PORT)"),
     ("LOG_LEVEL", "loud", "--log-level is 'loud'; expected one of info, warning, error. (set in the environment"),
     ("MODEL", "mnist,", "--model is empty; expected FILE or NAME=FILE. (set in the environment: LENET_MODEL)")],
)  # fmt: skip
def test_mistakes_in_the_environment(capsys, monkeypatch, name, text, says):
    monkeypatch.setenv(f"LENET_{name}", text)
    assert says in misused(capsys, "serve")


def test_misspelt_variables_are_named(capsys, monkeypatch):
    """Kubernetes sets the last two for a service whose name is lenet."""
    others = ("LENET_PORT", "LENET_SERVICE_PORT", "LENET_PORT_8000_TCP_PORT")
    for name in ("LENET_PROT", "LENET_MAXBODY", "LENET_MODELS", *others):
        monkeypatch.setenv(name, "1")
    with pytest.raises(SystemExit):
        lenet.cli.main(["serve", "--workers", "0"])
    expected = ["LENET_MAXBODY", "LENET_MAX_BODY", "LENET_MODELS", "LENET_MODEL", "LENET_PROT", "LENET_PORT"]
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert re.findall(r"LENET_\w+", "".join(warnings)) == expected


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("LENET_TOKEN", "", "LENET_TOKEN"),
        ("LENET_TOKEN_FILE", os.devnull, "The file in LENET_TOKEN_FILE"),
        ("LENET_CONTROL_TOKEN", "", "LENET_CONTROL_TOKEN"),
        ("LENET_CONTROL_TOKEN_FILE", os.devnull, "The file in LENET_CONTROL_TOKEN_FILE"),
    ],
)
def test_an_empty_token_is_not_a_token(capsys, monkeypatch, name, content, named):
    monkeypatch.setenv(name, content)
    assert lenet.cli.main(["serve"]) == 1
    assert f"{named} is empty; expected a token. Omit the setting to serve" in capsys.readouterr().err


@pytest.mark.timing
@pytest.mark.landing
def test_it_starts_in_a_second():
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        with serving():
            times.append(time.perf_counter() - begin)
    assert min(times) < 1.0
