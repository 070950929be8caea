"""The models of a server and their metrics: versions, replacement, files that change, and counts."""

import asyncio
import hashlib
import json
import logging
import math
import os
import signal
import time
from pathlib import Path

import needs_serve  # noqa: F401
import numpy as np
import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.values import MultiProcessValue

import lenet
from lenet.errors import InputError, InputTypeError, NotServedError, WeightsError
from lenet.serving import Models, create_app, reloading, watching
from lenet.serving.metrics import Metrics
from lenet.serving.models import Served

HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)  # which Windows lacks


def model_of(seed, **metadata):
    model = lenet.LeNet5(seed=seed)
    model.metadata.update(metadata)
    return model


# ---- models --------------------------------------------------------------------------------------------


def test_a_version_is_a_digest_of_the_weights_and_the_metadata():
    model = model_of(0, note="a", creator="b")
    settings = json.dumps([model.mean, model.std, [["creator", "b"], ["note", "a"]]]).encode()
    weights = b"".join(value.tobytes() for value in model.parameters.values())
    version = Models({"m": model}).get().version
    assert (len(version), version) == (12, hashlib.sha256(settings + weights).hexdigest()[:12])


def test_class_names_are_known_only_if_the_metadata_has_them():
    model = model_of(0)
    assert Served("m", model).class_names is None
    model.classes = list("abcdefghij")
    assert Served("m", model).class_names == tuple("abcdefghij")


def test_a_model_that_rejects_nothing_accepts_uniform_probabilities():
    """The mean of 13 logits rounds to more than the highest."""
    assert Served("m", model_of(0)).accepted_label(np.full(13, 1 / 13, np.float32).tolist()) == 0


def test_the_first_model_is_the_default():
    models = Models({"b": model_of(0), "a": model_of(1)})
    assert list(models) == ["b", "a"]
    assert [served.name for served in models.ready()] == ["b", "a"]
    assert models.get() is models.get("b") is models.ready()[0]
    assert models.get("a").name == "a"
    assert models.get("a", "") is models.get("a", models.get("a").version) is models.get("a")


def test_models_that_are_not_served():
    models = Models({"b": model_of(0), "a": model_of(1)})
    with pytest.raises(NotServedError, match=r"^Model 'c' is unknown; expected a loaded model \(b, a\)\.$"):
        models.get("c")
    with pytest.raises(NotServedError, match=r"^Model 'a' has no version 'x'; expected [0-9a-f]{12}\.$"):
        models.get("a", "x")
    models.unload("b")
    assert [served.name for served in models.ready()] == ["a"]
    with pytest.raises(NotServedError, match=r"^Model 'b' is unloaded; expected a loaded model \(a\)\.$"):
        models.get()
    with pytest.raises(NotServedError, match="unloaded"):
        models.unload("b")
    models.unload("a")
    with pytest.raises(NotServedError, match=r"\(all are unloaded\)"):
        models.get("a")
    with pytest.raises(NotServedError, match=r"^Model 'c' is unknown; expected one of b, a\.$"):
        models.reload("c")
    assert models.reload("a")
    assert [served.name for served in models.ready()] == ["a"]


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "0", "x" * 100, "stat"])
def test_names_of_models(name):
    assert list(Models({name: model_of(0)})) == [name]


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "_a", "x" * 101, "stats", "a/b", "\u00e9", "a\n"])
def test_names_that_are_not_valid(name):
    with pytest.raises(InputError, match="is not a valid model name"):
        Models({name: model_of(0)})


@pytest.mark.parametrize(
    ("sources", "loader", "error", "says"),
    [
        ([], lenet.load, InputTypeError, "models is []; expected a mapping of names to models."),
        ({}, lenet.load, InputError, "models is empty; expected at least one model."),
        ({"a": model_of(0)}, 3, InputTypeError, "loader is 3; expected a function."),
        ({"a": 3}, lenet.load, InputTypeError, "a is of type int; expected a path or a LeNet5."),
        ({"a": model_of(0, min_digit_score="much")}, lenet.load, InputError, "min_digit_score"),
        ({"a": model_of(0, classes="[]")}, lenet.load, InputError, "classes are damaged"),
    ],
)
def test_sources_that_are_not_models(sources, loader, error, says):
    with pytest.raises(error) as raised:
        Models(sources, loader)
    assert says in str(raised.value)


def test_a_path_may_be_the_name_of_a_pre_trained_model():
    served = Models({"digits": "mnist"}).get("digits")
    assert served.version == Models({"digits": lenet.load_pretrained()}).get("digits").version
    assert Models({"digits": "mnist"}).changed() == []
    assert create_app({"digits": "mnist"}).metrics.text().count(served.version.encode()) == 1


