"""schemathesis sends every request of the OpenAPI document, and every response conforms to it."""

import json
import subprocess
import sys

import needs_serve  # noqa: F401
import pytest
from served import serving
from serving_requests import INFER, TOKEN

from lenet.serving import Limits
from lenet.serving.schemas import named_schemas

pytestmark = pytest.mark.landing
pytest.importorskip("schemathesis")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize(
    ("control", "count"), [(True, 6), *(pytest.param(each, 15, marks=pytest.mark.release) for each in (False, True))]
)
def test_only_the_documented_responses_occur(tmp_path, control, count):
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--checks", CHECKS, "-n", str(count), "--seed", "1"]
    options, environment = (["--allow-control"], {"LENET_TOKEN": TOKEN}) if control else ([], {})
    if control:
        command += ["-H", f"Authorization: Bearer {TOKEN}"]
    with serving(*options, **environment) as server:
        done = subprocess.run(
            [*command, server.url + "openapi.json"], capture_output=True, text=True, timeout=240, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        statuses = {line["status"] for line in server.log() if "status" in line}
    assert statuses >= {200, 400, 404}
    assert not [status for status in statuses if status >= 500]


def test_the_shape_of_a_request_is_described():
    """The shapes are [n, 1, 28, 28], [n, 28, 28], [n, 784] and [28, 28], so they have two to four numbers."""
    inputs = named_schemas(Limits(batch=7))["InferRequest"]["properties"]["inputs"]
    shape = inputs["items"]["properties"]["shape"]
    assert (shape["minItems"], shape["maxItems"]) == (2, 4)
    assert "n is at most 7." in shape["description"]


def test_every_route_is_described():
    with serving() as server:
        published = server.ask("GET", "/openapi.json")[2]
        for path, methods in published["paths"].items():
            place = path.replace("{model}", "mnist").replace(
                "{version}", server.ask("GET", "/v2/models/mnist")[2]["versions"][0]
            )
            for method in ("get", "post"):
                status = server.ask(method.upper(), place, "{}" if method == "post" else None)[0]
                assert (status == 405) == (method not in methods), (method, place)
        example = published["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"]["application/json"]
        status, _, answer = server.ask("POST", INFER, json.dumps(example["example"]))
        assert (status, answer["outputs"][0]["data"]) == (200, [-1])
