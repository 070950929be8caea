"""Settings for gunicorn with asgi.py: `pip install gunicorn uvicorn-worker`, then run `gunicorn asgi:app` here."""

import os
import shutil
import tempfile
from typing import Any

from uvicorn_worker import UvicornWorker


class TimedWorker(UvicornWorker):
    """A uvicorn worker with the timeouts of `lenet serve` for slow clients."""

    CONFIG_KWARGS = {  # noqa: RUF012 - as in uvicorn_worker
        "http": "lenet.serving.connections:TimedProtocol",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # lenet writes its own
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 40,  # a request may take 10 s to arrive and 30 s to answer
    }


bind = "127.0.0.1:8000"
worker_class = TimedWorker
workers = len(os.sched_getaffinity(0))
graceful_timeout = 45
control_socket_disable = True  # so that only the metrics are written to disk

# The workers share their metrics through this folder, which must be set before prometheus_client is imported.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # gunicorn reads this file again on SIGHUP
    created = tempfile.mkdtemp(prefix="lenet-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ["CREATED_METRICS_DIR"] = created


def child_exit(server: Any, worker: Any) -> None:
    """Remove the requests of a dead worker from the metrics."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the metrics folder, unless it was given."""
    if "CREATED_METRICS_DIR" in os.environ:
        shutil.rmtree(os.environ["CREATED_METRICS_DIR"], ignore_errors=True)
