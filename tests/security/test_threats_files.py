"""Untrusted paths: devices, pipes, links, and archives or pictures without an end."""

import contextlib
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from commands import fails, little_memory, run, succeeds

import lenet
from lenet.data import load_npz, read_idx
from lenet.errors import DataError

image_module = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")
if sys.platform != "linux":
    pytest.skip("needs /dev and mkfifo", allow_module_level=True)

DIGIT = 255 - lenet.data.load_digits().X_test[0]
ENDLESS = ["/dev/zero", "/dev/urandom"]
pytestmark = pytest.mark.timeout(60)


@contextlib.contextmanager
def endless_pipe(path):
    """A named pipe that yields zeros for as long as it is read."""
    os.mkfifo(path)
    pipe_itself = Path(path).absolute()

    def write():
        with contextlib.suppress(BrokenPipeError), pipe_itself.open("wb", 0) as pipe:
            while True:
                pipe.write(bytes(2**16))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield path
    finally:
        while writer.is_alive():  # until it has opened the pipe, if nobody has read from it
            os.close(os.open(pipe_itself, os.O_RDONLY | os.O_NONBLOCK))
            writer.join(0.01)


# ---- devices, pipes and links --------------------------------------------------------------------------


@pytest.mark.parametrize("source", ENDLESS)
@pytest.mark.parametrize("name", ["weights", "a.safetensors", "a.pt"])
def test_weights_without_end(cwd, capsys, source, name):
    Path(name).symlink_to(source)
    with little_memory():
        assert f"{name} is too large for a weights file" in fails(capsys, "info", name)


@pytest.mark.landing
@pytest.mark.parametrize("source", ENDLESS)
def test_an_onnx_model_without_end(cwd, capsys, source):
    pytest.importorskip("onnx")
    Path("a.onnx").symlink_to(source)
    with little_memory():
        assert "a.onnx is too large for a weights file" in fails(capsys, "info", "a.onnx")


@pytest.mark.parametrize("source", [*ENDLESS, "/dev/null", "/dev/full"])
def test_data_without_end(cwd, capsys, source):
    Path("a.npz").symlink_to(source)
    with little_memory():
        assert "a.npz cannot be read (Not a regular file)" in fails(capsys, "evaluate", "a.npz")
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(source)


@pytest.mark.parametrize("source", [*ENDLESS, "/dev/null", "/dev/full", "/proc/self/mem", "."])
@pytest.mark.parametrize("command", ["predict", "read"])
def test_devices_and_folders_instead_of_pictures(cwd, capsys, command, source):
    with little_memory():
        assert fails(capsys, command, source).startswith(f"lenet: error: {source}")


@pytest.mark.parametrize("source", ENDLESS)
def test_a_token_without_end(cwd, capsys, monkeypatch, source):
    pytest.importorskip("uvicorn")
    monkeypatch.setenv("LENET_TOKEN_FILE", source)
    with little_memory():
        assert f"LENET_TOKEN_FILE is {source}; expected a file" in fails(capsys, "serve", "--port", "0")


@pytest.mark.parametrize(
    ("arguments", "name", "message"),
    [
        (["info"], "pipe.safetensors", "is too large for a weights file"),
        (["evaluate"], "train-images-idx3-ubyte", "has no data set"),  # because it is not a file
        (["train", "--resume"], "args.json", "is larger than 1,048,576 bytes"),
    ],
)
def test_a_pipe_without_end(cwd, capsys, arguments, name, message):
    with little_memory(), endless_pipe(name):
        assert message in fails(capsys, *arguments, name if name.startswith("pipe") else ".")


@pytest.mark.parametrize(
    "arguments", [
        ["predict", "pipe.png"], ["read", "pipe.png"], ["predict", "pipe.csv"], ["evaluate", "pipe.npz"],
        ["train", "pipe.csv"], ["train", "pipe.parquet"], ["train", "arrays"], ["score", "pipe.npy", "--out=out.npy"],
    ],
)  # fmt: skip
def test_a_pipe_that_nobody_writes_to_is_rejected(cwd, capsys, arguments):
    pytest.importorskip({"train": "pyarrow", "score": "distributed"}.get(arguments[0], "PIL"))
    for name in ("pipe.png", "pipe.csv", "pipe.npz", "pipe.npy", "pipe.parquet", "arrays/X.npy", "arrays/y.npy"):
        Path(name).parent.mkdir(exist_ok=True)
        os.mkfifo(name)
    message = "neither a file nor a folder" if "pipe.parquet" in arguments else "Not a regular file"
    assert message in fails(capsys, *arguments)


