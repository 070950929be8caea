"""Run the examples of docs/hosting.md that need no container engine, cluster or Triton."""

import contextlib
import http.client
import json
import math
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import wait_for
from serving_in_process import asked

import lenet

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "serving"
LENET = [sys.executable, "-m", "lenet", "serve", "--port", "0", "--model", "digits=mnist"]
UVICORN = [sys.executable, "-m", "uvicorn", "--port", "0"]
SECONDS = 30  # to start, and to end
PAGE = ROOT / "docs" / "hosting.md"
LINE = ROOT / "docs" / "images" / "reading" / "line.png"


@pytest.fixture(scope="module")
def images():
    pytest.importorskip("sklearn")
    return lenet.data.load_digits().X_test[:8]


@pytest.fixture(scope="module")
def labels(images):
    return lenet.load_pretrained().predict(images).tolist()


def text_of(name):
    return (FOLDER / name).read_text("utf-8")


@contextlib.contextmanager
def running(command, folder, **environment):
    """The address and the output of a server, which must end correctly on SIGTERM."""
    log = folder / "log.txt"
    path = os.pathsep.join([str(folder), str(FOLDER), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=FOLDER, env=environment, stdout=output, stderr=output)
    try:
        ready, at = re.compile(r"startup complete|stop it with Ctrl-C"), re.compile(r"http://(127\.0\.0\.1:\d+)")
        wait_for(lambda: process.poll() is not None or all(each.search(log.read_text()) for each in (ready, at)))
        assert process.poll() is None, log.read_text()
        yield at.search(log.read_text())[1], log
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def ask(address, path, body=None, **headers):
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def inference(images):
    tensor = {"name": "images", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "label"}]}).encode()


def labels_of(answer):
    status, body = answer
    assert status == 200, body
    return json.loads(body)["outputs"][0]["data"]


# ---- in another application ------------------------------------------------------------------------------

FASTAPI = """\
from fastapi import FastAPI
from mounted import digits, lifespan

app = FastAPI(lifespan=lifespan)
app.mount("/digits", digits)
"""


@pytest.mark.parametrize(("name", "app"), [("asgi.py", "app"), ("mounted.py", "digits")])
@pytest.mark.parametrize("variable", ["LENET_TOKEN", "LENET_TOKEN_FILE"])
def test_applications_require_the_token_of_lenet_serve(monkeypatch, caplog, tmp_path, name, app, variable):
    caplog.set_level("INFO", "lenet.serving")  # asgi.py sets it
    (tmp_path / "token").write_text("wise\n")
    monkeypatch.setenv(variable, "wise" if variable == "LENET_TOKEN" else str(tmp_path / "token"))
    application = runpy.run_path(str(FOLDER / name))[app]
    assert asked(application, "GET", "/v2")[0] == 401
    assert asked(application, "GET", "/v2", authorization="Bearer wise")[0] == 200


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_mounted(framework, tmp_path, images, labels):
    pytest.importorskip(framework)
    (tmp_path / "fastapi_app.py").write_text(FASTAPI)
    model = tmp_path / "model.safetensors"
    lenet.load_pretrained().save(model)
    infer = "/digits/v2/models/digits/infer"
    name = {"starlette": "mounted:app", "fastapi": "fastapi_app:app"}[framework]
    with running([*UVICORN, name], tmp_path, LENET_MODEL=str(model)) as (address, log):
        status, page = ask(address, "/digits/")
        assert status == 200
        assert b"<title>lenet" in page
        assert json.loads(ask(address, "/digits/model.json")[1])["name"] == "digits"
        assert json.loads(ask(address, "/digits/v2")[1])["name"] == "lenet"
        assert labels_of(ask(address, infer, inference(images))) == labels
        assert (
            json.loads(ask(address, "/digits/predict", LINE.read_bytes())[1])["text"] == lenet.reading.read(LINE).text
        )
        assert [ask(address, f"/digits/{path}")[0] for path in ("openapi.json", "metrics", "else")] == [200, 200, 404]

        def version():
            return json.loads(ask(address, "/digits/v2/models/digits")[1])["versions"][0]

        if framework == "starlette":
            assert json.loads(ask(address, "/versions")[1]) == {"digits": version()}
        before, other = version(), lenet.LeNet5(seed=1)
        other.save(model)
        after = wait_for(lambda: version() != before and version())
        assert (
            labels_of(ask(address, "/digits/v2/models/digits/infer", inference(images)))
            == other.predict(images).tolist()
        )
        model.write_bytes(b"damaged")
        wait_for(lambda: "was not reloaded" in log.read_text())
        assert version() == after


# ---- uvicorn's and gunicorn's workers ----------------------------------------------------------------------


