"""Score images by the workers of a Dask cluster: many files or large ones, on all cores of one machine or of many."""

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._extras import require
from lenet._fused.threads import n_jobs_beside_others, resolve_n_jobs
from lenet.errors import DataError, InputError, InputTypeError, LenetError, WorkerError
from lenet.model import LeNet5
from lenet.scale.bar import Bar
from lenet.scale.outputs import check_free, score_dtype, written
from lenet.scale.sources import Part, checked, parts_of

AHEAD = 4  # parts under way, or done and not yet written, for each thread of the cluster
RETRIES = 3


def score(
    images: Any,
    out: str | os.PathLike[str],
    *,
    model: LeNet5 | str | os.PathLike[str] = "mnist",
    client: Any = None,
    workers: int | None = None,
    column: str = "image",
    probabilities: bool = False,
    retries: int = RETRIES,
    progress: bool = True,
) -> int:
    """Write the likeliest class of each image, and its probability, in the order of the images.

    The images are cut into parts, which the workers read by themselves, so the files have to be there under the same
    paths on each of them, and lenet installed. A part that fails is tried again, elsewhere if its worker has died. The
    weights go to each worker once. This process writes what they return, beside `out`, which takes its name when all
    is there: after an error, there is nothing.

    Parameters
    ----------
    images : array_like, dask.array.Array, path-like, or list of path-like
        An array of shape (n, 28, 28), (n, 1, 28, 28) or (n, 784), uint8 or floating in [0, 1]; NumPy's are sent to the
        workers. Or `.npy` files, which are mapped into memory; folders of Zarr, an array or a group with an array
        `images`; `.parquet` files with 784 bytes or a list of 784 numbers in each row of a column. A path may be a
        pattern such as `"in/*.npy"`, whose files are taken in the order of their names.
    out : path-like
        It gets the columns (`.parquet`), the arrays (`.zarr`) or the fields (`.npy`) `digit` (uint8; int32 for more
        than 256 classes) and `probability` (of the model's dtype). It may not be there yet.
    model : LeNet5, str or path-like, default "mnist"
        A model, the name of one that lenet ships, or a safetensors file.
    client : distributed.Client, optional
        Of any cluster. By default, processes of this machine are started, one thread each, and ended afterwards; they
        import the program that calls this, so it has to begin under `if __name__ == "__main__":`.
    workers : int, optional
        How many such processes: by default LENET_NUM_THREADS, or OMP_NUM_THREADS, or one for each core.
    column : str, default "image"
        The column of Parquet files.
    probabilities : bool, default False
        Whether to write all classes' probabilities as well, under that name.
    retries : int, default 3
        How often a part is tried again that failed by anything but its images.
    progress : bool, default True
        Whether to show a bar, if the standard error output is a terminal.

    Returns
    -------
    int
        The number of images.

    Raises
    ------
    InputError, InputTypeError
        If these are no images; if a pixel is out of range or NaN, and then it names the file and the row, from 0 on; if
        `out` is taken, or its ending unknown.
    DataError, WeightsError
        If a file is damaged.
    WorkerError
        If a part failed again and again, or the cluster is gone.
    SaveError
        If `out` cannot be written.
    MissingExtraError
        Without `pip install 'lenet[dask]'`.

    Examples
    --------
    >>> import lenet, tempfile, pathlib
    >>> from distributed import Client
    >>> out = pathlib.Path(tempfile.mkdtemp(), "scores.npy")
    >>> with Client(processes=False, dashboard_address="127.0.0.1:0") as client:  # threads, for an example
    ...     score(lenet.data.load_digits().X_test, out, client=client)
    359
    >>> np.load(out)["digit"].shape
    (359,)
    """
    require("distributed", "dask")
    check_free(out)
    retries = _checks.whole(retries, "retries", least=0)
    network = _model(model)
    parts = parts_of(images, column)
    rows = score_dtype(network.num_classes, network.dtype, probabilities)
    known = [part.rows for part in parts if part.rows is not None]
    total, done = sum(known) if len(known) == len(parts) else None, 0
    with (
        _client(client, workers, len(parts)) as running,
        written(out, rows) as write,
        Bar(total, shown=progress) as bar,
        contextlib.closing(_scores(running, parts, network, rows, retries)) as scores,
    ):
        for block in scores:
            write(block)
            done += len(block)
            bar.update(done)
        if not done:
            raise InputError("There are no images to score: pass at least one.")
    return done


def _model(model: LeNet5 | str | os.PathLike[str]) -> LeNet5:
    from lenet.loading import load, load_pretrained
    from lenet.weights import PRETRAINED

    if isinstance(model, LeNet5):
        return model
    if not isinstance(model, str | os.PathLike):
        raise InputTypeError(f"model is a {type(model).__name__}: give a LeNet5, the name of one, or a path.")
    return load_pretrained(str(model)) if model in PRETRAINED else load(model)


