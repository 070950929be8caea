"""How a training shows where it is: a live table on a terminal, a line an epoch in a file, JSON for a program."""

import json
import sys
from dataclasses import asdict
from typing import Any

from lenet.cli.output import printable, say
from lenet.training.state import Epoch, State

# 74 characters: a terminal has at least 80.
HEADER = "  epoch       lr    loss accuracy val_loss val_accuracy images/s time left"


class Progress:
    """What a training tells of itself; nothing, unless a subclass says so."""

    def start(self, facts: dict[str, Any]) -> None:
        """Show what is trained on what."""

    def step(self, state: State) -> None:
        """Show where the epoch under way is."""

    def epoch(self, state: State) -> None:
        """Show an epoch that is done."""

    def stop(self) -> None:
        """Leave the output as it is."""


def progress_for(epochs: int, steps_per_epoch: int, as_json: bool) -> Progress:
    """Return what suits standard output."""
    if as_json:
        return JsonProgress(epochs, steps_per_epoch)
    if sys.stdout is not None and sys.stdout.isatty():
        try:
            return LiveProgress(epochs, steps_per_epoch)
        except ModuleNotFoundError:
            pass
    return LineProgress(epochs, steps_per_epoch)


def seconds_left(state: State, epochs: int, steps_per_epoch: int) -> int:
    """Return the seconds that the rest will take at the pace so far.

    Examples
    --------
    >>> import numpy as np
    >>> state = State(np.zeros(1), np.zeros(1), np.zeros(1), mean=0.0, std=1.0, step=50, seconds=30.0)
    >>> seconds_left(state, epochs=2, steps_per_epoch=100)
    90
    """
    done = len(state.history) * steps_per_epoch + state.step
    return round(state.seconds / max(1, done) * (epochs * steps_per_epoch - done))


def time_left(state: State, epochs: int, steps_per_epoch: int) -> str:
    """Return the same as minutes and seconds."""
    seconds = seconds_left(state, epochs, steps_per_epoch)
    return f"{seconds // 60}:{seconds % 60:02}"


def row(each: Epoch, epochs: int, left: str) -> str:
    """Return an epoch as a line under HEADER."""
    val_loss = "-" if each.val_loss is None else f"{each.val_loss:.4f}"
    val_accuracy = "-" if each.val_accuracy is None else f"{each.val_accuracy:.2%}"
    number = f"{each.epoch}/{epochs}"
    return (
        f"{number:>7} {each.learning_rate:>8.2g} {each.loss:>7.4f} {each.accuracy:>8.2%} {val_loss:>8} "
        f"{val_accuracy:>12} {each.images_per_second:>8,.0f} {left:>9}"
    )


class JsonProgress(Progress):
    """An object a line: the run's facts, then each epoch."""

    def __init__(self, epochs: int, steps_per_epoch: int):
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch

    def start(self, facts: dict[str, Any]) -> None:
        """Print the run's facts."""
        print(json.dumps({"event": "start", **facts}), flush=True)

    def epoch(self, state: State) -> None:
        """Print the epoch."""
        left = seconds_left(state, self.epochs, self.steps_per_epoch)
        print(json.dumps({"event": "epoch", **asdict(state.history[-1]), "seconds_left": left}), flush=True)


class LineProgress(Progress):
    """A line an epoch."""

    def __init__(self, epochs: int, steps_per_epoch: int):
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch

    def start(self, facts: dict[str, Any]) -> None:
        """Print what is trained on what, and the head of the table."""
        say(describe(facts))
        print(HEADER, flush=True)

    def epoch(self, state: State) -> None:
        """Print the epoch."""
        print(row(state.history[-1], self.epochs, time_left(state, self.epochs, self.steps_per_epoch)), flush=True)


class LiveProgress(Progress):
    """A table that grows, with a bar and the figures of the epoch under way below it."""

    def __init__(self, epochs: int, steps_per_epoch: int):
        from rich.progress import BarColumn, Progress, TextColumn

        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        columns = TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.percentage:>3.0f}%")
        self.bar = Progress(*columns, transient=True)
        self.task = self.bar.add_task("", total=epochs * steps_per_epoch)

    def start(self, facts: dict[str, Any]) -> None:
        """Print the head of the table, and show the bar."""
        self._print(describe(facts))
        self._print(HEADER, "bold")
        self.bar.start()

    def step(self, state: State) -> None:
        """Move the bar."""
        number = f"{state.epoch}/{self.epochs}"
        text = (
            f"{number:>7} loss {state.loss_sum / state.images:.4f}  accuracy {state.correct / state.images:.2%}  "
            f"{state.images_per_second:,.0f} images/s  {time_left(state, self.epochs, self.steps_per_epoch)} left"
        )
        done = len(state.history) * self.steps_per_epoch + state.step
        self.bar.update(self.task, completed=done, description=text)

    def epoch(self, state: State) -> None:
        """Add a row to the table."""
        left = time_left(state, self.epochs, self.steps_per_epoch)
        best = state.best_epoch == len(state.history)
        self._print(row(state.history[-1], self.epochs, left), "green" if best else "")

    def stop(self) -> None:
        """Take the bar away."""
        self.bar.stop()

    def _print(self, line: str, style: str = "") -> None:
        """Print a line above the bar, as it is: a path may hold brackets, and only the line has the style."""
        from rich.text import Text

        self.bar.console.print(Text(printable(line), style), soft_wrap=True)


def describe(facts: dict[str, Any]) -> str:
    """Return a run's facts in a line."""
    return (
        f"{facts['run']}: {facts['data']}, {facts['train']:,} images to train on, {facts['validation']:,} to choose "
        f"by, {facts['test']:,} to test on; recipe {facts['recipe']}, seed {facts['seed']}"
    )
