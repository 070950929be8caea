"""Load models anew when their files change, while requests run."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator

from lenet.errors import LenetError
from lenet.serving.metrics import Metrics
from lenet.serving.models import Models

LOG = logging.getLogger("lenet.serving")
SECONDS = 1.0


@contextlib.asynccontextmanager
async def watching(models: Models, metrics: Metrics | None = None) -> AsyncIterator[None]:
    """Look at the files of models each second, and load those that have changed; on SIGHUP, load all at once.

    What cannot be loaded is logged, and the model before goes on. SIGHUP is left to whoever else handles it.

    Parameters
    ----------
    models : Models
    metrics : Metrics, optional
        Counts what was loaded.

    Examples
    --------
    >>> from lenet import LeNet5
    >>> async def serve_for_a_moment():
    ...     async with watching(Models({"digits": LeNet5(seed=0)})):
    ...         return "served"
    >>> asyncio.run(serve_for_a_moment())
    'served'
    """
    loop = asyncio.get_running_loop()
    hangup = asyncio.Event()
    handles = _handle_hangup(loop, hangup)
    task = asyncio.create_task(_watch(models, metrics, hangup))
    try:
        yield
    finally:
        task.cancel()
        if handles:
            loop.remove_signal_handler(signal.SIGHUP)


def _handle_hangup(loop: asyncio.AbstractEventLoop, hangup: asyncio.Event) -> bool:
    """Note SIGHUP where there is such a signal, nobody else handles it, and this is the main thread."""
    if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        return False
    try:
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
    except (ValueError, RuntimeError):
        return False
    return True


async def _watch(models: Models, metrics: Metrics | None, hangup: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hangup.wait(), SECONDS)
        if hangup.is_set():
            hangup.clear()  # before anything is waited for, when the next one may come
            names = [served.name for served in models.ready()]
        else:
            names = await asyncio.to_thread(models.changed)
        for name in names:
            outcome = await asyncio.to_thread(_reload, models, name)
            if metrics is not None:
                metrics.note_reload(name, outcome)


def _reload(models: Models, name: str) -> str:
    try:
        is_new = models.reload(name)
    except (LenetError, OSError) as error:
        LOG.error("model %s was not loaded anew, and the one before goes on: %s", name, error)
        return "failed"
    except Exception:  # of a loader that is not ours; the others are still to be watched
        LOG.exception("model %s was not loaded anew, and the one before goes on", name)
        return "failed"
    LOG.info("model %s was loaded anew and is %s", name, "another one" if is_new else "the same")
    return "loaded"
