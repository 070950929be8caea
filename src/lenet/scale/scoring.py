"""Score images on the workers of a Dask cluster."""

import contextlib
import dataclasses
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
from lenet._bar import Bar
from lenet._extras import require
from lenet._fused.threads import n_jobs_per_process, resolve_n_jobs
from lenet.errors import DataError, InputError, InputTypeError, LenetError, WorkerError
from lenet.loading import ModelLike, given_model
from lenet.model import LeNet5
from lenet.scale.outputs import check_free, score_dtype, written
from lenet.scale.sources import Part, checked, parts_of

AHEAD = 4  # parts submitted but not yet written, per thread of the cluster
RETRIES = 3


def score(
    images: Any,
    out: str | os.PathLike[str],
    *,
    model: ModelLike = "mnist",
    client: Any = None,
    workers: int | None = None,
    column: str | None = None,
    probabilities: bool = False,
    retries: int = RETRIES,
    progress: bool = True,
) -> int:
    """Write the most probable class of each image and its probability, in the order of the images.

    Each worker reads its own parts of the images, so files must have the same paths on all workers. A part that fails
    is retried, on another worker if its own has died. Scores are written to a temporary file or folder, which is
    renamed to `out` at the end.

    Parameters
    ----------
    images : array_like, dask.array.Array, dask.dataframe.DataFrame, path-like, or list of path-like
        An array of shape (n, 28, 28), (n, 1, 28, 28) or (n, 784), uint8 or floating in [0, 1]; ``.npy`` files; Zarr
        arrays, or Zarr groups with an array ``images``; or tables: data frames, ``.parquet`` and ``.csv`` files. Tables
        have 784 columns of pixels, or, except for CSV, a column with 784 bytes, a list of 784 numbers, or a struct with
        the bytes of a picture in each row. Pictures are prepared as by `lenet.reading.prepare`. Paths may be addresses
        of fsspec, such as ``"s3://bucket/in.npy"``, and patterns such as ``"in/*.npy"``; matching files are sorted by
        name.
    out : path-like
        A new file or folder: ``.parquet``, ``.zarr`` or ``.npy``. Its columns, arrays or fields are "digit" (uint8, or
        int32 for more than 256 classes) and "probability" (of the model's dtype, in [0, 1]).
    model : LeNet5, str or path-like, default "mnist"
        A model, the name of a pre-trained one, or a path as for `lenet.load`.
    client : distributed.Client, optional
        The cluster to use. By default, single-threaded processes are started on this machine. They import the calling
        program, which must therefore start under ``if __name__ == "__main__":``.
    workers : int, optional
        Number of these processes, or -1 for one per core; by default, LENET_NUM_THREADS, OMP_NUM_THREADS, or one per
        core.
    column : str, optional
        The column of a table; by default, `image` or, if there is none, the 784 columns of pixels.
    probabilities : bool, default False
        Whether to also write "probabilities", the probabilities of all classes.
    retries : int, default 3
        Maximum number of times to retry a part, at least 0. Parts with invalid images are not retried.
    progress : bool, default True
        Whether to show a progress bar if standard error is a terminal.

    Returns
    -------
    int
        The number of images, at least 1.

    Raises
    ------
    InputError, InputTypeError
        If the images are invalid or there are none; the message names the file and the row, from 1. If `out` exists,
        its folder does not, or its suffix is unknown. If another argument is invalid.
    DataError, WeightsError, OSError
        If a file is damaged or cannot be read.
    WorkerError
        If the workers do not start, a part fails after all retries, or the cluster is lost.
    SaveError
        If `out` cannot be written.
    MissingExtraError
        If the extra ``lenet[dask]`` is not installed.

    Examples
    --------
    >>> import lenet, tempfile, pathlib
    >>> from distributed import Client
    >>> out = pathlib.Path(tempfile.mkdtemp(), "scores.npy")
    >>> with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
    ...     score(lenet.data.load_digits().X_test, out, client=client)
    359
    >>> np.load(out)["digit"].shape
    (359,)
    """
    require("distributed", "dask")
    check_free(out)
    retries = _checks.whole(retries, "retries", at_least=0)
    if workers is not None:
        resolve_n_jobs(workers, "workers")
    probabilities, progress = _checks.boolean(probabilities, "probabilities"), _checks.boolean(progress, "progress")
    network = given_model(model)
    parts = parts_of(images, column)
    rows = score_dtype(network.num_classes, network.dtype, probabilities)
    known = [part.rows for part in parts if part.rows is not None]
    total, done = sum(known) if len(known) == len(parts) else None, 0
    with (
        _client(client, workers, len(parts)) as running,
        written(out, rows) as write,
        Bar(shown=progress) as bar,
        contextlib.closing(_scores(running, parts, network, rows, retries)) as scores,
    ):
        for block in scores:
            write(block)
            done += len(block)
            bar.update(done, total)
        if not done:
            raise InputError("There are no images; expected at least one.")
    return done


