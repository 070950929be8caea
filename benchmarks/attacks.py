"""Measure how long `/v2/health/live` takes while other clients attack the server.

    python -m benchmarks.attacks [--seconds 20] [NAME ...]

A second process attacks a server with one worker. This process asks the server for its health, each time over a new
connection, in turn with a second server that is not attacked. On a busy machine, most of the time is spent waiting for
a processor. The columns "own" show the rest: they leave out the time during which the server's event loop was ready to
run, and had no processor. The benchmark requires Linux and the extra `serve`.
"""

import argparse
import contextlib
import gzip
import io
import json
import multiprocessing
import os
import socket
import struct
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from benchmarks.serving import Server, started

INFER, PREDICT = "/v2/models/mnist/infer", "/predict"
COLUMNS = ("median", "99%", "maximum", "own median", "own 99%", "own maximum", "other 99%", "other max.")
SLOW_CLIENTS = 100
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure the attacks, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", choices=[[], *ATTACKS], metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=20, help="of each attack (default: 20)")
    arguments = parser.parse_args()
    print("ms".ljust(20), *(f"{name:>11}" for name in COLUMNS), flush=True)
    for name in arguments.attacks or ATTACKS:
        with started("lenet") as attacked, started("lenet") as other, attacking(name, attacked.url):
            took = measured(attacked, other, arguments.seconds)
        print(name.ljust(20), *(f"{1000 * each:11.1f}" for each in percentiles(*took)), flush=True)


@contextlib.contextmanager
def attacking(name: str, url: str) -> Iterator[None]:
    """Attack a server from another process during the `with` block."""
    begun = SPAWN.Event()
    attack = SPAWN.Process(target=run_attack, args=(name, url, begun), daemon=True)
    attack.start()
    try:
        if not begun.wait(60):
            raise SystemExit(f"The attack {name!r} did not start.")
        time.sleep(1)
        yield
    finally:
        attack.terminate()
        attack.join()


def measured(attacked: Server, other: Server, seconds: float) -> tuple[list[tuple[float, float]], ...]:
    """Check the health of two servers in turn; return the duration of each check, in total and of the server itself."""
    end, took = time.monotonic() + seconds, ([], [])
    while time.monotonic() < end:
        for server, times in zip((attacked, other), took, strict=True):
            waited = seconds_without_processor(server)
            duration = health_seconds(server)
            times.append((duration, duration - (seconds_without_processor(server) - waited)))
            time.sleep(0.01)
    return took


def seconds_without_processor(server: Server) -> float:
    """Return how long the main thread of a server, which runs its event loop, has waited for a CPU so far."""
    return int(Path(f"/proc/{server.pid}/schedstat").read_text().split()[1]) / 1e9


def health_seconds(server: Server) -> float:
    """Return how long a health check takes, including its connection."""
    start = time.perf_counter()
    with connected(server.url) as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if not connection.recv(1000).startswith(b"HTTP/1.1 200 "):
            raise SystemExit("The server is not healthy.")
    return time.perf_counter() - start


def percentiles(attacked: list[tuple[float, float]], other: list[tuple[float, float]]) -> list[float]:
    """Return the values of `COLUMNS`, in seconds."""
    (durations, own), (durations_of_other, _) = np.transpose(attacked), np.transpose(other)
    return [
        *np.percentile(durations, (50, 99, 100)), *np.percentile(own, (50, 99, 100)),
        *np.percentile(durations_of_other, (99, 100)),
    ]  # fmt: skip


def connected(url: str) -> socket.socket:
    """Return a connection to a server."""
    address = urllib.parse.urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


# ---- the attacks, in a process of their own ------------------------------------------------------------


