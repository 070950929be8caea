"""The folder of a training run: its arguments, checkpoint, weights and results.

A run's folder appears with its arguments in it, and every file after that is replaced whole, so that at any moment
there is something to go on from.
"""

import csv
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from lenet._files import atomic_write, read_at_most, sync_folder
from lenet.data import Dataset
from lenet.errors import InputError, SaveError, WeightsError
from lenet.model import LeNet5
from lenet.training.recipes import Recipe
from lenet.training.state import Epoch, State
from lenet.weights.container import read_tensors, to_bytes
from lenet.weights.files import MAX_CLASSES

CHECKPOINT_FORMAT = "lenet-checkpoint-1"
ARGS = {"lenet": str, "data": str, "data_sha256": str, "num_classes": int, "seed": int, "recipe": object}
LARGEST_ARGS = 2**20
_KINDS: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), float | None: (int, float, type(None))}
_GREATEST = 1e30  # of the numbers in a checkpoint
BITS_DEPEND_ON = ("data_sha256", "num_classes", "seed", "recipe")


class Run:
    """A run's folder.

    Parameters
    ----------
    folder : path-like
        One that `Run.create` made.

    Raises
    ------
    InputError
        If it is no run's folder.

    Examples
    --------
    >>> facts = {"lenet": "0.1.0", "data": "digits", "data_sha256": "", "num_classes": 10, "seed": 0, "recipe": {}}
    >>> run = Run.create(tempfile.mkdtemp(), facts)
    >>> run.folder.name, Run(run.folder).args["data"]
    ('train-1', 'digits')
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        try:
            self.args = _read_args(self.folder / "args.json")
        except FileNotFoundError:
            raise InputError(f"{folder} is no run's folder: it has no args.json.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.folder / 'args.json'} cannot be read ({error}).") from None

    @classmethod
    def create(cls, parent: str | os.PathLike[str], args: dict[str, Any]) -> "Run":
        """Make the next folder train-N below `parent`, with the run's arguments in it.

        Parameters
        ----------
        parent : path-like
            Made if it is missing.
        args : dict of str to Any
            What JSON can hold; those in `ARGS` at least.

        Returns
        -------
        Run

        Raises
        ------
        SaveError
            If nothing can be written there.
        """
        parent = Path(parent)
        temporary = None
        try:
            parent.mkdir(parents=True, exist_ok=True)
            temporary = parent / f".train-{secrets.token_hex(4)}"
            temporary.mkdir()
            atomic_write(temporary / "args.json", _json(args))
            numbers = [int(match[1]) for each in parent.iterdir() if (match := re.fullmatch(r"train-(\d+)", each.name))]
            number = max(numbers, default=0) + 1
            while not _take_name(temporary, parent / f"train-{number}"):
                number += 1
            temporary = None
        except OSError as error:
            cause = error.__cause__ if isinstance(error, SaveError) else error
            reason = getattr(cause, "strerror", None) or error
            raise SaveError(f"No run folder can be made in {parent} ({reason}): choose another with --runs.") from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(parent)
        return cls(parent / f"train-{number}")

    @property
    def recipe(self) -> Recipe:
        """The recipe among the run's arguments.

        Raises
        ------
        InputError
            If this version of lenet has no such recipe.
        """
        try:
            renamed = {"rubbish": "non_digits"}  # by which runs of earlier versions know it
            return Recipe(**{renamed.get(name, name): value for name, value in self.args["recipe"].items()})
        except (AttributeError, TypeError) as error:
            raise InputError(f"{self.folder / 'args.json'} has a recipe of another lenet ({error}).") from None

    def check_writable(self) -> None:
        """Raise SaveError if no file can be made in the folder."""
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise SaveError(f"{self.folder} cannot be written ({error.strerror or error}).") from error

    def write(self, name: str, content: bytes | str) -> None:
        """Replace one of the run's files, whole.

        Parameters
        ----------
        name : str
            Of the file, below the folder.
        content : bytes or str
            Text is written as UTF-8.

        Raises
        ------
        SaveError
            If it cannot be written.
        """
        atomic_write(self.folder / name, content.encode() if isinstance(content, str) else content)

    def save_epoch(self, model: LeNet5, state: State) -> None:
        """Write what an epoch changes; the checkpoint comes last, so that it never runs ahead of the rest.

        Parameters
        ----------
        model : LeNet5
            Its metadata become `facts`.
        state : State

        Raises
        ------
        SaveError
            If a file cannot be written.
        """
        self.write("results.csv", results_csv(state.history))
        model.metadata = self.facts(state.history[-1])
        model.save(self.folder / "last.safetensors")
        if state.best_epoch == len(state.history):
            model.save(self.folder / "best.safetensors")
        self.save_checkpoint(model, state)

    def facts(self, epoch: Epoch) -> dict[str, str]:
        """Return where a model of this run comes from, for its file; of a path only the name, for it may be shared.

        Parameters
        ----------
        epoch : Epoch
            That of its weights.

        Returns
        -------
        dict of str to str
        """
        name = Path(self.args["data"]).name.encode("utf-8", "backslashreplace").decode()  # it may be no Unicode
        facts = {"recipe": self.recipe.name, "data": name}
        facts |= {key: self.args[key] for key in ("seed", "lenet")}
        chosen = {name: getattr(epoch, name) for name in ("epoch", "val_loss", "val_accuracy")}
        return {key: str(value) for key, value in {**facts, **chosen}.items() if value is not None}

    def save_checkpoint(self, model: LeNet5, state: State) -> None:
        """Write all that it takes to go on from here to the same bits.

        Parameters
        ----------
        model : LeNet5
        state : State

        Raises
        ------
        SaveError
            If it cannot be written.
        """
        arrays = {name: getattr(state, name) for name in ("parameters", "velocity", "best_parameters")}
        facts = {"format": CHECKPOINT_FORMAT, "state": json.dumps(state.as_dict()), "args": self._settled()}
        self.write("checkpoint.safetensors", to_bytes(arrays, facts))

    def load_checkpoint(self, model: LeNet5) -> State | None:
        """Return where the run stands, None where it has not got to a checkpoint.

        Parameters
        ----------
        model : LeNet5
            What the checkpoint has to fit; it is not changed.

        Returns
        -------
        State or None

        Raises
        ------
        WeightsError
            If the checkpoint is damaged or of another network.
        InputError
            If the run's arguments have changed since, and it would not end in the same bits.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return None
        arrays, metadata = read_tensors(path)
        try:
            if metadata.get("format") != CHECKPOINT_FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}")
            facts = json.loads(metadata["state"])
            history = [Epoch(**row) for row in facts.pop("history")]
            state = State(history=history, **{**arrays, **facts})
            _check_numbers(state)
            for row in history:
                _check_numbers(row)
            if missing := state.as_dict().keys() - facts.keys() - {"history"}:
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            if not (state.std > 0 and state.step >= 0 and min(1, len(history)) <= state.best_epoch <= len(history)):
                raise ValueError("its step, std or best_epoch is out of range")
            if not 0 <= state.step * self.recipe.batch_size - state.images < self.recipe.batch_size:
                raise ValueError("its step and images do not agree")
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise ValueError("its weights are not finite")
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise WeightsError(f"{path} is no checkpoint of lenet ({error}).") from None
        wanted = model.parameters.flat
        if any(array.shape != wanted.shape or array.dtype != wanted.dtype for array in arrays.values()):
            raise WeightsError(f"{path} is of another network than {model!r}.")
        if metadata.get("args", self._settled()) != self._settled():
            raise InputError(
                f"{self.folder / 'args.json'} has another {', '.join(BITS_DEPEND_ON[:-1])} or {BITS_DEPEND_ON[-1]} "
                "than when the checkpoint beside it was written: restore it, or begin anew."
            )
        return state

    def _settled(self) -> str:
        """Return the arguments that the bits depend on, to be compared."""
        return json.dumps({name: self.args[name] for name in BITS_DEPEND_ON})


