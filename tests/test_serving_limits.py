"""Slow clients, floods and shutdown: what one client can do to a server, and how it affects others."""

import asyncio
import collections
import contextlib
import functools
import gzip
import http.client
import io
import itertools
import json
import os
import pkgutil
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from programs import SENDS_SIGNALS
from served import Served, serving, wait_for

import lenet
from lenet.errors import InputError, InputTypeError

for needed in ("uvicorn", "starlette", "prometheus_client", "python_multipart", "orjson", "httptools"):
    pytest.importorskip(needed)
image_module = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")

import uvicorn  # noqa: E402
from starlette.requests import Request  # noqa: E402

from lenet.serving import Limits, Models, create_app  # noqa: E402
from lenet.serving.connections import TimedProtocol  # noqa: E402
from lenet.serving.limits.capacity import GIL_TURNS, BusyError, GilTurns, ThreadPool  # noqa: E402
from lenet.serving.logs import LogWriter  # noqa: E402
from lenet.serving.pictures import Pictures  # noqa: E402
from lenet.serving.protocol import routes  # noqa: E402
from lenet.serving.request_context import RequestContext  # noqa: E402

INFER = "/v2/models/mnist/infer"
BODY = json.dumps({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}]}).encode()
HEAD = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.fixture(scope="module")
def server():
    """A server with the default limits."""
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def impatient():
    """A server that gives each request half a second to arrive."""
    with serving("--timeout", "0.5") as running:
        yield running


@pytest.fixture(scope="module")
def strict():
    """A server that gives each request 0.8 s to arrive, and takes bodies of at most half a megabyte."""
    with serving("--timeout", "0.8", "--max-body", "0.5") as running:
        yield running


def connected(server):
    return contextlib.closing(socket.create_connection((server.host, server.port), timeout=30))


