"""The arguments that `lenet serve` derives from options and environment variables; no server starts."""

import os
import signal

import needs_serve  # noqa: F401
import pytest
from commands import misused

import lenet.serving
from lenet import cli
from lenet.cli.serve import _settings, named
from lenet.errors import InputError
from lenet.serving import Limits
from lenet.serving.tokens import MAX_TOKEN_BYTES, token_of


@pytest.fixture
def started(monkeypatch):
    """A function that runs the command, and returns the arguments of the server that it would start."""
    for name in ("PORT", "MODEL", "TOKEN", "TOKEN_FILE", "CONTROL_TOKEN", "LOG_LEVEL"):
        monkeypatch.delenv(f"LENET_{name}", raising=False)
    calls = []
    monkeypatch.setattr(lenet.serving, "serve", lambda *arguments, **named: calls.append((arguments, named)))

    def run(*options):
        assert cli.main(["serve", *options]) == 0
        (models,), named = calls.pop()
        return models, named

    return run


def test_the_defaults_are_those_of_the_help(started):
    models, arguments = started()
    on_ready = arguments.pop("on_ready")
    assert callable(on_ready)
    assert models == {"mnist": "mnist"}
    assert arguments == {
        "host": "127.0.0.1", "port": 8000, "uds": None, "workers": 1, "token": None, "allow_control": False,
        "control_token": None, "log_level": "info",
        "limits": Limits(
            body=16 * 2**20, batch=1024, pixels=25_000_000, in_flight=256, receive_seconds=10, request_seconds=30,
            drain_seconds=1,
        ),
    }  # fmt: skip


