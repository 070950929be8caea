"""Untrusted text that is printed or parsed: names, metadata, the environment, the command line."""

import csv
import io
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import fails, misused, run, succeeds

import lenet
from lenet import cli
from lenet.cli.output import printable
from lenet.errors import InputError

image_module = pytest.importorskip("PIL.Image")
for needed in ("cv2", "sklearn", "matplotlib"):
    pytest.importorskip(needed)

DIGIT = 255 - lenet.data.load_digits().X_test[0]
NAMES = {
    "title": b"\x1b]0;owned\x07",
    "colour": b"\x1b[31m",
    "8 bit": "\x9b31m".encode(),
    "direction": "\u202egnp".encode(),
    "two lines": b"a: 7 (1.000)\nb",
    "back": b"good\rbad\b\b\b",
    "no UTF-8": b"\xff\xfe",
    "line separator": "a\u2028b".encode(),
}
MANY = "9" * 5000  # digits: more than Python makes a number of
posix = pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")


@pytest.fixture(params=NAMES)
def name(request):
    return os.fsdecode(NAMES[request.param])


# ---- printed text --------------------------------------------------------------------------------------


def test_printable_text_is_unchanged_and_everything_else_is_escaped():
    assert printable("naïve 数字 ~/a b.png") == "naïve 数字 ~/a b.png"
    assert printable("\x1b[1m\n\u202e\udcff\x7f") == r"\x1b[1m\n\u202e\udcff\x7f"


@posix
@pytest.mark.parametrize("command", ["predict", "read"])
def test_names_that_are_formulas_stay_paths_in_a_table(cwd, capsys, monkeypatch, command):
    names = ["=1+1.png", "+1.png", "@1.png", "\t=1.png", "\r=1.png", "./-1.png", "a=1.png"]
    for name in names:
        image_module.fromarray(DIGIT).save(name)
    Path("=2.png").write_text("no picture")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(Path("+1.png").read_bytes())))
    run(capsys, command, *names, "=2.png", "-", "--csv", "out.csv")
    with Path("out.csv").open(newline="") as file:
        found = [row[0] for row in csv.reader(file)][1:]
    assert found == [*(f"./{name}" for name in names[:5]), "./-1.png", "a=1.png", "./=2.png", "-"]
    assert all(Path(name).is_file() for name in found[:-1])


@posix
@pytest.mark.parametrize("command", ["predict", "read"])
def test_names_of_pictures(cwd, capsys, command, name):
    """`run` rejects output that can control a terminal."""
    image_module.fromarray(DIGIT).save(f"{name}.png")
    assert re.fullmatch(re.escape(printable(name)) + r"\.png: 1 \(0\.\d+\)\n", succeeds(capsys, command, f"{name}.png"))
    assert '"image": ' in succeeds(capsys, command, "--json", f"{name}.png")
    Path(f"{name}.png").write_text("no picture")
    assert printable(name.replace("\n", " ")) in fails(capsys, command, f"{name}.png")


@posix
def test_names_of_missing_and_written_files(cwd, capsys, name):
    for arguments in (["info"], ["evaluate"], ["train", "--resume"], ["predict"], ["evaluate", "digits", "--model"]):
        fails(capsys, *arguments, f"{name}.no")
    for arguments in (["export", "mnist"], ["page"], ["predict", "a.png", "--show"]):
        misused(capsys, *arguments, f"{name}.no")
    for arguments in (["train", "digits", "--recipe"], ["train", "digits", "--schedule"]):
        misused(capsys, *arguments, name)
    assert succeeds(capsys, "page", f"{name}.html") == f"Open {printable(name)}.html in a browser.\n"


@pytest.mark.landing
@posix
def test_names_of_data_and_of_runs(cwd, capsys):
    name = os.fsdecode(b"".join(NAMES.values()))
    np.savez("digits.npz", X=lenet.data.load_digits().X_train[:60], y=np.arange(60) % 2)
    Path("digits.npz").rename(f"{name}.npz")
    arguments = ["train", f"{name}.npz", "--epochs", 1, "--validation", 0, "--runs", name]
    out = succeeds(capsys, *arguments)
    assert printable(f"{name}/train-1: ") in out
    assert printable(f"{name}.npz, 52 images") in out
    data = lenet.load(Path(name, "train-1", "best.safetensors")).metadata["data"]
    assert data == f"{name}.npz".encode("utf-8", "backslashreplace").decode()
    code, again, note = run(capsys, "train", "--resume", f"{name}/train-1")
    assert (code, note.count("\n")) == (0, 1)
    assert note.startswith(printable(f"lenet: note: {name}/train-1 is already complete."))
    assert again.splitlines()[-1] == printable(f"lenet predict PICTURE --model '{name}/train-1'")


def test_metadata_of_weights(cwd, capsys):
    model = lenet.LeNet5(seed=0)
    texts = [each.decode("utf-8", "ignore") for each in NAMES.values()]
    model.metadata = {f"{k}{text}": f"{text}\nnum_classes        99" for k, text in enumerate(texts)}
    model.save("a.safetensors")
    out = succeeds(capsys, "info", "a.safetensors")
    assert len(re.findall(r"^num_classes", out, re.MULTILINE)) == 1
    assert r"\x1b]0;owned\x07\nnum_classes        99" in out
    for arguments in (["export", "a.safetensors", "digits.c"], ["page", "--model", "a.safetensors", "digits.html"]):
        succeeds(capsys, *arguments)
    assert "\x1b" not in Path("digits.c").read_text()


