"""Request bodies: JSON, binary tensors and forms, each answered correctly or rejected with a reason.

The first byte of an input says where it goes, the second one how. The rest is the body, in which 0xff stands between
JSON and the tensor behind it, and before which a form's boundary has a line of its own. "c" is for the functions that
read and answer requests, without the application before them, which takes most of the time.
"""

import asyncio
import contextlib
import gzip
import io
import itertools
import json
import logging

import numpy as np
from PIL import Image

import lenet
from lenet.errors import InputError, LenetError
from lenet.reading import read
from lenet.reading.pictures import read_picture
from lenet.rejection import digit_score
from lenet.serving import application, models, pictures  # noqa: F401 - here they are instrumented
from lenet.serving.limits.settings import Limits
from lenet.serving.protocol import fields, inference, tensors  # noqa: F401
from tests.fuzz import random_of, trees

_LIMITS = Limits(body=2**16, json=2**15, pixels=10_000)
_MODEL = lenet.load_pretrained()
_SERVED = models.Served("mnist", _MODEL)
_APP = application.create_app({"mnist": _MODEL}, limits=_LIMITS, allow_control=True)
_LOOP = asyncio.new_event_loop()
_DTYPES = {"UINT8": "u1", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it tells of every malformed form
_CHEAP, _INFER, _VERSION, _PICTURE, _FORM, _INDEX, _LOAD = b"civpfxl"
_PATHS = {
    _INFER: "/v2/models/mnist/infer",
    _VERSION: f"/v2/models/mnist/versions/{_SERVED.version}/infer",
    _PICTURE: "/predict",
    _FORM: "/predict",
    _INDEX: "/v2/repository/index",
    _LOAD: "/v2/repository/models/mnist/load",
}
_GZIP, _DEFLATE, _TOO_LONG = b"gd+"


def run(data):
    if len(data) < 2:
        return
    where, how, content = data[0], data[1], data[2:]
    if where in (_CHEAP, _INFER, _VERSION):
        text, mark, tensor = content.partition(b"\xff")
        length = len(text) + (how == _TOO_LONG) if mark else None
        answer = _infer_cheaply(text + tensor, length) if where == _CHEAP else _infer(where, how, text + tensor, length)
        if answer is not None:
            _check_inference(text, tensor, *answer)
    elif where == _PICTURE:
        answer = _ask(where, how, content)
        assert answer is None or json.loads(answer[0]) == _reading(content), "another reading"
    elif where == _FORM:
        boundary, _, content = content.partition(b"\n")
        answer = _ask(where, how, content, (b"content-type", b"multipart/form-data; boundary=" + boundary))
        assert answer is None or _is_of_a_part(json.loads(answer[0]), content, boundary), "of no part of the form"
    elif where in _PATHS:
        _ask(where, how, content)


def _infer_cheaply(body, length):
    """Return the answer and its length of JSON, made by the functions that the endpoint calls; None for a refusal."""
    try:
        wanted, images = inference.read_request(body, length, _LIMITS)
        return inference.write_response(_SERVED, wanted, _MODEL.predict_proba(images, n_jobs=1))[:2]
    except InputError:
        return None


def _infer(where, how, body, length):
    headers = () if length is None else ((b"inference-header-content-length", b"%d" % length),)
    answer = _ask(where, how, body, *headers)
    if answer is None:
        return None
    content, headers = answer
    length = headers.get(b"inference-header-content-length")
    return content, None if length is None else int(length)


def _ask(where, how, body, *headers):
    """Return the body and the headers of the application's answer; None if it refuses as it should."""
    if how == _GZIP:
        body, headers = gzip.compress(body, 1, mtime=0), (*headers, (b"content-encoding", b"gzip"))
    elif how == _DEFLATE:  # which it is not, but by chance
        headers = (*headers, (b"content-encoding", b"deflate"))
    path = _PATHS[where]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [*headers], "http_version": "1.1", "root_path": ""}  # fmt: skip
    start, *parts = _LOOP.run_until_complete(_answers(scope, body))
    content = b"".join(part["body"] for part in parts)
    if start["status"] == 200:
        return content, dict(start["headers"])
    assert 400 <= start["status"] < 500, f"{start['status']}: {content}"
    error = json.loads(content)
    assert error.keys() == {"error"}
    assert error["error"].endswith((".", ")")), error
    return None


async def _answers(scope, body):
    sent, requests = [], iter([{"type": "http.request", "body": body}])

    async def receive():
        with contextlib.suppress(StopIteration):
            return next(requests)
        return await _LOOP.create_future()  # the client waits

    async def send(message):
        sent.append(message)

    await _APP(scope, receive, send)
    return sent


def _check_inference(text, tensor, answer, length):
    """Compare a response with the model's answer for the intended images."""
    request = json.loads(text)
    images = _meant(request["inputs"], tensor)
    probabilities = _MODEL.predict_proba(images)
    rate = (request.get("parameters") or {}).get("reject_at")
    right = {
        "label": _MODEL.predict(images, reject_at=rate),
        "probabilities": probabilities,
        "digit_score": digit_score(probabilities),
    }
    head, rest = json.loads(answer[:length]), answer[len(answer) if length is None else length :]
    assert (head["model_name"], head.get("id")) == ("mnist", request.get("id"))
    wanted = request.get("outputs") or [{"name": name} for name in right]
    assert [each["name"] for each in head["outputs"]] == [each["name"] for each in wanted], "other outputs"
    for output, asked in zip(head["outputs"], wanted, strict=True):
        size = (output.get("parameters") or {}).get("binary_data_size", 0)
        content, rest = rest[:size], rest[size:]
        _check_output(output, content, right[output["name"]], (asked.get("parameters") or {}).get("classification"))
    assert not rest, "more bytes than the outputs have"


