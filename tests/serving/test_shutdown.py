"""Shutdown of the server: draining, signals, and workers that die."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import needs_serve  # noqa: F401
import numpy as np
import pytest
from programs import SENDS_SIGNALS
from served import serving, wait_for
from serving_requests import BODY, HEAD, INFER, a_page, connected, encoded

import lenet
from lenet.serving import Models

pytest_plugins = ["serving_fixture"]
pytestmark = pytest.mark.landing


@SENDS_SIGNALS
@pytest.mark.timing
@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, 1),
        (signal.SIGINT, 2),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.release),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.release),
    ],
)
def test_running_requests_are_answered_before_the_server_ends(number, workers):
    answers, page = [], a_page(5)
    with serving("--workers", workers, "--deadline", 300) as server:
        thread = threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", page)))
        with connected(server) as connection:  # a request that is still arriving
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:50])
            thread.start()
            both_and_this = b"lenet_in_flight 3.0"
            wait_for(lambda: both_and_this in server.ask("GET", "/metrics")[2])
            server.process.send_signal(number)
            time.sleep(0.3)
            connection.sendall(BODY[50:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        thread.join()
        assert answers[0][0] == 200
        assert len(answers[0][2]["lines"]) == 5
        assert server.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            server.ask("GET", "/v2/health/live")


@SENDS_SIGNALS
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.release)])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_as_soon_as_it_listens(tmp_path, workers, times):
    command = [sys.executable, "-m", "lenet", "serve", "--port", "0", "--workers", str(workers)]
    for _ in range(times):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(tmp_path)}
        ) as process:
            process.stdout.readline()
            process.terminate()
            assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def workers_of(server):
    """Return the process IDs of the workers."""
    command = ["pgrep", "-P", str(server.process.pid), "-f", "spawn_main"]
    return set(map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()))


@SENDS_SIGNALS
@pytest.mark.timing
def test_a_worker_that_dies_is_replaced():
    with serving("--workers", "2") as server:
        before = workers_of(server)
        killed = max(before)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(workers_of(server) - {killed}) == len(before))
        for _ in range(20):
            assert server.ask("POST", INFER, BODY)[0] == 200


@SENDS_SIGNALS
@pytest.mark.timing
def test_a_worker_starts_with_the_last_good_model(tmp_path):
    path = tmp_path / "kept.safetensors"
    lenet.LeNet5(seed=0).save(path)
    with serving("--workers", "2", "--model", path) as server:
        lenet.LeNet5(seed=1).save(path)
        version = Models({"kept": path}).get().version
        wait_for(lambda: all(server.ask("GET", "/v2/models/kept")[2]["versions"] == [version] for _ in range(20)))
        time.sleep(1)  # the parent looks every half second
        path.write_bytes(b"damaged")
        for pid in workers_of(server):
            os.kill(pid, signal.SIGKILL)
        said = "Model kept was not loaded from its file; the last good one is used."
        wait_for(lambda: sum(each.get("message", "").startswith(said) for each in server.log()) == 2)
        assert server.ask("GET", "/v2/models/kept")[2]["versions"] == [version]
        assert server.ask("POST", "/v2/models/kept/infer", BODY)[0] == 200
        assert not [each for each in server.log() if "traceback" in each]


LIVE, READY = (b"GET /v2/health/%s HTTP/1.1\r\nHost: x\r\n\r\n" % name for name in (b"live", b"ready"))


@SENDS_SIGNALS
@pytest.mark.timing
@pytest.mark.parametrize(("workers", "drain"), [(1, 1), (2, 3)])
def test_a_server_that_ends_is_not_ready_and_closes_connections_after_its_answers(workers, drain):
    def is_closed_after(connection, request, status):
        connection.sendall(request)
        answer = connection.recv(1000)
        return answer.startswith(b"HTTP/1.1 %d " % status) and b"connection: close" in answer

    def is_unready():
        with connected(server) as new:
            return is_closed_after(new, READY, 503)

    with (
        serving("--drain", drain, "--workers", workers) as server,
        connected(server) as kept,
        connected(server) as idle,
    ):
        kept.sendall(LIVE)
        assert b"connection: close" not in kept.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        wait_for(is_unready, drain)  # the parent passes the signal on within half a second
        wait_for(lambda: is_closed_after(kept, LIVE, 200), drain)
        assert kept.recv(100) == b""
        idle.settimeout(drain + 5)
        assert idle.recv(100) == b""
        assert server.process.wait(5) == 0


def test_a_client_that_still_sends_gets_its_answer(server):
    """Unread data at the close would reset the connection, and the response could be lost."""
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(b"nonsense\r\n\r\n" + bytes(300_000))
            time.sleep(0.01)
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
            while connection.recv(2**16):  # no ConnectionResetError
                pass


@SENDS_SIGNALS
@pytest.mark.timing
@pytest.mark.parametrize(("signals", "seconds"), [(1, 4), (2, 4)])
def test_shutdown_does_not_wait_for_pictures_in_progress(signals, seconds):
    """After the promised time, or a second Ctrl-C, waiting clients get a response, and there is no traceback."""
    noise = encoded(np.random.default_rng(0).integers(0, 256, (2500, 2500), np.uint8))
    answers = []
    arguments = ("--timeout", "0.5", "--deadline", "1.5" if signals == 1 else "60")
    with serving(*arguments, LENET_NUM_THREADS="1") as server:
        threads = [
            threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", noise)[0])) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        start = time.monotonic()
        for _ in range(signals):
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < seconds
        for thread in threads:
            thread.join()
        assert set(answers) <= {200, 408, 503}  # 408: on a busy machine, a picture does not arrive in half a second
        assert not [each for each in server.log() if "traceback" in each]


@SENDS_SIGNALS
@pytest.mark.parametrize("gap", [0.03, 0.3])  # seconds
def test_another_ctrl_c_prints_no_traceback(monkeypatch, gap):
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # a Ctrl-C would interrupt its writing
    with serving("--workers", "2", exit_codes=(0, 130, -signal.SIGINT)) as server:
        processes = [server.process.pid, *workers_of(server)]
        while server.process.poll() is None:
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            time.sleep(gap)
        assert not [each for each in server.log() if "traceback" in each]  # and all lines are JSON


@SENDS_SIGNALS
@pytest.mark.parametrize("delay", [0, 0.1, 0.3])
def test_ctrl_c_while_workers_start_prints_no_traceback(delay):
    command = [sys.executable, "-m", "lenet", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        process.stdout.readline()
        time.sleep(delay)  # seconds, of the 0.5 or so that the imports of a worker take
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


@SENDS_SIGNALS
@pytest.mark.timing
def test_workers_that_read_pictures_end_without_abort(monkeypatch):
    """A terminal sends Ctrl-C to every process; OpenCV's threads would abort Python's own exit."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # the second Ctrl-C would interrupt its writing
    noise = encoded(np.random.default_rng(0).integers(0, 256, (2500, 2500), np.uint8))

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):  # requests in progress may be cut off
            server.ask("POST", "/predict", noise)

    codes = 0, 130, -signal.SIGINT  # the latter if the second Ctrl-C came after the requests
    with (
        serving("--workers", "2", LENET_NUM_THREADS="1", exit_codes=codes) as server, ThreadPoolExecutor(4) as pool
    ):  # fmt: skip
        answers = [pool.submit(ask) for _ in range(4)]
        time.sleep(1)
        processes = [server.process.pid, *workers_of(server)]
        for _ in range(2):
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            time.sleep(0.3)
        assert server.process.wait(10) in codes
        wait(answers)
        assert not [each for each in server.log() if "traceback" in each]  # and all lines are JSON, unlike an abort
