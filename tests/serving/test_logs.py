"""Lines of the log, the context of a request, and the headers of every response."""

import dataclasses
import datetime
import io
import json
import logging
import os
import re
import sys
import threading
import time
from types import SimpleNamespace

import needs_serve  # noqa: F401
import pytest
from starlette.responses import Response

from lenet.serving import logs, request_context
from lenet.serving.logs import JsonFormatter, LogWriter, WriterHandler, log_as_json, log_request, write_request
from lenet.serving.request_context import BytesResponse, RequestContext, ServerState, iso_time

NOW = 951_827_696.25  # 2000-02-29T12:34:56.250Z


@pytest.mark.parametrize("seconds", [0.0, 1.5, 86_399.9996, NOW, NOW + 0.5, NOW + 1, 1_234_567_890.001])
def test_times_are_in_utc_with_milliseconds(seconds):
    whole = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    assert iso_time(seconds) == f"{whole:%Y-%m-%dT%H:%M:%S}.{int(seconds % 1 * 1000 + 1e-4):03d}Z"


def test_the_defaults_of_a_request():
    context = RequestContext("GET", "/", {})
    fields = {field.name: getattr(context, field.name) for field in dataclasses.fields(context)}
    assert fields.pop("started") > 0
    assert re.fullmatch(r"[0-9a-f]{16}", fields.pop("request"))
    assert fields == {
        "method": "GET", "path": "/", "headers": {}, "server": ServerState(False), "peer": None, "parts": [],
        "buffered": 0, "received": 0, "traceparent": None, "operation": "none", "model": None, "batch": None,
        "status": 499, "error": None,
    }  # fmt: skip
    assert ServerState() == ServerState(is_draining=False)


