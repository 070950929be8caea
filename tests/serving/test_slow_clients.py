"""Clients that send or read slowly, or keep a connection idle: deadlines of the server."""

import contextlib
import select
import socket
import time
from pathlib import Path

import needs_serve  # noqa: F401
import pytest
from served import serving, wait_for
from serving_requests import BODY, HEAD, INFER, all_of, connected, needs_proc, open_files

pytest_plugins = ["serving_fixture"]
pytestmark = pytest.mark.landing


@pytest.fixture(scope="module")
def impatient():
    """A server that gives each request half a second to arrive."""
    with serving("--timeout", "0.5") as running:
        yield running


@pytest.mark.timing
def test_a_thousand_slow_clients_do_not_stop_the_others():
    with serving("--timeout", "4") as server:
        slow = [socket.create_connection((server.host, server.port)) for _ in range(1000)]
        try:
            for k, each in enumerate(slow):
                each.sendall(HEAD + (b"" if k % 2 else b"Content-Length: 1000\r\n\r\n"))
            took = []
            for _ in range(100):
                start = time.perf_counter()
                assert server.ask("POST", INFER, BODY)[0] == 200
                took.append(time.perf_counter() - start)
                for each in slow[:: len(slow) // 10]:
                    each.sendall(b"x")
            assert sorted(took)[90] < 0.1
            end = time.monotonic() + 10
            for each in slow:  # all are closed by the deadline
                each.settimeout(max(0.1, end - time.monotonic()))
                assert each.recv(100).startswith(b"HTTP/1.1 408 ")
        finally:
            for each in slow:
                each.close()


def has_come(connection):
    return bool(select.select([connection], [], [], 0)[0])


@pytest.mark.timing
def test_a_client_that_does_not_read_its_response(impatient):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((impatient.host, impatient.port))
        wait_for(lambda: is_open(impatient, connection))
        connection.sendall(b"GET /model.json HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
        wait_for(lambda: not is_open(impatient, connection))
        connection.setblocking(False)
        taken = 0
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while part := connection.recv(2**20):
                taken += len(part)
    assert taken < 20 * 330_000  # the server closed the connection half way
    assert impatient.ask("POST", INFER, BODY)[0] == 200


def is_open(server, connection):
    """Whether the server has not closed its end of an established connection."""
    needs_proc()
    local, remote = f":{server.port:04X}", f":{connection.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(local) and row[2].endswith(remote) and row[3] == "01" for row in rows)


@pytest.mark.timing
def test_empty_lines_do_not_keep_a_connection_open(impatient):
    with connected(impatient) as connection:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while not has_come(connection):
                assert time.monotonic() - start < 3
                connection.sendall(b"\r\n")
                time.sleep(0.02)


@pytest.mark.timing
def test_a_request_behind_another_has_its_own_time(strict):
    """One that begins in the same packet, and one after an answer that came before the body."""
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(strict) as connection:
        connection.sendall(live + HEAD + b"Content-Length: 30000\r\n\r\n" + bytes(20_000))
        start = time.monotonic()
        assert b" 408 " in all_of(connection)
        assert 0.6 < time.monotonic() - start < 3
    with connected(strict) as connection:
        connection.sendall(HEAD + b"Content-Length: 600000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
        time.sleep(0.5)
        connection.sendall(bytes(600_000) + live[:-2])
        time.sleep(0.5)
        connection.sendall(live[-2:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_clients_that_never_read_a_last_response(impatient):
    before = open_files(impatient)
    clients = []
    for _ in range(100):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((impatient.host, impatient.port))
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        clients.append(client)
    try:
        wait_for(lambda: open_files(impatient) <= before + 1)
    finally:
        for client in clients:
            client.close()
