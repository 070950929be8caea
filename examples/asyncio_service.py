"""A service on asyncio alone: clients send a line with a number and so many images of 784 bytes, and get their digits.

In a shell; it ends by Ctrl-C or SIGTERM, when each client's request under way is answered, and none behind it:

    python asyncio_service.py 8784
"""

import asyncio
import re
import signal
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lenet

SMALL = 64  # images that the event loop may compute by itself: less than a millisecond
LARGEST = 10_000  # images in a request
THREADS = 2  # that compute; more batches wait
CLIENTS = 100
PATIENCE = 10.0  # seconds that a client may take to send a request, or to fetch its answer


async def receive(reader: asyncio.StreamReader) -> NDArray[np.uint8] | None:
    """Return the images of the next request; None when there are no more."""
    async with asyncio.timeout(PATIENCE):
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            line = b""  # longer than any number
        if not re.fullmatch(rb"[1-9]\d{0,4}\n", line) or int(line) > LARGEST:
            raise ValueError(f"begin with a line that holds a number from 1 to {LARGEST}")
        pixels = await reader.readexactly(int(line) * 784)
    return np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)


class Service:
    """One model for all clients; `stop` ends it when what has arrived is answered."""

    def __init__(self, model: lenet.LeNet5):
        self.model = model
        self.threads = asyncio.Semaphore(THREADS)
        self.clients: set[asyncio.Task[None]] = set()
        self.waiting: set[asyncio.Task[None]] = set()  # those of them that have not sent a request
        self.stopping = False

    async def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Keep the loop for what it is there for: who cancels this waits for no thread, but that goes on computing."""
        if len(images) <= SMALL:
            return self.model.predict(images, n_jobs=1)
        async with self.threads:
            return await asyncio.to_thread(self.model.predict, images, n_jobs=1)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a client's requests, one after another, as long as it asks."""
        task: Any = asyncio.current_task()
        self.clients.add(task)
        writer.transport.set_write_buffer_limits(0)  # drain waits until all is sent
        try:
            if len(self.clients) > CLIENTS:
                raise ValueError("there are too many clients: try again later")
            while not self.stopping:
                self.waiting.add(task)
                images = await receive(reader)
                self.waiting.discard(task)
                if images is None:
                    break
                writer.write(" ".join(map(str, await self.predict(images))).encode() + b"\n")
                async with asyncio.timeout(PATIENCE):
                    await writer.drain()
        except ValueError as error:
            writer.write(f"error: {error}\n".encode())
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # it has gone, asks nothing, or will not fetch its answer: nothing that others would notice
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        finally:
            self.clients.discard(task)
            self.waiting.discard(task)
            writer.close()

    async def stop(self) -> None:
        """Wait for the answers under way, and for nothing else."""
        self.stopping = True
        for task in self.waiting:
            task.cancel()
        while self.clients:
            await asyncio.wait(self.clients)


async def main(port: int) -> None:
    """Serve until a signal comes."""
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