def _meant(entries, tensor):
    """The images that the input represents, read in the simplest way."""
    (entry,) = entries
    dtype, data = np.dtype(_DTYPES[entry["datatype"]]), entry.get("data")
    if data is None:
        return np.frombuffer(tensor, dtype).reshape(entry["shape"])
    assert not tensor, "bytes that nothing stands for"
    while data and isinstance(data[0], list):
        data = list(itertools.chain.from_iterable(data))
    allowed = {int} if dtype == np.uint8 else {int, float}
    assert {type(each) for each in data} <= allowed, "other things than numbers were taken"
    return np.array(data, np.float64).astype(dtype).reshape(entry["shape"])


def _check_output(output, content, right, classes):
    if classes:
        texts = output["data"] if "data" in output else _texts(content)
        order = np.argsort(-right, axis=1, kind="stable")[:, :classes]
        assert texts == [f"{row[k]:.6f}:{k}" for row, best in zip(right, order, strict=True) for k in best]
        assert (output["datatype"], output["shape"]) == ("BYTES", list(order.shape))
        return
    dtype = _DTYPES[output["datatype"]]
    found = np.array(output["data"], dtype) if "data" in output else np.frombuffer(content, dtype)
    assert output["shape"] == list(right.shape)
    assert found.tobytes() == right.tobytes(), f"{output['name']} is {found}, and {right} is right"


def _texts(content):
    texts = []
    while content:
        end = 4 + int.from_bytes(content[:4], "little")
        texts.append(content[4:end].decode())
        content = content[end:]
    return texts


def _reading(picture, only_digits=False):
    reading = read(read_picture(io.BytesIO(picture), largest=_LIMITS.pixels), _MODEL, only_digits=only_digits)
    whole = {"model": "mnist", "version": _SERVED.version, "text": reading.text, **reading.as_dict()}
    return json.loads(json.dumps(whole, allow_nan=False))


def _is_of_a_part(answer, form, boundary):
    """Return whether the answer is the reading of one of the form's parts, after a preamble or without one."""
    form = b"\r\n" + form.lstrip(b"\r\n")
    first_line = form[2:].partition(b"\r\n")[0]
    for separator in (first_line, b"--" + boundary.strip()):
        for part in form.split(b"\r\n" + separator)[1:]:
            picture = part.partition(b"\r\n\r\n")[2]
            for only_digits in (False, True):
                with contextlib.suppress(LenetError):
                    if _reading(picture, only_digits) == answer:
                        return True
    return False


_NAMES = (
    *("inputs", "outputs", "parameters", "id", "name", "datatype", "shape", "data", "binary_data_size", "reject_at"),
    *("binary_data", "binary_data_output", "classification", "shared_memory_region", "ready"),
)


def mutate(data, most, seed, mutate_bytes):
    """Change JSON so that it stays JSON, half the time."""
    random = random_of(seed)
    if data[:1] not in (b"p", b"f") and random.random() < 0.5:
        text, mark, tensor = data[2:].partition(b"\xff")
        return data[:2] + trees.changed(text, random, _NAMES) + mark + tensor
    return mutate_bytes(data, most)


def seeds():
    picture = _page()
    found = {"picture": b"p-" + picture, "only-ready": b'x-{"ready": true}', "load": b'l-{"parameters": {}}'}
    for where in (b"c-", b"i-", b"v-", b"ig", b"id", b"i+"):
        name = where.decode()
        for datatype, dtype in list(_DTYPES.items())[: 4 if where == b"c-" else 1]:
            tensor = np.zeros((1, 784), dtype)
            tensor[0, 300:340] = 200 if dtype == "u1" else 0.75
            entry = {"name": "images", "datatype": datatype, "shape": [1, 784]}
            found[f"{name}-{datatype}"] = where + _json(entry, data=tensor.tolist())
            binary = _json(entry, parameters={"binary_data_size": tensor.nbytes})
            found[f"{name}-{datatype}-binary"] = where + binary + b"\xff" + tensor.tobytes()
    entry = {"name": "images", "datatype": "UINT8", "shape": [0, 1, 28, 28], "data": []}
    outputs = [{"name": "label", "parameters": {"binary_data": True}},
               {"name": "probabilities", "parameters": {"classification": 3, "binary_data": True}}]  # fmt: skip
    request = {"id": "7", "parameters": {"reject_at": 0.005}, "inputs": [entry], "outputs": outputs}
    found["outputs"] = b"c-" + json.dumps(request).encode()
    form = b'X\n--X\r\ncontent-disposition: form-data; name="only_digits"\r\n\r\ntrue\r\n--X\r\n'
    form += b'content-disposition: form-data; name="file"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n'
    return {**found, "form": b"f-" + form + picture + b"\r\n--X--\r\n"}


def _json(entry, **more):
    return json.dumps({"inputs": [{**entry, **more}]}, separators=(",", ":")).encode()


def _page():
    """A PNG of 24 x 32 pixels with a stroke in it."""
    page = np.full((32, 24), 255, np.uint8)
    page[6:26, 10:14] = 0
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG")
    return file.getvalue()
