"""The routes of the Open Inference Protocol, called in this process."""

import asyncio
import json

import needs_serve  # noqa: F401
import numpy as np
import pytest
from serving_in_process import ask, asked, metrics_of
from serving_requests import BODY, TOKEN

import lenet
from lenet.errors import NotServedError
from lenet.serving import Limits, Models
from lenet.serving.asgi import Application
from lenet.serving.limits.capacity import ThreadPool
from lenet.serving.metrics import Metrics, Statistics
from lenet.serving.protocol import routes
from lenet.serving.protocol.routes import InferenceProtocol
from lenet.serving.reloading import watching
from lenet.serving.routing import Router

INFER = "/v2/models/one/infer"


def protocol_of(models, pool=None, limits=None, allow_control=False, control_token=None, contexts=None):
    """Return an application that has only the routes of the protocol."""
    models, limits = models if isinstance(models, Models) else Models(models), limits or Limits()
    metrics, pool = Metrics(models), pool or ThreadPool(4, 30)
    protocol = InferenceProtocol(models, limits, metrics, pool, allow_control, control_token)
    record = (lambda context: None) if contexts is None else contexts.append
    tokens = [TOKEN, control_token] if control_token else []
    return Application(Router(protocol.operations()), limits, metrics, pool, record, tokens,
                       lambda app: watching(models))  # fmt: skip


@pytest.fixture(scope="module")
def models():
    return Models({"one": lenet.LeNet5(seed=0), "two": lenet.LeNet5(seed=1, num_classes=3, dtype="float64")})


@pytest.fixture(scope="module")
def contexts():
    return []


@pytest.fixture(scope="module")
def app(models, contexts):
    return protocol_of(models, limits=Limits(batch=7, json=3000, body=4000), contexts=contexts)


class InThread:
    """A pool that calls functions at once, and counts them."""

    def __init__(self):
        self.calls = 0

    async def run(self, function):
        self.calls += 1
        return function()


# ---- the protocol --------------------------------------------------------------------------------------


def test_the_metadata_of_the_server_and_of_a_model(app, models):
    status, headers, answer = asked(app, "GET", "/v2")
    extensions = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
    assert answer == {"name": "lenet", "version": lenet.__version__, "extensions": extensions}
    assert (status, headers["cache-control"], headers["x-content-type-options"]) == (200, "no-store", "nosniff")
    (version,) = asked(app, "GET", "/v2/models/two")[2].pop("versions")
    expected = {
        "name": "two", "versions": [version], "platform": "lenet", "classes": ["0", "1", "2"],
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
            {"name": "digit_score", "datatype": "FP64", "shape": [-1]},
        ],
    }  # fmt: skip
    assert version == models.get("two").version
    assert asked(app, "GET", "/v2/models/two")[2] == expected
    assert asked(app, "GET", f"/v2/models/two/versions/{version}")[2] == expected
    assert asked(app, "GET", "/v2/models/one")[2]["outputs"][1]["datatype"] == "FP32"


def test_the_configuration_of_a_model(app, models):
    models.get("two").model.metadata["note"] = "b"
    assert asked(app, "GET", "/v2/models/two/config")[2] == {
        "name": "two", "platform": "lenet", "backend": "lenet", "max_batch_size": 7,
        "input": [{"name": "images", "data_type": "TYPE_UINT8", "dims": [28, 28]}],
        "output": [
            {"name": "label", "data_type": "TYPE_INT64", "dims": [1], "reshape": {"shape": []}},
            {"name": "probabilities", "data_type": "TYPE_FP64", "dims": [3]},
            {"name": "digit_score", "data_type": "TYPE_FP64", "dims": [1], "reshape": {"shape": []}},
        ],
        "parameters": {"note": {"string_value": "b"}},
    }  # fmt: skip


def test_the_health_of_the_server_and_of_a_model(app):
    assert asked(app, "GET", "/v2/health/live")[::2] == (200, {"live": True})
    assert asked(app, "GET", "/v2/health/ready")[::2] == (200, {"ready": True})
    assert asked(app, "GET", "/v2/models/two/ready")[::2] == (200, {"name": "two", "ready": True})
    assert asked(app, "GET", "/v2/models/two/versions/9/ready")[0] == 404
    assert asked(app, "HEAD", "/v2/health/ready")[0] == 200


