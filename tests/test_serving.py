"""The server as a process: pictures, invalid requests, the token, metrics, and reloaded models."""

import asyncio
import contextlib
import errno
import gzip
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from served import JSON_LENGTH, SERVE, serving, wait_for

import lenet
import lenet.cli
from lenet.errors import InputError

for needed in ("uvicorn", "starlette", "prometheus_client", "python_multipart", "orjson", "httptools"):
    pytest.importorskip(needed)
image_module = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")
from lenet.serving import Models, create_app  # noqa: E402

INFER = "/v2/models/mnist/infer"
TOKEN = "open sesame"  # noqa: S105


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def digits():
    data = lenet.data.load_digits()
    return data.X_test, data.y_test


def an_input(**changes):
    return {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784} | changes


def request_of(*inputs, **rest):
    return json.dumps({"inputs": list(inputs or [an_input()]), **rest})


def page_of(images):
    page = np.full((60, 30 * len(images) + 40), 255, np.uint8)
    for place, image in enumerate(images):
        page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - image
    return page


def encoded(page, kind="PNG"):
    buffer = io.BytesIO()
    image_module.fromarray(page).save(buffer, kind)
    return buffer.getvalue()


def form_of(content, name="picture", kind="image/png"):
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\nContent-Type: {kind}\r\n'
    )
    body = head.encode() + b"\r\n" + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


# ---- pictures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("as_form", [False, True])
def test_a_picture_is_read_as_lenet_reads_it(server, digits, kind, as_form):
    images, labels = digits
    content = encoded(page_of(images[183:187]), kind)
    body, headers = form_of(content) if as_form else (content, {"Content-Type": f"image/{kind.lower()}"})
    status, _, answer = server.ask("POST", "/predict", body, headers)
    assert status == 200
    assert answer["text"] == "".join(map(str, labels[183:187]))
    reading = lenet.reading.read(lenet.reading.read_picture(io.BytesIO(content)))
    assert answer["lines"] == reading.as_dict()["lines"]
    assert answer["model"] == "mnist"


def test_only_digits_reaches_the_reading(server, digits):
    scribble = np.zeros((28, 28), np.uint8)
    scribble[4:24:4, 4:24] = scribble[4:24, 4:24:5] = 255
    content = encoded(page_of([digits[0][183], scribble, digits[0][184]]))
    for option, only_digits in (("", False), ("?only_digits=true", True), ("?only_digits=0", False)):
        reading = lenet.reading.read(lenet.reading.read_picture(io.BytesIO(content)), only_digits=only_digits)
        assert server.ask("POST", f"/predict{option}", content)[2]["text"] == reading.text


def test_a_blank_picture_has_no_lines(server):
    status, _, answer = server.ask("POST", "/predict", encoded(np.full((40, 40), 255, np.uint8)))
    assert (status, answer["lines"], answer["text"]) == (200, [], "")


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", {}, "no picture"),
        (b"not a picture", {}, "The file is not a picture"),
        (encoded(np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8))[:5000], {}, "damaged"),
        (*form_of(b""), "no picture"),
        (b"nonsense", {"Content-Type": "multipart/form-data; boundary=x"}, "form is malformed|no picture"),
        (b"nonsense", {"Content-Type": "multipart/form-data"}, "form is malformed"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=é".encode("latin-1")}, "form is malformed|no picture"),
    ],
)  # fmt: skip
def test_files_that_are_not_pictures(server, body, headers, says):
    status, _, answer = server.ask("POST", "/predict", body, headers)
    assert status == 400
    assert any(each in answer["error"] for each in says.split("|")), answer


def test_a_picture_bomb(server):
    page = image_module.new("1", (6_000, 6_000))
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    before = server.memory()
    status, _, answer = server.ask("POST", "/predict", buffer.getvalue())
    assert status == 400
    assert "25 million" in answer["error"]
    assert server.memory() - before < 20e6


def test_options_in_a_form(server):
    content = encoded(np.zeros((40, 40), np.uint8))
    body, headers = form_of(content)
    boundary = headers["Content-Type"].partition("=")[2]
    for name, value, status in (("model", "nobody", 404), ("model", "mnist", 200), ("only_digits", "perhaps", 400),
                                ("onlydigits", "1", 400)):  # fmt: skip
        field = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        assert server.ask("POST", "/predict", field + body, headers)[0] == status


def test_unknown_options_of_pictures(server):
    picture = encoded(np.zeros((40, 40), np.uint8))
    assert server.ask("POST", "/predict?model=nobody", picture)[0] == 404
    assert server.ask("POST", "/predict?only_digits=perhaps", picture)[0] == 400
    assert "'least'" in server.ask("POST", "/predict?least=0.9", picture)[2]["error"]


# ---- malformed requests --------------------------------------------------------------------------------

