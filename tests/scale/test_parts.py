"""The scores of parts, and their order, with a client that computes in this thread."""

import logging
from collections import deque
from concurrent.futures import CancelledError
from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet.errors import DataError, InputError, InputTypeError, WorkerError
from lenet.scale import scoring
from lenet.scale.outputs import score_dtype
from lenet.scale.scoring import score, score_part
from lenet.scale.sources import Part, parts_of

pytestmark = pytest.mark.landing
dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

X = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
MODEL = lenet.load_pretrained("mnist")
EXPECTED = MODEL.predict_proba(X, n_jobs=1)
ROWS = score_dtype(10, np.float32, probabilities=False)
WHOLE = score_dtype(10, np.float32, probabilities=True)


def part(start, stop, rows=...):
    return Part("a.npy", start, stop - start if rows is ... else rows, lambda *_: [X[start:stop]])


class Client:
    """A client whose futures are computed when their results are asked for."""

    asynchronous = False

    def __init__(self, threads=1):
        self.threads, self.submitted, self.done, self.most, self.cancelled = threads, [], 0, 0, None
        self.configured = []

    def nthreads(self):
        return {"worker": self.threads}

    def submit(self, function, *arguments, **options):
        self.submitted.append((function, arguments, options))
        self.configured.append(dask.config.get("distributed.admin.large-graph-warning-threshold", None))
        if function is not score_part:
            return function(*arguments)  # the model, instead of a future of it

        def result():
            self.most = max(self.most, len(self.submitted) - 1 - self.done)
            self.done += 1
            return function(*arguments)

        return SimpleNamespace(result=result)

    def compute(self, tasks, retries):
        self.submitted += [(None, None, {"retries": retries})] * len(tasks)
        return [SimpleNamespace(result=task.compute) for task in tasks]

    def cancel(self, futures):
        self.cancelled = list(futures)


def scores_of(client, parts, retries=3):
    return list(scoring._scores(client, parts, MODEL, ROWS, retries))


def check(found, expected=EXPECTED):
    np.testing.assert_array_equal(found["digit"], expected.argmax(axis=1))
    np.testing.assert_array_equal(found["probability"], expected.max(axis=1))


# ---- one part ------------------------------------------------------------------------------------------


def test_the_scores_of_a_part_are_those_of_all_its_arrays():
    several = Part("a.npy", 5, 15, lambda: iter([X[5:9], X[9:9], X[9:]]))
    found = score_part(several, MODEL, WHOLE)
    assert found.dtype == WHOLE
    check(found, EXPECTED[5:])
    np.testing.assert_array_equal(found["probabilities"], EXPECTED[5:])
    assert score_part(several, MODEL, ROWS).dtype == ROWS


def test_a_block_is_the_argument_of_the_function_that_loads_it():
    reversed_block = Part("a", 0, None, lambda block: [block[::-1]])
    check(score_part(reversed_block, MODEL, ROWS, X), EXPECTED[::-1])


def test_a_part_without_arrays_has_no_scores():
    found = score_part(Part("a", 0, None, list), MODEL, ROWS)
    assert (found.shape, found.dtype) == ((0,), ROWS)


def test_an_invalid_image_is_named_by_its_row_in_the_source_and_returned_as_an_error():
    floats = (X / 255).astype(np.float32)
    floats[7] = 2
    error = score_part(Part("a.npy", 1000, 20, lambda: [floats[:4], floats[4:]]), MODEL, ROWS)
    assert isinstance(error, InputError)
    assert str(error).startswith("a.npy, row 1,008: x has floating-point pixels")


def test_other_errors_of_a_part_are_raised_so_that_it_is_retried():
    def load():
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        score_part(Part("a.npy", 0, 20, load), MODEL, ROWS)


# ---- many parts ----------------------------------------------------------------------------------------


def parts_of_two():
    return [part(start, start + 2) for start in range(0, 20, 2)]


def test_parts_are_scored_in_order():
    client = Client()
    found = scores_of(client, parts_of_two())
    assert [len(block) for block in found] == [2] * 10
    check(np.concatenate(found))
    assert len(client.cancelled) == 1  # the model


@pytest.mark.parametrize(("threads", "most"), [(0, 4), (1, 4), (2, 8), (9, 10)])
def test_four_parts_per_thread_of_the_cluster_are_submitted_at_once(threads, most):
    client = Client(threads)
    scores_of(client, parts_of_two())
    assert client.most == most