def test_the_server_is_not_ready_if_the_network_does_not_run(app, monkeypatch):
    def fails(self, images, **named):
        raise NotServedError("no kernels")

    monkeypatch.setattr(lenet.LeNet5, "predict_proba", fails)
    assert asked(app, "GET", "/v2/health/ready")[::2] == (404, {"error": "no kernels"})


def test_the_server_is_not_ready_while_it_shuts_down():
    app = protocol_of({"m": lenet.LeNet5(seed=0)})
    app.state.is_draining = True
    status, headers, answer = asked(app, "GET", "/v2/health/ready")
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert answer == {"error": "The server is shutting down. Retry after 1 s."}
    assert 'lenet_rejected_total{reason="shutdown"} 1.0' in metrics_of(app)
    assert asked(app, "GET", "/v2/health/live")[0] == 200


def test_an_inference_request_in_json(app, models, contexts):
    status, headers, answer = asked(app, "POST", INFER, BODY, x_request_id="mine")
    model = models.get("one").model
    p = model.predict_proba(np.zeros((1, 784), np.uint8))
    assert (status, headers["content-type"], headers["x-request-id"]) == (200, "application/json", "mine")
    assert "cache-control" not in headers
    assert (answer["model_name"], answer["outputs"][0]["data"]) == ("one", [int(p.argmax())])
    np.testing.assert_allclose(answer["outputs"][1]["data"], p[0], atol=1e-6)
    context = contexts[-1]
    assert (context.operation, context.model, context.batch, context.status) == ("infer", "one", 1, 200)


def binary_request(images):
    entry = {"name": "images", "datatype": "UINT8", "shape": [images, 784]}
    entry["parameters"] = {"binary_data_size": images * 784}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    return head + bytes(images * 784), {"inference_header_content_length": str(len(head))}


def test_an_inference_request_in_binary(app, models):
    body, length = binary_request(2)
    status, headers, content = asked(app, "POST", INFER, body, **length)
    start = int(headers["inference-header-content-length"])
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert headers["content-length"] == str(len(content)) == str(start + 2 * 8 + 20 * 4 + 2 * 8)
    labels = np.frombuffer(content[start : start + 16], "<i8")
    assert labels.tolist() == models.get("one").model.predict(np.zeros((2, 784), np.uint8)).tolist()
    assert json.loads(content[:start])["model_name"] == "one"


@pytest.mark.parametrize("text", ["-1", "1e3", "1 ", "\xb2", "9" * 19])
def test_the_length_of_the_json_is_a_number(app, text):
    status, _, answer = asked(app, "POST", INFER, BODY, inference_header_content_length=text)
    assert (status, "; expected a number of bytes." in answer["error"]) == (400, True)
    assert "expected 1 to" in asked(app, "POST", INFER, BODY, inference_header_content_length="0")[2]["error"]


@pytest.mark.parametrize(("size", "declared", "status"), [
    (3000, None, 400), (3001, None, 413), (3500, "3000", 400), (3500, "3001", 413), (3500, "9" * 18, 413),
])  # fmt: skip
def test_the_json_has_a_limit_of_its_own(app, size, declared, status):
    named = {} if declared is None else {"inference_header_content_length": declared}
    answered, _, answer = asked(app, "POST", INFER, b"x" * size, **named)
    message = "The JSON is too large; expected at most 3,000 bytes. Send the tensors as binary data."
    assert (answered, answer["error"] == message) == (status, status == 413)


