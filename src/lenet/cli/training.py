"""Train a run of `lenet train`: save its state, show its progress, and stop after a signal."""

import argparse
import contextlib
import json
import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lenet.cli.output import note, quoted, say
from lenet.cli.results import REPORT, print_report, write_results

if TYPE_CHECKING:
    from lenet.cli.progress import Progress
    from lenet.cli.signals import StopSignals
    from lenet.data import Dataset
    from lenet.model import LeNet5
    from lenet.training.communication import Communicator
    from lenet.training.runs import Run
    from lenet.training.splits import Split
    from lenet.training.state import State

EPOCH_SECONDS, CHECKPOINT_SECONDS = 1.0, 30.0  # between saves: after an epoch, and within one


def train_and_report(folder: "Run", data: "Dataset", arguments: argparse.Namespace, comm: "Communicator") -> int:
    """Train until the end or a signal, and write the files of the run."""
    from threadpoolctl import threadpool_limits

    from lenet.cli.signals import StopSignals
    from lenet.training.loop import train
    from lenet.training.splits import split

    recipe, seed = folder.recipe, folder.args["seed"]
    model = folder.initial_model()
    state = folder.load_checkpoint(model)
    done = len(state.history) if state is not None else 0
    parts = split(data.y_train, recipe.validation, seed)
    outputs = started_outputs(folder, data, parts, state, arguments)
    comm.broadcast((model, data.X_train, data.y_train, recipe, seed))  # for lenet.cli.ranks.follow
    saver = Saver(folder, model, outputs, 0.0 if state is None else state.seconds)
    with StopSignals() as signals, threadpool_limits(1, "blas"):  # more would compete with the kernels
        with contextlib.closing(saver):
            state = train(
                model, data.X_train, data.y_train, recipe, seed=seed, n_jobs=arguments.n_jobs, state=state, comm=comm,
                on_step=lambda now: saver.on_step(now, signals), on_epoch=saver.on_epoch,
            )  # fmt: skip
        if done == len(state.history) and not state.step and (folder.folder / REPORT).exists():
            again = f"To train further, start a new run with --from {quoted(folder.folder)}."
            note(f"{folder.folder} is already complete. {again}", quiet=arguments.quiet)
        if state.step:  # stopped, perhaps by a signal to another rank
            folder.save_checkpoint(state)
            print_stopped(folder, state, arguments)
            return 128 + (signals.received or signal.SIGINT)
    report = write_results(folder, model, data, state, parts.validation, arguments.n_jobs)
    if arguments.json:
        result = {"event": "test", "run": str(folder.folder), "best_epoch": state.best_epoch, **report.as_dict()}
        say(json.dumps(result))
    else:
        print_report(report, folder, data, state, len(parts.validation))
    return 0


def started_outputs(
    folder: "Run", data: "Dataset", parts: "Split", state: "State | None", arguments: argparse.Namespace
) -> "list[Progress]":
    """Return the outputs that show the progress, after they have shown the metadata of the run."""
    from lenet.cli.progress import EventFile, progress_for
    from lenet.training.training_set import added_counts

    outputs: list[Progress] = []
    if arguments.tensorboard:
        outputs.append(EventFile(folder.folder, () if state is None else state.history))
    if not arguments.quiet:
        recipe = folder.recipe
        images = len(parts.train) + sum(added_counts(recipe, len(parts.train)))
        progress = progress_for(recipe.epochs, math.ceil(images / recipe.batch_size), arguments.json)
        progress.start({
            "run": str(folder.folder), "data": folder.args["data"], "recipe": recipe.name, "seed": folder.args["seed"],
            "train": len(parts.train), "validation": len(parts.validation), "test": len(data.X_test),
        })  # fmt: skip
        outputs.append(progress)
    return outputs


class Saver:
    """Saves the state after epochs, but not for each of many short ones, and at intervals within long ones."""

    def __init__(self, folder: "Run", model: "LeNet5", outputs: "Sequence[Progress]", saved_at: float):
        self.folder, self.model, self.outputs = folder, model, outputs
        self.saved_at = saved_at  # in seconds of training
        self.unsaved: State | None = None  # after the last epoch

    def on_step(self, state: "State", signals: "StopSignals") -> bool:
        """Show the step; return whether to stop."""
        for output in self.outputs:
            output.step(state)
        if state.seconds - self.saved_at > CHECKPOINT_SECONDS:
            self.save()
            self.folder.save_checkpoint(state)
            self.saved_at = state.seconds
        return bool(signals.received)

    def on_epoch(self, state: "State") -> None:
        """Save and show the epoch."""
        changing = state.parameters.copy(), state.velocity.copy()
        self.unsaved = replace(state, parameters=changing[0], velocity=changing[1], history=[*state.history])
        # The first epoch is always saved: later ones without a checkpoint mean that it was lost.
        if len(state.history) == 1 or state.seconds - self.saved_at > EPOCH_SECONDS:
            self.save()
        for output in self.outputs:
            output.epoch(state)

    def save(self) -> None:
        """Save the last epoch unless it is saved already."""
        if self.unsaved is not None:
            self.folder.save_epoch(self.model, self.unsaved)
            self.saved_at, self.unsaved = self.unsaved.seconds, None

    def close(self) -> None:
        """Save the last epoch, and end the outputs."""
        try:
            self.save()
        finally:
            for output in self.outputs:
                output.stop()  # raises OSError if the terminal was closed


def resume_command(folder: "Run", arguments: argparse.Namespace) -> str:
    """Return the command that resumes a run, even if its data were moved to DATA."""
    moved = f"{quoted(arguments.data)} " if arguments.resume and arguments.data else ""
    return f"lenet train {moved}--resume {quoted(folder.folder)}"


def print_stopped(folder: "Run", state: "State", arguments: argparse.Namespace) -> None:
    """Print where the training stopped, and how to resume it."""
    command = resume_command(folder, arguments)
    if arguments.json:
        say(json.dumps({"event": "stopped", "epoch": state.epoch, "step": state.step, "resume": command}))
    else:
        say(f"Stopped in epoch {state.epoch} after step {state.step}; the state is saved. Resume with: {command}")