def test_the_model_is_submitted_once_and_every_task_is_retried():
    client = Client()
    scores_of(client, parts_of_two(), retries=7)
    (function, (model,), options), *others = client.submitted
    assert (function(model), model) == (MODEL, MODEL)
    assert options.pop("key").startswith("lenet-model-")
    assert options == {"pure": False, "retries": 7}
    assert len(others) == 10
    assert all(function is score_part and options == {"pure": False, "retries": 7} for function, _, options in others)
    assert set(client.configured[1:]) == {"1 GB"}


def test_blocks_are_submitted_together_with_their_parts():
    client = Client()
    blocks = [Part(f"b{k}", 0, None, lambda block: [block], dask.delayed(X)[4 * k : 4 * k + 4]) for k in range(5)]
    check(np.concatenate(scores_of(client, blocks, retries=2)))
    assert [options["retries"] for _, _, options in client.submitted] == [2] * 6
    assert len(client.cancelled) == 1


def test_all_that_is_left_is_cancelled_after_an_error():
    client = Client()
    scores = scoring._scores(client, parts_of_two(), MODEL, ROWS, 0)
    next(scores)
    scores.close()
    assert len(client.cancelled) == 4 + 1  # the part that was not yet taken, three others, and the model
    blocks = [Part("b", 0, None, lambda block: [block], dask.delayed(X)) for _ in range(9)]
    client = Client()
    scores = scoring._scores(client, blocks, MODEL, ROWS, 0)
    next(scores)
    scores.close()
    assert len(client.cancelled) == 9 + 1


def test_a_cluster_that_cannot_cancel_hides_no_error():
    class Lost(Client):
        def cancel(self, futures):
            raise OSError("lost")

    check(np.concatenate(scores_of(Lost(), [part(0, 20)])))


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("gone"), CancelledError("gone")])
def test_a_lost_connection_is_an_error(error):
    class Lost(Client):
        def nthreads(self):
            raise error

    with pytest.raises(WorkerError) as caught:
        scores_of(Lost(), parts_of_two())
    assert str(caught.value) == (
        f"The connection to the cluster was lost ({type(error).__name__}: gone). Start the cluster again."
    )


def result_of(given, value):
    def result():
        if isinstance(value, BaseException) and not isinstance(value, lenet.errors.LenetError):
            raise value
        return value

    return scoring._result(given, SimpleNamespace(result=result))


@pytest.mark.parametrize("rows", [..., None])
def test_the_result_of_a_part_has_a_row_for_each_image(rows):
    scores = np.zeros(5, ROWS)
    assert result_of(part(3, 8, rows), scores) is scores


@pytest.mark.parametrize("rows", [0, 4, 6])
def test_a_part_with_another_number_of_rows_has_changed(rows):
    with pytest.raises(DataError) as caught:
        result_of(part(3, 8), np.zeros(rows, ROWS))
    assert str(caught.value) == (
        f"a.npy changed while it was being read; a.npy, rows 4 to 8 now has {rows} rows. Score it again."
    )


def test_an_error_of_a_part_is_that_of_its_images_or_of_a_worker():
    with pytest.raises(InputError, match=r"^mine$"):
        result_of(part(3, 8), InputError("mine"))
    for error in (OSError("odd"), CancelledError("odd")):
        with pytest.raises(WorkerError) as caught:
            result_of(part(3, 8), error)
        assert str(caught.value) == f"a.npy, rows 4 to 8 could not be scored ({type(error).__name__}: odd)."


# ---- the whole -----------------------------------------------------------------------------------------


class Bar:
    """A progress bar that records what it is given."""

    def __init__(self, shown):
        self.given = [shown]
        Bar.latest = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.given.append("closed")

    def update(self, done, total):
        self.given.append((done, total))


@pytest.fixture
def client(monkeypatch, cwd):
    monkeypatch.setattr(distributed, "Client", Client)
    monkeypatch.setattr(scoring, "Bar", Bar)
    monkeypatch.setattr("lenet.scale.sources.ROWS", 8)
    return Client()


@pytest.mark.parametrize("progress", [True, False])
def test_all_images_are_scored_and_counted(client, progress):
    assert score(X, "out.npy", client=client, progress=progress) == 20
    found = np.load("out.npy")
    assert found.dtype == ROWS
    check(found)
    assert Bar.latest.given == [progress, (8, 20), (16, 20), (20, 20), "closed"]


