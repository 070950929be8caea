"""Training progress: a live table on a terminal, a line per epoch in a file, JSON, or event files for TensorBoard."""

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lenet._extras import require
from lenet.cli.output import printable, say
from lenet.errors import SaveError
from lenet.training.state import Epoch, State

HEADER = "  epoch       lr    loss accuracy val_loss val_accuracy images/s time left"
SCALARS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")  # in event files


class Progress:
    """Progress output of a training run; this one shows nothing."""

    def __init__(self, epochs: int, steps_per_epoch: int):
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch

    def start(self, metadata: dict[str, Any]) -> None:
        """Show the metadata of the run."""

    def step(self, state: State) -> None:
        """Show the current step."""

    def epoch(self, state: State) -> None:
        """Show a finished epoch."""

    def stop(self) -> None:
        """End the output."""

    def steps_done(self, state: State) -> int:
        """Return the number of steps since training began."""
        return len(state.history) * self.steps_per_epoch + state.step

    def seconds_left(self, state: State) -> int:
        """Estimate the remaining seconds from the average speed so far.

        Examples
        --------
        >>> import numpy as np
        >>> zeros = np.zeros(1)
        >>> state = State(zeros, zeros, zeros, mean=0.0, std=1.0, step=50, seconds=30.0)
        >>> Progress(epochs=2, steps_per_epoch=100).seconds_left(state)
        90
        """
        done = self.steps_done(state)
        return round(state.seconds / max(1, done) * (self.epochs * self.steps_per_epoch - done))

    def time_left(self, state: State) -> str:
        """Return the remaining time as minutes and seconds."""
        minutes, seconds = divmod(self.seconds_left(state), 60)
        return f"{minutes}:{seconds:02}"

    def row(self, state: State) -> str:
        """Format the last epoch as a row of the table."""
        epoch = state.history[-1]
        val_loss = "-" if epoch.val_loss is None else f"{epoch.val_loss:.4f}"
        val_accuracy = "-" if epoch.val_accuracy is None else f"{epoch.val_accuracy:.2%}"
        number = f"{epoch.epoch}/{self.epochs}"
        return (
            f"{number:>7} {epoch.learning_rate:>8.2g} {epoch.loss:>7.4f} {epoch.accuracy:>8.2%} {val_loss:>8} "
            f"{val_accuracy:>12} {epoch.images_per_second:>8,.0f} {self.time_left(state):>9}"
        )


def progress_for(epochs: int, steps_per_epoch: int, as_json: bool) -> Progress:
    """Return the progress output that suits standard output."""
    if as_json:
        return JsonProgress(epochs, steps_per_epoch)
    if sys.stdout.isatty():
        try:
            return LiveProgress(epochs, steps_per_epoch)
        except ImportError:
            pass
    return LineProgress(epochs, steps_per_epoch)


class JsonProgress(Progress):
    """Prints JSON, one object per line: the metadata of the run, then each epoch."""

    def start(self, metadata: dict[str, Any]) -> None:
        """Print the metadata."""
        say(json.dumps({"event": "start", **metadata}))

    def epoch(self, state: State) -> None:
        """Print the epoch."""
        left = self.seconds_left(state)
        say(json.dumps({"event": "epoch", **asdict(state.history[-1]), "seconds_left": left}))


class LineProgress(Progress):
    """Prints one line per epoch."""

    def start(self, metadata: dict[str, Any]) -> None:
        """Print the metadata and the header of the table."""
        say(describe(metadata))
        say(HEADER)

    def epoch(self, state: State) -> None:
        """Print the epoch."""
        say(self.row(state))


class LiveProgress(Progress):
    """Shows a growing table above a progress bar with the figures of the current epoch."""

    def __init__(self, epochs: int, steps_per_epoch: int):
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(epochs, steps_per_epoch)
        columns = TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.percentage:>3.0f}%")
        self.bar = Progress(*columns, transient=True)
        self.task = self.bar.add_task("", total=epochs * steps_per_epoch)

    def start(self, metadata: dict[str, Any]) -> None:
        """Print the metadata and the header of the table, and show the bar."""
        self._print(describe(metadata))
        self._print(HEADER, "bold")
        self.bar.start()

    def step(self, state: State) -> None:
        """Update the bar."""
        number = f"{state.epoch}/{self.epochs}"
        text = (
            f"{number:>7} loss {state.loss_sum / state.images:.4f}  accuracy {state.correct / state.images:.2%}  "
            f"{state.images_per_second:,.0f} images/s  {self.time_left(state)} left"
        )
        self.bar.update(self.task, completed=self.steps_done(state), description=text)

    def epoch(self, state: State) -> None:
        """Add a row to the table."""
        best = state.best_epoch == len(state.history)
        self._print(self.row(state), "green" if best else "")

    def stop(self) -> None:
        """Remove the bar."""
        self.bar.stop()

    def _print(self, line: str, style: str = "") -> None:
        """Print a line above the bar without interpreting brackets, which a path may contain, as markup."""
        from rich.text import Text

        self.bar.console.print(Text(printable(line), style), soft_wrap=True)


def describe(metadata: dict[str, Any]) -> str:
    """Describe a run in one line."""
    return (
        f"{metadata['run']}: {metadata['data']}, {metadata['train']:,} images for training, "
        f"{metadata['validation']:,} for validation, {metadata['test']:,} for testing; recipe {metadata['recipe']}, "
        f"seed {metadata['seed']}"
    )


class EventFile(Progress):
    """Writes the results of each epoch to a new event file, which TensorBoard reads.

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