@pytest.mark.parametrize("target", ["here", "nowhere"])
@pytest.mark.parametrize("arguments", [["info"], ["predict"], ["read"], ["evaluate"], ["train", "--resume"]])
def test_circular_and_broken_links(cwd, capsys, arguments, target):
    Path("here").symlink_to(target)
    assert fails(capsys, *arguments, "here").startswith("lenet: error: ")


@pytest.mark.parametrize("source", ["/dev/zero", "pipe"])
@pytest.mark.parametrize(
    "arguments", [["page", "out.html"], ["export", "mnist", "out.c"], ["predict", "a.png", "--show", "out.png"]]
)
def test_nothing_is_written_over_a_device_or_read_from_it(cwd, capsys, arguments, source):
    image_module.fromarray(DIGIT).save("a.png")
    os.mkfifo("pipe")
    for name in ("out.html", "out.c", "out.h", "out.png"):
        Path(name).symlink_to(source)
    message = fails(capsys, *arguments)
    assert "out." in message
    assert all(Path(name).is_symlink() for name in ("out.html", "out.c", "out.h", "out.png"))
    assert {path.name for path in cwd.iterdir()} == {"a.png", "pipe", "out.html", "out.c", "out.h", "out.png"}


def test_a_link_is_replaced_and_its_target_is_unchanged(cwd, capsys):
    Path("victim").write_text("/* LeNet-5 in C99, and precious */")
    Path("digits.c").symlink_to("victim")
    succeeds(capsys, "export", "mnist", "digits.c")
    assert Path("victim").read_text() == "/* LeNet-5 in C99, and precious */"
    assert not Path("digits.c").is_symlink()


def test_a_link_to_a_file_that_lenet_did_not_write_is_unchanged(cwd, capsys):
    Path("victim").write_text("precious")
    Path("digits.c").symlink_to("victim")
    assert "digits.c exists and was not written by lenet" in fails(capsys, "export", "mnist", "digits.c")
    assert Path("digits.c").is_symlink()
    assert Path("victim").read_text() == "precious"


# ---- archives and pictures -----------------------------------------------------------------------------


def archive(members, end=b"\0\0", before=b""):
    """A zip file of nothing but a list of members, all of the same name, and its end."""
    one = b"PK\1\2" + bytes(24) + b"\5\0" + bytes(16) + b"a.npy"
    listed = one * members
    size = len(listed).to_bytes(4, "little")
    return listed + before + b"PK\5\6" + bytes(8) + size + bytes(4) + end


def test_an_archive_of_a_million_members_is_not_listed(cwd, capsys):
    Path("a.npz").write_bytes(archive(1_000_000))
    with little_memory():
        assert "a.npz has too many members" in fails(capsys, "evaluate", "a.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(1, end=b"\4\0more"), "not a complete .npz file"),
        (archive(1, before=b"PK\6\7" + bytes(16)), "too many members"),
        (b"PK\5\6", "not a complete .npz file"),
        (b"", "is empty; expected a data set"),
    ],
    ids=["comment", "zip64", "cut", "empty"],
)
def test_an_archive_with_ambiguous_members(cwd, capsys, content, message):
    Path("a.npz").write_bytes(content)
    assert message in fails(capsys, "evaluate", "a.npz")


def test_an_archive_of_some_more_members_is_read(cwd):
    arrays = {f"more{k}": np.zeros(1) for k in range(200)}
    np.savez("a.npz", X=np.zeros((20, 784)), y=np.arange(20) % 2, **arrays)
    assert len(load_npz("a.npz").y_train) == 18


def test_a_large_file_behind_a_small_picture_is_not_read_into_memory(cwd, capsys):
    image_module.fromarray(DIGIT).convert("RGB").save("a.jpg")
    os.truncate("a.jpg", 3 * 2**27)
    with little_memory(2**28):
        assert succeeds(capsys, "predict", "a.jpg").startswith("a.jpg: ")


def test_a_script_in_an_svg_is_not_a_picture(cwd, capsys):
    Path("a.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    Path("a.png").write_text(Path("a.svg").read_text())
    for name in ("a.svg", "a.png"):
        assert f"{name} is not a picture" in fails(capsys, "predict", name)


def test_several_files_some_of_which_are_not_pictures(cwd, capsys):
    image_module.fromarray(DIGIT).save("a.png")
    code, out, err = run(capsys, "predict", "/dev/zero", "a.png", "/dev/null")
    assert code == 1
    assert out.startswith("a.png: ")
    assert len(out.splitlines()) == 1
    assert len(err.splitlines()) == 2
