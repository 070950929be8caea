"""Connections with a transport and a clock that the test controls: deadlines, order of closing, and errors."""

import asyncio
import json
import re

import needs_serve  # noqa: F401
import pytest
import uvicorn
from serving_in_process import Transport, after, connect, run
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import lenet
from lenet.serving import Limits, Models
from lenet.serving.asgi import Application
from lenet.serving.connections import TimedProtocol
from lenet.serving.limits.capacity import ThreadPool
from lenet.serving.metrics import Metrics
from lenet.serving.reloading import watching
from lenet.serving.request_context import BytesResponse, context_of
from lenet.serving.routing import Operation, Router

LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
UPLOAD = b"POST /upload HTTP/1.1\r\nHost: x\r\nX-Request-Id: up\r\nContent-Length: 4\r\n\r\n"
RECEIVE, KEPT = 7, 5  # seconds: the limit of these tests, and uvicorn's time to keep an idle connection


class Served:
    """An application with three routes, and its connections."""

    def __init__(self, connections=100):
        self.contexts, self.proceed = [], asyncio.Event()

        async def live(request):
            return BytesResponse(b"live")

        async def wait(request):
            await self.proceed.wait()
            return BytesResponse(b"waited")

        async def upload(request):
            return BytesResponse(context_of(request).body())

        models = Models({"m": lenet.LeNet5(seed=0)})
        self.application = Application(
            Router([Operation("GET", "/live", live, {}), Operation("GET", "/wait", wait, {}),
                    Operation("POST", "/upload", upload, {})]),
            Limits(connections=connections, receive_seconds=RECEIVE), Metrics(models), ThreadPool(1, 1),
            self.contexts.append, [], lambda app: watching(models),
        )  # fmt: skip
        self.state = uvicorn.server.ServerState()

    def connect(self, **extra):
        transport = Transport(**extra)
        return connect(TimedProtocol, self.application, transport, self.state), transport

    def records(self):
        return [(context.status, context.path) for context in self.contexts]

    def open_connections(self):
        return int(re.search(rb"^lenet_connections (\d+)", self.application.metrics.text(), re.MULTILINE)[1])


def statuses(transport):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", transport.written)]


def in_loop(test):
    """Run an asynchronous test in a loop with a clock of its own."""

    def running(*args, **named):
        run(test(*args, **named))

    running.__name__ = test.__name__
    return running


@in_loop
async def test_a_client_that_sends_nothing_is_disconnected_without_a_response():
    served = Served()
    _, transport = served.connect()
    await after(RECEIVE - 0.01)
    assert transport.events == []
    await after(0.02)
    assert transport.events == ["resume", "eof"]
    assert (transport.written, served.records()) == (b"", [])
    await after(0.97)
    assert "abort" not in transport.events
    await after(0.04)  # a second for the client to close, too
    assert transport.events == ["resume", "eof", "abort"]


@in_loop
async def test_a_header_that_takes_too_long_is_answered_and_recorded():
    served = Served()
    connection, transport = served.connect()
    await after(RECEIVE - 1)
    connection.data_received(LIVE[:20])
    await after(0.99)
    assert transport.written == b""
    await after(0.02)
    head, _, body = transport.written.partition(b"\r\n\r\n")
    message = "The request took longer than 7 s to arrive. Send it faster."
    assert json.loads(body) == {"error": message}
    (context,) = served.contexts
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 408 Request Timeout", b"content-type: application/json", b"content-length: %d" % len(body),
        b"connection: close", b"x-request-id: " + context.request.encode(), b"x-content-type-options: nosniff",
    ]  # fmt: skip
    assert (context.status, context.error, context.peer) == (408, message, "10.0.0.7")
    assert (context.method, context.path, context.operation) == ("", "", "none")
    assert transport.events[-1] == "eof"


@in_loop
async def test_a_connection_without_an_address_has_no_peer():
    served = Served()
    connection, transport = served.connect(peername=None, sockname="")
    connection.data_received(b"nonsense\r\n\r\n")
    assert (statuses(transport), served.contexts[0].peer) == ([400], None)


@in_loop
async def test_headers_of_all_responses_are_those_of_errors_too():
    served = Served()
    served.state.default_headers = [(b"via", b"test")]
    connection, transport = served.connect()
    connection.data_received(b"nonsense\r\n\r\n")
    assert b"\r\nvia: test\r\n" in transport.written


