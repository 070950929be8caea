"""Threads of the server: the pool, turns with the GIL, and the log."""

import asyncio
import contextlib
import functools
import itertools
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from unittest.mock import MagicMock

import needs_serve  # noqa: F401
import numpy as np
import pytest
import uvicorn
from served import Served, wait_for
from serving_in_process import asked
from serving_requests import BODY, HEAD, INFER, encoded
from starlette.requests import Request

import lenet
from lenet.errors import InputError
from lenet.serving import Limits, Models, create_app, pictures
from lenet.serving.connections import TimedProtocol
from lenet.serving.limits.capacity import GIL_TURNS, GilTurns, ThreadPool
from lenet.serving.logs import LogWriter
from lenet.serving.pictures import Pictures
from lenet.serving.protocol import routes
from lenet.serving.request_context import RequestContext


def outcomes(pool, durations):
    """Submit functions that sleep, all at once; return the outcome of each: None, or its BusyError."""

    async def run():
        tasks = [asyncio.create_task(pool.run(functools.partial(time.sleep, each))) for each in durations]
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_functions_whose_callers_left_before_they_began_do_not_count(monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", "1")
    release = threading.Event()

    async def run():
        pool = ThreadPool(max_pending=4, timeout=5)
        first = asyncio.create_task(pool.run(release.wait))
        others = [asyncio.create_task(pool.run(int)) for _ in range(3)]
        await asyncio.sleep(0.05)
        pending = [pool.pending]
        for other in others:
            other.cancel()
        await asyncio.sleep(0.05)
        pending.append(pool.pending)
        last = asyncio.create_task(pool.run(int))  # not refused, although four others came before
        await asyncio.sleep(0.05)
        release.set()
        assert (await first, await last) == (True, 0)
        return [*pending, pool.pending]

    assert asyncio.run(run()) == [4, 1, 0]


def test_the_threads_of_a_pool_end_with_it():
    before = set(threading.enumerate())  # of other tests; they may end in the meantime
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
        with pytest.raises(InputError, match="form cannot be read"):  # whose traceback keeps the suspended generator
            await Pictures(None, Limits(), None, None)._uploaded_file(request, [bytes(2**20)], [])
        return GIL_TURNS._lock.locked()

    assert not asyncio.run(parse())


@pytest.mark.parametrize("size", [0, 1, 2**20 + 1])
def test_the_file_of_a_form_is_as_it_was_sent(size):
    content = np.random.default_rng(0).bytes(size)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nmnist\r\n'
        b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n' + content + b"\r\n"
        b'--x\r\nContent-Disposition: form-data; name="only_digits"\r\n\r\ntrue\r\n--x--\r\n'
    )
    request = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]})
    options = []
    found = asyncio.run(Pictures(None, Limits(), None, None)._uploaded_file(request, [body[:90], body[90:]], options))
    assert found == content
    assert options == [("model", "mnist"), ("only_digits", "true")]


def test_a_form_of_tiny_parts_takes_as_few_turns_as_one_part(monkeypatch):
    turns, body = MagicMock(), b"x" * (2**19 + 5)
    monkeypatch.setattr(pictures, "GIL_TURNS", turns)

    async def collect(parts):
        return [part async for part in pictures._parts(parts)]

    for size in (7, 1448, 2**18, 2**19 + 5):
        turns.reset_mock()
        parts = asyncio.run(collect([body[start : start + size] for start in range(0, len(body), size)]))
        assert b"".join(parts) == body
        assert turns.__enter__.call_count == len(parts) <= 5  # 512 KiB and 5 bytes in parts of 256 KiB


@pytest.mark.parametrize(
    ("path", "content_type", "parser"),
    [
        (INFER, b"application/json", "lenet.serving.protocol.routes.read_request"),
        ("/predict", b"image/png", "lenet.serving.pictures.read_picture"),
        ("/predict", b"multipart/form-data; boundary=x", "starlette.formparsers.MultiPartParser.parse"),
    ],
)
def test_large_bodies_are_joined_and_parsed_outside_the_event_loop(monkeypatch, path, content_type, parser):
    """In the event loop, joining 15 MB takes 12 ms, and parsing 2 MiB of JSON 9 ms, for each request."""
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
    assert set(threads) == {"lenet-serve"}


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


@pytest.mark.parametrize(
    ("library", "expected"), [("python", 503), ("opencv", 503), ("C++ in opencv", 503), ("opencv, otherwise", 500)]
)
def test_too_little_memory_is_not_an_internal_error(monkeypatch, library, expected):
    """Other errors of OpenCV are."""
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2.error, "code", None)  # OpenCV sets it on the class, and only for its own errors

    def fails(*args, **named):
        if library == "python":
            raise MemoryError
        if library == "C++ in opencv":
            raise cv2.error("std::bad_alloc")
        right = 2**30 if library == "opencv" else -1  # 256 TiB, or less than nothing
        cv2.copyMakeBorder(np.zeros((2**18, 1), np.uint8), 0, 0, 0, right, cv2.BORDER_REPLICATE)

    monkeypatch.setattr("lenet.serving.pictures.read", fails)
    app = create_app({"mnist": lenet.load_pretrained()})
    status, _, answer = asked(app, "POST", "/predict", encoded(np.zeros((9, 9), np.uint8)))
    assert status == expected
    assert ("too little memory" in answer["error"]) == (expected == 503)


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
@pytest.mark.landing
def test_an_unread_log_blocks_nothing():
    with unread_log() as (server, _):
        for _ in range(3):
            assert server.ask("POST", INFER, BODY)[0] == 200
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < 4


def test_flushing_the_log_waits_for_lines_of_an_interval_that_has_begun(capfdbinary):
    """The first line arrives in the instant between waking up and counting the lines."""
    writer, sleep = LogWriter(), time.sleep

    class Event(threading.Event):
        def clear(self):
            super().clear()
            if not writer.late:
                writer.late = True
                writer.write(b"late\n")

    writer.late, writer._has_lines = False, Event()
    writer.write(b"first\n")
    while not writer._is_idle.is_set():
        sleep(0.01)
    writer.write(b"last\n")  # the event is still set
    writer.flush()
    assert capfdbinary.readouterr().err.splitlines() == [b"first", b"late", b"last"]


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