BAD = {
    "no JSON": ("{", "The request is not JSON (unexpected end of data"),
    "a picture": (b"\x89PNG", "The request is not JSON (not UTF-8). Send JSON, with the header Inference"),
    "NaN": (request_of(an_input(datatype="FP32", data=[float("nan")] * 784)), "not JSON"),
    "deep": ("[" * 3000, "not JSON"),
    "brackets": ("[" * 100_000, "65,536 brackets and quotation marks in its first 65,536 bytes; expected at most 6"),
    "empty lists": (request_of(an_input(data=[[]] * 30_000)), "brackets and quotation marks"),
    "values": ("[" + "0," * 803_816 + "0]", "803,817 values; expected at most 803,816"),
    "deep and closed": ('{"inputs": [' + "[" * 990 + "]" * 990 + "]}", "list of JSON objects"),
    "a deep shape": ('{"inputs": [{"name": "images", "datatype": "UINT8", "shape": ' + "[" * 990 + "]" * 990 + "}]}",
                     "shape"),
    "a list": ("[]", "The request is []; expected a JSON object"),
    "no inputs": ("{}", "inputs is missing or empty; expected the input 'images'."),
    "inputs no list": ('{"inputs": 3}', "inputs is 3"),
    "input no object": ('{"inputs": [3]}', "list of JSON objects"),
    "two inputs": (request_of(an_input(), an_input(name="mask"), an_input(name="other")), "'mask', 'other'"),
    "the same twice": (request_of(an_input(), an_input()), "2 times"),
    "wrong name": (request_of(an_input(name="x")), "Unknown input 'x'"),
    "wrong datatype": (request_of(an_input(datatype="INT64")), "datatype 'INT64'"),
    "datatype no text": (request_of(an_input(datatype=["UINT8"])), "datatype"),
    "no datatype": (request_of(an_input(datatype=None)), "datatype None"),
    "wrong shape": (request_of(an_input(shape=[28, 28, 1])), "shape [28, 28, 1]"),
    "negative": (request_of(an_input(shape=[-1, 28, 28])), "shape"),
    "shape of reals": (request_of(an_input(shape=[1.0, 28, 28])), "shape"),
    "shape of flags": (request_of(an_input(shape=[True, 28, 28])), "shape"),
    "huge": (request_of(an_input(shape=[2**40, 28, 28])), "shape"),
    "hidden huge": (request_of(an_input(shape=[0, 2**40, 28])), "shape"),
    "too large a batch": (request_of(an_input(shape=[1025, 784])), "at most 1024"),
    "too few numbers": (request_of(an_input(data=[0] * 783)), "783 numbers"),
    "above 255": (request_of(an_input(data=[256] * 784)), "0 to 255"),
    "below 0": (request_of(an_input(data=[-1] * 784)), "0 to 255"),
    "reals as bytes": (request_of(an_input(data=[0.5] * 784)), "0 to 255"),
    "texts": (request_of(an_input(datatype="FP32", data=["1"] * 784)), "expected numbers"),
    "nulls": (request_of(an_input(datatype="FP32", data=[None] * 784)), "expected numbers"),
    "flags": (request_of(an_input(datatype="FP32", data=[0] * 783 + [True])), "contains true or false"),
    "flags in rows": (request_of(an_input(data=[[False] * 28] * 28)), "contains true or false"),
    "ragged": (request_of(an_input(data=[[0] * 28] * 27 + [[0] * 27, [0]])), "different lengths"),
    "transposed": (request_of(an_input(shape=[2, 784], data=[[0, 255]] * 784)), "rows of 2; expected those of"),
    "28 transposed": (request_of(an_input(shape=[28, 784], data=[[0] * 28] * 784)), "rows of 28; expected those of"),
    "rows of another shape": (request_of(an_input(shape=[2, 28, 28], data=[[[0] * 14] * 56] * 2)), "rows of 56, 14;"),
    "a misspelt rate": (request_of(parameters={"rejekt_at": 0.005}), "Unknown parameter 'rejekt_at'; expected"),
    "a misspelt parameter of an output": (
        request_of(outputs=[{"name": "probabilities", "parameters": {"clasification": 2}}]), "'clasification'; expected"
    ),
    "data no list": (request_of(an_input(data="AAAA")), "data 'AAAA'"),
    "no data": (request_of(an_input(data=None)), "both or neither"),
    "out of range": (request_of(an_input(datatype="FP32", data=[1.5] * 784)), "[0, 1]"),
    "parameters no object": (request_of(an_input(parameters=[])), "parameters is []"),
    "id no text": (request_of(id=7), "id is 7"),
    "unknown output": (request_of(outputs=[{"name": "logit"}]), "Unknown output 'logit'"),
    "output twice": (request_of(outputs=[{"name": "label"}] * 2), "twice"),
    "classes of labels": (request_of(outputs=[{"name": "label", "parameters": {"classification": 2}}]), "'proba"),
    "classes no number": (
        request_of(outputs=[{"name": "probabilities", "parameters": {"classification": "2"}}]), "classification is"
    ),
    "binary no flag": (request_of(outputs=[{"name": "label", "parameters": {"binary_data": 1}}]), "true or false"),
    "rate no number": (request_of(parameters={"reject_at": "low"}), "reject_at is 'low'"),
    "rate and no label": (request_of(parameters={"reject_at": 2}, outputs=[{"name": "digit_score"}]), "lowest error"),
    "rate too small": (request_of(parameters={"reject_at": 1e-9}), "lowest error rate"),
    "size and no bytes": (request_of(an_input(data=None, parameters={"binary_data_size": 784})), "784; expected 0"),
    "data and size": (request_of(an_input(parameters={"binary_data_size": 784})), "both or neither"),
    "size no number": (request_of(an_input(data=None, parameters={"binary_data_size": "784"})), "data_size '784'"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "rows"),
    [([2, 784], (2, 784)), ([2, 28, 28], (2, 784)), ([2, 1, 28, 28], (2, 28, 28)), ([2, 1, 28, 28], (2, 1, 28, 28)),
     ([2, 28, 28], (56, 28)), ([2, 28, 28], (1, 1568)), ([2, 784], (1568,))],
)  # fmt: skip
def test_nested_data(server, digits, shape, rows):
    images, _ = digits
    body = request_of(an_input(shape=shape, data=images[:2].reshape(rows).tolist()), outputs=[{"name": "label"}])
    expected = lenet.load_pretrained("mnist").predict(images[:2]).tolist()
    assert server.ask("POST", INFER, body)[2]["outputs"][0]["data"] == expected