def test_a_path_may_be_that_of_an_onnx_file(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "a.onnx").write_bytes(lenet.interop.to_onnx(model_of(1)).SerializeToString())
    found = Models({"a": tmp_path / "a.onnx"}).get("a").model
    np.testing.assert_array_equal(found.parameters.flat, model_of(1).parameters.flat)


def test_a_loader_gets_the_path_as_text(tmp_path):
    paths = []

    def loader(path):
        paths.append(path)
        return model_of(len(paths))

    models = Models({"a": tmp_path / "a", "b": model_of(0)}, loader)
    assert models.reload("a")
    assert paths == [str(tmp_path / "a")] * 2
    assert models.get("a").model.parameters["output.bias"].tolist() == model_of(2).parameters["output.bias"].tolist()


def test_a_model_changes_if_its_version_does(tmp_path):
    path = tmp_path / "a.safetensors"
    model_of(0).save(path)
    models = Models({"a": path, "b": model_of(0)})
    assert models.changed() == []
    assert not models.reload("a")
    assert not models.reload("b")
    model_of(1).save(path)
    assert models.changed() == ["a"]
    before = models.get("a")
    assert models.reload("a")
    assert models.get("a") is not before
    assert models.changed() == []
    models.unload("a")
    assert models.reload("a")
    path.unlink()
    assert models.changed() == ["a"]
    with pytest.raises(InputError, match=r"a\.safetensors does not exist"):
        models.reload("a")
    assert models.get("a").model.parameters["output.bias"].tolist() == model_of(1).parameters["output.bias"].tolist()
    assert models.changed() == []  # it was seen that there is no file


def test_other_classes_are_logged_as_a_warning(tmp_path, caplog):
    path = tmp_path / "a.safetensors"
    model_of(0).save(path)
    models = Models({"a": path})
    model_of(1).save(path)
    models.reload("a")
    assert caplog.messages == []
    digits, three = "10 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)", lenet.LeNet5(num_classes=3, seed=0)
    three.save(path)
    models.reload("a")
    three.classes = ["cat", "dog", "hen"]
    three.save(path)
    models.reload("a")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"Model a was reloaded with other classes: {change}. Its responses have changed.")
        for change in (f"3 (0, 1, 2) instead of {digits}", "3 (cat, dog, hen) instead of 3 (0, 1, 2)")
    ]


@pytest.mark.parametrize("what", ["time", "size", "file"])
def test_a_file_has_changed_if_its_time_its_size_or_the_file_itself_has(tmp_path, what):
    path, other = tmp_path / "a.safetensors", tmp_path / "other"
    model_of(0).save(path)
    status = path.stat()
    models = Models({"a": path})
    content = path.read_bytes()
    if what == "size":
        path.write_bytes(content + b" ")
    if what == "file":
        other.write_bytes(content)
        other.replace(path)
    os.utime(path, ns=(0, status.st_mtime_ns + (what == "time") * 1_000_000_000))
    assert models.changed() == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no change time")
def test_a_file_overwritten_with_its_old_size_and_modification_time_has_changed(tmp_path):
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    model_of(0).save(path)
    model_of(1).save(other)
    status, models = path.stat(), Models({"a": path})
    time.sleep(0.05)  # the clock of a file system advances every few milliseconds
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    now = path.stat()
    assert (now.st_mtime_ns, now.st_size, now.st_ino) == (status.st_mtime_ns, status.st_size, status.st_ino)
    assert models.changed() == ["a"]


def test_the_file_of_a_run_is_its_best_model(tmp_path):
    model_of(0).save(tmp_path / "best.safetensors")
    models = Models({"run": tmp_path})
    (tmp_path / "notes").write_text("later")
    assert models.changed() == []
    model_of(1).save(tmp_path / "best.safetensors")
    assert models.changed() == ["run"]


def test_a_damaged_file_is_replaced_by_the_model_that_was_kept(tmp_path, caplog):
    path, kept = tmp_path / "a.safetensors", tmp_path / "kept"
    kept.mkdir()
    model_of(0).save(path)
    models = Models({"a": path, "b": model_of(1)})
    models.keep(kept)
    assert sorted(file.name for file in kept.iterdir()) == ["a.safetensors", "b.safetensors"]
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError):
        Models({"a": path})
    assert not caplog.records
    again = Models({"a": path, "b": model_of(2)}, kept=kept)
    assert [served.name for served in again.ready()] == ["a", "b"]
    assert again.get("a").version == models.get("a").version
    assert again.get("b").version != models.get("b").version
    (record,) = caplog.records
    assert record.getMessage().startswith("Model a was not loaded from its file; the last good one is used. ")


