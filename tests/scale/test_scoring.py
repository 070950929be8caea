"""Scoring on a Dask cluster: in order and complete or not at all, for every input and if workers die."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from programs import SENDS_SIGNALS

import lenet
from lenet._bar import Bar
from lenet._fused.threads import n_jobs_per_process
from lenet.errors import DataError, InputError, InputTypeError, LenetError, WorkerError
from lenet.scale import columns, npy, outputs, score, sources

pytest_plugins = ["scale_fixture"]
pytestmark = pytest.mark.landing
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
zarr = pytest.importorskip("zarr")

N = 300
X = np.random.default_rng(0).integers(0, 256, (N, 28, 28), dtype=np.uint8)
FLOATS = (X / np.float32(255)).astype(np.float32)
MODEL = lenet.load_pretrained("mnist")
EXPECTED = MODEL.predict_proba(X, n_jobs=1)  # of random pixels, so no two rows are alike
OF_FLOATS = MODEL.predict_proba(FLOATS, n_jobs=1)


@pytest.fixture(scope="module")
def processes():
    """A cluster of two processes, which may be killed."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Parts and row groups of few rows, in an empty folder."""
    monkeypatch.setattr(sources, "ROWS", 64)
    monkeypatch.setattr(outputs, "AT_ONCE", 90)
    monkeypatch.setattr(columns, "AT_ONCE", 40)
    monkeypatch.chdir(tmp_path)


def read(path):
    """Return the written file as a dict of arrays."""
    if str(path).endswith(".npy"):
        rows = np.load(path)
        return {name: rows[name] for name in rows.dtype.names}
    if str(path).endswith(".zarr"):
        return {name: array[:] for name, array in zarr.open_group(path, mode="r").arrays()}
    table = pq.read_table(path)
    return {
        name: np.array(table[name].to_pylist(), table.schema.field(name).type.value_type.to_pandas_dtype())
        if name == "probabilities"
        else table[name].to_numpy()
        for name in table.column_names
    }


def check(found, expected):
    np.testing.assert_array_equal(found["digit"], expected.argmax(axis=1))
    np.testing.assert_array_equal(found["probability"], expected.max(axis=1))


def leftovers():
    """Files that a user did not put there."""
    return sorted(path.name for path in Path().iterdir() if path.name.startswith((".", "out")))


def save_zarr(path, images, name=None, **options):
    store = {"store": path} if name is None else {"store": path, "name": name}
    zarr.create_array(**store, data=images, **{"chunks": (50, *images.shape[1:]), **options})


def save_parquet(path, column, **options):
    pq.write_table(pa.table({"id": np.arange(len(column)), "image": column}), path, **options)


def lists(images, kind):
    return pa.array(list(images.reshape(len(images), -1)), kind)


ROWS_OF_BYTES = [each.tobytes() for each in X]
FILES = {
    "a.npy": lambda: np.save("a.npy", X),
    "f.npy": lambda: np.save("f.npy", np.asfortranarray(X.reshape(N, 784))),
    "a.zarr": lambda: save_zarr("a.zarr", X),
    "two.zarr": lambda: save_zarr("two.zarr", X, chunks=(70, 14, 28)),
    "old.zarr": lambda: save_zarr("old.zarr", X, zarr_format=2),
    "sharded.zarr": lambda: save_zarr("sharded.zarr", X, shards=(100, 28, 28)),
    "group.zarr": lambda: save_zarr("group.zarr", X, "images"),
    "bytes.parquet": lambda: save_parquet("bytes.parquet", pa.array(ROWS_OF_BYTES), row_group_size=70),
    "fixed.pq": lambda: save_parquet("fixed.pq", pa.array(ROWS_OF_BYTES, pa.binary(784)), row_group_size=110),
    "large.pq": lambda: save_parquet("large.pq", pa.array(ROWS_OF_BYTES, pa.large_binary())),
    "lists.parquet": lambda: save_parquet("lists.parquet", lists(X, pa.list_(pa.uint8()))),
    "whole.parquet": lambda: save_parquet("whole.parquet", lists(X, pa.list_(pa.int64(), 784)), row_group_size=90),
    "floats.npy": lambda: np.save("floats.npy", FLOATS[:, None]),
    "floats.zarr": lambda: save_zarr("floats.zarr", FLOATS),
    "floats.parquet": lambda: save_parquet("floats.parquet", lists(FLOATS, pa.large_list(pa.float32()))),
}