def test_more_classes_than_the_model_has(server):
    wanted = [{"name": "probabilities", "parameters": {"classification": 99}}]
    status, _, answer = server.ask("POST", INFER, request_of(outputs=wanted))
    assert status == 200
    assert answer["outputs"][0]["shape"] == [1, 10]
    assert len(answer["outputs"][0]["data"]) == 10


def test_one_output_in_json_and_one_in_binary(server):
    wanted = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    status, headers, body = server.ask("POST", INFER, request_of(outputs=wanted))
    assert status == 200
    length = int(headers[JSON_LENGTH])
    expected = lenet.load_pretrained().predict_proba(np.zeros((28, 28), np.uint8))
    assert json.loads(body[:length])["outputs"][0]["data"] == [expected.argmax()]
    np.testing.assert_array_equal(np.frombuffer(body[length:], "<f4"), expected[0])


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_request(server, name):
    body, says = BAD[name]
    status, headers, answer = server.ask("POST", INFER, body)
    assert status == 400
    assert says in answer["error"]
    assert list(answer) == ["error"]
    assert "Traceback" not in answer["error"]
    assert server.logged(headers["x-request-id"])["error"] == answer["error"]
    assert server.ask("POST", INFER, request_of())[0] == 200  # the next one works


@pytest.mark.parametrize(
    ("claim", "length", "says"),
    [
        (784, "0", "Inference-Header-Content-Length is 0"),
        (784, "99999", "Inference-Header-Content-Length is 99999"),
        (784, "-1", "expected a number of bytes"),
        (784, "1e3", "expected a number of bytes"),
        (784, "٣", "expected a number of bytes"),
        (784, "9" * 5000, "expected a number of bytes"),
        (783, None, "expected 784, the number of bytes after"),
        (785, None, "expected 784, the number of bytes after"),
        (10**30, None, "bytes"),
        (-784, None, "number of bytes"),
        (784, "less", "not JSON"),
    ],
)
def test_a_binary_header_with_a_false_size(server, claim, length, says):
    head = request_of(an_input(data=None, parameters={"binary_data_size": claim})).encode()
    length = {None: str(len(head)), "less": str(len(head) - 5)}.get(length, length)
    status, _, answer = server.ask("POST", INFER, head + bytes(784), {JSON_LENGTH: length.encode()})
    assert status == 400
    assert says in answer["error"]


def test_unclaimed_bytes(server):
    head = request_of().encode()
    status, _, answer = server.ask("POST", INFER, head + bytes(9), {JSON_LENGTH: str(len(head))})
    assert (status, "expected 9, the number of bytes after" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2/models/mnist/versions/9/infer", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/v2/models/%00", 404),
        ("GET", "/model.json?model=../../../etc/passwd", 404),
        ("GET", "/nothing", 404),
        ("GET", INFER, 405),
        ("DELETE", "/predict", 405),
    ],
)
def test_missing_models_and_paths(server, method, path, status):
    answered, _, answer = server.ask(method, path, request_of() if method == "POST" else None)
    assert answered == status
    assert answer["error"]


def test_more_json_than_allowed(server):
    status, _, answer = server.ask("POST", INFER, b" " * (4 * 2**20 + 1))
    assert (status, "binary" in answer["error"]) == (413, True)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "says"),
    [
        (b"nonsense", "gzip", 400, "not valid gzip"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:-9], "gzip", 400, "truncated"),
        (gzip.compress(bytes(17 * 2**20), mtime=0), "gzip", 413, "decompressed"),
        (b"{}", "br", 415, "gzip, deflate"),
    ],
)
def test_compressed_bodies(server, body, encoding, status, says):
    before = server.memory()
    answered, _, answer = server.ask("POST", INFER, body, {"Content-Encoding": encoding})
    assert answered == status
    assert says in answer["error"]
    assert server.memory() - before < 40e6


def test_compressed_bodies_of_several_members(server):
    parts = [gzip.compress(part.encode(), mtime=0) for part in (request_of()[:50], request_of()[50:])]
    headers = {"Content-Encoding": "gzip"}
    assert server.ask("POST", INFER, b"".join(parts), headers)[0] == 200
    for body, says in (
        (b"".join(parts) + b"rest", "not valid gzip"), (parts[0] + parts[1][:-1], "truncated"),
        (gzip.compress(b"") * 16 + parts[0] + parts[1], "expected at most 16"),
    ):  # fmt: skip
        status, _, answer = server.ask("POST", INFER, body, headers)
        assert (status, says in answer["error"]) == (400, True), answer
    body = zlib.compress(request_of().encode())
    assert server.ask("POST", INFER, body, {"Content-Encoding": "deflate"})[0] == 200
    assert server.ask("POST", INFER, body + b"rest", {"Content-Encoding": "deflate"})[0] == 400


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/nothing", 404), ("POST", "/v2", 405)])
def test_a_body_for_no_operation_is_not_read(server, method, path, status):
    with contextlib.closing(socket.create_connection((server.host, server.port), timeout=10)) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 %d " % status)


def test_one_bad_request_among_concurrent_good_ones(server, digits):
    """Each request gets its own response or error."""
    images, _ = digits
    expected = lenet.load_pretrained("mnist").predict_proba(images[:40])
    answers = {}

    def ask(k):
        x = images[k] / 255 if k % 2 else images[k]
        data = (x if k % 10 else np.full((28, 28), 7.0)).ravel().tolist()
        kind = "FP32" if k % 2 or k % 10 == 0 else "UINT8"
        body = request_of(an_input(datatype=kind, data=data), outputs=[{"name": "probabilities"}])
        answers[k] = server.ask("POST", INFER, body)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, (status, _, answer) in answers.items():
        assert status == (200 if k % 10 else 400), answer
        if status == 200:
            np.testing.assert_allclose(answer["outputs"][0]["data"], expected[k], atol=2e-6)