@contextlib.contextmanager
def _client(client: Any, workers: int | None, parts: int) -> Iterator[Any]:
    """Yield the client, or a client of a new cluster of processes on this machine."""
    distributed = require("distributed", "dask")
    if client is not None:
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise InputTypeError(f"client is {_checks.short_repr(client)}; expected a synchronous distributed.Client.")
        yield client
        return
    try:
        cluster = distributed.LocalCluster(
            n_workers=min(resolve_n_jobs(workers, "workers"), parts),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            env={"LENET_NUM_THREADS": "1"},  # there is already one process per core
        )
    except RuntimeError as error:
        raise WorkerError(
            f"The workers did not start ({error}). They import this program: call score in a "
            'block that begins with if __name__ == "__main__":'
        ) from None
    with cluster, distributed.Client(cluster) as own:
        yield own


def _scores(
    client: Any, parts: Sequence[Part], model: LeNet5, rows: np.dtype[Any], retries: int
) -> Generator[NDArray[Any], None, None]:
    """Yield the scores of each part, in order."""
    # Unlike scattered data, the result of a task is recomputed if all workers that store it die.
    with _cluster_errors():
        sent = client.submit(_identity, model, pure=False, key=f"lenet-model-{os.urandom(8).hex()}", retries=retries)
        submit, rest = _submitter(client, parts, sent, rows, retries)
    window, waiting, submitted = _Window(client), deque(parts), deque[tuple[Part, Any]]()
    try:
        while waiting or submitted:
            with _cluster_errors():
                while waiting and len(submitted) < window.width():
                    part = waiting.popleft()
                    submitted.append((part, submit(part)))
            yield _result(*submitted[0])
            submitted.popleft()
    finally:
        with contextlib.suppress(Exception):  # the cluster may be gone
            client.cancel([*(future for _, future in submitted), *rest, sent])


@contextlib.contextmanager
def _cluster_errors() -> Iterator[None]:
    """Raise WorkerError for any error of a client, such as a closed one."""
    try:
        yield
    except LenetError:
        raise
    except (Exception, CancelledError) as error:
        raise WorkerError(
            f"The connection to the cluster was lost ({type(error).__name__}: {error}). Start the cluster again."
        ) from error


def _submitter(
    client: Any, parts: Sequence[Part], model: Any, rows: np.dtype[Any], retries: int
) -> tuple[Callable[[Part], Any], deque[Any]]:
    """Return a function that submits a part and returns its future, and the futures that were already submitted."""
    dask = require("dask", "dask")
    if parts[0].block is None:

        def submit(part: Part) -> Any:
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):  # parts may be arrays
                return client.submit(score_part, part, model, rows, pure=False, retries=retries)

        return submit, deque()
    # The blocks of a Dask array or data frame are submitted together, so that its graph is processed once.
    delayed = dask.delayed(score_part, pure=False)
    tasks = [delayed(dataclasses.replace(part, block=None), model, rows, part.block) for part in parts]
    futures = deque(client.compute(tasks, retries=retries))
    return lambda _: futures.popleft(), futures


class _Window:
    """The number of parts to keep submitted, in proportion to the threads of the cluster."""

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
        raise DataError(
            f"{part.name} changed while it was being read; {part} now has {len(result):,} rows. Score it again."
        )
    scores: NDArray[Any] = result
    return scores


# ---- on the workers ----------------------------------------------------------------------------------------


def _identity(model: LeNet5) -> LeNet5:
    return model


def score_part(part: Part, model: LeNet5, rows: np.dtype[Any], block: Any = None) -> NDArray[Any] | LenetError:
    """Return the scores of a part, or an error in its images, which must not be retried."""
    try:
        scored, start = [], part.start
        for array in part.load() if block is None else part.load(block):
            scored.append(_score(model, checked(array, part.name, start), rows))
            start += len(array)
        return np.concatenate(scored) if scored else np.empty(0, rows)
    except LenetError as error:
        return error


def _score(model: LeNet5, images: NDArray[Any], rows: np.dtype[Any]) -> NDArray[Any]:
    probabilities = model.predict_proba(images, n_jobs=n_jobs_per_process())
    scores = np.empty(len(images), rows)
    scores["digit"], scores["probability"] = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if "probabilities" in (rows.names or ()):
        scores["probabilities"] = probabilities
    return scores
