"""Run the compiled LeNet-5 on arrays of images: split batches into chunks for threads, and own the scratch memory."""

from collections.abc import Callable
from itertools import accumulate, zip_longest
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet._compiled import Build
from lenet._flat import FlatDict
from lenet._fused.dispatch import kernels
from lenet._fused.threads import resolve_n_jobs, run_chunks
from lenet.errors import InputError

Array = NDArray[Any]

# Images per chunk of a prediction. Each thread takes several chunks, because helpers wake late and their cores may be
# busy. One thread often finishes a batch smaller than MIN_SPLIT before a helper wakes.
PREDICT_CHUNK, MIN_PREDICT_CHUNK, CHUNKS_PER_THREAD, MIN_SPLIT = 48, 12, 4, 36
# Chunks of training do not depend on the number of threads, so neither do results: gradients are added chunk by chunk,
# in order.
TRAIN_CHUNK = 16
MAX_TRAIN_CHUNKS = 8  # per batch; each has its own gradient and scratch memory, 0.9 MB
# Images per kernel call. A call takes a millisecond, so that Ctrl-C takes effect at once; few images are copied at a
# time, and sums in single precision stay short.
TRAIN_CALL = 64

_UINT8 = np.dtype(np.uint8)


class Distortions(Protocol):
    """The distortions of a batch, one per image."""

    def __getitem__(self, part: Any) -> "Distortions":
        """Return the distortions of some of the images."""

    def apply(self, images: Array) -> Array:
        """Return the distorted images."""


def kernels_for(parameters: FlatDict) -> Build:
    """Return the kernels for a LeNet5's parameters, and check that they agree on the layout of the flat vector."""
    build = kernels()
    begins = accumulate((value.size for value in parameters.values()), initial=0)
    expected = build.offsets(len(parameters["output.bias"]))
    for name, begin, offset in zip_longest([*parameters, "the end"], begins, expected):
        if begin != offset:
            raise InputError(
                f"{name} is at offset {begin} of the parameter vector; expected {offset}, as in the kernels. "
                "The kernels compute LeNet-5 only. Give a model of other layers a name in `network`, as LeNet1998 does."
            )
    return build