# ---- the log, the headers and the token ----------------------------------------------------------------


def test_a_line_for_each_request(server):
    _, headers, _ = server.ask("POST", INFER, request_of(), {"X-Request-Id": "mine-1"})
    assert headers["x-request-id"] == "mine-1"
    line = server.logged("mine-1")
    assert line["model"] == "mnist"
    assert (line["batch"], line["status"], line["method"], line["path"]) == (1, 200, "POST", INFER)
    assert 0 < line["ms"] < 1000
    assert (line["level"], line["peer"], line["bytes"]) == ("info", "127.0.0.1", len(request_of()))
    assert (line["pid"], "traceparent" in line) == (server.process.pid, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_a_trace_is_passed_on(server):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for given, passed_on in ((trace, trace), (trace.upper(), None), (trace + "0", None)):
        _, headers, _ = server.ask("GET", "/v2", headers={"traceparent": given})
        assert headers["traceparent"] == passed_on
        assert server.logged(headers["x-request-id"]).get("traceparent") == passed_on


def test_nothing_can_be_injected_into_the_log(server):
    _, headers, _ = server.ask("GET", "/%0a%7b%22status%22:%20200%7d", headers={"X-Request-Id": 'a"b c'})
    assert headers["x-request-id"] != 'a"b c'
    assert server.logged(headers["x-request-id"])["path"] == "/%0a%7b%22status%22:%20200%7d"


def test_security_headers(server):
    _, page, content = server.ask("GET", "/")
    assert b"<!doctype html>" in content.lower()
    policy = page["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for path in ("/", "/v2", "/nothing", "/model.json"):
        _, headers, _ = server.ask("GET", path, headers={"Origin": "https://evil.example"})
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-store" if path in ("/v2", "/nothing") else "private, no-cache")
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize("path", ["/", "/model.json", "/model.json?model=mnist"])
def test_cached_content(server, path):
    _, plain, content = server.ask("GET", path)
    connection = http.client.HTTPConnection(server.host, server.port)
    with contextlib.closing(connection):
        for encoding, is_gzipped in (("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0, br", False), ("br", False)):
            connection.request("GET", path, headers={"Accept-Encoding": encoding})
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.headers["content-encoding"] == "gzip") == is_gzipped, encoding
            body = gzip.decompress(body) if is_gzipped else body
            assert (json.loads(body) if path != "/" else body) == content
            assert answer.headers["vary"] == "Accept-Encoding"
    for known, status in ((plain["etag"], 304), (f'"other", {plain["etag"]}', 304), ("*", 304), ('W/"other"', 200)):
        answered, headers, body = server.ask("GET", path, headers={"If-None-Match": known})
        assert (answered, headers["etag"]) == (status, plain["etag"])
        assert (body == b"") == (status == 304)


IMPATIENT = "from lenet.serving import reloading; reloading.INTERVAL = 0.1; from lenet.cli import main; main()"
IMPATIENT_SERVE = (sys.executable, "-c", IMPATIENT, *SERVE[SERVE.index("serve") :])


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A server that looks at the file of its model every 0.1 s, and the file; each test saves other models there."""
    path = tmp_path_factory.mktemp("watched") / "own.safetensors"
    lenet.LeNet5(seed=0).save(path)
    with serving("--model", path, command=IMPATIENT_SERVE) as running:
        yield running, path


def test_the_document_of_a_model_follows_its_file(watched):
    server, path = watched
    before = server.ask("GET", "/model.json")[1]["etag"]
    lenet.LeNet5(seed=1).save(path)
    wait_for(lambda: server.ask("GET", "/model.json", headers={"If-None-Match": before})[0] == 200)
    _, _, document = server.ask("GET", "/model.json")
    assert document["version"] == server.ask("GET", "/v2/models/own")[2]["versions"][0]


def test_the_token():
    with serving(LENET_TOKEN=TOKEN) as server:
        for path in ("/", "/v2/health/live", "/v2/health/ready"):
            assert server.ask("GET", path)[0] == 200
        right, wrong = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer open"}
        for method, path, body in (
            ("GET", "/v2", None), ("GET", "/metrics", None), ("GET", "/model.json", None),
            ("POST", INFER, request_of()), ("GET", "/openapi.json", None), ("GET", "/nothing", None),
        ):  # fmt: skip
            for headers in ({}, wrong, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}):
                status, answered, answer = server.ask(method, path, body, headers)
                assert (status, answered["www-authenticate"]) == (401, "Bearer")
                assert "token" in answer["error"]
            assert server.ask(method, path, body, right)[0] == (404 if path == "/nothing" else 200)
        assert TOKEN not in json.dumps(server.log())


@pytest.mark.parametrize("token", [{}, {"LENET_TOKEN": TOKEN}])
def test_the_token_for_control(token):
    with serving("--allow-control", LENET_CONTROL_TOKEN="control", **token) as server:  # noqa: S106
        load, control = "/v2/repository/models/mnist/load", {"Authorization": "Bearer control"}
        assert server.ask("POST", load)[0] == (401 if token else 403)
        status, _, answer = server.ask("POST", load, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (status, "Only the control token" in answer["error"]) == (403, True)
        assert server.ask("POST", load, headers=control)[0] == 200
        assert server.ask("GET", "/v2", headers=control)[0] == 200
        assert server.ask("GET", "/v2")[0] == (401 if token else 200)


@pytest.mark.parametrize(("options", "expected"), [({}, 403), ({"allow_control": True}, 200)])
def test_clients_of_an_application_may_load_models_only_if_it_allows_them_to(options, expected):
    app, statuses = create_app({"mnist": lenet.load_pretrained()}, **options), []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/v2/repository/models/mnist/load", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert statuses[0] == expected


def test_the_token_from_a_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    with serving(LENET_TOKEN_FILE=str(path)) as server:
        assert server.ask("GET", "/v2")[0] == 401
        assert server.ask("GET", "/v2", headers={"Authorization": f"bearer {TOKEN}"})[0] == 200


@pytest.mark.parametrize(
    ("host", "token", "warns"),
    [("0.0.0.0", {}, True), ("0.0.0.0", {"LENET_TOKEN": TOKEN}, False), ("localhost", {}, False)],  # noqa: S104
)
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.landing)])
def test_a_server_without_a_token_that_other_machines_reach_warns(host, token, warns, workers):
    with serving("--host", host, "--workers", workers, **token) as server:

        def found_lines():
            return [each for each in server.log() if "token" in each.get("message", "")]

        wait_for(lambda: len(found_lines()) == warns)
        found = found_lines()
    assert [each["level"] for each in found] == ["warning"] * warns
    assert all(f"port {server.port} without a token" in each["message"] for each in found)


def test_no_redirect_to_a_target_chosen_by_the_client(server):
    status, headers, _ = server.ask("POST", INFER + "/", request_of(), {"Host": "evil.example"})
    assert status == 404
    assert "location" not in headers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
def test_ids_differ_in_forked_workers():
    from lenet.serving.request_context import RequestContext

    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, RequestContext("GET", "/", {}).request.encode())
        os._exit(0)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as theirs, os.fdopen(write, "wb"):
        assert theirs.read1().decode() != RequestContext("GET", "/", {}).request


def test_metrics():
    with serving("--max-body", "1") as server:
        server.ask("POST", INFER, request_of())
        server.ask("POST", INFER, request_of(an_input(shape=[3, 784], data=[0] * 3 * 784)))
        server.ask("POST", INFER, "{")
        server.ask("POST", INFER, bytes(2**20 + 1))
        server.ask("POST", INFER, gzip.compress(bytes(2**20 + 1)), {"Content-Encoding": "gzip"})
        lines = server.ask("GET", "/metrics")[2].decode().splitlines()
        version = server.ask("GET", "/v2/models/mnist")[2]["versions"][0]
    for line in (
        'lenet_requests_total{operation="infer",status="200"} 2.0',
        'lenet_requests_total{operation="infer",status="400"} 1.0',
        'lenet_request_seconds_count{operation="infer"} 3.0',
        'lenet_batch_images_sum{model="mnist"} 4.0',
        'lenet_batch_images_bucket{le="1.0",model="mnist"} 1.0',
        'lenet_rejected_total{reason="size"} 2.0',
        "lenet_in_flight 1.0",
        f'lenet_model_info{{model="mnist",version="{version}"}} 1.0',
    ):
        assert line in lines
    bounds = re.findall(r'^lenet_request_seconds_bucket{le="(.*?)",operation="infer"}', "\n".join(lines), re.MULTILINE)
    powers = [digit * 10.0**power for power in range(-4, 1) for digit in (1, 2.5, 5)]
    np.testing.assert_allclose([float(bound) for bound in bounds], [*powers[2:], 10, 30, np.inf])


def test_metrics_of_labels_connections_and_the_process(digits):
    images, _ = digits
    noise = np.random.default_rng(0).integers(0, 256, (3, 784), np.uint8)
    x, model = np.concatenate([images[:5].reshape(5, 784), noise]), lenet.load_pretrained("mnist")
    rule = lenet.rejection.RejectionRule.from_metadata(model.metadata)
    predicted = rule.answers(model.predict_proba(x)).labels.tolist()
    with serving() as server:
        server.ask("POST", INFER, request_of(an_input(shape=[8, 784], data=x.ravel().tolist())))
        reading = server.ask("POST", "/predict", encoded(page_of(images[183:187])))[2]
        predicted += [digit["label"] for digit in reading["lines"][0]["digits"]]
        lines = server.ask("GET", "/metrics")[2].decode().splitlines()
    assert predicted.count(-1) >= 3
    for label in set(predicted):
        name = "rejected" if label < 0 else label
        assert f'lenet_predictions_total{{label="{name}",model="mnist"}} {predicted.count(label)}.0' in lines
    assert {"lenet_connections 1.0", 'lenet_pending{kind="pictures"} 0.0', "lenet_log_lines_dropped_total 0.0"} <= {
        *lines
    }
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


# ---- models that change --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "hangup"),
    [(1, False), *(pytest.param(*case, marks=pytest.mark.landing) for case in ((1, True), (2, True), (2, False)))],
)
def test_a_model_is_replaced_while_requests_run(tmp_path, digits, workers, hangup):
    path, x = tmp_path / "changing.safetensors", digits[0][0]
    models = [lenet.LeNet5(seed=seed) for seed in range(3)]
    expected = [model.predict_proba(x)[0] for model in models]
    models[0].save(path)
    body = request_of(an_input(data=x.ravel().tolist()), outputs=[{"name": "probabilities"}])
    seen, stop = [], threading.Event()

    def ask_on(server):
        while not stop.is_set():
            status, _, answer = server.ask("POST", "/v2/models/changing/infer", body)
            distances = [np.abs(np.array(answer["outputs"][0]["data"]) - each).max() for each in expected]
            seen.append((status, int(np.argmin(distances)), min(distances)))

    with serving("--model", path, "--workers", workers, command=SERVE if hangup else IMPATIENT_SERVE) as server:
        threads = [threading.Thread(target=ask_on, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for k in range(1, len(models)):
                models[k].save(path)
                if hangup:
                    server.process.send_signal(signal.SIGHUP)
                wait_for(lambda k=k: len(seen) > 40 and {each for _, each, _ in seen[-40:]} == {k})
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert {status for status, _, _ in seen} == {200}
    assert max(distance for _, _, distance in seen) < 1e-6


def test_a_damaged_file_replaces_nothing(watched):
    server, path = watched
    before = server.ask("GET", "/v2/models/own")[2]
    path.write_bytes(path.read_bytes()[:1000])
    wait_for(lambda: any("was not reloaded" in each.get("message", "") for each in server.log()))
    assert server.ask("GET", "/v2/models/own")[2] == before
    assert b'lenet_model_reloads_total{model="own",outcome="failed"} 1.0' in server.ask("GET", "/metrics")[2]
    lenet.LeNet5(seed=2).save(path)
    wait_for(lambda: server.ask("GET", "/v2/models/own")[2] != before)
    wait_for(lambda: versions_in_metrics(server) == server.ask("GET", "/v2/models/own")[2]["versions"])


def versions_in_metrics(server):
    return re.findall(
        r'^lenet_model_info{.*version="(.*)"} 1.0$', server.ask("GET", "/metrics")[2].decode(), re.MULTILINE
    )


def check_versions_in_metrics(server, path, seeds):
    """Check that the metrics have only the version of the file's model."""
    for seed in seeds:
        lenet.LeNet5(seed=seed).save(path)
        version = Models({"own": path}).get().version
        wait_for(lambda version=version: versions_in_metrics(server) == [version])
    assert server.ask("GET", "/metrics")[2].count(b"lenet_model_info{") == 1


def test_earlier_versions_are_not_in_the_metrics(watched):
    check_versions_in_metrics(*watched, (3, 4))


def test_the_empty_file_of_a_starting_worker_is_not_an_error(tmp_path, monkeypatch):
    from lenet.serving.metrics import _SharedMetrics

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_1.db").touch()
    assert list(_SharedMetrics().collect()) == []


@pytest.mark.landing
def test_earlier_versions_are_not_in_the_metrics_of_workers(tmp_path):
    lenet.LeNet5(seed=0).save(tmp_path / "own.safetensors")
    with serving("--model", tmp_path / "own.safetensors", "--workers", "2") as server:
        check_versions_in_metrics(server, tmp_path / "own.safetensors", (1, 2))


def test_a_removed_file_is_logged_once(watched):
    server, path = watched
    path.unlink()
    said, logged = "The file of model own was removed", len(server.log())
    wait_for(lambda: any(said in each.get("message", "") for each in server.log()))
    assert server.ask("POST", "/v2/models/own/infer", request_of())[0] == 200
    lenet.LeNet5(seed=5).save(path)
    wait_for(lambda: any("was reloaded" in each.get("message", "") for each in server.log()[logged:]))
    assert sum(said in each.get("message", "") for each in server.log()) == 1


@pytest.mark.skipif(shutil.which("nohup") is None, reason="there is no nohup")
def test_a_hangup_under_nohup_reloads_the_models():
    command = ["nohup", sys.executable, "-m", "lenet", "serve", "--port", "0", "--drain", "0"]
    with serving(command=command) as server:
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("mnist was reloaded" in line for line in server._log.read_text().splitlines()))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_hangup_while_the_files_are_looked_at_is_not_lost(monkeypatch):
    from lenet.serving import Models, watching

    monkeypatch.setattr("lenet.serving.reloading.INTERVAL", 0.1)
    models = Models({"own": lenet.LeNet5(seed=0)})
    reloaded, looked = threading.Event(), []

    def changed():
        if not looked:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.2)  # until the loop has seen it
        looked.append(True)
        return []

    monkeypatch.setattr(models, "changed", changed)
    monkeypatch.setattr(models, "reload", lambda name: reloaded.set())

    async def run():
        async with watching(models):
            await asyncio.to_thread(reloaded.wait, 10)

    asyncio.run(run())
    assert looked
    assert reloaded.is_set()


