"""Event files in a run folder, which TensorBoard reads."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from lenet._extras import require
from lenet.cli.progress import Progress
from lenet.errors import SaveError
from lenet.training.state import Epoch, State

SCALARS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


class EventFile(Progress):
    """Writes the results of each epoch to a new event file.

    Its writer has no thread or queue, unlike a SummaryWriter, so that errors are raised here.
    """

    def __init__(self, folder: Path, history: Sequence[Epoch]):
        writer = require("tensorboardX.event_file_writer", "tensorboard").EventsWriter
        self._folder = folder
        earlier = () if has_events(folder) else history  # if the run was started without event files
        self._writer = writer(str(folder.resolve() / "events"), f".{len(history)}")
        for epoch in earlier:
            self._write(epoch)

    def epoch(self, state: State) -> None:
        """Write the epoch."""
        self._write(state.history[-1])

    def stop(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # already raised when the last epoch was written
            self._writer.close()

    def _write(self, epoch: Epoch) -> None:
        event = require("tensorboardX.proto.event_pb2", "tensorboard").Event
        found = {name: getattr(epoch, name) for name in SCALARS}
        values = [{"tag": name, "simple_value": value} for name, value in found.items() if value is not None]
        try:
            self._writer.write_event(event(wall_time=time.time(), step=epoch.epoch, summary={"value": values}))
            self._writer.flush()
        except OSError as error:
            raise SaveError(f"The event file in {self._folder} could not be written ({error.strerror}).") from error


def has_events(folder: Path) -> bool:
    """Return whether a run folder has event files."""
    return any(folder.glob("events.out.tfevents.*"))
