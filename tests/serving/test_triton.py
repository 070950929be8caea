"""The Open Inference Protocol, tested with every call of tritonclient.http."""

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving
from serving_requests import INFER, TOKEN

import lenet

triton = pytest.importorskip("tritonclient.http")
IGNORED = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # raised by the client
pytestmark = [pytest.mark.landing, IGNORED]
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
LETTERS = lenet.LeNet5(seed=3, dtype="float64", num_classes=26)
LETTERS.classes = [f"Letter \u2018{chr(97 + k)}\u2019" for k in range(26)]
SHAPES = [(-1, 28, 28), (-1, 1, 28, 28), (-1, 784)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "letters.safetensors"
    LETTERS.save(path)
    with serving("--model", "mnist", "--model", f"letters={path}") as running:
        yield running


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as made:
        yield made


@pytest.fixture(scope="module")
def digits():
    return lenet.data.load_digits().X_test[:50]


@pytest.fixture(scope="module")
def model():
    return lenet.load_pretrained("mnist")


def an_input(values, datatype, binary=True, name="images"):
    made = triton.InferInput(name, values.shape, datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def outputs(*names, binary, class_count=0):
    return [triton.InferRequestedOutput(name, binary_data=binary, class_count=class_count) for name in names]


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mnist")
    assert not client.is_model_ready("nobody")
    server = client.get_server_metadata()
    assert server["name"] == "lenet"
    assert server["version"] == lenet.__version__
    assert "binary_tensor_data" in server["extensions"]
    metadata = client.get_model_metadata("mnist")
    (version,) = metadata["versions"]
    assert client.is_model_ready("mnist", version)
    assert not client.is_model_ready("mnist", "1234")
    assert client.get_model_metadata("mnist", version) == metadata
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert {"name": "probabilities", "datatype": "FP64", "shape": [-1, 26]} in client.get_model_metadata("letters")[
        "outputs"
    ]
    config = client.get_model_config("mnist", version)
    assert config["max_batch_size"] == 1024
    assert config["input"] == [{"name": "images", "data_type": "TYPE_UINT8", "dims": [28, 28]}]
    assert client.get_model_repository_index() == [
        {"name": "mnist", "version": version, "state": "READY", "reason": ""},
        {"name": "letters", "version": client.get_model_metadata("letters")["versions"][0], "state": "READY",
         "reason": ""},
    ]  # fmt: skip


@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("datatype", "dtype"), [("UINT8", "u1"), ("FP32", "f4"), ("FP64", "f8"), ("FP16", "f2")])
def test_inference_is_the_models(client, model, digits, shape, datatype, dtype, binary_in, binary_out):
    x = digits if datatype == "UINT8" else (digits / 255).astype(dtype)
    wanted = outputs("label", "probabilities", "digit_score", binary=binary_out)
    answer = client.infer(
        "mnist", [an_input(x.reshape(shape), datatype, binary_in)], outputs=wanted, request_id="a name"
    )
    assert answer.get_response()["id"] == "a name"
    np.testing.assert_array_equal(answer.as_numpy("label"), model.predict(x))
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), model.predict_proba(x))
    assert answer.as_numpy("probabilities").dtype == np.float32
    p = np.maximum(model.predict_proba(x).astype(float), 1e-30)
    logits = np.log(p)
    np.testing.assert_allclose(
        answer.as_numpy("digit_score"), 1 - np.exp((logits.mean(axis=1) - logits.max(axis=1)) / 3), atol=1e-6
    )


def test_all_outputs_in_binary_by_default(client, model, digits):
    answer = client.infer("mnist", [an_input(digits, "UINT8")])
    assert [each["name"] for each in answer.get_response()["outputs"]] == ["label", "probabilities", "digit_score"]
    assert all("binary_data_size" in each["parameters"] for each in answer.get_response()["outputs"])
    np.testing.assert_array_equal(answer.as_numpy("label"), model.predict(digits))


def test_one_output_of_one_image_of_another_model(client, digits):
    wanted = outputs("probabilities", binary=False)
    x = digits[:1] / 255
    answer = client.infer("letters", [an_input(x.astype("f8"), "FP64")], outputs=wanted)
    assert [each["name"] for each in answer.get_response()["outputs"]] == ["probabilities"]
    expected = lenet.LeNet5(seed=3, dtype="float64", num_classes=26).predict_proba(x)
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), expected)


@pytest.mark.parametrize("binary", [False, True])
def test_classification(client, model, digits, binary):
    wanted = outputs("probabilities", binary=binary, class_count=3)
    classes = client.infer("mnist", [an_input(digits, "UINT8")], outputs=wanted).as_numpy("probabilities")
    assert classes.shape == (50, 3)
    for row, probabilities in zip(classes, model.predict_proba(digits), strict=True):
        texts = [text.decode() if isinstance(text, bytes) else text for text in row]
        best = sorted(range(10), key=lambda k: -probabilities[k])[:3]
        assert [int(text.split(":")[1]) for text in texts] == best
        assert [float(text.split(":")[0]) for text in texts] == pytest.approx(probabilities[best], abs=1e-6)


def test_classification_with_names(client):
    images = np.zeros((1, 28, 28))
    wanted = outputs("probabilities", binary=True, class_count=3)
    (answer,) = client.infer("letters", [an_input(images, "FP64")], outputs=wanted).as_numpy("probabilities")
    best = np.argsort(-LETTERS.predict_proba(images)[0])[:3]
    assert [text.decode().split(":")[1:] for text in answer] == [
        [str(k), f"Letter \u2018{chr(97 + k)}\u2019"] for k in best
    ]


def test_more_classes_than_there_are(client, digits):
    wanted = outputs("probabilities", binary=True, class_count=99)
    answer = client.infer("mnist", [an_input(digits[:2], "UINT8")], outputs=wanted)
    assert answer.as_numpy("probabilities").shape == (2, 10)