def test_an_unexpected_error_of_a_loader_stops_nothing(tmp_path, monkeypatch):
    from lenet.serving import Models, watching

    monkeypatch.setattr("lenet.serving.reloading.INTERVAL", 0.1)
    path, fails = tmp_path / "model", []
    lenet.LeNet5(seed=0).save(path)

    def loader(name):
        if fails:
            raise KeyError(fails.pop())
        return lenet.load(name)

    models = Models({"own": path}, loader)

    async def run():
        async with watching(models):
            fails.append("once")
            lenet.LeNet5(seed=1).save(path)
            while fails:
                await asyncio.sleep(0.05)
            lenet.LeNet5(seed=2).save(path)
            while models.get("own").version != Models({"own": lenet.LeNet5(seed=2)}).get("own").version:
                await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_file_replaced_while_it_is_loaded_counts_as_changed(tmp_path):
    from lenet.serving import Models

    path = tmp_path / "own.safetensors"
    lenet.LeNet5(seed=0).save(path)

    def load_and_replace(name):
        model = lenet.load(name)
        lenet.LeNet5(seed=1).save(path)
        return model

    assert Models({"own": path}, load_and_replace).changed() == ["own"]
    assert Models({"own": path}).changed() == []


def test_a_model_whose_metadata_are_damaged_is_refused():
    from lenet.serving import Models

    model = lenet.LeNet5(seed=0)
    model.metadata["least_digit_score"] = "much"
    with pytest.raises(InputError, match="least_digit_score"):
        Models({"damaged": model})


