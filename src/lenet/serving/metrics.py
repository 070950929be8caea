"""The metrics for Prometheus, and the statistics of the Open Inference Protocol."""

import contextlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client import Metric, multiprocess
from prometheus_client.registry import Collector

from lenet.serving.models import Models

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_MODEL_INFO = "lenet_model_info"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass
class Statistics:
    """The inference statistics of one version of a model in this process."""

    count: int = 0
    images: int = 0
    failures: int = 0
    last: int = 0  # milliseconds since 1970
    read_ns: int = 0
    compute_ns: int = 0
    write_ns: int = 0

    def add(self, images: int, started: int, read: int, computed: int) -> None:
        """Count a response that is complete now; the times are those of `perf_counter_ns` after each earlier step."""
        self.count += 1
        self.images += images
        self.last = int(1000 * time.time())
        self.read_ns += read - started
        self.compute_ns += computed - read
        self.write_ns += time.perf_counter_ns() - computed

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the statistics extension; waiting for the rest of a batch counts as computing."""
        durations = {
            "success": self.read_ns + self.compute_ns + self.write_ns,
            "compute_input": self.read_ns,
            "compute_infer": self.compute_ns,
            "compute_output": self.write_ns,
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


def _is_shared() -> bool:
    """Return whether several processes share their metrics."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def _written_files() -> list[str]:
    """Return the files of all processes, except files that a process has just created and not yet filled."""
    files = []
    for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"):
        with contextlib.suppress(FileNotFoundError):  # of a process that has ended
            if path.stat().st_size:
                files.append(str(path))
    return files


class _SharedMetrics(Collector):
    """The metrics of all processes, without the models' earlier versions."""

    def collect(self) -> Iterator[Metric]:
        registry = prometheus_client.CollectorRegistry()
        collector = multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for metric in collector.merge(_written_files(), accumulate=True):  # type: ignore[no-untyped-call]
            if metric.name == _MODEL_INFO:
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric


class Metrics:
    """The metrics of one application.

    If several processes share a port, their metrics are summed in the folder that the environment variable
    PROMETHEUS_MULTIPROC_DIR names.
    """

    def __init__(self, models: Models):
        registry = self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "lenet_requests", "Requests answered.", ["operation", "status"], registry=registry
        )
        self._seconds = prometheus_client.Histogram(
            "lenet_request_seconds", "Time from the header of a request to its response.", ["operation"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._images = prometheus_client.Histogram(
            "lenet_batch_images", "Images per inference request.", ["model"], buckets=_IMAGES, registry=registry
        )
        self.in_flight = prometheus_client.Gauge(
            "lenet_in_flight", "Requests that are being received or answered.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.rejected = prometheus_client.Counter(
            "lenet_rejected", "Requests rejected to protect the server.", ["reason"], registry=registry
        )
        self.log_lines_dropped = prometheus_client.Counter(
            "lenet_log_lines_dropped", "Log lines that were dropped, because standard error was not read.",
            registry=registry,
        )  # fmt: skip
        self._reloads = prometheus_client.Counter(
            "lenet_model_reloads", "Attempts to reload a model.", ["model", "outcome"], registry=registry
        )
        self._model = prometheus_client.Gauge(
            _MODEL_INFO, "1 for the current version of a model.",
            ["model", "version"], registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._predictions = prometheus_client.Counter(
            "lenet_predictions", "Predicted labels of images and of digits in pictures, or \"rejected\".",
            ["model", "label"], registry=registry,
        )  # fmt: skip
        self.connections = prometheus_client.Gauge(
            "lenet_connections", "Open connections.", registry=registry, multiprocess_mode="livesum"
        )
        self.pending = prometheus_client.Gauge(
            "lenet_pending", "Pictures, and large inference requests, that run or wait.", ["kind"], registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        if not _is_shared():
            prometheus_client.ProcessCollector(registry=registry)
        self._labels: dict[tuple[str, int], Any] = {}
        self._models = models
        self._batches: dict[str, Any] = {}
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._versions: set[tuple[str, str]] = set()
        self.update_models()
        self.statistics: dict[tuple[str, str], Statistics] = defaultdict(Statistics)

    def count_request(self, operation: str, status: int, seconds: float) -> None:
        """Count a request after its response."""
        if (operation, status) not in self._children:  # looking up labels takes longer than counting
            self._children[operation, status] = (
                self._requests.labels(operation, status), self._seconds.labels(operation)
            )  # fmt: skip
        requests, durations = self._children[operation, status]
        requests.inc()
        durations.observe(seconds)

    def count_batch(self, model: str, labels: list[int]) -> None:
        """Count an inference request and its labels."""
        if model not in self._batches:
            self._batches[model] = self._images.labels(model)
        self._batches[model].observe(len(labels))
        self.count_labels(model, labels)

    def count_labels(self, model: str, labels: list[int]) -> None:
        """Count the labels of images or of digits in a picture; -1 if the model rejected them."""
        # A Counter of a single label takes longer than the network.
        for label, number in Counter(labels).items() if len(labels) > 1 else [(label, 1) for label in labels]:
            if (model, label) not in self._labels:
                name = "rejected" if label < 0 else str(label)
                self._labels[model, label] = self._predictions.labels(model, name)
            self._labels[model, label].inc(number)

    def count_reload(self, model: str, outcome: str) -> None:
        """Count an attempt to reload a model, and update the current versions."""
        self._reloads.labels(model, outcome).inc()
        self.update_models()

    def update_models(self) -> None:
        """Update the current versions of the models."""
        current = {(served.name, served.version) for served in self._models.ready()}
        for labels in self._versions - current:
            if _is_shared():
                self._model.labels(*labels).set(0)  # the package cannot remove it; `_SharedMetrics` leaves it out
            else:
                self._model.remove(*labels)
        for labels in current:
            self._model.labels(*labels).set(1)
        self._versions = current

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        if not _is_shared():
            return prometheus_client.generate_latest(self._registry)
        registry = prometheus_client.CollectorRegistry()
        registry.register(_SharedMetrics())
        return prometheus_client.generate_latest(registry)
