"""Untrusted paths, headers, model names and model files of a server give a 4xx or do no harm."""

import html.parser
import json
import re
import signal
import struct
import sys
from pathlib import Path

import needs_serve  # noqa: F401
import pytest
from served import serving, wait_for
from serving_requests import BODY, all_of, connected

import lenet
from lenet import cli
from lenet.errors import WeightsError

SCRIPT = "</script><script>alert(1)</script><!-- \u2028 \x1b]0;owned\x07 \x9b31m"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of a model with untrusted metadata; nothing that it logs controls a terminal."""
    path = tmp_path_factory.mktemp("models") / "evil.safetensors"
    model = lenet.LeNet5(seed=0)
    model.metadata = {SCRIPT: SCRIPT, "margins": SCRIPT}
    model.save(path)
    with serving("--model", f"evil={path}") as running:
        yield running
        lines = running._log.read_text()
        assert lines.replace("\n", "").isprintable()
        assert not [each for each in running.log() if each.get("status", 0) >= 500 or "traceback" in each]


def answer_to(server, request):
    """The status and body that the server sends for the bytes of a request, up to the end of the connection."""
    with connected(server) as connection:
        connection.sendall(request)
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def is_refused(status, body):
    error = (body if isinstance(body, dict) else json.loads(body))["error"]
    return 400 <= status < 500 and error.isprintable()


# ---- requests ------------------------------------------------------------------------------------------

PATHS = [
    "/v2/models/../../etc/passwd",
    "/v2/models/..%2f..%2fetc%2fpasswd/config",
    "/v2/models/%2e%2e/config",
    "/v2/models/evil%00/config",
    "/v2/models/evil.safetensors/config",
    "/v2/models/%1b%5b31m/config",
    "/v2/models/%e2%80%ae/config",
    "/v2/models/" + "a" * 9000 + "/config",
    "/v2/models/evil/versions/..%2f/config",
    "/v2/models/evil/versions/%F0%9F%98%80/config",
    "/model.json?model=../../etc/passwd",
    "/model.json?model=%0d%0aSet-Cookie:%20a=b",
    "/model.json?model=%ff%fe",
    "//etc/passwd",
    "/..;/..;/etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "*",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_paths_that_lead_nowhere(server, path):
    status, headers, body = server.ask("GET", path)
    assert status == 404
    assert is_refused(status, body)
    assert "set-cookie" not in headers


def test_an_absolute_target_is_treated_as_its_path(server):
    """RFC 9112, section 3.2.2: a server accepts one, although only proxies receive it."""
    for target in ("http://evil.example/v2/models/evil", "https://evil.example:1/v2/models/evil?a=b"):
        assert server.ask("GET", target)[::2] == server.ask("GET", "/v2/models/evil")[::2]
    assert server.ask("GET", "http://evil.example/v2/models/other")[0] == 404


CHUNKED = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
SIZED = b"Content-Length: %d\r\n" % len(BODY)
JSON_SIZED = b"Inference-Header-Content-Length: %d\r\n" % len(BODY)
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n"
NOT_A_LENGTH = b"Invalid character in Content-Length"
NOT_A_JSON_LENGTH = b"expected a number of bytes"
AMBIGUOUS = {
    "length and chunks": (
        SIZED + b"Transfer-Encoding: chunked\r\n",
        CHUNKED + b"\r\n",
        b"Encoding can't be present with Content-Length",
    ),
    "lengths of JSON": (SIZED + 2 * JSON_SIZED, BODY, b"2 inference-header-content-length headers"),
    "content types": (SIZED + 2 * b"Content-Type: a\r\n", BODY, b"2 content-type headers"),
    "a length with a sign": (SIZED.replace(b": ", b": +"), BODY, NOT_A_LENGTH),
    "a hexadecimal length": (b"Content-Length: 0x%x\r\n" % len(BODY), BODY, NOT_A_LENGTH),
    "a length with an underscore": (f"Content-Length: {len(BODY):_}\r\n".encode(), BODY, NOT_A_LENGTH),
    "a length in Arabic digits": ("Content-Length: \u0663\r\n".encode(), BODY, NOT_A_LENGTH),
    "two lengths": (SIZED + b"Content-Length: 6\r\n", BODY, b"Duplicate Content-Length"),
    "two equal lengths": (2 * SIZED, BODY, b"Duplicate Content-Length"),
    "a length of JSON with a sign": (SIZED + JSON_SIZED.replace(b": ", b": +"), BODY, NOT_A_JSON_LENGTH),
    "a negative length of JSON": (SIZED + JSON_SIZED.replace(b": ", b": -"), BODY, NOT_A_JSON_LENGTH),
    "a superscript": (SIZED + b"Inference-Header-Content-Length: \xb2\r\n", BODY, NOT_A_JSON_LENGTH),
    "NUL in a header": (SIZED + b"X: a\0b\r\n", BODY, b"Invalid header value char"),
    "ESC in a header": (SIZED + b"X-Request-Id: \x1b[31m\r\n", BODY, b"Invalid header value char"),
    "an encoding in a trailer": (IN_CHUNKS, CHUNKED + b"Transfer-Encoding: a\r\n\r\n", b"Invalid `Transfer-Encoding`"),
    "a length in a trailer": (IN_CHUNKS, CHUNKED + SIZED + b"\r\n", b"Content-Length can't be present"),
    "a bare LF": (SIZED.replace(b"\r", b""), BODY, b"Missing expected CR after header value"),
    "a bare LF in a trailer": (
        IN_CHUNKS,
        CHUNKED + b"A: b\n\n",
        b"Missing expected CR after header value",
    ),
    "a bare LF in a chunk": (
        IN_CHUNKS,
        CHUNKED.replace(b"\r", b"") + b"\n",
        b"Missing expected CR after chunk size",
    ),
    "a folded header": (SIZED + b"A: b\r\n c\r\n", BODY, b"Unexpected whitespace after header value"),
    "two headers of encodings": (
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        CHUNKED + b"\r\n",
        b"The Transfer-Encoding is not chunked",
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_valid_requests_that_are_ambiguous_or_large_are_refused(server, name):
    headers, body, says = AMBIGUOUS[name]
    start = b"POST /v2/models/evil/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert answer_to(server, start + SIZED + b"\r\n" + BODY)[0] == 200
    status, error = answer_to(server, start + headers + b"\r\n" + body)
    assert (status, says in error) == (400, True), error


@pytest.mark.parametrize(
    "header",
    [b"Upgrade: websocket\r\nConnection: close, Upgrade", b"Expect: 200-maybe",
     b"Content-Type: multipart/form-data; boundary=\xff"],
)  # fmt: skip
def test_headers_that_a_route_does_not_support_are_ignored(server, header):
    start = b"POST /v2/models/evil/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert answer_to(server, start + SIZED + header + b"\r\n\r\n" + BODY)[0] == 200


@pytest.mark.parametrize("parameter", [b"boundary=\xff", b"charset=\xff; boundary=b"])
def test_forms_with_parameters_that_are_not_ascii(server, parameter):
    start = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n"
    assert is_refused(*answer_to(server, start + b"Content-Type: multipart/form-data; " + parameter + b"\r\n\r\nabcde"))


def test_nothing_is_read_after_an_ambiguous_request(server):
    """RFC 9112, section 6.1: the connection is closed, or the rest could be taken for another request."""
    head = b"POST /v2/models/evil/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + SIZED + b"\r\n"
    with connected(server) as connection:
        connection.sendall(head + CHUNKED + b"\r\nGET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = all_of(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "line",
    [b"GET /\xff HTTP/1.1", b"GET /\0 HTTP/1.1", b"G\x1bT / HTTP/1.1", b"GET /a b HTTP/1.1", b"TRACE / HTTP/1.1",
     b"CONNECT evil.example:25 HTTP/1.1", b"PRI * HTTP/2.0", b"GET /v2 HTTP/2.0",
     b"GET /v2 HTTP/0.9", b"BREW / HTTP/1.1", b"\x16\x03\x01\x02\x00\x01"],
)  # fmt: skip
def test_lines_that_are_not_valid_requests(server, line):
    assert is_refused(*answer_to(server, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n"))


# ---- models of strangers -------------------------------------------------------------------------------


def test_untrusted_metadata_stays_text(server):
    _, headers, config = server.ask("GET", "/v2/models/evil/config")
    assert config["parameters"][SCRIPT]["string_value"] == SCRIPT
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    _, headers, document = server.ask("GET", "/model.json")
    assert document["metadata"][SCRIPT] == SCRIPT
    assert document["thresholds"] == {}
    assert headers["content-type"] == "application/json"


class Scripts(html.parser.HTMLParser):
    """The elements of a page that run, or that contain a model."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "script":
            self.found.append(dict(attributes).get("type"))


