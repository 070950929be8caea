"""Limits of the server: sizes, requests in flight, connections and memory, also while it is attacked."""

import collections
import contextlib
import gzip
import re
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from pathlib import Path

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving, wait_for
from serving_in_process import asked
from serving_requests import BODY, HEAD, INFER, a_page, connected, encoded, image_module, open_files

import lenet
from lenet.serving import Limits, create_app
from lenet.serving.limits.capacity import ThreadPool
from lenet.serving.request_context import RequestContext

pytest_plugins = ["serving_fixture"]


@pytest.mark.parametrize("declared", [False, True])
def test_a_body_that_is_too_large(strict, declared):
    with connected(strict) as connection:
        framing = b"Content-Length: 2000000" if declared else b"Transfer-Encoding: chunked"
        connection.sendall(HEAD + framing + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                connection.sendall(bytes(100_000) if declared else b"186A0\r\n" + bytes(100_000) + b"\r\n")
        answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"524,288 bytes" in answer


@pytest.mark.landing
def test_a_flood_of_oversized_bodies_leaves_memory_flat():
    count = 1000

    def flood(server, times):
        for _ in range(times):
            with connected(server) as connection:
                connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n" + bytes(10_000))
                assert connection.recv(20).startswith(b"HTTP/1.1 413")

    with serving("--log-level", "warning") as server:
        flood(server, 200)
        before = server.memory()
        threads = [threading.Thread(target=flood, args=(server, count // 4)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.memory() - before < 2e6
        assert server.ask("POST", INFER, BODY)[0] == 200


@pytest.mark.landing
def test_rejected_requests_are_not_kept_in_memory():
    large = b'{"inputs": [[' + b" " * 1_900_000 + b"]]}"
    bomb = gzip.compress(bytes(17 * 2**20))
    with serving("--log-level", "warning") as server:
        assert server.ask("POST", INFER, large)[0] == 400
        assert server.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})[0] == 413
        before = server.memory()
        for _ in range(15):
            assert server.ask("POST", INFER, large)[0] == 400
            assert server.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})[0] == 413
        assert server.memory() - before < 40e6


@pytest.mark.timing
@pytest.mark.landing
def test_bombs_do_not_stop_the_others():
    bomb = gzip.compress(bytes(15 * 2**20))
    with serving("--log-level", "warning") as server:

        def attack():
            server.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})

        assert times_while(server, 8, attack, "POST", INFER, BODY)[45] < 0.3
        assert server.memory() < 400e6


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"[" + b"[]," * 690_000 + b"[]]", {}, marks=pytest.mark.release),
        (gzip.compress(b"[" * 2 * 2**20), {"Content-Encoding": "gzip"}),
        pytest.param(b"{" + b",".join(b'"%x":0' % k for k in range(180_000)) + b"}", {}, marks=pytest.mark.release),
        (b"1\r\n0\r\n" * 600_000 + b"0\r\n\r\n", {"Transfer-Encoding": "chunked"}),
        (b"", {f"a{k}": "b" for k in range(3000)}),
    ],
    ids=["lists", "brackets in gzip", "keys", "chunks", "headers"],
)
def test_attacks_do_not_stop_the_others(body, headers):
    with serving("--log-level", "warning") as server:
        content = b"POST %b HTTP/1.1\r\nHost: x\r\n" % INFER.encode()
        content += b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
        content += b"\r\n" if "Transfer-Encoding" in headers else b"Content-Length: %d\r\n\r\n" % len(body)
        content += body

        def attack():
            with contextlib.suppress(OSError), connected(server) as connection:
                connection.sendall(content)
                connection.recv(1000)

        took = times_while(server, 16, attack, "GET", "/v2/health/live")
        assert took[44] < 0.5  # with the clients on the same cores; it was 8 s


