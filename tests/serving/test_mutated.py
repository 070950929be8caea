"""Valid requests with a mutation: each is rejected with a reason, and the server keeps running."""

import contextlib
import http.client
import io
import json
import random

import needs_serve  # noqa: F401
import numpy as np
import pytest
from PIL import Image
from served import JSON_LENGTH, serving
from serving_requests import INFER

import lenet

IMAGE = lenet.data.load_digits().X_test[0]
TENSOR = {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28]}
NUMBERS = IMAGE.ravel().tolist()


def png():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = png()


# ---- mutations: functions of a random generator that return a path, headers and an invalid body ------------


def as_json(tensor, **rest):
    return INFER, {}, json.dumps({"inputs": [tensor], **rest}, separators=(",", ":")).encode()


def as_binary(tensor, content, more=0):
    head = json.dumps({"inputs": [tensor]}).encode()
    return INFER, {JSON_LENGTH: str(len(head) + more)}, head + content


def as_form(content):
    return "/predict", {"Content-Type": "multipart/form-data; boundary=b"}, content


def cut(draw):
    path, headers, body = as_json(TENSOR | {"data": NUMBERS})
    return path, headers, body[: draw.randrange(len(body))]


def a_mark_is_lost(draw):
    path, headers, body = as_json(TENSOR | {"data": NUMBERS})
    place = draw.choice([k for k, byte in enumerate(body) if byte in b'{}[]":,'])
    return path, headers, body[:place] + body[place + 1 :]


def a_mark_is_another_byte(draw):
    path, headers, body = as_json(TENSOR | {"data": NUMBERS})
    place = draw.choice([k for k, byte in enumerate(body) if byte in b'{}[]":,'])
    return (
        path,
        headers,
        body[:place] + bytes([draw.choice([b for b in range(256) if b != body[place]])]) + body[place + 1 :],
    )


def another_shape(draw):
    shape = [
        draw.choice([0, 1, 2, 27, 28, 29, 784, 2**31, 2**63, -1, 1.5, "28", None, [28]])
        for _ in range(draw.randrange(5))
    ]
    return as_json(TENSOR | {"shape": shape if shape not in ([1, 28, 28], [1, 784], [28, 28]) else [], "data": NUMBERS})


def another_datatype(draw):
    return as_json(
        TENSOR
        | {
            "datatype": draw.choice(["FP16", "FP32", "FP64", "INT8", "INT64", "BYTES", "", "uint8", 8, None, []]),
            "data": NUMBERS,
        }
    )


def a_number_is_no_pixel(draw):
    numbers = list(NUMBERS)
    numbers[draw.randrange(784)] = draw.choice(
        [-1, 256, 1.5, 10**30, "7", "", None, [], {}, [1, 2], float("nan"), float("inf")]
    )
    return as_json(TENSOR | {"data": numbers})


def too_many_or_too_few(draw):
    count = draw.choice([k for k in range(0, 2000) if k != 784])
    return as_json(TENSOR | {"data": (NUMBERS * 3)[:count]})


def a_key_is_another(draw):
    tensor = TENSOR | {"data": NUMBERS}
    lost = draw.choice(["inputs", "name", "datatype", "shape", "data"])
    if lost == "inputs":
        return INFER, {}, json.dumps({draw.choice(["input", "Inputs", ""]): [tensor]}).encode()
    return as_json({(key + draw.choice("s_ 0") if key == lost else key): value for key, value in tensor.items()})


def another_value(draw):
    wrong = draw.choice([None, 0, 1.5, True, "x", [], {}, [[]], "image", "images "])
    key = draw.choice(["name", "parameters", "inputs", "outputs", "id"])
    if key in ("inputs", "outputs", "id"):
        wrong = draw.choice([0, 1.5, True, "x", {"a": 1}, [0], [None], ["x"], [{}], [{"name": "nothing"}]])
        wrong = wrong if key != "id" or not isinstance(wrong, str) else 7
        return as_json(TENSOR | {"data": NUMBERS}, **{key: wrong})
    wrong = wrong if key == "name" or wrong not in (None, {}) else "x"
    return as_json(TENSOR | {"data": NUMBERS, key: wrong})


