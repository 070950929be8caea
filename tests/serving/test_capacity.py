"""The thread pool with a clock of its own, turns with the GIL, and the bodies in memory."""

import asyncio
import gzip
import math
import threading
import zlib
from types import SimpleNamespace

import needs_serve  # noqa: F401
import pytest
from serving_in_process import after, run
from starlette.exceptions import HTTPException

from lenet.serving import Limits
from lenet.serving.limits import capacity
from lenet.serving.limits.bodies import RequestBodies
from lenet.serving.limits.capacity import BusyError, GilTurns, ThreadPool, exit_if_working
from lenet.serving.request_context import RequestContext


class Times:
    """A clock for the modules that read one: `sleep` lets time pass."""

    def __init__(self, now=100.0):
        self.now, self.slept = now, []

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def times(monkeypatch):
    times = Times()
    monkeypatch.setattr(capacity, "time", times)
    return times


def test_the_pause_after_a_turn_is_as_long_as_the_turn(times):
    turns = GilTurns()
    times.now = 0.5
    for arrives, lasts, waits in ((0.5, 3, 0), (4, 1, 2.5), (10, 1, 0), (11, 0, 1)):
        times.now = arrives
        with turns:
            assert times.slept.pop() == waits
            times.now += lasts
    assert not turns._lock.locked()


def taking(times, seconds, result=None):
    def function():
        times.now += seconds
        return result

    return function


def pool_of(monkeypatch, threads, **named):
    monkeypatch.setenv("LENET_NUM_THREADS", str(threads))
    return ThreadPool(**{"max_pending": 100, "timeout": 30} | named)


async def blocked(pool, count):
    """Add functions that end when the event that is returned is set; it takes no time of the clock."""
    event = threading.Event()
    tasks = [asyncio.create_task(pool.run(event.wait)) for _ in range(count)]
    await asyncio.sleep(0)
    return event, tasks


@pytest.mark.parametrize(
    ("pending", "timeout", "is_accepted"),
    [(1, 1.9, True), (2, 4, True), (2, 3.9, False), (4, 6, True), (4, 5.9, False), (5, 6.9, False), (5, 7, True)],
)
def test_a_function_is_refused_if_it_would_probably_not_end_in_time(times, monkeypatch, pending, timeout, is_accepted):
    """Two threads; the functions took 1 s and 3 s. Those before it and itself take (pending / 2 + 1) * 2 s."""

    async def check():
        pool = pool_of(monkeypatch, 2, timeout=100)
        assert await pool.run(taking(times, 1, "a")) == "a"
        await pool.run(taking(times, 3))
        event, tasks = await blocked(pool, pending)
        pool._timeout = timeout
        last = asyncio.create_task(pool.run(int))
        await asyncio.sleep(0)
        assert last.done() != is_accepted
        assert pool.pending == pending + is_accepted
        pool._timeout = 100
        event.set()
        await asyncio.gather(*tasks)
        if is_accepted:
            assert await last == 0
        else:
            with pytest.raises(BusyError) as error:
                await last
            assert (error.value.reason, error.value.retry_after) == ("busy", math.ceil(timeout))
            assert str(error.value) == f"The server is at capacity. Retry after {math.ceil(timeout)} s."
        assert pool.pending == 0

    asyncio.run(check())


def test_the_expected_time_is_that_of_the_last_16_functions(times, monkeypatch):
    async def check():
        pool = pool_of(monkeypatch, 1, timeout=3)
        for seconds in (50, *[1] * 16):
            await pool.run(taking(times, seconds))
        event, (task,) = await blocked(pool, 1)
        last = asyncio.create_task(pool.run(int))  # expected to take 2 s
        await asyncio.sleep(0)
        assert pool.pending == 2
        event.set()
        assert (await task, await last) == (True, 0)

    asyncio.run(check())


def test_at_most_max_pending_functions_wait(monkeypatch):
    changes = []

    async def check():
        pool = pool_of(monkeypatch, 1, max_pending=3, on_change=changes.append)
        event, tasks = await blocked(pool, 3)
        with pytest.raises(BusyError) as error:
            await pool.run(int)
        assert (error.value.retry_after, pool.pending) == (1, 3)
        event.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert await pool.run(lambda: "again") == "again"

    asyncio.run(check())
    assert changes == [1, 1, 1, -1, -1, -1, 1, -1]