@contextlib.contextmanager
def _client(client: Any, workers: int | None, parts: int) -> Iterator[Any]:
    """Yield the client, or one of a cluster of processes on this machine."""
    distributed = require("distributed", "dask")
    if client is not None:
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise InputTypeError(f"client is {client!r}, and a distributed.Client that is not asynchronous is wanted.")
        yield client
        return
    try:
        cluster = distributed.LocalCluster(
            n_workers=min(resolve_n_jobs(workers), parts),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            env={"LENET_NUM_THREADS": "1"},  # there is a process for each core already
        )
    except RuntimeError as error:
        raise WorkerError(
            f"The workers did not start ({error}): they import this program, so what calls score has to stand under "
            'if __name__ == "__main__":.'
        ) from None
    with cluster, distributed.Client(cluster) as own:
        yield own


def _scores(
    client: Any, parts: Sequence[Part], model: LeNet5, rows: np.dtype[Any], retries: int
) -> Generator[NDArray[Any], None, None]:
    """Yield each part's scores, in order."""
    # A task, and no scattered data: if all workers die that hold it, it is done again.
    sent = client.submit(_received, model, pure=False, key=f"lenet-model-{os.urandom(8).hex()}", retries=retries)
    submit, rest = _submitter(client, parts, sent, rows, retries)
    window, todo, futures = _Window(client), deque(parts), deque[Any]()
    begun: deque[Part] = deque()
    try:
        while todo or futures:
            with _a_cluster_that_is_there():
                while todo and len(futures) < window.width():
                    begun.append(todo.popleft())
                    futures.append(submit(begun[-1]))
            yield _result(begun.popleft(), futures[0])
            futures.popleft()
    finally:
        with contextlib.suppress(Exception):  # the cluster may be gone
            client.cancel([*futures, *rest, sent])


@contextlib.contextmanager
def _a_cluster_that_is_there() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, CancelledError) as error:
        raise WorkerError(f"The cluster is gone ({type(error).__name__}: {error}).") from error


def _submitter(
    client: Any, parts: Sequence[Part], model: Any, rows: np.dtype[Any], retries: int
) -> tuple[Callable[[Part], Any], deque[Any]]:
    """Return what has a part scored, and returns its future; and the futures of parts that have begun before."""
    dask = require("dask", "dask")
    if parts[0].block is None:

        def submit(part: Part) -> Any:
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):  # arrays are sent, too
                return client.submit(score_part, part, model, rows, pure=False, retries=retries)

        return submit, deque()
    # Of a Dask array at once, for its graph is gone through once only.
    delayed = dask.delayed(score_part, pure=False)
    named = [Part(part.name, part.start, part.rows) for part in parts]
    tasks = [delayed(name, model, rows, part.block) for name, part in zip(named, parts, strict=True)]
    futures = deque(client.compute(tasks, retries=retries))
    return lambda _: futures.popleft(), futures


class _Window:
    """How many parts may be under way: as many as keep the cluster busy, which may grow and shrink."""

    def __init__(self, client: Any):
        self._client, self._width, self._asked = client, 0, -1.0

    def width(self) -> int:
        if time.monotonic() - self._asked > 1:
            self._width = AHEAD * max(1, sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
        return self._width


def _result(part: Part, future: Any) -> NDArray[Any]:
    try:
        result = future.result()
    except (Exception, CancelledError) as error:
        raise WorkerError(f"{part} could not be scored ({type(error).__name__}: {error}).") from error
    if isinstance(result, LenetError):
        raise result
    if part.rows not in (None, len(result)):
        raise DataError(f"{part.name} has changed while it was read: there are {len(result):,} rows of {part}.")
    scores: NDArray[Any] = result
    return scores


# ---- what the workers run ----------------------------------------------------------------------------------


def _received(model: LeNet5) -> LeNet5:
    return model


def score_part(part: Part, model: LeNet5, rows: np.dtype[Any], block: Any = None) -> NDArray[Any] | LenetError:
    """Return the scores of a part; what is wrong with its images is returned as an error, for no retry would help."""
    try:
        arrays = part.load() if part.load is not None else [_checks.array(block, part.name, "images are wanted")]
        scored, start = [], part.start
        for array in arrays:
            scored.append(_score(model, checked(array, part.name, start), rows))
            start += len(array)
        return np.concatenate(scored) if scored else np.empty(0, rows)
    except LenetError as error:
        return error


def _score(model: LeNet5, images: NDArray[Any], rows: np.dtype[Any]) -> NDArray[Any]:
    probabilities = model.predict_proba(images, n_jobs=n_jobs_beside_others())
    scores = np.empty(len(images), rows)
    scores["digit"], scores["probability"] = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if "probabilities" in (rows.names or ()):
        scores["probabilities"] = probabilities
    return scores
