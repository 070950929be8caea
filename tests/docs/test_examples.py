"""Run each example as a user would, and check its output."""

import asyncio
import contextlib
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from toolchain import makes_programs_for_this_machine

import lenet

FOLDER = Path(__file__).parents[2] / "examples"

# The packages that each needs besides the core, and the output that it prints.
PYTHON = {
    "dask_search.py": (["sklearn", "distributed"], r"\A(9\d\.\d\d%  .*\n){2}best: "),
    "fine_tune.py": (["sklearn"], r"as shipped +9\d\.\d\d%\nafter fitting +9[5-9]\.\d\d%"),
    "from_pytorch.py": (["sklearn", "torch"], r"differ by at most \de-(0[6-9]|10)\n"),
    "grid_search.py": (["sklearn"], r"for 4 candidates with five folds\n(\d\d\.\d\d%  .*\n){4}best: "),
    "keep_a_classifier.py": (
        ["sklearn", "skops"],
        r"joblib: the same to the bit: True\nskops: the same to the bit: True",
    ),
    "pipeline_to_onnx.py": (["skl2onnx", "onnxruntime"], r"The same labels: True\n.* at most \de-(0[6-9]|10)\n"),
    "processes.py": (["sklearn"], r"\A(\w+: the same digits: True\n){1,3}\Z"),
    "serve_onnx.py": (["sklearn", "onnx", "onnxruntime"], r"labels: True\n.*e-0[6-9]\nThe same weights: True"),
}


def test_each_example_is_run_and_listed():
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert files == {*PYTHON, "asyncio_service.py", "read_pgm.c", "read_pgm.py", "serving"}
    listed = re.findall(r"\]\((.*?)\)", (FOLDER / "README.md").read_text())
    assert {each.partition("/")[0] for each in listed if not each.startswith("..")} == files


def processor_seconds():
    """Return the processor time of the processes that this one has started; always 0 on Windows."""
    times = os.times()
    return times.children_user + times.children_system


TIERS = {"dask_search.py": pytest.mark.release, "grid_search.py": pytest.mark.release}