def test_the_statistics_of_a_model(monkeypatch):
    """The clock advances by 1, then 2, then 3 ns: at the start, when the request is read, and when it is computed."""
    app = protocol_of({"m": lenet.LeNet5(seed=0), "n": lenet.LeNet5(seed=1)})
    moments = iter([0, 1, 10, 100, 1000, 10_000, 10_001])
    monkeypatch.setattr(routes, "perf_counter_ns", lambda: next(moments))
    monkeypatch.setattr("lenet.serving.metrics.time.perf_counter_ns", lambda: 200)
    monkeypatch.setattr("lenet.serving.metrics.time.time", lambda: 1234.5678)
    path = "/v2/models/m/infer"
    body, length = binary_request(3)
    assert asked(app, "POST", path, body, **length)[0] == 200
    assert asked(app, "POST", path, b"{}")[0] == 400
    both = asked(app, "GET", "/v2/models/stats")[2]["model_stats"]
    (one,) = asked(app, "GET", "/v2/models/m/stats")[2]["model_stats"]
    assert both[0] == one
    assert (both[1]["name"], both[1]["inference_count"], both[1]["last_inference"]) == ("n", 0, 0)
    assert 'lenet_batch_images_sum{model="m"} 3.0' in metrics_of(app)
    times = {"success": 200, "compute_input": 1, "compute_infer": 9, "compute_output": 190}
    assert one == {
        "name": "m", "version": one["version"], "last_inference": 1_234_567, "inference_count": 3, "execution_count": 1,
        "inference_stats": {
            **{name: {"count": 1, "ns": ns} for name, ns in times.items()},
            "fail": {"count": 1, "ns": 0}, "queue": {"count": 1, "ns": 0},
        },
    }  # fmt: skip


def test_the_statistics_add_up():
    statistics = Statistics()
    assert statistics == Statistics(0, 0, 0, 0, 0, 0, 0)
    for _ in range(2):
        statistics.add(5, 10, 13, 20)
    assert (statistics.count, statistics.images, statistics.read_ns, statistics.compute_ns) == (2, 10, 6, 14)
    written = statistics.write_ns
    assert 0 < written < 10**21
    assert statistics.as_dict()["inference_stats"]["success"]["ns"] == 20 + written


@pytest.mark.parametrize(("size", "in_loop"), [(16_384, True), (16_385, False)])
def test_a_thread_computes_requests_with_much_json(models, size, in_loop):
    app = protocol_of(models, pool := InThread())
    assert asked(app, "POST", INFER, BODY.ljust(size))[0] == 200
    assert pool.calls == (not in_loop)


def ask_binary(app, images, size=0):
    """Send a binary tensor of blank images in a body of at least `size` bytes."""
    tensor = {"name": "images", "datatype": "UINT8", "shape": [images, 784]}
    tensor["parameters"] = {"binary_data_size": 784 * images}
    text = json.dumps({"inputs": [tensor]}).encode().ljust(size - 784 * images)
    return ask(app, "POST", INFER, text + bytes(784 * images), inference_header_content_length=str(len(text)))


@pytest.mark.parametrize(
    ("images", "size", "others", "in_loop"),
    [(80, 65_536, False, True), (80, 65_537, False, False), (20, 16_384, True, True), (20, 16_385, True, False)],
)
def test_threads_compute_large_tensors_and_medium_ones_while_others_work(
    models, monkeypatch, images, size, others, in_loop
):
    monkeypatch.setattr(routes, "any_thread_runs", lambda: others)
    app = protocol_of(models, pool := InThread())
    assert asyncio.run(ask_binary(app, images, size))[0] == 200
    assert pool.calls == (not in_loop)


@pytest.mark.parametrize(("images", "in_threads"), [(1, 0), (21, 3)])
def test_threads_compute_medium_tensors_beyond_the_limit_of_an_iteration(models, monkeypatch, images, in_threads):
    monkeypatch.setattr(routes, "MAX_IMAGES", 2 * images)
    app = protocol_of(models, pool := InThread())

    async def together():
        return await asyncio.gather(*(ask_binary(app, images) for _ in range(5)))

    for _ in range(2):
        assert [status for status, _, _ in asyncio.run(together())] == [200] * 5
    assert pool.calls == 2 * in_threads


def test_threads_compute_a_model_whose_results_depend_on_the_batch(models):
    app = protocol_of(models, pool := InThread())
    assert asked(app, "POST", INFER.replace("one", "two"), BODY)[0] == 200
    assert pool.calls == 1


def test_only_health_routes_are_public_and_errors_are_documented(models):
    operations = InferenceProtocol(models, Limits(), None, None, False).operations()
    assert [each.path for each in operations if each.public] == ["/v2/health/live", "/v2/health/ready"]
    errors = {each.path.rpartition("/")[2]: each.errors for each in operations if each.errors}
    assert errors == {"ready": (404, 503), "load": (403, 409), "unload": (403,)}


