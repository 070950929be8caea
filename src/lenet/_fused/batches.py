"""The compiled LeNet-5 over arrays of images: cuts them into pieces of work, for threads, and owns scratch memory."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet._flat import FlatDict
from lenet._fused.dispatch import kernels
from lenet._fused.threads import resolve_n_jobs, run_chunks

Array = NDArray[Any]

# Images of a piece of work. Pieces do not depend on the number of threads, so neither do results: gradients
# are added piece by piece, in order.
PREDICT_CHUNK = 48
TRAIN_CHUNK = 16
TRAIN_CHUNKS = 8  # of a batch, at most: each has a gradient and scratch memory of its own, 0.7 MB
# Images of a call, of those of a larger piece: a millisecond, so that Ctrl-C is answered at once, no more images are
# copied at a time, and the sums of single precision stay short.
LEARNT_AT_ONCE = 64

_UINT8 = np.dtype(np.uint8)


class Distortions(Protocol):
    """How each of some images is distorted before it is learnt from."""

    def __getitem__(self, part: Any) -> "Distortions":
        """Return those of some of the images."""

    def apply(self, images: Array) -> Array:
        """Return the images, distorted."""


class Predictor:
    """Logits of images, or their likeliest classes.

    Parameters
    ----------
    parameters : FlatDict
        Those of a LeNet5, read at each call.
    """

    def __init__(self, parameters: FlatDict):
        build = kernels(parameters.flat.dtype)
        self._parameters, self._dtype = build.view(parameters.flat), parameters.flat.dtype
        self._num_classes = len(parameters["output.bias"])
        self._kernel = build.logits

    def empty(self, n: int) -> Array:
        """Return an array for the logits of n images."""
        return np.empty((n, self._num_classes), self._dtype)

    def __call__(self, x: Array, mean: float, std: float, out: Array, n_jobs: int | None) -> None:
        """Fill out, (n, num_classes) with the logits or (n,) with the classes, of checked images x (n, 28, 28)."""
        if n_jobs is not None:
            resolve_n_jobs(n_jobs)
        n = len(x)
        if n <= PREDICT_CHUNK:
            self._run(x, mean, std, out)
        else:
            size = -(-n // -(-n // PREDICT_CHUNK))  # pieces of one size, as far as may be
            run_chunks(lambda chunk: self._run(x[chunk], mean, std, out[chunk]), range(n), size, n_jobs)

    def _run(self, x: Array, mean: float, std: float, out: Array) -> None:
        logits = out if out.ndim == 2 else self.empty(len(x))
        self._kernel(self._parameters, _pixels(x, self._dtype), mean, std, logits)
        if out.ndim == 1:
            logits.argmax(axis=1, out=out)


class Learner:
    """Losses and gradients of batches; what they take of memory is kept from one batch to the next.

    Parameters
    ----------
    parameters : FlatDict
        Those of a LeNet5, read at each call.
    """

    def __init__(self, parameters: FlatDict):
        self._parameters = parameters
        self._kernels = kernels(parameters.flat.dtype)
        self._num_classes = len(parameters["output.bias"])
        self._gradients: list[FlatDict] = []
        self._work: list[Array] = []

    def __call__(
        self,
        x: Array,
        y: NDArray[np.int64],
        mean: float,
        std: float,
        *,
        weights: Array | None = None,
        of: int | None = None,
        n_jobs: int | None = None,
        distortions: Distortions | None = None,
    ) -> tuple[NDArray[np.float64], Array, FlatDict]:
        """Run a checked batch forwards and backwards.

        Parameters
        ----------
        x : ndarray of shape (n, 28, 28)
        y : ndarray of int64, shape (n,)
        mean, std : float
            Of the standardisation.
        weights : ndarray of shape (n,), optional
            What each image's loss and gradient count for; 1 by default.
        of : int, optional
            How many images the whole batch has, where x is a part of it, which may be empty; n by default.
        n_jobs : int, optional
        distortions : Distortions, optional
            Of the n images; applied to each part just before it is learnt from.

        Returns
        -------
        losses : ndarray of float64, shape (n,)
        logits : ndarray of shape (n, num_classes)
        gradients : FlatDict
            Of the mean loss, weighted, or of x's part of it; the next call overwrites it.
        """
        n, dtype = len(x), self._parameters.flat.dtype
        of = of or n
        shares = np.full(n, 1 / of, dtype) if weights is None else (weights / of).astype(dtype)
        logits, totals, margins = np.empty((n, self._num_classes), dtype), np.empty(n, dtype), np.empty(n, dtype)
        size = TRAIN_CHUNK * max(1, -(-n // (TRAIN_CHUNK * TRAIN_CHUNKS)))
        self._allocate(max(1, -(-n // size)))
        if not n:
            self._gradients[0].flat.fill(0)

        def run(chunk: slice) -> None:
            gradient, work = self._gradients[chunk.start // size].flat, self._work[chunk.start // size]
            gradient.fill(0)
            for start in range(chunk.start, chunk.stop, LEARNT_AT_ONCE):
                part = slice(start, min(start + LEARNT_AT_ONCE, chunk.stop))
                images = x[part] if distortions is None else distortions[part].apply(x[part])
                self._kernels.learn(
                    self._parameters.flat, _pixels(images, dtype), mean, std, y[part], shares[part],
                    logits[part], totals[part], margins[part], gradient, work,
                )  # fmt: skip

        chunks = run_chunks(run, range(n), size, n_jobs)
        gradients = self._gradients[0]
        for other in self._gradients[1 : len(chunks)]:
            gradients.flat += other.flat
        return np.log(totals, dtype=np.float64) - margins, logits, gradients

    def _allocate(self, chunks: int) -> None:
        for _ in range(chunks - len(self._work)):
            self._gradients.append(FlatDict(self._parameters.shapes, self._parameters.flat.dtype))
            self._work.append(np.zeros(self._kernels.learn_work(self._num_classes), self._parameters.flat.dtype))


def _pixels(x: Array, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    """Return images as contiguous, aligned bytes: uint8 pixels, or numbers of `dtype` viewed as bytes."""
    if x.dtype == _UINT8:
        dtype = _UINT8
    if not (x.flags.c_contiguous and x.flags.aligned and x.dtype == dtype):
        x = x.astype(dtype, order="C")
    return x.view(np.uint8)