@pytest.mark.parametrize(
    ("name", "out"), [*((name, "out.parquet") for name in FILES), ("a.npy", "out.npy"), ("floats.parquet", "out.zarr")]
)
def test_a_file_of_any_kind_into_any_kind(client, name, out):
    FILES[name]()
    assert score(name, out, client=client) == N
    found = read(out)
    assert sorted(found) == ["digit", "probability"]
    assert (found["digit"].dtype, found["probability"].dtype) == (np.uint8, np.float32)
    check(found, OF_FLOATS if "floats" in name else EXPECTED)
    assert leftovers() == [out]


@pytest.mark.parametrize(
    "images",
    [
        X,
        X.reshape(N, 784)[:, ::1],
        FLOATS,
        da.from_array(X, chunks=(70, 14, 28)),
        da.concatenate([da.from_array(X[:5]), da.from_array(X[5:200]), da.from_array(X[200:])]),
        da.from_array(X.reshape(N, 784), chunks=(64, 784))[da.ones(N, dtype=bool, chunks=64)],
    ],
    ids=["array", "rows", "floats", "dask", "unequal", "unknown"],
)
def test_arrays(client, images):
    assert score(images, "out.npy", client=client) == N
    check(read("out.npy"), OF_FLOATS if images is FLOATS else EXPECTED)


@pytest.mark.parametrize("out", ["out.npy", "out.parquet", "out.zarr"])
def test_all_probabilities_of_another_model(client, out):
    model = lenet.LeNet5(seed=1, dtype=np.float64, num_classes=300)
    model.save("mine.safetensors")
    score(X, out, client=client, model="mine.safetensors", probabilities=True)
    found, expected = read(out), model.predict_proba(X)
    check(found, found["probabilities"])
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-13)  # in float64, blocks round differently
    assert {name: values.dtype for name, values in found.items()} == {
        "digit": np.int32, "probability": np.float64, "probabilities": np.float64,
    }  # fmt: skip


def poisoned(row, value):
    images = FLOATS.copy()
    images[row, 3, 5] = value
    return images


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -0.01])
def test_the_error_for_an_invalid_pixel_names_file_and_row(client, value):
    np.save("good.npy", FLOATS)
    np.save("bad.npy", poisoned(201, value))
    with pytest.raises(InputError, match=r"^bad\.npy, row 202: x has .*pixels (that are NaN|from .*); expected"):
        score("*.npy", "out.parquet", client=client)
    save_parquet("bad.parquet", lists(poisoned(161, value), pa.list_(pa.float32())), row_group_size=100)
    with pytest.raises(InputError, match=r"^bad\.parquet, row 162: "):
        score("bad.parquet", "out.parquet", client=client)
    with pytest.raises(InputError, match=r"^The Dask array, row 78: "):
        score(da.from_array(poisoned(77, value), chunks=(50, 28, 28)), "out.zarr", client=client)
    with pytest.raises(InputError, match=r"^The array, row 300: "):
        score(poisoned(299, value), "out.npy", client=client)
    assert leftovers() == []


def test_the_error_for_a_block_of_unknown_size_names_the_row_in_the_block(client):
    images = da.from_array(poisoned(77, 1.5), chunks=(50, 28, 28))
    with pytest.raises(InputError, match=r"^Block 2 of the Dask array, row 28: "):
        score(images[da.ones(N, dtype=bool, chunks=50)], "out.npy", client=client)


@pytest.mark.parametrize(
    ("images", "error", "why"),
    [
        (np.empty((0, 28, 28), np.uint8), InputError, "no images"),
        (np.zeros((3, 27, 28), np.uint8), InputError, r"The array has shape \(3, 27, 28\); expected"),
        (np.ma.zeros((3, 28, 28)), InputTypeError, "masked"),
        (None, InputTypeError, "has dtype object"),
        ("missing.npy", InputError, "missing.npy matches no file"),
    ],
)
def test_invalid_images_are_reported_immediately(client, images, error, why):
    with pytest.raises(error, match=why):
        score(images, "out.npy", client=client)
    assert leftovers() == []


@pytest.mark.parametrize(
    ("out", "why"),
    [("out.csv", "expected .parquet"), ("no/out.npy", "is not a folder"), ("out_there.npy", "already exists")],
)
def test_an_unwritable_folder(client, out, why):
    Path("out_there.npy").write_text("mine")
    with pytest.raises(InputError, match=why):
        score("missing.npy", out, client=client)  # before anything is read
    assert leftovers() == ["out_there.npy"]
    assert Path("out_there.npy").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"model": "mnits"}, InputError, "mnits does not exist; expected a model file"),
        ({"model": 3}, InputTypeError, "model is 3; expected a LeNet5"),
        ({"client": "tcp://127.0.0.1:1"}, InputTypeError, "expected a synchronous distributed.Client"),
        ({"retries": -1}, InputError, "retries is -1"),
        ({"client": None, "workers": 0}, InputError, "^workers is 0; expected at least 1"),
        ({"workers": 0}, InputError, "^workers is 0; expected at least 1"),  # although the client has its own
    ],
)
def test_invalid_options(client, options, error, why):
    with pytest.raises(error, match=why):
        score(X, "out.npy", **{"client": client, **options})
    assert leftovers() == []