def test_a_page_with_an_untrusted_model_runs_only_its_own_script(cwd):
    model = lenet.LeNet5(seed=0)
    model.metadata = {SCRIPT: SCRIPT}
    model.save("evil.safetensors")
    assert cli.main(["page", "a.html", "--model", "evil.safetensors"]) == 0
    assert Scripts(Path("a.html").read_text("utf-8")).found == ["application/json", "module"]


@pytest.mark.parametrize("texts", [{"a": "\ud800"}, {"\udfff": "a"}], ids=ascii)
def test_metadata_that_no_response_could_contain_is_refused(tmp_path, texts):
    """An unpaired UTF-16 surrogate, which JSON can express and UTF-8 cannot encode."""
    path = tmp_path / "a.safetensors"
    lenet.LeNet5(seed=0).save(path)
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    header["__metadata__"] = {"format": "lenet-1", "num_classes": "10", "mean": "0", "std": "1", **texts}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[end:])
    with pytest.raises(WeightsError, match="is damaged"):
        lenet.load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs devices, links and /proc")
def test_files_that_become_something_else_replace_no_model(tmp_path):
    (tmp_path / "folder").mkdir()
    targets = {"zero": "/dev/zero", "null": "/dev/null", "a-folder": "folder", "nowhere": "gone", "itself": "itself"}
    for name in targets:
        lenet.LeNet5(seed=0).save(tmp_path / f"{name}.safetensors")
    models = (f"--model={tmp_path / name}.safetensors" for name in targets)
    with serving(*models, "--log-level", "warning") as server:
        before = {name: server.ask("GET", f"/v2/models/{name}")[2] for name in targets}
        for name, target in targets.items():
            (tmp_path / "link").symlink_to(target)
            (tmp_path / "link").replace(tmp_path / f"{name}.safetensors")
        server.process.send_signal(signal.SIGHUP)
        messages = [f"Model {name} was not reloaded" for name in targets]
        wait_for(lambda: all(any(text in each["message"] for each in server.log()) for text in messages))
        assert {name: server.ask("GET", f"/v2/models/{name}")[2] for name in targets} == before
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
        assert int(peak[1]) < 2**18
