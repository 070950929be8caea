"""Settings of gunicorn for asgi.py: `pip install gunicorn uvicorn-worker`, then `gunicorn asgi:app` in this folder."""

import os
import shutil
import tempfile
from typing import Any

from uvicorn_worker import UvicornWorker


class TimedWorker(UvicornWorker):
    """uvicorn, with the deadlines for slow clients that `lenet serve` has."""

    CONFIG_KWARGS = {  # noqa: RUF012 - so uvicorn_worker has it
        "http": "lenet.serving.connections:TimedProtocol",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # lenet has one
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 40,  # a request may take 10 s to arrive and 30 s to be answered
    }


bind = "127.0.0.1:8000"
worker_class = TimedWorker
workers = len(os.sched_getaffinity(0))
graceful_timeout = 45
control_socket_disable = True  # nothing is written but the metrics

# The workers' metrics add up in this folder; prometheus_client wants to know of it before it is imported.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # this file is read again on SIGHUP
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="lenet-metrics-")


def child_exit(server: Any, worker: Any) -> None:
    """Take what a worker that has ended had in flight out of the metrics."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the folder."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
