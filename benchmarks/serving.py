"""Measure the throughput and latency of `lenet serve`, and compare them with FastAPI and onnxruntime.

    pip install '.[serve,onnx]' fastapi onnxruntime
    python -m benchmarks.serving [--seconds 25]

Both servers run the same network in one process, under uvicorn with httptools, and log each request. They take turns,
and share the machine's cores with the client. The benchmark requires Linux, and wrk and hey, which are Debian packages.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import lenet

INFER = "v2/models/mnist/infer"
CONNECTIONS = 16
ROUNDS = 5
LUA = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "application/{content}"
if {json_length} > 0 then wrk.headers["Inference-Header-Content-Length"] = "{json_length}" end
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=25, help="of each kind of request (default: 25)")
    parser.add_argument("--run", choices=("FastAPI", "lenet"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_server(arguments.run)
        return
    for program in ("wrk", "hey"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: sudo apt install {program}")
    with tempfile.TemporaryDirectory() as folder:
        loads = write_loads(Path(folder))
        with started("FastAPI") as fastapi, started("lenet") as ours:
            print_memory(ours)
            compare(fastapi, ours, loads, arguments.seconds)


def run_server(kind: str) -> None:
    """Run one of the servers; the first line of the output is its address."""
    if kind == "lenet":
        from lenet.serving import serve

        serve({"mnist": lenet.load_pretrained()}, port=0, on_ready=lambda url: print(url, flush=True))
        return
    import socket

    import uvicorn

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sends at once on these
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
    with contextlib.redirect_stdout(sys.stderr):  # where the log goes
        uvicorn.Server(uvicorn.Config(fastapi_application(), http="httptools")).run(sockets=[listening])


def fastapi_application() -> object:
    """Return an application as one would write it: JSON checked by pydantic, or the bytes of images, to onnxruntime."""
    import fastapi
    import onnxruntime
    import pydantic

    class Images(pydantic.BaseModel):
        images: list[list[int]]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = lenet.interop.to_onnx(lenet.load_pretrained(), pixels="uint8").SerializeToString()
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    application = fastapi.FastAPI()

    def probabilities(pixels: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": pixels.reshape(-1, 1, 28, 28)})[0]  # type: ignore[no-any-return]

    @application.post("/json")
    async def from_json(body: Images) -> dict[str, list[int] | list[list[float]]]:
        p = probabilities(np.array(body.images, np.uint8))
        return {"labels": p.argmax(axis=1).tolist(), "probabilities": p.tolist()}

    @application.post("/binary")
    async def from_bytes(request: fastapi.Request) -> fastapi.Response:
        p = probabilities(np.frombuffer(await request.body(), np.uint8))
        return fastapi.Response(p.tobytes(), media_type="application/octet-stream")

    return application


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
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 # for mypy
            yield Server(process.stdout.readline().strip(), process.pid)
        finally:
            process.terminate()


class Load(NamedTuple):
    """A kind of request: where it goes, its body, a script that makes wrk send it, and how much of it is JSON."""

    path: str
    body: Path
    script: Path
    json_length: int


def write_loads(folder: Path) -> dict[str, Load]:
    """Write the requests: for lenet, inference requests of the Open Inference Protocol."""
    images = lenet.data.load_digits().X_test
    loads = {}
    for name, path, body, json_length in (
        ("FastAPI, JSON", "json", json.dumps({"images": images[0].reshape(1, -1).tolist()}).encode(), 0),
        ("lenet, JSON", INFER, json.dumps(request(images[:1], images[0].ravel().tolist())).encode(), 0),
        ("lenet, binary", INFER, *binary(images[:1])),
        ("FastAPI, 64 images", "binary", images[:64].tobytes(), 0),
        ("lenet, 64 images", INFER, *binary(images[:64])),
    ):
        file, script = folder / name, folder / f"{name}.lua"
        file.write_bytes(body)
        content = "json" if name == "FastAPI, JSON" else "octet-stream"
        script.write_text(LUA.format(body=file, content=content, json_length=json_length))
        loads[name] = Load(path, file, script, json_length)
    return loads


def request(images: np.ndarray, data: list[int] | None) -> dict[str, Any]:
    """Return the JSON of an inference request: with the pixels, or for pixels that follow it."""
    tensor = {"name": "images", "shape": list(images.shape), "datatype": "UINT8"}
    if data is not None:
        return {"inputs": [tensor | {"data": data}], "outputs": [{"name": "label"}, {"name": "probabilities"}]}
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    return {"inputs": [tensor | {"parameters": {"binary_data_size": images.size}}], "outputs": outputs}


def binary(images: np.ndarray) -> tuple[bytes, int]:
    """Return an inference request with binary tensors, and the length of its JSON."""
    head = json.dumps(request(images, None)).encode()
    return head + images.tobytes(), len(head)


def print_memory(server: Server) -> None:
    """Print the memory of a new server, before and after it has read a small picture."""
    at_start = server.memory()
    size, pixels = 56, np.full((56, 56), 255, np.uint8)
    pixels[10:46, 26:30] = 0  # a 1
    picture = f"P5 {size} {size} 255\n".encode() + pixels.tobytes()
    with urllib.request.urlopen(f"{server.url}predict", picture, timeout=10) as answer:  # noqa: S310 # our own
        answer.read()
    print(f"memory: {at_start:.1f} MB at the start, {server.memory():.1f} MB after a picture", flush=True)


def compare(fastapi: Server, ours: Server, loads: dict[str, Load], seconds: float) -> None:
    """Measure the servers in turns, and print the results."""
    urllib.request.urlopen(f"{fastapi.url}openapi.json", timeout=60).close()  # noqa: S310 # wait until it starts
    rates: dict[str, list[float]] = {name: [] for name in loads}
    costs: dict[str, list[float]] = {name: [] for name in loads}
    memory: list[float] = []
    for _ in range(ROUNDS):
        for name, load in loads.items():
            rate, cost = under(load, fastapi if name.startswith("FastAPI") else ours, seconds / ROUNDS)
            rates[name].append(rate)
            costs[name].append(cost)
        memory.append(ours.memory())
    print(f"{'':28} {'requests/s':>10} {'processor':>12}")
    for name in loads:
        print(f"{name:28} {statistics.median(rates[name]):10,.0f} {statistics.median(costs[name]):9.0f} us")
    for name in ("JSON", "64 images"):
        ratios = [a / b for a, b in zip(rates[f"lenet, {name}"], rates[f"FastAPI, {name}"], strict=True)]
        print(f"{name}: {statistics.median(ratios):.2f} times FastAPI, rounds {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"memory after each round: {', '.join(f'{each:.1f}' for each in memory)} MB")
    for name in ("JSON", "binary"):
        load = loads[f"lenet, {name}"]
        at_rate(ours, load, statistics.median(rates[f"lenet, {name}"]) / 2, name, seconds)
    print(f"memory after that: {ours.memory():.1f} MB")


def under(load: Load, server: Server, seconds: float) -> tuple[float, float]:
    """Return the requests per second that wrk measures, and the CPU time per request in microseconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}", "-s", str(load.script)]
    before = server.processor_seconds()
    output = subprocess.run([*command, server.url + load.path], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    used = server.processor_seconds() - before
    return number(r"Requests/sec:\s*([\d.]+)", output), 1e6 * used / number(r"(\d+) requests in", output)


def at_rate(server: Server, load: Load, rate: float, name: str, seconds: float) -> None:
    """Print the latency of requests that arrive at a given rate."""
    length = load.json_length
    headers = ["-H", f"Inference-Header-Content-Length: {length}"] if length else []
    command = ["hey", "-z", f"{seconds:.0f}s", "-c", str(CONNECTIONS), "-q", f"{rate / CONNECTIONS:.0f}", "-m", "POST",
               "-T", "application/octet-stream", "-D", str(load.body), *headers, server.url + load.path]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
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