def test_a_model_whose_names_are_damaged_is_refused():
    from lenet.serving import Models

    model = lenet.LeNet5(seed=0)
    model.metadata["classes"] = '["a", "b"]'
    with pytest.raises(InputError, match="classes are damaged"):
        Models({"damaged": model})


# ---- named classes -------------------------------------------------------------------------------------

LETTERS, WORDS = (
    tuple("ABCDEFGHIJ"),
    ("zero", "one", "two", "three", "four: 4", "five", "six", "seven", "eight", "neuf é"),
)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A server of the shipped model with other names of its classes."""
    folder, model = tmp_path_factory.mktemp("named"), lenet.load_pretrained("mnist")
    for name, classes in (("letters", LETTERS), ("words", WORDS)):
        model.classes = classes
        model.save(folder / f"{name}.safetensors")
    with serving("--model", folder / "letters.safetensors", "--model", folder / "words.safetensors") as running:
        yield running


def test_the_metadata_list_the_classes(server, named):
    assert named.ask("GET", "/v2/models/words")[2]["classes"] == list(WORDS)
    assert server.ask("GET", "/v2/models/mnist")[2]["classes"] == list("0123456789")


def test_digits_in_a_picture_have_the_names_of_their_classes(named, digits):
    images, labels = digits
    content = encoded(page_of(images[183:187]))
    _, _, answer = named.ask("POST", "/predict", content)
    expected = [LETTERS[label] for label in labels[183:187]]
    assert answer["text"] == "".join(expected)
    assert [digit["class"] for digit in answer["lines"][0]["digits"]] == expected
    status, _, answer = named.ask("POST", "/predict?model=words", content)
    assert status == 400
    assert "The model has a class 'zero'; expected names of one character" in answer["error"]


@pytest.mark.parametrize("binary", [False, True])
def test_the_most_probable_classes_have_names(named, digits, binary):
    images, _ = digits
    nine = images[lenet.load_pretrained("mnist").predict_proba(images)[:, 9].argmax()]
    wanted = [{"name": "probabilities", "parameters": {"classification": 2, "binary_data": binary}}]
    body = request_of(an_input(data=nine.tolist()), outputs=wanted)
    _, headers, answer = named.ask("POST", "/v2/models/words/infer", body)
    if binary:
        start = int(headers["Inference-Header-Content-Length"])
        (length,) = struct.unpack_from("<I", answer, start)
        first = answer[start + 4 : start + 4 + length].decode()
    else:
        first = answer["outputs"][0]["data"][0]
    probability, index, name = first.split(":", 2)
    assert (index, name) == ("9", WORDS[9])
    assert float(probability) > 0.5


def test_several_models_from_files_and_run_folders(tmp_path):
    run = tmp_path / "train-3"
    run.mkdir()
    lenet.LeNet5(seed=5).save(run / "best.safetensors")
    shutil.copy(run / "best.safetensors", tmp_path / "zips.safetensors")
    with serving("--model", f"receipts={run}", "--model", tmp_path / "zips.safetensors") as server:
        versions = [server.ask("GET", f"/v2/models/{name}")[2]["versions"] for name in ("receipts", "zips")]
        assert versions[0] == versions[1]
        assert server.ask("GET", "/model.json")[2]["name"] == "receipts"
        assert server.ask("GET", "/model.json?model=zips")[2]["name"] == "zips"


# ---- the command ---------------------------------------------------------------------------------------


@pytest.mark.landing
def test_workers_add_up_their_metrics():
    with serving("--workers", "2") as server:
        for _ in range(30):
            assert server.ask("POST", INFER, request_of())[0] == 200
        expected = b'lenet_requests_total{operation="infer",status="200"} 30.0'
        wait_for(lambda: expected in server.ask("GET", "/metrics")[2])


def refuses_connections(server):
    """Return whether nobody listens on the server's port."""
    with socket.socket() as connection:
        return connection.connect_ex((server.host, server.port)) == errno.ECONNREFUSED