def all_of(connection):
    """What the server sends until it closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            parts.append(part)
    return b"".join(parts)


def a_page(rows=6):
    """A page whose reading takes a while."""
    digits = lenet.data.load_digits().X_test
    page = np.full((60 * rows, 1240), 255, np.uint8)
    for k in range(40 * rows):
        top, left = 16 + 60 * (k // 40), 20 + 30 * (k % 40)
        page[top : top + 28, left : left + 28] = 255 - digits[k % len(digits)]
    buffer = io.BytesIO()
    image_module.fromarray(page).save(buffer, "PNG")
    return buffer.getvalue()


# ---- slow clients --------------------------------------------------------------------------------------


@pytest.mark.timing
@pytest.mark.parametrize(
    "beginning",
    [
        b"",  # nothing at all
        b"POST ",
        HEAD,
        HEAD + b"Content-Length: 100\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n",
    ],
)
def test_a_request_that_does_not_arrive_in_time(impatient, beginning):
    logged = len(impatient.log())
    with connected(impatient) as connection:
        connection.sendall(beginning)
        start = time.monotonic()
        answer = all_of(connection)
        assert 0.3 < time.monotonic() - start < 3
        if not beginning:
            assert answer == b""
            return
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"error": "The request took longer than 0.5 s to arrive. Send it faster."}' in answer
        assert b"nosniff" in answer
        assert re.search(rb"x-request-id: (\S+)\r\n", answer, re.IGNORECASE)
        wait_for(lambda: any(each.get("status") in (408, 499) for each in impatient.log()[logged:]))


@pytest.mark.timing
def test_trickling_does_not_extend_the_time(impatient):
    with connected(impatient) as connection:
        start = time.monotonic()
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        connection.settimeout(0.05)
        while True:
            assert time.monotonic() - start < 3
            try:
                connection.sendall(b"x")
                if connection.recv(100):
                    break
            except TimeoutError:
                continue
        assert 0.3 < time.monotonic() - start < 2.5


@pytest.mark.timing
@pytest.mark.landing
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


@pytest.mark.timing
@pytest.mark.release
def test_400_clients_that_trickle_their_headers_or_their_bodies():
    """Each sends a byte every 0.2 s, and each is refused by the deadline; others are answered all the while."""
    with serving("--timeout", "3", "--log-level", "error") as server:
        start = time.monotonic()
        open_ones = [socket.create_connection((server.host, server.port)) for _ in range(400)]
        for k, each in enumerate(open_ones):
            each.sendall(HEAD + (b"X-Trickle: " if k % 2 else b"Content-Length: 1000\r\n\r\n"))
        took = []
        while open_ones:
            assert time.monotonic() - start < 6
            for each in open_ones:
                with contextlib.suppress(ConnectionError):
                    each.sendall(b"x")
            asked = time.monotonic()
            assert server.ask("GET", "/v2/health/live")[0] == 200
            took.append(time.monotonic() - asked)
            ended = [each for each in open_ones if has_come(each)]
            for each in ended:
                assert each.recv(100).startswith(b"HTTP/1.1 408 ")
                each.close()
            open_ones = [each for each in open_ones if each not in ended]
            time.sleep(0.2)
        assert time.monotonic() - start > 2.5  # it was the deadline that ended them
        assert len(took) >= 5
        assert max(took) < 1


def has_come(connection):
    return bool(select.select([connection], [], [], 0)[0])


@pytest.mark.timing
def test_a_client_that_does_not_take_its_answer(impatient):
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
def test_a_kept_connection_and_pipelined_requests(strict):
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with connected(strict) as connection:
        for _ in range(2):
            connection.sendall(request)
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)  # both sleeps exceed the time of one request
        connection.sendall(request * 5 + request[:-1])
        time.sleep(0.3)
        connection.sendall(request[-1:])
        answer = b""
        while answer.count(b"HTTP/1.1 200 ") < 6 or not answer.endswith(b"}"):
            answer += connection.recv(10_000)


def pipelined(server, requests):
    """The answers to requests that are sent without waiting for any."""
    with connected(server) as connection, ThreadPoolExecutor(1) as threads:
        sent = threads.submit(connection.sendall, requests)
        answer = all_of(connection)
        with contextlib.suppress(ConnectionError):
            sent.result()
    return answer


@pytest.mark.uninstrumented
def test_many_requests_at_once_on_one_connection_are_refused():
    """One read holds more than a thousand of them."""
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving("--log-level", "warning") as server:
        before = server.memory()
        answer = pipelined(server, live * (2_000_000 // len(live)))
        assert server.memory() - before < 10e6
        assert server.ask("GET", "/v2/health/live")[0] == 200
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200"] * 17 + [b"400"]
    assert b"more than 16 requests waiting" in answer


def test_requests_that_arrive_while_others_wait_are_all_answered(server):
    """One read holds at most 13 of them; the next read is after the answers to these."""
    request = HEAD + b"Content-Length: 5000\r\n%b\r\n" + BODY.ljust(5000)
    count = 400
    answer = pipelined(server, request % b"" * (count - 1) + request % b"Connection: close\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200"] * count


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_a_request_learns_that_the_client_has_left_though_others_wait_behind_it(behind):
    received = []

    async def application(scope, receive, send):
        for _ in range(2):
            received.append((await receive())["type"])

    async def leave():
        config = uvicorn.Config(application)
        config.load()
        protocol = TimedProtocol(config, uvicorn.server.ServerState(), {})
        transport = MagicMock(asyncio.Transport)
        transport.is_closing.return_value = False
        protocol.connection_made(transport)
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (1 + behind))
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        await asyncio.wait_for(asyncio.gather(*protocol.tasks), 5)

    asyncio.run(leave())
    assert received == ["http.request", "http.disconnect"]


def test_chunk_extensions_are_counted_over_the_whole_body(server):
    chunk = b"1000;" + b"x" * 3000 + b"\r\n" + b" " * 4096 + b"\r\n"
    for count, is_refused in ((2, False), (40, True)):
        with connected(server) as connection:
            with contextlib.suppress(ConnectionError):
                start = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                connection.sendall(start + chunk * count + b"0\r\n\r\n")
            answer = all_of(connection)
        assert (b"chunk extensions of the request" in answer) == is_refused
        assert (b"not valid JSON" in answer) != is_refused


def test_large_bodies_in_many_parts_and_in_chunks(server):
    x = np.random.default_rng(0).integers(0, 256, (300, 784), np.uint8)
    shape = {"name": "images", "datatype": "UINT8", "shape": [300, 784], "parameters": {"binary_data_size": x.size}}
    head = json.dumps({"inputs": [shape], "outputs": [{"name": "label"}]}).encode()
    body = head + x.tobytes()
    with connected(server) as connection:
        start = HEAD + b"Inference-Header-Content-Length: %d\r\nConnection: close\r\n" % len(head)
        connection.sendall(start + b"Transfer-Encoding: chunked\r\n\r\n")
        for k in range(0, len(body), 10_000):
            part = body[k : k + 10_000]
            connection.sendall(b"%x\r\n" % len(part) + part + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        answer = all_of(connection)
    labels = json.loads(answer.partition(b"\r\n\r\n")[2])["outputs"][0]["data"]
    assert labels == lenet.load_pretrained("mnist").predict(x).tolist()


def test_expect_100_continue(server):
    with connected(server) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(BODY))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_stops_half_way(server):
    with connected(server) as connection:
        connection.sendall(HEAD + b"X-Request-Id: half\r\nContent-Length: 1000\r\n\r\n" + bytes(100))
    assert server.logged("half")["error"] == "The client disconnected or timed out before the request was complete."
    assert server.ask("POST", INFER, BODY)[0] == 200
    assert b"lenet_in_flight 1.0" in server.ask("GET", "/metrics")[2]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # TLS
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http(server, nonsense):
    logged, before = len(server.log()), answered_with(server)
    with connected(server) as connection:
        connection.sendall(nonsense)
        answer = all_of(connection)
    status = answer.split()[1].decode()
    assert status.startswith("4")
    assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])
    wait_for(lambda: any(each.get("status") == int(status) for each in server.log()[logged:]))
    assert answered_with(server) == {**before, status: before.get(status, 0) + 1}
    assert server.ask("GET", "/v2/health/live")[0] == 200


def answered_with(server):
    """How many requests for no operation were answered with each status."""
    text = server.ask("GET", "/metrics")[2].decode()
    counted = re.findall(r'^lenet_requests_total\{operation="none",status="(\d+)"\} (\S+)$', text, re.MULTILINE)
    return {status: float(number) for status, number in counted}


def test_a_request_that_is_not_valid_is_refused_after_the_answers_to_those_before_it(server):
    """The requests arrive in one packet; the first takes a while."""
    page, live = a_page(2), b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    picture = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    broken = HEAD + b"Transfer-Encoding: chunked\r\n\r\nbroken"
    for requests, statuses in (
        (picture + b"nonsense" + live, [200, 400]),
        (picture + live + b"nonsense", [200, 200, 400]),
        (picture + broken + live, [200, 400]),
        (broken + live, [400]),
        (live + live.replace(b"Host: x\r\n", b"") + live, [200, 400]),
    ):
        with connected(server) as connection:
            connection.sendall(requests)
            answer = all_of(connection)
        assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", answer)] == statuses


def test_an_upgrade_is_ignored(server):
    """Java's client offers HTTP/2 with its requests; the body follows."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"
    sized = HEAD + offer + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    chunked = HEAD + offer + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    last = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(sized + chunked + sized)
        time.sleep(0.1)
        for k in range(0, len(sized), 100):
            connection.sendall(sized[k : k + 100])
        connection.sendall(last)
        answer = all_of(connection)
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200"] * 5
    assert answer.count(b'"outputs":[{"name":"label"') == 4
    assert answer.endswith(b'{"live":true}')