def fail_at_first(monkeypatch, times):
    """Make reading the part from row 64 fail this often; return the file that gets a byte for each attempt."""
    readings = Path("readings").absolute()  # since a worker has a copy of the function

    def reading(file, start, stop):
        if start == 64:
            with readings.open("a") as log:
                log.write("x")
            if readings.stat().st_size <= times:
                raise OSError(errno.EIO, "the network's disk")
        return [np.load(file.path)[start:stop]]

    monkeypatch.setattr(npy, "mapped_rows", reading)
    return readings


def test_a_part_that_fails_is_retried(client, monkeypatch):
    readings = fail_at_first(monkeypatch, 2)
    np.save("a.npy", X)
    score("a.npy", "out.npy", client=client)
    check(read("out.npy"), EXPECTED)
    assert readings.stat().st_size == 3


def test_a_part_that_always_fails_is_an_error(client, monkeypatch):
    readings = fail_at_first(monkeypatch, 99)
    np.save("a.npy", X)
    with pytest.raises(WorkerError, match=r"a\.npy, rows 65 to 128 could not be scored .OSError: .*disk"):
        score("a.npy", "out.npy", client=client, retries=1)
    assert readings.stat().st_size == 2
    assert leftovers() == []


def test_a_file_that_shrinks_in_the_meantime_is_an_error(client, monkeypatch):
    monkeypatch.setattr(npy, "mapped_rows", lambda file, start, stop: [np.load(file.path)[start : stop - 1]])
    np.save("a.npy", X)
    with pytest.raises(DataError, match=r"changed while it was being read; .* now has 63 rows"):
        score("a.npy", "out.npy", client=client)


