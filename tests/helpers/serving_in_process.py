"""Call the server in this process: its application, and connections with a transport and a clock that tests control."""

import asyncio
import json

import uvicorn

GIVEN_TIME = 1000.0  # of the clock, at the start


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when a test says so; it keeps the timers that were started."""

    def __init__(self):
        super().__init__()
        self.now, self.timers, self.connections = GIVEN_TIME, [], []

    def time(self):
        return self.now

    def call_at(self, when, *args, **named):
        self.timers.append(super().call_at(when, *args, **named))
        return self.timers[-1]

    def running_timers(self):
        """Return the times from now at which the timers expire."""
        return [timer.when() - self.now for timer in self.timers if not timer.cancelled() and timer.when() > self.now]


def run(coroutine):
    """Return the result of a coroutine that runs in a loop with a `Clock`; its connections are lost at the end."""

    async def running():
        try:
            return await coroutine
        finally:
            for connection in asyncio.get_running_loop().connections:
                if connection.parser is not None:
                    connection.connection_lost(None)

    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(running())


async def after(seconds=0.0, iterations=20):
    """Let time pass, and then some iterations of the event loop."""
    asyncio.get_running_loop().now += seconds
    for _ in range(iterations):
        await asyncio.sleep(0)


class Transport(asyncio.Transport):
    """A transport that records what is done with it."""

    def __init__(self, eof=True, **extra):
        super().__init__({"peername": ("10.0.0.7", 50123), "sockname": ("10.0.0.1", 8000), **extra})
        self.written, self.events, self.eof = b"", [], eof

    def write(self, data):
        assert "eof" not in self.events
        self.written += data

    def get_write_buffer_size(self):
        return 0

    def can_write_eof(self):
        return self.eof

    def write_eof(self):
        self.events.append("eof")

    def close(self):
        self.events.append("close")

    def abort(self):
        self.events.append("abort")

    def pause_reading(self):
        self.events.append("pause")

    def resume_reading(self):
        self.events.append("resume")

    def is_closing(self):
        return "close" in self.events or "abort" in self.events


def connect(protocol, application, transport=None, state=None):
    """Return a new connection to an application."""
    config = uvicorn.Config(application, log_config=None, access_log=False)
    connection = protocol(config, state or uvicorn.server.ServerState(), {})
    connection.connection_made(transport or Transport())
    connection.loop.connections.append(connection)
    return connection


async def ask(application, method, path, body=b"", query=b"", **headers):
    """Return the status, the headers and the body of the answer to a request; the body is parsed if it is JSON."""
    sent, received = [], []

    async def receive():
        if received:  # the client waits for the answer
            await asyncio.Event().wait()
        received.append(True)
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": raw}
    await application(scope, receive, send)
    start, content = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    is_json = answered.get("content-type") == "application/json" and "content-encoding" not in answered
    return start["status"], answered, json.loads(content) if is_json and content else content


def asked(application, *args, **named):
    """Return the answer to one request, as `ask` does."""
    return asyncio.run(ask(application, *args, **named))


def metrics_of(application):
    """Return the lines of an application's metrics."""
    return application.metrics.text().decode().splitlines()
