"""Checkpoints: everything that a training run needs to resume with bit-identical results."""

import json
from pathlib import Path
from typing import Any

from lenet.errors import InputError, WeightsError
from lenet.model import LeNet5
from lenet.training.recipes import Recipe, optimizer_of
from lenet.training.state import Epoch, State
from lenet.weights.container import read_tensors, to_bytes

FORMAT = "lenet-checkpoint-1"
_ARRAYS = ("parameters", "velocity", "best_parameters")


def checkpoint_bytes(state: State, args: dict[str, Any]) -> bytes:
    """Return the content of a checkpoint; `args` are the arguments of the run that determine its results."""
    metadata = {"format": FORMAT, "state": json.dumps(state.as_dict()), "args": json.dumps(args)}
    arrays = {name: getattr(state, name) for name in _ARRAYS}
    if state.step and state.preconditioner.size:  # each epoch begins with a new estimate
        arrays["preconditioner"] = state.preconditioner
    return to_bytes(arrays, metadata)


def read_checkpoint(path: Path, model: LeNet5, recipe: Recipe, args: dict[str, Any]) -> State:
    """Read a checkpoint of a run with this recipe and these arguments; the model, which it must fit, is not changed."""
    try:
        arrays, metadata = read_tensors(path)
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}")
        values, stored = json.loads(metadata["state"]), json.loads(metadata["args"])
        values = {"images_per_second": 0.0} | values  # earlier versions did not save it
        state = State(**{**arrays, **values, "history": [Epoch(**row) for row in values["history"]]})
        if missing := state.as_dict().keys() - values.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        state.check(optimizer_of(recipe, model), recipe)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = "it is damaged" if isinstance(error, WeightsError) else error
        raise WeightsError(
            f"{path} is not a checkpoint of {model!r} ({reason}). Restore it, or start a new run with "
            f"--from {path.parent}."
        ) from None
    if stored != json.loads(json.dumps(args)):
        *names, last = args
        raise InputError(
            f"{path.with_name('args.json')} and the checkpoint beside it differ in {', '.join(names)} or {last}. "
            "Restore the file, or start a new run."
        )
    return state