def test_a_pool_has_as_many_threads_as_functions_run_at_once(monkeypatch):
    before = set(threading.enumerate())

    def started():
        return [thread for thread in set(threading.enumerate()) - before if thread.name == "lenet-serve"]

    async def check():
        pool = pool_of(monkeypatch, 2)
        for _ in range(3):
            await pool.run(int)
        assert len(started()) == 1
        barrier = threading.Barrier(2)
        await asyncio.gather(*(pool.run(lambda: barrier.wait(10)) for _ in range(4)))
        assert len(started()) == 2
        assert all(thread.daemon for thread in started())

    asyncio.run(check())


def test_an_error_of_a_function_is_that_of_its_caller(monkeypatch):
    async def check():
        pool = pool_of(monkeypatch, 1)
        for error in (KeyError("a"), TimeoutError("own"), KeyboardInterrupt()):

            def fail(error=error):
                raise error

            with pytest.raises(type(error)) as raised:
                await pool.run(fail)
            assert raised.value is error
        assert (await pool.run(lambda: 7), pool.pending) == (7, 0)

    asyncio.run(check())


def test_a_function_that_takes_too_long_runs_to_its_end_and_counts_until_then(monkeypatch):
    started, release = threading.Event(), threading.Event()

    def function():
        started.set()
        release.wait()

    async def check():
        pool = pool_of(monkeypatch, 1, timeout=2.5)
        running, waiting = [asyncio.create_task(pool.run(each)) for each in (function, int)]
        while not started.is_set():
            await asyncio.sleep(0)
        await after(2.4)
        assert not running.done()
        await after(0.2)
        for task in (running, waiting):
            with pytest.raises(BusyError) as error:
                await task
            assert (error.value.reason, error.value.retry_after) == ("deadline", 1)
            assert str(error.value) == (
                "The response was not ready within 2.5 s, including the time in the queue. "
                "Retry later or send a smaller request."
            )
        assert pool.pending == 1
        release.set()
        while pool.pending:
            await asyncio.sleep(0)

    run(check())


def test_the_process_ends_at_once_only_while_a_function_runs(monkeypatch):
    codes = []
    monkeypatch.setattr(capacity.os, "_exit", codes.append)

    async def check():
        pool = pool_of(monkeypatch, 1)
        await pool.run(exit_if_working)
        assert codes == [0]
        for _ in range(2):
            exit_if_working()
        assert codes == [0]

    asyncio.run(check())


class Bodies:
    """Bodies in memory; `receive` raises HTTPException or BusyError."""

    def __init__(self, **limits):
        self._pool = SimpleNamespace(run=self._run)
        self._bodies = RequestBodies(Limits(**limits), self._pool)
        self.release = self._bodies.release

    @staticmethod
    async def _run(function):
        return function()

    def receive(self, body, **headers):
        context, packets = RequestContext("POST", "/", {}), body if isinstance(body, list) else [body]
        context.headers = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        arriving = iter(range(len(packets)))

        async def receive():
            k = next(arriving, None)
            if k is None or packets[k] is None:
                return {"type": "http.disconnect"}
            more = {"more_body": True} if k + 1 < len(packets) else {}
            return {"type": "http.request", "body": packets[k], **more}

        try:
            asyncio.run(self._bodies.receive(context, receive))
        except (HTTPException, BusyError) as error:
            context.error = error
        return context


def status_of(context):
    return getattr(context.error, "status_code", None)


def test_a_body_is_received_in_parts():
    context = Bodies().receive([b"ab", b"", b"cde"])
    assert (context.parts, context.received, context.buffered, context.error) == ([b"ab", b"", b"cde"], 5, 5, None)


@pytest.mark.parametrize(
    ("size", "status"), [(b"10", None), (b"11", 413), (b"9" * 30, 413), (b"many", None), (b"-11", None)]
)
def test_a_body_that_is_declared_too_large_is_not_received(size, status):
    context = Bodies(body=10).receive(b"abc", content_length=size)
    assert (status_of(context), context.received) == (status, 0 if status else 3)
    if status:
        assert context.error.detail == "The body is too large; expected at most 10 bytes."


@pytest.mark.parametrize(("packets", "status"), [([b"x" * 6, b"x" * 4], None), ([b"x" * 6, b"x" * 5, b""], 413)])
def test_a_body_that_becomes_too_large_is_not_received_further(packets, status):
    context = Bodies(body=10).receive(packets)
    assert (status_of(context), context.received) == (status, 11 if status else 10)


