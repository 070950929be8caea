"""The transport of a connection, and the timer of idle connections."""

import asyncio

import needs_serve  # noqa: F401
import pytest
from serving_in_process import Transport, after, run

from lenet.serving.transport import BufferedTransport, LazyTimer, PipelineFlowControl


def test_the_writes_of_one_iteration_are_one_write_of_each_connection():
    async def check():
        calls, unsent = [], []

        class Recording(Transport):
            def write(self, data):
                calls.append((self.name, data))

        transports = []
        for name in "ab":
            raw = Recording()
            raw.name = name
            transports.append(BufferedTransport(raw, asyncio.get_running_loop(), unsent))
        first, second = transports
        for count in (1, 2):
            first.write(b"1")
            second.write(b"2")
            first.write(b"3")
            assert len(calls) == 2 * (count - 1)
            await after(iterations=1)
            assert calls[-2:] == [("a", b"13"), ("b", b"2")]
            assert (len(calls), unsent) == (2 * count, [])

    run(check())


@pytest.mark.parametrize("eof", [True, False])
def test_closing_sends_the_rest_and_what_comes_later_is_dropped(eof):
    async def check():
        raw = Transport(eof=eof)
        transport = BufferedTransport(raw, asyncio.get_running_loop(), [])
        transport.write(b"rest")
        assert not transport.is_closing()
        transport.close()
        assert transport.is_closing()
        assert (raw.written, raw.events) == (b"rest", ["resume", "eof"] if eof else ["close"])
        transport.write(b"late")
        transport.close()
        await after()
        assert (raw.written, len(raw.events)) == (b"rest", 2 if eof else 1)
        await after(0.99)
        assert "abort" not in raw.events
        await after(0.02)
        assert raw.events.count("abort") == 1

    run(check())


@pytest.mark.parametrize(("unsent", "seconds"), [(0, 1), (1, 5)])
def test_a_client_has_time_to_read_what_is_not_sent_yet(unsent, seconds):
    class Slow(Transport):
        def get_write_buffer_size(self):
            return unsent

    async def check():
        raw = Slow()
        BufferedTransport(raw, asyncio.get_running_loop(), [], 5.0).close()
        await after(seconds - 0.01)
        assert "abort" not in raw.events
        await after(0.02)
        assert raw.events.count("abort") == 1

    run(check())


def test_a_transport_that_is_closing_is_closing():
    async def check():
        raw = Transport()
        transport = BufferedTransport(raw, asyncio.get_running_loop(), [])
        transport.lost()  # without a timer
        raw.close()
        assert transport.is_closing()
        assert transport.get_extra_info("peername") == ("10.0.0.7", 50123)

    run(check())


def test_a_client_that_has_gone_is_aborted():
    class Gone(Transport):
        def write_eof(self):
            raise OSError

    async def check():
        raw = Gone()
        BufferedTransport(raw, asyncio.get_running_loop(), []).close()
        assert raw.events == ["resume", "abort"]

    run(check())


def test_reading_is_resumed_only_if_no_request_waits():
    raw, pipeline = Transport(), [1]
    flow = PipelineFlowControl(raw, pipeline)
    flow.pause_reading()
    flow.resume_reading()
    assert raw.events == ["pause"]
    pipeline.clear()
    flow.resume_reading()
    assert raw.events == ["pause", "resume"]


def test_a_timer_expires_once_after_its_last_start():
    async def check():
        loop, calls = asyncio.get_running_loop(), []
        timer = LazyTimer(loop, lambda: calls.append(loop.now - 1000))
        timer.start(5)
        await after(3)
        timer.start(5)
        assert len(loop.timers) == 1  # each start would else add one
        await after(4.9)
        assert calls == []
        await after(0.1)
        assert calls == [8]
        await after(20)
        assert calls == [8]
        timer.start(5)
        await after(5)
        assert calls == [8, 33]
        timer.start(5)
        await after(1)
        timer.cancel()
        await after(9)
        assert calls == [8, 33]
        timer.stop()
        timer.start(1)
        timer.stop()
        assert loop.timers[-1].cancelled()  # it would else keep the connection in memory
        timer.stop()
        await after(9)
        assert calls == [8, 33]
        timer.start(1)
        await after(1)
        assert calls[2:] == [1053 - 1000]

    run(check())