def nested(draw):
    return INFER, {}, draw.choice([b"[", b'{"a":', b'{"inputs":[']) * draw.randrange(1, 3000)


def nonsense(draw):
    return draw.choice([INFER, "/predict"]), {}, b"\xff" + draw.randbytes(draw.randrange(300))


def another_binary_size(draw):
    size = draw.choice([0, -1, 783, 785, 784 * 4, 2**31, 2**70, 1.5, "784", None, []])
    return as_binary(TENSOR | {"parameters": {"binary_data_size": size}}, IMAGE.tobytes())


def too_many_or_too_few_bytes(draw):
    content = (IMAGE.tobytes() * 3)[: draw.choice([k for k in range(0, 2000) if k != 784])]
    return as_binary(TENSOR | {"parameters": {"binary_data_size": draw.choice([784, len(content)])}}, content)


def the_json_ends_elsewhere(draw):
    more = draw.choice([-40, -3, -1, 1, 5, 900, 10**6])
    return as_binary(TENSOR | {"parameters": {"binary_data_size": 784}}, IMAGE.tobytes(), more)


def no_length(draw):
    path, _, body = as_binary(TENSOR | {"parameters": {"binary_data_size": 784}}, IMAGE.tobytes())
    return path, {JSON_LENGTH: draw.choice(["", "x", "-1", "1.5", "0x10", "1 2", "9" * 30])}, body


def a_cut_picture(draw):
    return "/predict", {}, PICTURE[: draw.randrange(len(PICTURE) - 20)]


def a_changed_picture(draw):
    """A byte of the compressed pixels, which carry a checksum."""
    place = draw.randrange(45, len(PICTURE) - 20)
    return "/predict", {}, PICTURE[:place] + bytes([PICTURE[place] ^ draw.randrange(1, 256)]) + PICTURE[place + 1 :]


def a_broken_form(draw):
    head = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
    return as_form(draw.choice([
        (head + PICTURE + b"\r\n--b--\r\n")[: draw.randrange(len(head) + len(PICTURE) - 20)],
        head + PICTURE[: draw.randrange(len(PICTURE) - 20)] + b"\r\n--b--\r\n",
        (head + PICTURE + b"\r\n") * 2 + b"--b--\r\n",
        head.replace(b'name="picture"; ', b"") + PICTURE + b"\r\n--b--\r\n",
        head.replace(b"\r\n\r\n", b"") + PICTURE + b"\r\n--b--\r\n",
        draw.randbytes(200),
    ]))  # fmt: skip


CHANGES = [cut, a_mark_is_lost, a_mark_is_another_byte, another_shape, another_datatype, a_number_is_no_pixel,
           too_many_or_too_few, a_key_is_another, another_value, nested, nonsense, another_binary_size,
           too_many_or_too_few_bytes, the_json_ends_elsewhere, no_length, a_cut_picture, a_changed_picture,
           a_broken_form]  # fmt: skip


@pytest.mark.release
def test_10_000_changed_bodies():
    draw = random.Random(0)  # noqa: S311
    with serving("--log-level", "error") as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        with contextlib.closing(connection):
            for number in range(10_000):
                path, headers, body = CHANGES[number % len(CHANGES)](draw)
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                assert 400 <= answer.status < 500, (number, answer.status, path, headers, body, content)
                assert len(json.loads(content)["error"]) > 10, (number, content)
            connection.request("POST", *as_json(TENSOR | {"data": NUMBERS})[::2])
            right = json.loads(connection.getresponse().read())
    probabilities = next(each["data"] for each in right["outputs"] if each["name"] == "probabilities")
    assert np.array_equal(np.float32(probabilities), lenet.load_pretrained().predict_proba(IMAGE)[0])
