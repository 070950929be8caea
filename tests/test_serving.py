"""Inference requests: malformed, compressed, nested, concurrent; and the responses in the guide."""

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
from served import JSON_LENGTH, serving
from serving_requests import INFER, an_input, encoded, page_of, request_of

import lenet
import lenet.cli
from lenet.serving.models import Served

pytest_plugins = ["serving_fixture"]


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
    status, _, answer = server.ask("POST", INFER, body)
    assert status == 400
    assert says in answer["error"]
    assert list(answer) == ["error"]
    assert "Traceback" not in answer["error"]
    assert server.ask("POST", INFER, request_of())[0] == 200  # the next one works


def test_the_log_has_the_message_of_an_error(server):
    _, headers, answer = server.ask("POST", INFER, b"{}")
    assert server.logged(headers["x-request-id"])["error"] == answer["error"]


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
    status, _, answer = server.ask("POST", INFER, b" " * (2 * 2**20 + 1))
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
    served, rng = Served("mnist", model), np.random.default_rng(0)
    probabilities = np.concatenate([rng.dirichlet(np.full(10, 0.1), 500), np.eye(10)[[3]]]).astype(np.float32)
    labels = [served.accepted_label(row) for row in probabilities.tolist()]
    assert labels == served.rule.answers(probabilities).labels.tolist()
    assert 100 < labels.count(-1) < 400


def test_the_guide_lists_every_status_of_the_openapi_document(server):
    operations = [each for path in server.ask("GET", "/openapi.json")[2]["paths"].values() for each in path.values()]
    documented = {status for each in operations if isinstance(each, dict) for status in each["responses"]} - {"200"}
    guide = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8")
    others = {"405", "500"}  # for requests that the document does not describe, and for bugs
    assert set(re.findall(r"^\| (\d{3}) \|", guide, re.MULTILINE)) == documented | others