def times_while(server, clients, attack, *request):
    """The sorted durations of 50 requests, in seconds, while other clients keep attacking."""
    stop, took = threading.Event(), []

    def attack_on():
        while not stop.is_set():
            attack()

    threads = [threading.Thread(target=attack_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            start = time.perf_counter()
            assert server.ask(*request)[0] == 200
            took.append(time.perf_counter() - start)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return sorted(took)


def test_a_picture_one_pixel_wide_costs_nothing(server):
    server.ask("POST", "/predict", encoded(np.zeros((9, 9), np.uint8)))  # imports the modules that read pictures
    before = server.memory()
    content = zlib.compress(bytes(2 * 25_000_000))  # a byte for the filter of each row, and one for its pixel
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 25_000_000, 8, 0, 0, 0, 0)), (b"IDAT", content), (b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    status, _, answer = server.ask("POST", "/predict", b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert (status, "1x25000000 pixels; expected sides with a ratio" in answer["error"]) == (400, True)
    assert server.memory() - before < 20e6


def worst_pictures():
    """The pictures within the limits that cost the most memory or time, by name."""
    rng, side = np.random.default_rng(0), 5000
    blocks = rng.integers(0, 256, (250, 250, 4), np.uint8).repeat(20, 0).repeat(20, 1)
    page = np.full((side, side), 255, np.uint8)  # combs, which are cut into thousands of pieces
    for top in range(50, side - 100, 90):
        page[top : top + 6, 10:-10] = 0
        for left in range(10, 15):
            page[top : top + 60, left:-10:35] = 0
    exif = image_module.Exif()
    exif[0x112] = 6
    progressive = encoded(np.zeros((side, side, 3), np.uint8), "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return {
        "combs": encoded(page, compress_level=1),
        "noise": encoded(rng.integers(0, 256, (3900, 3900), np.uint8)),
        "longest": encoded(np.zeros((500, 50_000), np.uint8)),
        "transparent": encoded(blocks, compress_level=1),
        "16 bits": encoded(blocks[..., 0] * np.uint16(257), "TIFF", compression="tiff_lzw"),
        "turned": encoded(blocks[..., :3], "JPEG", exif=exif),
        "progressive": progressive[:-2] + scan * (100 - progressive.count(b"\xff\xda")) + b"\xff\xd9",
        "one strip": encoded(np.zeros((side, side, 4), np.uint8), "TIFF", compression="tiff_lzw", tiffinfo={278: side}),
        "WebP": encoded(blocks[:4000, :4000], "WEBP", quality=10),
        "text": b"P3 1000 1000 255 " + b"0 " * 3_000_000,
    }


@pytest.mark.release
def test_the_worst_pictures_fit_into_a_gigabyte():
    """The data of a server that reads one picture at a time; hosting.md promises the growth of its memory."""
    command = ["bash", "-c", f"ulimit -d {2**20}; exec {sys.executable} -m lenet serve --port 0 --deadline 60"]
    with serving(command=command, LENET_NUM_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1") as server:
        process = Path(f"/proc/{server.process.pid}")
        for name, content in worst_pictures().items():
            assert len(content) < 16 * 2**20, name
            before = server.memory()
            (process / "clear_refs").write_text("5")  # resets the peak
            status, _, answer = server.ask("POST", "/predict", content)
            assert status == 200 or "noise or a texture" in answer["error"], (name, answer)
            peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())[1])
            assert peak - before < 300e6, name


@pytest.mark.timing
@pytest.mark.landing
def test_too_much_in_flight_is_refused_and_never_queued():
    page, outcomes = a_page(), []

    def ask():
        status, headers, answer = server.ask("POST", "/predict", page)
        outcomes.append((status, headers.get("retry-after"), answer.get("error", "")))

    with serving("--max-in-flight", "3") as server:
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [each for each in outcomes if each[0] == 503]
        assert 3 <= len(outcomes) - len(refused) < 12
        assert all(again == "1" and error.startswith("The server is at capacity") for _, again, error in refused)
        assert {status for status, _, _ in outcomes} == {200, 503}
        assert server.ask("POST", "/predict", page)[0] == 200
        text = server.ask("GET", "/metrics")[2].decode()
        assert f'lenet_rejected_total{{reason="busy"}} {len(refused)}.0' in text


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [(b"", b"", 400), (b"other=1", b"x", 400), (b"only_digits=2", b"x", 400), (b"model=other", b"x", 404)],
)
def test_a_request_without_a_valid_picture_needs_no_thread(monkeypatch, query, body, status):
    """At capacity, it would otherwise be rejected with 503, which tells clients to retry."""
    monkeypatch.setattr(ThreadPool, "run", None)
    app = create_app({"mnist": lenet.load_pretrained()})
    assert asked(app, "POST", "/predict", body, query)[0] == status