def test_rejection(client, model, digits):
    noise = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    x = np.concatenate([digits, noise])
    answer = client.infer("mnist", [an_input(x, "UINT8")], parameters={"reject_at": 0.002})
    expected = model.predict(x, reject_at=0.002)
    assert -1 in expected
    np.testing.assert_array_equal(answer.as_numpy("label"), expected)


def test_a_named_version_and_asynchronous_calls(client, model, digits):
    (version,) = client.get_model_metadata("mnist")["versions"]
    waiting = [client.async_infer("mnist", [an_input(digits[k : k + 1], "UINT8")], version) for k in range(20)]
    labels = [each.get_result().as_numpy("label")[0] for each in waiting]
    np.testing.assert_array_equal(labels, model.predict(digits[:20]))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_both_ways(client, model, digits, algorithm):
    answer = client.infer(
        "mnist", [an_input(digits, "UINT8")], request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )  # fmt: skip
    np.testing.assert_array_equal(answer.as_numpy("label"), model.predict(digits))


def test_bodies_made_and_parsed_apart_from_the_client(server, model, digits):
    body, length = triton.InferenceServerClient.generate_request_body([an_input(digits, "UINT8")])
    status, headers, content = server.ask("POST", INFER, body, {"Inference-Header-Content-Length": str(length)})
    assert status == 200
    answer = triton.InferenceServerClient.parse_response_body(
        content, header_length=int(headers["Inference-Header-Content-Length"])
    )
    np.testing.assert_array_equal(answer.as_numpy("label"), model.predict(digits))


def test_more_images_than_are_computed_at_once(client, model):
    x = np.random.default_rng(1).integers(0, 256, (1024, 28, 28), np.uint8)
    answer = client.infer("mnist", [an_input(x, "UINT8")])
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), model.predict_proba(x))


def test_no_image(client):
    answer = client.infer("mnist", [an_input(np.empty((0, 28, 28), np.uint8), "UINT8")])
    assert answer.as_numpy("probabilities").shape == (0, 10)


def test_statistics(client, digits):
    def of(name):
        return client.get_inference_statistics(name)["model_stats"][0]

    before = of("mnist")
    client.infer("mnist", [an_input(digits, "UINT8")])
    with pytest.raises(triton.InferenceServerException):
        client.infer("mnist", [an_input(digits, "UINT8", name="pictures")])
    after = of("mnist")
    assert after["inference_count"] - before["inference_count"] == 50
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    parts = sum(after["inference_stats"][f"compute_{part}"]["ns"] for part in ("input", "infer", "output"))
    assert after["inference_stats"]["success"]["ns"] == parts > 0
    assert len(client.get_inference_statistics()["model_stats"]) == 2


def test_unsupported_options_are_reported(client):
    """Shared memory, tracing and the settings of the log are extensions that the server does not name."""
    for call in (
        lambda: client.register_system_shared_memory("region", "/key", 784),
        lambda: client.register_cuda_shared_memory("region", b"handle", 0, 784),
        lambda: client.unregister_system_shared_memory(),
        lambda: client.unregister_cuda_shared_memory(),
        lambda: client.get_system_shared_memory_status(),
        lambda: client.get_cuda_shared_memory_status(),
        lambda: client.get_trace_settings(),
        lambda: client.update_trace_settings(settings={"trace_level": ["OFF"]}),
        lambda: client.get_log_settings(),
        lambda: client.update_log_settings({"log_info": False}),
    ):
        with pytest.raises(triton.InferenceServerException, match="No such path") as error:
            call()
        assert error.value.status() == "404"
    region = triton.InferInput("images", [1, 28, 28], "UINT8")
    region.set_shared_memory("region", 784)
    with pytest.raises(triton.InferenceServerException, match="Shared memory is not supported"):
        client.infer("mnist", [region])


def test_models_are_not_controlled_unless_allowed(client):
    for call in (client.load_model, client.unload_model):
        with pytest.raises(triton.InferenceServerException, match="--allow-control") as error:
            call("mnist")
        assert error.value.status() == "403"


def test_loading_and_unloading_with_the_token(tmp_path, digits):
    path = tmp_path / "changing.safetensors"
    lenet.LeNet5(seed=1).save(path)
    with (
        serving("--model", path, "--allow-control", LENET_TOKEN=TOKEN) as server,
        triton.InferenceServerClient(f"{server.host}:{server.port}") as client,
    ):
        with pytest.raises(triton.InferenceServerException, match="token") as error:
            client.get_server_metadata()
        assert error.value.status() == "401"
        client.unload_model("changing", headers=HEADERS)
        assert not client.is_model_ready("changing", headers=HEADERS)
        assert not client.is_server_ready()
        assert client.is_server_live()
        with pytest.raises(triton.InferenceServerException, match="unloaded"):
            client.infer("changing", [an_input(digits, "UINT8")], headers=HEADERS)
        assert client.get_model_repository_index(headers=HEADERS)[0]["state"] == "UNAVAILABLE"
        lenet.LeNet5(seed=2).save(path)
        client.load_model("changing", headers=HEADERS)
        answer = client.infer("changing", [an_input(digits, "UINT8")], headers=HEADERS)
        expected = lenet.LeNet5(seed=2).predict_proba(digits)
        np.testing.assert_array_equal(answer.as_numpy("probabilities"), expected)
        with pytest.raises(triton.InferenceServerException, match="parameters was given"):
            client.load_model("changing", headers=HEADERS, config="{}")
        path.unlink()
        with pytest.raises(triton.InferenceServerException, match="cannot be loaded"):
            client.load_model("changing", headers=HEADERS)
        assert client.is_model_ready("changing", headers=HEADERS)
