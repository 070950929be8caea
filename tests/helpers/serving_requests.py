"""Requests, connections and pictures for tests of the server."""

import contextlib
import io
import json
import socket
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

import lenet

image_module = pytest.importorskip("PIL.Image")

INFER = "/v2/models/mnist/infer"
TOKEN = "open sesame"  # noqa: S105
BODY = json.dumps({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}]}).encode()
HEAD = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n".encode()


def connected(server):
    return contextlib.closing(socket.create_connection((server.host, server.port), timeout=30))


def all_of(connection):
    """Return all bytes that the server sends before it closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            parts.append(part)
    return b"".join(parts)


def a_page(rows=6):
    """A page that takes a while to read."""
    digits = lenet.data.load_digits().X_test
    page = np.full((60 * rows, 1240), 255, np.uint8)
    for k in range(40 * rows):
        top, left = 16 + 60 * (k // 40), 20 + 30 * (k % 40)
        page[top : top + 28, left : left + 28] = 255 - digits[k % len(digits)]
    buffer = io.BytesIO()
    image_module.fromarray(page).save(buffer, "PNG")
    return buffer.getvalue()


def needs_proc():
    if sys.platform != "linux":
        pytest.skip("requires /proc")


def open_files(server):
    needs_proc()
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    image_module.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def an_input(**changes):
    return {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784} | changes


def request_of(*inputs, **rest):
    return json.dumps({"inputs": list(inputs or [an_input()]), **rest})


def page_of(images):
    page = np.full((60, 30 * len(images) + 40), 255, np.uint8)
    for place, image in enumerate(images):
        page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - image
    return page


def form_of(content):
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
