"""Small requests that arrive together are computed as one batch.

The weights then come into the processor's cache once for all of them: with 16 clients, a request takes some 7% less
of the processor's time (`python -m benchmarks.serving`). Nobody waits for others to come, and results are the same to
the bit.
"""

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet.model import LeNet5
from lenet.serving.work import BusyError

Array = NDArray[Any]


MOST = 4096  # images that may wait for one round: some 20 milliseconds' work


class Together:
    """Computes what is asked for in one round of the event loop in one go."""

    def __init__(self) -> None:
        self._waiting: list[tuple[LeNet5, Array, asyncio.Future[Array]]] = []
        self._images = 0

    async def predict_proba(self, model: LeNet5, images: Array) -> Array:
        """Return what `LeNet5.predict_proba` does.

        Raises
        ------
        InputError
            If the images are none; those of others do not matter.
        BusyError
            If there are too many already.
        """
        images = _checks.images(images)
        if self._images + len(images) > MOST:
            raise BusyError
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Array] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._compute)
        self._waiting.append((model, images, future))
        self._images += len(images)
        return await future

    def _compute(self) -> None:
        groups: dict[tuple[int, np.dtype[Any]], list[tuple[LeNet5, Array, asyncio.Future[Array]]]] = {}
        for each in self._waiting:
            groups.setdefault((id(each[0]), each[1].dtype), []).append(each)
        self._waiting.clear()
        self._images = 0
        for group in groups.values():
            _compute_group(group)


def _compute_group(group: list[tuple[LeNet5, Array, asyncio.Future[Array]]]) -> None:
    try:
        images = group[0][1] if len(group) == 1 else np.concatenate([images for _, images, _ in group])
        probabilities = group[0][0].predict_proba(images, n_jobs=1)
    except Exception as error:  # lack of memory: images were checked before
        for _, _, future in group:
            if not future.done():
                future.set_exception(error)
        return
    start = 0
    for _, images, future in group:
        if not future.done():  # its client may have left
            future.set_result(probabilities[start : start + len(images)])
        start += len(images)
