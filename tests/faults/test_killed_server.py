"""A server killed while it reloads models has sent complete answers of one model, and starts again."""

import http.client
import json
import os
import random
import re
import signal
import threading
import time

import numpy as np
import pytest
from served import wait_for

import lenet

for needed in ("starlette", "uvicorn"):
    pytest.importorskip(needed)

IMAGE = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
INPUT = {"name": "images", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": IMAGE.ravel().tolist()}
REQUEST = json.dumps({"inputs": [INPUT], "outputs": [{"name": "probabilities"}]})

RELOADED = "was reloaded; its weights are new"


class Client(threading.Thread):
    """Sends requests to a server until it ends, and keeps the responses."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.answers, self.broken = port, [], 0
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            while True:
                connection.request("POST", "/v2/models/digits/infer", REQUEST)
                answer = connection.getresponse()
                self.answers.append((answer.status, answer.read()))
        except (OSError, http.client.HTTPException):
            self.broken += 1
        finally:
            connection.close()


def start(forks, folder):
    """Start the server, and return its process and its port when it is ready."""
    child = forks.start("command", "serve", "--port", "0", "--model", "digits.safetensors", cwd=folder)
    found = []
    wait_for(lambda: found.extend(re.findall(r"http://127\.0\.0\.1:(\d+)", child.out)) or found, 60)
    return child, int(found[0])


@pytest.mark.timing
@pytest.mark.landing
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.release)])
def test_a_killed_server_sends_complete_responses_or_none(forks, tmp_path, kills):
    models = [lenet.LeNet5(seed=seed) for seed in (1, 2)]
    expected = [model.predict_proba(IMAGE)[0].tolist() for model in models]
    moments, answers, broken, reloads = random.Random(0), [], 0, 0  # noqa: S311
    models[0].save(tmp_path / "digits.safetensors")
    for _ in range(kills):
        child, port = start(forks, tmp_path)
        clients = [Client(port) for _ in range(2)]
        wait_for(lambda clients=clients: all(client.answers for client in clients))
        reload_until(child, models, tmp_path / "digits.safetensors", time.monotonic() + moments.uniform(0, 0.3))
        assert child.kill()
        for client in clients:
            client.join(60)
            broken += client.broken
            answers += client.answers
        assert "was not reloaded" not in child.err
        reloads += child.err.count(RELOADED)
    seen = set()
    for status, content in answers:
        assert status == 200
        seen.add(expected.index(np.float32(json.loads(content)["outputs"][0]["data"]).tolist()))
    assert seen == {0, 1}
    assert broken == 2 * kills
    print(f"\n{kills} kills of a server, {reloads} reloads: {len(answers):,} whole answers and {broken} broken off")


def reload_until(child, models, path, end):
    """Save two models in turn, and let the server load each immediately; it must load at least one."""
    while time.monotonic() < end or RELOADED not in child.err:
        models.reverse()
        models[0].save(path)
        os.kill(child.pid, signal.SIGHUP)
        time.sleep(0.002)
