"""Inference requests: malformed, compressed, concurrent; and the responses in the guide."""

import contextlib
import gzip
import json
import re
import socket
import threading
import zlib
from pathlib import Path

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving
from serving_requests import INFER, all_of, an_input, request_of

import lenet
import lenet.cli
from lenet.serving.models import Served

pytest_plugins = ["serving_fixture"]


DOCS = Path(__file__).parents[2] / "docs"
BAD = {
    "no JSON": ("{", "The request is not JSON (unexpected end of data"),
    "NaN": (request_of(an_input(datatype="FP32", data=[float("nan")] * 784)), "not JSON"),
    "deep": ("[" * 3000, "not JSON"),
    "deep and closed": ('{"inputs": [' + "[" * 990 + "]" * 990 + "]}", "list of JSON objects"),
    "a deep shape": ('{"inputs": [{"name": "images", "datatype": "UINT8", "shape": ' + "[" * 990 + "]" * 990 + "}]}",
                     "shape"),
    "out of range": (request_of(an_input(datatype="FP32", data=[1.5] * 784)), "images has floating-point pixels"),
    "many out of range": (request_of(an_input(datatype="FP32", shape=[30, 784], data=[1.5] * 30 * 784)),
                          "images has floating-point pixels"),
    "rate and no label": (request_of(parameters={"reject_at": 2}, outputs=[{"name": "digit_score"}]), "lowest error"),
    "rate too small": (request_of(parameters={"reject_at": 1e-9}), "lowest error rate"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_request(server, name):
    body, says = BAD[name]
    status, _, answer = server.ask("POST", INFER, body)
    assert status == 400
    assert says in answer["error"]
    assert list(answer) == ["error"]
    assert "Traceback" not in answer["error"]
    assert server.ask("POST", INFER, request_of())[0] == 200  # the next one works


def test_the_log_has_the_message_of_an_error(server):
    _, headers, answer = server.ask("POST", INFER, b"{}")
    assert server.logged(headers["x-request-id"])["error"] == answer["error"]


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_the_encoding_of_a_missing_body_is_ignored(server, encoding):
    assert server.ask("GET", "/v2", headers={"Content-Encoding": encoding})[0] == 200


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


@pytest.mark.parametrize("framing", ["Content-Length: 17000000", "Transfer-Encoding: chunked"])
def test_the_body_of_a_get_request_is_discarded_and_the_next_request_is_answered(server, framing):
    body = bytes(17_000_000)  # larger than the limit, and no gzip
    if "chunked" in framing:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with contextlib.closing(socket.create_connection((server.host, server.port), timeout=10)) as connection:
        head = f"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n{framing}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")  # before the body arrives
        connection.sendall(body)
        connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 404 ")


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


def test_the_responses_in_the_guide_are_the_servers(digits):
    guide = (DOCS / "serving.md").read_text("utf-8")
    reading, inference, error, line = (
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    )
    outputs = [{"name": output["name"]} for output in inference["outputs"]]
    images = digits[0]
    with serving() as server:
        answer = server.ask("POST", "/predict", (DOCS / "images/sample.jpg").read_bytes())[2]
        del answer["lines"][1:], answer["lines"][0]["digits"][1:]
        assert shape_of(answer) == shape_of(reading)
        assert [answer[name] for name in ("version", "text")] == [reading[name] for name in ("version", "text")]
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
    model.metadata["min_digit_score"] = "0.9"
    served, rng = Served("mnist", model), np.random.default_rng(0)
    probabilities = np.concatenate([rng.dirichlet(np.full(10, 0.1), 500), np.eye(10)[[3]]]).astype(np.float32)
    labels = [served.accepted_label(row) for row in probabilities.tolist()]
    assert labels == served.rule_at(None).answers(probabilities).labels.tolist()
    assert 100 < labels.count(-1) < 400


def test_the_guide_lists_every_status_of_the_openapi_document(server):
    operations = [each for path in server.ask("GET", "/openapi.json")[2]["paths"].values() for each in path.values()]
    documented = {status for each in operations if isinstance(each, dict) for status in each["responses"]} - {"200"}
    guide = (DOCS / "serving.md").read_text("utf-8")
    others = {"405", "500"}  # for requests that the document does not describe, and for bugs
    assert set(re.findall(r"^\| (\d{3}) \|", guide, re.MULTILINE)) == documented | others