def test_a_request_in_packets_of_one_byte(server):
    request = HEAD.replace(b" HTTP", b"?" + 200 * b"x" + b" HTTP") + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request[:500]:
            connection.sendall(bytes([byte]))
        connection.sendall(request[500:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("beginning", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nA: ",
                                       HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\nA: "])  # fmt: skip
def test_a_line_without_an_end_is_refused(server, beginning):
    """httptools would collect it in memory until the request times out."""
    with connected(server) as connection:
        connection.sendall(beginning)
        for _ in range(20):
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"x" * 1000)
            time.sleep(0.001)
        assert b"expected at most 100 lines and 16384 bytes" in all_of(connection)


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


def test_clients_that_never_take_a_last_answer(impatient):
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


def needs_proc():
    if sys.platform != "linux":
        pytest.skip("requires /proc")


def open_files(server):
    needs_proc()
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_a_body_in_small_chunks_is_refused(server):
    for size, count, status in ((1, 64, 400), (1, 65, 400), (512, 200, 400), (511, 33_000, 400)):
        small = b"%x\r\n%b\r\n" % (size, b" " * size)
        with connected(server) as connection:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                connection.sendall(small * count + b"0\r\n\r\n")
            answer = all_of(connection)
        is_refused = (size, count) in ((1, 65), (511, 33_000))
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert (b"Send larger chunks." in answer) == is_refused
        assert (b"not valid JSON" in answer) != is_refused


# ---- too much ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "status"), [(524_288, b"400"), (524_289, b"413")])  # zeros are not JSON
def test_the_largest_body_is_received(strict, size, status):
    with connected(strict) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size + bytes(size if status == b"400" else 0))
        assert connection.recv(10_000).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("declared", [False, True])
def test_a_body_that_is_too_large(strict, declared):
    with connected(strict) as connection:
        framing = b"Content-Length: 2000000" if declared else b"Transfer-Encoding: chunked"
        connection.sendall(HEAD + framing + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                connection.sendall(bytes(100_000) if declared else b"186A0\r\n" + bytes(100_000) + b"\r\n")
        answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"524,288 bytes" in answer


@pytest.mark.landing
@pytest.mark.uninstrumented
def test_a_flood_of_oversized_bodies_leaves_memory_flat():
    count = 1000

    def flood(server, times):
        for _ in range(times):
            with connected(server) as connection:
                connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n" + bytes(10_000))
                assert connection.recv(20).startswith(b"HTTP/1.1 413")

    with serving("--log-level", "warning") as server:
        flood(server, 200)
        before = server.memory()
        threads = [threading.Thread(target=flood, args=(server, count // 4)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.memory() - before < 2e6
        assert server.ask("POST", INFER, BODY)[0] == 200


@pytest.mark.landing
@pytest.mark.uninstrumented
def test_what_was_refused_is_not_kept_in_memory():
    large = b'{"inputs": [[' + b" " * 3_900_000 + b"]]}"
    bomb = gzip.compress(bytes(17 * 2**20))
    with serving("--log-level", "warning") as server:
        assert server.ask("POST", INFER, large)[0] == 400
        assert server.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})[0] == 413
        before = server.memory()
        for _ in range(15):
            assert server.ask("POST", INFER, large)[0] == 400
            assert server.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})[0] == 413
        assert server.memory() - before < 40e6


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.uninstrumented
def test_bombs_do_not_stop_the_others():
    bomb = gzip.compress(bytes(15 * 2**20))
    with serving("--log-level", "warning") as server:
        took = times_while(server, 8, "POST", INFER, bomb, {"Content-Encoding": "gzip"})
        assert took[45] < 0.3
        assert server.memory() < 400e6


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.uninstrumented
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"[" + b"[]," * 1_390_000 + b"[]]", {}, marks=pytest.mark.release),
        (gzip.compress(b"[" * 4 * 2**20), {"Content-Encoding": "gzip"}),
        pytest.param(b"{" + b",".join(b'"%x":0' % k for k in range(390_000)) + b"}", {}, marks=pytest.mark.release),
        ((b"0" for _ in range(600_000)), {"Transfer-Encoding": "chunked"}),
        (b"", {f"a{k}": "b" for k in range(3000)}),
    ],
    ids=["lists", "brackets in gzip", "keys", "chunks", "headers"],
)
def test_attacks_do_not_stop_the_others(body, headers):
    with serving("--log-level", "warning") as server:
        content = b"POST %b HTTP/1.1\r\nHost: x\r\n" % INFER.encode()
        content += b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
        if isinstance(body, bytes):
            content += b"Content-Length: %d\r\n\r\n" % len(body) + body
        else:
            content += b"\r\n" + b"".join(b"1\r\n%b\r\n" % part for part in body) + b"0\r\n\r\n"

        def attack():
            while not stop.is_set():
                with contextlib.suppress(OSError), connected(server) as connection:
                    connection.sendall(content)
                    connection.recv(1000)

        stop, took = threading.Event(), []
        threads = [threading.Thread(target=attack) for _ in range(16)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(40):
                start = time.perf_counter()
                assert server.ask("GET", "/v2/health/live")[0] == 200
                took.append(time.perf_counter() - start)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert sorted(took)[35] < 0.5  # with the clients on the same cores; it was 8 s


def times_while(server, clients, *request):
    """The seconds, in order, that 50 small requests take while other clients send one kind of request on and on."""
    stop, took = threading.Event(), []

    def ask_on():
        while not stop.is_set():
            server.ask(*request)

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            start = time.perf_counter()
            assert server.ask("POST", INFER, BODY)[0] == 200
            took.append(time.perf_counter() - start)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return sorted(took)


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    image_module.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_picture_one_pixel_wide_costs_nothing(server):
    server.ask("POST", "/predict", encoded(np.zeros((9, 9), np.uint8)))  # imports what reads pictures
    before = server.memory()
    content = zlib.compress(bytes(2 * 25_000_000))  # a byte for the filter of each row, and one for its pixel
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 25_000_000, 8, 0, 0, 0, 0)), (b"IDAT", content), (b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    status, _, answer = server.ask("POST", "/predict", b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert (status, "1x25000000 pixels; expected sides of a ratio" in answer["error"]) == (400, True)
    assert server.memory() - before < 20e6


def worst_pictures():
    """The pictures within the limits that cost the most memory or time, by name."""
    rng, side = np.random.default_rng(0), 5000
    blocks = rng.integers(0, 256, (250, 250, 4), np.uint8).repeat(20, 0).repeat(20, 1)
    page = np.full((side, side), 255, np.uint8)  # combs, which are cut into thousands of pieces
    for top in range(50, side - 100, 90):
        page[top : top + 6, 10:-10] = 0
        for left in range(10, 15):
            page[top : top + 60, left:-10:35] = 0
    exif = image_module.Exif()
    exif[0x112] = 6
    progressive = encoded(np.zeros((side, side, 3), np.uint8), "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return {
        "combs": encoded(page, compress_level=1),
        "noise": encoded(rng.integers(0, 256, (3900, 3900), np.uint8)),
        "longest": encoded(np.zeros((500, 50_000), np.uint8)),
        "transparent": encoded(blocks, compress_level=1),
        "16 bits": encoded(blocks[..., 0] * np.uint16(257), "TIFF", compression="tiff_lzw"),
        "turned": encoded(blocks[..., :3], "JPEG", exif=exif),
        "progressive": progressive[:-2] + scan * (100 - progressive.count(b"\xff\xda")) + b"\xff\xd9",
        "one strip": encoded(np.zeros((side, side, 4), np.uint8), "TIFF", compression="tiff_lzw", tiffinfo={278: side}),
        "WebP": encoded(blocks[:4000, :4000], "WEBP", quality=10),
        "text": b"P3 1000 1000 255 " + b"0 " * 3_000_000,
    }


@pytest.mark.release
@pytest.mark.uninstrumented
def test_the_worst_pictures_fit_into_a_gigabyte():
    """The data of a server that reads one picture at a time; hosting.md promises the growth of its memory."""
    command = ["bash", "-c", f"ulimit -d {2**20}; exec {sys.executable} -m lenet serve --port 0 --deadline 60"]
    with serving(command=command, LENET_NUM_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1") as server:
        process = Path(f"/proc/{server.process.pid}")
        for name, content in worst_pictures().items():
            assert len(content) < 16 * 2**20, name
            before = server.memory()
            (process / "clear_refs").write_text("5")  # resets the peak
            status, _, answer = server.ask("POST", "/predict", content)
            assert status == 200 or "noise or a texture" in answer["error"], (name, answer)
            peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())[1])
            assert peak - before < 300e6, name


@pytest.mark.timing
@pytest.mark.landing
def test_too_much_in_flight_is_refused_and_never_queued():
    page, outcomes = a_page(), []

    def ask():
        status, headers, answer = server.ask("POST", "/predict", page)
        outcomes.append((status, headers.get("retry-after"), answer.get("error", "")))

    with serving("--max-in-flight", "3") as server:
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [each for each in outcomes if each[0] == 503]
        assert 3 <= len(outcomes) - len(refused) < 12
        assert all(again == "1" and error.startswith("The server is at capacity") for _, again, error in refused)
        assert {status for status, _, _ in outcomes} == {200, 503}
        assert server.ask("POST", "/predict", page)[0] == 200
        text = server.ask("GET", "/metrics")[2].decode()
        assert f'lenet_rejected_total{{reason="busy"}} {len(refused)}.0' in text


def test_too_many_images_in_one_iteration_of_the_event_loop_are_refused():
    app, tensor = create_app({"mnist": lenet.load_pretrained()}), np.zeros((80, 784), np.uint8)
    entry = {"name": "images", "datatype": "UINT8", "shape": [80, 784], "parameters": {"binary_data_size": tensor.size}}
    head = json.dumps({"inputs": [entry]}).encode()
    headers = [(b"inference-header-content-length", b"%d" % len(head))]
    statuses = []

    async def receive():
        return {"type": "http.request", "body": head + tensor.tobytes()}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def ask(count):
        scope = {"type": "http", "method": "POST", "path": INFER, "headers": headers}
        await asyncio.gather(*(app(dict(scope), receive, send) for _ in range(count)))

    async def ask_twice():
        await ask(60)
        await ask(51)

    asyncio.run(ask_twice())
    assert statuses == [200] * 51 + [503] * 9 + [200] * 51


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [(b"", b"", 400), (b"other=1", b"x", 400), (b"only_digits=2", b"x", 400), (b"model=other", b"x", 404)],
)
def test_a_request_without_a_valid_picture_needs_no_thread(monkeypatch, query, body, status):
    """At capacity, it would otherwise be refused with 503, which tells clients to send it again."""
    monkeypatch.setattr(ThreadPool, "run", None)
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": query}
    asyncio.run(create_app({"mnist": lenet.load_pretrained()})(scope, receive, send))
    assert sent[0]["status"] == status