# ---- reloading -----------------------------------------------------------------------------------------


class Counted:
    """Metrics that record how reloading ended."""

    def __init__(self):
        self.reloads = []

    def count_reload(self, *reload):
        self.reloads.append(reload)


def watched(models, steps, metrics=None):
    """Watch models, and make changes one after the other, each when the condition of the one before it is true."""

    async def run():
        before = signal.getsignal(HANGUP)
        async with asyncio.timeout(30), watching(models, metrics):
            for change, condition in steps:
                change()
                while not condition():
                    await asyncio.sleep(0.002)
        await asyncio.sleep(0.001)
        assert (signal.getsignal(HANGUP), asyncio.all_tasks()) == (before, {asyncio.current_task()})

    asyncio.run(run())


def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)


def test_files_that_change_are_reloaded(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "lenet.serving")
    monkeypatch.setattr(reloading, "INTERVAL", 0.005)
    path, metrics = tmp_path / "a.safetensors", Counted()
    model_of(0).save(path)
    models = Models({"a": path})
    (tmp_path / "damaged").write_bytes(b"damaged")
    changes = (
        lambda: model_of(1).save(path), lambda: model_of(1).save(path), lambda: (tmp_path / "damaged").replace(path),
        path.unlink, lambda: model_of(2).save(path),
    )  # fmt: skip
    steps = [(change, lambda k=k: len(caplog.records) == k) for k, change in enumerate(changes, 1)]
    watched(models, [*steps, (lambda: None, lambda: len(metrics.reloads) == 5)], metrics)
    assert models.get().model.parameters["output.bias"].tolist() == model_of(2).parameters["output.bias"].tolist()
    assert metrics.reloads == [("a", outcome) for outcome in ("loaded", "loaded", "failed", "failed", "loaded")]
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in messages] == ["INFO", "INFO", "ERROR", "ERROR", "INFO"]
    assert messages[0][1] == messages[4][1] == "Model a was reloaded; its weights are new."
    assert messages[1][1] == "Model a was reloaded; its weights are the same."
    for _, message in messages[2:4]:
        assert message.startswith("Model a was not reloaded; the previous model stays in use. ")


def test_a_removed_file_is_logged_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(reloading, "INTERVAL", 0.001)
    path, looks = tmp_path / "a.safetensors", []
    model_of(0).save(path)
    models = Models({"a": path})
    changed = models.changed
    monkeypatch.setattr(models, "changed", lambda: (looks.append(1), changed())[1])
    watched(models, [(path.unlink, lambda: caplog.records), (looks.clear, lambda: len(looks) > 2)])
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_files_are_looked_at_every_second(monkeypatch):
    waits, wait_for = [], asyncio.wait_for

    async def waiting(awaitable, seconds):
        waits.append(seconds)
        return await wait_for(awaitable, 0.001)

    monkeypatch.setattr(reloading.asyncio, "wait_for", waiting)

    watched(Models({"a": model_of(0)}), [(lambda: None, lambda: len(waits) > 1)])
    assert set(waits) == {1.0}


def test_an_error_of_a_loader_is_logged_with_its_traceback(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(reloading, "INTERVAL", 0.005)
    path, metrics, errors = tmp_path / "a", Counted(), []
    path.write_text("a")

    def loader(name):
        if errors:
            raise errors.pop()
        return model_of(0)

    models = Models({"a": path}, loader)
    watched(
        models,
        [
            (lambda: (errors.append(KeyError("b")), path.write_text("longer")), lambda: metrics.reloads),
            (lambda: path.write_text("even longer"), lambda: len(metrics.reloads) == 2),
        ],
        metrics,
    )
    assert metrics.reloads == [("a", "failed"), ("a", "loaded")]
    assert [(record.levelname, bool(record.exc_info)) for record in caplog.records] == [("ERROR", True)]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])  # SIG_IGN under nohup