@pytest.fixture(params=["uvicorn", pytest.param("gunicorn", marks=pytest.mark.landing)])
def workers(request, tmp_path):
    """Two workers with a token: their address and what they print."""
    if request.param == "uvicorn":
        shown = re.search(r"(?s)uvicorn asgi:app(.*?)\ngunicorn", PAGE.read_text("utf-8"))[1]
        command = [*UVICORN, "asgi:app", *shown.replace("\\", "").split(), "--workers", "2"]
        (tmp_path / "metrics").mkdir()
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    else:
        pytest.importorskip("gunicorn")
        pytest.importorskip("uvicorn_worker")
        command = [sys.executable, "-m", "gunicorn", "asgi:app", "--bind", "127.0.0.1:0", "--workers", "2"]
        environment = {"TMPDIR": str(tmp_path)}
    with running(command, tmp_path, LENET_TOKEN="wise", **environment) as (address, log):  # noqa: S106
        yield address, log
    assert list(tmp_path.glob("lenet-metrics-*")) == []


@pytest.mark.timing
@pytest.mark.landing
def test_workers(workers, tmp_path, images, labels):
    address, log = workers
    path, token = "/v2/models/digits/infer", {"Authorization": "Bearer wise", "X-Forwarded-For": "203.0.113.7"}
    assert ask(address, path, inference(images))[0] == 401
    for _ in range(20):
        assert labels_of(ask(address, path, inference(images), **token)) == labels
    counted = b'lenet_requests_total{operation="infer",status="200"} 20.0\n'
    wait_for(lambda: counted in ask(address, "/metrics", **token)[1])  # a request is counted when it has been answered
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines if line["path"] == path] == [401, *[200] * 20]
    assert {line["peer"] for line in lines} == {"127.0.0.1"}
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    with contextlib.closing(connection):  # the protocol with deadlines has its own message for this
        connection.connect()
        connection.sock.sendall(b"nonsense\r\n\r\n")
        assert b"not valid HTTP/1.1" in connection.sock.recv(1000)
    killed = re.findall(r"Booting worker with pid: (\d+)", log.read_text())  # gunicorn's
    for pid in killed:
        wait_for(lambda: list(tmp_path.glob("lenet-metrics-*/gauge_livesum_*")))
        os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda pid=pid: not list(tmp_path.glob(f"lenet-metrics-*/gauge_live*_{pid}.db")))
    # A worker that is still starting may miss a SIGTERM.
    started = re.compile(r"\[(\d+)\] \[INFO\] Application startup complete")
    wait_for(lambda: len({*started.findall(log.read_text())} - {*killed}) == len(killed))


@pytest.mark.parametrize("is_given", [True, False])
def test_gunicorn_removes_the_folder_of_metrics_that_it_made(tmp_path, monkeypatch, is_given):
    monkeypatch.setitem(sys.modules, "uvicorn_worker", SimpleNamespace(UvicornWorker=object))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = tmp_path / "lenet-metrics-given"
    given.mkdir()
    monkeypatch.setattr(os, "environ", {"PROMETHEUS_MULTIPROC_DIR": str(given)} if is_given else {})
    for _ in range(2):  # gunicorn reads the file again on SIGHUP
        settings = runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    assert len(list(tmp_path.iterdir())) == (1 if is_given else 2)
    settings["on_exit"](None)
    assert list(tmp_path.iterdir()) == [given]


