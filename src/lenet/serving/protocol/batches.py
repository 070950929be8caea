"""Compute the images of requests that arrive together as one batch."""

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet.model import LeNet5
from lenet.serving.protocol.tensors import INPUT


class Batches:
    """Computes the requests of one iteration of the event loop together.

    Switching between the network and the rest of the server takes longer than the network itself, because each
    displaces the other from the processor's caches. It requires models whose results do not depend on the batch size.
    One event loop may use an instance.
    """

    def __init__(self) -> None:
        self.size = 0  # images in this iteration
        self._open: dict[tuple[int, np.dtype[Any]], _Batch] = {}  # of this iteration

    async def predict_proba(self, model: LeNet5, images: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities of images; raise InputError as `LeNet5.predict_proba` does."""
        images = _checks.images(images, INPUT)  # before other requests depend on them
        self.size += len(images)
        batches = self._open
        batch = batches.setdefault((id(model), images.dtype), _Batch(model))
        start = batch.add(images)
        try:
            await asyncio.sleep(0)  # while the other requests of this iteration are read
        finally:
            if batches is self._open:
                self._open, self.size = {}, 0
        return batch.probabilities()[start : start + len(images)]


class _Batch:
    """Images of one dtype for one model; the first request that needs the probabilities computes all."""

    def __init__(self, model: LeNet5):
        self._model, self._size = model, 0
        self._parts: list[NDArray[Any]] = []
        self._probabilities: NDArray[Any] | None = None

    def add(self, images: NDArray[Any]) -> int:
        """Add images, and return the number of those before them."""
        start, self._size = self._size, self._size + len(images)
        self._parts.append(images)
        return start

    def probabilities(self) -> NDArray[Any]:
        """Return the probabilities of all images."""
        if self._probabilities is None:
            images = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
            self._probabilities = self._model.predict_proba(images)
        return self._probabilities
