"""Measure the throughput and latency of `lenet serve`, and compare them with an application that returns a constant.

    python -m benchmarks.serving [--seconds 60]

Both run under uvicorn with httptools, one process each, and take turns; the client shares the machine's cores with
them. The benchmark requires Linux, and wrk and hey, which are Debian packages.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess  # nosec B404 # what is measured runs in a process of its own
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import lenet

INFER = "v2/models/mnist/infer"
CONNECTIONS = 16
ROUNDS = 5
LUA = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "application/octet-stream"
if {json_length} > 0 then wrk.headers["Inference-Header-Content-Length"] = "{json_length}" end
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of load on each server (default: 60)")
    parser.add_argument("--run", choices=("constant", "serve"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_server(arguments.run)
        return
    for program in ("wrk", "hey"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: sudo apt install {program}")
    with tempfile.TemporaryDirectory() as folder:
        bodies = write_bodies(Path(folder))
        with started("constant") as constant, started("serve") as serve:
            print_memory(serve)
            compare(constant, serve, bodies, arguments.seconds)


def run_server(kind: str) -> None:
    """Run one of the servers; the first line of the output is its address."""
    from lenet.serving import serve

    if kind == "constant":
        import socket

        import uvicorn

        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
        config = uvicorn.Config(constant_application(), http="httptools", access_log=False, log_level="warning")
        uvicorn.Server(config).run(sockets=[listening])
        return
    serve({"mnist": lenet.load_pretrained()}, port=0, on_ready=lambda url: print(url, flush=True))


def constant_application() -> object:
    """Return a bare Starlette application."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def constant(request: Request) -> Response:
        return JSONResponse({"hello": "world"})

    return Starlette(routes=[Route("/", constant, methods=["GET", "POST"])])


class Server:
    """A running server, and its resource usage."""

    def __init__(self, url: str, pid: int):
        self.url, self.pid = url, pid

    def processor_seconds(self) -> float:
        """Return the CPU time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Return the memory in use, in megabytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def started(kind: str) -> Iterator[Server]:
    """Run a server whose log goes to a file, as in production."""
    command = [sys.executable, "-m", "benchmarks.serving", "--run", kind]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,  # noqa: S603 # nosec B603 # our own list
    ):
        try:
            assert process.stdout is not None  # noqa: S101 # nosec B101 # for mypy
            yield Server(process.stdout.readline().strip(), process.pid)
        finally:
            process.terminate()


def write_bodies(folder: Path) -> dict[str, tuple[Path, Path, int]]:
    """Return by name the body of an inference request of one image, a script for wrk, and how much of it is JSON."""
    image = lenet.data.load_digits().X_test[0]
    tensor = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8"}
    output = {"name": "probabilities"}
    as_json = json.dumps({"inputs": [tensor | {"data": image.ravel().tolist()}], "outputs": [output]}).encode()
    head = json.dumps({
        "inputs": [tensor | {"parameters": {"binary_data_size": image.size}}],
        "outputs": [output | {"parameters": {"binary_data": True}}],
    }).encode()  # fmt: skip
    bodies = {}
    for name, body, length in (("JSON", as_json, 0), ("binary", head + image.tobytes(), len(head))):
        path, script = folder / name, folder / f"{name}.lua"
        path.write_bytes(body)
        script.write_text(LUA.format(body=path, json_length=length))
        bodies[name] = (path, script, length)
    return bodies


def print_memory(serve: Server) -> None:
    """Print the memory of a new server, before and after it has read a small picture."""
    at_start = serve.memory()
    size, pixels = 56, np.full((56, 56), 255, np.uint8)
    pixels[10:46, 26:30] = 0  # a 1
    picture = f"P5 {size} {size} 255\n".encode() + pixels.tobytes()
    with urllib.request.urlopen(f"{serve.url}predict", picture, timeout=10) as answer:  # noqa: S310 # nosec B310 # our own
        answer.read()
    print(f"memory: {at_start:.1f} MB at the start, {serve.memory():.1f} MB after a picture", flush=True)


def compare(constant: Server, serve: Server, bodies: dict[str, tuple[Path, Path, int]], seconds: float) -> None:
    """Measure the servers in turns, and print the results."""
    cases = {
        "constant, GET": (constant, "", None),
        "constant, the JSON sent": (constant, "", "JSON"),
        "constant, the binary sent": (constant, "", "binary"),
        "lenet, JSON": (serve, INFER, "JSON"),
        "lenet, binary": (serve, INFER, "binary"),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    costs: dict[str, list[float]] = {name: [] for name in cases}
    memory: list[float] = []
    for _ in range(ROUNDS):
        for name, (server, path, body) in cases.items():
            script = None if body is None else bodies[body][1]
            rate, cost = load(server, path, script, seconds / ROUNDS)
            rates[name].append(rate)
            costs[name].append(cost)
        memory.append(serve.memory())
    base = statistics.median(rates["constant, GET"])
    print(f"{'':28} {'requests/s':>10} {'of constant':>11} {'processor':>12}")
    for name in cases:
        rate = statistics.median(rates[name])
        print(f"{name:28} {rate:10,.0f} {rate / base:11.2f} {statistics.median(costs[name]):9.0f} us")
    print(f"memory after each round: {', '.join(f'{each:.1f}' for each in memory)} MB")
    for name in ("JSON", "binary"):
        half = statistics.median(rates[f"lenet, {name}"]) / 2
        at_rate(serve, bodies[name], half, name, seconds)
    print(f"memory after that: {serve.memory():.1f} MB")


def load(server: Server, path: str, script: Path | None, seconds: float) -> tuple[float, float]:
    """Return the requests per second that wrk measures, and the CPU time per request in microseconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}", server.url + path]
    before = server.processor_seconds()
    output = subprocess.run(  # noqa: S603 # nosec B603 # our own list
        [*command, *(["-s", str(script)] if script else [])], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    used = server.processor_seconds() - before
    return number(r"Requests/sec:\s*([\d.]+)", output), 1e6 * used / number(r"(\d+) requests in", output)


def at_rate(server: Server, body: tuple[Path, Path, int], rate: float, name: str, seconds: float) -> None:
    """Print the latency of requests that arrive at a given rate."""
    path, _, length = body
    headers = ["-H", f"Inference-Header-Content-Length: {length}"] if length else []
    command = ["hey", "-z", f"{seconds:.0f}s", "-c", str(CONNECTIONS), "-q", f"{rate / CONNECTIONS:.0f}", "-m", "POST",
               "-T", "application/octet-stream", "-D", str(path), *headers, server.url + INFER]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 # nosec B603 # our own list
    statuses = re.findall(r"\[(\d+)\]\s+(\d+) responses", output)
    p50, p99 = (1000 * number(rf"{part}%+ in ([\d.]+) secs", output) for part in (50, 99))
    reached = number(r"Requests/sec:\s*([\d.]+)", output)
    print(f"{name} at {reached:,.0f} a second: p50 {p50:.1f} ms, p99 {p99:.1f} ms, answers {dict(statuses)}", end="")
    print(f", errors {'none' if 'Error distribution' not in output else output.partition('Error distribution')[2]}")


def number(pattern: str, text: str) -> float:
    """Return the number that a pattern finds."""
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"no {pattern} in: {text}")
    return float(found[1])


if __name__ == "__main__":
    main()