def test_the_process_is_prepared_before_the_server_starts(started, monkeypatch):
    """SIGHUP would end a server that is starting; BLAS would start a thread per core, and metrics would need a file."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "missing")
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL) if hasattr(signal, "SIGHUP") else None
    try:
        started()
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
        assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
        assert before is None or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        if before is not None:
            signal.signal(signal.SIGHUP, before)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    started()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_a_note_says_which_files_contain_only_weights(started, capsys):
    models = ["--model", "a.safetensors", "--model", "b.PT", "--model", "c=d.pth"]
    started(*models)
    notes = capsys.readouterr().err.splitlines()
    assert [note.partition(" contains")[0] for note in notes] == ["lenet: note: b.PT", "lenet: note: d.pth"]
    started(*models, "--quiet")
    assert not capsys.readouterr().err


def test_every_option_reaches_the_server(started, monkeypatch):
    monkeypatch.setenv("LENET_TOKEN", "sesame")
    models, arguments = started(
        "--model", "a=x.onnx", "--model", "b.pt", "--host", "10.0.0.1", "--port", "65535", "--uds", "s",
        "--max-body", "0.5", "--max-batch", "7", "--max-pixels", "1.5", "--max-in-flight", "8", "--timeout", "9",
        "--deadline", "10", "--drain", "0", "--allow-control", "--log-level", "error",
    )  # fmt: skip
    arguments.pop("on_ready")
    assert models == {"a": "x.onnx", "b": "b.pt"}
    assert arguments == {
        "host": "10.0.0.1", "port": 65535, "uds": "s", "workers": 1, "token": "sesame", "allow_control": True,
        "control_token": None, "log_level": "error",
        "limits": Limits(
            body=2**19, batch=7, pixels=1_500_000, in_flight=8, receive_seconds=9, request_seconds=10, drain_seconds=0
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "level"),
    [([], "info"), (["-q"], "warning"), (["-q", "--log-level", "error"], "error"), (["--log-level", "error"], "error")],
)
def test_quiet_omits_the_address_and_requests(started, capsys, options, level):
    _, arguments = started("--model", "a=x", "--model", "b=y", *options)
    assert arguments["log_level"] == level
    arguments["on_ready"]("http://here")
    expected = "" if "-q" in options else "lenet serves a, b at http://here (stop it with Ctrl-C)\n"
    assert capsys.readouterr().out == expected


def test_variables_are_options(started, monkeypatch):
    for name, text in {"MODEL": "a=x,b", "PORT": "0", "WORKERS": "2", "DRAIN": "3", "LOG_LEVEL": "warning"}.items():
        monkeypatch.setenv(f"LENET_{name}", text)
    models, arguments = started()
    assert models == {"a": "x", "b": "b"}
    assert [arguments[name] for name in ("port", "workers", "log_level")] == [0, 2, "warning"]
    assert arguments["limits"].drain_seconds == 3
    models, arguments = started("--model", "c", "--port", "1")
    assert models == {"c": "c"}
    assert arguments["port"] == 1


@pytest.mark.parametrize("name", ["LENET_TOKEN", "LENET_CONTROL_TOKEN"])
def test_either_token_allows_control(started, monkeypatch, name):
    monkeypatch.setenv("LENET_ALLOW_CONTROL", "true")
    monkeypatch.setenv(name, "sesame")
    _, arguments = started()
    assert arguments["allow_control"] is True
    tokens = {"LENET_TOKEN": arguments["token"], "LENET_CONTROL_TOKEN": arguments["control_token"]}
    assert tokens == {**dict.fromkeys(tokens), name: "sesame"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "0"], "workers is 0; expected at least 1."),
        (["--port", "65536"], "--port is 65536; expected 0 to 65535."),
        (["--port", "-1"], "port is -1; expected at least 0."),
        (["--uds", ""], "uds is empty; expected a path."),
        (["--drain", "-1"], "argument --drain: -1 is out of range; expected a number from 0 to 1e+09."),
        (["--max-in-flight", "0"], "argument --max-in-flight: 0 is out of range; expected at least 1."),
        (["--max-batch", "x"], "argument --max-batch: invalid integer value: 'x'"),
        (["--max-body", "0"], "0 is out of range; expected a number above 0 and at most 1e+09."),
        (["--max-body", "nan"], "nan is out of range; expected a number above 0 and at most 1e+09."),
        (["--max-body", "much"], "argument --max-body: invalid number value: 'much'"),
        (["--timeout", "-1"], "argument --timeout: -1 is out of range; expected a number above 0 and at most 1e+09."),
        (["--deadline", "1.1e9"], "1.1e9 is out of range; expected a number above 0 and at most 1e+09."),
        (["--model", ""], "--model is empty; expected FILE or NAME=FILE."),
        (["--model", "=x"], "--model is =x; expected FILE or NAME=FILE."),
        (["--model", "x="], "--model is x=; expected FILE or NAME=FILE."),
        (
            ["--model", "x", "--model", "x.onnx"],
            "--model x.onnx repeats the name x; expected distinct names. Choose another name.",
        ),
        (["--allow-control"], "--allow-control requires a token, or anyone could load and unload models. Set LENET_"),
    ],
)
@pytest.mark.usefixtures("started")
def test_mistakes_are_found_before_a_server_starts(capsys, options, said):
    assert said in misused(capsys, "serve", *options)


def test_1e9_is_still_a_limit(started):
    assert started("--deadline", "1e9")[1]["limits"].request_seconds == 1e9


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({}, {}),
        ({"LENET_HOST": "", "LENET_UDS": "s", "LENET_QUIET": "1"}, {"uds": "s"}),
        ({"LENET_MODEL": "a,b=c"}, {"model": "a,b=c"}),
        ({"LENET_PORT": "tcp://10.0.0.1:8000"}, {}),
        ({"LENET_ALLOW_CONTROL": "1"}, {"allow_control": True}),
        ({"LENET_ALLOW_CONTROL": "True"}, {"allow_control": True}),
        ({"LENET_ALLOW_CONTROL": "on"}, {"allow_control": True}),
        ({"LENET_ALLOW_CONTROL": "no"}, {}),
        ({"LENET_MAX_BODY": "1", "LENET_MAX_BATCH": "2", "LENET_MAX_PIXELS": "3", "LENET_MAX_IN_FLIGHT": "4"},
         {"max_body": "1", "max_batch": "2", "max_pixels": "3", "max_in_flight": "4"}),
    ],
)  # fmt: skip
def test_environment_variables_set_options_unless_empty_or_unrelated(variables, settings):
    assert _settings(variables) == settings


def test_a_token_is_read_from_a_file_of_at_most_4096_bytes_of_ascii(tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b"sesame\r\n\n")
    assert token_of({"LENET_TOKEN_FILE": str(file)}) == "sesame"
    assert token_of({"LENET_CONTROL_TOKEN_FILE": str(file)}, "LENET_CONTROL_TOKEN") == "sesame"
    assert token_of({"LENET_TOKEN_FILE": str(file)}, "LENET_CONTROL_TOKEN") is None
    assert token_of({"LENET_TOKEN_FILE": str(file), "LENET_TOKEN": "open"}) == "open"
    assert token_of({}) is None
    file.write_bytes(b"x" * MAX_TOKEN_BYTES)
    assert len(token_of({"LENET_TOKEN_FILE": str(file)})) == 4096
    for content in (b"x" * (MAX_TOKEN_BYTES + 1), b"\xe9"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="expected a file with at most 4096 bytes of ASCII"):
            token_of({"LENET_TOKEN_FILE": str(file)})
    file.write_bytes(b"sesame \n")
    with pytest.raises(InputError, match=r"^The file in LENET_TOKEN_FILE has spaces around it"):
        token_of({"LENET_TOKEN_FILE": str(file)})
    with pytest.raises(InputError, match=r"nowhere \(No such file or directory\); expected a file"):
        token_of({"LENET_TOKEN_FILE": "nowhere"})


def test_a_model_is_named_like_its_file():
    assert named(["runs/train-3", "zips.safetensors", "a=b=c"], None) == {
        "train-3": "runs/train-3", "zips": "zips.safetensors", "a": "b=c",
    }  # fmt: skip


def test_the_largest_body_fits_into_the_memory_for_bodies(started):
    limits = started("--max-body", "300")[1]["limits"]
    assert limits.buffered == 2 * limits.body
    assert started()[1]["limits"].buffered == 256 * 2**20