@pytest.mark.landing
def test_workers_end_if_their_parent_is_killed():
    """Otherwise, they would occupy the port, and a new server could not start."""
    with serving("--workers", "2", exit_code=-signal.SIGKILL) as server:
        server.process.kill()
        server.process.wait(10)
        wait_for(lambda: refuses_connections(server), seconds=10)


@pytest.mark.landing
def test_stopped_workers_refuse_connections():
    """The parent still waits for the request in progress; a connection accepted now would be reset."""
    picture = encoded(np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8))
    with serving("--workers", "2", LENET_NUM_THREADS="1") as server, ThreadPoolExecutor() as pool:
        answer = pool.submit(server.ask, "POST", "/predict", picture)
        time.sleep(0.3)
        server.process.terminate()
        wait_for(lambda: refuses_connections(server), seconds=10)
        assert server.process.poll() is None
        assert answer.result()[0] in (200, 400)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.landing)])
def test_a_unix_socket(tmp_path, workers, capsys):
    path = tmp_path / "lenet.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # left by a killed server
    command = [sys.executable, "-m", "lenet", "serve", "--uds", path, "--drain", "0", "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"lenet serves mnist at unix:{path} (stop it with Ctrl-C)\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666  # of clients as other users, such as a proxy
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(2**16), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert lenet.cli.main(["serve", "--uds", str(path)]) == 1
        assert capsys.readouterr().err == f"lenet: error: Another server listens on {path}. Choose another path.\n"
        process.terminate()
        (line,) = process.communicate(timeout=20)[1].splitlines()[:1]
    assert json.loads(line)["peer"] is None
    assert process.returncode == 0
    assert not path.exists()


def test_an_address_in_use(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert lenet.cli.main(["serve", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"lenet: error: Cannot listen on 127.0.0.1 port {port}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--port", "70000"], 2, "port"),
        (["--workers", "0"], 2, "worker"),
        (["--max-batch", "0"], 2, "batch"),
        (["--max-body", "nan"], 2, "above 0"),
        (["--max-body", "much"], 2, "invalid number value"),
        (["--timeout", "-1"], 2, "above 0"),
        (["--model", "a=mnist", "--model", "a=mnist"], 2, "another name"),
        (["--model", "no/such.safetensors"], 1, "does not exist; expected a model file"),
        (["--model", "a b=mnist"], 1, "not a valid model name"),
        (["--allow-control"], 2, "LENET_TOKEN"),
        (["--model", "stats=mnist"], 1, "not stats"),
        (["--model", "a="], 2, "expected FILE or NAME=FILE"),
        (["--host", "no.such.host.invalid"], 1, "Choose another host or port."),
    ],
)
def test_mistakes_on_the_command_line(capsys, monkeypatch, arguments, code, says):
    monkeypatch.delenv("LENET_TOKEN", raising=False)
    try:
        ended = lenet.cli.main(["serve", *arguments])
    except SystemExit as error:
        ended = error.code
    assert ended == code
    assert says in capsys.readouterr().err