@pytest.mark.parametrize(
    ("damage", "options"),
    [(b"\xff", {}), (b"\xff", {"use_dictionary": False}), (b"\0", {"write_page_checksum": True})],
    ids=["dictionary", "plain", "checksum"],
)
def test_a_damaged_page_is_a_data_error(client, damage, options):
    save_parquet("a.parquet", pa.array(ROWS_OF_BYTES), **options)
    content = bytearray(Path("a.parquet").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2500] = 2500 * damage
    Path("a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"^a\.parquet is not a complete Parquet file"):
        score("a.parquet", "out.npy", client=client)
    assert leftovers() == []


@pytest.mark.parametrize("gone", ["nthreads", "submit"])
def test_a_lost_cluster_is_an_error(client, monkeypatch, gone):
    asked = []

    def lost(*arguments, **options):
        asked.append(arguments)
        if len(asked) > 1 or gone == "nthreads":
            raise OSError("Timed out trying to connect to tcp://127.0.0.1:1")
        return submit(*arguments, **options)

    submit = client.submit
    monkeypatch.setattr(client, gone, lost)
    np.save("a.npy", X)
    with pytest.raises(WorkerError, match=r"^The connection to the cluster was lost \(OSError: Timed out"):
        score("a.npy", "out.npy", client=client)
    assert leftovers() == []


def test_an_error_cancels_all_blocks_of_a_dask_array(client, monkeypatch):
    cancelled = []
    monkeypatch.setattr(client, "cancel", lambda futures: cancelled.extend(futures))
    images = da.from_array(np.where(np.arange(N)[:, None, None] == 70, np.nan, FLOATS), chunks=(10, 28, 28))
    with pytest.raises(InputError, match="row 71"):
        score(images, "out.npy", client=client)
    assert len(cancelled) == 1 + 30 - 7  # the model, and the parts that were not written


@pytest.mark.release
def test_a_worker_killed_halfway_loses_nothing(processes, monkeypatch):
    monkeypatch.setattr(sources, "ROWS", 512)
    many = np.random.default_rng(1).integers(0, 256, (20_000, 28, 28), dtype=np.uint8)
    np.save("many.npy", many)
    with distributed.Client(processes) as client:
        victim, killed = next(iter(client.run(os.getpid).values())), []

        def update(self, done, total):
            if done >= len(many) // 2 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(done)

        monkeypatch.setattr(Bar, "update", update)
        assert score("many.npy", "out.npy", client=client) == len(many)
        assert killed
        assert victim not in client.run(os.getpid).values()
    check(read("out.npy"), MODEL.predict_proba(many))


def test_images_that_kill_each_worker_are_an_error(processes, monkeypatch):
    monkeypatch.setattr(processes.scheduler, "allowed_failures", 0)
    deadly = da.from_delayed(dask.delayed(os._exit)(9), (N, 28, 28), np.uint8)
    with (
        distributed.Client(processes) as client,
        pytest.raises(WorkerError, match=r"could not be scored .KilledWorker"),
    ):
        score(deadly, "out.npy", client=client)
    assert leftovers() == []


def count_models():
    """On a worker: count the models that it receives."""
    import lenet.model

    def counted(self, state):
        lenet.model.came = getattr(lenet.model, "came", 0) + 1
        original(self, state)

    original = lenet.model.LeNet5.__setstate__
    lenet.model.LeNet5.__setstate__ = counted


def models_that_came():
    import lenet.model

    return getattr(lenet.model, "came", 0)


def test_the_weights_are_not_sent_with_each_part(processes, monkeypatch):
    monkeypatch.setattr(sources, "ROWS", 8)
    monkeypatch.setattr("lenet.scale.scoring.AHEAD", 20)  # so that both have something to do at once
    with distributed.Client(processes) as client:
        client.wait_for_workers(2)
        client.run(count_models)
        score(X, "out.npy", client=client)
        # Once per worker of the 38 parts; once more if the scheduler moves the task that receives the model.
        assert 1 <= sum(client.run(models_that_came).values()) <= 3
        assert set(client.run(n_jobs_per_process).values()) == {None}  # as OMP_NUM_THREADS, which Dask sets to 1, says
    check(read("out.npy"), EXPECTED)


def count_fits():
    """On a worker: count the classifiers that are fitted there."""
    from lenet import estimator

    def counted(self, X, y, **options):
        estimator.fitted = getattr(estimator, "fitted", 0) + 1
        return original(self, X, y, **options)

    original = estimator.LeNetClassifier.fit
    estimator.LeNetClassifier.fit = counted


def fits_that_came():
    from lenet import estimator

    return getattr(estimator, "fitted", 0)


@pytest.mark.filterwarnings("ignore:The network has hardly begun")
def test_a_joblib_search_gives_the_same_result_on_a_cluster(processes):
    joblib, selection = pytest.importorskip("joblib"), pytest.importorskip("sklearn.model_selection")
    digits = lenet.data.load_digits()
    classifier = lenet.LeNetClassifier(random_state=0, max_iter=1)
    grid = {"learning_rate_init": [0.05, 0.5]}
    scores = []
    with distributed.Client(processes) as client:
        client.run(count_fits)
        for backend in ("threading", "dask"):
            search = selection.GridSearchCV(classifier, grid, cv=2, refit=False)
            with joblib.parallel_config(backend):
                search.fit(digits.X_train[:200].reshape(200, -1), digits.y_train[:200])
            scores.append(search.cv_results_["mean_test_score"])
        fits = client.run(fits_that_came)
    np.testing.assert_array_equal(scores[0], scores[1])
    assert sum(fits.values()) == 4  # on the workers


def test_a_program_that_its_workers_cannot_import_gets_advice():
    np.save("a.npy", X)
    Path("program.py").write_text("from lenet.scale import score\nscore('a.npy', 'out.npy', workers=1)\n")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("lenet.errors.WorkerError: The workers did not start (")
    assert last.endswith('call score in a block that begins with if __name__ == "__main__":')
    assert leftovers() == []


def test_errors_are_lenets():
    assert issubclass(WorkerError, LenetError)
    assert issubclass(WorkerError, RuntimeError)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lenet", "score", *arguments], capture_output=True, text=True, timeout=120
    )


def test_the_command_starts_its_own_cluster():
    np.save("a.npy", X)
    done = command("a.npy", "a.npy", "--out", "out.parquet", "--workers", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["images"] == 2 * N
    check(read("out.parquet"), np.concatenate([EXPECTED, EXPECTED]))


def test_the_command_asks_a_scheduler(processes):
    np.save("bad.npy", poisoned(201, np.nan))
    done = command("bad.npy", "--out", "out.zarr", "--scheduler", processes.scheduler_address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("lenet: error: bad.npy, row 202: ")
    assert done.stderr.count("\n") == 1
    assert leftovers() == []


@SENDS_SIGNALS
def test_ctrl_c_ends_the_command_and_leaves_nothing():
    np.lib.format.open_memmap("many.npy", "w+", np.uint8, (400_000, 28, 28)).flush()  # a sparse file
    arguments = ["many.npy", "many.npy", "--out", "out.npy", "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", "lenet", "score", *arguments], stderr=subprocess.PIPE, text=True)
    while not leftovers():  # until it writes
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "lenet: interrupted\n"
    assert process.returncode == 130
    assert leftovers() == []