def run_attack(name: str, url: str, begun: Event) -> None:
    """Attack a server until this process is terminated."""
    if hasattr(os, "nice"):
        os.nice(10)
    make, clients = ATTACKS[name]
    request = make()
    begun.set()
    if name == "slow clients":
        send_slowly(url)
    threads = [threading.Thread(target=send_repeatedly, args=(url, request)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send_repeatedly(url: str, request: bytes) -> None:
    """Send a request again and again, each time over a new connection."""
    while True:
        with contextlib.suppress(OSError), connected(url) as connection:
            connection.sendall(request)
            connection.recv(1000)


def send_slowly(url: str) -> None:
    """Send the headers of half of the requests, and the bodies of the others, at one byte every 0.1 s."""
    beginnings = [
        f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{rest}".encode() for rest in ("X: ", "Content-Length: 9999\r\n\r\n")
    ]
    clients = [(connected(url), beginnings[k % 2]) for k in range(SLOW_CLIENTS)]
    for connection, beginning in clients:
        connection.sendall(beginning)
    while True:
        for k, (connection, beginning) in enumerate(clients):
            try:
                connection.sendall(b"x")
            except OSError:  # the server has refused it
                connection.close()
                clients[k] = connected(url), beginning
                clients[k][0].sendall(beginning)
        time.sleep(0.1)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Return a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def png_of_one_column() -> bytes:
    """Return a request with a PNG of 1 x 25,000,000 black pixels."""
    content = zlib.compress(bytes(2 * 25_000_000))  # a byte for the filter of each row, and one for its pixel
    header = struct.pack(">IIBBBBB", 1, 25_000_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", content), (b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    return post(PREDICT, b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def chunks_of_one_byte() -> bytes:
    """Return a request with a body of 600,000 chunks."""
    header = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return header.encode() + b"1\r\n0\r\n" * 600_000 + b"0\r\n\r\n"


def gzip_of_brackets() -> bytes:
    """Return a request with 2 MiB of brackets, compressed."""
    return post(INFER, gzip.compress(b"[" * 2 * 2**20), "Content-Encoding: gzip")


def noise(kind: str, side: int) -> bytes:
    """Return a request with a square picture of noise."""
    from PIL import Image

    pixels, content = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return post(PREDICT, content.getvalue())


def numbers(datatype: str, number: str, nested: bool = False) -> bytes:
    """Return a request with as many images in JSON as fit into 2 MiB, at most 1024."""
    images = min(1024, 2_090_000 // (784 * (len(number) + 1) + 2))
    row = [json.loads(number)] * 784
    data = [row] * images if nested else row * images
    tensor = {"name": "images", "datatype": datatype, "shape": [images, 784], "data": data}
    return post(INFER, json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode())


def form() -> bytes:
    """Return a request with a form of 16 MB whose file looks like its boundary."""
    head = b'--xxxxxxxx\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
    content = head + b"\r\n--xxxxxxx" * 1_500_000 + b"\r\n--xxxxxxxx--\r\n"
    return post(PREDICT, content, "Content-Type: multipart/form-data; boundary=xxxxxxxx")


def codec() -> bytes:
    """Return a form with ten fields of 1 MB in a codec whose decoder takes quadratic time."""
    part = b'--x\r\nContent-Disposition: form-data; name="only_digits"\r\n\r\n' + b"a" * (2**20 - 1) + b"\r\n"
    return post(PREDICT, 10 * part + b"--x--\r\n", "Content-Type: multipart/form-data; boundary=x; charset=punycode")


# The function that returns the request, and the number of clients that send it.
ATTACKS: dict[str, tuple[Callable[[], bytes], int]] = {
    "nothing": (bytes, 0),
    "PNG of one column": (png_of_one_column, 16),
    "one-byte chunks": (chunks_of_one_byte, 16),
    "gzip of brackets": (gzip_of_brackets, 16),
    "slow clients": (bytes, SLOW_CLIENTS),
    "integers in JSON": (lambda: numbers("UINT8", "255"), 16),
    "decimals in JSON": (lambda: numbers("FP32", "0.1234567"), 16),
    "brackets in JSON": (lambda: post(INFER, b"[" * 2 * 2**20), 16),
    "forms": (form, 16),
    "codec": (codec, 16),
    "noisy JPEGs": (lambda: noise("JPEG", 4000), 16),
    "30 noisy PNGs": (lambda: noise("PNG", 3900), 30),
}

if __name__ == "__main__":
    main()
