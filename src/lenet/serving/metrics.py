"""What is counted: for Prometheus, and for the protocol's statistics."""

import contextlib
import os
import struct
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import prometheus_client
from prometheus_client import multiprocess

from lenet.serving.models import Models

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass
class Statistics:
    """Of one version of a model, since it was loaded by this process."""

    count: int = 0
    images: int = 0
    failures: int = 0
    last: int = 0  # milliseconds since 1970
    reading: int = 0  # nanoseconds, as the next two
    computing: int = 0
    writing: int = 0

    def add(self, images: int, began: int, read: int, computed: int) -> None:
        """Count an answer that was just written, by when its parts began, in nanoseconds of `perf_counter_ns`."""
        self.count += 1
        self.images += images
        self.last = int(1000 * time.time())
        self.reading += read - began
        self.computing += computed - read
        self.writing += time.perf_counter_ns() - computed

    def as_dict(self) -> dict[str, Any]:
        """Return what the protocol's statistics extension tells; there is no queue."""
        durations = {
            "success": self.reading + self.computing + self.writing,
            "compute_input": self.reading,
            "compute_infer": self.computing,
            "compute_output": self.writing,
        }
        return {
            "last_inference": self.last,
            "inference_count": self.images,
            "execution_count": self.count,
            "inference_stats": {
                **{name: {"count": self.count, "ns": nanoseconds} for name, nanoseconds in durations.items()},
                "fail": {"count": self.failures, "ns": 0},
                "queue": {"count": self.count, "ns": 0},
            },
        }


class Metrics:
    """The counters of one application.

    Where several processes share a port, the environment variable PROMETHEUS_MULTIPROC_DIR names a folder by which
    they add up.
    """

    def __init__(self, models: Models):
        registry = self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "lenet_requests", "Requests answered.", ["operation", "status"], registry=registry
        )
        self._seconds = prometheus_client.Histogram(
            "lenet_request_seconds", "From the head of a request to its answer.", ["operation"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._images = prometheus_client.Histogram(
            "lenet_batch_images", "Images of an inference request.", ["model"], buckets=_IMAGES, registry=registry
        )
        self.in_flight = prometheus_client.Gauge(
            "lenet_in_flight", "Requests that are being received or answered.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.rejected = prometheus_client.Counter(
            "lenet_rejected", "Requests refused to protect the server.", ["reason"], registry=registry
        )
        self._reloads = prometheus_client.Counter(
            "lenet_model_reloads", "Attempts to load a model again.", ["model", "outcome"], registry=registry
        )
        self._model = prometheus_client.Gauge(
            "lenet_model_info", "1 for the version of a model that answers, 0 for those before it.",
            ["model", "version"], registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._models = models
        self._batches: dict[str, Any] = {}
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._told: set[tuple[str, str]] = set()
        self.note_models()
        self.statistics: dict[tuple[str, str], Statistics] = defaultdict(Statistics)

    def note(self, operation: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        if (operation, status) not in self._children:  # to look labels up takes longer than to count
            self._children[operation, status] = (
                self._requests.labels(operation, status), self._seconds.labels(operation)
            )  # fmt: skip
        requests, durations = self._children[operation, status]
        requests.inc()
        durations.observe(seconds)

    def note_batch(self, model: str, images: int) -> None:
        """Count an inference request."""
        if model not in self._batches:
            self._batches[model] = self._images.labels(model)
        self._batches[model].observe(images)

    def note_reload(self, model: str, outcome: str) -> None:
        """Count that a file was read again, and note what is served now."""
        self._reloads.labels(model, outcome).inc()
        self.note_models()

    def note_models(self) -> None:
        """Note which versions of models are served."""
        now = {(served.name, served.version) for served in self._models.ready()}
        for labels in self._told | now:
            self._model.labels(*labels).set(labels in now)
        self._told |= now

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return prometheus_client.generate_latest(self._registry)
        for _ in range(10):
            registry = prometheus_client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            with contextlib.suppress(struct.error):  # another process is beginning its file
                return prometheus_client.generate_latest(registry)
        raise OSError("The counters of the workers cannot be read.")