def test_metadata_replace_no_property_of_the_model(cwd, capsys):
    model = lenet.LeNet5(seed=0)
    model.metadata = {"dtype": "int8", "parameters": "99", "date": "today"}
    model.save("a.safetensors")
    found = json.loads(succeeds(capsys, "info", "a.safetensors", "--json"))
    assert (found["dtype"], found["parameters"], found["date"]) == ("float32", 61706, "today")


def test_metadata_that_no_file_can_contain(cwd):
    model = lenet.LeNet5(seed=0)
    model.metadata = {"name": "\udcff"}
    with pytest.raises(InputError, match=r"metadata contains '\\udcff'; expected text that UTF-8"):
        model.save("a.safetensors")
    assert not list(cwd.iterdir())


def test_an_output_limited_to_ascii(cwd, monkeypatch):
    image_module.fromarray(DIGIT).save("naïve 数字.png")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii", write_through=True))
    assert cli.main(["predict", "naïve 数字.png"]) == 0
    assert written.getvalue().startswith(rb"na\xefve \u6570\u5b57.png: 1 (0.")


def test_a_report_limited_to_ascii(cwd, monkeypatch):
    rows = [f"{name}," + ",".join(["0"] * 784) for name in ("naïve", "数字")]
    Path("a.csv").write_text("\n".join(rows), encoding="utf-8")
    model = lenet.LeNet5(seed=0, num_classes=2)
    model.classes = ("naïve", "数字")
    model.save("a.safetensors")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii", write_through=True))
    assert cli.main(["evaluate", "a.csv", "--model", "a.safetensors", "--quiet"]) == 0
    assert rb"\u6570\u5b57" in written.getvalue()


# ---- text that is parsed as a number or a setting ------------------------------------------------------


@pytest.mark.parametrize("value", [MANY, "0", "-1", "1e3", " 2", "²", "two", "\x1b[31m", "1\n2"])
def test_invalid_numbers_of_threads(capsys, monkeypatch, value):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5), raising=False)  # no value is the number of cores
    monkeypatch.setenv("LENET_NUM_THREADS", value)
    assert "expected an integer" in fails(capsys, "info", "--json")
    monkeypatch.delenv("LENET_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", value)  # other programs set it, so invalid numbers are ignored
    assert f'"threads": {2 if value == " 2" else 5}' in succeeds(capsys, "info", "--json")


@pytest.mark.parametrize("value", ["\x1b[31m", "x86-64-v9", "a\nb"])
def test_builds_that_do_not_exist(capsys, monkeypatch, value):
    monkeypatch.setenv("LENET_CPU", value)
    assert "the builds that this CPU can run" in fails(capsys, "info")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", "expected a file"), (b"x" * 4097, "expected a file"), (b"", "is empty"), (b"a\x1b", "printable")],
)
def test_invalid_tokens(cwd, capsys, monkeypatch, content, message):
    pytest.importorskip("uvicorn")
    Path("token").write_bytes(content)
    monkeypatch.setenv("LENET_TOKEN_FILE", "token")
    assert message in fails(capsys, "serve", "--port", "0")


@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--patience", "--lr", "--momentum", "--weight-decay"])
@pytest.mark.parametrize("value", [MANY, MANY[:400], "1e400", "nan", "-inf", "\x1b[31m"])
def test_numbers_out_of_range_for_training(cwd, capsys, option, value):
    misused(capsys, "train", "digits", option, value)
    assert not list(cwd.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-body", "1e308"],
        ["--max-pixels", "1e305"],
        ["--deadline", "1e308"],
        ["--timeout", "nan"],
        ["--port", MANY],
        ["--model", "=mnist"],
        ["--model", "a="],
    ],
)
def test_numbers_out_of_range_for_a_server(capsys, arguments):
    pytest.importorskip("uvicorn")
    misused(capsys, "serve", "--port", "0", *arguments)


@pytest.mark.parametrize("host", ["a" * 64, "\x1b[1m", "\udcff", "a..b", " "])
def test_invalid_hosts(capsys, host):
    pytest.importorskip("uvicorn")
    assert "Cannot listen on" in fails(capsys, "serve", "--host", host, "--port", "0")


@pytest.mark.parametrize("name", ["../mnist", "a/b", "..", "\x1b[1m", "a b", "a\nb", "x" * 101, "stats", "é"])
def test_invalid_model_names(capsys, name):
    pytest.importorskip("uvicorn")
    assert "is not a valid model name" in fails(capsys, "serve", "--port", "0", "--model", f"{name}=mnist")


def test_digits_of_other_scripts_are_parsed_as_numbers(capsys, monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", "٣")
    assert '"threads": 3' in succeeds(capsys, "info", "--json")


def test_an_error_with_line_breaks_is_one_line(capsys):
    assert fails(capsys, "info", "no\nsuch\nfile").count("\n") == 1