@pytest.mark.timing
def test_an_answer_that_takes_too_long():
    with serving("--deadline", "0.05") as server:
        status, headers, answer = server.ask("POST", "/predict", a_page(12))
        assert (status, headers["retry-after"]) == (503, "1")
        assert answer["error"] == "The response took longer than 0.05 s to compute. Send less, or retry later."
        assert server.ask("POST", INFER, BODY)[0] == 200


@pytest.mark.timing
@pytest.mark.landing
def test_small_requests_are_answered_while_pictures_are_read(server):
    assert times_while(server, 2, "POST", "/predict", a_page(10))[45] < 0.5


# ---- the end -------------------------------------------------------------------------------------------


@SENDS_SIGNALS
@pytest.mark.timing
@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, 1),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.landing),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.release),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.release),
    ],
)
def test_what_has_begun_is_answered_before_the_end(number, workers):
    answers, page = [], a_page(20)
    with serving("--workers", workers) as server:
        thread = threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", page)))
        thread.start()
        with connected(server) as connection:  # a request that is still arriving
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:50])
            time.sleep(0.3)
            server.process.send_signal(number)
            time.sleep(0.3)
            connection.sendall(BODY[50:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        thread.join()
        assert answers[0][0] == 200
        assert len(answers[0][2]["lines"]) == 20
        assert server.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            server.ask("GET", "/v2/health/live")


@SENDS_SIGNALS
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.release)])
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.landing)])
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