def test_options_in_the_environment(tmp_path):
    lenet.LeNet5(seed=0).save(tmp_path / "a.safetensors")
    models = f"mnist,own={tmp_path / 'a.safetensors'}"
    settings = {"LENET_MODEL": models, "LENET_MAX_BATCH": "3", "LENET_PORT": "tcp://10.0.0.1:80", "LENET_TIMEOUT": "7"}
    with serving("--timeout", "0.2", **settings) as server:
        assert server.ask("GET", "/v2/models/own/ready")[0] == 200
        answer = server.ask("POST", INFER, request_of(an_input(shape=[4, 784], data=[0] * 3136)))[2]
        assert "expected at most 3" in answer["error"]
        with contextlib.closing(socket.create_connection((server.host, server.port), timeout=10)) as connection:
            connection.sendall(b"GET ")
            assert b"longer than 0.2 s" in connection.recv(1000)  # the option on the command line has priority


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("PORT", "many", "--port: invalid int value: 'many' (set in the environment: LENET_PORT)"),
     ("MAX_BODY", "-1", "expected a number above 0 and at most 1e+09. (set in the environment: LENET_MAX_BODY)"),
     ("DRAIN", "-1", "drain_seconds"),
     ("LOG_LEVEL", "loud", "LENET_LOG_LEVEL is loud; expected one of info"),
     ("WORKERS", "0", "--workers is 0; expected at least 1. (set in the environment: LENET_WORKERS)"),
     ("ALLOW_CONTROL", "1", "LENET_TOKEN")],
)  # fmt: skip
def test_mistakes_in_the_environment(capsys, monkeypatch, name, text, says):
    monkeypatch.delenv("LENET_TOKEN", raising=False)
    monkeypatch.setenv(f"LENET_{name}", text)
    with pytest.raises(SystemExit) as ended:
        lenet.cli.main(["serve"])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_control_is_for_one_worker(capsys, monkeypatch):
    monkeypatch.setenv("LENET_TOKEN", TOKEN)
    with pytest.raises(SystemExit):
        lenet.cli.main(["serve", "--allow-control", "--workers", "2"])
    assert "one worker" in capsys.readouterr().err


def test_an_empty_token_is_not_a_token(capsys, monkeypatch):
    monkeypatch.setenv("LENET_TOKEN", "")
    assert lenet.cli.main(["serve"]) == 1
    assert "token is empty" in capsys.readouterr().err


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.uninstrumented
def test_it_starts_in_a_second():
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        with serving():
            times.append(time.perf_counter() - begin)
    assert min(times) < 1.0


# ---- the examples of docs/serving.md -------------------------------------------------------------------


def test_the_responses_in_the_guide_are_the_servers(digits):
    guide = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8")
    reading, inference, error, line = (
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    )
    outputs = [{"name": output["name"]} for output in inference["outputs"]]
    images = digits[0]
    with serving() as server:
        assert shape_of(server.ask("POST", "/predict", encoded(page_of(images[:1])))[2]) == shape_of(reading)
        body = request_of(an_input(data=images[5].tolist()), outputs=outputs)
        _, headers, answer = server.ask("POST", INFER, body)
        (score,) = inference["outputs"][1].pop("data")
        assert answer["outputs"][1].pop("data") == pytest.approx([score], rel=1e-4)  # builds differ in rounding
        assert answer == inference
        assert server.ask("POST", INFER, '{"inputs": []}')[::2] == (400, error)
        assert server.logged(headers["x-request-id"]).keys() == line.keys()


def shape_of(value):
    """The names and types in a JSON value."""
    if isinstance(value, dict):
        return {name: shape_of(each) for name, each in value.items()}
    return [shape_of(each) for each in value] if isinstance(value, list) else type(value)


def test_a_single_image_gets_the_label_of_the_rejection_rule():
    model = lenet.load_pretrained()
    model.metadata["least_digit_score"] = "0.6"
    served, rng = lenet.serving.models.Served("mnist", model), np.random.default_rng(0)
    probabilities = np.concatenate([rng.dirichlet(np.full(10, 0.1), 500), np.eye(10)[[3]]]).astype(np.float32)
    labels = [served.accepted_label(row) for row in probabilities.tolist()]
    assert labels == served.rule.answers(probabilities).labels.tolist()
    assert 100 < labels.count(-1) < 400