@pytest.mark.parametrize("application", ["own", "other"])
def test_a_body_that_takes_too_long_is_answered_and_recorded_once(application):
    outcomes = []

    async def other(scope, receive, send):
        outcomes.extend([(await receive())["type"], (await receive())["type"]])

    @in_loop
    async def check():
        served = Served()
        connection, transport = served.connect()
        seconds = RECEIVE
        if application == "other":  # to which the default limits apply
            connection, seconds = connect(TimedProtocol, other, transport := Transport()), 10
        await after(seconds - 1)
        connection.data_received(UPLOAD[:9])
        await after(0.5)
        connection.data_received(UPLOAD[9:] + b"ab")
        await after(0.49)  # one time for all of it, from the start of the connection
        assert transport.written == b""
        await after(0.02)
        assert statuses(transport) == [408]
        if application == "own":
            assert b"\r\nx-request-id: up\r\n" in transport.written
            assert (served.records(), served.contexts[0].request) == ([(408, "/upload")], "up")
            assert served.contexts[0].error == "The request took longer than 7 s to arrive. Send it faster."
        else:
            assert outcomes == ["http.request", "http.disconnect"]

    check()


@in_loop
async def test_a_body_that_does_not_arrive_after_its_answer_has_begun_gets_no_other():
    async def early(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await receive()
        await receive()

    connection = connect(TimedProtocol, early, transport := Transport())
    connection.data_received(UPLOAD)
    await after(10.01)
    assert (statuses(transport), transport.events[-1]) == ([200], "eof")


@in_loop
async def test_the_time_of_a_request_starts_with_its_first_byte():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(LIVE)
    await after(3)
    connection.data_received(UPLOAD[:10])  # 3 s after the response
    await after(RECEIVE - 1)
    connection.data_received(UPLOAD[10:] + b"a")  # the body has the rest of the time
    await after(0.99)
    assert statuses(transport) == [200]
    await after(0.02)
    assert statuses(transport) == [200, 408]


@in_loop
async def test_a_request_behind_another_has_its_time_from_the_response():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(WAIT + UPLOAD[:10])
    await after(2 * RECEIVE)
    assert transport.written == b""
    served.proceed.set()
    await after()
    assert statuses(transport) == [200]
    await after(RECEIVE - 0.01)
    assert statuses(transport) == [200]
    await after(0.02)
    assert statuses(transport) == [200, 408]


@in_loop
async def test_a_complete_request_has_no_deadline():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(UPLOAD + b"abcd")
    connection.data_received(WAIT)
    await after(10 * RECEIVE)
    assert statuses(transport) == [200]  # the second is still being answered
    served.proceed.set()
    await after()
    assert statuses(transport) == [200, 200]


@in_loop
async def test_an_idle_connection_is_kept_for_five_seconds_after_each_response():
    served = Served()
    connection, transport = served.connect()
    for count in (1, 2, 3):
        connection.data_received(LIVE)
        await after()
        assert statuses(transport) == [200] * count
        await after(KEPT - 0.1)
    assert "eof" not in transport.events
    await after(0.2)
    assert "eof" in transport.events
    assert statuses(transport) == [200] * 3
    assert served.state.total_requests == 3


@in_loop
async def test_a_request_that_arrives_during_the_last_seconds_of_an_idle_connection_keeps_it_open():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(LIVE)
    await after(KEPT - 0.1)
    connection.data_received(WAIT)
    await after(KEPT)
    served.proceed.set()
    await after()
    assert (statuses(transport), "eof" in transport.events) == ([200, 200], False)


@pytest.mark.parametrize("excess", [0, 1])
def test_half_a_megabyte_is_discarded_after_the_last_response(excess):
    @in_loop
    async def check():
        connection, transport = Served().connect()
        connection.data_received(b"nonsense\r\n\r\n")
        connection.data_received(bytes(2**18))
        assert transport.events == ["resume", "eof"]
        connection.data_received(bytes(2**18 + excess))
        assert transport.events == ["resume", "eof", "abort"][: 2 + excess]
        assert statuses(transport) == [400]

    check()


@in_loop
async def test_the_connection_that_has_waited_longest_is_closed_for_a_new_one():
    served = Served(connections=4)
    (first, of_first), (second, of_second), (third, of_third), (_, of_fourth) = (served.connect() for _ in range(4))
    first.data_received(LIVE)  # waits for its client again, and now for less time than the others
    second.data_received(WAIT)  # waits for the server
    third.data_received(LIVE[:5])  # still waits for the rest of the header
    await after()
    fifth, order = served.connect()[1], [of_third, of_fourth, of_first]
    for transport, after_it in zip(order, [*order[1:], fifth], strict=True):
        assert ("abort" in transport.events, "abort" in after_it.events) == (True, False)
        served.connect()
        assert len(served.state.connections) == 4
    assert ("abort" in of_second.events, "abort" in fifth.events) == (False, True)
    served.proceed.set()
    await after()
    assert statuses(of_second) == [200]


@in_loop
async def test_a_connection_that_is_closed_gives_way_if_its_client_does_not_read():
    served = Served(connections=1)
    first, of_first = served.connect()
    of_first.get_write_buffer_size = lambda: 1
    first.data_received(LIVE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    await after()
    assert (statuses(of_first), "abort" in of_first.events) == ([200], False)
    _, of_second = served.connect()
    assert ("abort" in of_first.events, "abort" in of_second.events) == (True, False)


@in_loop
async def test_a_connection_whose_body_arrives_is_behind_those_that_only_connected():
    served = Served(connections=3)
    (first, of_first), (_, of_second), (_, of_third) = (served.connect() for _ in range(3))
    first.data_received(UPLOAD)
    served.connect()
    served.connect()
    aborted = ["abort" in transport.events for transport in (of_first, of_second, of_third)]
    assert aborted == [False, True, True]
    served.connect()
    assert "abort" in of_first.events


@pytest.mark.parametrize("arrived", [b"", LIVE])
def test_a_connection_that_is_lost_waits_no_longer(arrived):
    @in_loop
    async def check():
        served = Served(connections=2)
        first, of_first = served.connect()
        first.data_received(arrived)
        await after()
        _, of_second = served.connect()
        first.connection_lost(ConnectionResetError())
        served.connect()
        assert "abort" not in of_first.events + of_second.events
        served.connect()
        assert "abort" in of_second.events

    check()


@in_loop
async def test_a_client_that_does_not_read_is_disconnected():
    connection, transport = Served().connect()
    connection.pause_writing()
    assert connection.flow.write_paused
    await after(RECEIVE / 2)
    connection.resume_writing()
    assert not connection.flow.write_paused
    connection.resume_writing()
    connection.data_received(WAIT)
    await after(RECEIVE)
    connection.pause_writing()
    await after(RECEIVE - 0.01)
    assert "abort" not in transport.events
    await after(0.02)
    assert "abort" in transport.events


@pytest.mark.parametrize(
    ("requests", "expected", "recorded"),
    [
        (b"nonsense" + LIVE, [400], [""]),
        (LIVE + b"nonsense" + LIVE, [200, 400], ["/live", ""]),
        (LIVE + LIVE + b"nonsense", [200, 200, 400], ["/live", "/live", ""]),
        (LIVE + LIVE.replace(b"Host: x\r\n", b"") + LIVE, [200, 400], ["/live", ""]),
        (LIVE + UPLOAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"zz\r\n", [200, 400],
         ["/live", ""]),
        (UPLOAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"zz\r\n", [400], ["/upload"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("arrives", ["at once", "in parts"])
def test_an_invalid_request_is_refused_after_the_answers_to_those_before_it(requests, expected, recorded, arrives):
    @in_loop
    async def check():
        served = Served()
        connection, transport = served.connect()
        parts = [requests] if arrives == "at once" else [requests[k : k + 30] for k in range(0, len(requests), 30)]
        for part in parts:
            connection.data_received(part)
        connection.data_received(LIVE)
        await after(iterations=40)
        assert statuses(transport) == expected
        assert transport.events[-1] == "eof"
        await after(iterations=40)
        assert sorted(served.records()) == sorted(zip(expected, recorded, strict=True))
        assert transport.written.count(b"connection: close") == 1

    check()


@pytest.mark.parametrize("earlier", [b"", LIVE])
def test_too_little_memory_for_a_body_is_not_an_error_of_the_client(monkeypatch, earlier):
    def fails(self, body):
        raise MemoryError

    monkeypatch.setattr(HttpToolsProtocol, "on_body", fails)
    message = "The server has too little memory for this request. Retry after 1 s."

    @in_loop
    async def check():
        served = Served()
        connection, transport = served.connect()
        connection.data_received(earlier + UPLOAD + b"data" + LIVE)
        await after(iterations=40)
        assert statuses(transport) == [200] * bool(earlier) + [503]
        head, _, body = transport.written.rpartition(b"\r\n\r\n")
        assert json.loads(body) == {"error": message}
        assert head.endswith(b"\r\nretry-after: 1")
        assert [context.error for context in served.contexts if context.status == 503] == [message]
        assert b'lenet_rejected_total{reason="memory"} 1.0' in served.application.metrics.text()

    check()


@in_loop
async def test_reading_stops_while_a_request_waits_for_another():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(WAIT)
    await after()
    transport.events.clear()
    connection.data_received(LIVE + WAIT)
    await after()
    assert transport.events == ["pause"]
    served.proceed.set()
    await after()
    assert transport.events == ["pause", "resume"]
    assert statuses(transport) == [200, 200, 200]


@in_loop
async def test_reading_continues_after_an_answer_to_a_request_that_was_not_read():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(WAIT + LIVE.replace(b"/live", b"/none"))
    await after()
    assert transport.events[-1] == "pause"
    served.proceed.set()
    await after()
    assert (statuses(transport), transport.events[-1]) == ([200, 404], "resume")


@in_loop
async def test_nothing_is_read_behind_an_invalid_request_that_waits():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(WAIT)
    await after()
    transport.events.clear()
    connection.data_received(b"nonsense\r\n\r\n")
    await after(3 * RECEIVE)
    assert (transport.events, transport.written) == (["pause"], b"")
    served.proceed.set()
    await after()
    assert statuses(transport) == [200, 400]


@pytest.mark.parametrize(
    ("arrived", "closes_at_once"),
    [(b"", True), (LIVE, True), (LIVE[:10], False), (WAIT, False), (UPLOAD, False), (LIVE + LIVE[:10], False)],
)
def test_a_shutdown_waits_for_the_request_that_has_begun(arrived, closes_at_once):
    @in_loop
    async def check():
        served = Served()
        connection, transport = served.connect()
        connection.data_received(arrived)
        await after()
        connection.shutdown()
        assert served.application.state.is_draining
        assert ("eof" in transport.events) == closes_at_once
        before = len(statuses(transport))
        rest = {LIVE[:10]: LIVE[10:], UPLOAD: b"abcd", LIVE + LIVE[:10]: LIVE[10:]}.get(arrived, b"")
        connection.data_received(rest)
        served.proceed.set()
        await after()
        assert len(statuses(transport)) == before + (not closes_at_once)
        assert "eof" in transport.events

    check()


@in_loop
async def test_another_application_is_shut_down_as_uvicorn_does_it():
    async def other(scope, receive, send):
        pass

    connection = connect(TimedProtocol, other, transport := Transport())
    connection.data_received(LIVE[:10])
    connection.shutdown()
    assert "eof" in transport.events


@in_loop
async def test_a_lost_connection_leaves_no_timer_and_ends_its_requests():
    loop, served = asyncio.get_running_loop(), Served()
    for arrived in (b"", LIVE[:10], LIVE, UPLOAD, WAIT, WAIT + LIVE):
        connection, _ = served.connect()
        connection.data_received(arrived)
        await after()
        connection.pause_writing()
        connection.connection_lost(ConnectionResetError())
        await after()
        assert loop.running_timers() == []
        assert (len(served.state.connections), len(connection.tasks), len(connection.pipeline)) == (
            0,
            arrived[:6] == WAIT[:6],
            0,
        )
        served.proceed.set()
        await after()
        served.proceed.clear()
        assert not connection.tasks
    assert [status for status, path in served.records() if path == "/upload"] == [499]


@in_loop
async def test_the_metrics_count_the_open_connections():
    served = Served()
    first, second = served.connect()[0], served.connect()[0]
    assert served.open_connections() == 2
    first.connection_lost(None)
    assert served.open_connections() == 1
    second.connection_lost(None)
    assert served.open_connections() == 0


@in_loop
async def test_a_transport_that_closes_is_aborted_after_a_second_unless_it_is_lost():
    connection, transport = Served().connect()
    connection.transport.close()
    connection.connection_lost(None)
    await after(2)
    assert "abort" not in transport.events


@pytest.mark.parametrize("is_plain", [True, False])
def test_plain_transports_read_64_kib_at_once(is_plain):
    class Plain(Transport):
        max_size = 2**18

    @in_loop
    async def check():
        transport = Plain() if is_plain else Transport()
        connect(TimedProtocol, Served().application, transport)
        assert getattr(transport, "max_size", None) == (2**16 if is_plain else None)

    check()


@in_loop
async def test_a_body_that_takes_too_long_after_its_answer_is_not_recorded_again():
    served = Served()
    connection, transport = served.connect()
    connection.data_received(UPLOAD.replace(b"/upload", b"/none"))
    await after(RECEIVE / 2)
    connection.data_received(b"a")
    await after(RECEIVE / 2 + 0.01)
    assert (statuses(transport), served.records()) == ([404], [(404, "/none")])
    assert transport.events[-1] == "eof"