def fingerprint(data: Dataset) -> str:
    """Return the SHA-256 of a data set, so that a run is gone on with on the images it began with.

    Parameters
    ----------
    data : Dataset

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import lenet
    >>> len(fingerprint(lenet.data.load_digits()))
    64
    """
    digest = hashlib.sha256()
    for array in data:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def results_csv(history: list[Epoch]) -> str:
    """Return the history as CSV, a line an epoch under a header; what there is none of stays empty.

    Parameters
    ----------
    history : list of Epoch

    Returns
    -------
    str

    Examples
    --------
    >>> results_csv([Epoch(1, 0.5, 2.3, 0.1, None, None, 1e5, 0.6)]).splitlines()[1]
    '1,0.5,2.3,0.1,,,100000.0,0.6'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in history)
    return text.getvalue()


def _read_args(path: Path) -> dict[str, Any]:
    """Return a run's arguments, each of the type that it should have.

    Raises
    ------
    ValueError, RecursionError, OSError
    """
    content = read_at_most(path, LARGEST_ARGS)
    if content is None:
        raise ValueError(f"it has more than {LARGEST_ARGS:,} bytes")
    args = json.loads(content)
    if not isinstance(args, dict) or not args.keys() >= ARGS.keys():
        raise ValueError(f"it has not all of {', '.join(sorted(ARGS))}")
    for name, kind in ARGS.items():
        if not isinstance(args[name], kind) or isinstance(args[name], bool):
            raise ValueError(f"its {name} is a {type(args[name]).__name__}, and not a {kind.__name__}")
    if args["seed"] < 0 or not 2 <= args["num_classes"] <= MAX_CLASSES:
        raise ValueError(f"its seed is {args['seed']} and its num_classes {args['num_classes']}")
    return args


def _check_numbers(record: Epoch | State) -> None:
    """Refuse what JSON can hold in the place of a number: a text, true, NaN.

    Raises
    ------
    ValueError
    """
    for each in fields(record):
        value, kinds = getattr(record, each.name), _KINDS.get(each.type)
        if kinds is not None and (type(value) not in kinds or (value is not None and not abs(value) < _GREATEST)):
            raise ValueError(f"its {each.name} is {str(value)[:80]!r}")


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _take_name(folder: Path, name: Path) -> bool:
    """Rename a folder unless the name is taken: an empty folder would be replaced, a full one refuses."""
    if name.exists():
        return False
    try:
        folder.rename(name)
    except OSError:
        if name.exists():  # another run took it in between
            return False
        raise
    return True
