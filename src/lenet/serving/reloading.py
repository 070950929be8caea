"""Reload models when their files change, while requests run."""

import asyncio
import contextlib
import functools
import math
import signal
from collections.abc import AsyncIterator
from typing import Any

from lenet.errors import LenetError, NotServedError
from lenet.serving.limits.capacity import ThreadPool
from lenet.serving.logs import LOG
from lenet.serving.metrics import Metrics
from lenet.serving.models import Models

INTERVAL = 1.0  # seconds
_UNHANDLED = (signal.SIG_DFL, signal.SIG_IGN)  # the latter under nohup


@contextlib.asynccontextmanager
async def watching(models: Models, metrics: Metrics | None = None) -> AsyncIterator[None]:
    """Reload models whose files change, and all models on SIGHUP, while the context is open.

    This asynchronous context manager checks the files every second. If a model cannot be loaded, the error is logged
    and the previous model stays in use. If the application already handles SIGHUP, its handler is kept.

    Parameters
    ----------
    models : Models
        The models of the server.
    metrics : Metrics, optional
        The metrics of the server, which count the reloads.

    Yields
    ------
    None

    Examples
    --------
    >>> from lenet import LeNet5
    >>> async def serve_for_a_moment():
    ...     async with watching(Models({"digits": LeNet5(seed=0)})):
    ...         return "served"
    >>> asyncio.run(serve_for_a_moment())
    'served'
    """
    loop, hangup = asyncio.get_running_loop(), asyncio.Event()
    previous = _handle_hangup(loop, hangup)
    # Unlike asyncio's threads, this one does not delay the end of the process, however long a file takes to read.
    pool = ThreadPool(1, math.inf)
    task = asyncio.create_task(_watch(models, metrics, hangup, pool))
    try:
        yield
    finally:
        task.cancel()
        if previous is not None:
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, previous)


def _handle_hangup(loop: asyncio.AbstractEventLoop, hangup: asyncio.Event) -> Any:
    """Set the event on SIGHUP, and return the previous handler; None if the signal is missing or already handled."""
    previous = signal.getsignal(signal.SIGHUP) if hasattr(signal, "SIGHUP") else None
    if previous in _UNHANDLED:
        with contextlib.suppress(ValueError, RuntimeError):  # this is not the main thread
            loop.add_signal_handler(signal.SIGHUP, hangup.set)
            return previous
    return None


async def _watch(models: Models, metrics: Metrics | None, hangup: asyncio.Event, pool: ThreadPool) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hangup.wait(), INTERVAL)
        was_hangup = hangup.is_set()
        try:
            await _check_files(models, metrics, hangup, pool)
        except Exception:  # such as BusyError if the system allows no more threads now
            LOG.exception("The models were not checked or reloaded. The server tries again in %g s.", INTERVAL)
            await asyncio.sleep(INTERVAL)
            if was_hangup:
                hangup.set()


async def _check_files(models: Models, metrics: Metrics | None, hangup: asyncio.Event, pool: ThreadPool) -> None:
    """Reload models whose files have changed, or all after SIGHUP."""
    if hangup.is_set():
        hangup.clear()  # before the next await, during which another SIGHUP may arrive
        names = [served.name for served in models.ready()]
    else:
        names = await pool.run(models.changed)
    for name in names:
        if name not in {served.name for served in models.ready()}:  # a client has unloaded it in the meantime
            continue
        outcome = await pool.run(functools.partial(_reload, models, name))
        if metrics is not None and outcome is not None:
            metrics.count_reload(name, outcome)


def _reload(models: Models, name: str) -> str | None:
    """Return the outcome; None if a client unloaded the model in the meantime."""
    try:
        changed = models.reload(name, only_if_ready=True)
    except NotServedError:
        LOG.info("Model %s was unloaded while its file was read.", name)
        return None
    except (LenetError, OSError) as error:
        LOG.error("Model %s was not reloaded; the previous model stays in use. %s", name, error)
        return "failed"
    except Exception:  # from a custom loader; the other models must still be watched
        LOG.exception("Model %s was not reloaded; the previous model stays in use.", name)
        return "failed"
    LOG.info("Model %s was reloaded; its weights are %s.", name, "new" if changed else "the same")
    return "loaded"
