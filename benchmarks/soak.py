"""Use a model and a server for a long time: every answer must be right, and memory must not grow.

    python -m benchmarks.soak [--predictions 100000] [--requests 1000000]

The server is a separate process. Its clients send images of digits as JSON and as binary tensors, each over its own
persistent connection, each request after the response to the previous one. They compare every response, byte for byte,
with the first one to the same request, which was compared with the model's answer. The program ends with an error if
a response is wrong, or if memory has grown by a megabyte. It requires Linux, because it reads /proc.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import lenet
from benchmarks.serving import INFER, Server, started

CONNECTIONS = 8
WARM = 10_000  # calls before memory is looked at first
MOST_GROWTH = 1.0  # megabytes


def main() -> None:
    """Run both, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=100_000, help="in this process (default: 100,000)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="to a server (default: 1,000,000)")
    arguments = parser.parse_args()
    images = lenet.data.load_digits().X_test
    grown = [soak_model(images, arguments.predictions)]
    with started("lenet") as server:
        grown.append(asyncio.run(soak_server(server, images, arguments.requests)))
    if max(grown) >= MOST_GROWTH:
        raise SystemExit("Memory has grown.")


def soak_model(images: NDArray[np.uint8], predictions: int) -> float:
    """Predict batches of 1 to 9 images; return the memory growth in megabytes."""
    model = lenet.load_pretrained("mnist")
    right = model.predict(images)
    this = Server("", os.getpid())

    def predict(times: int) -> None:
        for k in range(times):
            start, size = k % (len(images) - 9), 1 + k % 9
            if not np.array_equal(model.predict(images[start : start + size]), right[start : start + size]):
                raise SystemExit(f"Wrong labels for the images from {start} to {start + size}.")

    predict(WARM)
    before = this.memory()
    predict(predictions)
    grown = this.memory() - before
    print(f"{predictions:,} predictions: all right; memory {before:.1f} MB, then {grown:+.2f} MB")
    return grown


async def soak_server(server: Server, images: NDArray[np.uint8], requests: int) -> float:
    """Send the requests, and check every answer; return the growth of the server's memory in megabytes."""
    bodies = list(inference_bodies(images[:200]))
    clients = [await Client.connected(server) for _ in range(CONNECTIONS)]
    expected = [await clients[0].ask(body) for body in bodies]
    check_by_model(images[:200], expected)
    seconds: list[float] = []

    async def ask_on(client: Client, numbers: Iterator[int]) -> None:
        for k in numbers:
            began = time.perf_counter()
            answer = await client.ask(bodies[k % len(bodies)])
            seconds.append(time.perf_counter() - began)
            if answer != expected[k % len(bodies)]:
                raise SystemExit(f"Request {k} was answered {answer!r} instead of {expected[k % len(bodies)]!r}.")

    async def ask(times: int) -> None:
        numbers = iter(range(times))  # shared: each number goes to the client that asks first
        await asyncio.gather(*(ask_on(client, numbers) for client in clients))

    await ask(WARM)
    seconds.clear()
    before, began = server.memory(), time.perf_counter()
    await ask(requests)
    rate, grown = requests / (time.perf_counter() - began), server.memory() - before
    p50, p99 = 1000 * np.quantile(seconds, [0.5, 0.99])
    print(
        f"{requests:,} requests, {rate:,.0f} a second: all answered 200 and right; p50 {p50:.2f} ms, p99 {p99:.2f} ms",
        end="",
    )
    print(f", {p99 / p50:.2f} times that; memory {before:.1f} MB, then {grown:+.2f} MB")
    return grown


def inference_bodies(images: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield complete requests: for each image, one in JSON and one in binary."""
    tensor = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8"}
    for image in images:
        as_json = {"inputs": [tensor | {"data": image.ravel().tolist()}]}
        yield request(json.dumps(as_json).encode(), "")
        binary = {"inputs": [tensor | {"parameters": {"binary_data_size": image.size}}]}
        head = json.dumps(binary).encode()
        yield request(head + image.tobytes(), f"Inference-Header-Content-Length: {len(head)}\r\n")


def request(body: bytes, header: str) -> bytes:
    """Return the bytes of an HTTP request."""
    return f"POST /{INFER} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body


def check_by_model(images: NDArray[np.uint8], answers: list[bytes]) -> None:
    """End with an error unless the answers, two for each image, contain the model's probabilities."""
    right = lenet.load_pretrained("mnist").predict_proba(images)
    for k, answer in enumerate(answers):
        outputs = {each["name"]: each["data"] for each in json.loads(answer)["outputs"]}
        if not np.array_equal(np.float32(outputs["probabilities"]), right[k // 2]):
            raise SystemExit(f"The server answers {answer!r}, and the model {right[k // 2]}.")


class Client:
    """A persistent connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    @classmethod
    async def connected(cls, server: Server) -> "Client":
        """Return a client of the server."""
        host, _, port = server.url.strip("/").rpartition("/")[2].rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def ask(self, request: bytes) -> bytes:
        """Send a request; return the body of the response, whose status must be 200."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"http/1.1 200 "):
            raise SystemExit(f"The server answers {head!r} {body!r} instead of a 200.")
        return body


if __name__ == "__main__":
    main()