@pytest.mark.timing
def test_an_answer_that_takes_too_long():
    with serving("--deadline", "0.05") as server:
        status, headers, answer = server.ask("POST", "/predict", a_page(12))
        assert (status, headers["retry-after"]) == (503, "1")
        assert answer["error"] == (
            "The response was not ready within 0.05 s, including the time in the queue. Retry later or send a smaller "
            "request."
        )
        assert server.ask("POST", INFER, BODY)[0] == 200


@pytest.mark.timing
@pytest.mark.landing
def test_small_requests_are_answered_while_pictures_are_read(server):
    page = a_page(10)
    assert times_while(server, 2, lambda: server.ask("POST", "/predict", page), "POST", INFER, BODY)[45] < 0.5


MANY = """
import lenet
from lenet.serving import Limits, serve
serve({"mnist": lenet.load_pretrained()}, port=0, limits=Limits(connections=20), log_level="warning",
      on_ready=lambda url: print("lenet serves", url, flush=True))
"""


@pytest.mark.landing
def test_more_connections_than_allowed():
    """The connection that has waited longest for its client is closed; new ones are answered."""
    with serving(command=[sys.executable, "-c", MANY]) as server:
        before = open_files(server)
        server.process.send_signal(signal.SIGSTOP)  # that all of them come at once
        burst = [socket.create_connection((server.host, server.port)) for _ in range(500)]
        server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: sum(closed(each) for each in burst) == 480)
        assert open_files(server) <= before + 20
        for each in burst:
            each.close()
        idle = [socket.create_connection((server.host, server.port)) for _ in range(60)]
        try:
            assert server.ask("POST", INFER, BODY)[0] == 200
            idle[0].settimeout(5)
            assert idle[0].recv(100) == b""
            idle[-1].setblocking(False)
            with pytest.raises(BlockingIOError):
                idle[-1].recv(100)
        finally:
            for each in idle:
                each.close()


def closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.landing
def test_no_more_connections_than_files():
    command = ["bash", "-c", f"ulimit -n 256; exec {sys.executable} -m lenet serve --port 0"]
    with serving(command=command) as server:
        idle = []
        for _ in range(30):  # in bursts that fit into the queue of connections that the server has not accepted
            idle += [socket.create_connection((server.host, server.port)) for _ in range(10)]
            assert server.ask("POST", INFER, BODY)[0] == 200
        assert not [line for line in server.log() if "traceback" in line]
        for each in idle:
            each.close()


def test_buffered_bytes_are_released_after_each_request():
    app = create_app({"mnist": lenet.load_pretrained()}, limits=Limits(buffered=2 * len(BODY)))
    assert [asked(app, "POST", INFER, BODY)[0] for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/health/live", 200), ("HEAD", "/v2", 200),
                                                        ("POST", "/v2/repository/index", 503)])  # fmt: skip
def test_only_post_requests_need_memory_for_their_bodies(method, path, status):
    app = create_app({"mnist": lenet.LeNet5(seed=0)}, limits=Limits(buffered=10))
    assert asked(app, method, path, b"{" + b" " * 20 + b"}")[0] == status


def test_a_body_that_is_released_while_it_is_joined_is_not_kept():
    class Released(collections.UserList):
        def __iter__(self):
            context.parts = []
            return iter(self.data)

    context = RequestContext("POST", INFER, {})
    context.parts = Released([b"a", b"b"])
    assert (context.body(), context.parts) == (b"ab", [])
    context.parts = [b"a", b"b"]
    assert (context.body(), context.body(), context.parts) == (b"ab", b"ab", [b"ab"])


def test_the_limits_are_the_documented_ones():
    documented = re.findall(r"^ *(\w+) : \w+, default ([\d,]+)( MiB)?$", Limits.__doc__, re.MULTILINE)
    assert vars(Limits()) == {
        name: int(number.replace(",", "")) * (2**20 if unit else 1) for name, number, unit in documented
    }
