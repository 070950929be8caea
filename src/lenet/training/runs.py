"""The folder of a training run: arguments, checkpoint, weights and results.

The folder is created together with its arguments, and files are replaced atomically, so a run can be resumed after a
crash at any moment.
"""

import contextlib
import copy
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lenet import __version__, _checks, class_names
from lenet._files import atomic_write, lock, read_at_most, sync_folder, unlock
from lenet.errors import InputError, InputTypeError, SaveError
from lenet.loading import BEST, load, network_class
from lenet.model import LeNet5
from lenet.training.checkpoint import checkpoint_bytes, read_checkpoint
from lenet.training.history import history_csv, read_history
from lenet.training.recipes import Recipe
from lenet.training.state import Epoch, State
from lenet.weights.files import MAX_CLASSES, NETWORKS

ARGS = {"lenet": str, "data": str, "data_sha256": str, "num_classes": int, "seed": int, "recipe": object}
START = "start.safetensors"
MAX_ARGS_BYTES = 2**20
RESULTS_DEPEND_ON = ("data_sha256", "num_classes", "seed", "recipe")


class Run:
    """The folder of a training run.

    Parameters
    ----------
    folder : str or path-like
        A folder that `Run.create` created.

    Attributes
    ----------
    folder : pathlib.Path
        The folder.
    args : dict of str to Any
        The arguments of the run.

    Raises
    ------
    InputError
        If the folder is not that of a run, or its arguments are damaged.

    Examples
    --------
    >>> import tempfile
    >>> args = {"lenet": "0.1.0", "data": "digits", "data_sha256": ""}
    >>> args |= {"num_classes": 10, "seed": 0, "recipe": {}}
    >>> run = Run.create(tempfile.mkdtemp(), args)
    >>> run.folder.name, Run(run.folder).args["data"]
    ('train-1', 'digits')
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        path = self.folder / "args.json"
        try:
            content = read_at_most(path, MAX_ARGS_BYTES)
            if content is None:
                raise ValueError(f"it is larger than {MAX_ARGS_BYTES:,} bytes")
            self.args = _checked_args(json.loads(content))
        except (FileNotFoundError, NotADirectoryError):
            state = "has no args.json" if self.folder.is_dir() else "is not a folder"
            raise InputError(f"{self.folder} {state}; expected a run folder, such as runs/train-1.") from None
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{path} cannot be read ({error}). Restore it, or start a new run.") from None

    @classmethod
    def create(cls, parent: str | os.PathLike[str], args: dict[str, Any], start: LeNet5 | None = None) -> "Run":
        """Create the next folder ``train-N`` in `parent`, with the arguments of the run in it.

        Parameters
        ----------
        parent : str or path-like
            If the folder is missing, it is created.
        args : dict of str to Any
            JSON values by name: "lenet", "data" and "data_sha256" (str), "num_classes" and "seed" (int), and "recipe",
            the fields of a `Recipe`; with `start`, also "from". Optionally, "test_sha256" is the SHA-256 of the test
            set, "classes" is a list of class names, "raw" (bool) says that pictures were not prepared, "cpu" is the
            build of the kernels, and "network" is "1998" for a `LeNet1998`.
        start : LeNet5, optional
            The model whose weights training starts from; by default, the weights are random.

        Returns
        -------
        Run

        Raises
        ------
        SaveError
            If the folder cannot be written.
        InputError, InputTypeError
            If `args` lacks a name or has an invalid value, or `start` is not a LeNet5; if only one of `start` and
            "from" is given.
        """
        parent = Path(parent)
        content = _args_content(args)
        if not (start is None or isinstance(start, LeNet5)):
            raise InputTypeError(f"start is of type {type(start).__name__}; expected a LeNet5 or None.")
        if (start is None) == ("from" in args):
            raise InputError("Only one of start and args['from'] was given; expected both or neither.")
        temporary = parent / f".train-{os.urandom(4).hex()}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            atomic_write(temporary / "args.json", content)
            if start is not None:
                start.save(temporary / START)
            numbers = [int(match[1]) for each in parent.iterdir() if (match := re.fullmatch(r"train-(\d+)", each.name))]
            number = max(numbers, default=0) + 1
            while not _take_name(temporary, parent / f"train-{number}"):
                number += 1
        except OSError as error:
            cause = error.__cause__ if isinstance(error, SaveError) else error
            reason = getattr(cause, "strerror", None) or error
            raise SaveError(
                f"No run folder can be created in {parent} ({reason}). Choose another folder with --runs."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # exists only after an error
        sync_folder(parent)
        return cls(parent / f"train-{number}")

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run.

        Raises
        ------
        InputError, InputTypeError
            If this version of lenet does not know a field of the recipe, or a value is invalid.
        """
        try:
            return Recipe(**self.args["recipe"])
        except InputTypeError:
            raise
        except TypeError as error:  # also if it is not a mapping
            raise InputError(
                f"{self.folder / 'args.json'} has a recipe that lenet {__version__} does not know ({error}). Update "
                "lenet, or start a new run."
            ) from None

    def history(self) -> list[Epoch]:
        """Return the epochs that have ended, from ``results.csv``.

        Returns
        -------
        list of Epoch, at least one

        Raises
        ------
        InputError
            If the file is missing, because no epoch has ended yet, or damaged.
        """
        return read_history(self.folder / "results.csv")

    def initial_model(self) -> LeNet5:
        """Return a new model with the weights that training starts from.

        Returns
        -------
        LeNet5

        Raises
        ------
        WeightsError, OSError
            If these weights are in a file that is damaged or cannot be read.
        """
        if "from" in self.args:
            return load(self.folder / START)
        network = network_class(self.args.get("network"))
        model = network(seed=self.args["seed"], num_classes=self.args["num_classes"])
        if "classes" in self.args:
            model.classes = self.args["classes"]
        return model

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run against other processes while the context is open. The lock also ends with the process.

        On file systems that do not support locks, there is no protection.

        Yields
        ------
        None

        Raises
        ------
        InputError
            If another process is training this run.
        """
        with (self.folder / "args.json").open("rb") as file:
            try:
                lock(file)
            except BlockingIOError:
                raise InputError(
                    f"{self.folder} is being trained by another process. Wait until it finishes, or start a new run."
                ) from None
            except OSError:  # there is no lock on this file system
                pass
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # as above
                    unlock(file)

    def write(self, name: str, content: bytes | str) -> None:
        """Write a file to the folder, replacing an existing one atomically.

        Parameters
        ----------
        name : str
            The name of the file.
        content : bytes or str
            A str is encoded as UTF-8.

        Raises
        ------
        SaveError
            If the file cannot be written.
        """
        atomic_write(self.folder / name, content.encode() if isinstance(content, str) else content)

    def save_epoch(self, model: LeNet5, state: State) -> None:
        """Write the files that change after an epoch: ``results.csv``, the last and best weights, and the checkpoint.

        The checkpoint is written last, so that it is never ahead of the others.

        Parameters
        ----------
        model : LeNet5
            The model, whose network, mean and std are saved; its weights are neither used nor changed.
        state : State
            The state after the epoch, which contains the weights.

        Raises
        ------
        SaveError
            If a file cannot be written.
        """
        self.write("results.csv", history_csv(state.history))
        model = copy.deepcopy(model)
        for name, parameters, epoch in (
            ("last.safetensors", state.parameters, len(state.history)),
            (BEST, state.best_parameters, state.best_epoch),
        ):
            model.parameters.flat[...] = parameters
            model.metadata = self.metadata(state.history[epoch - 1])
            model.save(self.folder / name)
        self.save_checkpoint(state)

    def metadata(self, epoch: Epoch) -> dict[str, str]:
        """Return the metadata to save with the weights of an epoch.

        It contains no paths, since the file may be published.

        Parameters
        ----------
        epoch : Epoch
            The results of the epoch.

        Returns
        -------
        dict of str to str
            "recipe", "data", "seed", "lenet" and "epoch"; "changes", if the recipe has any; "test_sha256", if the
            arguments have it; with a validation split, "val_loss" and "val_accuracy"; with class names, "classes"; with
            raw pictures, "raw".
        """
        recipe = self.recipe
        values: dict[str, Any] = {"recipe": recipe.name, "data": shown_name(self.args["data"])}
        if changes := recipe.changes:
            values["changes"] = ", ".join(f"{name}={value}" for name, value in changes.items())
        values |= {key: self.args.get(key) for key in ("test_sha256", "seed", "lenet")}
        values |= {name: getattr(epoch, name) for name in ("epoch", "val_loss", "val_accuracy")}
        if "classes" in self.args:
            values[class_names.KEY] = class_names.to_json(self.args["classes"])
            values["raw"] = self.args.get("raw") or None
        return {key: str(value) for key, value in values.items() if value is not None}

    def save_checkpoint(self, state: State) -> None:
        """Write a checkpoint: everything needed to resume with bit-identical results.

        Parameters
        ----------
        state : State
            The state between two steps.

        Raises
        ------
        SaveError
            If the checkpoint cannot be written.
        """
        self.write("checkpoint.safetensors", checkpoint_bytes(state, self._decisive_args()))

    def load_checkpoint(self, model: LeNet5) -> State | None:
        """Return the state to resume from, or None if the run has no checkpoint yet.

        Parameters
        ----------
        model : LeNet5
            The network that the checkpoint must fit; it is not changed.

        Returns
        -------
        State or None

        Raises
        ------
        WeightsError, OSError
            If the checkpoint is damaged, belongs to another network, or cannot be read.
        InputError
            If arguments that determine the results have changed, or the recipe is invalid; if the checkpoint is missing
            although at least two epochs have ended.
        """
        path = self.folder / "checkpoint.safetensors"
        if path.exists():
            return read_checkpoint(path, model, self.recipe, self._decisive_args())
        if (self.folder / "results.csv").exists() and (epochs := len(self.history())) > 1:
            raise InputError(
                f"{path} is missing, and training again would replace the results of the {epochs} epochs in "
                f"results.csv. Restore it, or start a new run with --from {self.folder}."
            )
        return None

    def _decisive_args(self) -> dict[str, Any]:
        return {name: self.args[name] for name in RESULTS_DEPEND_ON}


def shown_name(data: str | os.PathLike[str]) -> str:
    """Return the name of a data set in the metadata of a model: that of its file or folder, without the path.

    Examples
    --------
    >>> shown_name("/home/me/symbols")
    'symbols'
    """
    return Path(data).name.encode("utf-8", "backslashreplace").decode()  # the name of a file may not be Unicode


def _checked_args(args: Any) -> dict[str, Any]:
    """Validate the arguments of a run; raise ValueError."""
    if not isinstance(args, dict):
        raise ValueError("it is not a mapping")
    if missing := sorted(ARGS.keys() - args.keys()):
        raise ValueError(f"it lacks {', '.join(missing)}")
    for name, kind in ARGS.items():
        if not isinstance(args[name], kind) or isinstance(args[name], bool):
            raise ValueError(f"its {name} is of type {type(args[name]).__name__}; expected {kind.__name__}")
    if "classes" in args:
        class_names.checked(args["classes"], args["num_classes"])
    if args.get("network") not in (None, *NETWORKS):
        raise ValueError(f"its network is {_checks.short_repr(args['network'])}; expected {', '.join(NETWORKS)}")
    if args["seed"] < 0 or not 2 <= args["num_classes"] <= MAX_CLASSES:
        raise ValueError(
            f"its seed is {args['seed']} and its num_classes is {args['num_classes']}; expected a seed of at least 0, "
            f"and 2 to {MAX_CLASSES:,} classes"
        )
    return args


def _args_content(args: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(args, indent=2)
        _checked_args(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"args is invalid ({error}). Pass the arguments that `create` documents.") from None
    return (text + "\n").encode()


def _take_name(folder: Path, name: Path) -> bool:
    """Rename a folder unless the name is taken; return whether it was renamed."""
    if name.exists():
        return False
    try:
        folder.rename(name)
    except OSError:
        if name.exists():  # another run took the name in the meantime
            return False
        raise
    return True