def test_each_request_has_another_id():
    assert len({RequestContext("GET", "/", {}).request for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [(b"a-Z_0.9:", True), (b"x" * 100, True), (b"x" * 101, False), (b"", False), (b"a b", False), (b"a\n", False)],
)
def test_the_id_that_a_client_gives_is_kept_if_it_is_harmless(given, is_kept):
    assert (RequestContext("GET", "/", {b"x-request-id": given}).request == given.decode()) == is_kept


TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(("given", "kept"), [(TRACE, TRACE.decode()), (TRACE.upper(), None), (TRACE + b"0", None)])
def test_the_trace_that_a_client_gives_is_kept_if_it_is_valid(given, kept):
    assert RequestContext("GET", "/", {b"traceparent": given}).traceparent == kept


@pytest.mark.parametrize(
    ("given", "is_right"),
    [(b"Bearer a b", True), (b"bEARER   a b ", True), (b"Basic a b", False), (b"Bearer a", False), (b"a b", False)],
)
def test_a_request_has_a_token(given, is_right):
    assert RequestContext("GET", "/", {b"authorization": given}).has_token(b"a b") == is_right
    assert not RequestContext("GET", "/", {}).has_token(b"a b")


@pytest.fixture
def at_now(monkeypatch):
    """Requests start at 100 s of the clock, and are logged 0.0123456 s later."""
    clock = SimpleNamespace(time=lambda: NOW, perf_counter=lambda: 100.0123456, strftime=request_context.time.strftime,
                            gmtime=request_context.time.gmtime)  # fmt: skip
    monkeypatch.setattr(request_context, "time", clock)


def test_the_line_of_a_request_has_all_that_is_known(at_now):
    context = RequestContext(
        "POST", "/p", {b"x-request-id": b"mine", b"traceparent": TRACE}, peer="::1", received=7, model="m", batch=3,
        status=400, error="e", started=100.0,
    )  # fmt: skip
    line = context.log_line()
    assert line.endswith(b"}\n")
    assert list(json.loads(line).items()) == list({
        "time": "2000-02-29T12:34:56.250Z", "level": "info", "pid": os.getpid(), "request": "mine", "peer": "::1",
        "method": "POST", "path": "/p", "traceparent": TRACE.decode(), "model": "m", "batch": 3, "bytes": 7,
        "ms": 12.346, "status": 400, "error": "e",
    }.items())  # fmt: skip


def test_the_line_of_a_request_lacks_what_is_unknown(at_now):
    line = json.loads(RequestContext("GET", "/", {b"x-request-id": b"a"}, status=204, started=100.0).log_line())
    assert line == {
        "time": "2000-02-29T12:34:56.250Z", "level": "info", "pid": os.getpid(), "request": "a", "peer": None,
        "method": "GET", "path": "/", "bytes": 0, "ms": 12.346, "status": 204,
    }  # fmt: skip
    assert RequestContext("GET", "/", {}, started=100.0).seconds == pytest.approx(0.0123456)


@pytest.mark.parametrize(
    ("status", "level"), [(200, "info"), (499, "info"), (500, "error"), (501, "warning"), (503, "warning")]
)
def test_the_level_of_a_line_depends_on_the_status(status, level):
    assert json.loads(RequestContext("GET", "/", {}, status=status).log_line())["level"] == level


def test_a_body_is_joined_once():
    context = RequestContext("POST", "/", {}, parts=[b"ab", b"", b"c"])
    assert context.size == 3
    assert context.body() == b"abc"
    assert (context.parts, context.size) == ([b"abc"], 3)


@pytest.mark.parametrize(
    ("method", "given", "is_draining", "expected"),
    [
        ("GET", [], False, {b"cache-control": b"no-store"}),
        ("GET", [(b"cache-control", b"private")], False, {b"cache-control": b"private"}),
        ("POST", [], False, {}),
        ("POST", [], True, {b"connection": b"close"}),
        ("HEAD", [], False, {b"cache-control": b"no-store"}),
    ],
)
def test_headers_of_every_response(method, given, is_draining, expected):
    context = RequestContext(method, "/", {b"x-request-id": b"a", b"traceparent": TRACE}, ServerState(is_draining))
    response = Response(status_code=418)
    response.raw_headers = list(given)
    context.complete(response)
    common = {b"x-content-type-options": b"nosniff", b"x-request-id": b"a", b"traceparent": TRACE}
    assert (context.status, dict(response.raw_headers)) == (418, common | expected)
    assert len(response.raw_headers) == len(common | expected)
    other = Response()
    RequestContext("POST", "/", {}).complete(other)
    assert b"traceparent" not in dict(other.raw_headers)


def test_a_response_of_bytes():
    response = BytesResponse(b"abc", (b"a", b"b"))
    assert (response.status_code, response.body, response.background) == (200, b"abc", None)
    assert response.raw_headers == [(b"content-length", b"3"), (b"a", b"b")]


# ---- events --------------------------------------------------------------------------------------------


def record_of(**named):
    fields = {"name": "a", "levelname": "WARNING", "msg": " %s!\n", "args": ("hey",), "created": NOW} | named
    return logging.makeLogRecord(fields)


def test_an_event_is_a_line_of_json():
    expected = {"time": "2000-02-29T12:34:56.250Z", "level": "warning", "pid": os.getpid(), "message": "hey!"}
    assert json.loads(JsonFormatter().format(record_of())) == expected
    try:
        raise KeyError("lost")
    except KeyError:
        line = json.loads(JsonFormatter().format(record_of(exc_info=sys.exc_info())))
    assert line.pop("traceback").endswith("KeyError: 'lost'")
    assert line == expected


def test_events_and_requests_are_written_as_lines(monkeypatch):
    lines = []
    monkeypatch.setattr(logs, "WRITER", SimpleNamespace(write=lines.append))
    handler = WriterHandler()
    handler.setFormatter(JsonFormatter())
    handler.emit(record_of())
    write_request(RequestContext("GET", "/a", {}))
    assert [line.endswith(b"}\n") for line in lines] == [True, True]
    assert [json.loads(line).get("message") for line in lines] == ["hey!", None]
    assert json.loads(lines[1])["path"] == "/a"


def test_requests_are_logged_at_the_level_info_or_higher_if_the_server_failed(caplog, monkeypatch):
    lines, contexts = [], [RequestContext("GET", f"/{status}", {}, status=status) for status in (200, 400, 500, 503)]
    monkeypatch.setattr(logs, "WRITER", SimpleNamespace(write=lines.append))
    for level, paths in (
        ("info", ["/200", "/400", "/500", "/503"]), ("warning", ["/500", "/503"]), ("error", ["/500"]),
    ):  # fmt: skip
        caplog.clear()
        lines.clear()
        with caplog.at_level(level.upper(), "lenet.serving.requests"):
            for context in contexts:
                log_request(context)
                write_request(context, level)
        found = [(json.loads(record.getMessage()), record.levelname.lower()) for record in caplog.records]
        assert [(line["path"], line["level"]) for line, _ in found] == [(line["path"], name) for line, name in found]
        assert [line["path"] for line, _ in found] == [json.loads(line)["path"] for line in lines] == paths
        assert not any(record.getMessage().endswith("\n") for record in caplog.records)


def test_a_server_logs_lines_of_json_until_the_previous_logging_is_restored(monkeypatch):
    lines, uvicorn = [], logging.getLogger("uvicorn")
    monkeypatch.setattr(logs, "WRITER", SimpleNamespace(write=lines.append))
    monkeypatch.setattr(uvicorn, "handlers", [])  # of uvicorn's default configuration, which other tests may have set
    monkeypatch.setattr(uvicorn, "propagate", True)
    names = ["lenet.serving", "uvicorn.error", "python_multipart", "other"]
    loggers = {name: logging.getLogger(name) for name in names}
    before = [logger.getEffectiveLevel() for logger in loggers.values()]
    restore = log_as_json("info")
    try:
        for name, logger in loggers.items():
            for level in ("info", "warning", "error"):
                logger.log(getattr(logging, level.upper()), "%s %s", name, level)
    finally:
        restore()
    assert [json.loads(line)["message"] for line in lines] == [
        "lenet.serving info", "lenet.serving warning", "lenet.serving error", "uvicorn.error error",
        "python_multipart error", "other warning", "other error",
    ]  # fmt: skip
    loggers["other"].error("later")
    assert len(lines) == 7
    assert [logger.getEffectiveLevel() for logger in loggers.values()] == before


# ---- the writer ----------------------------------------------------------------------------------------


class Stderr:
    """Standard error, whose writes are recorded; each may call a function before it returns."""

    def __init__(self):
        self.writes, self.flushes, self.before = [], 0, lambda: None
        self.buffer = self

    def write(self, data):
        self.before()
        self.writes.append(data)

    def flush(self):
        self.flushes += 1


@pytest.fixture
def stderr(monkeypatch):
    stderr = Stderr()
    monkeypatch.setattr(logs, "sys", SimpleNamespace(stderr=stderr))
    return stderr


@pytest.fixture
def pauses(monkeypatch):
    """The durations of the pauses between writes, which do not wait."""
    pauses = []
    monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=pauses.append, time=lambda: NOW))
    monkeypatch.setattr(logs, "atexit", SimpleNamespace(register=lambda _: None))
    return pauses