def test_a_hangup_reloads_all_models_that_are_ready(handler):
    metrics, models = Counted(), Models({"a": model_of(0), "b": model_of(1), "c": model_of(2)})
    models.unload("b")
    before = signal.signal(signal.SIGHUP, handler)
    try:
        watched(
            models,
            [(hang_up, lambda: len(metrics.reloads) == 2), (hang_up, lambda: len(metrics.reloads) == 4)],
            metrics,
        )
        assert metrics.reloads == [("a", "loaded"), ("c", "loaded")] * 2
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_another_handler_of_a_hangup_is_kept():
    hangups, metrics = [], Counted()
    before = signal.signal(signal.SIGHUP, lambda *_: hangups.append(1))
    try:
        watched(Models({"a": model_of(0)}), [(hang_up, lambda: hangups)], metrics)
        hang_up()
        assert (hangups, metrics.reloads) == ([1, 1], [])
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_handler_of_the_event_loop_is_kept():
    hangups, metrics = [], Counted()

    async def run():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: hangups.append(1))
        for count in (1, 2):
            async with watching(Models({"a": model_of(0)}), metrics):
                hang_up()
                while len(hangups) < count:
                    await asyncio.sleep(0.001)
        hang_up()
        while len(hangups) < 3:
            await asyncio.sleep(0.001)

    asyncio.run(run())
    assert metrics.reloads == []


def test_the_watch_continues_after_an_error(monkeypatch, caplog):
    """Such as RuntimeError if the system allows no more threads."""
    answers = iter([RuntimeError("can't start new thread"), ["a"], []])
    metrics, models = Counted(), Models({"a": model_of(0)})

    def changed():
        answer = next(answers, [])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run():
        async with asyncio.timeout(30), watching(models, metrics):
            while not metrics.reloads:
                await asyncio.sleep(0.001)

    monkeypatch.setattr(models, "changed", changed)
    monkeypatch.setattr(reloading, "INTERVAL", 0.01)
    asyncio.run(run())
    assert "The models were not checked or reloaded. The server tries again in 0.01 s." in caplog.text


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_hangup_is_not_lost_by_an_error(monkeypatch):
    failures, metrics, models = [RuntimeError("can't start new thread")], Counted(), Models({"a": model_of(0)})
    reload = reloading._reload

    def reload_later(*given):
        if failures:
            raise failures.pop()
        return reload(*given)

    async def run():
        async with asyncio.timeout(30), watching(models, metrics):
            hang_up()
            while not metrics.reloads:
                await asyncio.sleep(0.001)

    monkeypatch.setattr(reloading, "_reload", reload_later)
    monkeypatch.setattr(reloading, "INTERVAL", 0.01)
    asyncio.run(run())
    assert metrics.reloads == [("a", "loaded")]


# ---- metrics -------------------------------------------------------------------------------------------


def values_of(text, name):
    """The samples of a metric as a dict of labels to value."""
    families = text_string_to_metric_families(text.decode())
    return {tuple(sample.labels.values()): sample.value
            for family in families for sample in family.samples if sample.name == name}  # fmt: skip


def test_requests_and_their_duration_are_counted():
    metrics = Metrics(Models({"a": model_of(0)}))
    for seconds in (0.0004, 0.0009, 0.002, 0.004, 0.009, 0.02, 0.04, 0.09, 0.2, 0.4, 0.9, 2, 4, 9, 29, 31):
        metrics.count_request("infer", 200, seconds)
    metrics.count_request("infer", 400, 0.1)
    text = metrics.text()
    assert values_of(text, "lenet_requests_total") == {("infer", "200"): 16, ("infer", "400"): 1}
    counts = {float(bound): number for (bound, _), number in values_of(text, "lenet_request_seconds_bucket").items()}
    assert counts == {0.0005: 1, 0.001: 2, 0.0025: 3, 0.005: 4, 0.01: 5, 0.025: 6, 0.05: 7, 0.1: 9, 0.25: 10, 0.5: 11,
                      1: 12, 2.5: 13, 5: 14, 10: 15, 30: 16, math.inf: 17}  # fmt: skip


def test_images_and_labels_are_counted():
    metrics = Metrics(Models({"a": model_of(0)}))
    metrics.count_batch("a", [3])
    metrics.count_batch("a", [3, -1, 3, 0])
    metrics.count_batch("a", [])
    metrics.count_labels("b", [-1])
    text = metrics.text()
    assert values_of(text, "lenet_batch_images_sum") == {("a",): 5}
    bounds = {float(bound): number for (bound, _), number in values_of(text, "lenet_batch_images_bucket").items()}
    assert bounds == {2.0**k: 2 if k < 2 else 3 for k in range(11)} | {math.inf: 3}
    assert values_of(text, "lenet_predictions_total") == {
        ("3", "a"): 3, ("0", "a"): 1, ("rejected", "a"): 1, ("rejected", "b"): 1,
    }  # fmt: skip


