"""Connections to the server: pipelined requests, parts of requests, and bytes that are not HTTP."""

import asyncio
import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor

import needs_serve  # noqa: F401
import numpy as np
import pytest
import uvicorn
from served import serving, wait_for
from serving_in_process import Transport
from serving_requests import BODY, HEAD, INFER, all_of, connected

import lenet
from lenet.serving.connections import TimedProtocol

pytest_plugins = ["serving_fixture"]


def pipelined(server, requests):
    """The answers to requests that are sent without waiting for any."""
    with connected(server) as connection, ThreadPoolExecutor(1) as threads:
        sent = threads.submit(connection.sendall, requests)
        answer = all_of(connection)
        with contextlib.suppress(ConnectionError):
            sent.result()
    return answer


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
def test_a_request_notices_that_its_client_has_left_although_others_wait(behind):
    received = []

    async def application(scope, receive, send):
        for _ in range(2):
            received.append((await receive())["type"])

    async def leave():
        config = uvicorn.Config(application)
        config.load()
        protocol = TimedProtocol(config, uvicorn.server.ServerState(), {})
        protocol.connection_made(Transport())
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (1 + behind))
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        await asyncio.wait_for(asyncio.gather(*protocol.tasks), 5)

    asyncio.run(leave())
    assert received == ["http.request", "http.disconnect"]


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


def test_a_body_that_stops_halfway(server):
    with connected(server) as connection:
        connection.sendall(HEAD + b"X-Request-Id: half\r\nContent-Length: 1000\r\n\r\n" + bytes(100))
    assert server.logged("half")["error"] == "The client disconnected before the request was complete."
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
def test_requests_that_are_not_http(server, nonsense):
    logged, before = len(server.log()), answered_with(server)
    with connected(server) as connection:
        with contextlib.suppress(ConnectionError):
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


def test_data_after_a_closed_connection_does_not_keep_others_from_their_responses():
    async def written():
        state, transports = uvicorn.server.ServerState(), [Transport() for _ in range(3)]
        connections = [TimedProtocol(uvicorn.Config(None), state, {}) for _ in transports]
        for connection, transport in zip(connections, transports, strict=True):
            connection.connection_made(transport)
            connection.transport.write(b"head, ")
        connections[1].transport.close()
        for connection in connections:
            connection.transport.write(b"body")
        await asyncio.sleep(0)
        connections[0].transport.write(b"more")
        await asyncio.sleep(0)
        assert ["abort" in transport.events for transport in transports] == [False] * 3
        return [transport.written for transport in transports]

    assert asyncio.run(written()) == [b"head, bodymore", b"head, ", b"head, body"]


def test_a_response_that_cannot_be_written_keeps_no_other_from_being_sent():
    class Failing(Transport):
        def write(self, data):
            raise MemoryError

    async def written():
        state, transports = uvicorn.server.ServerState(), [Failing(), Transport(), Transport()]
        connections = [TimedProtocol(uvicorn.Config(None), state, {}) for _ in transports]
        for connection, transport in zip(connections, transports, strict=True):
            connection.connection_made(transport)
            connection.transport.write(b"response")
        await asyncio.sleep(0)
        assert ["abort" in transport.events for transport in transports] == [True, False, False]
        return [transport.written for transport in transports]

    assert asyncio.run(written()) == [b"", b"response", b"response"]
