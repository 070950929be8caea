"""Classify images over TCP, with asyncio and nothing else.

A request is a line with a number n and then n images of 784 bytes each. The answer is a line with n digits.

    python asyncio_service.py 8784

On Ctrl-C or SIGTERM, the service answers the requests in progress and exits.
"""

import asyncio
import re
import signal
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lenet

MAX_INLINE = 64  # images to predict in the event loop itself, within a millisecond
MAX_IMAGES = 10_000  # of a request
MAX_THREADS = 2  # further batches wait
MAX_CLIENTS = 100  # one more takes the place of the client that has been idle longest
TIMEOUT = 10.0  # seconds in which a client has to send a request, or to receive the answer


async def receive(reader: asyncio.StreamReader) -> NDArray[np.uint8] | None:
    """Return the images of the next request, or None if the client closed the connection."""
    async with asyncio.timeout(TIMEOUT):
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            line = b""  # too long for a number
        if not re.fullmatch(rb"[1-9]\d{0,4}\n", line) or int(line) > MAX_IMAGES:
            raise ValueError(f"The first line has no valid number of images; expected 1 to {MAX_IMAGES}.")
        pixels = await reader.readexactly(int(line) * 784)
    return np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)


class Service:
    """One model for all clients."""

    def __init__(self, model: lenet.LeNet5):
        self.model = model
        self.threads = asyncio.Semaphore(MAX_THREADS)
        self.clients: set[asyncio.Task[None]] = set()
        self.idle: dict[asyncio.Task[None], None] = {}  # clients without a complete request, the longest idle first
        self.stopping = False

    async def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Predict small batches here and large ones in a thread, which continues even if this task is cancelled."""
        if len(images) <= MAX_INLINE:
            return self.model.predict(images, n_jobs=1)
        async with self.threads:
            return await asyncio.to_thread(self.model.predict, images, n_jobs=1)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a client, one after another."""
        task: Any = asyncio.current_task()
        self.clients.add(task)
        writer.transport.set_write_buffer_limits(0)  # so that drain waits until everything is sent
        try:
            if len(self.clients) > MAX_CLIENTS:
                self.make_room()
            while not self.stopping:
                self.idle[task] = None
                images = await receive(reader)
                self.idle.pop(task, None)
                if images is None:
                    break
                writer.write(" ".join(map(str, await self.predict(images))).encode() + b"\n")
                async with asyncio.timeout(TIMEOUT):
                    await writer.drain()
        except ValueError as error:
            writer.write(f"error: {error}\n".encode())
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client disconnected or timed out; others are not affected
        except asyncio.CancelledError:
            if task in self.idle and not self.stopping:  # neither `make_room` nor `stop` has cancelled it
                raise
        finally:
            self.clients.discard(task)
            self.idle.pop(task, None)
            writer.close()

    def make_room(self) -> None:
        """Disconnect the client that has been idle longest."""
        if not self.idle:
            raise ValueError("There are too many clients. Retry later.")
        longest = next(iter(self.idle))
        del self.idle[longest]  # so that the next call chooses another
        longest.cancel()

    async def stop(self) -> None:
        """Disconnect idle clients, and wait for the answers in progress."""
        self.stopping = True
        for task in self.idle:
            task.cancel()
        while self.clients:
            await asyncio.wait(self.clients)


async def main(port: int) -> None:
    """Serve until a signal arrives."""
    service, signalled = Service(lenet.load_pretrained("mnist")), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    try:
        server = await asyncio.start_server(service.talk, "127.0.0.1", port)
    except (OSError, OverflowError) as error:
        sys.exit(f"asyncio_service.py: port {port}: {error}")
    print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
    await signalled.wait()
    server.close()
    await service.stop()


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("usage: asyncio_service.py PORT")
    asyncio.run(main(int(sys.argv[1])))