class Predictor:
    """Compute logits, probabilities or classes of validated images, with the current parameters of a LeNet5.

    `x` has shape (n, 28, 28); `out` has shape (n, num_classes), or (n,) for classes. `mean` and `std` are those of the
    model. If the kernels are not `batch_independent`, an image's logits depend on the other images of its chunk. The
    chunks, and so the results, are then the same for every number of threads.
    """

    def __init__(self, parameters: FlatDict, kernels: Any, num_classes: int, batch_independent: bool):
        self._parameters, self._dtype = kernels.view(parameters.flat), parameters.flat.dtype
        self._num_classes = num_classes
        self._kernel, self._softmax = kernels.logits, kernels.softmax
        self._batch_independent = batch_independent

    def logits(self, x: Array, mean: float | None, std: float | None, out: Array, n_jobs: int | None) -> Array:
        """Fill out with the logits, and return it."""
        self._in_chunks(self._fill_logits, x, mean, std, out, n_jobs)
        return out

    def probabilities(self, x: Array, mean: float | None, std: float | None, out: Array, n_jobs: int | None) -> Array:
        """Fill out with the probabilities, and return it."""
        self._softmax(self.logits(x, mean, std, out, n_jobs))
        return out

    def classes(self, x: Array, mean: float | None, std: float | None, out: Array, n_jobs: int | None) -> Array:
        """Fill out with the most probable classes, and return it."""
        self._in_chunks(self._fill_classes, x, mean, std, out, n_jobs)
        return out

    def _fill_logits(self, x: Array, mean: float | None, std: float | None, out: Array) -> None:
        self._kernel(self._parameters, _pixels(x, self._dtype), mean, std, out)

    def _fill_classes(self, x: Array, mean: float | None, std: float | None, out: Array) -> None:
        logits = np.empty((len(x), self._num_classes), self._dtype)
        self._fill_logits(x, mean, std, logits)
        out[...] = logits.argmax(axis=1)  # of intp, which is not int64 everywhere

    def _in_chunks(
        self,
        fill: Callable[[Array, float | None, float | None, Array], None],
        x: Array,
        mean: float | None,
        std: float | None,
        out: Array,
        n_jobs: int | None,
    ) -> None:
        n = len(x)
        if n < MIN_SPLIT:
            if n_jobs is not None:
                resolve_n_jobs(n_jobs)  # for its errors
            fill(x, mean, std, out)
            return
        jobs = resolve_n_jobs(n_jobs)
        wanted = CHUNKS_PER_THREAD * jobs if jobs > 1 and self._batch_independent else 1
        chunks = max(-(-n // PREDICT_CHUNK), min(wanted, n // MIN_PREDICT_CHUNK))

        def run_chunk(numbers: slice) -> None:
            part = slice(numbers.start * n // chunks, numbers.stop * n // chunks)
            fill(x[part], mean, std, out[part])

        run_chunks(run_chunk, range(chunks), 1, jobs)


class Learner:
    """Compute the losses and gradients of batches with the current parameters of a LeNet5, reusing scratch memory."""

    def __init__(self, parameters: FlatDict, kernels: Any, num_classes: int):
        self._parameters, self._kernels, self._num_classes = parameters, kernels, num_classes
        self._gradients: list[FlatDict] = []
        self._work: list[Array] = []

    def __call__(
        self,
        x: Array,
        y: Array,
        mean: float | None,
        std: float | None,
        *,
        sample_weight: Array | None = None,
        batch_size: int | None = None,
        n_jobs: int | None = None,
        distortions: Distortions | None = None,
    ) -> tuple[NDArray[np.float64], Array, FlatDict]:
        """Run a validated batch of shape (n, 28, 28) forwards and backwards.

        y has shape (n,): labels, or -1 for non-digits, whose target is uniform; or the parameters' dtype and shape
        (n, num_classes): the probabilities of the classes. If x is a part of a batch, which may be empty,
        `batch_size` is the size of the whole batch. `distortions` apply to the n images before they enter the network.

        Returns
        -------
        losses : ndarray of float64, shape (n,)
        logits : ndarray of shape (n, num_classes)
        gradients : FlatDict
            The gradient of the sum of the weighted losses, divided by `batch_size`; the next call overwrites it.
        """
        n, dtype = len(x), self._parameters.flat.dtype
        batch_size = batch_size or n
        if sample_weight is None:
            shares = np.full(n, 1 / batch_size, dtype)
        else:
            shares = (sample_weight / batch_size).astype(dtype)
        logits = np.empty((n, self._num_classes), dtype)
        exp_sums, target_logits = np.empty((2, n), dtype)
        size = TRAIN_CHUNK * max(1, -(-n // (TRAIN_CHUNK * MAX_TRAIN_CHUNKS)))
        self._allocate(max(1, -(-n // size)))
        if not n:
            self._gradients[0].flat.fill(0)

        def run(chunk: slice) -> None:
            gradient, work = self._gradients[chunk.start // size].flat, self._work[chunk.start // size]
            gradient.fill(0)
            for start in range(chunk.start, chunk.stop, TRAIN_CALL):
                part = slice(start, min(start + TRAIN_CALL, chunk.stop))
                images = x[part] if distortions is None else distortions[part].apply(x[part])
                self._kernels.forward_backward(
                    self._parameters.flat, _pixels(images, dtype), mean, std, y[part], shares[part],
                    logits[part], exp_sums[part], target_logits[part], gradient, work,
                )  # fmt: skip

        chunks = run_chunks(run, range(n), size, n_jobs)
        gradients = self._gradients[0]
        for other in self._gradients[1 : len(chunks)]:
            gradients.flat += other.flat
        return np.log(exp_sums, dtype=np.float64) - target_logits, logits, gradients

    def _allocate(self, chunks: int) -> None:
        for _ in range(chunks - len(self._work)):
            self._gradients.append(FlatDict(self._parameters.shapes, self._parameters.flat.dtype))
            self._work.append(np.zeros(self._kernels.scratch_size(self._num_classes), self._parameters.flat.dtype))


def _pixels(x: Array, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    """Return images as contiguous, aligned bytes: uint8 pixels, or numbers of `dtype` viewed as bytes."""
    if x.dtype == _UINT8:
        return x if x.flags.c_contiguous else x.copy()
    if not (x.flags.c_contiguous and x.flags.aligned and x.dtype == dtype):
        x = x.astype(dtype, order="C")
    return x.view(_UINT8)
