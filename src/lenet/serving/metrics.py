"""The metrics for Prometheus, and the statistics of the Open Inference Protocol."""

import contextlib
import functools
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

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the environment variable that names the folder several processes share
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
    return METRICS_FOLDER in os.environ


def _written_files() -> list[str]:
    """Return the files of all processes, except files that a process has just created and not yet filled."""
    files = []
    for path in Path(os.environ[METRICS_FOLDER]).glob("*.db"):
        with contextlib.suppress(FileNotFoundError):  # of a process that has ended
            if path.stat().st_size:
                files.append(str(path))
    return files


class _SharedMetrics(Collector):
    """The metrics of all processes, without those of an outer application and of the models' earlier versions."""

    def collect(self) -> Iterator[Metric]:
        for metric in multiprocess.MultiProcessCollector.merge(_written_files()):  # type: ignore[no-untyped-call]
            if metric.name == _MODEL_INFO:
                metric.samples = [sample for sample in metric.samples if sample.value]
            if metric.name.startswith("lenet_"):
                yield metric


class _Children(dict[Any, Any]):
    """The children of a metric by label or tuple of labels; looking one up in the metric takes longer than counting."""

    def __init__(self, metric: Any):
        self._metric = metric

    def __missing__(self, labels: Any) -> Any:
        child = self[labels] = self._metric.labels(*(labels if isinstance(labels, tuple) else [labels]))
        return child


class Metrics:
    """The metrics of one application.

    If several processes share a port, their metrics are summed in the folder that the environment variable
    PROMETHEUS_MULTIPROC_DIR names.
    """

    def __init__(self, models: Models):
        registry = self._registry = prometheus_client.CollectorRegistry()
        counter = functools.partial(prometheus_client.Counter, registry=registry)
        histogram = functools.partial(prometheus_client.Histogram, registry=registry)
        gauge = functools.partial(prometheus_client.Gauge, registry=registry, multiprocess_mode="livesum")
        self._requests = _Children(counter("lenet_requests", "Requests answered.", ["operation", "status"]))
        self._seconds = _Children(histogram(
            "lenet_request_seconds", "Time from the header of a request to its response.", ["operation"],
            buckets=_SECONDS,
        ))  # fmt: skip
        self._images = _Children(
            histogram("lenet_batch_images", "Images per inference request.", ["model"], buckets=_IMAGES)
        )
        self._predictions = _Children(counter(
            "lenet_predictions", "Predicted labels of images and of digits in pictures, or \"rejected\".",
            ["model", "label"],
        ))  # fmt: skip
        self.in_flight = gauge("lenet_in_flight", "Requests that are being received or answered.")
        self.connections = gauge("lenet_connections", "Open connections.")
        self.pending = gauge(
            "lenet_pending", "Pictures and inference requests that are computed in threads or wait for one.", ["kind"]
        )
        self.rejected = counter("lenet_rejected", "Requests rejected to protect the server.", ["reason"])
        self.log_lines_dropped = counter(
            "lenet_log_lines_dropped", "Log lines that were dropped, because standard error was not read."
        )
        self._reloads = counter("lenet_model_reloads", "Attempts to reload a model.", ["model", "outcome"])
        self._model = gauge(
            _MODEL_INFO, "1 for the current version of a model.", ["model", "version"], multiprocess_mode="livemax"
        )
        if not _is_shared():
            prometheus_client.ProcessCollector(registry=registry)
        self.statistics: dict[tuple[str, str], Statistics] = defaultdict(Statistics)
        self._models = models
        self._versions: set[tuple[str, str]] = set()
        self.update_models()

    def count_request(self, operation: str, status: int, seconds: float) -> None:
        """Count a request after its response."""
        self._requests[operation, status].inc()
        self._seconds[operation].observe(seconds)

    def count_batch(self, model: str, labels: list[int]) -> None:
        """Count an inference request and its labels."""
        self._images[model].observe(len(labels))
        self.count_labels(model, labels)

    def count_labels(self, model: str, labels: list[int]) -> None:
        """Count the labels of images or of digits in a picture; -1 if the model rejected them."""
        # A Counter of a single label takes longer than the network.
        counts = Counter(labels) if len(labels) > 1 else dict.fromkeys(labels, 1)
        for label, number in counts.items():
            self._predictions[model, "rejected" if label < 0 else label].inc(number)

    def count_reload(self, model: str, outcome: str) -> None:
        """Count an attempt to reload a model, and update the current versions."""
        self._reloads.labels(model, outcome).inc()
        self.update_models()

    def update_models(self) -> None:
        """Update the current versions of the models."""
        current = {(served.name, served.version) for served in self._models.ready()}
        for labels in self._versions - current:
            self.statistics.pop(labels, None)  # a running request keeps its own
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