# ---- the repository of models --------------------------------------------------------------------------


def control(app, action, body=b"", token="control"):  # noqa: S107
    return asked(app, "POST", f"/v2/repository/{action}", body, authorization=f"Bearer {token}")[::2]


def states(app, body=b""):
    return [(each["name"], each["state"], each["reason"], bool(each["version"]))
            for each in control(app, "index", body=body)[1]]  # fmt: skip


def test_models_are_unloaded_and_loaded():
    models = {"b": lenet.LeNet5(seed=0), "a": lenet.LeNet5(seed=1)}
    app = protocol_of(models, allow_control=True, control_token="control")  # noqa: S106
    both = [("b", "READY", "", True), ("a", "READY", "", True)]
    assert states(app) == both
    assert control(app, "models/b/unload") == (200, {"name": "b", "ready": False})
    assert states(app) == [("b", "UNAVAILABLE", "unloaded", False), both[1]]
    assert states(app, b'{"ready": false}') == states(app)
    assert states(app, b'{"ready": true}') == [both[1]]
    assert control(app, "index", body=b'{"ready": 1}')[0] == 400
    assert control(app, "index", body=b"[]")[0] == 400
    assert asked(app, "GET", "/v2/health/ready")[0] == 200  # the other model is
    assert control(app, "models/a/unload")[0] == 200
    status, _, answer = asked(app, "GET", "/v2/health/ready")
    assert (status, answer["error"]) == (404, "All models are unloaded. Load one.")
    assert control(app, "models/a/load")[0] == 200
    assert sum(line.startswith("lenet_model_info{") for line in metrics_of(app)) == 1
    status, answer = control(app, "models/b/unload")
    assert (status, answer["error"]) == (404, "Model 'b' is unloaded; expected a loaded model (a).")
    assert control(app, "models/b/load") == (200, {"name": "b", "ready": True})
    assert control(app, "models/b/load", body=b'{"parameters": {}}')[0] == 200
    assert states(app) == both
    assert 'lenet_model_reloads_total{model="b",outcome="loaded"} 2.0' in metrics_of(app)
    assert sum(line.startswith("lenet_model_info{") for line in metrics_of(app)) == 2
    status, answer = control(app, "models/b/load", body=b'{"parameters": {"config": "{}"}}')
    assert (status, answer["error"][:24]) == (400, "parameters was given; ex")
    assert control(app, "models/c/load")[0] == 404
    for action in ("load", "unload"):
        status, answer = control(app, f"models/b/{action}", token=TOKEN)
        assert (status, answer["error"][:28]) == (403, "Loading and unloading models")
        assert control(app, f"models/b/{action}", token="other")[0] == 401  # noqa: S106
    assert control(app, "index", token=TOKEN)[0] == 200


def test_a_model_that_cannot_be_loaded_stays(tmp_path):
    lenet.LeNet5(seed=0).save(tmp_path / "m.safetensors")
    app = protocol_of({"m": tmp_path / "m.safetensors"}, allow_control=True)
    (tmp_path / "m.safetensors").unlink()
    status, _, answer = asked(app, "POST", "/v2/repository/models/m/load")
    assert (status, answer["error"].startswith("Model 'm' cannot be loaded: ")) == (409, True)
    assert asked(app, "GET", "/v2/models/m/ready")[0] == 200


def test_models_are_not_loaded_unless_this_is_allowed(app):
    for action in ("load", "unload"):
        status, _, answer = asked(app, "POST", f"/v2/repository/models/one/{action}")
        message = "Clients may not load or unload models. Start lenet serve with --allow-control."
        assert (status, answer["error"]) == (403, message)


@pytest.mark.parametrize("action", ["index", "models/m/load"])
def test_the_limit_of_json_applies_to_the_repository(action):
    app = protocol_of({"m": lenet.LeNet5(seed=0)}, limits=Limits(json=100), allow_control=True)
    for size, status in ((100, 200), (101, 413)):
        assert asked(app, "POST", f"/v2/repository/{action}", b"{}".rjust(size))[0] == status