def test_only_the_current_versions_are_in_the_metrics(tmp_path):
    path = tmp_path / "a.safetensors"
    model_of(0).save(path)
    models = Models({"a": path, "b": model_of(1)})
    metrics = Metrics(models)
    assert values_of(metrics.text(), "lenet_model_info") == {(each.name, each.version): 1 for each in models.ready()}
    model_of(2).save(path)
    models.reload("a")
    metrics.count_reload("a", "loaded")
    models.unload("b")
    metrics.update_models()
    text = metrics.text()
    assert values_of(text, "lenet_model_info") == {("a", models.get().version): 1}
    assert values_of(text, "lenet_model_reloads_total") == {("a", "loaded"): 1}


@pytest.mark.parametrize("is_shared", [False, True])
def test_the_metrics_of_the_process_are_those_of_one_process(tmp_path, monkeypatch, is_shared):
    if is_shared:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    models = Models({"a": model_of(0), "b": model_of(1)})
    metrics = Metrics(models)
    models.unload("b")
    metrics.update_models()
    own = prometheus_client.generate_latest(metrics._registry)
    names = [served.name for served in models.ready()]
    values = {name: value for (name, _), value in values_of(own, "lenet_model_info").items()}
    assert values == ({"a": 1, "b": 0} if is_shared else dict.fromkeys(names, 1))
    has_memory = b"process_virtual_memory_bytes" in own
    assert has_memory == (not is_shared and Path("/proc/self/stat").exists())


def test_the_metrics_of_all_processes_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    metrics, values = Metrics(Models({"a": model_of(0)})), []

    def value_of(*arguments, **options):
        values.append(make(*arguments, **options))
        return values[-1]

    for process, version in ((1, "new"), (2, "old")):
        make = MultiProcessValue(lambda process=process: process)
        requests = ["lenet_requests", "lenet_requests_total", ["operation", "status"], ["infer", "200"], "Help."]
        value_of("counter", *requests).inc(process)
        for bound in ("0.1", "+Inf"):
            seconds = ["lenet_request_seconds", "lenet_request_seconds_bucket", ["operation", "le"], ["infer", bound]]
            value_of("histogram", *seconds, "Help.").inc(1)
        info = ["lenet_model_info", "lenet_model_info", ["model", "version"], ["a", version], "Help."]
        value_of("gauge", *info, multiprocess_mode="livemax").set(process == 1)
        value_of("counter", "orders", "orders_total", [], [], "Of the outer application.").inc(1)
    for file in {value._file for value in values}:
        file.close()
    (tmp_path / "counter_3.db").touch()  # of a process that has just started
    text = metrics.text()
    assert b"orders" not in text
    assert values_of(text, "lenet_requests_total") == {("infer", "200"): 3}
    assert values_of(text, "lenet_model_info") == {("a", "new"): 1}
    buckets = values_of(text, "lenet_request_seconds_bucket")
    assert buckets == {("0.1", "infer"): 2, ("+Inf", "infer"): 4}  # each bucket contains those before it


def test_the_statistics_of_a_model_that_was_not_asked_are_zero():
    metrics = Metrics(Models({"a": model_of(0)}))
    assert metrics.statistics["a", "1"].as_dict()["inference_count"] == 0
    assert np.sum([value["count"] for value in metrics.statistics["a", "1"].as_dict()["inference_stats"].values()]) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_hangup_does_not_load_a_model_that_is_unloaded_in_the_meantime():
    loaded, metrics = [], Counted()

    def loader(name):
        loaded.append(name)
        if name == "a" and loaded.count("a") == 2:  # the first reload
            models.unload("b")
        return model_of(0)

    models = Models({"a": "a", "b": "b"}, loader)
    watched(models, [(hang_up, lambda: metrics.reloads), (hang_up, lambda: len(metrics.reloads) >= 2)], metrics)
    assert [served.name for served in models.ready()] == ["a"]


def test_a_model_that_is_unloaded_while_its_file_is_read_stays_unloaded():
    def loader(name):
        if loaded.pop():
            models.unload(name)
        return model_of(0)

    loaded = [False, True, False]
    models = Models({"a": "a"}, loader)
    with pytest.raises(NotServedError, match="Model 'a' was unloaded"):
        models.reload("a", only_if_ready=True)
    assert not models.ready()
    models.reload("a")
    assert [served.name for served in models.ready()] == ["a"]


@pytest.mark.parametrize("name", [1, None, b"a"])
def test_names_are_strings(name):
    with pytest.raises(InputTypeError, match=r"^models has the name"):
        Models({name: model_of(0)})
