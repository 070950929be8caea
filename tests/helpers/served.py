"""Run `lenet serve` as a process, for tests that send it requests."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path


class Served:
    """A running server.

    Attributes
    ----------
    url : str
        Of the page, such as "http://127.0.0.1:41234/".
    process : Popen
    """

    def __init__(self, url, process, log):
        self.url, self.process, self._log = url, process, log
        address = urllib.parse.urlsplit(url)
        self.host = "127.0.0.1" if address.hostname == "0.0.0.0" else address.hostname  # noqa: S104
        self.port = address.port

    def ask(self, method, path, body=None, headers=None):
        """Send a request; return the status, the headers, and the body, which is parsed if it is JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        is_json = answer.headers.get_content_type() == "application/json" and answer.headers.get(JSON_LENGTH) is None
        return answer.status, answer.headers, json.loads(content) if is_json and content else content

    def log(self):
        """Return what the server has logged, one dict per line, except the notice of a second Ctrl-C."""
        lines = self._log.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line != b"lenet: interrupted"]

    def logged(self, request):
        """Return the line about a request, which may come shortly after the response."""
        wait_for(lambda: any(each.get("request") == request for each in self.log()))
        return next(each for each in self.log() if each.get("request") == request)

    def memory(self):
        """Return the memory of the process in bytes; 0 without /proc."""
        if sys.platform != "linux":
            return 0
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


JSON_LENGTH = "Inference-Header-Content-Length"
SERVE = (sys.executable, "-m", "lenet", "serve", "--port", "0", "--drain", "0")


@contextlib.contextmanager
def serving(*arguments, command=SERVE, exit_codes=(0,), **environment):
    """Run `lenet serve` on a free port until the block ends, and check its exit code."""
    command = [*command, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as errors, subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:  # fmt: skip
            try:
                line = process.stdout.readline()
                assert line.startswith("lenet serves"), log.read_text()
                server = Served(next(word for word in line.split() if word.startswith("http")), process, log)
                wait_until_ready(server)
                yield server
            finally:
                process.terminate()
                process.wait(30)
        assert process.returncode in ((1,) if os.name == "nt" else exit_codes)  # Windows ends it without a signal


def wait_until_ready(server):
    """Return when the server answers."""

    def is_ready():
        with contextlib.suppress(OSError):
            return server.ask("GET", "/v2/health/ready")[0] == 200
        return False

    wait_for(is_ready)


def wait_for(condition, seconds=45):
    """Return the value of a condition as soon as it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "the condition is still false"
        time.sleep(0.01)
    return value