@pytest.mark.timing
@pytest.mark.landing
def test_a_worker_that_dies_is_replaced():
    def workers_of(server):
        command = ["pgrep", "-P", str(server.process.pid), "-f", "spawn_main"]
        return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())

    with serving("--workers", "2") as server:
        before = workers_of(server)
        killed = max(before)
        os.kill(int(killed), signal.SIGKILL)
        wait_for(lambda: len(workers_of(server) - {killed}) == len(before))
        for _ in range(20):
            assert server.ask("POST", INFER, BODY)[0] == 200


@pytest.mark.timing
@pytest.mark.landing
def test_a_worker_starts_with_the_last_good_model(tmp_path):
    path, x = (
        tmp_path / "kept.safetensors",
        [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}],
    )
    lenet.LeNet5(seed=0).save(path)
    with serving("--workers", "2", "--model", path) as server:
        lenet.LeNet5(seed=1).save(path)
        version = Models({"kept": path}).get().version
        wait_for(lambda: all(server.ask("GET", "/v2/models/kept")[2]["versions"] == [version] for _ in range(20)))
        time.sleep(1)  # the parent looks every half second
        path.write_bytes(b"damaged")
        children = ["pgrep", "-P", str(server.process.pid), "-f", "spawn_main"]
        for pid in subprocess.run(children, check=True, capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        said = "Model kept was not loaded from its file; the last good one is used."
        wait_for(lambda: sum(each.get("message", "").startswith(said) for each in server.log()) == 2)
        assert server.ask("GET", "/v2/models/kept")[2]["versions"] == [version]
        assert server.ask("POST", "/v2/models/kept/infer", json.dumps({"inputs": x}))[0] == 200
        assert not [each for each in server.log() if "traceback" in each]


# ---- draining ------------------------------------------------------------------------------------------

LIVE, READY = (b"GET /v2/health/%s HTTP/1.1\r\nHost: x\r\n\r\n" % name for name in (b"live", b"ready"))


@SENDS_SIGNALS
@pytest.mark.timing
@pytest.mark.parametrize(("workers", "drain"), [(1, 1), pytest.param(2, 3, marks=pytest.mark.landing)])
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
    """Data that is left when a connection is closed would reset it, and the answer could be lost."""
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(b"nonsense\r\n\r\n" + bytes(300_000))
            time.sleep(0.01)
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
            while connection.recv(2**16):  # no ConnectionResetError
                pass


@SENDS_SIGNALS
@pytest.mark.timing
@pytest.mark.parametrize(("signals", "seconds"), [(1, 4), pytest.param(2, 2, marks=pytest.mark.landing)])
def test_the_end_does_not_wait_for_pictures_that_are_read(signals, seconds):
    """After the promised time, and after a second Ctrl-C, those who wait get an answer, and there is no traceback."""
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
        assert set(answers) <= {400, 408, 503}  # 408: on a busy machine, a picture does not arrive in half a second
        assert not [each for each in server.log() if "traceback" in each]


@pytest.mark.timing
@pytest.mark.landing
def test_workers_that_read_pictures_end_without_abort(monkeypatch):
    """A terminal sends Ctrl-C to every process; OpenCV's threads would abort Python's own exit."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # the second Ctrl-C would interrupt its writing
    noise = encoded(np.random.default_rng(0).integers(0, 256, (2500, 2500), np.uint8))

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):  # requests in progress may be cut off
            server.ask("POST", "/predict", noise)

    with serving("--workers", "2", LENET_NUM_THREADS="1") as server, ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask) for _ in range(4)]
        time.sleep(1)
        parent = server.process.pid
        processes = [parent, *map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())]
        for _ in range(2):
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            time.sleep(0.3)
        assert server.process.wait(10) in (0, -signal.SIGINT)  # the latter if the second came while Python ended
        wait(answers)
        assert not [each for each in server.log() if "traceback" in each]  # and all lines are JSON, unlike an abort


MANY = """
import lenet
from lenet.serving import Limits, serve
serve({"mnist": lenet.load_pretrained()}, port=0, limits=Limits(connections=20), log_level="warning",
      on_ready=lambda url: print("lenet serves", url, flush=True))
"""


@pytest.mark.landing
def test_more_connections_than_may_be():
    """The one that has waited longest for its client is closed; those that come are answered."""
    with serving(command=[sys.executable, "-c", MANY]) as server:
        before = open_files(server)
        server.process.send_signal(signal.SIGSTOP)  # that all of them come at once
        burst = [socket.create_connection((server.host, server.port)) for _ in range(500)]
        server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: sum(closed(each) for each in burst) == 480)
        assert open_files(server) <= before + 20
        for each in burst:
            each.close()
        idle = [socket.create_connection((server.host, server.port)) for _ in range(60)]
        try:
            assert server.ask("POST", INFER, BODY)[0] == 200
            idle[0].settimeout(5)
            assert idle[0].recv(100) == b""
            idle[-1].setblocking(False)
            with pytest.raises(BlockingIOError):
                idle[-1].recv(100)
        finally:
            for each in idle:
                each.close()


def closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.landing
def test_no_more_connections_than_files():
    command = ["bash", "-c", f"ulimit -n 256; exec {sys.executable} -m lenet serve --port 0"]
    with serving(command=command) as server:
        idle = []
        for _ in range(30):  # in bursts that fit into the queue of connections that the server has not accepted
            idle += [socket.create_connection((server.host, server.port)) for _ in range(10)]
            assert server.ask("POST", INFER, BODY)[0] == 200
        assert not [line for line in server.log() if "traceback" in line]
        for each in idle:
            each.close()


def test_buffered_bytes_are_released_after_each_request():
    app = create_app({"mnist": lenet.load_pretrained()}, limits=Limits(buffered=2 * len(BODY)))
    scope = {"type": "http", "method": "POST", "path": INFER, "headers": []}
    statuses = []

    async def receive():
        return {"type": "http.request", "body": BODY}

    async def send(message):
        statuses.append(message.get("status"))

    async def ask():
        for _ in range(5):
            await app(dict(scope), receive, send)

    asyncio.run(ask())
    assert statuses == [200, None] * 5  # the start and the body of each answer


def test_a_body_that_is_released_while_it_is_joined_is_not_kept():
    class Released(collections.UserList):
        def __iter__(self):
            context.parts = []
            return iter(self.data)

    context = RequestContext("POST", INFER, {})
    context.parts = Released([b"a", b"b"])
    assert (context.body(), context.parts) == (b"ab", [])
    context.parts = [b"a", b"b"]
    assert (context.body(), context.body(), context.parts) == (b"ab", b"ab", [b"ab"])


# ---- the limits themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["body", "json", "batch", "pixels", "in_flight", "buffered", "connections"])
def test_limits_are_whole_numbers(name):
    assert getattr(Limits(**{name: 5}), name) == 5
    for value in (0, -1):
        with pytest.raises(InputError, match=name):
            Limits(**{name: value})
    for value in (1.5, "5", True, None):
        with pytest.raises(InputTypeError, match=name):
            Limits(**{name: value})


@pytest.mark.parametrize("name", ["receive_seconds", "request_seconds"])
def test_limits_of_time(name):
    assert getattr(Limits(**{name: 0.5}), name) == 0.5
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=name):
            Limits(**{name: value})


# ---- the thread pool -----------------------------------------------------------------------------------


def outcomes(pool, durations):
    """Submit functions that sleep, all at once; return the outcome of each: None, or its BusyError."""

    async def run():
        tasks = [asyncio.create_task(pool.run(functools.partial(time.sleep, each))) for each in durations]
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.timing
def test_functions_that_would_not_end_in_time_are_refused_at_once(monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", "2")
    pool = ThreadPool(max_pending=100, timeout=1)
    assert outcomes(pool, [0.2, 0.2]) == [None] * 2
    start = time.perf_counter()
    ended = outcomes(pool, [0.2] * 20)
    assert time.perf_counter() - start < 1.2
    refused = [each for each in ended if each is not None]
    assert 8 <= ended.count(None) <= 10  # each thread has time for five
    assert {(type(each), each.reason, each.retry_after) for each in refused} == {(BusyError, "busy", 1)}
    assert ended.index(refused[0]) == 8  # (8 / 2 + 1) * 0.2 s, measured as a little more, is over 1 s


@pytest.mark.timing
def test_a_free_thread_takes_a_function_though_the_last_ones_were_slow(monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", "1")

    async def run():
        pool = ThreadPool(max_pending=100, timeout=0.05)
        with pytest.raises(BusyError, match=r"longer than 0\.05 s"):
            await pool.run(functools.partial(time.sleep, 0.2))
        await asyncio.sleep(0.3)
        return await pool.run(int)

    assert asyncio.run(run()) == 0


def test_the_threads_of_a_pool_end_with_it():
    before = set(threading.enumerate())  # of other tests; they may end meanwhile
    pool = ThreadPool(max_pending=8, timeout=1)
    outcomes(pool, [0.01] * 4)
    assert set(threading.enumerate()) - before
    del pool
    wait_for(lambda: not set(threading.enumerate()) - before)


@pytest.mark.timing
def test_turns_with_the_gil_are_exclusive_and_pause_for_as_long():
    turns, times = GilTurns(), []

    def take():
        with turns:
            start = time.perf_counter()
            time.sleep(0.05)
            times.append((start, time.perf_counter()))

    with ThreadPoolExecutor(3) as pool:
        wait([pool.submit(take) for _ in range(3)])
    times.sort()
    for (start, end), (next_start, _) in itertools.pairwise(times):
        assert next_start - end >= 0.99 * (end - start)


@pytest.mark.parametrize("binary", [True, False])
def test_only_large_json_waits_for_a_turn_with_the_gil(monkeypatch, binary):
    tensor = {"name": "images", "datatype": "UINT8", "shape": [100, 784]}
    tensor |= {"parameters": {"binary_data_size": 78400}} if binary else {"data": [0] * 78400}
    content, turns = json.dumps({"inputs": [tensor]}).encode(), MagicMock()
    context = RequestContext("POST", INFER, {}, parts=[content, bytes(78400 * binary)])
    monkeypatch.setattr(routes, "GIL_TURNS", turns)
    answer = routes._read_and_predict(
        context, len(content) if binary else None, Limits(), Models({"mnist": lenet.load_pretrained()}).get()
    )
    assert len(answer.labels) == 100
    assert turns.__enter__.called != binary


def test_a_malformed_form_ends_its_turn_with_the_gil():
    request = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]})

    async def parse():
        with pytest.raises(InputError, match="form is malformed"):  # whose traceback keeps the suspended generator
            await Pictures(None, Limits(), None, None)._uploaded_file(request, bytes(2**20), {})
        return GIL_TURNS._lock.locked()

    assert not asyncio.run(parse())


@pytest.mark.parametrize(
    ("path", "content_type", "parser"),
    [
        (INFER, b"application/json", "lenet.serving.protocol.routes.read_request"),
        ("/predict", b"image/png", "lenet.serving.pictures.read_picture"),
        ("/predict", b"multipart/form-data; boundary=x", "starlette.formparsers.MultiPartParser.parse"),
    ],
)
def test_large_bodies_are_joined_and_parsed_outside_the_event_loop(monkeypatch, path, content_type, parser):
    """In the event loop, joining 15 MB takes 12 ms, and parsing 4 MiB of JSON 30 ms, for each request."""
    app, threads, parts = create_app({"mnist": lenet.load_pretrained()}), [], iter([True, True, False])

    def record_thread_of(name):
        function = pkgutil.resolve_name(name)

        def recording(*args, **named):
            threads.append(threading.current_thread().name)
            return function(*args, **named)

        monkeypatch.setattr(name, recording)

    async def receive():
        more = next(parts, None)
        if more is None:  # the client stays connected
            await asyncio.sleep(60)
        return {"type": "http.request", "body": bytes(2**17), "more_body": more}

    async def send(message):
        pass

    record_thread_of("lenet.serving.request_context.RequestContext.body")
    record_thread_of(parser)
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
    asyncio.run(app({**scope, "headers": [(b"content-type", content_type)]}, receive, send))
    assert threads == ["lenet-serve"] * 2


def test_one_read_of_a_connection_is_small(monkeypatch):
    """A read of 256 KiB, as asyncio's, takes a millisecond to parse, for each of the other clients that upload."""

    async def connect():
        app, loop = create_app({"mnist": lenet.load_pretrained()}), asyncio.get_running_loop()
        config = uvicorn.Config(app, lifespan="off")
        config.load()
        made, state = [], uvicorn.server.ServerState()
        server = await loop.create_server(
            lambda: made.append(TimedProtocol(config, state, {})) or made[0], "127.0.0.1", 0
        )
        sizes, receive = [], TimedProtocol.data_received
        monkeypatch.setattr(
            TimedProtocol, "data_received", lambda self, data: (sizes.append(len(data)), receive(self, data))
        )
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(HEAD + b"Content-Length: 8000000\r\n\r\n" + bytes(8_000_000))
        while sum(sizes) < 8_000_000:
            await asyncio.sleep(0.001)
        writer.close()
        server.close()
        return sizes

    assert max(asyncio.run(connect())) == 2**16


@pytest.mark.parametrize("library", ["python", "opencv"])
def test_too_little_memory_is_no_internal_error(monkeypatch, library):
    cv2 = pytest.importorskip("cv2")

    def fails(*args, **named):
        if library == "python":
            raise MemoryError
        cv2.copyMakeBorder(np.zeros((2**18, 1), np.uint8), 0, 0, 0, 2**30, cv2.BORDER_REPLICATE)  # 256 TiB

    monkeypatch.setattr("lenet.serving.pictures.read", fails)
    app, sent = create_app({"mnist": lenet.load_pretrained()}), []

    async def receive():
        if sent or received:
            await asyncio.sleep(60)
        received.append(True)
        return {"type": "http.request", "body": encoded(np.zeros((9, 9), np.uint8))}

    async def send(message):
        sent.append(message)

    received = []
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 503
    assert b"too little memory" in sent[1]["body"]


def test_a_cancelled_request_does_not_end_the_readiness():
    app = create_app({"mnist": lenet.load_pretrained()})

    async def receive():
        await asyncio.sleep(60)

    async def ask():
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
        await asyncio.wait_for(app(scope, receive, receive), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    assert not app.state.is_draining


# ---- the log -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def unread_log(*arguments):
    """A server whose standard error is a full pipe, and the end of the pipe to read."""
    if sys.platform == "win32":
        pytest.skip("pipes of Windows do not fill like those of POSIX")
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    command = [sys.executable, "-m", "lenet", "serve", "--port", "0", "--drain", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=write, text=True) as process:
        os.close(write)
        try:
            url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
            yield Served(url, process, None), read
        finally:
            process.kill()
            os.close(read)


@pytest.mark.timing
def test_a_log_that_nobody_reads_stops_nothing():
    with unread_log() as (server, _):
        for _ in range(3):
            assert server.ask("POST", INFER, BODY)[0] == 200
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < 4


def test_dropped_log_lines_are_counted(monkeypatch, capfdbinary):
    writer = LogWriter(max_lines=3)
    blocked = threading.Event()
    monkeypatch.setattr("lenet.serving.logs.time.sleep", lambda seconds: blocked.wait(5))
    for k in range(5):
        writer.write(b"%d\n" % k)
    assert writer.dropped == 2
    blocked.set()
    writer.flush()
    assert writer.take_dropped() == 2
    writer.flush()
    written = capfdbinary.readouterr().err.splitlines()
    assert written[:3] == [b"0", b"1", b"2"]
    assert json.loads(written[3])["message"].startswith("Dropped log lines: 2.")
    assert writer.dropped == 0
