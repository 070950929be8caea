"""A small data set in OpenML's format: four JSON answers and an ARFF table, by URL path."""

import contextlib
import gzip
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from lenet.data import Dataset, openml

IDS = {"mnist_784": 554, "fashion-mnist": 40996}


def small_set(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Images whose first pixel numbers them, so that order and transposition show, and labels in ascending order."""
    images = np.zeros((n, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n)
    images[:, 0, 27] = 255
    images[:, 27, 0] = 128
    return images, np.arange(n) * 10 // n


def arff(name: str, images: np.ndarray, labels: np.ndarray, quote: str = "") -> bytes:
    classes = ",".join(f"{quote}{digit}{quote}" for digit in range(10))
    pixels = "".join(f"@ATTRIBUTE pixel{i + 1} real\n" for i in range(images[0].size))
    rows = (
        ",".join(map(str, image.ravel())) + f",{quote}{label}{quote}\n"
        for image, label in zip(images, labels, strict=True)
    )
    return f"@RELATION {name}\n\n{pixels}@ATTRIBUTE class {{{classes}}}\n\n@DATA\n{''.join(rows)}".encode()


def answers(name: str, table: bytes, n_pixels: int = 784, address: str = "https://api.openml.org") -> dict[str, bytes]:
    """OpenML's responses for the data set `name`, by path."""
    number, url = IDS[name], f"data/v1/download/1/{name}.arff"
    entry = {"name": name, "version": 1, "status": "active", "format": "ARFF"}
    description = {
        **entry,
        "id": str(number),
        "version": "1",
        "description": "A test's own.",
        "url": f"{address}/{url}",
        "file_id": url.removeprefix("data/v1/download/"),  # what scikit-learn 1.6 reads instead of the URL
        "md5_checksum": hashlib.md5(table, usedforsecurity=False).hexdigest(),
    }
    flags = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    columns = [(f"pixel{i + 1}", "numeric", "false") for i in range(n_pixels)] + [("class", "nominal", "true")]
    features = [
        {"index": str(i), "name": column, "data_type": kind, "is_target": is_target, **flags}
        for i, (column, kind, is_target) in enumerate(columns)
    ]
    api = "api/v1/json/data"
    documents = {
        f"{api}/list/data_name/{name}/limit/2/data_version/1": {"data": {"dataset": [{**entry, "did": number}]}},
        f"{api}/{number}": {"data_set_description": description},
        f"{api}/features/{number}": {"data_features": {"feature": features}},
        f"{api}/qualities/{number}": {"data_qualities": {"quality": []}},
    }
    return {**{path: json.dumps(document).encode() for path, document in documents.items()}, url: table}


def fill_cache(home: Path, files: dict[str, bytes]) -> None:
    """Put the answers where scikit-learn keeps them."""
    for path, content in files.items():
        cached = home / "openml" / "openml.org" / f"{path}.gz"
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(gzip.compress(content))


def point_at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Make scikit-learn use an address as OpenML's."""
    from sklearn.datasets import _openml as sklearn_openml

    if hasattr(sklearn_openml, "_OPENML_PREFIX"):  # scikit-learn 1.6
        monkeypatch.setattr(sklearn_openml, "_OPENML_PREFIX", f"{address}/")
        return
    for constant in ("_SEARCH_NAME", "_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
        url = getattr(sklearn_openml, constant)
        monkeypatch.setattr(sklearn_openml, constant, f"{address}/api/{url.partition('/api/')[2]}")


@contextlib.contextmanager
def served(files: dict[str, bytes], status_of_others: int = 404) -> Iterator[tuple[str, list[str]]]:
    """Serve `files`, which may grow in the meantime, on loopback; yield the address and the requested paths."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            asked.append(path)
            content = files.get(path, b"<html>no</html>")
            self.send_response(200 if path in files else status_of_others)
            if content.startswith(b"\x1f\x8b"):
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds until it sees its end
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def load_small(name: str = "mnist") -> Dataset:
    """Load a data set from OpenML of which the first 20 images are for training."""
    with mock.patch.object(openml, "_N_TRAIN", 20):
        return openml._from_openml(name)