# ---- systemd, containers, a proxy --------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_the_unit(tmp_path):
    unit = tmp_path / "lenet.service"
    unit.write_text(text_of("lenet.service").replace("/opt/lenet/bin/lenet", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run(  # an exposure of at most 1.0
        ["systemd-analyze", "security", "--offline=true", "--threshold=10", unit], stdout=subprocess.DEVNULL, check=True
    )


@pytest.mark.landing
@pytest.mark.skipif(sys.platform == "win32", reason="the image contains Linux; Windows has no SIGTERM")
def test_the_health_check_of_the_image(tmp_path):
    text = re.search(r"CMD (\[.*\])\n", text_of("Dockerfile").replace("\\\n", ""))[1]
    _, option, program = json.loads(text)
    with running(LENET, tmp_path) as (address, _):
        port = address.rpartition(":")[2]
        command = [sys.executable, option, program.replace("8000", port)]
        assert subprocess.run(command, check=False).returncode == 0
        wrong = [sys.executable, option, program.replace("8000", port).replace("/live", "/dead")]
        assert subprocess.run(wrong, check=False).returncode == 1
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 1


@pytest.mark.landing
def test_the_commands_that_start_it(tmp_path):
    unit = re.search(r"^ExecStart=\S+ serve (.*)$", text_of("lenet.service"), re.MULTILINE)[1].split()
    image = json.loads(re.search(r"^ENTRYPOINT (.*)$", text_of("Dockerfile"), re.MULTILINE)[1])[2:]
    for options in (unit, image):
        command = [sys.executable, "-m", "lenet", "serve", *options, "--port", "0", "--host", "127.0.0.1"]
        with running(command, tmp_path) as (address, _):
            assert ask(address, "/v2/health/live")[0] == 200


def test_times_and_sizes_are_those_of_the_limits():
    from lenet.serving import Limits

    limits = Limits()
    drain = math.ceil(limits.receive_seconds + limits.request_seconds)

    def number(name, pattern):
        return int(re.search(pattern, text_of(name))[1])

    assert number(PAGE, r"--timeout-graceful-shutdown (\d+)") == drain
    assert number("gunicorn.conf.py", r'"timeout_graceful_shutdown": (\d+)') == drain
    assert number("gunicorn.conf.py", r"\ngraceful_timeout = (\d+)") == drain + 5
    assert number("lenet.service", r"\nTimeoutStopSec=(\d+)") == drain + 5
    assert number("compose.yaml", r"stop_grace_period: (\d+)s") == drain + 5
    assert number("kubernetes.yaml", r"terminationGracePeriodSeconds: (\d+)") == drain + 10
    assert number("nginx.conf", r"client_max_body_size (\d+)m") * 2**20 == limits.body
    assert number("nginx.conf", r"client_body_timeout (\d+)s") == limits.receive_seconds
    assert number("nginx.conf", r"proxy_read_timeout (\d+)s") == limits.request_seconds + 5
    assert number("nginx.conf", r"limit_conn lenet_connections (\d+)") <= limits.in_flight / 2  # leaves room for others
    assert number("triton/export.py", r"max_batch_size: (\d+)") == limits.batch


# ---- as ONNX -----------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    """A Triton model repository."""
    pytest.importorskip("onnx")
    subprocess.run([sys.executable, FOLDER / "triton" / "export.py", tmp_path], check=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1", "config.pbtxt", "digits", "model.onnx"]
    return tmp_path / "digits"


@pytest.mark.landing
def test_the_configuration_fits_the_graph(repository, images, labels):
    """By Triton's rules, the batch is followed by the dims, or by the shape of the reshape if there is one."""
    model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    onnxruntime = pytest.importorskip("onnxruntime")
    from google.protobuf import text_format

    text = (repository / "config.pbtxt").read_text()
    configuration = text_format.Parse(text, model_config_pb2.ModelConfig())
    types = {"TYPE_UINT8": "tensor(uint8)", "TYPE_INT64": "tensor(int64)", "TYPE_FP32": "tensor(float)"}

    def said(entry):
        shape = entry.reshape.shape if entry.HasField("reshape") else entry.dims
        return entry.name, types[model_config_pb2.DataType.Name(entry.data_type)], list(shape)

    session = onnxruntime.InferenceSession(repository / "1" / "model.onnx")
    for entries, nodes in ((configuration.input, session.get_inputs()), (configuration.output, session.get_outputs())):
        assert all(isinstance(node.shape[0], str) for node in nodes)  # any number of images
        assert [said(entry) for entry in entries] == [(node.name, node.type, node.shape[1:]) for node in nodes]
    assert configuration.name == repository.name
    assert session.run(["label"], {"images": images[:, np.newaxis]})[0].tolist() == labels


@pytest.mark.landing
def test_the_client_for_triton_and_for_lenet(tmp_path, labels):
    pytest.importorskip("tritonclient.http", exc_type=ImportError)
    with running(LENET, tmp_path, LENET_TOKEN="wise") as (address, _):  # noqa: S106
        done = subprocess.run(
            [sys.executable, FOLDER / "triton" / "client.py", address],
            env={**os.environ, "LENET_TOKEN": "wise"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert f"predicted: {np.array(labels)} with probabilities [" in done.stdout


@pytest.mark.release
def test_mlflow(tmp_path, labels):
    for name in ("mlflow", "onnx", "onnxruntime"):
        pytest.importorskip(name)
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": (tmp_path / "store").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    done = subprocess.run(
        [sys.executable, FOLDER / "mlflow_model.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search(rf"Logged as models:/m-\w+\nLabels: {re.escape(str(np.array(labels)))}\n.*: True\n", done.stdout)
    kept = {path.suffix for path in tmp_path.rglob("artifacts/*")}
    assert ".onnx" in kept
    assert not kept & {".pkl", ".pickle", ".joblib"}


def test_everything_that_the_page_names_exists():
    page = PAGE.read_text("utf-8")
    linked = {name for name in re.findall(r"\]\(\.\./examples/serving/([^)#]*)\)", page) if name}
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert linked == {name for name in files if "__pycache__" not in name and not name.endswith(".dockerignore")}
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors
