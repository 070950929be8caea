"""The log, the headers, the tokens and the metrics of the server."""

import gzip
import json
import os
import re

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving, wait_for
from serving_requests import INFER, TOKEN, an_input, encoded, page_of, request_of

import lenet
import lenet.cli

pytest_plugins = ["serving_fixture"]


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


@pytest.mark.parametrize("token", [pytest.param({}, marks=pytest.mark.landing), {"LENET_TOKEN": TOKEN}])
def test_the_token_for_control(token):
    with serving("--allow-control", LENET_CONTROL_TOKEN="control", **token) as server:  # noqa: S106
        load, control = "/v2/repository/models/mnist/load", {"Authorization": "Bearer control"}
        assert server.ask("POST", load)[0] == (401 if token else 403)
        status, _, answer = server.ask("POST", load, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (status, "requires the control token" in answer["error"]) == (403, True)
        assert server.ask("POST", load, headers=control)[0] == 200
        assert server.ask("GET", "/v2", headers=control)[0] == 200
        assert server.ask("GET", "/v2")[0] == (401 if token else 200)
        assert TOKEN not in json.dumps(server.log())


@pytest.mark.parametrize(
    ("host", "token", "warns"),
    [
        ("0.0.0.0", {}, True),  # noqa: S104
        pytest.param("0.0.0.0", {"LENET_TOKEN": TOKEN}, False, marks=pytest.mark.landing),  # noqa: S104
        pytest.param("localhost", {}, False, marks=pytest.mark.landing),
    ],
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
        'lenet_requests_total{operation="infer",status="413"} 2.0',
        'lenet_request_seconds_count{operation="infer"} 5.0',
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