class Held(LogWriter):
    """A writer that writes nothing before `release`, so that tests decide which lines wait together."""

    def __init__(self, *args):
        super().__init__(*args)
        self.run = self._run
        self._run = lambda: None

    def release(self):
        self._run, self._thread = self.run, None
        self.write(b"last\n")
        self.flush(10)


@pytest.mark.usefixtures("stderr", "pauses")
def test_a_flush_without_lines_does_not_wait_for_its_limit():
    writer = LogWriter()
    writer.write(b"line\n")
    writer.flush(10)
    waiting = threading.Thread(target=writer.flush, args=(60,), daemon=True)
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()


def test_lines_that_wait_are_one_write(stderr, pauses, monkeypatch):
    registered = []
    monkeypatch.setattr(logs, "atexit", SimpleNamespace(register=registered.append))
    writer = Held()
    writer.flush()  # there is no thread yet, so this does not wait
    writer.write(b"first\n")
    writer.write(b"second\n")
    assert registered == [writer.flush]
    assert writer._thread.daemon
    assert writer._thread.name == "lenet-log"
    writer.release()
    assert stderr.writes[0] == b"first\nsecond\nlast\n"
    writer.write(b"later\n")
    writer.flush(10)
    assert b"".join(stderr.writes[1:]) == b"later\n"
    assert stderr.flushes == len(stderr.writes)
    assert set(pauses) == {0.1}


def test_lines_are_dropped_if_too_many_wait(stderr, pauses):
    writer = Held(3)
    for line in (b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"):
        writer.write(line)
    assert writer.dropped == 2
    assert writer.take_dropped() == 2  # without a line, for which there is no room
    assert writer.dropped == 0
    writer._lines.popleft()
    assert writer.take_dropped() == 0
    assert writer.dropped == 0
    writer._lines.popleft()
    writer.release()
    *lines, message, last = b"".join(stderr.writes).splitlines()
    assert (lines, last) == ([b"3"], b"last")
    assert json.loads(message) == {
        "time": "2000-02-29T12:34:56.250Z", "level": "warning", "pid": os.getpid(),
        "message": "Dropped log lines: 0. Standard error was not read fast enough.",
    }  # fmt: skip


def test_ten_thousand_lines_may_wait(stderr, pauses):
    writer = Held()
    for _ in range(10_001):
        writer.write(b"")
    assert writer.dropped == 1


def test_a_line_that_comes_while_others_are_written_is_waited_for(stderr, pauses):
    writer = LogWriter()

    def before():
        if len(stderr.writes) < 3:
            writer.write(b"%d\n" % len(stderr.writes))

    stderr.before = before
    writer.write(b"first\n")
    writer.flush(10)
    assert b"".join(stderr.writes) == b"first\n0\n1\n2\n"


def test_nothing_is_written_if_no_line_waits(stderr, pauses):
    writer = LogWriter()
    writer.write(b"first\n")
    writer.flush(10)
    time.sleep(0.02)
    assert b"".join(stderr.writes) == b"first\n"
    assert len(stderr.writes) <= 3  # flushing may take a turn or two without lines


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_lines_are_lost_if_standard_error_is_closed(monkeypatch, pauses, error):
    class Closed(io.RawIOBase):
        def write(self, data):
            raise error

    monkeypatch.setattr(logs, "sys", SimpleNamespace(stderr=SimpleNamespace(buffer=Closed())))
    writer = LogWriter()
    for _ in range(2):
        writer.write(b"lost\n")
        writer.flush(10)
        assert not writer._lines