def test_probabilities_are_written_on_request(client):
    score(X, "out.npy", client=client, probabilities=True)
    np.testing.assert_array_equal(np.load("out.npy")["probabilities"], EXPECTED)
    score(X, "default.npy", client=client)
    assert np.load("default.npy").dtype == ROWS


def test_the_total_is_unknown_if_that_of_a_part_is(client, monkeypatch):
    monkeypatch.setattr(scoring, "parts_of", lambda images, column: [part(0, 5), part(5, 9, None)])
    assert score(X, "out.npy", client=client) == 9
    assert Bar.latest.given == [True, (5, None), (9, None), "closed"]


def test_parts_that_turn_out_empty_are_an_error(client, monkeypatch):
    monkeypatch.setattr(scoring, "parts_of", lambda images, column: [part(5, 5, None), part(7, 7, None)])
    with pytest.raises(InputError, match=r"^There are no images; expected at least one\.$"):
        score(X, "out.npy", client=client)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"retries": -1}, InputError, "^retries is -1"),
        ({"retries": 1.5}, InputTypeError, "^retries is 1.5"),
        ({"probabilities": 1}, InputTypeError, "^probabilities is 1; expected True or False"),
        ({"progress": "no"}, InputTypeError, "^progress is 'no'; expected True or False"),
        ({"client": 3}, InputTypeError, "^client is 3; expected a synchronous distributed.Client"),
    ],
)
def test_wrong_options_are_errors(client, options, error, message):
    with pytest.raises(error, match=message):
        score(X, "out.npy", **{"client": client, **options})


def test_an_asynchronous_client_is_an_error(client):
    client.asynchronous = True
    with pytest.raises(InputTypeError, match=r"expected a synchronous distributed\.Client"):
        score(X, "out.npy", client=client)


def test_no_retries_are_allowed(client):
    score(X, "out.npy", client=client, retries=0)
    assert {options["retries"] for _, _, options in client.submitted} == {0}
    score(X, "default.npy", client=client)
    assert {options["retries"] for _, _, options in client.submitted[-3:]} == {3}


@pytest.mark.parametrize(("workers", "parts", "started"), [(3, 5, 3), (3, 2, 2), (1, 9, 1)])
def test_a_cluster_of_this_machine_has_a_process_per_worker_and_at_most_one_per_part(
    monkeypatch, workers, parts, started
):
    events = []

    class Cluster:
        def __init__(self, **options):
            events.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            events.append("closed")

    class Own(Client):
        def __init__(self, cluster):
            super().__init__()
            events.append(cluster)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            events.append("disconnected")

    monkeypatch.setattr(distributed, "LocalCluster", Cluster)
    monkeypatch.setattr(distributed, "Client", Own)
    with scoring._client(None, workers, parts) as found:
        assert isinstance(found, Own)
    options, cluster, *ends = events
    assert options == {
        "n_workers": started, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.CRITICAL, "env": {"LENET_NUM_THREADS": "1"},
    }  # fmt: skip
    assert isinstance(cluster, Cluster)
    assert ends == ["disconnected", "closed"]


def test_workers_that_do_not_start_are_an_error(monkeypatch):
    def fails(**_):
        raise RuntimeError("no main")

    monkeypatch.setattr(distributed, "LocalCluster", fails)
    with (
        pytest.raises(WorkerError, match=r"^The workers did not start \(no main\)\. They import this program"),
        scoring._client(None, 1, 1),
    ):
        pass


def test_the_size_of_a_cluster_is_asked_again_after_a_second(monkeypatch):
    now, asked = [0.5], deque([2, 3, 0])
    monkeypatch.setattr(scoring, "time", SimpleNamespace(monotonic=lambda: now[0]))
    window = scoring._Window(SimpleNamespace(nthreads=lambda: {"a": asked.popleft(), "b": 1}))
    widths = []
    for moment in (0.5, 1.5, 1.6, 2.6, 2.7):
        now[0] = moment
        widths.append(window.width())
    assert widths == [12, 12, 16, 16, 4]


@pytest.mark.parametrize("attributes", [{"chunks": ((1,),)}, {"chunks": ((1,),), "ndim": 3}])
def test_collections_that_cannot_be_split_like_arrays_are_rejected(attributes):
    collection = SimpleNamespace(__dask_graph__=dict, shape=(1, 28, 28), dtype=np.dtype("u1"), **attributes)
    with pytest.raises(InputTypeError, match="images is a Dask SimpleNamespace; expected a Dask array or data frame"):
        parts_of(collection, None)
