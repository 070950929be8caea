"""Models whose files change while they are served."""

import asyncio
import os
import re
import shutil
import signal
import sys
import threading
import time

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import SERVE, serving, wait_for
from serving_requests import an_input, request_of

import lenet
import lenet.cli
from lenet.serving import Models, watching

pytest_plugins = ["serving_fixture"]
pytestmark = pytest.mark.landing


IMPATIENT = "from lenet.serving import reloading; reloading.INTERVAL = 0.1; from lenet.cli import main; main()"
IMPATIENT_SERVE = (sys.executable, "-c", IMPATIENT, *SERVE[SERVE.index("serve") :])


@pytest.mark.parametrize(
    ("workers", "hangup"),
    [(1, False), (1, True), (2, True), (2, False)],
)
def test_a_model_is_replaced_while_requests_run(tmp_path, digits, workers, hangup):
    path, x = tmp_path / "changing.safetensors", digits[0][0]
    models = [lenet.LeNet5(seed=seed) for seed in range(3)]
    expected = [model.predict_proba(x)[0] for model in models]
    models[0].save(path)
    body = request_of(an_input(data=x.ravel().tolist()), outputs=[{"name": "probabilities"}])
    seen, stop = [], threading.Event()

    def ask_on(server):
        while not stop.is_set():
            status, _, answer = server.ask("POST", "/v2/models/changing/infer", body)
            distances = [np.abs(np.array(answer["outputs"][0]["data"]) - each).max() for each in expected]
            seen.append((status, int(np.argmin(distances)), min(distances)))

    with serving("--model", path, "--workers", workers, command=SERVE if hangup else IMPATIENT_SERVE) as server:
        threads = [threading.Thread(target=ask_on, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for k in range(1, len(models)):
                models[k].save(path)
                if hangup:
                    server.process.send_signal(signal.SIGHUP)
                wait_for(lambda k=k: len(seen) > 40 and {each for _, each, _ in seen[-40:]} == {k})
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert {status for status, _, _ in seen} == {200}
    assert max(distance for _, _, distance in seen) < 1e-6


def versions_in_metrics(server):
    return re.findall(
        r'^lenet_model_info{.*version="(.*)"} 1.0$', server.ask("GET", "/metrics")[2].decode(), re.MULTILINE
    )


def check_versions_in_metrics(server, path, seeds):
    """Check that the metrics have only the version of the file's model."""
    for seed in seeds:
        lenet.LeNet5(seed=seed).save(path)
        version = Models({"own": path}).get().version
        wait_for(lambda version=version: versions_in_metrics(server) == [version])
    assert server.ask("GET", "/metrics")[2].count(b"lenet_model_info{") == 1


def test_earlier_versions_are_not_in_the_metrics_of_workers(tmp_path):
    lenet.LeNet5(seed=0).save(tmp_path / "own.safetensors")
    with serving("--model", tmp_path / "own.safetensors", "--workers", "2") as server:
        check_versions_in_metrics(server, tmp_path / "own.safetensors", (1, 2))


@pytest.mark.skipif(shutil.which("nohup") is None, reason="there is no nohup")
def test_a_hangup_under_nohup_reloads_the_models():
    command = ["nohup", sys.executable, "-m", "lenet", "serve", "--port", "0", "--drain", "0"]
    with serving(command=command) as server:
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("mnist was reloaded" in line for line in server._log.read_text().splitlines()))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_hangup_while_the_files_are_looked_at_is_not_lost(monkeypatch):
    monkeypatch.setattr("lenet.serving.reloading.INTERVAL", 0.1)
    models = Models({"own": lenet.LeNet5(seed=0)})
    reloaded, looked = threading.Event(), []

    def changed():
        if not looked:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.2)  # until the loop has seen it
        looked.append(True)
        return []

    monkeypatch.setattr(models, "changed", changed)
    monkeypatch.setattr(models, "reload", lambda name, **_: reloaded.set())

    async def run():
        async with watching(models):
            await asyncio.to_thread(reloaded.wait, 10)

    asyncio.run(run())
    assert looked
    assert reloaded.is_set()


def test_a_file_that_takes_long_to_read_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("lenet.serving.reloading.INTERVAL", 0.01)
    models, looked, released = Models({"own": lenet.LeNet5(seed=0)}), threading.Event(), threading.Event()
    monkeypatch.setattr(models, "changed", lambda: (looked.set(), released.wait(30), [])[2])

    async def run():
        async with watching(models):
            while not looked.is_set():
                await asyncio.sleep(0.01)

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 10
    released.set()


@pytest.mark.parametrize(
    ("error", "is_read_again"), [(OSError(24, "Too many open files"), True), (MemoryError(), True),
                                 (PermissionError(13, "Permission denied"), False)],
)  # fmt: skip
def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(tmp_path, error, is_read_again):
    path, errors = tmp_path / "own.safetensors", []
    lenet.LeNet5(seed=0).save(path)

    def loader(name):
        if errors:
            raise errors.pop()
        return lenet.load(name)

    models = Models({"own": path}, loader)
    errors.append(error)
    with pytest.raises(type(error)):
        models.reload("own")
    assert models.changed() == ["own"] * is_read_again
    models.reload("own")
    assert models.changed() == []


def test_a_file_replaced_while_it_is_loaded_counts_as_changed(tmp_path):
    path = tmp_path / "own.safetensors"
    lenet.LeNet5(seed=0).save(path)

    def load_and_replace(name):
        model = lenet.load(name)
        lenet.LeNet5(seed=1).save(path)
        return model

    assert Models({"own": path}, load_and_replace).changed() == ["own"]
    assert Models({"own": path}).changed() == []