def test_a_client_that_disconnects_is_not_slow():
    context = Bodies().receive([b"a", None])
    assert status_of(context) == 499
    assert context.error.detail == "The client disconnected before the request was complete."


def test_the_bodies_of_all_requests_have_a_limit():
    bodies = Bodies(body=1000, buffered=1000)
    first = bodies.receive(b"x" * 600)
    second = bodies.receive(b"x" * 400)
    assert first.error is second.error is None
    third = bodies.receive(b"x" * 63, content_length=b"63")  # small bodies have another 16th: 62 bytes
    assert (type(third.error), third.error.reason) == (BusyError, "buffers")
    bodies.release(third)
    assert bodies.receive(b"").error is None
    bodies.release(first)
    assert first.parts == []
    assert bodies.receive(b"x" * 662, content_length=b"662").error is None
    assert type(bodies.receive(b"x", content_length=b"1").error) is BusyError


def test_large_bodies_leave_memory_for_small_ones():
    """Of at most 64 KiB, declared and received: a 16th of the memory for all bodies."""
    bodies = Bodies(body=2**20, buffered=2**20)
    assert bodies.receive(bytes(2**20)).error is None
    for size, declared in ((2**16 + 1, b"65537"), (2**16, b"65537"), (2**16 + 1, b"65536"), (1, None), (1, b"many")):
        large = bodies.receive(bytes(size), **({} if declared is None else {"content_length": declared}))
        assert type(large.error) is BusyError
        bodies.release(large)
    assert bodies.receive(bytes(2**16), content_length=b"65536").error is None
    assert type(bodies.receive(b"x", content_length=b"1").error) is BusyError


def test_a_compressed_body_counts_with_both_of_its_sizes():
    body = gzip.compress(b"x" * 100_000, mtime=0)
    bodies = Bodies(buffered=len(body) + 100_000)
    context = bodies.receive(body, content_encoding=b"GZIP")
    assert (context.error, context.parts, context.received) == (None, [b"x" * 100_000], len(body))
    assert context.buffered == len(body) + 100_000
    bodies.release(context)
    assert type(Bodies(buffered=len(body) + 99_999).receive(body, content_encoding=b"gzip").error) is BusyError
    assert bodies.receive(body, content_encoding=b"gzip").error is None


MANY = gzip.compress(b"ab", mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (b"abc", b"identity", b"abc"),
        (MANY, b"gzip", b"ab"),
        (MANY * 16, b"gzip", b"ab" * 16),
        (MANY * 17, b"gzip", "too many gzip members; expected at most 16. Compress it as one."),
        (zlib.compress(b"abc"), b"deflate", b"abc"),
        (zlib.compress(b"abc") * 2, b"deflate", "too many deflate members; expected at most 1."),
        (MANY[:-1], b"gzip", "The body is truncated gzip data. Send all of it."),
        (b"", b"gzip", b""),
        (MANY + MANY[:-1], b"gzip", "truncated gzip"),
        (MANY, b"deflate", "The body is not valid deflate ("),
        (zlib.compress(b"a"), b"gzip", "The body is not valid gzip ("),
        (gzip.compress(b"x" * 400, mtime=0), b"gzip", b"x" * 400),
        (gzip.compress(b"x" * 401, mtime=0), b"gzip", "decompressed body is too large; expected at most 400 bytes."),
        (gzip.compress(b"x" * 240, mtime=0) + gzip.compress(b"x" * 160, mtime=0), b"gzip", b"x" * 400),
        (gzip.compress(b"x" * 240, mtime=0) + gzip.compress(b"x" * 161, mtime=0), b"gzip", "too large"),
        (b"abc", b"br", "The Content-Encoding is not supported; expected gzip, deflate or identity."),
    ],
)  # fmt: skip
def test_compressed_bodies_are_decompressed_or_rejected(body, encoding, expected):
    context = Bodies(body=400).receive(body, content_encoding=encoding)
    if isinstance(expected, bytes):
        assert (context.error, context.body()) == (None, expected)
    else:
        assert expected in context.error.detail
        assert status_of(context) == (413 if "large" in expected else 415 if "supported" in expected else 400)


def test_a_thread_that_cannot_start_is_started_later(monkeypatch):
    class Refused(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    async def check():
        pool = pool_of(monkeypatch, 1, max_pending=1)
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", Refused)
            with pytest.raises(BusyError):
                await pool.run(int)
        assert (pool.pending, await pool.run(int)) == (0, 0)

    asyncio.run(check())