@pytest.mark.parametrize("name", [pytest.param(name, marks=TIERS.get(name, pytest.mark.landing)) for name in PYTHON])
def test_an_example(name, tmp_path):
    needed, prints = PYTHON[name]
    for package in needed:
        pytest.importorskip(package)
    began = processor_seconds()
    done = subprocess.run([sys.executable, FOLDER / name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(prints, done.stdout), done.stdout
    assert "ConvergenceWarning" not in done.stderr
    assert processor_seconds() - began < 120
    assert list(tmp_path.iterdir()) == []


def pgm(image):
    return b"P5\n28 28\n255\n" + image.tobytes()


def test_the_program_in_c(tmp_path):
    if not makes_programs_for_this_machine("cc"):
        pytest.skip("there is no C compiler for this machine")
    pytest.importorskip("sklearn")
    shutil.copy(FOLDER / "read_pgm.c", tmp_path)
    export = [sys.executable, "-m", "lenet", "export", "mnist", "digits.c"]
    said = subprocess.run(export, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"digits\.c \([\d,]+ bytes\)\ndigits\.h \([\d,]+ bytes\)\n", said)
    commands = re.findall(r"^ +(cc .*)$", (FOLDER / "read_pgm.c").read_text(), re.MULTILINE)
    subprocess.run(commands[0].split(), cwd=tmp_path, check=True)
    digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    for image in digits.X_test[:10]:
        done = subprocess.run(["./read_pgm"], input=pgm(image), cwd=tmp_path, capture_output=True, check=True)
        probabilities = model.predict_proba(image)[0]
        expected = f"{probabilities.argmax()} ({100 * probabilities.max():.1f}%)\n"
        assert done.stdout.decode() == expected
    for wrong in (b"", b"P5 9 9 255\n", pgm(digits.X_test[0])[:-1]):
        done = subprocess.run(["./read_pgm"], input=wrong, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"expected a binary PGM picture" in done.stderr


# ---- the service on asyncio ----------------------------------------------------------------------------

on_unix = pytest.mark.skipif(sys.platform == "win32", reason="asyncio handles signals on Unix only")


@contextlib.contextmanager
def service():
    """Run the service; yield a function that connects to it, and the process."""
    command = [sys.executable, FOLDER / "asyncio_service.py", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline().rpartition(" ")[2])
            yield lambda: socket.create_connection(("127.0.0.1", port), timeout=60), process
        finally:
            process.kill()


def asked(images):
    return f"{len(images)}\n".encode() + images.tobytes()


def answered(connection):
    with connection.makefile("rb") as file:
        return file.readline()


@on_unix
def test_the_service_answers_concurrent_clients_and_ends_on_a_signal():
    images = np.random.default_rng(0).integers(0, 256, (500, 28, 28), np.uint8)
    digits = lenet.load_pretrained("mnist").predict(images)
    expected = {size: " ".join(map(str, digits[:size])).encode() + b"\n" for size in (1, 64, 65, 500)}
    with service() as (connect, process), contextlib.ExitStack() as clients:
        with connect() as gone:
            gone.sendall(asked(images)[:-1])
        with connect() as gone:
            gone.sendall(asked(images) * 3)
        for wrong in (b"0\n", b"-1\n", b"10001\n", b"GET / HTTP/1.1\r\n\r\n", b"1" * 100_000):
            with connect() as connection, contextlib.suppress(ConnectionError):
                connection.sendall(wrong)
                error = b"error: The first line has no valid number of images; expected 1 to 10000.\n"
                assert answered(connection) == error
        connections = [clients.enter_context(connect()) for _ in expected]
        for _ in range(2):
            for connection, size in zip(connections, expected, strict=True):
                connection.sendall(asked(images[:size]))
            for connection, size in zip(connections, expected, strict=True):
                assert answered(connection) == expected[size]
        silent = [clients.enter_context(connect()) for _ in range(110)]  # ten more than the limit
        assert all(connection.recv(1) == b"" for connection in [*connections, *silent[:10]])
        silent[-1].sendall(asked(images[:1]))
        assert answered(silent[-1]) == expected[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert all(connection.recv(1) == b"" for connection in silent[10:])
        assert process.stderr.read() == ""


@on_unix
def test_idle_clients_do_not_block_others():
    names = runpy.run_path(str(FOLDER / "asyncio_service.py"))
    names["receive"].__globals__["TIMEOUT"] = 0.2

    async def main():
        one = names["Service"](lenet.load_pretrained("mnist"))
        server = await asyncio.start_server(one.talk, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        silent = [await asyncio.open_connection(*address) for _ in range(3)]
        for (_, writer), begun in zip(silent, (b"", b"1", b"1\n half"), strict=True):
            writer.write(begun)
        said = [await asyncio.wait_for(reader.read(), 30) for reader, _ in silent]
        for _, writer in silent:
            writer.close()
        server.close()
        return said, one.clients

    assert asyncio.run(main()) == ([b"", b"", b""], set())


@on_unix
@pytest.mark.parametrize("arguments", [[], ["x"], ["1", "2"], ["99999"], ["taken"]])
def test_the_service_reports_in_one_line_why_it_does_not_start(arguments):
    with socket.create_server(("127.0.0.1", 0)) as other:
        arguments = [str(other.getsockname()[1]) if each == "taken" else each for each in arguments]
        command = [sys.executable, FOLDER / "asyncio_service.py", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"(usage: asyncio_service\.py PORT|asyncio_service\.py: port \d+: .+)\n", done.stderr)


class Slow:
    """A model that waits for permission, and counts concurrent computations."""

    def __init__(self):
        self.allowed, self.now, self.most = threading.Event(), 0, 0

    def predict(self, images, n_jobs):
        self.now += 1
        self.most = max(self.most, self.now)
        self.allowed.wait(60)
        self.now -= 1
        return np.zeros(len(images), np.int64)


@on_unix
def test_the_service_computes_for_two_at_a_time_and_ends_when_all_have_their_answers():
    names, model = runpy.run_path(str(FOLDER / "asyncio_service.py")), Slow()
    batch = asked(np.zeros((65, 28, 28), np.uint8))

    async def main():
        one = names["Service"](model)
        server = await asyncio.start_server(one.talk, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [await asyncio.open_connection(*address) for _ in range(5)]
        for _, writer in clients[1:]:
            writer.write(batch)
        while model.now < 2 or len(one.clients) < 5 or len(one.idle) > 1:
            await asyncio.sleep(0.01)
        server.close()
        stopping = asyncio.create_task(one.stop())
        said = [await asyncio.wait_for(clients[0][0].read(), 30)]  # who has asked nothing gets the end
        assert not stopping.done()
        model.allowed.set()
        await asyncio.wait_for(stopping, 30)
        said += [await asyncio.wait_for(reader.read(), 30) for reader, _ in clients[1:]]
        for _, writer in clients:
            writer.close()
        return said

    assert asyncio.run(main()) == [b"", *[b"0 " * 64 + b"0\n"] * 4]
    assert model.most == 2


@on_unix
def test_a_client_is_refused_only_while_all_others_have_asked():
    names, model = runpy.run_path(str(FOLDER / "asyncio_service.py")), Slow()
    names["receive"].__globals__["MAX_CLIENTS"] = 2
    batch = asked(np.zeros((65, 28, 28), np.uint8))

    async def main():
        one = names["Service"](model)
        server = await asyncio.start_server(one.talk, "127.0.0.1", 0)
        clients = []
        for number in range(3):
            clients.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
            clients[-1][1].write(batch)
            while model.now < min(2, number + 1):
                await asyncio.sleep(0.01)
        refused = await asyncio.wait_for(clients[2][0].readline(), 30)
        model.allowed.set()
        said = [await asyncio.wait_for(reader.readline(), 30) for reader, _ in clients[:2]]
        for _, writer in clients:
            writer.close()
        server.close()
        return refused, said

    refused, said = asyncio.run(main())
    assert refused == b"error: There are too many clients. Retry later.\n"
    assert said == [b"0 " * 64 + b"0\n"] * 2


# ---- the same program in one file that brings Python along ---------------------------------------------

LARGEST = 60_000_000


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """The program that PyInstaller builds with the command in its docstring."""
    pytest.importorskip("PyInstaller")
    folder = tmp_path_factory.mktemp("frozen")
    shutil.copy(FOLDER / "read_pgm.py", folder)
    command = re.findall(r"^ +pyinstaller (--.*?)  ", (FOLDER / "read_pgm.py").read_text(), re.MULTILINE)[0].split()
    done = subprocess.run(
        [sys.executable, "-m", "PyInstaller", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (program,) = (folder / "dist").iterdir()
    return program


def run_frozen(program, *arguments):
    """Run it with an empty PATH, without Python."""
    nothing = program.parent.parent / "nothing"
    nothing.mkdir(exist_ok=True)
    env = {"PATH": str(nothing)} | {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP") if name in os.environ}
    done = subprocess.run(
        [program, *arguments], cwd=nothing, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.release
def test_the_frozen_program_reads_digits_without_python(frozen, tmp_path):
    assert frozen.stat().st_size <= LARGEST
    pytest.importorskip("sklearn")
    digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    for number, image in enumerate(digits.X_test[:3]):
        path = tmp_path / f"{number}.pgm"
        path.write_bytes(pgm(image))
        probabilities = model.predict_proba(image)[0]
        expected = f"{probabilities.argmax()} ({100 * probabilities.max():.1f}%)\n"
        assert run_frozen(frozen, path) == (0, expected, "")


@pytest.mark.release
def test_the_frozen_program_reports_errors(frozen, tmp_path):
    path = tmp_path / "text.pgm"
    missing = f"read_pgm: {path} cannot be read (No such file or directory).\n"
    assert run_frozen(frozen, path) == (1, "", missing)
    for wrong in (b"", b"a letter\n", pgm(np.zeros((28, 28), np.uint8))[:-1]):
        path.write_bytes(wrong)
        error = f"read_pgm: {path} has another format; expected a binary PGM picture of 28x28 pixels, 8 bits each.\n"
        assert run_frozen(frozen, path) == (1, "", error)
    assert run_frozen(frozen) == (1, "", "usage: read_pgm PICTURE\n")
